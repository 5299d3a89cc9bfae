package rotate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

// run is the machine from the first login to the outcome.
func (m *machine) run(ctx context.Context) {
	if err := m.checkCalls(); err != nil {
		m.found(refusal("planned-call", "Planned Call", err))
		m.end("bad-call", nil)
		return
	}
	if m.past.started {
		m.enter(Attaching, "the journal shows that this plan's rotation was started: nothing is started again")
		m.attach(ctx)
		return
	}
	// A secret that is missing after an hour of checks would be missing before them.
	for _, call := range m.calls() {
		if err := pep.Resolvable(call, m.j.Secrets); err != nil {
			m.end("no-secret", err)
			return
		}
	}
	m.enter(Connecting, "log in to the privileged endpoint")
	if err := m.connect(ctx); err != nil {
		m.failBefore(ctx, err)
		return
	}
	served, running := m.ready(ctx)
	switch {
	case m.ended():
		return
	case running:
		m.enter(Attaching, "the stamp is rotating already: nothing is started")
		m.attach(ctx)
		return
	}
	if m.announce(ctx, served) {
		m.start(ctx)
	}
}

// calls are those that need a secret.
func (m *machine) calls() []plan.Call {
	out := []plan.Call{m.j.Rotate.Start}
	if c := m.j.Rotate.Transcripts; c != nil {
		out = append(out, *c)
	}
	return out
}

func (m *machine) checkCalls() error {
	err := pep.CheckRotation(m.j.Rotate.Start)
	if c := m.j.Rotate.Transcripts; err == nil && c != nil {
		err = pep.CheckTranscripts(*c)
	}
	return err
}

// ready is guard and preflight. It ends the run, or reports a rotation that is running, or leaves the way free.
func (m *machine) ready(ctx context.Context) (served []Judged, running bool) {
	m.enter(Guarding, "ask the stamp who it is")
	findings, err := m.guard(ctx)
	if err != nil {
		m.failBefore(ctx, err)
		return nil, false
	}
	m.found(findings...)
	if failing(findings) {
		m.end("wrong-stamp", nil)
		return nil, false
	}
	m.guarded = true

	m.enter(Preflight, "look at the endpoints and the stamp's last rotation")
	last, err := m.ep.ActionStatus(ctx, m.j.Rotate.ActionName)
	if err != nil {
		m.failBefore(ctx, fmt.Errorf("ask for the last rotation: %w", err))
		return nil, false
	}
	m.out.Before, m.out.Action = last, last
	if last.Running() {
		return nil, true
	}
	if served, err = m.look(ctx); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
			m.end("cancelled", err)
		}
		m.end("endpoints-unseen", err)
		return nil, false
	}
	m.found(m.endpointFindings(served)...)
	m.found(m.halfway(served)...)
	if m.settledByLast(last, served) {
		return nil, false
	}
	if err := m.checks(ctx, served); err != nil {
		m.failBefore(ctx, err)
		return nil, false
	}
	if failing(m.out.Findings) {
		m.end("not-ready", nil)
	}
	return served, false
}

// settledByLast ends the run when the last rotation and the endpoints leave nothing to start.
func (m *machine) settledByLast(last pep.Status, served []Judged) bool {
	r := m.j.Rotate
	failed := last.Known && last.State == pep.Failed
	f := validate.Finding{ID: "last-rotation", Name: "Last Rotation", Result: validate.Fail, Found: fmt.Sprintf("the last rotation is %q", last.Word)}
	switch {
	case failed && !r.Rerun && r.Fresh == "":
		f.Wanted, f.Hint = "none, or a completed one", "plan --kind rerun; or plan with a reason to start afresh"
		m.out.Errors = stepErrors(last)
		m.found(f)
		m.end("last-failed", nil)
	case !failed && allPlanned(served):
		m.end("already-rotated", nil)
	case !failed && r.Rerun:
		f.Wanted, f.Hint = "a failed one", ending("nothing-to-rerun").Next
		m.found(f)
		m.end("nothing-to-rerun", nil)
	case m.sincePlanned(last):
		f.Found = fmt.Sprintf("a rotation that began after the plan was made is %q, and no journal here shows that this plan started it", last.Word)
		f.Wanted, f.Hint = "none since the plan was made", "run verify: endpoints may lag behind; else bring the journal, or make a new plan"
		m.found(f)
		m.end("another-ran", nil)
	case failed && r.Rerun && !r.Adopt && m.d.Others != nil && FailedTwice(m.d.Others(), &last):
		f.Found = fmt.Sprintf("the last rotation is %q, and a journal shows that it was a rerun", last.Word)
		f.Wanted, f.Hint = "a rotation that failed once, or a plan with a reason to go on", ending("third-attempt").Next
		m.out.Errors = stepErrors(last)
		m.found(f)
		m.end("third-attempt", nil)
	case failed && r.Rerun && !r.Adopt && !m.ours(last):
		f.Found = fmt.Sprintf("the last rotation is %q, and no journal here shows that certstamp started it", last.Word)
		f.Wanted = "a failed rotation that certstamp started, or a plan that adopts one"
		f.Hint = "bring the journal of the plan that failed to .certstamp/NAME/ here; or find out who started it, and plan --kind rerun --adopt REASON"
		m.out.Errors = stepErrors(last)
		m.found(f)
		m.end("not-ours", nil)
	default:
		m.found(validate.Finding{ID: f.ID, Name: f.Name, Result: validate.OK})
		return false
	}
	return true
}

