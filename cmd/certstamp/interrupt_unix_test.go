//go:build unix

package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/demo"
	"github.com/certstamp/certstamp/policies"
)

// heard is what a process says, with a note when a text was said.
type heard struct {
	mu   sync.Mutex
	b    bytes.Buffer
	text string
	once sync.Once
	said chan struct{}
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b.Write(p)
	if strings.Contains(h.b.String(), h.text) {
		h.once.Do(func() { close(h.said) })
	}
	return len(p), nil
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

// TestInterruptions does to the tool, as a process, each interruption that docs/operations.md lists, and then attaches from
// a folder without its journal. Whatever came first, the stamp was asked to rotate at most once and its end is found.
func TestInterruptions(t *testing.T) {
	const rotating = "watch: the stamp rotates"
	type interruption struct {
		when   string // the words after which it happens
		do     func(t *testing.T, p *os.Process, gone <-chan struct{})
		more   []string
		deaf   bool // the endpoint answers nothing that would end a session
		slower int  // divides the speed of the stamp: a start may take seconds here, and must come before the limit
		code   int  // -1: ended by the signal
		most   time.Duration
		says   string
	}
	signals := func(list ...os.Signal) func(*testing.T, *os.Process, <-chan struct{}) {
		return func(t *testing.T, p *os.Process, _ <-chan struct{}) {
			for _, s := range list {
				if err := p.Signal(s); err != nil {
					t.Error(err)
				}
			}
		}
	}
	const back = "rotate --attach"
	cases := map[string]interruption{
		"signal-before-start": {when: "guard: ask the stamp", do: signals(syscall.SIGTERM), code: 130, most: 5 * time.Second, says: "before anything changed"},
		"signal":              {when: rotating, do: signals(os.Interrupt), code: 5, most: 5 * time.Second, says: back},
		"signal-twice": {when: rotating, do: func(t *testing.T, p *os.Process, gone <-chan struct{}) {
			signals(os.Interrupt)(t, p, gone)
			for { // until the process has taken the first, a second is the same one
				select {
				case <-gone:
					return
				case <-time.After(100 * time.Millisecond):
					_ = p.Signal(os.Interrupt)
				}
			}
		}, deaf: true, code: -1, most: 5 * time.Second, says: back},
		"ci-cancelled": {when: rotating, do: func(t *testing.T, p *os.Process, gone <-chan struct{}) {
			signals(os.Interrupt)(t, p, gone)
			select {
			case <-gone:
			case <-time.After(7500 * time.Millisecond):
				t.Error("it was still there when SIGTERM came")
				_ = p.Kill()
			}
		}, deaf: true, code: 5, most: 7500 * time.Millisecond, says: back},
		"killed":       {when: rotating, do: signals(os.Kill), code: -1, most: 5 * time.Second},
		"max-duration": {when: rotating, do: func(*testing.T, *os.Process, <-chan struct{}) {}, more: []string{"--max-duration", "8s"}, slower: 2, code: 5, most: 12 * time.Second, says: back},
	}
	documented := map[string]int{} // the exit code; -1: ended by the signal, of which there is none
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## How a run can be interrupted")
	table, _, _ = strings.Cut(table, "\n## ")
	for l := range strings.Lines(table) {
		if _, rest, ok := strings.Cut(l, "| `"); ok {
			id, _, _ := strings.Cut(rest, "`")
			cells := strings.Split(strings.Trim(l, "| \n"), " | ")
			exit := cells[len(cells)-1]
			code, err := strconv.Atoi(exit)
			if err != nil {
				code = -1
			}
			if len(cells) != 6 || err != nil && exit != "none" && exit != "the shell's for that signal" {
				t.Errorf("the row of %q has %d cells and the exit %q", id, len(cells), exit)
			}
			documented[id] = code
			if _, ok := cases[id]; !ok {
				t.Errorf("nobody does %q, which docs/operations.md lists", id)
			}
		}
	}
	exe := binary(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait for the simulators most of the time
			if code, ok := documented[name]; !ok || code != c.code {
				t.Errorf("docs/operations.md does not list %q with exit %d", name, c.code)
			}
			spec := demo.Spec{Name: "north", Region: "north", Identity: policies.AAD, Version: "1.2301.2.58", Speed: 800 / max(c.slower, 1), BMC: "pep"} // seven seconds, if not slower
			if c.deaf {
				spec.Extra = "fault-delay-ms: 60000\nfaults: [{on: Disconnect, do: delay}, {on: Delete, do: delay}, {on: Signal, do: delay}]\n"
			}
			r := rehearse(t, exe, spec)
			// An internal rotation needs no set: what is interrupted is the same.
			_, planned, err := r.run(0, append([]string{"plan", "--stamp", "stamps/north", "--kind", "internal", "--reason", "alert: 7", "--out", "../plan.json"}, r.allow...)...)
			if err != nil {
				t.Fatal(err)
			}
			_, digest, ok := strings.Cut(planned, "--plan-sha256 ")
			if !ok {
				t.Fatalf("no plan:\n%s", planned)
			}
			bound := append([]string{"--plan", "../plan.json", "--plan-sha256", digest[:64]}, r.allow...)
			said := &heard{text: c.when, said: make(chan struct{})}
			cmd := exec.Command(r.exe, append(append([]string{"rotate"}, bound...), c.more...)...)
			cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, r.env, said, said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				_ = cmd.Wait()
			}()
			select {
			case <-said.said:
			case <-gone:
				t.Fatalf("it ended before it said %q:\n%s", c.when, said)
			case <-time.After(time.Minute):
				_ = cmd.Process.Kill()
				t.Fatalf("it never said %q:\n%s", c.when, said)
			}
			begun := time.Now()
			c.do(t, cmd.Process, gone)
			<-gone
			if took := time.Since(begun); took > c.most {
				t.Errorf("it left after %s, wanted %s", took, c.most)
			}
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(said.String(), c.says) {
				t.Errorf("exit %d, wanted %d and %q:\n%s", code, c.code, c.says, said)
			}
			// Another machine: it has the plan, and the share's journal.
			if err := os.RemoveAll(filepath.Join(r.dir, ".certstamp")); err != nil {
				t.Fatal(err)
			}
			again, wanted := append([]string{"rotate", "--attach"}, bound...), 1
			if name == "signal-before-start" {
				again = append([]string{"rotate"}, bound...)
			}
			code, out, err := r.run(0, again...)
			if err != nil || code != 0 || r.starts() != wanted {
				t.Errorf("then exit %d (%v), %d starts:\n%s", code, err, r.starts(), out)
			}
		})
	}
}
