package validate

import (
	"crypto/x509"
	"testing"
)

func TestSignatureAlgorithm(t *testing.T) {
	for _, row := range []struct {
		claim string
		place int // in the chain: 0 leaf, 1 issuing, 2 root
		alg   x509.SignatureAlgorithm
		want  Result
	}{
		{"SHA-256", 0, x509.SHA256WithRSA, OK},
		{"SHA-512 with PSS", 0, x509.SHA512WithRSAPSS, OK},
		{"SHA-1 leaf", 0, x509.SHA1WithRSA, Fail},
		{"MD5 leaf", 0, x509.MD5WithRSA, Fail},
		{"ECDSA with SHA-1", 0, x509.ECDSAWithSHA1, Fail},
		{"unknown", 0, x509.UnknownSignatureAlgorithm, Fail},
		{"SHA-1 issuing CA", 1, x509.SHA1WithRSA, Fail},
		{"SHA-1 root signs itself", 2, x509.SHA1WithRSA, OK},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			if row.place == 2 {
				root := *cas().root
				template := *root.cert
				template.SignatureAlgorithm = row.alg
				s.Chain[2] = issue(&template, &template, root.key.Public(), root.key)
			} else {
				c := *s.Chain[row.place]
				c.SignatureAlgorithm = row.alg
				s.Chain[row.place] = &c
			}
			check(t, signatureAlgorithm.Check(s), row.want)
		})
	}
}
