package validate

import (
	"fmt"
	"time"

	"github.com/certstamp/certstamp/policies"
)

// The rule says nothing of a stamp without a container registry. That its password is the others' is Same Password's
// business.
var acrAlignment = SetRule{
	ID: "acr-alignment", Name: "ACR Alignment", Severity: Caution,
	About: "The container registry's certificate ends at about the time of the others, so that one rotation renews them all.",
	Check: func(s *Set) []Judgement {
		var registry *Subject
		var others []*Subject
		for _, f := range s.Subjects {
			switch {
			case f.Leaf == nil:
			case f.Endpoint.ID == "container-registry" || f.Endpoint.Type == policies.AzureContainerRegistry:
				registry = f
			default:
				others = append(others, f)
			}
		}
		for i, c := range s.run.Core {
			if c.Leaf != nil {
				others = append(others, &s.run.Core[i])
			}
		}
		if registry == nil {
			return nil
		}
		if len(others) == 0 {
			return one(skip("no other certificate was seen", "judge the stamp's own certificates too"))
		}
		apart := s.params("acr-alignment").Days("max-days-apart")
		first, last := others[0].Leaf.NotAfter, others[0].Leaf.NotAfter
		for _, f := range others {
			if f.Leaf.NotAfter.Before(first) {
				first = f.Leaf.NotAfter
			}
			if f.Leaf.NotAfter.After(last) {
				last = f.Leaf.NotAfter
			}
		}
		if end := registry.Leaf.NotAfter; end.Before(first.Add(-apart)) || end.After(last.Add(apart)) {
			return one(warn(fmt.Sprintf("it ends %s, the others from %s to %s", instant(end), first.UTC().Format(time.DateOnly), last.UTC().Format(time.DateOnly)),
				fmt.Sprintf("an end within %s of the others", days(apart)), "request it together with the others").in(registry.Folder))
		}
		return one(pass(""))
	},
}
