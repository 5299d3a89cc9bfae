package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	nethttp "net/http" // http is a double of this package's tests
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/rotate"
)

// unplayed are the endings that no scenario of the simulator produces. Package rotate has a case for each on a made-up world.
var unplayed = map[string]string{
	"said-success":     "every simulated stamp tells its actions apart",
	"said-failure":     "a simulated action that fails also shows it",
	"call-failed":      "whatever a simulated start fails with, it has begun an action that fails",
	"no-contact":       "the limit of a plan is hours of real time",
	"still-running":    "the limit of a plan is hours of real time",
	"bad-call":         "a plan with such a call is refused before, because it is made again from the checkout",
	"no-journal":       "takes a disk that fills up between two lines",
	"endpoints-unseen": "an endpoint that cannot be seen is an observation too: only leaving ends the look",
	"not-taken":        "the simulator's faults happen to a request that has arrived",
}

// scene is a stamp, the way to an ending and what it must come to.
type scene struct {
	ending string
	extra  string // of the simulator's scenario
	speed  int
	away   bool            // the stamp is not there
	set    bool            // the plan is of an external rotation, with its set on the share; else of an internal one
	rerun  bool            // the plan reruns an internal rotation
	prior  func(s *played) // to the plan
	before func(s *played) // after it, and after staging
	env    map[string]string
	args   []string // after rotate
	when   string   // what do waits for to be said
	do     func(s *played, leave func())
	code   int
	starts int // while the command ran
}

// played is a scene that is being played.
type played struct {
	*stand
	bound []string
}

func (s *played) forget() {
	s.t.Helper()
	if err := errors.Join(os.RemoveAll(filepath.Join(s.w.Repo, ".certstamp")), os.RemoveAll(filepath.Join(s.s.Share, "_certstamp"))); err != nil {
		s.t.Fatal(err)
	}
}

const watching = "watch: the stamp rotates"

func away(_ *played, leave func()) { leave() }

// started lets the rotation begin and leaves it.
func (s *played) started() {
	s.t.Helper()
	s.check(s.act(scene{when: watching, do: away}), 5, "detached")
}

var startLine = regexp.MustCompile(`control (http://127\.0\.0\.1:\d+) token ([A-Z0-9]+)`)

// order sends faults to the simulator.
func (s *played) order(body string) {
	s.t.Helper()
	s.mu.Lock()
	m := startLine.FindSubmatch(s.said.Bytes())
	s.mu.Unlock()
	if m == nil {
		s.t.Fatal("the simulator named no control endpoint")
	}
	r, err := nethttp.NewRequestWithContext(s.t.Context(), nethttp.MethodPost, string(m[1])+"/faults", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+string(m[2]))
	a, err := nethttp.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = a.Body.Close()
	if a.StatusCode != nethttp.StatusOK {
		s.t.Fatalf("the simulator took no order: %s", a.Status)
	}
}

type happened struct{ Event, Cmdlet, On string }

// happenings is the stamp's history so far.
func (s *played) happenings() []happened {
	s.t.Helper()
	b, err := os.ReadFile(s.s.History)
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	var out []happened
	for line := range bytes.Lines(b) {
		var h happened
		if err := json.Unmarshal(line, &h); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, h)
	}
	return out
}

// written is everything on the share but the lock, and the local journal.
func (s *played) written() string {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.s.Share, "_certstamp", "lock")); err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(s.s.Share, "_certstamp")) // if only the lock lay in it
	out := print(s.t, s.s.Share)
	journals, err := filepath.Glob(filepath.Join(s.w.Repo, ".certstamp", "*", "journal-*.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range journals {
		b, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		out += string(b)
	}
	return out
}

