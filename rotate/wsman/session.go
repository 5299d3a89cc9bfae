package wsman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// lane is a way to the host on which one exchange runs at a time.
type lane interface {
	exchange(ctx context.Context, envelope []byte, once bool) (reply []byte, sent bool, err error)
	renew(ctx context.Context) error // makes sure of a connection that has just logged in
	connected() bool
	Dials() int64
	Close() error
}

// Session is a runspace pool on one host. It runs one command at a time.
type Session struct {
	cfg     *Config
	client  client
	control lane // everything but Receive
	receive lane // Receive alone, because it blocks its connection
	rec     *recorder
	core    *psrp.Core
	shell   string

	mu     sync.Mutex // held while the core is driven
	run    *Run       // the latest
	closed bool
	broken error // why no further command can run
	early  int   // Receives in a row that came back empty at once

	unknown  sync.Map // psrp.MessageType of what was ignored and told
	closing  atomic.Bool
	cancelMu sync.Mutex
	cancel   context.CancelFunc // of what the run is doing right now
}

// Dial opens a session. A *ConnectError means that another host may be tried; ErrUnauthorized means that none must be.
func Dial(ctx context.Context, cfg Config) (session *Session, err error) {
	defer func() {
		if err != nil && cfg.Record != nil {
			_ = cfg.Record.Close() // once more than needed where the session got so far
		}
	}()
	c, err := cfg.resolved()
	if err != nil {
		return nil, err
	}
	pool, err := clixml.NewGUID(c.Rand)
	if err != nil {
		return nil, fmt.Errorf("wsman: %w", err)
	}
	id, err := clixml.NewGUID(c.Rand)
	if err != nil {
		return nil, fmt.Errorf("wsman: %w", err)
	}
	core, err := psrp.NewCore(psrp.Config{
		Pool: pool, Rand: c.Rand, FragmentSize: fragmentSize, InvocationInfo: c.InvocationInfo, Key: c.key,
	})
	if err != nil {
		return nil, err
	}
	s := &Session{
		cfg: &c,
		client: client{
			to:        c.url(),
			resource:  nsPowerShell + "/" + c.Configuration,
			session:   "uuid:" + id.String(),
			locale:    c.Locale,
			operation: FormatDuration(c.OperationTimeout),
		},
		core:  core,
		shell: pool.String(),
	}
	s.control, s.receive = c.ways()
	if c.IdleTimeout > 0 {
		s.client.idle = FormatDuration(c.IdleTimeout)
	}
	if s.rec, err = newRecorder(&c, s.client.operation, s.client.idle); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		s.abandon(ctx)
		return nil, err
	}
	return s, nil
}

// Private returns what the server said about itself, such as its PSVersionTable, or nil.
func (s *Session) Private() *clixml.Object { return s.core.Private() }

// Host returns host and port.
func (s *Session) Host() string { return s.cfg.address() }

// Dials counts the connections the session has opened.
func (s *Session) Dials() int64 { return s.control.Dials() + s.receive.Dials() }

func (s *Session) open(ctx context.Context) error {
	if err := s.core.Open(); err != nil {
		return err
	}
	op, _ := s.core.Outgoing()
	if err := s.create(ctx, op.Data); err != nil {
		return err
	}
	if err := s.await(ctx, func() bool { return s.core.State() == psrp.PoolOpened }); err != nil {
		if ctx.Err() == nil && transient(err) {
			err = s.unconnected(err)
		}
		return fmt.Errorf("wsman: open: %w", err)
	}
	for {
		event, more := s.core.Next()
		if !more {
			return nil
		}
		if i, ok := event.(psrp.Ignored); ok {
			s.ignored(ctx, i)
		}
	}
}

// ignored says once for each type of message that it is one we do not know: nothing of it is shown but its size.
func (s *Session) ignored(ctx context.Context, i psrp.Ignored) {
	if _, told := s.unknown.LoadOrStore(i.Type, true); told {
		return
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "message ignored", slog.String("type", fmt.Sprintf("%#08x", uint32(i.Type))), slog.Int("bytes", i.Size))
}

