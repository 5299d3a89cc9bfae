package validate

import (
	"errors"

	"github.com/certstamp/certstamp/pfx"
)

var samePassword = SetRule{
	ID: "same-password", Name: "Same Password", Severity: Error, Sets: DeploymentSet,
	About: "One password opens every file of the set.",
	Check: func(s *Set) []Judgement {
		if s.run.NoPassword {
			return one(skip("no password was given", "judge the set with its password"))
		}
		var open, closed []string
		for _, f := range s.Subjects {
			switch {
			case f.Bundle != nil:
				open = append(open, f.Folder)
			case errors.Is(f.openErr, pfx.ErrPassword):
				closed = append(closed, f.Folder)
			}
		}
		switch {
		case len(closed) == 0 && len(open) == 0:
			return one(skip("no file was opened", "fix Parse PFX first"))
		case len(closed) == 0:
			return one(pass(""))
		case len(open) == 0:
			return one(fail("the password opens no file", "the password of the set", "check the pfx-password of the stamp").in(closed...))
		}
		return one(fail("the password does not open "+quoteList(closed), "one password for all files of one operation",
			"pack these files again with the password of the others").in(closed...))
	},
}
