package rotate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// world is a stamp in memory, with everything around it: what a test sets up, and what it looks at afterwards.
type world struct {
	info        pep.StampInformation
	last        pep.Status
	doneAt      time.Time // when the running action ends
	doneState   pep.State
	served      []Served
	serveErr    error
	adfs        Evidence
	adfsErr     error
	update      pep.Update
	updateErr   error
	syntax      pep.Syntax // of the start
	syntaxErr   error
	takes       map[string][]string // parameters of the others
	without     []string            // cmdlets that the endpoint does not have
	described   []string            // cmdlets whose syntax was asked for
	commandsErr error
	health      pep.HealthReport
	healthErr   error
	onHealth    func()
	serve       func() []Served // instead of served

	dialErr   func(n int) error // by the number of the login, from 1
	statusErr func(n int) error
	infoErr   error
	mayStart  func(now time.Time) error
	prepare   func() error
	onStart   func(ctx context.Context, sink pep.Sink) (pep.Reply, error)
	nameless  bool // the stamp tells neither instance nor times

	archiveErr                                       error
	dials, infos, statuses, starts, closes, detaches int
	archives                                         int
	entries                                          []Entry
	others                                           [][]Entry // of other plans
	journalErr                                       func(step, state string) error
	run                                              string
	kill                                             func(point string) bool // the process dies there
	events                                           []Event
	leave                                            *time.Duration // the run is told to leave after that
}

func (w *world) leaveAfter(d time.Duration) { w.leave = &d }

func newWorld() *world {
	w := &world{
		info: pep.StampInformation{RegionName: "east", StampVersion: "1.2301.2.58", ExternalDomainFQDN: "east.contoso.com", CloudID: "c1"},
		last: pep.Status{
			Known: true, State: pep.Completed, Word: "Completed", InstanceID: "old",
			Started: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), Ended: time.Date(1999, 1, 1, 1, 0, 0, 0, time.UTC),
		},
		served: []Served{{Endpoint: "acs-blob", Leaves: []string{"aa"}}, {Endpoint: "public-portal", Leaves: []string{"ab"}}},
		adfs:   Absent,
		update: pep.Update{Known: true, State: pep.Completed, Word: "Completed"},
		syntax: pep.Syntax{Known: true, Parameters: []string{"PfxFilesPath", "PathAccessCredential", "CertificatePassword", "Internal", "ReRun"}},
		takes: map[string][]string{
			"Get-ActionStatus": {"FunctionName"}, "Get-AzureStackUpdateStatus": {"StatusOnly"}, "Test-AzureStack": {"Group"},
		},
		health: pep.HealthReport{Known: true, Healthy: true, Tests: []pep.HealthTest{{Name: "AzsInfraCapacity", Result: pep.TestPass}}},
		run:    "run-1",
		others: [][]Entry{startedBefore},
	}
	w.onStart = w.succeed
	return w
}

func (w *world) job() Job {
	return Job{
		Stamp: plan.Stamp{Region: "east", FQDN: "contoso.com", Identity: "AAD", Version: "2301", CloudID: "c1"},
		Rotate: plan.RotateSection{
			Start: plan.Call{Cmdlet: "Start-SecretRotation", Parameters: []plan.Parameter{
				{Name: "PfxFilesPath", Type: "String", Value: `\\10.20.0.5\certs\Certificates`},
				{Name: "PathAccessCredential", Type: "PSCredential", Value: "u", Secret: "env:SHARE_PASSWORD"},
				{Name: "CertificatePassword", Type: "SecureString", Secret: "env:PFX_PASSWORD"},
			}},
			ActionName: "Start-SecretRotation", UpdateCheck: true,
			Health:       []plan.HealthCheck{{Call: plan.Call{Cmdlet: "Test-AzureStack"}, WarningsBlock: true}},
			Success:      []string{"Overall action status: Success", "Action plan finished with status: 'Completed'"},
			LimitSeconds: 4 * 3600, PollSeconds: 60,
		},
		Verify: &plan.VerifySection{Endpoints: []plan.VerifyEndpoint{
			{Endpoint: "acs-blob", Previous: "aa", Planned: "ba"}, {Endpoint: "public-portal", Previous: "ab", Planned: "bb"},
		}},
		Secrets: func(string) (secret.Value, error) { return secret.New("s"), nil },
	}
}

