package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/demo"
	"github.com/certstamp/certstamp/policies"
)

// binary builds the tool once for all tests that need it as a process.
func binary(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "certstamp")
	cmd := exec.Command("go", "build", "-o", exe, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe
}

// tool runs the binary in a repository.
type tool struct {
	t    *testing.T
	exe  string
	dir  string
	env  []string
	said bytes.Buffer // everything any run wrote
}

// errKilled reports that the run did not get to its end.
var errKilled = errors.New("killed")

// run runs one command and kills it after a while, if kill is not zero. It returns the exit code.
func (r *tool) run(kill time.Duration, args ...string) (int, string, error) {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	if kill > 0 {
		timer := time.AfterFunc(kill, cancel) // SIGKILL: no handler gets a say
		defer timer.Stop()
	}
	cmd := exec.CommandContext(ctx, r.exe, args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	r.said.Write(out.Bytes())
	if ctx.Err() != nil && err != nil {
		return -1, out.String(), errKilled
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return -1, out.String(), err
	}
	return cmd.ProcessState.ExitCode(), out.String(), nil
}

// rehearsal is one made-up stamp, its simulator as a process of its own, and a packed repository.
type rehearsal struct {
	*tool
	w     *demo.Workspace
	s     *demo.Stamp
	allow []string
	start string // the simulator's first line
}

func rehearse(t *testing.T, exe string, spec demo.Spec) *rehearsal {
	t.Helper()
	w, err := demo.Prepare(t.TempDir(), time.Now(), []demo.Spec{spec})
	if err != nil {
		t.Fatal(err)
	}
	r := &rehearsal{tool: &tool{t: t, exe: exe, dir: w.Repo, env: environment(w)}, w: w, s: w.Stamps[0]}
	r.allow = []string{"--allow-path", r.s.Share, "--allow-path", r.s.Backup}
	r.simulate()
	return r
}

func environment(w *demo.Workspace) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.Dir, "TMPDIR=" + os.TempDir()}
	for k, v := range w.Secrets {
		env = append(env, k+"="+v)
	}
	return env
}

// simulate starts the simulator, which outlives every kill of the tool.
func (r *rehearsal) simulate() {
	r.t.Helper()
	cmd := exec.Command(r.exe, "simulate", "--scenario", r.s.Scenario)
	cmd.Env = r.env
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if r.t.Failed() {
			r.t.Logf("simulator: %s", log.String())
		}
	})
	if r.start, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		r.t.Fatalf("simulator: %v, %q", err, r.start)
	}
}

// pack takes the rehearsal from requests to a packed set. Every command may be killed and is then run again.
func (r *rehearsal) pack(c *chaos) {
	r.t.Helper()
	folder := filepath.Join(r.w.Repo, "stamps", r.s.Name)
	r.until(c, 2*time.Second, "csr", "--stamp", "stamps/"+r.s.Name, "--subject", "O=SIMULATED Contoso", "--key-password", "env:PFX_KEY_PASSWORD")
	if err := r.w.Issue(filepath.Join(folder, "requests"), filepath.Join(folder, "issued"), ""); err != nil {
		r.t.Fatal(err)
	}
	r.until(c, time.Second, append([]string{"pack", "--stamp", "stamps/" + r.s.Name, "--key-password", "env:PFX_KEY_PASSWORD", "--backup"}, r.allow...)...)
}

// starts counts the Start-SecretRotation calls that the simulator has written down.
func (r *rehearsal) starts() int {
	r.t.Helper()
	b, err := os.ReadFile(r.s.History)
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		var e struct{ Event, Cmdlet string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Event == "invoke" && e.Cmdlet == "Start-SecretRotation" {
			n++
		}
	}
	return n
}

// chaos decides when to kill, and remembers where.
type chaos struct {
	rng    *rand.Rand
	budget int // kills left
	where  map[string]int
}

// when is the delay after which the next run dies, or zero.
func (c *chaos) when(command string, longest time.Duration) time.Duration {
	chance := 4 // of 10
	if command == "rotate" {
		chance = 9 // where a mistake would cost the stamp
	}
	if c.budget == 0 || c.rng.IntN(10) >= chance {
		return 0
	}
	return 1 + time.Duration(c.rng.Int64N(int64(longest)))
}

