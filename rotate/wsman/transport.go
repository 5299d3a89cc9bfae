package wsman

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/bodgit/ntlmssp"
)

// Gate lets a password be tried until it is refused once, or until mostUnanswered logins in a row got no answer. All
// connections of a session share one, and all sessions of a run should: the account counts attempts, not sessions.
type Gate struct {
	once sync.Once
	turn chan struct{} // held over an AUTHENTICATE and its answer; a channel, because waiting for it must end with a context

	mu         sync.Mutex // of what is below, never held over I/O
	refused    bool
	unanswered int
}

// enter waits for the turn to log in.
func (g *Gate) enter(ctx context.Context) error {
	g.once.Do(func() { g.turn = make(chan struct{}, 1) })
	select {
	case g.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Gate) leave() { <-g.turn }

// mostUnanswered leaves room below the five or so refused logins after which accounts are locked: what got no answer may
// have been refused.
const mostUnanswered = 3

// closed says why the password must not be tried any more.
func (g *Gate) closed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.refused:
		return ErrUnauthorized
	case g.unanswered >= mostUnanswered:
		return ErrUnanswered
	}
	return nil
}

func (g *Gate) refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = true
}

// ask counts a login before it is sent, because its answer may never come.
func (g *Gate) ask() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unanswered++
}

func (g *Gate) accept() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unanswered = 0
}

// Transport exchanges envelopes over one authenticated connection, which it opens when needed. One exchange runs at a
// time. On HTTP every body is sealed both ways; on HTTPS the channel is bound to the login, and bodies are sealed as well
// where the host takes that.
type Transport struct {
	cfg   *Config
	lock  chan struct{}
	conn  *conn
	seal  sealer // nil on HTTPS
	dials atomic.Int64
}

// NewTransport makes a transport that has not connected yet.
func NewTransport(cfg Config) (*Transport, error) {
	c, err := cfg.resolved()
	if err != nil {
		return nil, err
	}
	return newTransport(&c), nil
}

// ways are the two lanes of a session.
func (c *Config) ways() (control, receive lane) {
	if c.lanes != nil {
		return c.lanes()
	}
	return newTransport(c), newTransport(c)
}

func newTransport(cfg *Config) *Transport {
	return &Transport{cfg: cfg, lock: make(chan struct{}, 1)}
}

// Peer is the host that the transport is for.
func (t *Transport) Peer() (host string, port int, tls bool) {
	return t.cfg.Host, t.cfg.Port, t.cfg.TLS
}

// Dials counts the connections opened so far.
func (t *Transport) Dials() int64 { return t.dials.Load() }

// Exchange sends an envelope and returns the answer's, whatever it says. A request that was answered with 401 was not
// processed, so it is sent once more after a new login.
func (t *Transport) Exchange(ctx context.Context, envelope []byte) ([]byte, error) {
	b, _, err := t.exchange(ctx, envelope, false)
	return b, err
}

// exchange also tells whether a byte of the request reached the socket. With once set, nothing is ever sent again.
func (t *Transport) exchange(ctx context.Context, envelope []byte, once bool) (reply []byte, sent bool, err error) {
	if err := t.acquire(ctx); err != nil {
		return nil, false, err
	}
	defer t.release()
	for attempt := 0; ; attempt++ {
		if err := t.connect(ctx); err != nil {
			return nil, sent, err
		}
		a, wrote, err := t.post(ctx, envelope)
		sent = sent || wrote
		if t.cfg.TLS && t.cfg.inside.judge(a, wrote) {
			t.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the host takes no sealed bodies inside TLS: from here on they go out under TLS alone", slog.String("host", t.cfg.Host))
			if attempt == 0 && !once && err == nil {
				t.drop()
				continue
			}
		}
		switch {
		case err != nil:
			t.drop()
			return nil, sent, err
		case a.status != 401:
			reply, err := t.open(a)
			if err != nil {
				t.drop()
			}
			return reply, sent, err
		}
		t.drop()
		if once {
			return nil, sent, &StatusError{Code: a.status, ContentType: a.contentType}
		}
		if attempt > 0 {
			t.cfg.Gate.refuse()
			return nil, sent, ErrUnauthorized
		}
	}
}

func (t *Transport) post(ctx context.Context, envelope []byte) (*answer, bool, error) {
	body, kind := envelope, soapType
	if t.seal == nil && !t.cfg.TLS {
		panic("wsman: a body without a seal on HTTP") // our own invariant: login never leaves it so
	}
	if t.seal != nil {
		sealed, err := sealBody(t.seal, envelope)
		if err != nil {
			return nil, false, err
		}
		body, kind = sealed, sealedType
	}
	return t.conn.post(ctx, t.cfg.OperationTimeout+graceTimeout, "Content-Type: "+kind+"\r\n", body)
}

// open returns the envelope in an answer. On HTTP a body in clear is never looked at, whatever its status.
func (t *Transport) open(a *answer) ([]byte, error) {
	if t.seal == nil {
		if len(a.body) == 0 || a.status != 200 && a.status != 500 && a.status != 400 {
			return nil, &StatusError{Code: a.status, ContentType: a.contentType}
		}
		return a.body, nil
	}
	if !isSealed(a.contentType) {
		status := &StatusError{Code: a.status, ContentType: a.contentType}
		if a.status == 200 {
			return nil, fmt.Errorf("%w: %w", ErrUnsealed, status)
		}
		return nil, status
	}
	return openBody(t.seal, a.contentType, a.body)
}

