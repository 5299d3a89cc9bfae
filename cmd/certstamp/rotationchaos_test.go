package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/demo"
	"github.com/certstamp/certstamp/policies"
)

// TestRotationsUnderFaults rotates a simulated stamp, which is a process of its own, again and again: over connections that
// break, freeze and speak nonsense, with rotations that fail, and with a tool that is interrupted or killed at any moment.
// What the tool says is held against what the stamp has written down:
//
//   - a reported success is one, and a reported failure is none;
//   - a success is reported, or the outcome is called unknown and rotate --attach then finds it;
//   - who says that nothing was started has started nothing;
//   - no plan starts twice.
//
// CERTSTAMP_CHAOS asks for more than the few rotations of every run, CERTSTAMP_CHAOS_SEED repeats the orders of one.
func TestRotationsUnderFaults(t *testing.T) {
	rotations, stamps, long := 6, 1, false
	if s := os.Getenv("CERTSTAMP_CHAOS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		rotations, stamps, long = n, 4, true // a stamp spends most of its time waiting
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CERTSTAMP_CHAOS_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("CERTSTAMP_CHAOS_SEED=%d", seed)
	exe := binary(t)
	total := newTally()
	t.Run("stamps", func(t *testing.T) {
		for i := range stamps {
			share := rotations / stamps
			if i < rotations%stamps {
				share++
			}
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				s := newStorm(t, exe, rand.New(rand.NewPCG(seed, uint64(i))))
				s.long = long
				for n := range share {
					s.rotate()
					t.Logf("stamp %d, rotation %d: %d plans, %d starts", i, n+1, s.tally.plans, s.tally.starts)
					if t.Failed() {
						break
					}
				}
				s.keepsSecrets()
				total.add(s.tally)
			})
		}
	})
	tell(t, "rotations under faults: seed %d; %s", seed, strings.ReplaceAll(total.String(), "\n", "; "))
}

// tally counts what happened.
type tally struct {
	mu                                      sync.Mutex
	plans, starts, successes, failures      int
	attaches                                int
	faults, interrupted, codes, endings, by map[string]int
}

func newTally() *tally {
	return &tally{faults: map[string]int{}, interrupted: map[string]int{}, codes: map[string]int{}, endings: map[string]int{}, by: map[string]int{}}
}

func (t *tally) add(o *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plans += o.plans
	t.starts += o.starts
	t.successes += o.successes
	t.failures += o.failures
	t.attaches += o.attaches
	for _, m := range [][2]map[string]int{{t.faults, o.faults}, {t.interrupted, o.interrupted}, {t.codes, o.codes}, {t.endings, o.endings}, {t.by, o.by}} {
		for k, n := range m[1] {
			m[0][k] += n
		}
	}
}

func (t *tally) String() string {
	show := func(m map[string]int) string {
		n := 0
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			n += m[k]
			parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
		}
		return fmt.Sprintf("%d (%s)", n, strings.Join(parts, ", "))
	}
	return fmt.Sprintf("plans %d, starts at the stamp %d, rotations that succeeded %d, that failed %d\nfaults carried out %s\ninterruptions %s\nexit codes of rotate %s\nendings %s\nsuccesses found by %s, attaches %d",
		t.plans, t.starts, t.successes, t.failures, show(t.faults), show(t.interrupted), show(t.codes), show(t.endings), show(t.by), t.attaches)
}

// storm is one stamp and what befalls it.
type storm struct {
	*rehearsal
	rng            *rand.Rand
	tally          *tally
	control, token string
	sets           [2]string // folders with a packed set and its backup each
	turn, plans    int
	long           bool
	typical        time.Duration // how long an undisturbed rotate takes
	read           int           // bytes of the history that were counted
	events         []stampEvent
}

// stampEvent is one line of the stamp's history.
type stampEvent struct {
	Event, Cmdlet, Action, Step, On, Do string
}

var startLine = regexp.MustCompile(`control (http://127\.0\.0\.1:\d+) token ([A-Z0-9]+)`)

