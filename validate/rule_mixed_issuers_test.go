package validate

import (
	"slices"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestMixedIssuers(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	fromOther(find(items, spoilt))
	fill(t, &in, items)
	for _, f := range testRun(t, in).Report.Set {
		if f.ID == "mixed-issuers" && (f.Result != Warning || len(f.Folders) != 11 || !slices.Contains(f.Folders, spoilt)) {
			t.Errorf("%+v", f)
		}
	}
	check(t, mixedIssuers.Check(&Set{})[0], Skipped)
}
