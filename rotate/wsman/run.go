package wsman

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Run is one command under way. Read Records, or call Result to discard them, from one goroutine.
type Run struct {
	session *Session
	ctx     context.Context // of Invoke: the run lives as long as the call that started it
	once    bool
	command string // CommandId

	sent    bool // a byte of the Command reached the socket
	started bool // the server has taken the Command
	running bool // it has been sent and has not ended
	ended   bool
	pending []psrp.Record
	result  psrp.Result
	err     error
	kinds   map[string]int // of the records, for a recording
}

// ErrBusy means that the session is running another command, or is closed.
var ErrBusy = &hinted{
	text: "wsman: the session runs one command at a time",
	hint: "wait for the command that runs, or open another session",
}

// Invoke sends a command and returns when the server has taken it, or when that failed; Result tells which. Cancelling
// ctx leaves the command running.
func (s *Session) Invoke(ctx context.Context, cmd psrp.Command, o Options) *Run {
	r := &Run{session: s, ctx: ctx, once: o.AtMostOnce}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.run != nil && s.run.running:
		r.finish(ErrBusy)
		return r
	case s.broken != nil:
		r.finish(fmt.Errorf("wsman: the session is of no further use: %w", s.broken))
		return r
	}
	id, err := clixml.NewGUID(s.cfg.Rand)
	if err != nil {
		r.finish(fmt.Errorf("wsman: %w", err))
		return r
	}
	r.command = id.String()
	s.run = r
	s.rec.invoke(cmd, o.AtMostOnce)
	ctx, done := s.guard(ctx)
	defer done()
	if err := s.start(ctx, r, id, cmd); err != nil {
		r.fail(err)
	}
	return r
}

// Prepare exchanges the keys that a command with a secret needs. Without it Invoke does so; with it nothing but the
// command itself is left to do once the caller has said that it will be sent.
func (s *Session) Prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.run != nil && s.run.running:
		return ErrBusy
	case s.broken != nil:
		return fmt.Errorf("wsman: the session is of no further use: %w", s.broken)
	case s.core.HasKey():
		return nil
	}
	s.rec.do("prepare")
	ctx, done := s.guard(ctx)
	defer done()
	err := s.exchange(ctx)
	if err != nil {
		s.broken = err // half a key exchange cannot be resumed
	}
	return err
}

func (s *Session) exchange(ctx context.Context) error {
	if err := s.core.ExchangeKeys(); err != nil {
		return err
	}
	if err := s.await(ctx, s.core.HasKey); err != nil {
		return fmt.Errorf("wsman: key exchange: %w", err)
	}
	return nil
}

func (s *Session) start(ctx context.Context, r *Run, id psrp.GUID, cmd psrp.Command) error {
	if err := s.core.Invoke(id, cmd); err != nil {
		return err
	}
	err := s.launch(ctx, r)
	if err != nil && !r.running {
		s.core.Abandon()
		if _, halfway := s.core.Listen(); halfway || !r.refused(err) {
			s.broken = err // half a key exchange cannot be resumed
		}
	}
	return err
}

func (s *Session) launch(ctx context.Context, r *Run) error {
	for {
		if err := s.flush(ctx, r); err != nil {
			return err
		}
		if r.started {
			return nil
		}
		if s.core.HasKey() {
			return errors.New("wsman: the command did not come out of the core")
		}
		if err := s.await(ctx, s.core.HasKey); err != nil {
			return fmt.Errorf("wsman: key exchange: %w", err)
		}
	}
}

// command sends the Command itself. A cmdlet that only reads may be sent again under the same CommandId: a server that
// knows the id has taken it before. A cmdlet that changes something goes out on a fresh connection, once.
func (s *Session) command(ctx context.Context, r *Run, op psrp.Op) error {
	request := commandRequest(s.shell, r.command, op.Data)
	if r.once {
		if err := s.renew(ctx); err != nil {
			return fmt.Errorf("wsman: command: %w", err)
		}
	}
	var window context.Context
	for attempt := 0; ; attempt++ {
		body, sent, err := s.call(ctx, s.control, request, r.once)
		r.sent = r.sent || sent
		r.running = r.sent
		switch {
		case err == nil:
			if id := commandID(body); id != "" && !sameID(id, r.command) {
				r.command = id
			}
			r.started = true
			return nil
		case faultCode(err) == FaultCommandExists && attempt > 0:
			r.started = true
			return nil
		case r.refused(err):
			r.running = false
			return fmt.Errorf("wsman: command: %w", err)
		case r.once && !r.sent && ctx.Err() == nil && transient(err):
			return fmt.Errorf("wsman: command: %w", s.unconnected(err))
		case r.once || ctx.Err() != nil || !transient(err):
			return fmt.Errorf("wsman: command: %w", err)
		}
		if window == nil {
			w, cancel := context.WithTimeout(ctx, s.cfg.RecoveryWindow)
			defer cancel() // one at most
			window = w
		}
		if s.wait(window, s.backoff(attempt)) != nil {
			return fmt.Errorf("wsman: command: %w", err)
		}
	}
}

