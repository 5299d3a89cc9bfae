package judges_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/judges"
)

// TestJudgesRefuse: a judge that takes everything proves nothing. Each file below bad has one fault, and each is named.
func TestJudgesRefuse(t *testing.T) {
	bad := filepath.Join("..", "..", "testdata", "judges", "bad")
	v, err := judges.Judge(t.Context(), bad)
	if errors.Is(err, judges.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"no-tool.sarif":   "required property 'tool'",
		"surplus.xml":     "Element 'verdict': This element is not expected",
		"diagram.md":      "Parse error on line 3",
		"dates.md":        "Invalid date",
		"image.html":      "asks for http://127.0.0.1:9/x.png",
		"error.html":      "console: seen",
		"preconnect.html": "active elements",
	} {
		if !has(v.Complaints, file+": ", want) {
			t.Errorf("nobody says %q of %s:\n%s", want, file, strings.Join(v.Complaints, "\n"))
		}
	}
	files, err := os.ReadDir(bad)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !has(v.Complaints, f.Name()+": ", "") {
			t.Errorf("nobody complains of %s", f.Name())
		}
	}
}

func has(lines []string, begins, holds string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, begins) && strings.Contains(l, holds) {
			return true
		}
	}
	return false
}
