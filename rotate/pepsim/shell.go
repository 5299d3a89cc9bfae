package pepsim

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

const (
	maxRequest   = 512000  // MaxEnvelopeSizekb of the service, unless the scenario says otherwise
	bufferedMost = 2 << 20 // bytes a queue holds before it blocks the cmdlet (BufferMode Block)
	leastIdle    = time.Minute
	defaultIdle  = 2 * time.Hour

	largestFragment = 32 << 10
)

// shell is one runspace pool of a client.
type shell struct {
	id, uri, owner, session string
	culture, language       string // of numbers and of texts
	client                  net.Addr
	began                   time.Time

	ctx    context.Context
	cancel context.CancelFunc

	mu         sync.Mutex
	core       *psrp.ServerCore
	pool       *queue
	commands   map[psrp.GUID]*command
	ended      map[psrp.GUID]bool // commands that existed
	connected  bool
	drop       bool // BufferMode Drop while disconnected
	buffer     int  // bytes of one queue that block its cmdlet
	idle       time.Duration
	forced     bool // the idle time is the scenario's, not the client's
	timer      *time.Timer
	used       time.Time     // by its client, the last time
	waiting    int           // requests that have no answer yet
	turn       chan struct{} // one pipeline at a time: MaxRunspaces is 1
	transcript *transcript
	jobs       int // that were begun
}

// command is one pipeline.
type command struct {
	id      psrp.GUID
	out     *queue
	stop    context.CancelFunc
	stopped bool
	started bool
	blocked bool // its cmdlet waits for room in the buffer

	asks     bool      // a host call was ordered
	question *question // that its cmdlet waits for
}

// queue holds what one stream has for the client.
type queue struct {
	packets []psrp.Packet
	size    int
	final   bool          // nothing comes after
	wake    chan struct{} // closed and replaced at every change
}

func newQueue() *queue { return &queue{wake: make(chan struct{})} }

func (q *queue) changed() {
	close(q.wake)
	q.wake = make(chan struct{})
}

// lose forgets the first message, unless it is the command's last word.
func (q *queue) lose() {
	first := q.packets[0]
	if first.Type == psrp.PipelineStateMessage {
		return
	}
	for len(q.packets) > 0 && q.packets[0].Object == first.Object {
		q.size -= len(q.packets[0].Data)
		q.packets = q.packets[1:]
	}
	q.changed()
}

// operate runs one operation. A nil envelope means that nobody waits for an answer any more.
func (s *Server) operate(ctx context.Context, c *conn, soap []byte, order Fault) (int, []byte) {
	r, err := parseRequest(soap)
	if err != nil {
		s.refused(c, "an envelope cannot be parsed: %v", err)
		return s.faultEnvelope(nil, faultBadHeader)
	}
	body, f := s.dispatch(ctx, c, r, len(soap), order)
	if f != nil {
		if ctx.Err() != nil {
			return 0, nil
		}
		if f.why != "" {
			s.refused(c, "%s: %s", operationOf(soap), f.why)
		}
		return s.faultEnvelope(r, f)
	}
	return http.StatusOK, s.envelope(r, r.Header.Action+"Response", body)
}