func (w *world) deps() Deps {
	return Deps{
		Dial: func(ctx context.Context) (Endpoint, error) {
			w.dials++
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if w.dialErr != nil {
				if err := w.dialErr(w.dials); err != nil {
					return nil, err
				}
			}
			return &login{w}, nil
		},
		Observe: func(context.Context) ([]Served, error) {
			w.tick()
			if w.serve != nil {
				return w.serve(), w.serveErr
			}
			return w.served, w.serveErr
		},
		ADFS:     func(context.Context) (Evidence, error) { return w.adfs, w.adfsErr },
		MayStart: w.mayStart,
		Journal:  w,
		Others:   func() [][]Entry { return w.others },
		Now:      time.Now,
		Wait: func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		},
		Events: func(e Event) { w.events = append(w.events, e) },
	}
}

// die ends the goroutine as a killed process ends: nothing after it happens.
func (w *world) die(point string) {
	if w.kill != nil && w.kill(point) {
		runtime.Goexit()
	}
}

func (w *world) Append(step, state string, facts map[string]string) error {
	if w.journalErr != nil {
		if err := w.journalErr(step, state); err != nil {
			return err
		}
	}
	w.die("before " + step + " " + state)
	w.entries = append(w.entries, Entry{Run: w.run, Step: step, State: state, Facts: maps.Clone(facts)})
	w.die("after " + step + " " + state)
	return nil
}

func (w *world) Entries() []Entry { return w.entries }

// tick lets the running action end when its time has come.
func (w *world) tick() {
	if w.last.State != pep.Running || w.doneAt.IsZero() || time.Now().Before(w.doneAt) {
		return
	}
	w.last.State, w.last.Word, w.last.Ended = w.doneState, string(w.doneState), w.doneAt
	if w.doneState == pep.Completed {
		w.rotateLeaves()
	} else {
		w.last.Steps = []pep.Step{{Name: "Rotate", Status: "Error", Message: "no pfx"}}
	}
	if w.nameless {
		w.last.InstanceID, w.last.Started, w.last.Ended = "", time.Time{}, time.Time{}
	}
}

func (w *world) rotateLeaves() {
	w.served = []Served{{Endpoint: "acs-blob", Leaves: []string{"ba"}}, {Endpoint: "public-portal", Leaves: []string{"bb"}}}
}

// begin is the stamp taking the command.
func (w *world) begin(d time.Duration, end pep.State) {
	w.starts++
	w.last = pep.Status{Known: true, State: pep.Running, Word: "Running", InstanceID: fmt.Sprint("new-", w.starts), Started: time.Now()}
	w.doneAt, w.doneState = time.Now().Add(d), end
	w.die("started")
}

func say(sink pep.Sink, lines ...string) (reply pep.Reply) {
	reply.Sent = true
	for _, l := range lines {
		r := pep.Record{Kind: pep.OutputRecord, Text: l}
		reply.Records = append(reply.Records, r)
		sink(r)
	}
	return reply
}

var errLost = &psrp.OutcomeUnknownError{Sent: true, Err: errors.New("connection reset")}

// watch is the connection to a running command: it ends with the action, or with ctx.
func (w *world) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return &psrp.OutcomeUnknownError{Sent: true, Err: ctx.Err()}
	case <-time.After(time.Until(w.doneAt)):
		w.tick()
		return nil
	}
}

func (w *world) succeed(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
	w.begin(time.Hour, pep.Completed)
	reply := say(sink, "Starting")
	if err := w.watch(ctx); err != nil {
		return reply, err
	}
	more := say(sink, "Action plan finished with status: 'Completed'")
	reply.Records = append(reply.Records, more.Records...)
	return reply, nil
}

