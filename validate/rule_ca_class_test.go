package validate

import (
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestCAClass(t *testing.T) {
	for _, row := range []struct {
		claim string
		class Classification
		same  bool
		want  Result
		found string
	}{
		{"enterprise", Classification{Class: policies.Enterprise, Evidence: "anchor"}, false, OK, "enterprise: anchor"},
		{"public", Classification{Class: policies.Public, Evidence: "anchor"}, false, OK, "public: anchor"},
		{"public, not Microsoft's", Classification{Class: policies.Public, Doubt: "not in the list"}, false, Warning, "not in the list"},
		{"from the file alone", Classification{Class: policies.Enterprise, Doubt: onlyFile}, false, Warning, "only the file"},
		{"from the file alone, and installed", Classification{Class: policies.Enterprise, Doubt: onlyFile}, true, OK, "serves"},
		{"refused by its public root, and installed", Classification{Class: policies.Enterprise, Doubt: "the public root refuses it: disabled"}, true, Warning, "refuses"},
		{"unknown", Classification{Class: policies.Unknown, Doubt: "missing"}, false, Warning, "treated as an enterprise CA"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			s.Class = row.class
			set := &Set{
				Subjects: []*Subject{s}, run: s.run, results: []map[string]Result{{"cert-chain": OK}},
				Transitions: []TransitionResult{{Endpoint: s.Endpoint.ID, SameCA: row.same}},
			}
			check(t, caClass.Check(set)[0], row.want, row.found)
		})
	}
	t.Run("one finding per CA, whatever the leaves", func(t *testing.T) {
		in, items := goodSet(t, "2301", policies.AAD)
		find(items, spoilt).issuer = cas().sibling
		find(items, spoilt).chain[0] = cas().sibling.cert
		fill(t, &in, items)
		out := testRun(t, in)
		var folders []string
		for _, f := range out.Report.Set {
			if f.ID == "ca-class" {
				folders = append(folders, strings.Join(f.Folders, ","))
			}
		}
		if len(folders) != 2 || folders[1] != spoilt {
			t.Errorf("findings over %q, want two, the second over %s", folders, spoilt)
		}
		if got := said(out.Report); len(got) != 0 {
			t.Errorf("two issuing CAs of one root: %v", got)
		}
	})
}
