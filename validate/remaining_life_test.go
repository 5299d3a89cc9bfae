package validate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
)

// TestRemainingLife walks the boundaries from both sides: at every number of days left exactly one rule speaks.
func TestRemainingLife(t *testing.T) {
	const day = 24 * time.Hour
	for _, row := range []struct {
		claim, release string
		left, life     time.Duration
		want           string
		result         Result
	}{
		{"a second too few for the stamp", "2301", 7*day - time.Second, 365 * day, "ACSBlob: expiry-date", Fail},
		{"seven days", "2301", 7 * day, 365 * day, "set: plan-window", Warning},
		{"a second too few for a plan", "2301", 14*day - time.Second, 365 * day, "set: plan-window", Warning},
		{"fourteen days", "2301", 14 * day, 365 * day, "set: stamp-alerts", Warning},
		{"fourteen days of a short life", "2301", 14 * day, 90 * day, "set: stamp-alerts", Warning},
		{"a second too few for the critical alert", "2301", 30*day - time.Second, 199 * day, "set: stamp-alerts", Warning},
		{"thirty days of a short life", "2301", 30 * day, 199 * day, "", OK},
		{"thirty days of a long one", "2301", 30 * day, 200 * day, "set: stamp-alerts", Warning},
		{"a second too few for the early alert", "2301", 90*day - time.Second, 200 * day, "set: stamp-alerts", Warning},
		{"the same, a second shorter in all", "2301", 90*day - time.Second, 200*day - time.Second, "", OK},
		{"ninety days", "2301", 90 * day, 365 * day, "", OK},
		{"before the early alert existed", "1910", 60 * day, 365 * day, "", OK},
		{"from 2002 on it exists", "2002", 60 * day, 365 * day, "set: stamp-alerts", Warning},
	} {
		t.Run(row.claim, func(t *testing.T) {
			in, items := goodSet(t, row.release, policies.AAD)
			c := find(items, spoilt).template
			c.NotAfter = asOf.Add(row.left)
			c.NotBefore = c.NotAfter.Add(-row.life)
			fill(t, &in, items)
			want := map[string]Result{}
			if row.result != OK {
				want[row.want] = row.result
			}
			if diff := cmp.Diff(want, said(testRun(t, in).Report)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAlertDates: of certificates that never had 90 days to spare, the day on which the stamp speaks is information.
func TestAlertDates(t *testing.T) {
	for release, want := range map[string]string{
		"2301": `"ACSBlob" ends first, 2027-01-22T08:00:00Z: the stamp alerts with warning from 2026-10-24, critical from 2026-12-23`,
		"1910": `"ACSBlob" ends first, 2027-01-22T08:00:00Z: the stamp alerts with critical from 2026-12-23`,
	} {
		in, items := goodSet(t, release, policies.AAD)
		c := find(items, spoilt).template
		c.NotBefore, c.NotAfter = asOf.AddDate(0, 0, -100), asOf.AddDate(0, 0, 60)
		fill(t, &in, items)
		for _, f := range testRun(t, in).Report.Set {
			if f.ID == "stamp-alerts" && (f.Result != OK || f.Found != want) {
				t.Errorf("%s: %s %q, want %q", release, f.Result, f.Found, want)
			}
		}
	}
}

// TestPlanWindowSaysTheLastDay: what is left on the day that counts, not today.
func TestPlanWindowSaysTheLastDay(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	find(items, spoilt).template.NotAfter = asOf.AddDate(0, 0, 10)
	find(items, "ACSTable").template.NotAfter = asOf.AddDate(0, 0, 12)
	fill(t, &in, items)
	for _, f := range testRun(t, in).Report.Set {
		if f.ID != "plan-window" {
			continue
		}
		if !strings.Contains(f.Found, "10 days left") || !strings.Contains(f.Found, "2026-11-30T08:00:00Z, the last day of a plan made now, 3 days") || len(f.Folders) != 2 {
			t.Errorf("%q in %v", f.Found, f.Folders)
		}
	}
}

// TestNoPlanForResourceProviders: their certificates never enter a plan, so seven days are enough for it.
func TestNoPlanForResourceProviders(t *testing.T) {
	in, items := goodSetOf(t, policies.DBAdapter, "2301", policies.AAD)
	items[0].template.NotAfter = asOf.AddDate(0, 0, 10)
	fill(t, &in, items)
	if diff := cmp.Diff(map[string]Result{"set: stamp-alerts": Warning}, said(testRun(t, in).Report)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