func (t *Transport) acquire(ctx context.Context) error {
	select {
	case t.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Transport) release() { <-t.lock }

func (t *Transport) drop() {
	if t.conn != nil {
		t.conn.close()
	}
	t.conn, t.seal = nil, nil
}

// Close closes the connection. A later Exchange opens another.
func (t *Transport) Close() error {
	if t.acquire(context.Background()) == nil {
		defer t.release()
		t.drop()
	}
	return nil
}

// renew makes sure of a connection that is known to work, because it has just logged in. A changing command is not
// entrusted to one that may have died unnoticed.
func (t *Transport) renew(ctx context.Context) error {
	if err := t.acquire(ctx); err != nil {
		return err
	}
	defer t.release()
	t.drop()
	return t.connect(ctx)
}

// connect opens and authenticates a connection unless there is one. Nothing but the login is sent.
func (t *Transport) connect(ctx context.Context) error {
	if t.conn != nil && !t.conn.broken {
		return nil
	}
	t.drop()
	if err := t.cfg.Gate.closed(); err != nil {
		return err
	}
	t.dials.Add(1)
	c, err := dial(ctx, t.cfg)
	if err != nil {
		t.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "dial", slog.String("host", t.cfg.Host), slog.Bool("ok", false))
		return t.unconnected(ctx, err)
	}
	seal, err := t.login(ctx, c)
	if err != nil {
		c.close()
		t.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "login", slog.String("host", t.cfg.Host), slog.Bool("ok", false))
		if errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrUnanswered) {
			return err
		}
		return t.unconnected(ctx, err)
	}
	t.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "login", slog.String("host", t.cfg.Host), slog.Bool("ok", true))
	t.conn, t.seal = c, seal
	return nil
}

func (t *Transport) unconnected(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &ConnectError{Host: t.cfg.address(), Err: err}
}

// login runs the two empty posts of an NTLM handshake under the scheme Negotiate. The gate is held over the second one,
// so that two connections never try the same wrong password.
func (t *Transport) login(ctx context.Context, c *conn) (sealer, error) {
	domain, user := t.cfg.login()
	nc, err := ntlmssp.NewClient(
		ntlmssp.SetUserInfo(user, t.cfg.Password.Reveal()),
		ntlmssp.SetDomain(domain),
		ntlmssp.SetVersion(&ntlmssp.Version{ProductMajorVersion: 10, ProductBuild: 14393, NTLMRevisionCurrent: 15}),
	)
	if err != nil {
		return nil, errors.New("wsman: the login cannot be prepared")
	}
	token, err := nc.Authenticate(nil, nil)
	if err != nil {
		return nil, errors.New("wsman: the login cannot be prepared")
	}
	a, err := loginPost(ctx, c, token)
	if err != nil {
		return nil, err
	}
	if a.status != 401 || len(a.negotiate) != 1 || a.negotiate[0] == "" || c.broken {
		return nil, fmt.Errorf("%w: HTTP status %d", ErrNoNTLM, a.status)
	}
	challenge, err := base64.StdEncoding.DecodeString(a.negotiate[0])
	if err != nil {
		return nil, errors.New("wsman: the CHALLENGE is not base64")
	}
	if err := checkChallenge(challenge); err != nil {
		return nil, err
	}
	var bindings *ntlmssp.ChannelBindings
	if c.binding != nil {
		bindings = &ntlmssp.ChannelBindings{ApplicationData: c.binding}
	}
	if token, err = nc.Authenticate(challenge, bindings); err != nil || nc.SecuritySession() == nil {
		return nil, errors.New("wsman: the CHALLENGE cannot be answered")
	}
	g := t.cfg.Gate
	if err := g.enter(ctx); err != nil {
		return nil, err
	}
	defer g.leave()
	if err := g.closed(); err != nil {
		return nil, err
	}
	g.ask()
	a, err = loginPost(ctx, c, token)
	if err == nil && a.status != 200 && a.status != 401 {
		err = &StatusError{Code: a.status, ContentType: a.contentType}
	}
	switch {
	case err != nil && g.closed() != nil:
		return nil, fmt.Errorf("%w: %w", g.closed(), err)
	case err != nil:
		return nil, err
	case a.status == 401:
		g.refuse()
		return nil, ErrUnauthorized
	}
	g.accept()
	switch {
	case c.broken:
		return nil, errors.New("the host closes the connection after the login")
	case t.cfg.TLS && t.cfg.inside.plain():
		return nil, nil
	}
	return nc.SecuritySession(), nil
}

func loginPost(ctx context.Context, c *conn, token []byte) (*answer, error) {
	a, _, err := c.post(ctx, loginTimeout, "Authorization: Negotiate "+base64.StdEncoding.EncodeToString(token)+"\r\n", nil)
	return a, err
}

func (t *Transport) connected() bool {
	t.lock <- struct{}{}
	defer t.release()
	return t.conn != nil
}