func newStorm(t *testing.T, exe string, rng *rand.Rand) *storm {
	t.Helper()
	// A killed tool leaves its shells to the stamp, which keeps them for two hours of real time: the quota has a fault of its own.
	r := rehearse(t, exe, demo.Spec{
		Name: "east", Region: "east", Identity: policies.AAD, Version: "1.2301.2.58", Speed: 3000, BMC: "pep",
		Extra: "control: 127.0.0.1:0\nmax-shells: 10000\n",
	})
	s := &storm{rehearsal: r, rng: rng, tally: newTally(), typical: 2 * time.Second}
	m := startLine.FindStringSubmatch(r.start)
	if m == nil {
		t.Fatalf("no control endpoint in %q", r.start)
	}
	s.control, s.token = m[1], m[2]
	calm := &chaos{rng: rng, where: map[string]int{}}
	folder := filepath.Join(r.w.Repo, "stamps", r.s.Name)
	for i := range s.sets {
		r.pack(calm) // the second time for the same keys
		s.sets[i] = filepath.Join(r.w.Dir, fmt.Sprintf("set-%d", i))
		for _, part := range [][2]string{{filepath.Join(folder, "certificates"), "certificates"}, {r.s.Backup, "backup"}} {
			if err := os.CopyFS(filepath.Join(s.sets[i], part[1]), os.DirFS(part[0])); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.RemoveAll(filepath.Join(folder, "issued")), os.RemoveAll(filepath.Join(folder, "certificates"))); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// unpack puts the next set where the repository and the backup have theirs.
func (s *storm) unpack() {
	s.t.Helper()
	for _, part := range [][2]string{{filepath.Join(s.w.Repo, "stamps", s.s.Name, "certificates"), "certificates"}, {s.s.Backup, "backup"}} {
		if err := errors.Join(os.RemoveAll(part[0]), os.CopyFS(part[0], os.DirFS(filepath.Join(s.sets[s.turn], part[1])))); err != nil {
			s.t.Fatal(err)
		}
	}
	s.turn = 1 - s.turn
}

// order sends an order to the stamp.
func (s *storm) order(path string, what any) {
	s.t.Helper()
	b, err := json.Marshal(what)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.control+path, bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s", path, b, a.Status)
	}
}

type (
	faultOrder struct {
		On     string `json:"on"`
		Nth    []int  `json:"n,omitempty"`
		Times  int    `json:"times,omitempty"`
		Millis int    `json:"ms,omitempty"`
		Do     string `json:"do"`
	}
	faultOrders struct {
		Replace bool         `json:"replace"`
		Faults  []faultOrder `json:"faults"`
	}
	failOrder struct {
		Step    int    `json:"step"`
		Message string `json:"message"`
		Again   bool   `json:"again"`
	}
)

// troubles are the faults of each kind of request, and how many of its kind one rotation sees.
var troubles = []struct {
	on   string
	most int
	do   []string
}{
	{"Command", 9, []string{"close-before", "close-after", "freeze", "freeze-after", "noise", "plain-text", "unsealed", "503", "401", "timeout", "garbage", "bad-signature", "truncate", "duplicate-id", "host-call", "quota"}},
	{"Command", 9, []string{"close-after", "freeze-after", "noise", "unsealed", "garbage", "bad-signature", "truncate"}}, // the stamp takes it, and nobody hears of it
	{"Receive", 60, []string{"close-before", "close-after", "freeze", "freeze-after", "noise", "plain-text", "unsealed", "503", "401", "timeout", "garbage", "bad-signature", "truncate", "duplicate-fragment", "quota"}},
	{"Receive", 60, []string{"shell-gone", "terminated", "disconnected", "aborted", "pool-broken"}},
	{"Receive", 60, []string{"close-before", "close-after", "401", "timeout"}},
	{"Create", 2, []string{"close-before", "close-after", "503", "401", "timeout", "garbage", "duplicate-id", "pool-broken", "quota"}},
	{"Send", 2, []string{"close-before", "close-after", "freeze-after", "503", "401", "timeout", "truncate"}},
	{"Login", 4, []string{"close-before", "close-after", "freeze", "noise", "plain-text", "503", "401", "delay"}},
	{"*", 80, []string{"close-before", "close-after", "503", "401", "delay", "timeout", "garbage", "bad-signature", "truncate"}},
}

// startCommand is the start itself among the Commands of a rotate that nothing disturbs. When the stamp does not take it, the
// tool needs its time to say that nothing proves a rotation, so the few rotations of every run leave it to chance.
const startCommand = 7

// trouble orders what befalls the next rotation. eternal reports a socket that freezes for good, which takes the tool a
// minute and a half to give up, or a question that may never be answered: then somebody interrupts it.
func (s *storm) trouble() (eternal bool) {
	s.t.Helper()
	o := faultOrders{Replace: true, Faults: []faultOrder{}}
	for range s.rng.IntN(5) {
		kind := troubles[s.rng.IntN(len(troubles))]
		f := faultOrder{On: kind.on, Do: kind.do[s.rng.IntN(len(kind.do))], Times: 1, Nth: []int{1 + s.rng.IntN(kind.most)}}
		switch {
		case strings.HasPrefix(f.Do, "freeze") && s.rng.IntN(4) == 0:
			eternal = true
		case strings.HasPrefix(f.Do, "freeze"), f.Do == "delay":
			f.Millis = 100 + s.rng.IntN(1200)
		}
		if s.long && kind.on == "Command" && s.rng.IntN(2) == 0 {
			f.Nth = []int{startCommand}
		} else if s.rng.IntN(4) == 0 { // a bad minute instead of a bad moment
			f.Nth, f.Times = nil, 1+s.rng.IntN(4)
		}
		o.Faults = append(o.Faults, f)
	}
	// A question that got lost, or its answer, is waited for for good.
	asks := slices.ContainsFunc(o.Faults, func(f faultOrder) bool { return f.Do == "host-call" })
	s.order("/faults", o)
	return eternal || asks && len(o.Faults) > 1
}

func (s *storm) calm() { s.order("/faults", faultOrders{Replace: true, Faults: []faultOrder{}}) }

// since reads what the stamp has written down after the events that were seen before.
func (s *storm) since(seen int) []stampEvent {
	s.t.Helper()
	b, err := os.ReadFile(s.s.History)
	if err != nil {
		s.t.Fatal(err)
	}
	end := bytes.LastIndexByte(b, '\n') + 1 // the last line may be half written
	for line := range bytes.Lines(b[s.read:end]) {
		var e stampEvent
		if err := json.Unmarshal(line, &e); err != nil {
			s.t.Fatalf("history %q: %v", line, err)
		}
		if e.Event == "fault" {
			s.tally.faults[e.On+" "+e.Do]++
		}
		s.events = append(s.events, e)
	}
	s.read = end
	return s.events[seen:]
}

// truth is what became of one plan's start, by the stamp's own word.
type truth struct {
	starts    int    // Start-SecretRotation calls
	began     bool   // an action was started or resumed
	completed bool   // and has completed
	failed    bool   // and has failed
	action    string // the stamp's id of it
}

func (s *storm) truthSince(seen int) truth {
	var t truth
	for _, e := range s.since(seen) {
		switch {
		case e.Event == "invoke" && e.Cmdlet == "Start-SecretRotation":
			t.starts++
		case e.Event == "action-started", e.Event == "action-resumed":
			t.began, t.action = true, e.Action
		case e.Event == "action-completed":
			t.completed = true
		case e.Event == "action-failed":
			t.failed = true
		}
	}
	return t
}

// A way to disturb the tool.
type disturbance struct {
	after time.Duration
	how   string // SIGKILL, SIGINT, or SIGINT twice
}

func (s *storm) disturbance(eternal bool) disturbance {
	roll := s.rng.IntN(10)
	d := disturbance{after: 1 + time.Duration(s.rng.Int64N(int64(s.typical*5/4)))}
	switch {
	case roll < 2:
		d.how = "SIGKILL"
	case roll < 4, eternal:
		d.how = "SIGINT"
	case roll < 5:
		d.how = "SIGINT twice"
	default:
		return disturbance{}
	}
	if eternal {
		d.after += 2 * s.typical
	}
	if runtime.GOOS == "windows" {
		d.how = "SIGKILL" // nothing else can be sent to a process there
	}
	return d
}

// disturbed runs the tool and disturbs it. The code is -1 when it was killed.
func (s *storm) disturbed(d disturbance, args ...string) (code int, out string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.exe, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	var disturbing sync.WaitGroup
	if d.how != "" {
		disturbing.Go(func() {
			select {
			case <-done:
				return
			case <-time.After(d.after):
			}
			if d.how == "SIGKILL" {
				_ = cmd.Process.Kill()
				return
			}
			_ = cmd.Process.Signal(os.Interrupt)
			if d.how == "SIGINT twice" {
				select {
				case <-done:
				case <-time.After(s.typical / 50):
					_ = cmd.Process.Signal(os.Interrupt)
				}
			}
		})
	}
	begun := time.Now()
	err := cmd.Wait()
	close(done)
	disturbing.Wait()
	out = b.String()
	s.said.WriteString(out)
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		s.t.Fatalf("certstamp %s: %v\n%s", strings.Join(args, " "), err, out)
	case err == nil && d.how == "" && args[0] == "rotate" && !slices.Contains(args, "--attach"):
		s.typical = (3*s.typical + min(time.Since(begun), 10*time.Second)) / 4
	}
	if time.Since(begun) >= d.after && d.how != "" {
		s.tally.interrupted[d.how]++
	}
	return cmd.ProcessState.ExitCode(), out
}

