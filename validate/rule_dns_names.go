package validate

import (
	"crypto/x509"
	"strings"
)

var dnsNames = Rule{
	ID: "dns-names", Name: "DNS Names", Severity: Error, Reads: ReadsCertificates,
	About: "The certificate's alternative names cover every name of the endpoint; the common name does not count.",
	Check: func(s *Subject) Judgement {
		if s.Endpoint.ID == "" {
			return skip("the folder "+quote(s.Folder)+" belongs to no endpoint", "move the file into the folder of its endpoint")
		}
		matches := covers
		if s.Endpoint.Exact {
			matches = func(san, want string) bool { return foldName(san) == foldName(want) }
		}
		used := make([]bool, len(s.Leaf.DNSNames))
		var lacking []string
		for _, name := range s.Endpoint.Names(s.run.Domain) {
			if !ascii(name) {
				return fail(quote(foldName(name)), "a name in ASCII", "write region and fqdn of the stamp in their xn-- form")
			}
			covered := false
			for i, san := range s.Leaf.DNSNames {
				if matches(san, name) {
					covered, used[i] = true, true
				}
			}
			if !covered {
				lacking = append(lacking, foldName(name))
			}
		}
		if len(lacking) == 0 {
			return pass(moreNames(s.Leaf, used))
		}
		wanted := quoteList(lacking)
		if s.Endpoint.Exact {
			wanted += ", for which no wildcard may stand in"
		}
		return fail(quoteOr(s.Leaf.DNSNames, "no DNS name"), wanted,
			"request a certificate whose subject alternative names hold "+strings.Join(lacking, " and "))
	},
}

// moreNames tells what else the certificate is good for. Documents advise the endpoint's names only, and demand nothing.
func moreNames(leaf *x509.Certificate, used []bool) string {
	var more []string
	for i, san := range leaf.DNSNames {
		if !used[i] {
			more = append(more, san)
		}
	}
	for _, ip := range leaf.IPAddresses {
		more = append(more, ip.String())
	}
	more = append(more, leaf.EmailAddresses...)
	for _, u := range leaf.URIs {
		more = append(more, u.String())
	}
	if len(more) == 0 {
		return ""
	}
	return "also holds " + quoteList(more)
}

// covers decides whether a subject alternative name satisfies a required name. A required host may be covered by a
// wildcard for exactly its left-most label; a required wildcard only by itself: *.east.example does not stand in for
// *.blob.east.example.
func covers(san, want string) bool {
	san, want = foldName(san), foldName(want)
	if san == want {
		return san != ""
	}
	if strings.HasPrefix(want, "*.") {
		return false
	}
	label, parent, ok := strings.Cut(want, ".")
	return ok && label != "" && san == "*."+parent
}

// foldName lower-cases ASCII and drops one trailing dot. Other letters are left alone: names on the wire are ASCII, and
// Unicode folding would make strangers equal.
func foldName(s string) string {
	s = strings.TrimSuffix(s, ".")
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}