// createAttempts is what Windows' own client takes.
const createAttempts = 5

// create repeats a Create whose answer was lost under the same ShellId: a shell that is there already is ours.
func (s *Session) create(ctx context.Context, fragments []byte) error {
	r := s.client.create(s.shell, fragments)
	for attempt := 0; ; attempt++ {
		body, sent, err := s.call(ctx, s.control, r, false)
		switch {
		case err == nil:
			if id := shellID(body); id != "" {
				s.shell = id
			}
			return nil
		case attempt > 0 && faultCode(err) == FaultShellExists:
			return nil
		case crowded(err):
			return fmt.Errorf("wsman: create: %w", s.unconnected(err))
		case ctx.Err() != nil || !transient(err) || errors.Is(err, ErrUnsealed):
			return fmt.Errorf("wsman: create: %w", err)
		case attempt == 0 && !sent, attempt+1 >= createAttempts:
			return fmt.Errorf("wsman: create: %w", s.unconnected(err))
		}
		if err := s.wait(ctx, s.backoff(attempt)); err != nil {
			return err
		}
	}
}

// crowded is a host that is too busy for one more shell. Nothing has begun on it, and another may have room: quotas are each
// host's own, and shells of killed runs count against them for hours.
func crowded(err error) bool {
	var f *Fault
	return errors.As(err, &f) && (f.Quota() || f.Code == FaultTimedOut)
}

// unconnected marks an error as one after which another host may be tried.
func (s *Session) unconnected(err error) error {
	var c *ConnectError
	if errors.As(err, &c) {
		return err
	}
	return &ConnectError{Host: s.cfg.address(), Err: err}
}

// opening is the recovery window while nothing is at stake yet: then another host is worth more than patience.
func (s *Session) opening() time.Duration { return min(s.cfg.RecoveryWindow, time.Minute) }

// call makes one round trip. sent tells whether a byte of the request reached the socket.
func (s *Session) call(ctx context.Context, t lane, r request, once bool) (body *element, sent bool, err error) {
	id, err := clixml.NewGUID(s.cfg.Rand)
	if err != nil {
		return nil, false, fmt.Errorf("wsman: %w", err)
	}
	messageID := "uuid:" + id.String()
	envelope := s.client.envelope(r, messageID)
	if len(envelope) > maxEnvelope {
		return nil, false, fmt.Errorf("wsman: %s: an envelope of %d bytes, at most %d", r.name, len(envelope), maxEnvelope)
	}
	begun := time.Now()
	reply, sent, err := t.exchange(ctx, envelope, once)
	s.rec.exchange(ctx, r, begun, envelope, reply, sent, err)
	if err == nil {
		body, err = parseReply(reply, r.action, messageID)
		var f *Fault
		if err != nil && !errors.As(err, &f) {
			_ = t.Close() // whatever that answered, the one to this request may still come, and would be taken for the next
		}
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "exchange",
		slog.String("operation", r.name), slog.Int("out", len(envelope)), slog.Int("in", len(reply)),
		slog.Bool("ok", err == nil), slog.Uint64("fault", uint64(faultCode(err))))
	return body, sent, err
}

// flush sends what the core wants sent, in order.
func (s *Session) flush(ctx context.Context, r *Run) error {
	for {
		op, ok := s.core.Outgoing()
		if !ok {
			return nil
		}
		switch op.Kind {
		case psrp.OpCommand:
			if err := s.command(ctx, r, op); err != nil {
				return err
			}
		case psrp.OpSend:
			command := ""
			if !op.Pipeline.IsZero() {
				command = r.command
			}
			if op.Stream == "pr" || op.Pipeline.IsZero() {
				// The connection may have idled since the last command, and died.
				if err := s.renew(ctx); err != nil {
					return fmt.Errorf("wsman: send: %w", err)
				}
			}
			// Never repeated: a fragment that was applied twice would ruin the object.
			if _, _, err := s.call(ctx, s.control, sendRequest(s.shell, command, op.Stream, op.Data), true); err != nil {
				return fmt.Errorf("wsman: send: %w", err)
			}
		default:
			return fmt.Errorf("wsman: operation %d does not belong here", op.Kind)
		}
	}
}

