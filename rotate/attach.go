package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

// gracePolls is how many questions long a stamp may take to show an action that was started: a quarter of an hour, when it
// is asked every minute. A stamp that then still shows none did not begin one.
const gracePolls = 15

// attach finds out about a rotation that was started by an earlier run of this plan, or by somebody else.
func (m *machine) attach(ctx context.Context) {
	m.enter(Attaching, "ask the stamp about its rotation")
	if m.past.succeeded {
		m.repeat(ctx)
		return
	}
	m.await(ctx, m.d.Now())
}

// repeat answers for a plan whose rotation an earlier run saw succeed. What the stamp has done since is another plan's
// doing, so its action is not asked for; and where the stamp cannot be asked at all, the journal is enough.
func (m *machine) repeat(ctx context.Context) {
	err := m.connect(ctx)
	if err == nil {
		err = m.guardLate(ctx)
	}
	switch {
	case m.ended():
		return
	case err != nil:
		m.event(Event{Text: "the stamp could not be asked: " + err.Error()})
		m.end("already-done", nil)
		return
	}
	m.done(ctx, "already-done")
	var others []string
	for _, s := range m.out.Served {
		if s.Leaf != Planned {
			others = append(others, s.Endpoint)
		}
	}
	if len(others) > 0 {
		m.found(validate.Finding{
			ID: "endpoint-state", Name: "Endpoint State", Result: validate.Warning, Folders: others,
			Found: strings.Join(others, ", ") + " not seen to serve the planned leaf now", Wanted: "the planned leaf everywhere, as after this plan's rotation",
			Hint: "run verify; if another plan has rotated since, verify that one",
		})
	}
}

// await polls until something is proved, the plan's limit has passed since begun, or ctx ends. It starts nothing.
func (m *machine) await(ctx context.Context, begun time.Time) {
	if m.phase != Attaching {
		m.enter(Attaching, "ask the stamp about its rotation")
	}
	w := wait{deadline: begun.Add(m.limit()), quietSince: m.d.Now()}
	for {
		m.step(ctx, &w)
		if m.ended() {
			return
		}
		if ctx.Err() != nil {
			m.leaving(ctx, &w)
			return
		}
		now := m.d.Now()
		if !now.Before(w.deadline) {
			m.overdue(&w)
			return
		}
		if err := m.d.Wait(ctx, min(m.poll(), w.deadline.Sub(now))); err != nil {
			m.leaving(ctx, &w)
			return
		}
	}
}

// wait is what the polls have seen so far.
type wait struct {
	deadline   time.Time
	quietSince time.Time // since when nothing runs; moved while something does
	asked      bool      // the stamp has answered at least once
	running    bool      // it was rotating when last seen
	ran        bool      // it was rotating at any time
	lastErr    error     // why the stamp did not answer the last question
	unseen     error     // why the endpoints could not be read
}

// step asks once.
func (m *machine) step(ctx context.Context, w *wait) {
	st, err := m.status(ctx)
	if err == nil && !m.guarded {
		err = m.guardLate(ctx)
		if m.ended() {
			return
		}
	}
	if err != nil {
		if pep.Unauthorized(err) {
			if m.out.Started {
				m.end("cut-off", err)
			}
			m.end("login-refused", err)
			return
		}
		if pep.Unanswered(err) {
			if m.out.Started {
				m.end("unanswered", err)
			}
			m.end("unreachable", err)
			return
		}
		w.lastErr = err
		if ctx.Err() == nil {
			m.event(Event{Text: "the stamp could not be asked, will ask again: " + err.Error()})
		}
		return
	}
	w.asked, w.lastErr, w.running = true, nil, st.Running()
	m.event(Event{Text: fmt.Sprintf("the stamp's rotation is %q", st.Word), Steps: st.Steps})
	if w.running {
		w.quietSince, w.ran = m.d.Now(), true
		return
	}
	m.decide(ctx, st, w)
}

// decide looks for proof in an action that has ended.
func (m *machine) decide(ctx context.Context, st pep.Status, w *wait) {
	later := m.past.started && m.past.readable && (st.Later(m.past.before) || m.named(st))
	theirs := later && m.theirs(st)
	later = later && !theirs
	contradicted := m.contradicted()
	// A start that nobody saw answered may have been lost, and the action be that of whoever came next.
	answered := m.past.taken || m.answered
	switch {
	case later && st.State == pep.Failed:
		m.done(ctx, "action-failed")
		return
	case theirs && m.past.failed != "":
		m.end(m.past.failed, nil)
		return
	}
	served, err := m.look(ctx)
	if w.unseen = err; err != nil {
		m.event(Event{Text: "the endpoints could not be read: " + err.Error()})
	}
	// Ours may have failed, and somebody else have rotated since, to certificates of their own.
	foreign := count(served, Foreign) > 0
	if foreign && later {
		m.event(Event{Text: "endpoints serve certificates of neither before nor the plan: the action that completed may be somebody else's"})
	}
	if later && contradicted == "" && (answered || m.j.Verify == nil) && !foreign {
		m.done(ctx, "completed")
		return
	}
	// Neither do leaves prove anything while the last action is a failure.
	if allPlanned(served) && (!st.Known || st.State == pep.Completed) {
		switch {
		case later && contradicted == "":
			m.done(ctx, "completed")
			return
		case m.leavesProve():
			m.done(ctx, "proved-by-leaves")
			return
		case !m.past.started && m.j.Rotate.Rerun:
			m.end("no-proof", nil)
			return
		case !m.past.started:
			m.end("already-rotated", nil)
			return
		}
	}
	// Endpoints lag behind a rotation, and what they serve then may decide.
	patient := m.d.Now().Sub(w.quietSince) < min(gracePolls*m.poll(), m.limit())
	lag := patient && len(served) > 0 && !foreign
	switch {
	case later && contradicted != "": // completed, against what the call itself said
		if !lag {
			m.done(ctx, contradicted)
		}
	case !m.past.started && st.Known: // it may be this plan's, from a machine whose journal cannot be seen here
		if !lag || st.State == pep.Failed || !w.ran && !m.sincePlanned(st) {
			m.stranger(ctx, st)
		}
	case !patient:
		m.end("no-proof", w.unseen)
	}
}

