package validate

import (
	"fmt"
	"strings"
)

var mixedIssuers = SetRule{
	ID: "mixed-issuers", Name: "Mixed Issuers", Severity: Caution,
	About: "All certificates of the set come from one root.",
	Check: func(s *Set) []Judgement {
		roots, folders, _ := groupBy(s, func(f *Subject) string {
			top := f.Chain[len(f.Chain)-1]
			return hexSHA256(top.RawSubjectPublicKeyInfo)
		})
		switch len(roots) {
		case 0:
			return one(skip("no certificate has a sound chain", "fix Cert Chain first"))
		case 1:
			return one(pass(""))
		}
		var parts []string
		var all []string
		for _, r := range roots {
			parts = append(parts, fmt.Sprintf("root key sha256:%s in %s", r[:16], quoteList(folders[r])))
			all = append(all, folders[r]...)
		}
		return one(warn(strings.Join(parts, "; "), "one root for the whole set",
			"no document speaks of mixed sets: request all certificates from one CA, or make sure this is meant").in(all...))
	},
}

// groupBy groups the subjects whose chain is sound, in the order of the set.
func groupBy(s *Set, key func(*Subject) string) (keys []string, folders map[string][]string, first map[string]*Subject) {
	folders, first = make(map[string][]string), make(map[string]*Subject)
	for i, f := range s.Subjects {
		if !s.chained(i) {
			continue
		}
		k := key(f)
		if first[k] == nil {
			keys = append(keys, k)
			first[k] = f
		}
		folders[k] = append(folders[k], f.Folder)
	}
	return keys, folders, first
}
