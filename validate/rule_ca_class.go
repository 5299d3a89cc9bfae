package validate

import (
	"fmt"
	"strings"

	"github.com/certstamp/certstamp/policies"
)

var caClass = SetRule{
	ID: "ca-class", Name: "CA Class", Severity: Caution,
	About: "It is certain what kind of CA issued each certificate: enterprise, or public in the Microsoft Trusted Root Program.",
	Check: func(s *Set) []Judgement {
		keys, folders, first := groupBy(s, func(f *Subject) string {
			var rest []string // all but the leaf
			for _, c := range f.Class.Path[min(1, len(f.Class.Path)):] {
				rest = append(rest, hexSHA256(c.Raw))
			}
			return fmt.Sprintf("%s %s %s", f.Class.Class, f.Class.Doubt, strings.Join(rest, " "))
		})
		if len(keys) == 0 {
			return one(skip("no certificate has a sound chain", "fix Cert Chain first"))
		}
		var out []Judgement
		for _, k := range keys {
			out = append(out, judgeClass(s, first[k]).in(folders[k]...))
		}
		return out
	},
}

func judgeClass(s *Set, f *Subject) Judgement {
	c := f.Class
	found := fmt.Sprintf("%s: %s", c.Class, c.Evidence)
	if c.Doubt == "" {
		return pass(found)
	}
	if c.Class == policies.Enterprise && c.Doubt == onlyFile && rootOfCore(s.run, f) {
		return pass(found + "; the stamp's own certificates have the same root")
	}
	if c.Class == policies.Enterprise && c.Doubt == onlyFile && servedNow(s, f) {
		return pass(found + "; the stamp serves certificates of this root today")
	}
	const wanted = "an enterprise root the operator names, or a root of the Microsoft Trusted Root Program"
	switch c.Class {
	case policies.Public:
		return warn(found+"; "+c.Doubt, wanted, "check with the CA that the stamp may take it for a public one, or set public-roots to Microsoft's current authroot.stl")
	case policies.Enterprise:
		return warn(found+"; "+c.Doubt, wanted, "put the enterprise root into the file that enterprise-roots names, so that a stranger's root does not pass for it")
	case policies.SelfSigned:
		return warn(found+"; "+c.Doubt, wanted, "request the certificate from a CA")
	default:
		return warn(found+"; "+c.Doubt+"; treated as an enterprise CA", wanted, "add the missing CA certificates")
	}
}

// servedNow reports whether an endpoint of the stamp serves a certificate under the same root key.
func servedNow(s *Set, f *Subject) bool {
	for _, t := range s.Transitions {
		if t.Endpoint == f.Endpoint.ID && t.SameCA {
			return true
		}
	}
	return false
}
