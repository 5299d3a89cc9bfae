package validate

import (
	"fmt"
)

var planWindow = SetRule{
	ID: "plan-window", Name: "Plan Window", Severity: Caution, Sets: DeploymentSet,
	About: "A plan made now may be carried out on its last day: the certificates then still have the days that the stamp demands.",
	Check: func(s *Set) []Judgement {
		least := s.params("expiry-date").Days("min-days")
		valid := s.run.Policy.RotationFacts().ValidDays
		last := s.run.AsOf.AddDate(0, 0, valid)
		var folders []string
		var first *Subject
		for _, f := range s.Subjects {
			if f.Leaf == nil || s.run.left(f.Leaf) < least || s.run.left(f.Leaf) >= planDays(s.run) {
				continue
			}
			folders = append(folders, f.Folder)
			if first == nil || f.Leaf.NotAfter.Before(first.Leaf.NotAfter) {
				first = f
			}
		}
		if first == nil {
			return one(pass(""))
		}
		return one(warn(fmt.Sprintf("%s left until %s; on %s, the last day of a plan made now, %s", days(s.run.left(first.Leaf)),
			instant(first.Leaf.NotAfter), instant(last), days(first.Leaf.NotAfter.Sub(last))),
			fmt.Sprintf("at least %s on the last day of the plan", days(least)),
			"rotate soon after planning, or request longer-lived certificates").in(folders...))
	},
}
