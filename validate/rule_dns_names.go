package validate

import (
	"strings"
)

var dnsNames = Rule{
	ID: "dns-names", Name: "DNS Names", Severity: Error, Reads: ReadsCertificates,
	About: "The certificate's alternative names cover the endpoint's name; the common name does not count.",
	Check: func(s *Subject) Judgement {
		if s.Endpoint.ID == "" {
			return skip("the folder "+quote(s.Folder)+" belongs to no endpoint", "move the file into the folder of its endpoint")
		}
		want := foldName(s.Endpoint.Name(s.run.Domain))
		if !ascii(want) {
			return fail(quote(want), "a name in ASCII", "write region and fqdn of the stamp in their xn-- form")
		}
		var extra []string
		covered := false
		for _, san := range s.Leaf.DNSNames {
			if covers(san, want) {
				covered = true
			} else {
				extra = append(extra, san)
			}
		}
		if covered {
			if len(extra) > 0 {
				return pass("also holds " + quoteList(extra))
			}
			return pass("")
		}
		found := "no DNS name"
		if len(s.Leaf.DNSNames) > 0 {
			found = quoteList(s.Leaf.DNSNames)
		}
		return fail(found, quote(want), "request a certificate whose subject alternative names hold "+want)
	},
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