// calmly runs a command that nobody disturbs and that must succeed.
func (s *storm) calmly(args ...string) string {
	s.t.Helper()
	s.calm()
	code, out := s.disturbed(disturbance{}, args...)
	if code != 0 {
		s.t.Fatalf("certstamp %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// rotate takes the stamp to the other set, over as many plans as it takes.
func (s *storm) rotate() {
	s.t.Helper()
	s.unpack()
	kind := "external"
	var adopt []string
	s.order("/fail", s.failure())
	for failures := 0; ; {
		switch s.plan(kind, adopt...) {
		case "success":
			s.order("/fail", failOrder{})
			return
		case "failed":
			if kind == "rerun" {
				adopt = []string{"--adopt", "support said so"}
			}
			kind = "rerun"
			if failures++; failures == 2 {
				s.order("/fail", failOrder{}) // support has been there
			}
		case "not started":
			// The same kind again, with a new plan.
		}
		if s.t.Failed() {
			return
		}
	}
}

// failure lets one rotation in four fail at a step, some of them again when they are run again.
func (s *storm) failure() failOrder {
	if s.rng.IntN(4) > 0 {
		return failOrder{}
	}
	return failOrder{Step: 1 + s.rng.IntN(6), Message: "ordered by the storm", Again: s.rng.IntN(3) == 0}
}

var (
	planDigest  = regexp.MustCompile(`plan sha256: ([0-9a-f]{64})`)
	endingWords = regexp.MustCompile(`rotation: ([a-z-]+) \(([a-z-]+)\)`)
)

// mostStormy is how many runs of rotate are disturbed before the weather clears up.
const mostStormy = 5

// plan carries out one plan and says how it came out: success, failed, or not started.
func (s *storm) plan(kind string, more ...string) string {
	s.t.Helper()
	s.plans++
	s.tally.plans++
	file := fmt.Sprintf("../plan-%d.json", s.plans)
	seen, before := len(s.since(0)), s.served()
	if kind == "rerun" {
		before = nil // the rotation that failed may have got that far
	}
	m := planDigest.FindStringSubmatch(s.calmly(append([]string{"plan", "--stamp", "stamps/" + s.s.Name, "--kind", kind, "--out", file}, more...)...))
	if m == nil {
		s.t.Fatal("plan names no digest")
	}
	bound := append([]string{"--plan", file, "--plan-sha256", m[1]}, s.allow...)
	s.calmly(append([]string{"stage"}, bound...)...)

	log := []string{"plan " + strconv.Itoa(s.plans) + " " + kind}
	fatal := func(format string, args ...any) string {
		s.t.Helper()
		s.t.Errorf("%s\n%s\nthe stamp: %+v", fmt.Sprintf(format, args...), strings.Join(log, "\n"), s.since(seen))
		return ""
	}
	attach := false
	for run := 1; ; run++ {
		var d disturbance
		if run <= mostStormy {
			d = s.disturbance(s.trouble())
		} else {
			s.calm()
		}
		begun := time.Now()
		args := append([]string{"rotate"}, bound...)
		if attach {
			args = append(args, "--attach")
			s.tally.attaches++
		}
		code, out := s.disturbed(d, args...)
		is := s.truthSince(seen)
		ending := ""
		if m := endingWords.FindStringSubmatch(out); m != nil {
			ending = m[2]
			s.tally.endings[ending]++
		}
		s.tally.codes[strconv.Itoa(code)]++
		s.t.Logf("plan %d run %d, attach %v, %s after %v: exit %d %s in %v; truth %+v", s.plans, run, attach, d.how, d.after, code, ending, time.Since(begun), is)
		log = append(log, fmt.Sprintf("run %d, attach %v, %s after %v: exit %d %s; truth %+v\n%s", run, attach, d.how, d.after, code, ending, is, out))
		if is.starts > 1 {
			return fatal("%d starts for one plan", is.starts)
		}
		attach = attach || s.rng.IntN(2) == 0 && is.starts > 0
		switch code {
		case 0:
			if !is.completed || is.failed {
				return fatal("success was reported and is none")
			}
			s.tally.successes++
			s.tally.starts += is.starts
			s.tally.by[map[bool]string{true: "rotate --attach", false: "rotate"}[slices.Contains(args, "--attach")]]++
			s.prove(filepath.Join(s.dir, file), before, bound)
			return "success"
		case 4:
			if is.completed || is.began && !is.failed {
				return fatal("a failure was reported and is none")
			}
			s.tally.failures++
			s.tally.starts += is.starts
			return "failed"
		case 1, 3, 130:
			if is.starts > 0 {
				return fatal("the tool says that nothing was started")
			}
			attach = false
			if code == 1 || run > mostStormy+2 {
				return fatal("the tool does not start")
			}
		case 5:
			attach = true
			switch {
			case run <= mostStormy:
			case ending == "no-proof" && !is.began:
				s.tally.starts += is.starts
				return "not started"
			case run > mostStormy+2:
				return fatal("rotate --attach does not find the outcome")
			}
		case -1: // killed: whatever comes next must sort it out
		default:
			return fatal("exit %d", code)
		}
	}
}

// served asks the stamp for the leaves that its endpoints serve.
func (s *storm) served() map[string]string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.control+"/state", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer a.Body.Close()
	var state struct {
		Served []struct{ Folder, SHA256 string }
	}
	if err := json.NewDecoder(a.Body).Decode(&state); err != nil || len(state.Served) != 11 {
		s.t.Fatalf("%d served leaves, %v", len(state.Served), err)
	}
	out := map[string]string{}
	for _, leaf := range state.Served {
		out[leaf.Folder] = leaf.SHA256
	}
	return out
}

// prove holds the endpoints against the plan, now and then in the tool's own words too, and then ends the plan.
func (s *storm) prove(file string, before map[string]string, bound []string) {
	s.t.Helper()
	plan, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	for folder, leaf := range s.served() {
		if leaf == before[folder] || !bytes.Contains(plan, []byte(leaf)) {
			s.t.Errorf("%s serves %s, which is not what was planned", folder, leaf)
		}
	}
	if s.rng.IntN(4) > 0 {
		return
	}
	out := s.calmly(append([]string{"verify"}, bound...)...)
	if !strings.Contains(out, "verify: 11 of 11 endpoints serve the planned certificate") {
		s.t.Errorf("verify said:\n%s", out)
	}
	s.calmly(append([]string{"unstage"}, bound...)...)
}

// keepsSecrets looks through everything that was said and written down.
func (s *storm) keepsSecrets() {
	s.t.Helper()
	h, err := os.ReadFile(s.s.History)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, secret := range s.w.Secrets {
		if strings.Contains(s.said.String(), secret) || bytes.Contains(h, []byte(secret)) {
			s.t.Errorf("%s was shown", name)
		}
	}
}
