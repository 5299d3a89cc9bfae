package validate

import (
	"testing"
	"time"

	"github.com/certstamp/certstamp/policies"
)

// TestACRAlignment walks the allowed distance on both sides of the others.
func TestACRAlignment(t *testing.T) {
	const day = 24 * time.Hour
	for _, row := range []struct {
		claim  string
		offset time.Duration // against the earliest of the others, which end within ten days
		want   Result
	}{
		{"with the others", 0, OK},
		{"30 days before", -30 * day, OK},
		{"a second more", -30*day - time.Second, Warning},
		{"30 days after the last", 40 * day, OK},
		{"a second more after the last", 40*day + time.Second, Warning},
	} {
		t.Run(row.claim, func(t *testing.T) {
			in, _ := goodSet(t, "2301", policies.AAD)
			in.Optional = []string{"container-registry"}
			r := newRun(in)
			var items []*item
			for i, e := range r.required {
				it := newItem(e, i)
				if e.ID == "container-registry" {
					it.template.NotAfter = it.template.NotAfter.Add(row.offset)
				} else if e.Folder == spoilt {
					it.template.NotAfter = it.template.NotAfter.Add(10 * day)
				}
				items = append(items, it)
			}
			fill(t, &in, items)
			if got := said(testRun(t, in).Report)["set: acr-alignment"]; got != row.want && (row.want != OK || got != "") {
				t.Errorf("%q, want %s", got, row.want)
			}
		})
	}
	in, items := goodSetOf(t, policies.AzureContainerRegistry, "2301", policies.AAD)
	fill(t, &in, items)
	in.Core = nil
	if got := said(testRun(t, in).Report)["set: acr-alignment"]; got != Skipped {
		t.Errorf("nothing to compare with: %q, want Skipped", got)
	}
	in, items = goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	for _, f := range testRun(t, in).Report.Set {
		if f.ID == "acr-alignment" {
			t.Errorf("a stamp without a registry: %+v", f)
		}
	}
}
