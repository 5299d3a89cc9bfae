package validate

import (
	"crypto/x509"
	"net/url"
	"strings"
)

var httpCRL = Rule{
	ID: "http-crl", Name: "HTTP CRL", Severity: Caution, Reads: ReadsCertificates,
	About: "The certificate and its intermediates say where an http CRL is; whether the stamp can fetch it is not asked here.",
	Check: func(s *Subject) Judgement {
		var lacking []string
		for i, c := range s.Chain {
			if i > 0 && s.root(i) {
				continue
			}
			if len(httpPoints(c)) == 0 {
				lacking = append(lacking, c.Subject.String())
			}
		}
		if len(lacking) > 0 {
			return warn("no http CRL distribution point in "+quoteList(lacking), "a CRL distribution point with an http:// URL",
				"have the CA publish its CRL over http and issue with that address")
		}
		return pass(quoteList(httpPoints(s.Leaf)) + " (not fetched)")
	},
}

// httpPoints returns the distribution points that are http URLs with a host. ldap and https are of no use to the stamp.
func httpPoints(c *x509.Certificate) []string {
	var out []string
	for _, p := range c.CRLDistributionPoints {
		if u, err := url.Parse(p); err == nil && strings.EqualFold(u.Scheme, "http") && u.Hostname() != "" {
			out = append(out, p)
		}
	}
	return out
}
