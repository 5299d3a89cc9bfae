package cli

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/validate/authroot"
)

// roots reads the lists of roots that a stamp names, and makes them part of its policy: a plan made under other roots is
// another plan, and the checkout that applies it must hold the same.
func (a *app) roots(repo *stamp.Repository, j *job, signers []*x509.Certificate) error {
	lists := map[string]string{}
	read := func(key, file string) (authroot.Roots, error) {
		b, err := repo.ReadFile(file, authroot.MaxSize)
		if err != nil {
			return authroot.Roots{}, configuration(fmt.Errorf("stamp %s: %s: %w", j.stamp.Name, key, err), "")
		}
		r, err := authroot.Read(b, signers)
		if err != nil {
			hint := hintOf(err)
			if hint == "" {
				hint = "the file holds roots as PEM, DER, P7B or .sst, or is Microsoft's authroot.stl"
			}
			return r, configuration(fmt.Errorf("stamp %s: %s: %q: %w", j.stamp.Name, key, file, err), hint)
		}
		lists[key] = contents(b, r)
		return r, nil
	}
	s := j.stamp
	if s.EnterpriseRoots != "" {
		r, err := read("enterprise-roots", s.EnterpriseRoots)
		if err != nil {
			return err
		}
		if r.List != nil {
			return configuration(fmt.Errorf("stamp %s: enterprise-roots: %q is a list of public roots", s.Name, s.EnterpriseRoots), "name it in public-roots")
		}
		j.anchors.Enterprise, j.anchors.Extra = enterprise(r.Certificates)
	}
	if s.PublicRoots != "" {
		r, err := read("public-roots", s.PublicRoots)
		if err != nil {
			return err
		}
		j.anchors.Public, j.anchors.PublicList = r.Certificates, r.List
	}
	j.policy = j.policy.WithRoots(lists)
	return nil
}

// enterprise splits a file of own CAs: roots are anchors, and what stands below one helps to reach it. An issuing CA made an
// anchor beside its root would hide that its siblings are the same CA. A file without any root names the CAs to trust.
func enterprise(list []*x509.Certificate) (anchors, extra []*x509.Certificate) {
	for _, c := range list {
		if pfx.SelfSigned(c) {
			anchors = append(anchors, c)
		} else {
			extra = append(extra, c)
		}
	}
	if len(anchors) == 0 {
		return extra, nil
	}
	return anchors, extra
}

// contents is the hex SHA-256 of what a file of roots says: of a signed list its bytes, of certificates their DER, because a
// Windows checkout may change the line ends of a PEM file.
func contents(b []byte, r authroot.Roots) string {
	h := sha256.New()
	if r.List != nil {
		_, _ = h.Write(b) // a hash never fails
	}
	for _, c := range r.Certificates {
		_, _ = h.Write(c.Raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}
