package bmc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// stamp is a stamp in memory, its own journal and login.
type stamp struct {
	info      pep.StampInformation
	syntax    pep.Syntax
	health    pep.HealthReport
	healthErr error
	reply     pep.Reply
	err       error
	dialErr   func(n int) error
	appendErr error
	proof     Proof
	probe     bool
	sent      int
	dials     int
	entries   []Entry
	run       string
	onSend    func()
}

func newStamp() *stamp {
	return &stamp{
		info:   pep.StampInformation{RegionName: "east", StampVersion: "1.2301.2.58", ExternalDomainFQDN: "east.contoso.com"},
		syntax: pep.Syntax{Known: true, Parameters: []string{"BmcPassword", "BmcUser"}},
		health: pep.HealthReport{Known: true, Healthy: true},
		run:    "run-1",
	}
}

func (s *stamp) Host() string { return "10.20.1.11:5985" }
func (s *stamp) StampInformation(context.Context) (pep.StampInformation, error) {
	return s.info, nil
}
func (s *stamp) CommandSyntax(context.Context, string) (pep.Syntax, error) { return s.syntax, nil }
func (s *stamp) TestAzureStack(context.Context, plan.HealthCheck, pep.Secrets, pep.Sink) (pep.HealthReport, error) {
	err := s.healthErr
	s.healthErr = nil
	return s.health, err
}

func (s *stamp) SetBMC(context.Context, plan.Call, pep.Secrets, pep.Sink) (pep.Reply, error) {
	s.sent++
	if s.onSend != nil {
		s.onSend()
	}
	return s.reply, s.err
}
func (s *stamp) Close(context.Context) error { return nil }

func (s *stamp) Prepare(context.Context) error { return nil }

func (s *stamp) Append(step, state string, facts map[string]string) error {
	if s.appendErr != nil {
		return s.appendErr
	}
	s.entries = append(s.entries, Entry{Run: s.run, Step: step, State: state, Ending: facts["ending"]})
	return nil
}
func (s *stamp) Entries() []Entry { return s.entries }

func (s *stamp) deps() Deps {
	d := Deps{
		Dial: func(context.Context) (Endpoint, error) {
			s.dials++
			if s.dialErr != nil {
				if err := s.dialErr(s.dials); err != nil {
					return nil, err
				}
			}
			return s, nil
		},
		Journal: s, Now: func() time.Time { return time.Unix(0, 0) },
	}
	if s.probe {
		d.Probe = func(context.Context) (Proof, error) { return s.proof, nil }
	}
	return d
}

func job() Job {
	return Job{
		Stamp: plan.Stamp{Region: "east", FQDN: "contoso.com", Version: "2301"},
		BMC: plan.BMCSection{
			Update: "pep", Health: &plan.HealthCheck{},
			Call: plan.Call{Cmdlet: "Set-BmcCredential", Parameters: []plan.Parameter{{Name: "BmcPassword", Type: "SecureString", Secret: "env:BMC_NEW_PASSWORD"}}},
		},
		Secrets: func(string) (secret.Value, error) { return secret.New("s"), nil },
	}
}

var lost = &psrp.OutcomeUnknownError{Sent: true, Err: errors.New("reset")}

