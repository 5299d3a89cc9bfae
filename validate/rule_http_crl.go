package validate

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
)

// httpCRL warns of certificates that name no http CRL, as the ReadinessChecker does. One that is named and not good blocks.
var httpCRL = Rule{
	ID: "http-crl", Name: "HTTP CRL", Severity: Caution, Reads: ReadsCertificates,
	About: "The certificate and its intermediates say where an http CRL is and, when it was asked for, that CRL is current and does not name them.",
	Check: func(s *Subject) Judgement {
		var lacking, faults, doubts, good []string
		for i, c := range s.Chain {
			if i > 0 && s.root(i) {
				continue
			}
			if len(httpPoints(c)) == 0 {
				lacking = append(lacking, c.Subject.String())
				continue
			}
			if s.run.CRL == nil {
				continue
			}
			found, known := s.run.CRL[hexSHA256(c.Raw)]
			switch text := crlSentence(c, found); {
			case !known:
				doubts = append(doubts, quote(c.Subject.String())+": its CRL was not asked for")
			case found.State == CRLGood:
				good = append(good, text)
			case found.State == CRLUnsupported:
				doubts = append(doubts, text)
			default:
				faults = append(faults, text)
			}
		}
		return judgeCRL(s, lacking, faults, doubts, good)
	},
}

// fromHere keeps anybody from reading more into a fetch than it shows.
const fromHere = " (seen from this runner, not from the stamp)"

func judgeCRL(s *Subject, lacking, faults, doubts, good []string) Judgement {
	none := "no http CRL distribution point in " + quoteList(lacking)
	if len(faults) > 0 {
		found := strings.Join(faults, "; ") + fromHere
		if len(lacking) > 0 {
			found += "; " + none
		}
		return fail(found, "a current CRL of the issuer over http that does not name the certificate",
			"have the CA publish a current CRL at that address, and replace what is revoked; the stamp has to reach it too")
	}
	if len(lacking) > 0 {
		return warn(none, "a CRL distribution point with an http:// URL",
			"have the CA publish its CRL over http and issue with that address")
	}
	if len(doubts) > 0 {
		return warn(strings.Join(append(doubts, good...), "; ")+fromHere, "a complete CRL of the issuer", "ask the CA for a complete CRL at an http address")
	}
	if s.run.CRL != nil {
		return pass(strings.Join(good, "; ") + fromHere)
	}
	return pass(quoteList(httpPoints(s.Leaf)) + " (not fetched)")
}

func crlSentence(c *x509.Certificate, r CRL) string {
	text := fmt.Sprintf("%s: %s, %s", quote(c.Subject.String()), r.State, quote(r.URL))
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	return text
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

// CRLQuestion is a certificate whose CRL can be fetched, with the CA that has to have signed it.
type CRLQuestion struct {
	Certificate *x509.Certificate
	Issuer      *x509.Certificate // nil: not seen
	URLs        []string          // http, in the order of the certificate
}

// CRLQuestions are what there is to ask about the files of an outcome, each certificate once.
func (o Outcome) CRLQuestions() []CRLQuestion {
	var out []CRLQuestion
	seen := make(map[string]bool)
	for i := range o.Subjects {
		s := &o.Subjects[i]
		for n, c := range s.Chain {
			sum := hexSHA256(c.Raw)
			points := httpPoints(c)
			if n > 0 && s.root(n) || len(points) == 0 || seen[sum] {
				continue
			}
			seen[sum] = true
			out = append(out, CRLQuestion{Certificate: c, Issuer: s.issuerAt(n), URLs: points})
		}
	}
	return out
}

// issuerAt is what issued place n of the chain: the next place, or what the anchors know above the file's last one.
func (s *Subject) issuerAt(n int) *x509.Certificate {
	if n+1 < len(s.Chain) {
		return s.Chain[n+1]
	}
	for i, c := range s.Class.Path {
		if c.Equal(s.Chain[n]) && i+1 < len(s.Class.Path) {
			return s.Class.Path[i+1]
		}
	}
	return nil
}
