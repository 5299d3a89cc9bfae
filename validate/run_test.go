package validate

import (
	"context"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestMaskThumbprint(t *testing.T) {
	for in, want := range map[string]string{
		"0123456789ABCDEF0123456789ABCDEF01234567": "012345****************************234567",
		"0123456789AB":  "************",
		"0123456789ABC": "012345*789ABC",
		"":              "",
	} {
		if got := MaskThumbprint(in); got != want {
			t.Errorf("MaskThumbprint(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestInterruptedRunIsNotComplete(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	out := Run(ctx, in)
	if out.Report.Complete || out.Report.Verdict == Pass {
		t.Errorf("verdict %s, complete %t", out.Report.Verdict, out.Report.Complete)
	}
}

func TestEmptySetFails(t *testing.T) {
	in, _ := goodSet(t, "2301", policies.AAD)
	out := testRun(t, in)
	if out.Report.Verdict != FailedOnce || out.Report.Complete {
		t.Errorf("verdict %s, complete %t, want fail and not complete", out.Report.Verdict, out.Report.Complete)
	}
	if out.Report.Certificates == nil || out.Report.Set == nil {
		t.Error("lists of a report are never null")
	}
}

func TestOrderOfTheReport(t *testing.T) {
	in, items := goodSet(t, "2301", policies.ADFS)
	fill(t, &in, items)
	in.Files[0], in.Files[12] = in.Files[12], in.Files[0]
	stranger := in.Files[3]
	stranger.Path = "AA Stranger/x.pfx"
	in.Files = append([]File{stranger}, in.Files...)
	out := testRun(t, in)
	for i, it := range items {
		c := out.Report.Certificates[i]
		if c.Folder != it.endpoint.Folder || c.File != it.endpoint.Stem()+".pfx" || out.Subjects[i].Endpoint.ID != it.endpoint.ID {
			t.Errorf("place %d is %s, want %s", i, c.Folder, it.endpoint.Folder)
		}
		for j, r := range Rules() {
			if c.Tests[j].ID != r.ID {
				t.Fatalf("test %d of %s is %s, want %s", j, c.Folder, c.Tests[j].ID, r.ID)
			}
		}
	}
	if last := out.Report.Certificates[13]; last.Folder != "AA Stranger" {
		t.Errorf("the last is %s, want the folder of no endpoint", last.Folder)
	}
}

func TestAnotherSpellingOfAFolder(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	for i, f := range in.Files {
		if f.Path == "ACSBlob/ACSBlob.pfx" {
			in.Files[i].Path = "acsblob/x.PFX"
		}
	}
	in.Listing = nil
	for _, f := range in.Files {
		in.Listing = append(in.Listing, f.Path)
	}
	out := testRun(t, in)
	if got := said(out.Report); len(got) != 0 {
		t.Errorf("findings %v, want none: Windows compares without case", got)
	}
	for _, c := range out.Report.Certificates {
		if c.File == "x.PFX" && c.Folder != "ACSBlob" {
			t.Errorf("folder %q, want the canonical spelling", c.Folder)
		}
	}
}

func BenchmarkRun13(b *testing.B) {
	in, items := goodSet(b, "2301", policies.ADFS)
	for _, it := range items {
		it.pack.Iterations = 2000
	}
	fill(b, &in, items)
	for b.Loop() {
		if out := Run(context.Background(), in); out.Report.Verdict != Pass {
			b.Fatal(said(out.Report))
		}
	}
}

func TestBundleInNoFolder(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	f := in.Files[0]
	f.Path = "stray.pfx"
	in.Files, in.Listing = append(in.Files, f), append(in.Listing, f.Path)
	out := testRun(t, in)
	last := out.Report.Certificates[len(items)]
	if last.Folder != "" || last.File != "stray.pfx" {
		t.Errorf("%q in %q", last.File, last.Folder)
	}
	if got := said(out.Report); got["set: folder-layout"] != Fail || got[": dns-names"] != Skipped {
		t.Errorf("%v", got)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\n::error::b":        `"a\r\n::error::b"`,
		"\x1b[2J":                `"\x1b[2J"`,
		"\u202Egpj.exe":          `"\u202egpj.exe"`,
		strings.Repeat("ä", 201): `"` + strings.Repeat("ä", 200) + `…"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
	if got := quoteList(strings.Split(strings.Repeat("a", 12), "")); !strings.HasSuffix(got, `"a", and 2 more`) {
		t.Errorf("twelve names: %s", got)
	}
}