// refused reports whether the server has said for certain that it did not take the command. Anything it did not say
// that clearly leaves the outcome of a changing command open.
func (r *Run) refused(err error) bool {
	var f *Fault
	if !errors.As(err, &f) {
		return false
	}
	switch f.Code {
	case FaultAccessDenied, FaultUnknownShell, FaultConfiguration, FaultTooLarge, FaultHeader, FaultAction, FaultDisconnected:
		return true
	}
	return f.Quota() || !r.once && f.Code != FaultTimedOut
}

// Started reports whether the server has taken the command.
func (r *Run) Started() bool { return r.started }

// Records yields the records while they arrive, in order, once. Breaking out of the loop sends nothing: the command runs
// on, Result goes on reading, and Session.Close detaches.
func (r *Run) Records() iter.Seq[psrp.Record] {
	return func(yield func(psrp.Record) bool) {
		for {
			record, ok := r.next()
			if !ok || !yield(record) {
				return
			}
		}
	}
}

// Result waits for the end of the command and says how it ended: nil for Completed, a *psrp.PipelineError for Failed or
// Stopped, and psrp.ErrOutcomeUnknown when the command was sent and its end was not seen.
func (r *Run) Result() (psrp.Result, error) {
	for {
		if _, ok := r.next(); !ok {
			return r.result, r.err
		}
	}
}

func (r *Run) next() (psrp.Record, bool) {
	s := r.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if len(r.pending) > 0 {
			record := r.pending[0]
			r.pending = r.pending[1:]
			return record, true
		}
		if r.ended {
			return nil, false
		}
		if s.closed {
			r.fail(errors.New("wsman: the session was closed"))
			continue
		}
		ctx, done := s.guard(r.ctx)
		err := r.step(ctx)
		done()
		if err != nil {
			r.fail(err)
		}
	}
}

// step makes one Receive and hands on what came.
func (r *Run) step(ctx context.Context) error {
	s := r.session
	stream, ok := s.core.Listen() // the pool's while a key exchange that the server asked for is under way
	if !ok {
		return errors.New("wsman: the command is not running")
	}
	gone, err := s.receiveStream(ctx, stream, s.cfg.RecoveryWindow)
	var ended *psrp.Ended
	for {
		event, more := s.core.Next()
		if !more {
			break
		}
		switch e := event.(type) {
		case psrp.Said:
			r.pending = append(r.pending, e.Record)
			r.count(e.Record)
		case psrp.Ended:
			ended = &e
		case psrp.Ignored:
			s.ignored(ctx, e)
		}
	}
	switch {
	case ended != nil:
		r.end(*ended)
		if !gone {
			// The pipeline has ended, so this stops nothing: it frees the command on the server.
			s.tell(ctx, signalRequest(s.shell, r.command, signalTerminate), closeTimeout, farewells)
		}
		return nil
	case err != nil:
		return err
	case gone:
		return errors.New("wsman: the command is done, but its final state was lost")
	}
	return s.flush(ctx, r) // answers to host calls
}

func (r *Run) end(e psrp.Ended) {
	r.result = e.Result
	r.result.Sent = true
	r.running = false
	var err error
	if e.Err != nil {
		err = e.Err
	}
	r.finish(err)
}

// fail ends the run with an error, which leaves the outcome unknown if the command may have been taken.
func (r *Run) fail(err error) {
	r.result.Sent = r.sent
	if r.running {
		err = &psrp.OutcomeUnknownError{Sent: r.sent, Err: err}
	}
	r.finish(err)
}

func (r *Run) finish(err error) {
	r.ended = true
	r.err = err
	if r.session.run == r {
		r.session.rec.heard(r.kinds, r.result, err)
	}
}

// count keeps, for a recording, how many records of each kind came.
func (r *Run) count(record psrp.Record) {
	if r.session.rec == nil {
		return
	}
	if r.kinds == nil {
		r.kinds = map[string]int{}
	}
	r.kinds[strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", record), "psrp."))]++
}
