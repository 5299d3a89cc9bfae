package validate

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

// subject is a good opened file of one endpoint, made without packing: the row of a table changes what it needs.
func subject(t *testing.T, release, folder string, change func(*x509.Certificate)) *Subject {
	t.Helper()
	in, items := goodSet(t, release, policies.ADFS)
	it := find(items, folder)
	if change != nil {
		change(it.template)
	}
	leaf := it.certificate()
	r := newRun(in)
	s := &Subject{
		run: r, Endpoint: it.endpoint, Folder: folder, File: it.endpoint.Stem() + ".pfx", PFXSHA256: "00",
		Facts: &pfx.Facts{
			Version: 3, Integrity: pfx.IntegrityMAC, Encryption: pfx.TripleDESSHA1,
			Keys: []pfx.KeyFacts{{Shrouded: true, LocalMachine: true}},
		},
	}
	s.Bundle = &pfx.Bundle{Facts: *s.Facts, Keys: []pfx.Key{{Signer: it.key}}, LeafMatches: []int{0}}
	for _, c := range append([]*x509.Certificate{leaf}, it.chain...) {
		s.Bundle.Certificates = append(s.Bundle.Certificates, pfx.Certificate{Raw: c.Raw, X509: c})
	}
	s.take(s.Bundle.X509(), leaf)
	return s
}

// check compares a judgement with a result and pieces of what it found.
func check(t *testing.T, j Judgement, want Result, pieces ...string) {
	t.Helper()
	if j.Result != want {
		t.Errorf("result %s (%s), want %s", j.Result, j.Found, want)
	}
	for _, p := range pieces {
		if !strings.Contains(j.Found, p) {
			t.Errorf("found %q, want %q in it", j.Found, p)
		}
	}
	if strings.ContainsAny(j.Found+j.Wanted+j.Hint, "\r\n") {
		t.Errorf("more than one line: %+v", j)
	}
}
