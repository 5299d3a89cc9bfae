package report

import (
	"io"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/internal/secret"
)

// TestSecretInEveryPlace lets a secret stray into every place of a document. Each format escapes, cuts and folds in its own way, and not
// even the letters between the signs may be left.
func TestSecretInEveryPlace(t *testing.T) {
	for _, s := range []string{
		"Canary0123+Canary4567", "Canary0123/=Canary4567", `Canary0123"Canary4567\Canary89`, "Canary0123<&'>Canary4567", "Canary0123#[Canary4567##vso[Canary89",
		"Canary0123`Canary4567|Canary89", "Canary0123{Canary4567}Canary89", "Canary0123;Canary4567,Canary89", "Canary0123\tCanary4567", "Canary0123\u200bCanary4567", "::Canary0123::Canary4567",
		"[Canary0123](Canary4567)", "Canary0123é\"<Canary4567",
	} {
		given := full(s)
		given.AsOf = "2026-11-20T00:00:00Z"
		given.Stamps[0].Expiries = []Expiry{{
			Endpoint: "ACSBlob", Source: "live", Host: s, State: ExpiryOK, Leaves: 1, NotBefore: given.AsOf, NotAfter: given.AsOf, Ends: given.AsOf, SubjectCN: s, IssuerCN: s, Detail: s,
		}}
		given.Records = []Record{{Stream: "output", Value: map[string]any{s: []any{s, 7, nil}}}}
		var r ci.Redactor
		r.Add(secret.New(s))
		d := Redacted(given, r.Redact)
		if given.Stamps[0].Message != s || given.Stamps[0].Plan.Notices[0] != s {
			t.Error("the document itself was changed") // a plan's bytes are what was approved
		}
		formats := map[string]func(io.Writer, *Document) error{"calendar": Calendar, "metrics": Metrics}
		for _, name := range []string{"json", "junit", "sarif", "markdown", "html"} {
			formats[name] = func(w io.Writer, d *Document) error { return Write(w, name, d) }
		}
		for name, write := range formats {
			var b strings.Builder
			w := &ci.Redacting{W: &b, Redact: &r}
			if err := write(w, d); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			holdsNoCanary(t, name, s, b.String())
		}
		var log strings.Builder
		g := ci.NewGuard(&log, &r)
		if err := Text(g, d); err != nil {
			t.Fatal(err)
		}
		if err := g.Flush(); err != nil {
			t.Fatal(err)
		}
		holdsNoCanary(t, "text", s, log.String())
	}
}

func holdsNoCanary(t *testing.T, format, s, text string) {
	t.Helper()
	if at := strings.Index(text, "Canary"); at >= 0 {
		t.Errorf("%s: of %q the document holds %q", format, s, text[max(0, at-40):min(len(text), at+60)])
	}
}