// sincePlanned reports whether the stamp began a rotation after the plan was made. It may be this plan's own, started from
// a machine whose journal is gone: an internal rotation shows on no endpoint, and endpoints lag behind an external one.
func (m *machine) sincePlanned(last pep.Status) bool {
	began := last.Started
	if began.IsZero() {
		began = last.Ended
	}
	if m.j.Rotate.Rerun {
		began = began.Truncate(time.Second) // a plan knows whole seconds, and the failed one may have begun in the second of its rerun's plan
	}
	return last.Known && !m.j.PlannedAt.IsZero() && began.After(m.j.PlannedAt)
}

// ours reports whether a journal shows that certstamp started the rotation that failed: a start before which the stamp's last
// action was an earlier one, and which nobody saw succeed.
func (m *machine) ours(failed pep.Status) bool {
	if m.d.Others == nil {
		return false
	}
	return slices.ContainsFunc(m.d.Others(), func(entries []Entry) bool {
		p := readPast(entries)
		succeeded := slices.ContainsFunc(entries, func(e Entry) bool { return e.Step == stepEnd && e.State == string(Success) })
		return p.started && !succeeded && (!p.readable || failed.Later(p.before))
	})
}

// FailedTwice reports whether the last start that journals show is a rerun that failed, and failed is its failure. Each list is of one
// plan, the oldest first. Without failed nobody has asked the stamp, and the journals have to do.
func FailedTwice(plans [][]Entry, failed *pep.Status) bool {
	i := Latest(plans)
	if i < 0 || !slices.ContainsFunc(plans[i], func(e Entry) bool { return e.Step == stepEnd && e.State == string(FailedAgain) }) {
		return false
	}
	p := readPast(plans[i])
	return !p.readable || failed == nil || failed.Later(p.before)
}

// checks collects every finding, because each round of repairs costs a window. Its error means that the stamp could not
// be asked.
func (m *machine) checks(ctx context.Context, served []Judged) error {
	m.checked = true
	if m.j.Verify != nil { // the identity system decides which certificates there are, and nothing else
		m.found(m.identity(ctx, served))
	}
	for _, ask := range []func(context.Context) (validate.Finding, error){m.update, m.syntax} {
		f, err := ask(ctx)
		if err != nil {
			return err
		}
		m.found(f)
	}
	m.event(Event{Text: "check the stamp's health"})
	reports, findings, err := m.health(ctx)
	m.out.HealthBefore = reports
	m.found(findings...)
	if err != nil {
		return err
	}
	m.found(m.window(), m.root())
	return nil
}

func (m *machine) window() validate.Finding {
	f := validate.Finding{ID: "window", Name: "Maintenance Window", Result: validate.OK}
	if m.d.MayStart == nil {
		return f
	}
	if err := m.d.MayStart(m.d.Now()); err != nil {
		f.Result, f.Found, f.Wanted = validate.Fail, err.Error(), "a start inside a window of the stamp"
		f.Hint = "run rotate again inside the window"
		if m.looking {
			f.Result, f.Hint = validate.Warning, "run rotate inside the window"
		}
	}
	return f
}

