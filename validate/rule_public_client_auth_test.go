package validate

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestPublicClientAuth(t *testing.T) {
	for _, row := range []struct {
		claim, release, overlay string
		enterprise              bool
		want                    Result
		found                   string
	}{
		{"demanded below 2501", "2412", "", false, Warning, "between 2026-06-15 and 2027-03-15"},
		{"not demanded from 2501", "2501", "", false, OK, "which nothing demands"},
		{"demanded by the stamp's policy", "2501", "require", false, Warning, "from a public CA"},
		{"ignored by the stamp's policy", "2301", "ignore", false, OK, "which nothing demands"},
		{"an enterprise CA", "2301", "", true, OK, ""},
	} {
		t.Run(row.claim, func(t *testing.T) {
			in, items := goodSet(t, row.release, policies.AAD)
			fill(t, &in, items)
			if !row.enterprise {
				in.Anchors = Anchors{Public: []*x509.Certificate{cas().root.cert}}
			}
			if row.overlay != "" {
				p, err := in.Policy.WithOverlay([]byte("tighten:\n  key-usage: {client-auth: "+row.overlay+"}\n"), "policy.yaml")
				if err != nil {
					t.Fatal(err)
				}
				in.Policy = p
			}
			for _, f := range testRun(t, in).Report.Set {
				if f.ID == "public-client-auth" && (f.Result != row.want || !strings.Contains(f.Found, row.found) || row.found == "" && f.Found != "") {
					t.Errorf("%s %q, want %s with %q", f.Result, f.Found, row.want, row.found)
				}
			}
		})
	}
}
