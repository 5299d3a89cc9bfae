package cli

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
	"github.com/certstamp/certstamp/validate/crl"
)

// judgement is a stamp's set, judged, with everything a plan needs of it.
type judgement struct {
	tree     *tree
	outcome  validate.Outcome
	observed []plan.Observed
	password secret.Value
}

// judging says how to judge.
type judging struct {
	asOf       time.Time
	noPassword bool
	offline    bool
	crl        *crl.Checker    // nil: no CRL is fetched
	observed   []plan.Observed // what was observed before; nil: look now, unless offline
}

// judge runs every rule over a stamp's set.
func (a *app) judge(ctx context.Context, j *job, how judging) (*judgement, error) {
	s := j.stamp
	if how.crl != nil {
		// The addresses are out of certificates that a pull request may bring: where a target is pinned, only its stamp's.
		if err := a.checkTarget(s); err != nil {
			return nil, err
		}
	}
	out := &judgement{observed: how.observed}
	var open unsealer
	var err error
	if !how.noPassword {
		if out.password, err = a.secret(s.PFXPassword, "pfx-password"); err != nil {
			return nil, err
		}
		open = a.unsealer(s)
	}
	if out.tree, err = a.readTree(s, open); err != nil {
		return nil, err
	}
	in := validate.Input{
		Stamp: s.Name, Simulated: s.Simulated, Domain: s.Domain(), Version: s.Version, Identity: s.Identity,
		Optional: s.OptionalEndpoints, Policy: j.policy, AsOf: how.asOf, Files: out.tree.files, Listing: out.tree.listing,
		NoPassword: how.noPassword, Anchors: j.anchors,
	}
	if !how.noPassword {
		in.Password = out.password.Reveal()
	}
	asks := out.observed == nil && !how.offline && !how.noPassword
	if (asks || how.crl != nil) && !how.noPassword && slices.ContainsFunc(in.Files, func(f validate.File) bool { return len(f.Twin) > 0 }) {
		// Reviewers approved the twin. What opens to something else is not what they saw, and nobody out there hears of it.
		if first := validate.Run(ctx, in); mistwinned(first) {
			a.progress("%s: a file is not what its public twin shows: nothing is asked on the network", s.Name)
			out.outcome = first
			return out, ctx.Err()
		}
	}
	if asks {
		if out.observed, err = a.observe(ctx, j); err != nil {
			return nil, err
		}
	}
	installed, err := a.installed(ctx, j, out.observed, opening{password: out.password, open: open, none: how.noPassword})
	if err != nil {
		return nil, err
	}
	in.Installed = installed
	out.outcome = a.apply(ctx, in, how)
	return out, ctx.Err()
}

// mistwinned reports whether a file opened to other certificates than its twin shows.
func mistwinned(o validate.Outcome) bool {
	return slices.ContainsFunc(o.Report.Certificates, func(c validate.CertificateReport) bool {
		return slices.ContainsFunc(c.Tests, func(f validate.Finding) bool { return f.ID == "twin" && f.Result == validate.Fail })
	})
}

// apply runs the rules. Only an opened file says where its CRLs are, and the rules dial nothing: with CRLs to fetch they run
// once more with the answers.
func (a *app) apply(ctx context.Context, in validate.Input, how judging) validate.Outcome {
	out := validate.Run(ctx, in)
	if how.crl == nil {
		return out
	}
	questions := out.CRLQuestions()
	a.progress("fetching the CRLs of %s of %s", amount.Of(len(questions), "certificate"), in.Stamp)
	in.CRL = how.crl.Check(ctx, questions, in.Simulated, how.asOf)
	return validate.Run(ctx, in)
}

// observe asks every endpoint of the stamp what it serves. An endpoint that cannot be reached is an observation too.
func (a *app) observe(ctx context.Context, j *job) ([]plan.Observed, error) {
	targets := targetsOf(j)
	a.progress("reading what %s of %s serve", amount.Of(len(targets), "endpoint"), j.stamp.Name)
	looker := observer(j.stamp.Simulated)
	looker.Samples = 1 // the plan needs to know what is there, not whether all front ends agree
	out := make([]plan.Observed, 0, len(targets))
	for _, seen := range looker.Observe(ctx, targets) {
		s := seen.Leaf()
		o := plan.Observed{Endpoint: seen.Target.Endpoint, Host: seen.Target.Host, Error: string(s.Class), Chain: []string{}}
		if s.Err == nil {
			o.LeafSHA256 = s.LeafSHA256
			o.NotAfter = s.Chain[0].NotAfter.UTC().Format(time.RFC3339)
			o.Issuer = s.Chain[0].Issuer.String()
			for _, c := range s.Chain {
				o.Chain = append(o.Chain, base64.StdEncoding.EncodeToString(c.Raw))
			}
		}
		out = append(out, o)
	}
	return out, ctx.Err()
}

