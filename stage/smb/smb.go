// Package smb reaches a share over SMB 3.1.1: signed always, encrypted unless the target says otherwise, NTLMv2, one
// session for one run. It is the network backend of package stage; the transaction on top is the same as over a folder.
//
// The client is github.com/cloudsoda/go-smb2. Four of its habits shape this package. It follows the server in whether to
// encrypt, so a guard on the connection refuses every frame that would show a name or a byte of a file. A context that is
// cancelled while a request is being sent corrupts its stream, so it only ever sees the background context and the
// connection carries every deadline. Calls on a session that has ended hang, so an operation that failed for the
// transport's sake is the session's last. And its rename replaces what it finds, so we look first, under the lock.
package smb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/stage"
)

// Config says how a share is reached.
type Config struct {
	UNC      string // \\server\share, further components are a folder within it
	User     string // DOMAIN\user, user@domain or user
	Password secret.Value

	// Addresses are dialled in order, as host:port; empty means the UNC's server at port 445.
	Addresses []string
	// SigningOnly accepts a server that does not encrypt. PFX files then cross the wire under their own password alone.
	SigningOnly bool

	// Dial opens a connection; nil means net.Dialer. Whoever pins addresses does it here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// LoginBudget bounds dial and login, OperationBudget the time in which something must come back while requests are
	// under way. Zero means 20 s and 60 s: a server may wait up to 35 s for another client's lease.
	LoginBudget     time.Duration
	OperationBudget time.Duration
}

const (
	port                   = "445"
	dialect311             = 0x0311
	credits                = 512 // a listing takes 16 of them, and a run has 16 at a time
	defaultLoginBudget     = 20 * time.Second
	defaultOperationBudget = 60 * time.Second
	// grace is how long requests under way may still take once the run is cancelled: enough to finish a swap.
	grace = 5 * time.Second
)

// Open connects, logs in once and mounts. There is no second attempt with a credential: a wrong password must not lock
// the account. When ctx ends, what is under way gets a few seconds and then the connection ends; see [stage.Share].
func Open(ctx context.Context, c Config) (stage.Share, error) {
	server, share, base, err := splitUNC(c.UNC)
	if err != nil {
		return nil, &stage.Error{Class: stage.ClassConfig, Step: "open the share", Err: err, Todo: `write share.unc as \\server\share`}
	}
	s := &mount{base: base, budget: c.OperationBudget}
	if s.budget == 0 {
		s.budget = defaultOperationBudget
	}
	loginBudget := c.LoginBudget
	if loginBudget == 0 {
		loginBudget = defaultLoginBudget
	}
	if err := s.dial(ctx, c, server, loginBudget); err != nil {
		return nil, err
	}
	if err := s.login(c, server, share); err != nil {
		s.conn.Close()
		return nil, err
	}
	if err := s.conn.SetDeadline(time.Time{}); err != nil {
		s.conn.Close()
		return nil, s.fault("log in", err)
	}
	s.stop = context.AfterFunc(ctx, s.cancelled)
	return s, nil
}

// mount is one mounted share.
type mount struct {
	base   string
	budget time.Duration

	conn    *guard
	session *smb2.Session
	share   *smb2.Share
	stop    func() bool
	credits sync.RWMutex // read-locked by what needs few credits, locked by what must have them all

	mu     sync.Mutex
	flying int
	ending bool // the run was cancelled: no deadline is moved any more
	dead   error
	lock   *held // it ends with the session
}