// TestEndingsOnAStamp produces every ending that a simulated stamp can be brought to, through the command line, and holds the
// exit code, the starts that the stamp counts, and what the table of docs/operations.md says that the run did.
func TestEndingsOnAStamp(t *testing.T) {
	const (
		failed  = "last-action: {word: Failed, internal: true, started: '2026-01-01T00:00:00Z'}\n"
		control = "control: 127.0.0.1:0\n"
	)
	scenes := []scene{
		{ending: "completed", starts: 1},
		{ending: "proved-by-leaves", set: true, speed: 400, before: func(s *played) {
			s.started()
			s.forget() // now it is somebody else's
		}},
		{ending: "already-rotated", set: true, before: func(s *played) {
			s.must(nil, append([]string{"rotate"}, s.bound...)...)
			s.forget()
		}},
		{ending: "already-done", before: func(s *played) { s.must(nil, append([]string{"rotate"}, s.bound...)...) }},
		{ending: "action-failed", extra: "fail: {step: 2, message: 'the secret store is full'}\n", code: 4, starts: 1},
		{ending: "contradicted", extra: "streams: Start-SecretRotation\n", code: 4, starts: 1},
		{ending: "failed-again", rerun: true, extra: "fail: {step: 2, message: 'the secret store is full', again: true}\n", prior: func(s *played) {
			first := s.plan("first.json", "--kind", "internal", "--reason", "alert: 7")
			s.check(s.run(nil, append([]string{"rotate"}, first...)...), 4)
		}, code: 4, starts: 1},
		{ending: "third-attempt", rerun: true, extra: "fail: {step: 2, message: 'the secret store is full', again: true}\n", prior: func(s *played) {
			for i, kind := range [][]string{{"internal"}, {"rerun", "--rerun-of", "internal"}} {
				p := s.plan(fmt.Sprintf("attempt-%d.json", i), append([]string{"--reason", "alert: 7", "--kind"}, kind...)...)
				s.check(s.run(nil, append([]string{"rotate"}, p...)...), 4)
			}
		}, code: 1},
		{ending: "no-proof", extra: control, when: "start: start the rotation", do: func(s *played, _ func()) {
			// Get-AzureStackUpdateStatus and Get-ActionStatus come first. The start has arrived when the connection ends, and nothing is done with it.
			s.order(`{"faults": [{"on": "Command", "n": [3], "do": "close-before"}]}`)
		}, code: 5},
		{ending: "cut-off", speed: 900, before: (*played).started, env: map[string]string{"PEP_PASSWORD": "Wrong1Password"}, args: []string{"--attach"}, code: 5},
		{ending: "unanswered", speed: 900, extra: control, before: func(s *played) {
			s.started()
			s.order(`{"faults": [{"on": "Login", "do": "close-after"}]}`)
		}, args: []string{"--attach"}, code: 5},
		{ending: "left-unseen", speed: 900, before: (*played).started, args: []string{"--attach"}, when: "attach: ask the stamp", do: away, code: 5},
		{ending: "detached", speed: 900, when: watching, do: away, code: 5, starts: 1},
		{ending: "wrong-stamp", extra: "stamp-information: {RegionName: west}\n", code: 1},
		{ending: "not-ready", extra: "health: {AzsInfraCapacity: FAIL}\n", code: 1},
		{ending: "last-failed", extra: failed, code: 1},
		{ending: "not-ours", extra: failed, rerun: true, code: 1},
		{ending: "nothing-to-rerun", rerun: true, code: 1},
		{ending: "another-ran", before: func(s *played) {
			s.must(nil, append([]string{"rotate"}, s.bound...)...)
			s.forget()
		}, code: 1},
		{ending: "unreachable", away: true, code: 3},
		{ending: "login-refused", env: map[string]string{"PEP_PASSWORD": "Wrong1Password"}, code: 3},
		{ending: "no-secret", set: true, env: map[string]string{"SHARE_PASSWORD": ""}, code: 2},
		{ending: "cancelled", when: "guard: ask the stamp", do: away, code: 130},
	}
	did := map[string]string{}
	for _, e := range rotate.Endings() {
		did[e.ID] = e.Did
		n := 0
		for _, c := range scenes {
			if c.ending == e.ID {
				n++
			}
		}
		if _, ok := unplayed[e.ID]; ok == (n > 0) {
			t.Errorf("%q has %d scenes, and a reason for having none: %v", e.ID, n, ok)
		}
	}
	for id := range unplayed {
		if did[id] == "" {
			t.Errorf("nothing ends as %q", id)
		}
	}
	for _, c := range scenes {
		t.Run(c.ending, func(t *testing.T) {
			t.Parallel() // they wait for the simulators most of the time
			c.play(t, did[c.ending])
		})
	}
}

