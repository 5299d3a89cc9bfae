package validate

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
)

// seal makes every file what an untrusted pull request shows of it: an opaque age file and its twin.
func seal(in *Input) {
	in.NoPassword, in.Password = true, ""
	for i := range in.Files {
		f := &in.Files[i]
		f.Path += ".age"
		f.Blob, f.PFX = append([]byte("age-encryption.org/v1\n"), f.PFX...), nil
	}
	for i, p := range in.Listing {
		if isBundle(p) {
			in.Listing[i] += ".age"
		}
	}
}

func TestWithoutPassword(t *testing.T) {
	t.Run("sealed, with twins", func(t *testing.T) {
		in, items := goodSet(t, "2301", policies.AAD)
		fill(t, &in, items)
		seal(&in)
		out := testRun(t, in)
		if out.Report.Verdict != Warn || out.Report.Complete {
			t.Errorf("verdict %s, complete %t, want warn and not complete", out.Report.Verdict, out.Report.Complete)
		}
		want := map[string]Result{}
		for _, it := range items {
			for _, id := range []string{"pfx-encryption", "kdf-iterations", "parse-pfx", "private-key", "chain-order", "other-certificates", "twin"} {
				want[it.endpoint.Folder+": "+id] = Skipped
			}
		}
		want["set: password-policy"], want["set: same-password"] = Skipped, Skipped
		if diff := cmp.Diff(want, said(out.Report)); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
		if c := out.Report.Certificates[0]; c.Thumbprint == "" || c.NotAfter == "" || c.FileSHA256 == "" {
			t.Errorf("the twin was not used: %+v", c)
		}
	})
	t.Run("what a twin shows is judged", func(t *testing.T) {
		for _, d := range defects {
			of := slices.IndexFunc(Rules(), func(r Rule) bool { return r.ID == d.rule })
			if of < 0 || Rules()[of].Reads != ReadsCertificates || d.said == nil || Rules()[of].Sealed {
				continue
			}
			in := d.build(t)
			seal(&in)
			got := said(testRun(t, in).Report)
			for k, want := range d.said {
				if got[k] != want {
					t.Errorf("%s %s: %s is %q, want %q", d.rule, d.name, k, got[k], want)
				}
			}
		}
	})
	t.Run("bare", func(t *testing.T) {
		in, items := goodSet(t, "2301", policies.AAD)
		bad := find(items, spoilt)
		bad.pack.LocalMachine, bad.pack.Encryption = false, "AES256-SHA256"
		fill(t, &in, items)
		in.NoPassword, in.Password = true, ""
		got := said(testRun(t, in).Report)
		for k, want := range map[string]Result{
			"ACSBlob: encrypted-at-rest": Warning, "ACSTable: encrypted-at-rest": Warning,
			"ACSBlob: private-key": Fail, "ACSBlob: pfx-encryption": Fail, "ACSTable: private-key": Skipped,
			"ACSTable: pfx-encryption": "", "ACSTable: parse-pfx": Skipped, "ACSTable: dns-names": "",
		} {
			if got[k] != want {
				t.Errorf("%s is %q, want %q", k, got[k], want)
			}
		}
	})
	t.Run("no twin", func(t *testing.T) {
		in, items := goodSet(t, "2301", policies.AAD)
		find(items, spoilt).twin = nil
		fill(t, &in, items)
		seal(&in)
		got := said(testRun(t, in).Report)
		for _, r := range Rules() {
			want := Skipped
			if r.ID == "encrypted-at-rest" {
				want = ""
			}
			if k := spoilt + ": " + r.ID; got[k] != want {
				t.Errorf("%s is %q, want %q", k, got[k], want)
			}
		}
	})
}

func TestBrokenFileSkipsTheRest(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	find(items, spoilt).spoil = func(b []byte) []byte { return b[:len(b)/2] }
	fill(t, &in, items)
	got := said(testRun(t, in).Report)
	for _, r := range Rules() {
		want := Skipped
		switch r.ID {
		case "parse-pfx":
			want = Fail
		case "encrypted-at-rest":
			want = ""
		}
		if k := spoilt + ": " + r.ID; got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
	for _, r := range SetRules() {
		if k := "set: " + r.ID; got[k] != "" {
			t.Errorf("%s is %q: the other files are good", k, got[k])
		}
	}
}