// announce writes the journal before the start. Update and last action are asked for once more, because the checks took long.
func (m *machine) announce(ctx context.Context, served []Judged) bool {
	m.enter(Starting, "start the rotation")
	f, err := m.update(ctx)
	if err != nil {
		m.failBefore(ctx, err)
		return false
	}
	if failing([]validate.Finding{f}) {
		m.found(f)
		m.end("not-ready", nil)
		return false
	}
	last, err := m.ep.ActionStatus(ctx, m.j.Rotate.ActionName)
	if err != nil {
		m.failBefore(ctx, fmt.Errorf("ask for the last rotation: %w", err))
		return false
	}
	if last.Running() || last.Later(m.out.Before) {
		m.out.Action = last
		m.found(validate.Finding{
			ID: "last-rotation", Name: "Last Rotation", Result: validate.Fail,
			Found: fmt.Sprintf("another rotation (%q) began while the stamp was checked", last.Word), Wanted: "nothing but ours",
			Hint: "find out who started it, then run rotate again",
		})
		m.end("another-ran", nil)
		return false
	}
	if m.out.Before.Known && !last.Known {
		// Journaled as none, it would let any action pass for ours, last year's too.
		m.failBefore(ctx, fmt.Errorf("ask for the last rotation: it was %q, and now the stamp shows none: %w", m.out.Before.Word, pep.ErrNoAnswer))
		return false
	}
	m.out.Before = last
	if err := m.ep.Prepare(ctx); err != nil {
		m.failBefore(ctx, fmt.Errorf("exchange keys: %w", err))
		return false
	}
	if ctx.Err() != nil {
		m.end("cancelled", ctx.Err())
		return false
	}
	planned := count(served, Planned)
	facts := map[string]string{
		"cmdlet": m.j.Rotate.Start.Cmdlet, "host": m.out.Host,
		factPlanned: strconv.Itoa(planned), factTotal: strconv.Itoa(len(served)),
	}
	if err := m.d.Journal.Append(stepLastAction, stateBefore, last.Facts()); err != nil {
		m.end("no-journal", err)
		return false
	}
	if err := m.d.Journal.Append(stepStart, stateStarting, facts); err != nil {
		m.end("no-journal", err)
		return false
	}
	m.past = past{started: true, readable: true, before: last, planned: planned, total: len(served), own: true}
	return true
}

func (m *machine) limit() time.Duration {
	if s := m.j.Rotate.LimitSeconds; s > 0 {
		return time.Duration(s) * time.Second
	}
	return 4 * time.Hour
}

func (m *machine) poll() time.Duration {
	if s := m.j.Rotate.PollSeconds; s > 0 {
		return time.Duration(s) * time.Second
	}
	return time.Minute
}

// record hands on what the stamp says.
func (m *machine) record(r pep.Record) { m.event(Event{Record: &r}) }

// start sends the one command that changes the stamp, and watches it.
func (m *machine) start(ctx context.Context) {
	begun := m.d.Now()
	watched, cancel := context.WithTimeout(ctx, m.limit())
	defer cancel()
	answered := false
	reply, err := m.ep.StartSecretRotation(watched, m.j.Rotate.Start, m.j.Secrets, func(r pep.Record) {
		if !answered {
			answered, m.answered = true, true
			m.enter(Watching, "the stamp rotates")
			m.note(stepStart, stateTaken, nil)
		}
		m.record(r)
	})
	if pep.NotTaken(err) && !answered {
		m.note(stepStart, stateNotTaken, map[string]string{"cause": short(err.Error())})
		switch {
		case ctx.Err() != nil:
			m.end("cancelled", ctx.Err())
		case pep.Unauthorized(err):
			m.end("login-refused", err)
		default:
			m.end("not-taken", err)
		}
		return
	}
	m.out.Started = true
	m.out.Errors = append(m.out.Errors, reply.Errors...)
	if m.out.Lost = reply.Lost; m.out.Lost > 0 {
		said := "a message of the rotation was lost on its way"
		if m.out.Lost > 1 {
			said = fmt.Sprintf("%d messages of the rotation were lost on their way", m.out.Lost)
		}
		m.event(Event{Text: said})
	}
	m.out.Said = pep.Read(reply.Records, m.j.Rotate.Success)
	if ctx.Err() != nil {
		m.leaving(ctx, &wait{})
		return
	}
	var failed *pep.CommandError
	switch {
	case err == nil:
	case errors.As(err, &failed):
		m.out.Errors = append(m.out.Errors, failed.Record)
	default:
		m.event(Event{Text: "the connection to the rotation was lost, ask the stamp about it: " + err.Error()})
		m.leave(ctx)
		m.await(ctx, begun)
		return
	}
	m.settle(ctx, begun, failed)
}