func (c scene) play(t *testing.T, did string) {
	spec := east
	spec.Extra = c.extra
	if c.speed > 0 {
		spec.Speed = c.speed
	}
	s := &played{stand: newStand(t, spec)}
	if !c.away {
		s.simulate()
	}
	kind := []string{"--kind", "internal", "--reason", "alert: 7"}
	switch {
	case c.set:
		s.pack()
		kind = nil
	case c.rerun:
		kind = []string{"--kind", "rerun", "--rerun-of", "internal", "--reason", "alert: 7"}
	}
	if c.prior != nil {
		c.prior(s)
	}
	s.bound = s.plan("plan.json", kind...)
	if c.set {
		s.must(nil, append([]string{"stage"}, s.bound...)...)
	}
	if c.before != nil {
		c.before(s)
	}
	seen, starts, written := len(s.happenings()), s.count(), s.written()
	a := s.act(c)
	said := a.stdout + a.stderr
	if a.code != c.code || c.ending != "cancelled" && !strings.Contains(said, "("+c.ending+")") {
		t.Errorf("exit %d, wanted %d as %q:\n%s", a.code, c.code, c.ending, said)
	}
	if first := strings.Contains(said, "next: when the endpoint's account is in order: "); first != (c.ending == "cut-off" || c.ending == "unanswered") {
		t.Errorf("the next command waits for the account: %v\n%s", first, said)
	}
	if n := s.count() - starts; n != c.starts {
		t.Errorf("the stamp was asked to rotate %d times, wanted %d", n, c.starts)
	}
	new := s.happenings()[seen:]
	count := func(event, on string) (n, last int) {
		last = -1
		for i, h := range new {
			if h.Event == event && (on == "" || h.On == on) {
				n, last = n+1, i
			}
		}
		return n, last
	}
	switch {
	case strings.HasPrefix(did, "sent the start once"):
		if total := s.count(); total > 1 && c.ending != "failed-again" || total > 2 {
			t.Errorf("the stamp was asked to rotate %d times in all", total)
		}
	case c.starts != 0:
		t.Errorf("%q, and it started something", did)
	}
	if strings.Contains(did, "wrote nothing") && s.written() != written {
		t.Errorf("%q, and the share or the journal has changed", did)
	}
	refused, last := count("login-refused", "")
	switch {
	case strings.HasPrefix(did, "logged in nowhere"):
		if len(new) > 0 {
			t.Errorf("%q, and the stamp saw %v", did, new)
		}
	case strings.Contains(did, "nowhere else"), strings.Contains(did, "after the refusal"):
		if refused != 1 || slices.ContainsFunc(new[last+1:], func(h happened) bool { return h.Event == "invoke" }) {
			t.Errorf("%q, and the stamp saw %v", did, new)
		}
	case strings.Contains(did, "after the third"):
		if n, _ := count("fault", "Login"); n != 3 {
			t.Errorf("%q, and the stamp saw %d logins", did, n)
		}
	}
}

// count is starts, or none while there is no stamp.
func (s *played) count() int {
	n := 0
	for _, h := range s.happenings() {
		if h.Event == "invoke" && h.Cmdlet == "Start-SecretRotation" {
			n++
		}
	}
	return n
}

// act runs the scene's command, and does what the scene has for it when its time comes.
func (s *played) act(c scene) answer {
	s.t.Helper()
	args := append(append([]string{"rotate"}, c.args...), s.bound...)
	if c.when == "" {
		return s.run(c.env, args...)
	}
	ctx, leave := context.WithCancel(s.t.Context())
	defer leave()
	var said lines
	said.on = func(line string) {
		if strings.Contains(line, c.when) {
			c.do(s, leave)
		}
	}
	env := maps.Clone(s.w.Secrets)
	code := cli.Main(ctx, args, cli.Env{
		Stdin: strings.NewReader(""), Stdout: &said, Stderr: &said, Dir: s.w.Repo, Now: time.Now, Version: "test",
		Getenv: func(name string) string { return env[name] },
	})
	return answer{code: code, stdout: said.String()}
}
