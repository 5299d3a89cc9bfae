package validate

import (
	"fmt"
	"slices"

	"github.com/certstamp/certstamp/policies"
)

// waiversRule comes last: it says what became of each waiver of the stamp's policy file. An ended one fails whether or not
// its rule still does: a permission that nobody renews must not lie there for the next mistake.
var waiversRule = SetRule{
	ID: "waivers", Name: "Waivers", Severity: Error,
	About: "Every waiver of the stamp's policy file is still running.",
	Check: func(s *Set) []Judgement {
		w := waivers{asOf: s.run.AsOf}
		var out []Judgement
		for _, v := range s.run.Policy.Waivers() {
			if !concerns(s.run, v) {
				continue
			}
			what := fmt.Sprintf("%s in %s, %s", v.Rule, orEvery(v.Folder), word(v))
			var j Judgement
			switch {
			case w.ended(v):
				j = fail("ended: "+what, "waivers that still run", "mend what it covered and remove it, or have it granted again with a new end")
			case used(v, s.judged):
				j = pass("in force: " + what)
			default:
				j = pass("nothing to waive, it can be removed: " + what)
			}
			if v.Folder != "" {
				j = j.in(v.Folder)
			}
			out = append(out, j)
		}
		if len(out) == 0 {
			return one(pass("none"))
		}
		return out
	},
}

// concerns reports whether a waiver is this set's to report: it names one of its folders. One for every folder is
// reported with the set that is rotated, once.
func concerns(r *run, v policies.Waiver) bool {
	if v.Folder == "" {
		return r.deployment()
	}
	return slices.ContainsFunc(r.catalogue, func(e policies.Endpoint) bool { return e.Folder == v.Folder })
}

func orEvery(folder string) string {
	if folder == "" {
		return "every folder"
	}
	return quote(folder)
}
