package pep

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// Config names the endpoint. Hosts, TLS, Pin, User and Configuration come from the plan's target.
type Config struct {
	Hosts         []string // host, host:port, or [v6]:port, in the order they are tried
	TLS           bool
	Pin           string         // sha256:<hex> or <hex>
	CAs           *x509.CertPool // read from the plan's CA file by the caller
	User          string
	Password      secret.Value
	Logins        *Logins // shared by all sessions of a run; one of its own for each Dial when nil
	Configuration string  // PrivilegedEndpoint when empty

	// Simulated says which peers may be dialled: a simulated plan only loopback, a real one anything but loopback.
	Simulated bool

	// Record, when not nil, makes what a recording of the session with a host is written to (see wsman.Leader), or nil for
	// none. Hide are secrets beyond those that the session is given itself.
	Record func(host string) io.WriteCloser
	Hide   []secret.Value

	Dial             func(ctx context.Context, network, address string) (net.Conn, error) // a plain dialer when nil
	Rand             io.Reader
	Logger           *slog.Logger
	Wait             func(ctx context.Context, d time.Duration) error
	OperationTimeout time.Duration
	IdleTimeout      time.Duration // after which the host ends a session that nobody uses, with what runs in it; its own default when zero
	RecoveryWindow   time.Duration
}

// ErrPeer means that the address dialled belongs to the wrong world: a real plan met loopback, or a simulated one did not.
var ErrPeer = errors.New("the peer's address does not fit the plan")

// Unauthorized reports whether a login was refused. The account may lock after a few, so the same password must be tried
// nowhere again.
func Unauthorized(err error) bool { return errors.Is(err, wsman.ErrUnauthorized) }

// Logins counts what becomes of a password over sessions and hosts: refused once, or unanswered a few times in a row, it is
// tried nowhere again. The zero value is ready.
type Logins = wsman.Gate

// Unanswered reports whether so many logins got no answer that no further one is sent.
func Unanswered(err error) bool { return errors.Is(err, wsman.ErrUnanswered) }

// Dial logs in to the first host that can be reached and has room for a session. Nothing else leads to the next host: one
// refused login or certificate ends it.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	if len(cfg.Hosts) == 0 {
		return nil, errors.New("the endpoint has no host")
	}
	if cfg.Logins == nil {
		cfg.Logins = &Logins{}
	}
	var failed []error
	for _, h := range cfg.Hosts {
		c, err := cfg.host(h)
		if err != nil {
			return nil, err
		}
		if cfg.Record != nil {
			c.Record = cfg.Record(h)
		}
		session, err := wsman.Dial(ctx, c)
		if err == nil {
			return New(Wrap(session)), nil
		}
		var connect *wsman.ConnectError
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ErrPeer), Unauthorized(err), Unanswered(err), errors.Is(err, wsman.ErrCertificate), !errors.As(err, &connect):
			return nil, fmt.Errorf("log in to %s: %w", h, err)
		}
		failed = append(failed, err)
	}
	return nil, &ConnectError{Hosts: cfg.Hosts, Err: errors.Join(failed...)}
}

// DialEach logs in to every host, asks each for the syntax of one cmdlet, and logs out again, for a go/no-go: hosts of one
// endpoint may differ, and the login is there anyway. The first refused login ends it, because every further one counts
// towards a lockout; the hosts after it are not in the answer.
func DialEach(ctx context.Context, cfg Config, cmdlet string) []HostCheck {
	if cfg.Logins == nil {
		cfg.Logins = &Logins{}
	}
	var out []HostCheck
	for _, h := range cfg.Hosts {
		one := cfg
		one.Hosts = []string{h}
		session, err := Dial(ctx, one)
		check := HostCheck{Host: h, Err: err}
		if err == nil {
			check.Syntax, check.Unasked = session.CommandSyntax(ctx, cmdlet)
			_ = session.Close(ctx)
		}
		out = append(out, check)
		if Unauthorized(err) || Unanswered(err) || ctx.Err() != nil {
			break
		}
	}
	return out
}

// HostCheck is whether one host let us in, and what it then said of the cmdlet.
type HostCheck struct {
	Host    string
	Err     error
	Syntax  Syntax
	Unasked error // why the syntax is not known, after a login that went well
}

// ConnectError means that no host of the endpoint could be reached.
type ConnectError struct {
	Hosts []string
	Err   error
}

func (e *ConnectError) Error() string {
	if len(e.Hosts) == 1 {
		return fmt.Sprintf("the endpoint's one host cannot be reached: %v", e.Err)
	}
	return fmt.Sprintf("none of the endpoint's %d hosts can be reached: %v", len(e.Hosts), e.Err)
}
func (e *ConnectError) Unwrap() error { return e.Err }

// Hint says where a connection is possible from, unless a host that was reached had a reason of its own.
func (e *ConnectError) Hint() string {
	var f *wsman.Fault
	if errors.As(e.Err, &f) && f.Hint() != "" {
		return f.Hint()
	}
	return "run on the secured workstation that may reach the endpoint on TCP 5985 (5986 with TLS)"
}

func (c Config) host(h string) (wsman.Config, error) {
	host, port, err := splitHost(h)
	if err != nil {
		return wsman.Config{}, err
	}
	return wsman.Config{
		Host: host, Port: port, TLS: c.TLS, Pin: strings.TrimPrefix(c.Pin, "sha256:"), CAs: c.CAs,
		User: c.User, Password: c.Password, Gate: c.Logins, Configuration: c.Configuration,
		Locale:     "en-US", // any other culture breaks Test-AzureStack and more (PEP-2012)
		AllowHosts: []string{host},
		Dial:       c.dialer(), Rand: c.Rand, Logger: c.Logger, Wait: c.Wait,
		OperationTimeout: c.OperationTimeout, RecoveryWindow: c.RecoveryWindow, IdleTimeout: c.IdleTimeout, Hide: c.Hide,
	}, nil
}

// dialer looks at the peer before anything is said to it, so that no login reaches the wrong world.
func (c Config) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := peerFits(conn.RemoteAddr(), c.Simulated); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

func peerFits(a net.Addr, simulated bool) error {
	tcp, ok := a.(*net.TCPAddr)
	loopback := ok && tcp.IP.IsLoopback()
	switch {
	case simulated && !loopback:
		return fmt.Errorf("%w: a simulated plan talks to loopback only, this is %v", ErrPeer, a)
	case !simulated && loopback:
		return fmt.Errorf("%w: a real plan never talks to loopback, this is %v", ErrPeer, a)
	}
	return nil
}

func splitHost(h string) (host string, port int, err error) {
	host = strings.Trim(h, "[]")
	if net.ParseIP(host) != nil || !strings.Contains(h, ":") {
		return host, 0, nil
	}
	host, p, err := net.SplitHostPort(h)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host or host:port", h)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("%q: the port is not 1 to 65535", h)
	}
	return host, port, nil
}

// Wrap makes a Runspace of a WS-Man session.
func Wrap(s *wsman.Session) Runspace { return wrapped{s} }

type wrapped struct{ *wsman.Session }

func (w wrapped) Invoke(ctx context.Context, cmd psrp.Command, atMostOnce bool) Run {
	return w.Session.Invoke(ctx, cmd, wsman.Options{AtMostOnce: atMostOnce})
}
