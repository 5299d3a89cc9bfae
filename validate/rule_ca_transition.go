package validate

import (
	"fmt"

	"github.com/certstamp/certstamp/policies"
)

var caTransition = SetRule{
	ID: "ca-transition", Name: "CA Transition", Severity: Error, Sets: DeploymentSet,
	About: "The release of the stamp lets the new CA follow the installed one, at every endpoint.",
	Check: func(s *Set) []Judgement {
		if len(s.Transitions) == 0 {
			return one(skip("no certificate has a sound chain", "fix Cert Chain first"))
		}
		var order []string
		groups := make(map[string]*Judgement)
		for _, t := range s.Transitions {
			j := judgeTransition(s, t)
			key := string(j.Result) + j.Found
			if groups[key] == nil {
				groups[key] = &j
				order = append(order, key)
			}
			groups[key].Folders = append(groups[key].Folders, t.Folder)
		}
		// The worst endpoint decides for the set; all are shown.
		var out []Judgement
		for _, k := range order {
			out = append(out, *groups[k])
		}
		return out
	},
}

func judgeTransition(s *Set, t TransitionResult) Judgement {
	found := fmt.Sprintf("%s to %s: %s", t.From, t.To, t.Why)
	wanted := fmt.Sprintf("a CA that may follow on release %d", s.run.Version.Release())
	switch t.Result {
	case OK:
		return pass(found)
	case Skipped:
		return Judgement{
			Result: Skipped, Found: found, Wanted: wanted,
			Hint: "let the endpoints be read, or record in installed-ca a certificate that they serve",
		}
	case Warning:
		return warn(found, wanted, "have the change confirmed before the rotation")
	}
	hint := "request the certificates from the CA that issued the installed ones, or from a public CA"
	if t.To == policies.SelfSigned {
		hint = "request the certificates from a CA"
	}
	return fail(found, wanted, hint)
}