// lag keeps the endpoints as they are for a time from now on, and then on the planned leaves.
func (w *world) lag(d time.Duration) {
	before, until := slices.Clone(w.served), time.Now().Add(d)
	w.serve = func() []Served {
		if time.Now().Before(until) {
			return before
		}
		w.rotateLeaves()
		return w.served
	}
}

// naming succeeds like succeed, and says the instance of its action.
func (w *world) naming(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
	w.begin(time.Hour, pep.Completed)
	w.last.InstanceID = "11111111-2222-3333-4444-555555555555"
	reply := say(sink, "ActionPlanInstanceID: "+strings.ToUpper(w.last.InstanceID))
	return reply, w.watch(ctx)
}

// complain succeeds like succeed, but for an error record that did not end the command.
func (w *world) complain(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
	reply, err := w.succeed(ctx, sink)
	reply.Errors = append(reply.Errors, pep.ErrorRecord{Message: "one secret was skipped"})
	return reply, err
}

func (w *world) lose(after time.Duration, d time.Duration, end pep.State) func(context.Context, pep.Sink) (pep.Reply, error) {
	return func(_ context.Context, sink pep.Sink) (pep.Reply, error) {
		w.begin(d, end)
		reply := say(sink, "Starting")
		time.Sleep(after) // the bubble's clock
		return reply, errLost
	}
}

type login struct{ w *world }

func (l *login) Host() string { return "10.20.1.11:5985" }
func (l *login) StampInformation(context.Context) (pep.StampInformation, error) {
	l.w.infos++
	l.w.die("guard")
	return l.w.info, l.w.infoErr
}

func (l *login) ActionStatus(ctx context.Context, _ string) (pep.Status, error) {
	l.w.statuses++
	l.w.tick()
	l.w.die(fmt.Sprint("status ", l.w.statuses))
	if ctx.Err() != nil {
		return pep.Status{}, ctx.Err()
	}
	if l.w.statusErr != nil {
		if err := l.w.statusErr(l.w.statuses); err != nil {
			return pep.Status{}, err
		}
	}
	return l.w.last, nil
}

func (l *login) UpdateStatus(context.Context) (pep.Update, error) {
	return l.w.update, l.w.updateErr
}

func (l *login) CommandSyntax(_ context.Context, cmdlet string) (pep.Syntax, error) {
	l.w.described = append(l.w.described, cmdlet)
	if cmdlet != "Start-SecretRotation" {
		return pep.Syntax{Known: !slices.Contains(l.w.without, cmdlet), Parameters: l.w.takes[cmdlet]}, nil
	}
	return l.w.syntax, l.w.syntaxErr
}

func (l *login) Commands(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(l.w.takes)), l.w.commandsErr
}

func (l *login) TestAzureStack(ctx context.Context, _ plan.HealthCheck, _ pep.Secrets, _ pep.Sink) (pep.HealthReport, error) {
	if l.w.onHealth != nil {
		l.w.onHealth()
	}
	return l.w.health, errors.Join(l.w.healthErr, ctx.Err())
}

func (l *login) StartSecretRotation(ctx context.Context, _ plan.Call, _ pep.Secrets, sink pep.Sink) (pep.Reply, error) {
	return l.w.onStart(ctx, sink)
}

func (l *login) ArchiveTranscripts(context.Context, plan.Call, pep.Secrets) error {
	l.w.archives++
	return l.w.archiveErr
}
func (l *login) Detach(context.Context) error { l.w.detaches++; return nil }
func (l *login) Prepare(context.Context) error {
	if l.w.prepare == nil {
		return nil
	}
	return l.w.prepare()
}
func (l *login) Close(context.Context) error { l.w.closes++; return nil }

var errDown = &pep.ConnectError{Hosts: []string{"a"}, Err: &wsman.ConnectError{Host: "a", Err: errors.New("no route")}}

func unauthorized(from int) func(int) error {
	return func(n int) error {
		if n >= from {
			return fmt.Errorf("log in: %w", wsman.ErrUnauthorized)
		}
		return nil
	}
}

func check(t *testing.T, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.Errorf(format, args...)
	}
}
