package validate

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/certstamp/certstamp/internal/amount"
)

var passwordPolicy = SetRule{
	ID: "password-policy", Name: "Password Policy", Severity: Error, Sets: DeploymentSet,
	About: "The password of the set is long, mixed, and free of characters that break the rotation.",
	Check: func(s *Set) []Judgement {
		if s.run.NoPassword {
			return one(skip("no password was given", "judge the set with its password"))
		}
		p := s.params("password-policy")
		least, kinds, forbidden := p.Int("min-length"), p.Int("min-kinds"), p.Strings("forbidden")
		var faults []string
		if utf8.RuneCountInString(s.run.Password) < least {
			faults = append(faults, fmt.Sprintf("shorter than %d characters", least))
		}
		if n := kindsOf(s.run.Password); n < kinds {
			faults = append(faults, amount.Of(n, "kind")+" of characters")
		}
		// Which one it holds stays unsaid: a log is no place for pieces of a password.
		if strings.ContainsAny(s.run.Password, strings.Join(forbidden, "")) {
			faults = append(faults, "a character that breaks the rotation")
		}
		if len(faults) == 0 {
			return one(pass(""))
		}
		return one(fail(strings.Join(faults, ", "),
			fmt.Sprintf("%d characters or more of %d kinds (upper, lower, digit, special, other letters) and none of %s", least, kinds, strings.Join(forbidden, " ")),
			"take 16 or more random upper-case letters, lower-case letters and digits, and pack the set again"))
	},
}

// kindsOf counts the kinds of Windows' complexity rule: upper, lower, digit, special, and letters without case.
func kindsOf(password string) int {
	kinds := make(map[string]bool)
	for _, r := range password {
		switch {
		case unicode.IsUpper(r):
			kinds["upper"] = true
		case unicode.IsLower(r):
			kinds["lower"] = true
		case '0' <= r && r <= '9':
			kinds["digit"] = true
		case unicode.IsLetter(r):
			kinds["other"] = true
		default:
			kinds["special"] = true
		}
	}
	return len(kinds)
}