func (s *mount) dial(ctx context.Context, c Config, server string, budget time.Duration) error {
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	addresses := c.Addresses
	if len(addresses) == 0 {
		addresses = []string{net.JoinHostPort(server, port)}
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	var failed []error
	for _, a := range addresses {
		conn, err := dial(ctx, "tcp", a)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		deadline, _ := ctx.Deadline()
		if err := conn.SetDeadline(deadline); err != nil {
			conn.Close()
			failed = append(failed, err)
			continue
		}
		s.conn = &guard{Conn: conn, plain: c.SigningOnly}
		return nil
	}
	return &stage.Error{
		Class: stage.ClassTransport, Step: "connect to " + server, Err: fmt.Errorf("%w: %w", stage.ErrTransport, errors.Join(failed...)),
		Todo: "check the name in share.unc and that this machine reaches the server's port 445",
	}
}

func (s *mount) login(c Config, server, share string) error {
	domain, user := splitUser(c.User)
	d := &smb2.Dialer{
		MaxCreditBalance: credits,
		Negotiator:       smb2.Negotiator{RequireMessageSigning: true, SpecifiedDialect: dialect311},
		Initiator:        &smb2.NTLMInitiator{User: user, Password: c.Password.Reveal(), Domain: domain, TargetSPN: "cifs/" + server},
	}
	var err error
	if s.session, err = d.DialConn(context.Background(), s.conn, server); err != nil {
		return s.fault("log in to "+server, err)
	}
	if s.share, err = s.session.Mount(`\\` + server + `\` + share); err != nil {
		return s.fault(`mount \\`+server+`\`+share, err)
	}
	return nil
}

// splitUNC takes \\server\share\folder apart. The folder comes back with slashes.
func splitUNC(unc string) (server, share, base string, err error) {
	rest, ok := strings.CutPrefix(unc, `\\`)
	parts := strings.Split(strings.TrimSuffix(rest, `\`), `\`)
	if !ok || len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return "", "", "", fmt.Errorf(`%q is not of the form \\server\share`, unc)
	}
	for _, p := range parts[1:] {
		if err := stage.CheckName(p); err != nil {
			return "", "", "", err
		}
	}
	return parts[0], parts[1], path.Join(parts[2:]...), nil
}

// splitUser separates the domain: a server that keeps its own accounts takes DOMAIN\user for a user of that whole name.
func splitUser(s string) (domain, user string) {
	if d, u, ok := strings.Cut(s, `\`); ok {
		return d, u
	}
	if u, d, ok := strings.Cut(s, "@"); ok {
		return d, u
	}
	return "", s
}

// do runs one operation under the budget. While anything is under way the connection has a deadline, which every further
// operation moves; an idle connection has none, because a rotation holds the lock for an hour.
func (s *mount) do(what string, op func() error) error {
	if err := s.begin(); err != nil {
		return err
	}
	s.credits.RLock()
	err := op()
	s.credits.RUnlock()
	s.end()
	if err == nil {
		return nil
	}
	err = s.fault(what, err)
	if errors.Is(err, stage.ErrTransport) {
		s.kill(err)
	}
	return err
}

// alone runs an operation while no other is under way, so that it has all the credits the server grants.
func (s *mount) alone(what string, op func() error) error {
	s.credits.Lock()
	defer s.credits.Unlock()
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	if err := op(); err != nil {
		return s.fault(what, err)
	}
	return nil
}

func (s *mount) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead != nil {
		return s.dead
	}
	s.flying++
	if s.ending {
		return nil
	}
	if err := s.conn.SetDeadline(time.Now().Add(s.budget)); err != nil {
		s.flying--
		return s.fault("set a deadline", err)
	}
	return nil
}

func (s *mount) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	if s.flying == 0 && !s.ending && s.dead == nil {
		_ = s.conn.SetDeadline(time.Time{}) // a closed connection says so at the next operation
	}
}

// cancelled lets what is under way end by itself, for a short while.
func (s *mount) cancelled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	_ = s.conn.SetDeadline(time.Now().Add(grace))
}

// kill ends a session whose stream can no longer be trusted. Every later operation fails with the same error.
func (s *mount) kill(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead == nil {
		s.dead = err
	}
	s.conn.Close()
}

// Close ends the session by ending the connection. The library's own log-off is not asked for: calls that come after one
// hang for ever, its finalizers included.
func (s *mount) Close() error {
	s.stop()
	s.mu.Lock()
	lock := s.lock
	s.lock = nil
	s.mu.Unlock()
	if lock != nil {
		lock.signing.Wait()
		_ = s.do("unlock", lock.f.Close) // a lost connection has released it already
	}
	s.kill(&stage.Error{Class: stage.ClassInternal, Step: "use the share", Err: net.ErrClosed})
	return nil
}
