package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/judges"
)

// TestForeignTextBeforeJudges: with foreign text in every place, a report is still what its schema, its parser or a browser
// takes for one.
func TestForeignTextBeforeJudges(t *testing.T) {
	dir := t.TempDir()
	keep := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	texts := append([]string{"plain", "👩‍💻 ü \u05d0\u05d1 \u0627\u0644", `"quoted" 'too'`, "</script><script>x</script>", "section x", "a:b,c;d#e", "%%{init: {}}%%", "click c1 call f()"}, hostile...)
	var all []*Document
	for i, h := range texts {
		d := full(h)
		d.AsOf = judgement().AsOf
		d.Stamps[0].Certificates[0].NotAfter = "2027-06-11T00:00:00Z"
		d.Stamps[1].Certificates, d.Stamps[1].Type = d.Stamps[0].Certificates, h
		all = append(all, d)
		for format, ending := range map[string]string{"sarif": "sarif", "junit": "xml", "markdown": "md"} {
			keep(fmt.Sprintf("%03d.%s", i, ending), write(t, format, d))
		}
	}
	for name, d := range map[string]*Document{
		"judgement": judgement(),
		"version":   {Command: "version", Tool: "v1.2.3"},
		"usage":     {Command: "validate", Error: &Error{Code: 2, Reason: "usage", Message: "m", Hint: "h"}},
	} {
		for format, ending := range map[string]string{"sarif": "sarif", "junit": "xml", "markdown": "md", "html": "html"} {
			keep(name+"."+ending, write(t, format, d))
		}
	}
	var page bytes.Buffer
	if err := HTML(&page, all, strings.Join(texts, " ")); err != nil {
		t.Fatal(err)
	}
	keep("all.html", page.String())

	v, err := judges.Judge(t.Context(), dir)
	if errors.Is(err, judges.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Complaints {
		t.Error(c)
	}
	n := len(texts)
	if v.SARIF != n+3 || v.JUnit != n+3 || v.Markdown != n+3 || v.Diagrams != n+1 || v.Tasks != 5*n+5 || v.HTML != 4 {
		t.Errorf("of %d texts they judged %+v", n, v)
	}
}
