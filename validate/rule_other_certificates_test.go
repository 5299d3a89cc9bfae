package validate

import (
	"crypto/x509"
	"testing"
)

func TestOtherCertificates(t *testing.T) {
	leaf := subject(t, "2301", "ACSBlob", nil).Leaf
	for _, row := range []struct {
		claim string
		more  []*x509.Certificate
		want  Result
		found string
	}{
		{"none", nil, OK, ""},
		{"a stranger", []*x509.Certificate{cas().otherRoot.cert}, Fail, "Fabrikam Root"},
		{"a second copy of the root", []*x509.Certificate{cas().root.cert}, Fail, "Contoso Root"},
		{"a second copy of the certificate", []*x509.Certificate{leaf}, Fail, "*.blob"},
		{"another CA of the same root", []*x509.Certificate{cas().sibling.cert}, Fail, "Contoso Issuing Two"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			s.take(append([]*x509.Certificate{leaf, cas().issuing.cert, cas().root.cert}, row.more...), leaf)
			check(t, otherCertificates.Check(s), row.want, row.found)
		})
	}
}
