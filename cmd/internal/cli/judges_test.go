package cli_test

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/judges"
)

// TestReportsBeforeJudges: the reports of a rotation, of a set that fails and of a hostile one are what schemas, parsers and
// a browser take for such.
func TestReportsBeforeJudges(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.pack()
	dir := t.TempDir()
	n := 0
	reported := func(code int, args ...string) answer {
		t.Helper()
		n++
		var all []string
		for format, ending := range map[string]string{"sarif": "sarif", "junit": "xml", "markdown": "md", "html": "html"} {
			all = append(all, "--format", format+"="+filepath.Join(dir, fmt.Sprintf("%02d-%s.%s", n, args[0], ending)))
		}
		a := s.run(nil, append(all, args...)...)
		if a.code != code {
			t.Errorf("certstamp %s: exit %d\n%s%s", strings.Join(args, " "), a.code, a.stdout, a.stderr)
		}
		return a
	}
	reported(0, "validate", "--stamp", s.name())
	reported(0, "plan", "--stamp", s.name(), "--out", "../reported.json")
	bound := s.plan("plan.json")
	for _, command := range []string{"stage", "rotate", "verify", "unstage"} {
		reported(0, append([]string{command}, bound...)...)
	}
	reported(0, append([]string{"status", "--stamp", s.name()}, s.allow()...)...)
	reported(2, "validate", "--stamp", "stamps/`none`|</script>]]>")

	m := newMaker(t, time.Now())
	set := s.path("certificates", "AAD")
	m.bundle(filepath.Join(set, "ACSBlob", "ACSBlob.pfx"), s.w.Secrets["PFX_PASSWORD"], "wrong.example")
	if err := os.Remove(filepath.Join(set, "ACSBlob", "ACSBlob.crt")); err != nil {
		t.Fatal(err)
	}
	reported(1, "validate", "--stamp", s.name())

	for i, text := range []string{
		`"quoted" 'too'`, "]]>", "<script>alert(1)<\\script>", "line\nfeed", "carriage\r##[error]x", "\x1b[31mred\x07", "a|b|c", "`code` ```", "👩‍💻", "\u202etxt.exe \u05d0\u05d1",
		"\nsection x\n    y :z", "<!-- --> <![CDATA[", "${{ secrets.X }}", "%%{init: {}}%%", "a:b;c#d,e",
	} {
		subject := pkix.Name{CommonName: text, Organization: []string{text}}
		file := text + ".pfx"
		m.named(filepath.Join(set, text, file), s.w.Secrets["PFX_PASSWORD"], subject, "wrong.example")
		if i%2 == 0 {
			m.named(filepath.Join(set, "KeyVault", file), s.w.Secrets["PFX_PASSWORD"], subject, "wrong.example")
		}
	}
	a := reported(1, "validate", "--stamp", s.name())
	if text := a.stdout + a.stderr; !strings.Contains(text, "wrong.example") || !strings.Contains(text, "]]>") {
		t.Errorf("nothing of it is in the report:\n%s", text)
	}

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
	if v.SARIF != n || v.JUnit != n || v.Markdown != n || v.HTML != n || v.Diagrams != 3 || v.Tasks < 36 {
		t.Errorf("of %d commands they judged %+v", n, v)
	}
}
