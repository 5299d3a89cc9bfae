package validate

import (
	"crypto/x509"
	"testing"
)

func TestSubjectInSAN(t *testing.T) {
	for _, row := range []struct {
		claim, cn string
		names     []string
		want      Result
	}{
		{"among them", "a.contoso.com", []string{"b.contoso.com", "a.contoso.com"}, OK},
		{"in another case", "A.contoso.com", []string{"a.contoso.com"}, OK},
		{"no common name", "", []string{"a.contoso.com"}, OK},
		{"a wildcard does not count", "a.contoso.com", []string{"*.contoso.com"}, Warning},
		{"not among them", "Contoso", []string{"a.contoso.com"}, Warning},
		{"no names", "a.contoso.com", nil, Warning},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = row.cn, row.names })
			check(t, subjectInSAN.Check(s), row.want)
		})
	}
}