func (s *Server) dispatch(ctx context.Context, c *conn, r *request, size int, order Fault) (string, *soapFault) {
	fault := order.Do
	switch {
	case r.Header.MessageID == "" || r.Header.Action == "":
		return "", faultBadHeader.because("MessageID %q and Action %q, and neither may be missing", r.Header.MessageID, r.Header.Action)
	case size > s.cfg.MaxEnvelope:
		return "", faultTooLarge.because("an envelope of %d bytes, at most %d", size, s.cfg.MaxEnvelope)
	case fault == faultTimeout:
		return "", faultTimedOut
	case fault == faultQuota:
		return "", order.quota()
	case fault == faultDuplicateID && r.Header.Action == actTrans+"Create":
		return "", faultKnownShell
	case fault == faultDuplicateID:
		return "", faultKnownCommand
	}
	if r.Header.Action == actTrans+"Create" {
		return s.create(c, r, fault)
	}
	sh := s.shell(r.shellID())
	switch {
	case sh == nil && s.wasShell(r.shellID()):
		return "", faultUnknownShell.because("shell %q has ended", r.shellID())
	case sh == nil:
		return "", faultUnknownShell.because("there was never a shell %q", r.shellID())
	case !strings.EqualFold(sh.owner, c.login.user):
		return "", faultUnknownShell.because("shell %s belongs to %q, and %q asks", sh.id, sh.owner, c.login.user)
	}
	if r.Header.Action != actTrans+"Get" { // to look at a shell is not to use it
		sh.enter(s.now())
		defer sh.leave(s.now)
	}
	if f := s.spoilSession(sh, r, fault); f != nil {
		return "", f
	}
	sh.mu.Lock()
	away := !sh.connected
	sh.mu.Unlock()
	switch r.Header.Action {
	case actTrans + "Delete":
		s.remove(sh)
		return "", nil
	case actTrans + "Get":
		sh.mu.Lock()
		defer sh.mu.Unlock()
		return sh.describe(s.now()), nil
	case actShell + "Reconnect":
		return "", sh.reconnect(r)
	}
	if away {
		return "", faultDisconnected.because("shell %s is disconnected", sh.id)
	}
	switch {
	case r.Header.Action == actShell+"Command" && r.Body.CommandLine != nil:
		return s.command(sh, r, fault)
	case r.Header.Action == actShell+"Send" && r.Body.Send != nil:
		return s.send(sh, r)
	case r.Header.Action == actShell+"Receive" && r.Body.Receive != nil:
		return s.receive(ctx, sh, r, fault)
	case r.Header.Action == actShell+"Signal" && r.Body.Signal != nil:
		return s.signal(sh, r)
	case r.Header.Action == actShell+"Disconnect" && r.Body.Disconnect != nil:
		return "", sh.disconnect(r)
	}
	return "", faultNoAction.because("the action %q is not known, or has not the body it needs", r.Header.Action)
}

// wasShell reports whether a shell has been there.
func (s *Server) wasShell(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone[strings.ToUpper(id)]
}

// refused says in log and history why something was refused. The text may hold what a client sent, so it is cut.
func (s *Server) refused(c *conn, format string, args ...any) {
	const most = 512
	e := event{Event: "refused", Reason: fmt.Sprintf(format, args...)}
	if len(e.Reason) > most {
		e.Reason = strings.ToValidUTF8(e.Reason[:most], "") + "…"
	}
	if c != nil && c.login != nil {
		e.User = c.login.user
	}
	s.cfg.Logger.Warn("refused", "reason", e.Reason, "user", e.User)
	s.history.write(e)
}

func decodeStream(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}

func (s *Server) shell(id string) *shell {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shells[strings.ToUpper(id)]
}

