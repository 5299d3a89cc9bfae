package policies

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"
)

func TestListSigners(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	signers := p.ListSigners()
	if len(signers) == 0 || p.ListMaxAge() < 30*24*time.Hour {
		t.Fatalf("%d signers, age %s", len(signers), p.ListMaxAge())
	}
	for _, c := range signers {
		if !c.IsCA || !bytes.Equal(c.RawSubject, c.RawIssuer) || c.CheckSignatureFrom(c) != nil {
			t.Errorf("%s is no root", c.Subject)
		}
	}
	wrong := roots{List: listTerms{Signers: []listSigner{{File: "microsoft-root-2010.pem", SHA256: "00"}}}}
	if wrong.read() == nil {
		t.Error("a certificate with another hash than the table's is accepted")
	}
}

func TestIssuedToPublic(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"2.23.140.1.2.2": true, "2.23.140.1.1": true, "2.5.29.32.0": false, "1.3.6.1.4.1.311.21.8.1": false} {
		oid, err := x509.ParseOID(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.IssuedToPublic(&x509.Certificate{Policies: []x509.OID{oid}}); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	if p.IssuedToPublic(&x509.Certificate{}) {
		t.Error("no policy at all")
	}
}

func TestWithRoots(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	one, two := p.WithRoots(map[string]string{"public-roots": "aa"}), p.WithRoots(map[string]string{"enterprise-roots": "aa"})
	again := p.WithRoots(map[string]string{"public-roots": "aa"})
	if p.WithRoots(nil).Digest() != p.Digest() || one.Digest() == p.Digest() || one.Digest() == two.Digest() || one.Digest() != again.Digest() {
		t.Error("the digest does not follow the lists")
	}
}
