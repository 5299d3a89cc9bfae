package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/crew"
)

// TestPanicsAreTold: a panic with hostile text, on our own goroutine and beside it, ends in exit code 70 and lines that no
// runner takes for a command.
func TestPanicsAreTold(t *testing.T) {
	const text = "first\n::error::boom\r##vso[task.complete]x"
	for where, blow := range map[string]func(){
		"here": func() { panic(errors.New(text)) },
		"beside": func() {
			var g crew.Group
			g.Go(func() { panic(text) })
			g.Wait()
		},
	} {
		t.Run(where, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := Main(t.Context(), []string{"validate"}, Env{
				Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: t.TempDir(), Now: func() time.Time { blow(); return time.Time{} },
				Getenv: func(string) string { return "" }, Version: "test",
			})
			if code != exitBug {
				t.Errorf("exit %d, wanted %d\n%s", code, exitBug, errs.String())
			}
			for line := range strings.FieldsFuncSeq(out.String()+errs.String(), func(r rune) bool { return r == '\n' || r == '\r' }) {
				if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##vso[") {
					t.Errorf("a command: %q", line)
				}
			}
			if s := errs.String(); !strings.Contains(s, "bug: ") || !strings.Contains(s, "TestPanicsAreTold") || !strings.Contains(s, "please report") {
				t.Errorf("it said\n%s", s)
			}
		})
	}
}