func (s *Server) create(c *conn, r *request, fault string) (string, *soapFault) {
	b := r.Body.Shell
	name, isConfig := strings.CutPrefix(r.Header.ResourceURI, configBase)
	switch {
	case b == nil:
		return "", faultBadHeader.because("no rsp:Shell in the body")
	case !isConfig || !strings.EqualFold(name, s.cfg.Configuration):
		return "", faultUnknownConfig.because("resource %q, and the only configuration here is %q", r.Header.ResourceURI, s.cfg.Configuration)
	case !s.mayEnter(c.login.user):
		return "", faultDenied.because("%q may log in and not open the endpoint", c.login.user)
	}
	switch v := r.option("protocolversion"); {
	case v == "":
		return "", faultMissingVersion.because("the option protocolversion is missing")
	case !strings.HasPrefix(v, "2."):
		return "", faultWrongVersion.because("protocolversion %q, wanted 2.x", v)
	}
	id := strings.ToUpper(b.ShellID)
	if id == "" {
		id = s.guid()
	}
	creation, err := decodeStream(b.CreationXML)
	if err != nil {
		return "", faultPlugin.because("creationXml is not base64")
	}
	idle, err := parseDuration(b.IdleTimeOut)
	if err != nil {
		idle = defaultIdle
	}
	// A fragment is never cut again, so one must fit an answer.
	cfg := psrp.ServerConfig{Rand: s.cfg.Rand, FragmentSize: min(largestFragment, r.budget(s.cfg.MaxEnvelope))}
	if fault == faultBroken {
		cfg.Broken = brokenAsOrdered()
	}
	idle = max(idle, leastIdle)
	if s.cfg.Idle > 0 {
		idle = s.cfg.Idle
	}
	ctx, cancel := context.WithCancel(s.life)
	sh := &shell{
		id: id, uri: r.Header.ResourceURI, owner: c.login.user, session: r.Header.SessionID, culture: r.Header.DataLocale.Lang,
		language: r.Header.Locale.Lang, client: c.net.RemoteAddr(), began: s.now(), used: s.now(),
		ctx: ctx, cancel: cancel, core: psrp.NewServerCore(cfg), pool: newQueue(), commands: map[psrp.GUID]*command{},
		ended: map[psrp.GUID]bool{}, connected: true, idle: idle, forced: s.cfg.Idle > 0, buffer: s.cfg.Buffer, turn: make(chan struct{}, 1),
		transcript: newTranscript(s.now(), id, c.login.user),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shells[id] != nil || s.gone[id]:
		cancel()
		return "", faultKnownShell.because("shell %s exists, or existed", id)
	case len(s.shells) >= s.cfg.MaxShells:
		cancel()
		return "", faultShellQuota.because("%d shells are open, and no more are allowed", len(s.shells))
	}
	sh.timer = time.AfterFunc(sh.idle, func() {
		s.log("shell %s was idle for %v and ends, with what it ran", sh.id, sh.idle)
		s.history.write(event{Event: "shell-expired", User: sh.owner})
		s.remove(sh)
	})
	if err := sh.core.Receive(psrp.GUID{}, creation); err != nil {
		sh.timer.Stop()
		cancel()
		return "", faultPlugin.because("creationXml: %v", err)
	}
	sh.flush()
	s.shells[id] = sh
	return s.created(sh, c), nil
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// remove deletes a shell: its pipelines are cancelled and waiting Receives end.
func (s *Server) remove(sh *shell) {
	s.mu.Lock()
	if s.shells[sh.id] == sh {
		delete(s.shells, sh.id)
		s.gone[sh.id] = true
	}
	s.mu.Unlock()
	sh.timer.Stop()
	sh.cancel()
}

// enter stops the idle clock for one request: a shell is in use while its client waits for an answer, however long that is.
func (sh *shell) enter(now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.used = now
	sh.waiting++
	sh.timer.Stop()
}

// leave starts the idle clock when the last request has been answered.
func (sh *shell) leave(now func() time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.used = now()
	if sh.waiting--; sh.waiting == 0 && sh.ctx.Err() == nil {
		sh.timer.Reset(sh.idle)
	}
}

// flush moves what the core has to say into the queues. The caller holds the lock, or is the shell's only owner.
func (sh *shell) flush() {
	for {
		p, ok := sh.core.Outgoing()
		if !ok {
			return
		}
		q := sh.pool
		if !p.Pipeline.IsZero() {
			c := sh.commands[p.Pipeline]
			if c == nil {
				continue // closed by its client
			}
			q = c.out
		}
		if sh.drop && !sh.connected && q.size > sh.buffer {
			continue
		}
		q.packets = append(q.packets, p)
		q.size += len(p.Data)
		q.changed()
	}
}

func (s *Server) command(sh *shell, r *request, fault string) (string, *soapFault) {
	id, err := clixml.ParseGUID(r.Body.CommandLine.CommandID)
	if err != nil {
		return "", faultBadHeader.because("CommandId %q is no GUID", r.Body.CommandLine.CommandID)
	}
	first, err := decodeStream(strings.Join(r.Body.CommandLine.Arguments, ""))
	if err != nil {
		return "", faultPlugin.because("the arguments are not base64")
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.commands[id] != nil || sh.ended[id] {
		return "", faultKnownCommand.because("command %s exists, or existed", id)
	}
	sh.commands[id] = &command{id: id, out: newQueue()}
	sh.ended[id] = true
	if f := s.feed(sh, id, first, fault); f != nil {
		delete(sh.commands, id)
		return "", f
	}
	return fmt.Sprintf(`<rsp:CommandResponse><rsp:CommandId>%s</rsp:CommandId></rsp:CommandResponse>`, id), nil
}

func (s *Server) send(sh *shell, r *request) (string, *soapFault) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, stream := range r.Body.Send.Streams {
		b, err := decodeStream(stream.Data)
		if err != nil {
			return "", faultPlugin.because("stream %q is not base64", stream.Name)
		}
		var id psrp.GUID
		if stream.CommandID != "" {
			if id, err = clixml.ParseGUID(stream.CommandID); err != nil {
				return "", faultBadHeader.because("CommandId %q is no GUID", stream.CommandID)
			}
			if sh.commands[id] == nil {
				return "", faultUnknownShell.because("command %s has ended, or was never there", id)
			}
		}
		if f := s.feed(sh, id, b, ""); f != nil {
			return "", f
		}
	}
	return `<rsp:SendResponse/>`, nil
}

// feed gives bytes of a stream to the core and starts what they ask for. The caller holds the shell's lock.
func (s *Server) feed(sh *shell, id psrp.GUID, b []byte, fault string) *soapFault {
	if err := sh.core.Receive(id, b); err != nil {
		if errors.Is(err, clixml.ErrNoKey) {
			return faultPlugin.because("a secret came before the exchange of keys")
		}
		return faultPlugin.because("%v", err)
	}
	for {
		e, ok := sh.core.Next()
		if !ok {
			break
		}
		if a, ok := e.(psrp.HostAnswered); ok {
			s.hear(sh, a)
			continue
		}
		p, ok := e.(psrp.PipelineRequested)
		if !ok {
			continue
		}
		c := sh.commands[p.ID]
		if c == nil || c.started {
			return faultPlugin.because("a pipeline %s that no Command asked for, or that runs already", p.ID)
		}
		c.started, c.asks = true, fault == faultHostCall
		ctx, stop := context.WithCancel(sh.ctx)
		c.stop = stop
		s.running.Go(func() {
			defer stop()
			s.pipeline(ctx, sh, c, p.Commands)
		})
	}
	sh.flush()
	return nil
}

func (s *Server) receive(ctx context.Context, sh *shell, r *request, fault string) (string, *soapFault) {
	q, id := sh.pool, psrp.GUID{}
	if text := r.Body.Receive.Desired.CommandID; text != "" {
		var err error
		if id, err = clixml.ParseGUID(text); err != nil {
			return "", faultBadHeader.because("CommandId %q is no GUID", text)
		}
		sh.mu.Lock()
		c := sh.commands[id]
		sh.mu.Unlock()
		if c == nil {
			return "", faultUnknownShell.because("command %s has ended, or was never there", id)
		}
		q = c.out
	}
	timeout := time.NewTimer(r.timeout())
	defer timeout.Stop()
	for {
		sh.mu.Lock()
		if !sh.connected {
			sh.mu.Unlock()
			return "", faultAborted.because("shell %s was disconnected while a Receive waited", sh.id)
		}
		if fault == faultLose && len(q.packets) > 0 {
			q.lose()
			sh.mu.Unlock()
			return "", nil // nobody hears it: the connection ends
		}
		streams, done := sh.take(q, id, r.budget(s.cfg.MaxEnvelope), fault == faultDuplicate)
		wake := q.wake
		sh.mu.Unlock()
		if streams != "" || done {
			state := ""
			if done {
				state = fmt.Sprintf(`<rsp:CommandState CommandId="%s" State="%s"><rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState>`, id, stateDone)
			}
			return `<rsp:ReceiveResponse>` + streams + state + `</rsp:ReceiveResponse>`, nil
		}
		select {
		case <-wake:
		case <-timeout.C:
			return "", faultTimedOut
		case <-sh.ctx.Done():
			return "", faultAborted
		case <-ctx.Done():
			return "", faultAborted
		}
	}
}

// take removes what fits one answer. One message makes one Stream element. The caller holds the lock.
func (sh *shell) take(q *queue, id psrp.GUID, budget int, twice bool) (streams string, done bool) {
	var b strings.Builder
	used := 0
	attribute := ""
	if !id.IsZero() {
		attribute = fmt.Sprintf(` CommandId="%s"`, id)
	}
	for len(q.packets) > 0 {
		first := q.packets[0]
		var data []byte
		n := 0
		for n < len(q.packets) && q.packets[n].Object == first.Object {
			if n > 0 && used+len(data)+len(q.packets[n].Data) > budget {
				break
			}
			data = append(data, q.packets[n].Data...)
			n++
		}
		if used > 0 && used+len(data) > budget {
			break
		}
		if twice {
			data = append(data, data...)
		}
		fmt.Fprintf(&b, `<rsp:Stream Name="stdout"%s>%s</rsp:Stream>`, attribute, base64.StdEncoding.EncodeToString(data))
		used += len(data)
		for _, p := range q.packets[:n] {
			q.size -= len(p.Data)
		}
		q.packets = q.packets[n:]
		if used >= budget {
			break
		}
	}
	if used > 0 {
		q.changed() // a cmdlet may wait for room
	}
	if len(q.packets) == 0 && q.final {
		done = true
		delete(sh.commands, id)
		sh.core.Forget(id)
	}
	return b.String(), done
}

func (s *Server) signal(sh *shell, r *request) (string, *soapFault) {
	id, err := clixml.ParseGUID(r.Body.Signal.CommandID)
	if err != nil {
		return "", faultBadHeader.because("CommandId %q is no GUID", r.Body.Signal.CommandID)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c := sh.commands[id]
	if c == nil {
		return "", faultUnknownShell.because("command %s has ended, or was never there", id)
	}
	c.stopped = true
	if c.stop != nil {
		c.stop()
	}
	// The transposed letters are real: only this code stops gracefully, any other closes the command.
	if strings.TrimSpace(r.Body.Signal.Code) != "powershell/signal/crtl_c" {
		delete(sh.commands, id)
		sh.core.Forget(id)
	}
	return `<rsp:SignalResponse/>`, nil
}

func (sh *shell) disconnect(r *request) *soapFault {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.connected = false
	sh.drop = strings.EqualFold(strings.TrimSpace(r.Body.Disconnect.BufferMode), "Drop")
	if d, err := parseDuration(r.Body.Disconnect.IdleTimeOut); err == nil && d > 0 && !sh.forced {
		sh.idle = max(d, leastIdle)
	}
	sh.pool.changed() // a Receive that waits is over
	for _, c := range sh.commands {
		c.out.changed() // the same, and a cmdlet that waited for room goes on when output may be dropped
	}
	return nil
}

func (sh *shell) reconnect(r *request) *soapFault {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.session != "" && !strings.EqualFold(sh.session, r.Header.SessionID) {
		return faultOtherSession.because("session %q, and the shell belongs to %q", r.Header.SessionID, sh.session)
	}
	if r.Body.Reconnect != nil && r.Body.Reconnect.CommandID != "" {
		id, err := clixml.ParseGUID(r.Body.Reconnect.CommandID)
		if err != nil || sh.commands[id] == nil {
			return faultUnknownShell.because("command %q has ended, or was never there", r.Body.Reconnect.CommandID)
		}
	}
	sh.connected, sh.drop = true, false
	return nil
}