// observer looks at endpoints with the system's network. A real stamp never lives on this machine, and a simulated one
// nowhere else.
func observer(simulated bool) live.Observer {
	dialer := &net.Dialer{}
	o := live.Observer{Dial: dialer.DialContext, Peers: live.NoLoopback}
	if simulated {
		o.Peers = live.OnlyLoopback
	}
	return o
}

func targetsOf(j *job) []live.Target {
	s := j.stamp
	var out []live.Target
	for _, e := range j.policy.Endpoints(s.Version, s.Identity, s.OptionalEndpoints) {
		host := e.ProbeHost(s.Domain())
		out = append(out, live.Target{Endpoint: e.ID, Host: host, Port: s.Port, Addresses: s.Addresses(host, s.Port)})
	}
	return out
}

// opening is what a file with the installed certificate may need.
type opening struct {
	password secret.Value
	open     unsealer
	none     bool // nobody has a password
}

// filed reads the installed certificate from a file: certificates, or the PFX of the last time.
func filed(ctx context.Context, name string, b []byte, with opening) (validate.Installed, error) {
	lower := strings.ToLower(name)
	sealed := strings.HasSuffix(lower, ".age")
	if ext := path.Ext(strings.TrimSuffix(lower, ".age")); ext != ".pfx" && ext != ".p12" {
		chain, err := pfx.ParseCertificates(b)
		return validate.Installed{Chain: chain}, err
	}
	if with.none {
		return validate.Installed{Error: "the previous PFX was not opened: there is no password"}, nil
	}
	if sealed {
		var err error
		if b, err = with.open.unseal(b); err != nil {
			return validate.Installed{}, err
		}
	}
	bundle, err := pfx.Open(ctx, b, with.password.Reveal(), pfx.DefaultLimits())
	if err != nil {
		return validate.Installed{}, err
	}
	chain := bundle.X509()
	if leaf := bundle.LeafCertificate(); leaf != nil {
		chain, _ = pfx.Walk(leaf, chain)
	}
	if len(chain) == 0 {
		return validate.Installed{}, errors.New("the PFX holds no certificate")
	}
	return validate.Installed{Chain: chain}, nil
}

// installed turns what was observed, asserted or filed into what the transition rule judges by.
func (a *app) installed(ctx context.Context, j *job, observed []plan.Observed, with opening) ([]validate.Installed, error) {
	switch ca := j.stamp.InstalledCA; ca.Mode {
	case stamp.ModeSelfSigned, stamp.ModeEnterprise, stamp.ModePublic:
		return []validate.Installed{{Class: policies.Class(ca.Mode)}}, nil
	case stamp.ModeFile:
		repo, err := a.repository()
		if err != nil {
			return nil, err
		}
		b, err := repo.ReadFile(ca.File, maxFile)
		if err != nil {
			return nil, configuration(fmt.Errorf("stamp %s: installed-ca: %w", j.stamp.Name, err), "")
		}
		in, err := filed(ctx, ca.File, b, with)
		if err != nil {
			hint := hintOf(err)
			if hint == "" {
				hint = "the file holds the installed certificate and its chain as PEM, DER or P7B, or is the previous PFX with the same password"
			}
			return nil, configuration(fmt.Errorf("stamp %s: installed-ca: %w", j.stamp.Name, err), hint)
		}
		return []validate.Installed{in}, nil
	}
	var out []validate.Installed
	for _, o := range observed {
		in := validate.Installed{Endpoint: o.Endpoint, Error: o.Error}
		for _, text := range o.Chain {
			der, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return nil, errors.New("the plan's observations hold a certificate that is not base64")
			}
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("the plan's observations hold a certificate that cannot be read: %w", err)
			}
			in.Chain = append(in.Chain, c)
		}
		out = append(out, in)
	}
	return out, nil
}
