// Package pep speaks to the privileged endpoint of a stamp: its cmdlets as Go methods with typed results.
//
// Dial logs in to one of the endpoint's hosts; New wraps any Runspace, which is how tests go without a network. A method
// takes what the plan says (a plan.Call) and returns what the stamp said, tolerant of the several shapes its releases
// answer in. Nothing here decides about a rotation: package rotate does.
//
// Cmdlets that change something go out at most once. Their error tells which of three things happened: NotTaken (the
// stamp certainly never got it), Unknown (it may run, so ask ActionStatus in a new session), or a *CommandError (it ran
// and failed, with the stamp's own record).
package pep

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
)

// Runspace is what a Session needs of a connection. Wrap makes one of a *wsman.Session.
type Runspace interface {
	// Invoke sends one command. With atMostOnce, no byte of it is ever sent twice. Cancelling ctx leaves it running.
	Invoke(ctx context.Context, cmd psrp.Command, atMostOnce bool) Run
	Prepare(ctx context.Context) error // does ahead what the first command with a secret would have to do
	Host() string                      // host and port
	Detach(ctx context.Context) error  // ends the session, leaves its command running
	Close(ctx context.Context) error   // ends the session; detaches from a command that still runs
}

// Run is one command under way.
type Run interface {
	Records() iter.Seq[psrp.Record] // as they arrive, once
	Result() (psrp.Result, error)
}

// Secrets resolves the reference in a plan.Parameter. Its errors name the reference, never the value.
type Secrets func(reference string) (secret.Value, error)

// Sink is handed each record as it arrives. Nil drops them.
type Sink func(Record)

// Session is a login to one host of the endpoint. It runs one cmdlet at a time.
type Session struct{ rs Runspace }

// New makes a session over a runspace that is already open.
func New(rs Runspace) *Session { return &Session{rs: rs} }

// Host returns host and port of the endpoint.
func (s *Session) Host() string { return s.rs.Host() }

// Prepare leaves nothing but the command itself to be sent: between the journal's word that a change begins and the first
// byte of it, as little as possible can happen.
func (s *Session) Prepare(ctx context.Context) error { return s.rs.Prepare(ctx) }

// Detach ends the session and leaves what runs running.
func (s *Session) Detach(ctx context.Context) error { return s.rs.Detach(ctx) }

// Close ends the session.
func (s *Session) Close(ctx context.Context) error { return s.rs.Close(ctx) }

// CommandError means that the cmdlet ran and ended with an error.
type CommandError struct {
	Cmdlet string
	State  string // Failed or Stopped
	Record ErrorRecord
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("%s ended as %s: %q (%q)", e.Cmdlet, e.State, cut(e.Record.Message, 2048), cut(e.Record.ID, 256))
}

// Hint says what to do about the errors that have a known cause.
func (e *CommandError) Hint() string { return e.Record.Hint() }

// NotFound reports whether the endpoint doesn't have the cmdlet or doesn't know one of its parameters.
func (e *CommandError) NotFound() bool { return e.Record.notFound() }

// Unknown reports whether a command may have run, or may still be running.
func Unknown(err error) bool { return errors.Is(err, psrp.ErrOutcomeUnknown) }

// NotTaken reports whether the endpoint certainly never took the command.
func NotTaken(err error) bool {
	var c *CommandError
	return err != nil && !Unknown(err) && !errors.As(err, &c)
}

// Reply is everything a cmdlet said.
type Reply struct {
	Records []Record      // in order; the oldest are dropped beyond a bound, see Dropped
	Errors  []ErrorRecord // that did not end it, in order
	Dropped int           // records beyond the bound
	Lost    uint64        // messages that went with a connection and never arrived
	Sent    bool          // a byte of it reached the connection
	outputs []any
	unread  int // records that came and cannot be part of an answer: they do not decode, or lie beyond a bound
}

const (
	maxRecords = 20000
	maxHeld    = 64 << 20 // bytes of records; an hour of a rotation says a hundredth of it
	maxOutputs = 4096
	maxAnswer  = 16 << 20 // bytes in which outputs came; the objects made of them take up to thirty times as much
	maxErrors  = 256
)

// invoke runs one command to its end.
func (s *Session) invoke(ctx context.Context, cmd psrp.Command, once bool, sink Sink) (Reply, error) {
	var reply Reply
	held, answered := 0, 0
	run := s.rs.Invoke(ctx, cmd, once)
	for r := range run.Records() {
		switch r := r.(type) {
		case psrp.Output:
			if answered += r.Size; len(reply.outputs) >= maxOutputs || answered > maxAnswer {
				reply.unread++
				break
			}
			reply.outputs = append(reply.outputs, r.Value)
		case psrp.Unreadable:
			if r.Type != psrp.ProgressRecord && r.Type != psrp.DebugRecord { // no answer comes that way
				reply.unread++
			}
		}
		record := recordOf(r)
		if record.Error != nil && len(reply.Errors) < maxErrors {
			reply.Errors = append(reply.Errors, *record.Error)
		}
		if n := len(reply.Records); n >= maxRecords || n > 1 && held > maxHeld {
			reply.Records = append(reply.Records[:0:0], reply.Records[n/2:]...)
			reply.Dropped += n / 2
			held = 0
			for _, r := range reply.Records {
				held += r.Size()
			}
		}
		reply.Records = append(reply.Records, record)
		held += record.Size()
		if sink != nil {
			sink(record)
		}
	}
	result, err := run.Result()
	reply.Lost, reply.Sent = result.Lost, result.Sent
	var p *psrp.PipelineError
	if errors.As(err, &p) && !Unknown(err) {
		err = &CommandError{Cmdlet: cmd.Name, State: p.State.String(), Record: errorOf(p.Record)}
	}
	if err != nil {
		var c *CommandError
		if !errors.As(err, &c) {
			err = fmt.Errorf("%s: %w", cmd.Name, err)
		}
	}
	return reply, err
}
