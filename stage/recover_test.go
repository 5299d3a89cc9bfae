package stage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/stage"
)

// stubborn is a share that has not noticed yet that the last client died: what that left cannot be removed at first.
type stubborn struct {
	stage.Share
	answers []error // one for each try
	tries   *int
}

func (s stubborn) Remove(name string) error {
	if !strings.Contains(name, "stage-") {
		return s.Share.Remove(name)
	}
	*s.tries++
	if n := *s.tries; n <= len(s.answers) {
		return s.answers[n-1]
	}
	return s.Share.Remove(name)
}

// TestLeftoversOfTheDead: a stage that a dead run left behind is removed again and again for a moment, whether the server
// calls it busy or denied; an account that may not remove is told so, and the set stays as it was.
func TestLeftoversOfTheDead(t *testing.T) {
	busy, denied := stage.ErrBusy, fs.ErrPermission
	for name, row := range map[string]struct {
		answers []error
		class   stage.Class // of the failure; empty: none
	}{
		"busy for a while":   {[]error{busy, busy, busy, busy, busy}, ""},
		"denied for a while": {[]error{denied, denied, denied}, ""},
		"one, then another":  {[]error{denied, busy, denied, denied, busy, denied}, ""},
		"denied":             {[]error{denied, denied, denied, denied, denied, denied}, stage.ClassPermission},
		"busy":               {[]error{busy, busy, busy, busy, busy, busy, busy, busy, busy}, stage.ClassBusy},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			publish(t, folder(t, dir), older, "run-1")
			dead := filepath.Join(dir, "_certstamp", fmt.Sprintf("stage-%s-run-0", digest("x")[:16]))
			if err := os.Mkdir(dead, 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := stage.Publish(t.Context(), stubborn{folder(t, dir), row.answers, new(int)}, newer.section("AAD"), digest("new"), newer.open, options("run-2"))
			var failed *stage.Error
			want := newer
			switch {
			case row.class == "" && err != nil:
				t.Fatal(err)
			case row.class != "":
				want = older
				if !errors.As(err, &failed) || failed.Class != row.class {
					t.Fatalf("got %v, wanted class %s", err, row.class)
				}
			}
			if now := served(t, dir, "AAD"); !maps.Equal(now, want) {
				t.Errorf("the share holds %v", now)
			}
			if _, err := os.Stat(dead); (err == nil) != (row.class != "") {
				t.Errorf("what the dead run left: %v", err)
			}
		})
	}
}
