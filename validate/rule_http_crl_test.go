package validate

import "testing"

func TestHTTPCRL(t *testing.T) {
	for _, row := range []struct {
		claim  string
		points []string
		want   Result
	}{
		{"http", []string{"http://crl.contoso.com/a.crl"}, OK},
		{"ldap, then http in capitals", []string{"ldap:///CN=x", "HTTP://crl.contoso.com/a.crl"}, OK},
		{"https", []string{"https://crl.contoso.com/a.crl"}, Warning},
		{"ldap", []string{"ldap://dc.contoso.com/CN=x"}, Warning},
		{"no host", []string{"http:///a.crl"}, Warning},
		{"no URL", []string{"::\n"}, Warning},
		{"none", nil, Warning},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			leaf := *s.Leaf
			leaf.CRLDistributionPoints = row.points
			s.Leaf, s.Chain[0] = &leaf, &leaf
			check(t, httpCRL.Check(s), row.want)
		})
	}
	t.Run("an intermediate without", func(t *testing.T) {
		s := subject(t, "2301", "ACSBlob", nil)
		ca := *s.Chain[1]
		ca.CRLDistributionPoints = nil
		s.Chain[1] = &ca
		check(t, httpCRL.Check(s), Warning, "Contoso Issuing")
	})
}
