package validate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestWaivers(t *testing.T) {
	for _, row := range []struct {
		claim               string
		rule, folder, until string
		want                Result
		waived, hint        string
	}{
		{"covers its folder", "key-usage", spoilt, "2026-12-31", Warning, `"waiting for the CA"`, ""},
		{"covers every folder", "key-usage", "", "2026-12-31", Warning, "2026-12-31", ""},
		{"holds on its last day", "key-usage", spoilt, "2026-11-23", Warning, "2026-11-23", ""},
		{"ended the day before", "key-usage", spoilt, "2026-11-22", Fail, "", "ended with 2026-11-22"},
		{"another folder", "key-usage", "ACSTable", "2026-12-31", Fail, "", ""},
		{"another rule", "expiry-date", spoilt, "2026-12-31", Fail, "", ""},
	} {
		t.Run(row.claim, func(t *testing.T) {
			in, items := goodSet(t, "2301", policies.AAD)
			find(items, spoilt).template.KeyUsage = 0
			fill(t, &in, items)
			yaml := fmt.Sprintf("waivers:\n- {rule: %s, folder: %q, reason: waiting for the CA, until: %q}\n", row.rule, row.folder, row.until)
			var err error
			if in.Policy, err = in.Policy.WithOverlay([]byte(yaml), "policy.yaml"); err != nil {
				t.Fatal(err)
			}
			out := testRun(t, in)
			if got := said(out.Report)[spoilt+": key-usage"]; got != row.want {
				t.Errorf("result %s, want %s", got, row.want)
			}
			if want := worseVerdict(Pass, row.want); out.Report.Verdict != want {
				t.Errorf("verdict %s, want %s", out.Report.Verdict, want)
			}
			for _, f := range findings(out.Report) {
				if f.Result != OK && (!strings.Contains(f.Waived, row.waived) || (f.Waived == "") != (row.waived == "") || !strings.Contains(f.Hint, row.hint)) {
					t.Errorf("waived %q, hint %q, want %q and %q", f.Waived, f.Hint, row.waived, row.hint)
				}
			}
		})
	}
	t.Run("a rule that cannot be waived", func(t *testing.T) {
		w := waivers{list: []policies.Waiver{{Rule: "parse-pfx", Reason: "x", Until: "2027-01-01"}}, asOf: asOf}
		f := w.apply(Finding{ID: "parse-pfx", Result: Fail}, false)
		if f.Result != Fail || !strings.Contains(f.Hint, "cannot be waived") {
			t.Errorf("%+v", f)
		}
	})
	t.Run("every folder of a finding must be covered", func(t *testing.T) {
		w := waivers{list: []policies.Waiver{{Rule: "x", Folder: "a", Reason: "x", Until: "2027-01-01"}}, asOf: asOf}
		for folders, want := range map[string]Result{"a": Warning, "a b": Fail, "b": Fail, "": Fail} {
			if got := w.apply(Finding{ID: "x", Result: Fail}, true, strings.Fields(folders)...).Result; got != want {
				t.Errorf("folders %q: %s, want %s", folders, got, want)
			}
		}
	})
}

// A waived fault must not leave the report incomplete: then it could never become a plan.
func TestWaivedNameLeavesTheReportComplete(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	find(items, spoilt).chain = find(items, spoilt).chain[:1]
	fill(t, &in, items)
	var err error
	in.Policy, err = in.Policy.WithOverlay([]byte("waivers:\n- {rule: cert-chain, folder: ACSBlob, reason: the stamp knows the root, until: \"2026-12-31\"}\n"), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := testRun(t, in)
	if out.Report.Verdict != Warn || !out.Report.Complete || len(out.Transitions) != len(items) {
		t.Errorf("verdict %s, complete %t, %d transitions: %v", out.Report.Verdict, out.Report.Complete, len(out.Transitions), said(out.Report))
	}
}

func TestTightenedPolicyHolds(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	var err error
	in.Policy, err = in.Policy.WithOverlay([]byte("tighten:\n  expiry-date: {min-days: 365}\n  key-length: {min-bits: 3072}\n"), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := said(testRun(t, in).Report)
	if got["ACSBlob: expiry-date"] != Fail || got["ACSBlob: key-length"] != Fail || len(got) != 2*len(items) {
		t.Errorf("%v", got)
	}
}
