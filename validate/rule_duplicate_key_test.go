package validate

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestDuplicateKey(t *testing.T) {
	t.Run("one certificate in two folders", func(t *testing.T) {
		in, items := goodSet(t, "2301", policies.AAD)
		oneCertificate(items[:2])
		fill(t, &in, items)
		out := testRun(t, in)
		if got := said(out.Report); len(got) != 1 || got["set: duplicate-key"] != Warning {
			t.Errorf("findings %v, want the one warning", got)
		}
		for _, f := range out.Report.Set {
			if f.ID == "duplicate-key" && (len(f.Folders) != 2 || !strings.HasPrefix(f.Found, "one certificate")) {
				t.Errorf("%q in %d folders", f.Found, len(f.Folders))
			}
		}
	})
	t.Run("two pairs are two findings", func(t *testing.T) {
		subjects := []*Subject{}
		for i, folder := range []string{"ACSBlob", "ACSTable", "ACSQueue", "KeyVault"} {
			s := subject(t, "2301", folder, nil)
			it := newItem(s.Endpoint, i/2)
			s.take([]*x509.Certificate{it.certificate()}, it.leaf)
			subjects = append(subjects, s)
		}
		got := duplicateKey.Check(&Set{Subjects: subjects, run: subjects[0].run})
		if len(got) != 2 || !slices.Equal(got[0].Folders, []string{"ACSBlob", "ACSTable"}) || !slices.Equal(got[1].Folders, []string{"ACSQueue", "KeyVault"}) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("nothing seen", func(t *testing.T) {
		check(t, duplicateKey.Check(&Set{})[0], Skipped)
	})
}
