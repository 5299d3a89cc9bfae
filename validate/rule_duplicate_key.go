package validate

import "slices"

var duplicateKey = SetRule{
	ID: "duplicate-key", Name: "Duplicate Key", Severity: Caution,
	About: "Every endpoint has a certificate and a key of its own.",
	Check: func(s *Set) []Judgement {
		var keys []string
		folders := make(map[string][]string)
		leaves := make(map[string]map[string]bool)
		for _, f := range s.Subjects {
			if f.Leaf == nil {
				continue
			}
			k := f.SPKISHA256()
			if folders[k] == nil {
				keys = append(keys, k)
				leaves[k] = make(map[string]bool)
			}
			if !slices.Contains(folders[k], f.Folder) {
				folders[k] = append(folders[k], f.Folder)
			}
			leaves[k][f.LeafSHA256()] = true
		}
		if len(keys) == 0 {
			return one(skip("no certificate was seen", "fix Parse PFX first"))
		}
		leaf, _ := sharedByAll(s)
		shared := leaf != "" // One For All says it
		var out []Judgement
		for _, k := range keys {
			if len(folders[k]) < 2 || shared && s.run.deployment() {
				continue
			}
			found := "one key in the certificates of " + quoteList(folders[k])
			if len(leaves[k]) == 1 {
				found = "one certificate in " + quoteList(folders[k])
			}
			out = append(out, warn(found, "a certificate and a key for each endpoint",
				"outside of test stamps, request one certificate per endpoint, each with a new key").in(folders[k]...))
		}
		if len(out) == 0 {
			return one(pass(""))
		}
		return out
	},
}