// named reports whether the text of this run's call names the stamp's action as its own. A clock that was set back makes it look
// earlier than the one before.
func (m *machine) named(st pep.Status) bool {
	id := m.out.Said.InstanceID
	return st.Known && id != "" && strings.EqualFold(id, st.InstanceID) && !strings.EqualFold(id, m.past.before.InstanceID)
}

// contradicted is the ending of an action that completed against what its own call said: in this run or in an earlier one, whose word
// does not fade by looking again. Else it is empty.
func (m *machine) contradicted() string {
	if len(m.out.Errors) > 0 || m.out.Said.Failed || m.past.against {
		return "contradicted"
	}
	return ""
}

// theirs reports whether the stamp's action is that of another plan: its start is journaled after ours, and the action is
// later than the one before that start. Clocks of machines only decide where the stamp had done nothing in between.
func (m *machine) theirs(st pep.Status) bool {
	if m.d.Others == nil || m.past.own {
		return false
	}
	return slices.ContainsFunc(m.d.Others(), func(entries []Entry) bool {
		p := readPast(entries)
		return p.started && p.after(m.past) && (!p.readable || st.Later(p.before))
	})
}

// leavesProve reports whether planned leaves everywhere would be news: not when they were there before the start, or, where
// the journal shows none, when the plan was made. Without the journal's count they can have been only before a start that
// repeats a failed one.
func (m *machine) leavesProve() bool {
	if !m.past.started {
		return m.j.Verify != nil && slices.ContainsFunc(m.j.Verify.Endpoints, func(e plan.VerifyEndpoint) bool {
			return e.Previous != "" && !strings.EqualFold(e.Previous, e.Planned)
		})
	}
	if !m.past.readable {
		return !m.j.Rotate.Rerun && m.j.Rotate.Fresh == ""
	}
	return m.past.planned < m.past.total
}

// stranger ends a wait for a rotation that this plan did not start.
func (m *machine) stranger(ctx context.Context, st pep.Status) {
	if st.State == pep.Failed {
		m.out.Errors = append(m.out.Errors, stepErrors(st)...)
		m.end("last-failed", nil)
		return
	}
	m.found(validate.Finding{
		ID: "last-rotation", Name: "Last Rotation", Result: validate.Fail,
		Found: fmt.Sprintf("a rotation that this plan did not start is %q", st.Word), Wanted: "endpoints that serve the planned certificates",
		Hint: "the stamp has changed since the plan was made: make a new plan",
	})
	m.end("another-ran", nil)
}

// guardLate holds the stamp against the plan before anything is concluded from what it says.
func (m *machine) guardLate(ctx context.Context) error {
	findings, err := m.guard(ctx)
	if err != nil {
		m.drop(ctx, err)
		return err
	}
	m.found(findings...)
	if failing(findings) {
		m.end("wrong-stamp", nil)
	}
	m.guarded = true
	return nil
}

// leaving ends with what goes on without us.
func (m *machine) leaving(ctx context.Context, w *wait) {
	cause := ctx.Err()
	if cause == nil {
		cause = errors.New("the wait was interrupted")
	}
	switch {
	case w.running || m.answered && !w.asked:
		m.end("detached", cause)
	case m.out.Started:
		m.end("left-unseen", cause)
	default:
		m.end("cancelled", cause)
	}
}

// overdue ends a wait at the plan's limit.
func (m *machine) overdue(w *wait) {
	switch {
	case w.running:
		m.end("still-running", nil)
	case !w.asked && !m.out.Started:
		m.end("unreachable", w.lastErr)
	case w.lastErr != nil || !w.asked:
		m.end("no-contact", w.lastErr)
	default:
		m.end("no-proof", w.unseen)
	}
}

// status asks for the last action, on a new login if need be.
func (m *machine) status(ctx context.Context) (pep.Status, error) {
	if err := m.connect(ctx); err != nil {
		return pep.Status{}, err
	}
	st, err := m.ep.ActionStatus(ctx, m.j.Rotate.ActionName)
	if err != nil {
		m.drop(ctx, err)
		return pep.Status{}, err
	}
	m.out.Action = st
	return st, nil
}

// drop leaves a session that failed us; an error of the cmdlet alone is none of the session's fault.
func (m *machine) drop(ctx context.Context, err error) {
	var failed *pep.CommandError
	if !errors.As(err, &failed) {
		m.leave(ctx)
	}
}

// leave ends the login and lets its command run.
func (m *machine) leave(ctx context.Context) {
	if m.ep == nil {
		return
	}
	ep := m.ep
	m.ep = nil
	ctx, cancel := goodbye(ctx)
	defer cancel()
	_ = ep.Detach(ctx) // it runs on either way
}