// until runs a command, again after each kill, until it ends by itself.
func (r *rehearsal) until(c *chaos, longest time.Duration, args ...string) (code int, out string) {
	r.t.Helper()
	for {
		code, out, err := r.run(c.when(args[0], longest), args...)
		switch {
		case errors.Is(err, errKilled):
			c.budget--
			c.where[args[0]]++
			continue
		case err != nil:
			r.t.Fatalf("certstamp %s: %v\n%s", strings.Join(args, " "), err, out)
		case code == 5 && args[0] == "rotate" && !slices.Contains(args, "--attach"):
			args = append(args, "--attach") // what the exit code asks for
			continue
		case code != 0 && (code != 5 || args[0] != "rotate"):
			r.t.Fatalf("certstamp %s: exit %d, killed so far %v\n%s", strings.Join(args, " "), code, c.where, out)
		}
		return code, out
	}
}

// TestKilledAnywhere kills the tool with SIGKILL at random moments of the pipeline and runs it again. It always ends in
// success, and the stamp has seen exactly one start per plan. CERTSTAMP_CHAOS asks for more kills than the 30 of every run.
func TestKilledAnywhere(t *testing.T) {
	kills := 30
	if s := os.Getenv("CERTSTAMP_CHAOS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	exe := binary(t)
	seed := uint64(time.Now().UnixNano())
	c := &chaos{rng: rand.New(rand.NewPCG(seed, 1)), budget: kills, where: map[string]int{}}
	t.Logf("seed %d", seed)
	r := rehearse(t, exe, demo.Spec{
		Name: "east", Region: "east", Identity: policies.AAD, Version: "1.2301.2.58", Speed: 1800, BMC: "pep",
		Extra: "max-shells: 10000\n", // who is killed leaves one behind, and here that happens every few seconds
	})
	r.pack(c)

	want, plans := 0, 0
	for c.budget > 0 || plans == 0 {
		plans++
		want += r.pipeline(c, fmt.Sprintf("plan-%d.json", plans))
		if got := r.starts(); got != want {
			t.Fatalf("after %d plans the simulator has seen %d starts, not %d", plans, got, want)
		}
		// The next plan needs another set: the same certificates would be a rotation to what is already served.
		if err := errors.Join(os.RemoveAll(filepath.Join(r.w.Repo, "stamps", r.s.Name, "issued")), os.RemoveAll(filepath.Join(r.w.Repo, "stamps", r.s.Name, "certificates"))); err != nil {
			t.Fatal(err)
		}
		r.pack(c)
	}
	tell(t, "killed anywhere: %d kills over %d plans, %d starts; killed in %v", kills-c.budget, plans, r.starts(), c.where)
}

// tell says in one line what a test did that rolls dice. Go shows nothing that a passing test of several packages prints, so
// the line also goes to the file that make ci shows.
func tell(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	fmt.Println(line)
	name := os.Getenv("CERTSTAMP_TALLY")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, line)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// pipeline runs the commands of one plan, and returns how many starts it must have caused: one, or none when the tool died
// after it had announced the start and before it sent it. Then nothing proves a rotation, and only a new plan may start one.
func (r *rehearsal) pipeline(c *chaos, file string) int {
	r.t.Helper()
	file = filepath.ToSlash(filepath.Join("..", file))
	_, out := r.until(c, 400*time.Millisecond, "plan", "--stamp", "stamps/"+r.s.Name, "--out", file)
	digest := ""
	for line := range strings.Lines(out) {
		if d, ok := strings.CutPrefix(strings.TrimSpace(line), "plan sha256: "); ok {
			digest = d
		}
	}
	bound := append([]string{"--plan", file, "--plan-sha256", digest}, r.allow...)
	r.until(c, 500*time.Millisecond, append([]string{"stage"}, bound...)...)
	code, out := r.until(c, 1800*time.Millisecond, append([]string{"rotate"}, bound...)...)
	if code == 5 {
		if !strings.Contains(out, "no-proof") {
			r.t.Fatalf("rotate said:\n%s", out)
		}
		return r.pipeline(c, strings.TrimPrefix(file, "../")+".again.json")
	}
	if !strings.Contains(out, "rotation: success") {
		r.t.Errorf("rotate did not say success:\n%s", out)
	}
	_, out = r.until(c, 400*time.Millisecond, append([]string{"verify"}, bound...)...)
	if !strings.Contains(out, "verify: 11 of 11 endpoints serve the planned certificate") {
		r.t.Errorf("verify said:\n%s", out)
	}
	r.until(c, 300*time.Millisecond, append([]string{"unstage"}, bound...)...)
	return 1
}
