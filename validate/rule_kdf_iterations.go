package validate

import (
	"fmt"
	"slices"
	"strings"
)

var kdfIterations = Rule{
	ID: "kdf-iterations", Name: "KDF Iterations", Severity: Caution, Reads: ReadsFile,
	About: "The password of the file is stretched no more often than what Windows imports everywhere.",
	Check: func(s *Subject) Judgement {
		if s.Bundle == nil && len(s.Facts.Keys) == 0 {
			return skip("the keys lie inside an encrypted safe", "judge the file with its password")
		}
		most := s.params("kdf-iterations").Int("max")
		var all, over []string
		add := func(what string, n int) {
			if n == 0 {
				return // not encrypted
			}
			text := fmt.Sprintf("%s %d", what, n)
			all = append(all, text)
			if n > most {
				over = append(over, text)
			}
		}
		add("MAC", s.Facts.MAC.Iterations)
		for _, safe := range s.Facts.Safes {
			add("certificates", safe.Cipher.Iterations)
		}
		for _, k := range s.Facts.Keys {
			add("key", k.Cipher.Iterations)
		}
		if len(over) == 0 {
			return pass(strings.Join(slices.Compact(all), ", "))
		}
		return warn(strings.Join(over, ", "), fmt.Sprintf("at most %d iterations", most),
			"run certstamp pack --repair, which writes what Windows writes: the export's own count may be refused as an attack")
	},
}
