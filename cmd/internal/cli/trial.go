package cli

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"path"
	"slices"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/csr"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// A request that leads to a certificate the stamp refuses costs a day at the CA. So each set is answered at once by a
// throw-away CA that grants what is asked, and judged by the same rules that judge the real answer later.

// requestRules are the rules that a request decides. What the others look at is the CA's or the packing's to get right.
var requestRules = []string{"signature-algorithm", "dns-names", "key-usage", "key-length", "subject-in-san", "duplicate-key", "one-for-all"}

// trialCA answers requests and is forgotten.
type trialCA struct {
	certificate *x509.Certificate
	key         crypto.Signer
	asOf        time.Time
}

func newTrialCA(asOf time.Time) (*trialCA, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("key of the trial: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "certstamp trial"}, NotBefore: asOf.AddDate(-1, 0, 0), NotAfter: asOf.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	ca := &trialCA{certificate: template, key: key, asOf: asOf}
	if ca.certificate, err = ca.sign(template, key.Public()); err != nil {
		return nil, fmt.Errorf("certificate of the trial: %w", err)
	}
	return ca, nil
}

func (ca *trialCA) sign(template *x509.Certificate, public any) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, public, ca.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// answer issues what a request asks for: its subject, its key, and names and usages as they stand in it.
func (ca *trialCA) answer(der []byte) (*x509.Certificate, error) {
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	if err := r.CheckSignature(); err != nil {
		return nil, err
	}
	granted := []asn1.ObjectIdentifier{{2, 5, 29, 15}, {2, 5, 29, 17}, {2, 5, 29, 37}}
	return ca.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), RawSubject: r.RawSubject, NotBefore: ca.asOf.Add(-time.Hour), NotAfter: ca.asOf.AddDate(0, 0, 199),
		BasicConstraintsValid: true, CRLDistributionPoints: []string{"http://trial.invalid/trial.crl"},
		ExtraExtensions: slices.DeleteFunc(slices.Clone(r.Extensions), func(x pkix.Extension) bool {
			return !slices.ContainsFunc(granted, x.Id.Equal)
		}),
	}, r.PublicKey)
}

// trialPassword protects files that never leave memory.
const trialPassword = "Trial7Password7Trial7"

// set is the input of the rules for a set of requests, as if all were issued and packed.
func (ca *trialCA) set(j *job, kind policies.CertificateType, requests []csr.Request) (validate.Input, error) {
	s := j.stamp
	in := validate.Input{
		Stamp: s.Name, Type: kind, Simulated: s.Simulated, Domain: s.Domain(), Version: s.Version, Identity: s.Identity, Optional: s.OptionalEndpoints,
		Policy: j.policy, AsOf: ca.asOf, Password: trialPassword, Installed: []validate.Installed{{Chain: []*x509.Certificate{ca.certificate}}},
		Anchors: validate.Anchors{Enterprise: []*x509.Certificate{ca.certificate}},
	}
	for _, r := range requests {
		leaf, err := ca.answer(r.DER)
		if err != nil {
			return in, fmt.Errorf("answer %s: %w", r.Spec.Stem, err)
		}
		b, err := pfx.Pack{Key: r.Key, Leaf: leaf, Chain: []*x509.Certificate{ca.certificate}, Password: trialPassword, LocalMachine: true, Iterations: 1}.Encode()
		if err != nil {
			return in, fmt.Errorf("pack %s: %w", r.Spec.Stem, err)
		}
		for _, e := range j.policy.TypeEndpoints(kind, s.Version) {
			if slices.Contains(r.Spec.Folders, e.Folder) {
				name := path.Join(e.Folder, e.Stem()+".pfx")
				in.Files = append(in.Files, validate.File{Path: name, Blob: b, PFX: b})
				in.Listing = append(in.Listing, e.Folder+"/", name)
			}
		}
	}
	return in, nil
}

// decided are the findings that requests decide, everything but OK; those that say the same of several folders are one.
func decided(r validate.StampReport) []validate.Finding {
	var out []validate.Finding
	add := func(f validate.Finding) {
		if !slices.Contains(requestRules, f.ID) || f.Result == validate.OK || f.Result == validate.Skipped {
			return
		}
		for i, have := range out {
			if have.ID == f.ID && have.Result == f.Result && have.Found == f.Found && have.Wanted == f.Wanted {
				out[i].Folders = append(out[i].Folders, f.Folders...)
				return
			}
		}
		out = append(out, f)
	}
	for _, c := range r.Certificates {
		for _, f := range c.Tests {
			f.Folders = []string{c.Folder}
			add(f)
		}
	}
	for _, f := range r.Set {
		add(f)
	}
	return out
}

// tryOut judges all sets before the first is written. Warnings go with their set; one failure and nothing is written.
func (a *app) tryOut(ctx context.Context, sets []*requested, asOf time.Time) error {
	if !slices.ContainsFunc(sets, func(s *requested) bool { return len(s.made) > 0 }) {
		return nil
	}
	ca, err := newTrialCA(asOf)
	if err != nil {
		return err
	}
	failed := false
	for _, set := range sets {
		var list []csr.Request
		for _, m := range set.made {
			list = append(list, m.Request)
		}
		in, err := ca.set(set.job, set.kind, list)
		if err != nil {
			return fmt.Errorf("stamp %s: %w", set.job.stamp.Name, err)
		}
		set.findings = decided(validate.Run(ctx, in).Report)
		failed = failed || slices.ContainsFunc(set.findings, func(f validate.Finding) bool { return f.Result == validate.Fail })
	}
	if err := ctx.Err(); err != nil || !failed {
		return err
	}
	for _, set := range sets {
		s := set.job.stamp
		if len(set.findings) > 0 {
			a.doc.Stamps = append(a.doc.Stamps, report.Stamp{
				Stamp: s.Name, Type: set.shownType(), Simulated: s.Simulated, Outcome: "refused", Findings: set.findings,
				Message: fmt.Sprintf("%s: what these requests of %s lead to would be refused", s.Name, set.kind),
			})
		}
	}
	return refusedf("findings", "change what the findings name, and run certstamp csr again", "the certificates that these requests ask for would fail certstamp validate: nothing was written")
}
