package validate

import (
	"crypto/x509"
	"strings"
)

var signatureAlgorithm = Rule{
	ID: "signature-algorithm", Name: "Signature Algorithm", Severity: Error, Reads: ReadsCertificates,
	About: "Leaf and intermediates are signed with SHA-256 or better; a root's own signature proves nothing and is exempt.",
	Check: func(s *Subject) Judgement {
		var weak []string
		for i, c := range s.Chain {
			if i > 0 && s.root(i) {
				continue
			}
			if name, bad := weakSignature(c); bad {
				weak = append(weak, quote(c.Subject.String())+" is signed with "+name)
			}
		}
		if len(weak) == 0 {
			return pass("")
		}
		return fail(strings.Join(weak, "; "), "SHA-256, SHA-384 or SHA-512",
			"ask the CA for a certificate signed with SHA-256, under CAs signed likewise")
	},
}

// weakSignature names algorithms that end in SHA-1 or worse, and those nobody knows.
func weakSignature(c *x509.Certificate) (string, bool) {
	switch c.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
		return "", false
	case x509.UnknownSignatureAlgorithm:
		return "an unknown algorithm", true
	default:
		return c.SignatureAlgorithm.String(), true
	}
}
