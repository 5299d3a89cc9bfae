package validate

import (
	"context"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

// Whatever lies in a folder, a run ends, says everything on one line, and passes nothing it could not judge.
func FuzzRun(f *testing.F) {
	in, items := goodSet(f, "2301", policies.AAD)
	good := find(items, spoilt).file(f)
	f.Add(good.Path, good.PFX, good.Twin, false)
	f.Add(good.Path+".age", []byte(nil), good.Twin, true)
	f.Add("ACSBlob/ACSBlob.pfx", []byte("0\x80"), []byte("-----BEGIN CERTIFICATE-----\n"), false)
	f.Add("//..\n/x", []byte{}, []byte{}, true)
	f.Fuzz(func(t *testing.T, path string, b, twin []byte, without bool) {
		in := in
		in.NoPassword = without
		in.Files = []File{{Path: path, Blob: b, PFX: b, Twin: twin}}
		in.Listing = []string{path}
		out := Run(context.Background(), in)
		if out.Report.Verdict == Pass || len(out.Subjects) != 1 {
			t.Errorf("a set of one file: %+v", out.Report)
		}
		for _, x := range findings(out.Report) {
			if strings.ContainsAny(x.Found+x.Wanted+x.Hint, "\r\n\x1b") {
				t.Errorf("more than one plain line: %+v", x)
			}
		}
	})
}