func TestEndings(t *testing.T) {
	rows := []struct {
		name   string
		setup  func(s *stamp, j *Job)
		ending string
		sent   int
	}{
		{"it is set", nil, "set", 1},
		{"it is set, no health check is planned", func(_ *stamp, j *Job) { j.BMC.Health = nil }, "set", 1},
		{"it is set, the stamp does not see its BMCs", func(s *stamp, _ *Job) { s.health.Healthy = false }, "not-seen", 1},
		{"the session dies after it was set", func(s *stamp, _ *Job) { s.healthErr = errors.New("reset") }, "set", 1},
		{"lost, proved by the nodes", func(s *stamp, _ *Job) { s.err, s.probe, s.proof = lost, true, New }, "proved", 1},
		{"lost, disproved by the nodes", func(s *stamp, _ *Job) { s.err, s.probe, s.proof = lost, true, Old }, "proved-not", 1},
		{"lost, some nodes", func(s *stamp, _ *Job) { s.err, s.probe, s.proof = lost, true, Some }, "mixed", 1},
		{"lost, and a healthy stamp proves nothing", func(s *stamp, _ *Job) { s.err = lost }, "no-proof", 1},
		{"it fails", func(s *stamp, _ *Job) { s.err = &pep.CommandError{Record: pep.ErrorRecord{Message: "no"}} }, "call-failed", 1},
		{"an error on the way is a failure too", func(s *stamp, _ *Job) { s.reply.Errors = []pep.ErrorRecord{{Message: "node 3"}} }, "call-failed", 1},
		{"sent before", func(s *stamp, _ *Job) { s.entries = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}} }, "sent-before", 0},
		{"sent before, proved since", func(s *stamp, _ *Job) {
			s.entries, s.probe, s.proof = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}}, true, New
		}, "proved", 0},
		{"sent before, and seen to end well", func(s *stamp, _ *Job) {
			s.entries = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}, {Run: "run-0", Step: stepEnd, State: string(Success)}, {Run: "run-1", Step: stepEnd, State: string(Unknown)}}
		}, "already", 0},
		{"the same, and the stamp no longer sees its BMCs", func(s *stamp, _ *Job) {
			s.entries = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}, {Run: "run-0", Step: stepEnd, State: string(Success)}}
			s.health.Healthy = false
		}, "not-seen", 0},
		{"sent before, and the end was not seen", func(s *stamp, _ *Job) {
			s.entries = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}, {Run: "run-0", Step: stepEnd, State: string(Unknown)}}
		}, "sent-before", 0},
		{"sent before, and seen to fail", func(s *stamp, _ *Job) {
			s.entries = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}, {Run: "run-0", Step: stepEnd, State: string(Failed), Ending: "call-failed"}, {Run: "run-1", Step: stepEnd, State: string(Unknown), Ending: "sent-before"}}
		}, "call-failed", 0},
		{"the same, and the nodes take the new credential", func(s *stamp, _ *Job) {
			s.entries = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}, {Run: "run-0", Step: stepEnd, State: string(Failed), Ending: "call-failed"}}
			s.probe, s.proof = true, New
		}, "proved", 0},
		{"sent before, and some nodes were left", func(s *stamp, _ *Job) {
			s.entries = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}, {Run: "run-0", Step: stepEnd, State: string(Partly), Ending: "mixed"}}
		}, "mixed", 0},
		{"sent before, and an ending that is none", func(s *stamp, _ *Job) {
			s.entries = []Entry{{Run: "run-0", Step: stepStart, State: stateStarting}, {Run: "run-0", Step: stepEnd, State: string(Failed), Ending: "?"}}
		}, "sent-before", 0},
		{"another stamp", func(s *stamp, _ *Job) { s.info.RegionName = "west" }, "wrong-stamp", 0},
		{"a release with the older cmdlet", func(s *stamp, _ *Job) { s.syntax.Parameters = nil }, "bad-call", 0},
		{"a password in clear", func(_ *stamp, j *Job) { j.BMC.Call.Parameters[0].Type = "String" }, "bad-call", 0},
		{"another cmdlet", func(_ *stamp, j *Job) { j.BMC.Call.Cmdlet = "Start-SecretRotation" }, "bad-call", 0},
		{"a password longer than the controllers take", func(_ *stamp, j *Job) {
			j.BMC.Longest = 16
			j.Secrets = func(string) (secret.Value, error) { return secret.New("12345678901234567"), nil }
		}, "long-password", 0},
		{"a password as long as they take", func(_ *stamp, j *Job) {
			j.BMC.Longest = 16
			j.Secrets = func(string) (secret.Value, error) { return secret.New("1234567890123456"), nil }
		}, "set", 1},
		{"no host", func(s *stamp, _ *Job) { s.dialErr = func(int) error { return errors.New("no route") } }, "unreachable", 0},
		{"the login is refused", func(s *stamp, _ *Job) { s.dialErr = func(int) error { return wsman.ErrUnauthorized } }, "login-refused", 0},
		{"no secret", func(_ *stamp, j *Job) { j.Secrets = nil }, "no-secret", 0},
		{"no journal", func(s *stamp, _ *Job) { s.appendErr = errors.New("disk full") }, "no-journal", 0},
		{"not taken", func(s *stamp, _ *Job) { s.err = &wsman.ConnectError{Host: "a", Err: errors.New("refused")} }, "not-taken", 1},
	}
	covered := map[string]bool{"cancelled": true} // TestCancelled
	for _, row := range rows {
		covered[row.ending] = true
		t.Run(row.name, func(t *testing.T) {
			s, j := newStamp(), job()
			if row.setup != nil {
				row.setup(s, &j)
			}
			out, err := Run(t.Context(), s.deps(), j)
			if out.Ending != row.ending || s.sent != row.sent || out.Next == "" {
				t.Errorf("got %q (%v), sent %d times, want %q and %d; findings %+v", out.Ending, err, s.sent, row.ending, row.sent, out.Findings)
			}
			if out.Result == Refused && len(out.Findings) == 0 {
				t.Error("a refusal without a finding")
			}
			// Whatever happened, it is not sent a second time, unless the first never left.
			s.err, s.run = nil, "run-2"
			before := s.sent
			again, _ := Run(t.Context(), s.deps(), j)
			if out.Started && s.sent != before {
				t.Error("it was sent again")
			}
			// And a failure stays one.
			if out.Result == Failed && again.Result != Failed {
				t.Errorf("it ended as %q, and as %q when asked again", out.Ending, again.Ending)
			}
		})
	}
	for _, e := range Endings() {
		if !covered[e.ID] || e.Seen == "" || e.Means == "" || e.Did == "" || e.Next == "" || e.Result == "" {
			t.Errorf("ending %q has no case or lacks words", e.ID)
		}
	}
}

func TestCancelled(t *testing.T) {
	s := newStamp()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := Run(ctx, s.deps(), job())
	if out.Ending != "cancelled" || !errors.Is(err, context.Canceled) || s.sent != 0 {
		t.Errorf("got %q, %v, sent %d", out.Ending, err, s.sent)
	}
	// Once it is sent, leaving is not undoing.
	s = newStamp()
	ctx, cancel = context.WithCancel(t.Context())
	s.onSend, s.err = cancel, &psrp.OutcomeUnknownError{Sent: true, Err: context.Canceled}
	out, _ = Run(ctx, s.deps(), job())
	if out.Ending != "no-proof" || !out.Started || !slices.Contains(s.entries, Entry{Run: "run-1", Step: stepEnd, State: string(Unknown), Ending: "no-proof"}) {
		t.Errorf("got %+v, journal %v", out, s.entries)
	}
}

func TestStarted(t *testing.T) {
	start, not := func(run string) Entry { return Entry{Run: run, Step: stepStart, State: stateStarting} }, func(run string) Entry { return Entry{Run: run, Step: stepStart, State: stateNotTaken} }
	for i, row := range []struct {
		entries []Entry
		want    bool
	}{
		{nil, false},
		{[]Entry{start("a")}, true},
		{[]Entry{start("a"), not("a")}, false},
		{[]Entry{start("a"), not("b")}, true},
		{[]Entry{start("a"), not("a"), start("b")}, true},
		{[]Entry{not("a"), start("a")}, true},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if got := Started(row.entries); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}