// await exchanges messages with the pool until done. A busy server may say each minute that it has nothing yet; but unlike
// a cmdlet, which can take hours, the pool has no reason to let us wait for ever.
func (s *Session) await(ctx context.Context, done func() bool) error {
	patient, cancel := context.WithTimeout(ctx, s.cfg.RecoveryWindow)
	defer cancel()
	for !done() {
		err := s.flush(patient, nil)
		if err == nil {
			stream, ok := s.core.Listen()
			if !ok || !stream.IsZero() {
				return fmt.Errorf("wsman: the pool is %v and has nothing more to say", s.core.State())
			}
			_, err = s.receiveStream(patient, stream, s.opening())
		}
		if err != nil && ctx.Err() == nil && patient.Err() != nil {
			return fmt.Errorf("the pool did not answer for %v: %w", s.cfg.RecoveryWindow, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receiveStream fetches what a stream has, and comes back when there was something. A server that has nothing says so
// with a fault and is asked again; a lost connection is sought again for the length of patience.
func (s *Session) receiveStream(ctx context.Context, stream psrp.GUID, patience time.Duration) (done bool, err error) {
	command := ""
	if !stream.IsZero() {
		command = s.run.command
	}
	var window context.Context
	reconnects := 0
	lost := false // an answer was on its way when the connection broke
	for attempt := 0; ; attempt++ {
		if s.early > mostEarly {
			if err := s.wait(ctx, s.backoff(min(s.early-mostEarly-1, 5))); err != nil {
				return false, err
			}
		}
		begun := time.Now()
		body, sent, err := s.call(ctx, s.receive, receiveRequest(s.shell, command), false)
		if err == nil {
			done, got, err := s.deliver(stream, command, body)
			s.held(begun, got || done || err != nil)
			return done, err
		}
		s.held(begun, faultCode(err) != FaultTimedOut) // any other failure has its own pause
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case faultCode(err) == FaultTimedOut && lost && command == "":
			return false, errPoolSilent
		case faultCode(err) == FaultTimedOut:
			window, attempt = nil, -1
			continue
		case faultCode(err) == FaultDisconnected && reconnects < 3:
			if err = s.reconnect(ctx, command); err == nil {
				reconnects++
				continue
			}
			if ctx.Err() != nil || !transient(err) {
				return false, err
			}
			sent = false // the Receive was answered: it is the control lane that broke, idle for as long as the cmdlet ran
		case !transient(err):
			return false, err
		}
		s.core.Interrupted(stream)
		var status *StatusError // came instead of an answer
		lost = lost || sent && !errors.As(err, &status)
		if window == nil {
			w, cancel := context.WithTimeout(ctx, patience)
			defer cancel() // at most a few, and each ends with its own time
			window = w
		}
		if s.wait(window, s.backoff(attempt)) != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			return false, fmt.Errorf("no answer for %v: %w", patience, err)
		}
	}
}

// errPoolSilent: a cmdlet may be quiet for hours, but a pool speaks only when it was asked, and once. When that answer was
// lost it never comes again, and to wait for it would take the whole recovery window.
var errPoolSilent = errors.New("wsman: the pool's answer was lost with a connection, and it has nothing more to say")

// mostEarly is how many Receives in a row may come back empty at once. A server holds an empty one for the operation timeout;
// one that does not would be asked as fast as the network allows, for hours.
const (
	mostEarly = 3
	atOnce    = time.Second
)

// held notes whether a Receive was worth its round trip: it brought something, or the server held it for a while.
func (s *Session) held(begun time.Time, brought bool) {
	if s.early++; brought || time.Since(begun) >= atOnce {
		s.early = 0
	}
}

func (s *Session) deliver(stream psrp.GUID, command string, body *element) (done, got bool, err error) {
	r, err := parseReceived(body, command)
	if err != nil {
		return false, false, err
	}
	for _, b := range r.data {
		got = got || len(b) > 0 // a stream with nothing in it is no answer either
		if err := s.core.Receive(stream, b); err != nil {
			return r.done, true, err
		}
	}
	return r.done, got, nil
}

func (s *Session) reconnect(ctx context.Context, command string) error {
	if _, _, err := s.call(ctx, s.control, reconnectRequest(s.shell, ""), false); err != nil {
		return fmt.Errorf("wsman: reconnect: %w", err)
	}
	if command == "" {
		return nil
	}
	if _, _, err := s.call(ctx, s.control, reconnectRequest(s.shell, command), false); err != nil {
		return fmt.Errorf("wsman: reconnect: %w", err)
	}
	return nil
}

// renew makes sure of the control lane.
func (s *Session) renew(ctx context.Context) error {
	err := s.control.renew(ctx)
	s.rec.unconnected(ctx, err)
	return err
}

// wait pauses between attempts. It fails when no time is left.
func (s *Session) wait(ctx context.Context, d time.Duration) error {
	err := s.cfg.Wait(ctx, d)
	if err != nil {
		s.rec.do("waited")
	}
	return err
}

// Close ends the session. A pipeline that is still running is left alone: the session then detaches from it. Close works
// after the context of the session was cancelled, within ten seconds of its own.
func (s *Session) Close(ctx context.Context) error {
	s.interrupt()
	s.mu.Lock()
	running := s.run != nil && s.run.running
	s.mu.Unlock()
	if running {
		return s.Detach(ctx)
	}
	s.rec.do("close")
	return s.leave(ctx, deleteRequest(s.shell), farewells)
}

// Detach ends the session and leaves its pipeline running. Where the endpoint can, it is asked to drop further output,
// which would otherwise block the cmdlet once the server's buffer is full.
func (s *Session) Detach(ctx context.Context) error {
	s.interrupt()
	s.rec.do("detach")
	// Not once: while a cmdlet ran nothing went out on the control lane, and http.sys closes what was idle for two minutes.
	return s.leave(ctx, disconnectRequest(s.shell), farewells)
}

func (s *Session) leave(ctx context.Context, r request, attempts int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	defer s.rec.end(nil)
	most := closeTimeout
	if at, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		most = min(most, time.Until(at)) // who is in a hurry says so; one who was cancelled says nothing about this
	}
	defer func() { _, _ = s.receive.Close(), s.control.Close() }()
	s.tell(context.WithoutCancel(ctx), r, most, attempts)
	return nil
}

// farewells is how often a request is made that ends something on the server, and does no harm when it comes again.
const farewells = 3

// tell makes a request whose answer changes nothing for us, a few times if the connection breaks, and never for long.
func (s *Session) tell(ctx context.Context, r request, most time.Duration, attempts int) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for attempt := range attempts {
		_, _, err := s.call(ctx, s.control, r, false)
		if err == nil || !transient(err) {
			return // a fault is an answer too: the shell is gone or stays, and the log has the code
		}
		if s.wait(ctx, s.backoff(attempt)) != nil {
			return
		}
	}
}

// abandon deletes a shell that did not open, if it was created at all.
func (s *Session) abandon(ctx context.Context) {
	if s.control.connected() {
		_ = s.leave(ctx, deleteRequest(s.shell), 1)
		return
	}
	s.closed = true
	s.rec.end(nil)
	_ = s.control.Close()
	_ = s.receive.Close()
}

// interrupt ends what the run is waiting for, so that the session can be closed beside it.
func (s *Session) interrupt() {
	s.closing.Store(true)
	s.cancelMu.Lock()
	defer s.cancelMu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// guard makes a context that interrupt ends.
func (s *Session) guard(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.cancelMu.Lock()
	s.cancel = cancel
	s.cancelMu.Unlock()
	if s.closing.Load() {
		cancel()
	}
	return ctx, func() {
		s.cancelMu.Lock()
		s.cancel = nil
		s.cancelMu.Unlock()
		cancel()
	}
}

func sameID(a, b string) bool { return strings.EqualFold(a, b) }
