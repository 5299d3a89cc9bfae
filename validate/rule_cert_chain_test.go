package validate

import (
	"crypto/x509"
	"math/big"
	"testing"
	"time"
)

func TestCertChain(t *testing.T) {
	// remake issues the issuing CA again with something changed, under the same key: leaves stay valid.
	remake := func(change func(*x509.Certificate)) func(*Subject) {
		return func(s *Subject) {
			template := *cas().issuing.cert
			template.SerialNumber = big.NewInt(99)
			change(&template)
			c := issue(&template, cas().root.cert, cas().issuing.key.Public(), cas().root.key)
			s.take([]*x509.Certificate{s.Leaf, c, cas().root.cert}, s.Leaf)
		}
	}
	for _, row := range []struct {
		claim string
		spoil func(*Subject)
		want  Result
		found string
	}{
		{"leaf, issuing, root", func(*Subject) {}, OK, ""},
		{"no root", func(s *Subject) { s.take(s.Certificates[:2], s.Leaf) }, Fail, "Contoso Root"},
		{"no intermediate", func(s *Subject) {
			s.take([]*x509.Certificate{s.Leaf, cas().root.cert}, s.Leaf)
		}, Fail, "Contoso Issuing"},
		{"leaf alone", func(s *Subject) { s.take(s.Certificates[:1], s.Leaf) }, Fail, "Contoso Issuing"},
		{"an issuer of the right name with another key", func(s *Subject) {
			s.take([]*x509.Certificate{s.Leaf, cas().renewd.cert, cas().renewedRoot.cert}, s.Leaf)
		}, Fail, "missing"},
		{"expired issuer", remake(func(c *x509.Certificate) { c.NotAfter = asOf.Add(-time.Second) }), Fail, "expired"},
		{"issuer that expires now", remake(func(c *x509.Certificate) { c.NotAfter = asOf }), OK, ""},
		{"issuer of tomorrow", remake(func(c *x509.Certificate) { c.NotBefore = asOf.Add(time.Second) }), Fail, "not valid before"},
		{"issuer that is no CA", remake(func(c *x509.Certificate) { c.IsCA = false }), Fail, ""},
		{"issuer that may not sign", remake(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), Fail, ""},
		{"issuer held to other names", remake(func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"fabrikam.com"}
		}), Fail, "contoso"},
		{"SHA-1 is not this rule's business", func(s *Subject) {
			it := newItem(s.Endpoint, 1)
			it.template.SignatureAlgorithm = x509.SHA1WithRSA
			s.take([]*x509.Certificate{it.certificate(), cas().issuing.cert, cas().root.cert}, it.leaf)
		}, OK, ""},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			row.spoil(s)
			check(t, certChain.Check(s), row.want, row.found)
		})
	}
}

func TestPathLength(t *testing.T) {
	for _, row := range []struct {
		claim string
		most  int
		want  Result
	}{{"one CA below, none allowed", 0, Fail}, {"one CA below, one allowed", 1, OK}} {
		t.Run(row.claim, func(t *testing.T) {
			template := *cas().root.cert
			template.MaxPathLen, template.MaxPathLenZero = row.most, row.most == 0
			root := issue(&template, &template, cas().root.key.Public(), cas().root.key)
			s := subject(t, "2301", "ACSBlob", nil)
			s.take([]*x509.Certificate{s.Leaf, cas().issuing.cert, root}, s.Leaf)
			check(t, certChain.Check(s), row.want)
		})
	}
}
