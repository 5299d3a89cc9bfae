package validate

import (
	"crypto/x509"
	"strings"
	"testing"
)

func TestKeyUsage(t *testing.T) {
	const both = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	server, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	for _, row := range []struct {
		claim   string
		release string
		ku      x509.KeyUsage
		eku     []x509.ExtKeyUsage
		want    Result
		wanted  string
	}{
		{"all", "2301", both, []x509.ExtKeyUsage{server, client}, OK, ""},
		{"more", "2301", both | x509.KeyUsageDataEncipherment, []x509.ExtKeyUsage{client, server, x509.ExtKeyUsageCodeSigning}, OK, ""},
		{"no signature", "2301", x509.KeyUsageKeyEncipherment, []x509.ExtKeyUsage{server, client}, Fail, "Digital Signature"},
		{"no encipherment", "2301", x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{server, client}, Fail, "Key Encipherment"},
		{"no key usage", "2301", 0, []x509.ExtKeyUsage{server, client}, Fail, "Digital Signature, Key Encipherment"},
		{"no server", "2301", both, []x509.ExtKeyUsage{client}, Fail, "Server Authentication"},
		{"no client before 2501", "2411", both, []x509.ExtKeyUsage{server}, Fail, "Client Authentication"},
		{"no client from 2501", "2501", both, []x509.ExtKeyUsage{server}, Warning, "2025-08"},
		{"no client, no encipherment from 2501", "2501", x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{server}, Fail, "Client Authentication"},
		{"any usage names neither", "2301", both, []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, Fail, "Server Authentication, Client Authentication"},
		{"no extended usage", "2301", both, nil, Fail, "Server Authentication"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			j := keyUsage.Check(subject(t, row.release, "ACSBlob", func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage = row.ku, row.eku }))
			check(t, j, row.want)
			if !strings.Contains(j.Wanted, row.wanted) {
				t.Errorf("wanted %q, want %q in it", j.Wanted, row.wanted)
			}
		})
	}
}

func TestClientAuthenticationIsTriState(t *testing.T) {
	for _, row := range []struct {
		mode, release string
		want          Result
	}{
		{"auto", "2301", Fail},
		{"auto", "2412", Fail},
		{"auto", "1.2412.99.999", Fail},
		{"auto", "2501", Warning},
		{"auto", "1.2501.0.1", Warning},
		{"auto", "2502", Warning},
		{"require", "2412", Fail},
		{"require", "2501", Fail},
		{"ignore", "2412", OK},
		{"ignore", "2301", OK},
		{"ignore", "2501", OK},
	} {
		t.Run(row.mode+" "+row.release, func(t *testing.T) {
			s := subject(t, row.release, "ACSBlob", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
			p, err := s.run.Policy.WithOverlay([]byte("tighten:\n  key-usage: {client-auth: "+row.mode+"}\n"), "policy.yaml")
			if err != nil {
				t.Fatal(err)
			}
			s.run.Policy = p
			check(t, keyUsage.Check(s), row.want)
		})
	}
}
