package cli_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/demo"
)

// TestNextCommands runs what is printed as the next command, as a shell would read it, from the plan to the end. A folder with
// a blank and a quote in its name is where words fall apart.
func TestNextCommands(t *testing.T) {
	t.Parallel()
	w, err := demo.Prepare(filepath.Join(t.TempDir(), "ma's work"), time.Now(), []demo.Spec{east})
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, w: w, s: w.Stamps[0], now: time.Now}
	s.simulate()
	s.pack()
	planned := s.must(nil, "plan", "--stamp", s.name(), "--out", "../plan.json")
	digest := planned.doc.Stamps[0].PlanSHA256
	next, ok := strings.CutPrefix(planned.doc.Stamps[0].Next, "after approval: ")
	if !ok {
		t.Fatalf("after the plan: %q", planned.doc.Stamps[0].Next)
	}
	status := func() string {
		t.Helper()
		said := s.must(nil, append([]string{"status", "--stamp", s.name()}, s.allow()...)...).doc.Stamps[0].Next
		if strings.Contains(said, digest) {
			t.Errorf("status takes the digest from beside the plan: %s", said)
		}
		return strings.Replace(said, "<from the plan job>", digest, 1)
	}
	var ran []string
	for next != "" && len(ran) < 10 {
		args := words(t, next)
		ran = append(ran, args[1])
		a := s.must(nil, args[1:]...)
		next = a.doc.Stamps[0].Next
		if a.doc.Stamps[0].Plan == nil || len(a.doc.Stamps[0].Plan.Steps) == 0 {
			t.Errorf("the report of %s lacks the plan", args[1])
		}
		if args[1] == "stage" { // its own kept plan leads on as well
			next = status()
		}
	}
	if got := strings.Join(ran, " "); got != "stage rotate verify unstage" {
		t.Errorf("the commands led through %s", got)
	}
	if got := status(); !strings.HasPrefix(got, "nothing: ") {
		t.Errorf("at the end: %s", got)
	}
}

// words are those that a shell makes of a line.
func words(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", "printf '%s\\n' "+line).Output()
	if err != nil {
		t.Skip(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}
