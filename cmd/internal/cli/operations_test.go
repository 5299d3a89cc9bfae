package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/bmc"
)

func operations(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// TestOperationsKnowsEveryEnding holds the page for the night shift against the two closed lists. Package rotate runs a
// scenario for each row of the rotation's; here each gets the exit code that the command line really gives it.
func TestOperationsKnowsEveryEnding(t *testing.T) {
	page := operations(t)
	var missing []string
	row := func(line string) {
		if !strings.Contains(page, line) {
			missing = append(missing, line)
		}
	}
	for _, e := range rotate.Endings() {
		a := newApp(Env{Stdout: io.Discard, Stderr: io.Discard, Now: time.Now, Getenv: func(string) string { return "" }})
		b := &bound{plan: &plan.Plan{}, digest: "d", file: "plan.json"}
		var cause error
		if e.Result == rotate.Environment {
			cause = errors.New("the cause")
		}
		out := rotate.Outcome{Ending: e.ID, Result: e.Result, Next: e.Next}
		code := exitDone
		if err := a.rotated(b, &watcher{app: a}, out, cause); err != nil {
			f := classify(context.Background(), err)
			code = f.code
			if f.hint == "" {
				t.Errorf("%s: no hint", e.ID)
			}
		}
		row(fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s | %d |\n", e.ID, e.Result, e.Seen, e.Means, e.Did, e.Next, code))
	}
	for _, e := range bmc.Endings() {
		row(fmt.Sprintf("| `%s` | %s | %s | %s |\n", e.ID, string(e.Result), e.Means, e.Next))
	}
	if len(missing) > 0 {
		t.Errorf("docs/operations.md lacks:\n%s", strings.Join(missing, ""))
	}
}
