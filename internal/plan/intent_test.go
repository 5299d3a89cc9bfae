package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// TestIntentIsThePlanToCome: the steps that reviewers of a pull request read are those of the plan, out of less.
func TestIntentIsThePlanToCome(t *testing.T) {
	for _, version := range []string{"1.1811.0.101", "1.1902.0.69", "1.1910.0.58", "1.2301.2.58"} {
		in := given(t, version, policies.AAD)
		in.PreviouslyRotated = yes(false)
		want := made(t, in)
		in.Observed, in.Transitions = nil, nil
		for i := range in.Certificates {
			in.Certificates[i].PFXSHA256, in.Certificates[i].Size = "", 0 // sealed
		}
		in.Report.Complete = false
		in.Report.Certificates = []validate.CertificateReport{{Folder: "ACSBlob", Tests: []validate.Finding{{ID: "pfx-encryption", Result: validate.Skipped}}}}
		got, findings := Intend(in)
		if got == nil {
			t.Fatalf("%s: refused: %v", version, reasons(findings))
		}
		for i := range want.Steps {
			want.Steps[i].Uses = []string{}
		}
		if diff := cmp.Diff(want.Steps, got.Steps); diff != "" {
			t.Errorf("%s: (-plan +intent)\n%s", version, diff)
		}
		if got.Stage != nil || got.Rotate != nil || got.Verify != nil || got.ValidUntil != "" {
			t.Errorf("%s: somebody could act on %+v", version, got)
		}
		for _, notice := range []string{"not judged here: ACSBlob/pfx-encryption", "the installed CA", "its health"} {
			if !strings.Contains(strings.Join(got.Notices, "\n"), notice) {
				t.Errorf("%s: nothing says %q: %q", version, notice, got.Notices)
			}
		}
		if decides := strings.Contains(strings.Join(got.Notices, "\n"), "below release 1904 it decides"); decides != (version < "1.1904") {
			t.Errorf("%s: %q", version, got.Notices)
		}
	}
}

// TestIntentRefuses what no plan could be made of, and leaves to the plan what only its maker can say.
func TestIntentRefuses(t *testing.T) {
	in := given(t, "1.2301.2.58", policies.AAD)
	in.Report.Verdict = validate.FailedOnce
	in.Certificates, in.Share.Backup = in.Certificates[1:], ""
	p, findings := Intend(in)
	if got := reasons(findings); p != nil || !slices.Equal(got, []string{"backup", "certificates", "one-file-per-endpoint"}) {
		t.Errorf("%v: %+v", got, p)
	}
	in = given(t, "1.1808.0.97", policies.AAD)
	in.PreviouslyRotated = yes(false)
	if p, _ = New(in); p != nil {
		t.Fatal("below 1811 a plan needs --combined")
	}
	if p, findings = Intend(in); p == nil || !slices.ContainsFunc(p.Notices, func(n string) bool { return strings.Contains(n, "--combined") }) {
		t.Errorf("%v: %+v", reasons(findings), p)
	}
}
