package validate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
)

func TestWaivers(t *testing.T) {
	for _, row := range []struct {
		claim               string
		rule, folder, until string
		want                Result
		waived, hint        string
		itself              Result // what is said of the waiver
		says                string
	}{
		{"covers its folder", "key-usage", spoilt, "2026-12-31", Warning, `"waiting for the CA"`, "", OK, "in force: key-usage in "},
		{"covers every folder", "key-usage", "", "2026-12-31", Warning, "2026-12-31", "", OK, "in force: key-usage in "},
		{"holds on its last day", "key-usage", spoilt, "2026-11-23", Warning, "2026-11-23", "", OK, "in force: key-usage in "},
		{"ended the day before", "key-usage", spoilt, "2026-11-22", Fail, "", "ended with 2026-11-22", Fail, "ended: "},
		{"another folder", "key-usage", "ACSTable", "2026-12-31", Fail, "", "", OK, "nothing to waive"},
		{"another rule", "expiry-date", spoilt, "2026-12-31", Fail, "", "", OK, "nothing to waive"},
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
				if f.ID == "waivers" {
					if f.Result != row.itself || !strings.HasPrefix(f.Found, row.says) {
						t.Errorf("the waiver itself: %s %q, want %s with %q", f.Result, f.Found, row.itself, row.says)
					}
					continue
				}
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

// TestWarningsAreAnsweredFor: a warning stays one, and the report says who lives with it.
func TestWarningsAreAnsweredFor(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	find(items, spoilt).template.Subject.CommonName = "blob"
	fill(t, &in, items)
	in.Policy = overlaid(in.Policy, "waivers:\n- {rule: subject-in-san, folder: ACSBlob, reason: the CA writes it, until: \"2026-12-31\"}\n")
	for _, f := range findings(testRun(t, in).Report) {
		switch {
		case f.ID == "subject-in-san" && f.Result != OK && f.Waived == "", f.ID == "waivers" && !strings.HasPrefix(f.Found, "in force"):
			t.Errorf("%+v", f)
		}
	}
}

// TestWaiversOfResourceProviders: a waiver is reported with the set whose folder it names, once.
func TestWaiversOfResourceProviders(t *testing.T) {
	const text = "waivers:\n- {rule: key-usage, folder: API, reason: x, until: \"2026-12-31\"}\n- {rule: key-usage, folder: ACSBlob, reason: y, until: \"2026-12-31\"}\n- {rule: http-crl, reason: z, until: \"2026-12-31\"}\n"
	for typ, want := range map[policies.CertificateType]string{policies.Deployment: "y z", policies.AppServices: "x"} {
		in, items := goodSetOf(t, typ, "2301", policies.AAD)
		fill(t, &in, items)
		in.Policy = overlaid(in.Policy, text)
		var got []string
		for _, f := range testRun(t, in).Report.Set {
			for _, reason := range []string{"x", "y", "z"} {
				if f.ID == "waivers" && strings.Contains(f.Found, `"`+reason+`"`) {
					got = append(got, reason)
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", typ, got, want)
		}
	}
}

// TestNobodyWaives: layout, transition, key, password and the waivers themselves hold for everybody, and no gate is a
// rule. The list is written by hand: changing rules.yaml must meet somebody who says no.
func TestNobodyWaives(t *testing.T) {
	p := policy(t)
	never := []string{
		"key-length", "parse-pfx", "private-key", "twin", "encrypted-at-rest", "folder-layout", "password-policy", "same-password",
		"duplicate-key", "ca-class", "ca-transition", "serial-number", "kdf-iterations", "waivers",
	}
	for _, g := range p.Gates() {
		never = append(never, g.ID)
	}
	for _, id := range never {
		_, err := p.WithOverlay([]byte("waivers:\n- {rule: "+id+", reason: x, until: \"2027-01-31\"}\n"), "policy.yaml")
		if err == nil {
			t.Errorf("%s can be waived", id)
		}
	}
	var may []string
	for _, id := range p.RuleIDs() {
		if p.Rule(id).Waivable {
			may = append(may, id)
		}
	}
	want := "pfx-encryption expiry-date signature-algorithm dns-names key-usage cert-chain chain-order other-certificates http-crl subject-in-san " +
		"one-for-all mixed-issuers public-client-auth stamp-alerts plan-window acr-alignment paas-root"
	slices.Sort(may)
	sorted := strings.Fields(want)
	slices.Sort(sorted)
	if diff := cmp.Diff(sorted, may); diff != "" {
		t.Errorf("waivable (-want +got):\n%s", diff)
	}
}