// settle decides a call that ended: by the stamp's action, then by the call's error, then by its text.
func (m *machine) settle(ctx context.Context, begun time.Time, failed *pep.CommandError) {
	m.answered = true // by its end, if by nothing else
	m.enter(Settling, "ask the stamp how the rotation ended")
	st, err := m.status(ctx)
	switch {
	case pep.Unauthorized(err):
		m.end("cut-off", err) // a second attempt may lock the account
		return
	case err != nil:
		m.await(ctx, begun)
		return
	}
	later := st.Later(m.past.before) || m.named(st)
	switch {
	case later && st.State == pep.Completed && len(m.out.Errors) == 0 && !m.out.Said.Failed:
		m.done(ctx, "completed")
	case later && st.State == pep.Completed && failed == nil:
		m.await(ctx, begun) // an error record is a failure (ROT-2210), unless the endpoints prove otherwise, and so is a text
	case later && st.State == pep.Failed:
		m.done(ctx, "action-failed")
	case st.Running():
		m.await(ctx, begun)
	case failed != nil:
		m.done(ctx, "call-failed")
	case m.out.Said.Failed:
		m.done(ctx, "said-failure")
	case m.out.Said.Success && m.out.Lost == 0 && nameless(st) && nameless(m.past.before):
		m.done(ctx, "said-success")
	default:
		m.await(ctx, begun)
	}
}

// nameless reports that a stamp's actions cannot be told apart: it reports none, or completed ones without an instance
// and without times. Only then does the text of our own call decide.
func nameless(s pep.Status) bool {
	return !s.Known || s.State == pep.Completed && s.InstanceID == "" && s.Started.IsZero() && s.Ended.IsZero()
}

// done ends with an outcome of the stamp, and looks at its health once more. That never changes the outcome.
func (m *machine) done(ctx context.Context, id string) {
	if m.out.Action.State == pep.Failed {
		m.out.Errors = append(m.out.Errors, stepErrors(m.out.Action)...)
	}
	m.end(id, nil)
	if ctx.Err() != nil || m.connect(ctx) != nil {
		return
	}
	m.enter(Afterwards, "look at the endpoints and the stamp's health")
	if _, err := m.look(ctx); err != nil {
		m.event(Event{Text: "the endpoints could not be read: " + err.Error()})
	}
	reports, _, err := m.health(ctx)
	if err != nil {
		m.event(Event{Text: err.Error()})
	}
	m.out.HealthAfter = reports
	m.out.HealthChange = healthChange(m.out.HealthBefore, reports)
	m.archive(ctx)
}

// archive moves the endpoint's transcripts to a share, if the plan says so and no run has done it. Nothing about the rotation
// depends on it: that it failed is a warning.
func (m *machine) archive(ctx context.Context) {
	call := m.j.Rotate.Transcripts
	done := func(e Entry) bool { return e.Step == stepKept && e.State == stateKept }
	if call == nil || ctx.Err() != nil || m.ep == nil || slices.ContainsFunc(m.d.Journal.Entries(), done) {
		return
	}
	m.event(Event{Text: "move the endpoint's transcripts to the share"})
	if err := m.ep.ArchiveTranscripts(ctx, *call, m.j.Secrets); err != nil {
		m.note(stepKept, stateNotKept, map[string]string{"cause": short(err.Error())})
		f := validate.Finding{
			ID: "transcripts", Name: "Transcripts", Result: validate.Warning, Source: "PEP-2012", Found: err.Error(), Wanted: "the transcripts on their share",
			Hint: "the rotation is not touched by this; the transcripts stay on the endpoint until somebody runs Close-PrivilegedEndpoint, certstamp pep does with a reason",
		}
		var h interface{ Hint() string }
		if errors.As(err, &h) && h.Hint() != "" {
			f.Hint = h.Hint()
		}
		m.found(f)
		return
	}
	m.note(stepKept, stateKept, nil)
}

// stepErrors are the failed steps of an action as error records, for stamps that say it nowhere else.
func stepErrors(s pep.Status) []pep.ErrorRecord {
	var out []pep.ErrorRecord
	for _, step := range s.FailedSteps() {
		message := step.Message
		if message == "" {
			message = step.Description
		}
		out = append(out, pep.ErrorRecord{Message: message, Activity: step.Name, Reason: step.Status})
	}
	if len(out) == 0 && s.Message != "" {
		out = append(out, pep.ErrorRecord{Message: s.Message})
	}
	return out
}

// note appends to the journal after the start, when a failure to do so changes nothing any more.
func (m *machine) note(step, state string, facts map[string]string) {
	if err := m.d.Journal.Append(step, state, maps.Clone(facts)); err != nil {
		m.event(Event{Text: "the journal could not be written: " + err.Error()})
	}
}

func refusal(id, name string, err error) validate.Finding {
	f := validate.Finding{ID: id, Name: name, Result: validate.Fail, Found: err.Error(), Wanted: "a call that the documents describe"}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		f.Hint = h.Hint()
	}
	return f
}

func short(s string) string {
	if len(s) > 1024 {
		return s[:1024]
	}
	return s
}
