package validate

import (
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestCATransition(t *testing.T) {
	set := func(results ...Result) *Set {
		in, _ := goodSet(t, "1902", policies.AAD)
		s := &Set{run: &run{Input: in}}
		for i, r := range results {
			s.Transitions = append(s.Transitions, TransitionResult{
				Endpoint: string(rune('a' + i)), Folder: string(rune('A' + i)), From: policies.Enterprise, To: policies.Enterprise, Result: r, Why: string(r),
			})
		}
		return s
	}
	if got := caTransition.Check(set(OK, Fail, OK, Warning, Skipped)); len(got) != 4 ||
		got[0].Result != OK || len(got[0].Folders) != 2 || got[1].Result != Fail || got[1].Folders[0] != "B" || got[1].Hint == "" || got[3].Hint == "" {
		t.Errorf("%+v", got)
	}
	check(t, caTransition.Check(set())[0], Skipped)
	for _, r := range []Result{OK, Warning, Fail} {
		check(t, caTransition.Check(set(r))[0], r, "enterprise to enterprise")
	}
}
