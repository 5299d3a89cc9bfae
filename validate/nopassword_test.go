package validate

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/pfx"
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

// TestFactsWithoutPassword holds what a report over a bare bundle says against everything that its bytes show to anybody.
func TestFactsWithoutPassword(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	for _, it := range items {
		it.twin = nil
	}
	it := find(items, spoilt)
	it.pack.CSP, it.pack.FriendlyName = "Microsoft Enhanced RSA\r\n::error::", "te-1"
	find(items, "ACSTable").key = shortKey()
	find(items, "ACSQueue").spoil = func(b []byte) []byte { return append(b, make([]byte, 8)...) }
	fill(t, &in, items)
	in.NoPassword, in.Password = true, ""
	out := testRun(t, in)
	found := func(folder, rule string) string {
		for _, c := range out.Report.Certificates {
			for _, f := range c.Tests {
				if c.Folder == folder && f.ID == rule {
					return string(f.Result) + " " + f.Found
				}
			}
		}
		return ""
	}
	for _, row := range []struct {
		fact, folder, rule, want string
	}{
		{"version, encoding, integrity", spoilt, "parse-pfx", "version 3, DER, mac SHA1 (1000 iterations, salt of "},
		{"number of safes", spoilt, "parse-pfx", "2 safes"},
		{"kind of a clear safe", spoilt, "parse-pfx", "safe 1 data, 1 bag"},
		{"cipher, iterations, salt of a safe", spoilt, "parse-pfx", "safe 2 encrypted 3DES (1000 iterations, salt of 8 bytes)"},
		{"the verdict on the encryption", spoilt, "pfx-encryption", "OK TripleDES-SHA1"},
		{"iterations", spoilt, "kdf-iterations", "OK MAC 1000, certificates 1000, key 1000"},
		{"number of keys, local machine", spoilt, "private-key", "one key for the local machine"},
		{"cipher of the key", spoilt, "private-key", "encrypted with 3DES (1000 iterations, salt of 8 bytes)"},
		{"provider, quoted", spoilt, "private-key", `provider "Microsoft Enhanced RSA\r\n::error::"`},
		{"friendly name", spoilt, "private-key", `friendly name "te-1"`},
		{"key id", spoilt, "private-key", "key id 01000000"},
		{"size of the key", spoilt, "private-key", "RSA-2048 by its length"},
		{"size of a short key", "ACSTable", "key-length", "Skipped there is no password and no public twin; by its length the key is RSA-1024"},
		{"trailing zeros", "ACSQueue", "parse-pfx", "8 zero bytes after the end of the PFX"},
		{"that it lies bare", spoilt, "encrypted-at-rest", "Warning a bare .pfx"},
	} {
		if got := found(row.folder, row.rule); !strings.Contains(got, row.want) {
			t.Errorf("%s: %s says %q, want %q in it", row.fact, row.rule, got, row.want)
		}
	}
	for _, f := range findings(out.Report) {
		if f.Result == Fail {
			t.Errorf("a closed file fails %s: %s", f.ID, f.Found)
		}
	}
}

// TestBareBundleIsAWarning: TripleDES-SHA1 in the open is a reason to seal the file, never a fault of its algorithm.
func TestBareBundleIsAWarning(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	in.NoPassword, in.Password = true, ""
	got := said(testRun(t, in).Report)
	for _, it := range items {
		if f := it.endpoint.Folder; got[f+": encrypted-at-rest"] != Warning || got[f+": pfx-encryption"] != "" {
			t.Errorf("%s: encrypted-at-rest %q, pfx-encryption %q", f, got[f+": encrypted-at-rest"], got[f+": pfx-encryption"])
		}
	}
}

// TestClosedFaultsShow: two keys, unprotected certificates and a missing mark need no secret to be seen.
func TestClosedFaultsShow(t *testing.T) {
	closed := func(change func(*pfx.Facts)) *Subject {
		s := subject(t, "2301", spoilt, nil)
		s.Bundle, s.run.NoPassword = nil, true
		change(s.Facts)
		return s
	}
	check(t, privateKey.Check(closed(func(f *pfx.Facts) { f.Keys = append(f.Keys, pfx.KeyFacts{}) })), Fail, "2 private keys")
	check(t, privateKey.Check(closed(func(f *pfx.Facts) { f.Keys[0].LocalMachine = false })), Fail, "local machine")
	check(t, parsePFX.Check(closed(func(f *pfx.Facts) { f.ClearCertificates = 3 })), Warning, "the certificates lie open")
	check(t, parsePFX.Check(closed(func(f *pfx.Facts) { f.Integrity = pfx.IntegrityNone })), Fail, "no MAC")
	check(t, parsePFX.Check(closed(func(f *pfx.Facts) { f.BER = true })), Warning, "BER")
	check(t, parsePFX.Check(closed(func(f *pfx.Facts) { f.Trailing = 5 })), Fail, "5 bytes after the end")
}
