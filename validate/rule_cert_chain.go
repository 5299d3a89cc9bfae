package validate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"time"
)

var certChain = Rule{
	ID: "cert-chain", Name: "Cert Chain", Severity: Error, Reads: ReadsCertificates,
	About: "The file holds the whole chain from the certificate to a self-signed root, and the certificate is not its own issuer.",
	Check: func(s *Subject) Judgement {
		const wanted = "the certificate, its intermediates and their root"
		if selfIssued(s.Leaf) {
			return fail("the certificate is self-signed", "a certificate of an enterprise or public CA", "request it from a CA")
		}
		top := s.Chain[len(s.Chain)-1]
		if !s.rooted {
			return fail("the issuer "+quote(top.Issuer.String())+" of "+quote(top.Subject.String())+" is missing", wanted,
				"export again with all certificates of the path, or run certstamp pack --repair with the CA's certificates")
		}
		if found := badIssuer(s.Chain, s.asOf()); found != "" {
			return fail(found, "issuers that are valid CAs", "ask the CA for its current certificates and export again with them")
		}
		return pass("")
	},
}

// badIssuer names what makes an issuer unfit, or is empty.
func badIssuer(chain []*x509.Certificate, asOf time.Time) string {
	for i, c := range chain[1:] {
		switch name := quote(c.Subject.String()); {
		case !c.BasicConstraintsValid || !c.IsCA:
			return name + " issued a certificate but is no CA"
		case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
			return name + " may not sign certificates"
		case c.NotAfter.Before(asOf):
			return name + " expired " + instant(c.NotAfter)
		case c.NotBefore.After(asOf):
			return name + " is not valid before " + instant(c.NotBefore)
		case (c.MaxPathLen > 0 || c.MaxPathLenZero) && i > c.MaxPathLen:
			return name + " allows fewer CAs below it"
		}
	}
	return beyondConstraints(chain, asOf)
}

// beyondConstraints asks crypto/x509 whether a CA above may issue these names at all. Its other errors are judged
// elsewhere: it refuses SHA-1 signatures, which is Signature Algorithm's business, and the leaf's time is Expiry Date's.
func beyondConstraints(chain []*x509.Certificate, asOf time.Time) string {
	if !slices.ContainsFunc(chain, limits) {
		return "" // the usual case, and the question would verify every signature once more
	}
	leaf := chain[0]
	if leaf.NotAfter.Before(asOf) {
		asOf = leaf.NotAfter
	}
	if leaf.NotBefore.After(asOf) {
		asOf = leaf.NotBefore
	}
	o := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: asOf,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	o.Roots.AddCert(chain[len(chain)-1])
	for _, c := range chain[1 : len(chain)-1] {
		o.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(o)
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason != x509.Expired {
		return quote(invalid.Error())
	}
	return ""
}

// limits reports whether a certificate says for what names or under which policies those below it hold.
func limits(c *x509.Certificate) bool {
	nameConstraints, policyConstraints := asn1.ObjectIdentifier{2, 5, 29, 30}, asn1.ObjectIdentifier{2, 5, 29, 36}
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(nameConstraints) || e.Id.Equal(policyConstraints)
	})
}
