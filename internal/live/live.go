// Package live looks at which certificates a stamp's endpoints serve now.
//
// An Observer opens fresh TLS connections, several per address, because a virtual IP hides several front ends and one of
// them may lag behind. It fetches without verifying and leaves the judging to explicit functions: Judge compares the
// leaves with the previous and the planned one, Check holds a chain against a name, roots and a time. Wait polls until
// the planned certificates are served everywhere.
//
// Nothing is dialled and no name is looked up before Observe or Wait is called.
package live

import (
	"context"
	"crypto/sha1" //nolint:gosec // a Windows thumbprint is SHA-1 by definition; nothing is trusted for it
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/crew"
)

// Target is one endpoint to look at.
type Target struct {
	Endpoint  string   // its id, passed through
	Host      string   // a name the endpoint answers to; sent as server name
	Port      int      // 1 to 65535
	Addresses []string // address:port to connect to instead of asking DNS; each is sampled
}

// Served is the outcome of one connection.
type Served struct {
	Endpoint   string
	Host       string
	Address    string              // address:port that was connected to; empty when the name led to none
	Chain      []*x509.Certificate // as served, leaf first; nil with Err
	LeafSHA256 string              // lower-case hex over the DER; empty with Err
	Err        error
	Class      Class // of Err
}

// Thumbprint is the leaf's SHA-1 in upper-case hex, as Windows shows it; empty when nothing was served.
func (s Served) Thumbprint() string {
	if len(s.Chain) == 0 {
		return ""
	}
	sum := sha1.Sum(s.Chain[0].Raw) //nolint:gosec // see the import
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Observation is everything seen of one target: at least one sample.
type Observation struct {
	Target  Target
	Samples []Served
}

// Leaf returns the first sample that got a certificate, or the first that failed when none did, so that there is always
// something to show.
func (o Observation) Leaf() Served {
	for _, s := range o.Samples {
		if s.Err == nil {
			return s
		}
	}
	return o.Samples[0]
}

// Leaves returns one sample for each different leaf, in the order seen.
func (o Observation) Leaves() []Served {
	var out []Served
	for _, s := range o.Samples {
		if s.Err == nil && !slices.ContainsFunc(out, func(t Served) bool { return t.LeafSHA256 == s.LeafSHA256 }) {
			out = append(out, s)
		}
	}
	return out
}

// Failure returns the first sample that got no certificate, and whether there is one.
func (o Observation) Failure() (Served, bool) {
	for _, s := range o.Samples {
		if s.Err != nil {
			return s, true
		}
	}
	return Served{}, false
}

// Peers says which addresses may be connected to.
type Peers int

// A real stamp never lives on this machine and a simulated one nowhere else.
const (
	AnyPeer Peers = iota
	NoLoopback
	OnlyLoopback
)

// Defaults of an Observer. With three front ends of which one is stale, 16 samples miss it in 0.15 % of all cases, with
// four in 1 %.
const (
	DefaultSamples  = 16
	DefaultParallel = 16
	DefaultTimeout  = 5 * time.Second
)

const (
	maxAddresses = 16 // of one target
	// giveUp is after how many failures in a row, none having succeeded, an address counts as unreachable. Without it
	// a silent stamp would cost samples times timeout for every endpoint.
	giveUp = 3
)

// Observer says how to look. Dial is required; the zero value of everything else is a default.
type Observer struct {
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // gets IP:port
	Lookup   func(ctx context.Context, host string) ([]netip.Addr, error)         // nil: the system's resolver
	Samples  int                                                                  // connections per address
	Parallel int                                                                  // connections at a time, over all targets
	Timeout  time.Duration                                                        // of one connection with its handshake
	Peers    Peers
}

// Observe samples every target and returns one Observation for each, in the same order. Failures are part of the
// result. When ctx ends, what is left fails with class cancelled or timeout, at once.
func (o Observer) Observe(ctx context.Context, targets []Target) []Observation {
	o.Samples = defaulted(o.Samples, DefaultSamples)
	o.Parallel = defaulted(o.Parallel, DefaultParallel)
	o.Timeout = defaulted(o.Timeout, DefaultTimeout)
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	out := make([]Observation, len(targets))
	slots := make(chan struct{}, o.Parallel)
	var wait crew.Group
	for i, t := range targets {
		wait.Go(func() { out[i] = o.target(ctx, t, slots) })
	}
	wait.Wait()
	return out
}

func defaulted[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

func (o Observer) target(ctx context.Context, t Target, slots chan struct{}) Observation {
	addresses, err := o.addresses(ctx, t)
	if err != nil {
		return Observation{Target: t, Samples: []Served{failed(ctx, t, "", err)}}
	}
	found := make([][]Served, len(addresses))
	var wait crew.Group
	for i, a := range addresses {
		wait.Go(func() { found[i] = o.address(ctx, t, a, slots) })
	}
	wait.Wait()
	return Observation{Target: t, Samples: slices.Concat(found...)}
}

// address takes the samples of one address: one at a time until the first success, then all others side by side.
func (o Observer) address(ctx context.Context, t Target, address string, slots chan struct{}) []Served {
	var out []Served
	for len(out) < min(giveUp, o.Samples) {
		s := o.slot(ctx, t, address, slots)
		out = append(out, s)
		if s.Err == nil {
			break
		}
	}
	if out[len(out)-1].Err != nil {
		return out
	}
	rest := make([]Served, o.Samples-len(out))
	var wait crew.Group
	for i := range rest {
		wait.Go(func() { rest[i] = o.slot(ctx, t, address, slots) })
	}
	wait.Wait()
	return append(out, rest...)
}

func (o Observer) slot(ctx context.Context, t Target, address string, slots chan struct{}) Served {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return failed(ctx, t, address, context.Cause(ctx))
	}
	if err := ctx.Err(); err != nil {
		return failed(ctx, t, address, err)
	}
	return o.sample(ctx, t, address)
}

// addresses are the address:port pairs of a target: the given ones, or what its name leads to.
func (o Observer) addresses(ctx context.Context, t Target) ([]string, error) {
	if t.Port < 1 || t.Port > 65535 {
		return nil, fmt.Errorf("port %d of %q is none", t.Port, t.Host)
	}
	given := t.Addresses
	if a, err := netip.ParseAddr(t.Host); err == nil && len(given) == 0 {
		given = []string{netip.AddrPortFrom(a, uint16(t.Port)).String()}
	}
	if len(given) == 0 {
		ctx, cancel := context.WithTimeout(ctx, o.Timeout)
		defer cancel()
		found, err := o.Lookup(ctx, t.Host)
		if err != nil {
			return nil, fmt.Errorf("look up %q: %w", t.Host, &lookupError{err})
		}
		for _, a := range found {
			given = append(given, net.JoinHostPort(a.Unmap().String(), strconv.Itoa(t.Port)))
		}
		slices.Sort(given) // DNS rotates its answers
		given = slices.Compact(given)
	}
	if len(given) == 0 {
		return nil, fmt.Errorf("look up %q: %w", t.Host, &lookupError{fmt.Errorf("no address")})
	}
	if len(given) > maxAddresses {
		return nil, fmt.Errorf("%q has %d addresses, at most %d are looked at", t.Host, len(given), maxAddresses)
	}
	for _, a := range given {
		if err := o.Peers.check(a); err != nil {
			return nil, fmt.Errorf("%q: %w", t.Host, err)
		}
	}
	return given, nil
}

// PeerError says that an address is on the wrong side of the line between real and simulated stamps.
type PeerError struct {
	Address string
	Peers   Peers
}

func (e *PeerError) Error() string {
	if e.Peers == OnlyLoopback {
		return fmt.Sprintf("%s is not on this machine, and a simulated stamp is nowhere else", e.Address)
	}
	return fmt.Sprintf("%s is on this machine, and a real stamp never is", e.Address)
}

// Hint says what to do.
func (e *PeerError) Hint() string {
	return "correct resolve and simulated in the stamp file, or the DNS of this machine"
}

// Dialer connects like d, to addresses that p allows: it looks at the one that was reached before anything is said to it.
func (p Peers) Dialer(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := p.check(conn.RemoteAddr().String()); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

func (p Peers) check(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not of the form IP:port", address)
	}
	ip := a.Addr().Unmap()
	local := ip.IsLoopback() || ip.IsUnspecified() // connecting to 0.0.0.0 reaches this machine on Linux
	if p == NoLoopback && local || p == OnlyLoopback && !ip.IsLoopback() {
		return &PeerError{Address: address, Peers: p}
	}
	return nil
}

func digest(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
