package crl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

const (
	maxRedirects = 3
	maxHeader    = 64 << 10
)

// faultError is why nothing was got, in words of this package: the text of other errors may repeat what a server sent.
type faultError string

func (e faultError) Error() string { return string(e) }

// get fetches a URL. Redirects, resolution and body all fall under one timeout. The redirects are followed here and not by
// http.Client, because each has to pass the same checks as the first address.
func (c *Checker) get(ctx context.Context, k key) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, defaulted(c.Timeout, DefaultTimeout))
	defer cancel()
	g := getter{c, k.simulated}
	at, err := url.Parse(k.url)
	if err != nil {
		return nil, faultError("it is no http URL with a host")
	}
	for range maxRedirects + 1 {
		body, next, err := g.hop(ctx, at)
		if err != nil {
			return nil, fault(ctx, err)
		}
		if next == nil {
			return body, nil
		}
		at = next
	}
	return nil, faultError(fmt.Sprintf("more than %d redirects", maxRedirects))
}

// hop makes one request. Next is where the answer points to, nil when it is the CRL.
func (g getter) hop(ctx context.Context, at *url.URL) (body []byte, next *url.URL, err error) {
	if at.Hostname() == "" || !strings.EqualFold(at.Scheme, "http") {
		return nil, nil, faultError("it is no http URL with a host")
	}
	to := *at
	to.User = nil // nobody's password goes to an address out of a certificate
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, nil, faultError("it is no http URL with a host")
	}
	transport, err := g.transport(ctx, &to)
	if err != nil {
		return nil, nil, err
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		body, err = g.body(answer.Body)
		return body, nil, err
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		next, err := answer.Location()
		if err != nil {
			return nil, nil, faultError(fmt.Sprintf("HTTP status %d to nowhere", answer.StatusCode))
		}
		if !strings.EqualFold(next.Scheme, "http") {
			return nil, nil, faultError(fmt.Sprintf("it redirects to %q, and the stamp fetches CRLs over http only", short(next.Scheme)))
		}
		return nil, next, nil
	}
	return nil, nil, faultError(fmt.Sprintf("HTTP status %d", answer.StatusCode))
}

func (g getter) body(r io.Reader) ([]byte, error) {
	most := defaulted(g.MaxBytes, DefaultMaxBytes)
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(b)) > most:
		return nil, faultError(fmt.Sprintf("larger than %d bytes", most))
	case !g.spend(len(b)):
		return nil, faultError(fmt.Sprintf("the CRLs of this run are larger than %d bytes together", maxTotal))
	}
	return b, nil
}

func defaulted[T ~int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

func short(s string) string {
	const most = 20
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// getter fetches for a real or for a simulated stamp.
type getter struct {
	*Checker
	simulated bool
}

// transport is the way to one URL: straight, or through the proxy. The proxy is the operator's, and may be anywhere; it
// resolves names itself, so the host is held against the rule here, as well as this machine can tell.
func (g getter) transport(ctx context.Context, u *url.URL) (*http.Transport, error) {
	t := &http.Transport{DialContext: g.dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader}
	if g.Proxy == nil || g.simulated {
		return t, nil
	}
	via, err := g.Proxy(u)
	if err != nil {
		return nil, faultError("the address of the proxy cannot be read")
	}
	if via == nil {
		return t, nil
	}
	addresses, err := g.resolve(ctx, u.Hostname())
	switch {
	case err == nil:
		err = g.allowed(addresses)
	case errors.As(err, new(lookupError)):
		err = nil // behind a proxy a machine often knows no names of the outside
	}
	if err != nil {
		return nil, err
	}
	t.Proxy, t.DialContext = http.ProxyURL(via), g.dialProxy
	return t, nil
}

type lookupError struct{ faultError }

// dial connects to a host that was resolved and held against the rule: to the address that was looked at, not to a name
// that could lead elsewhere a moment later.
func (g getter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, faultError("it is no http URL with a host")
	}
	ctx, cancel := context.WithTimeout(ctx, defaulted(g.DialTimeout, DefaultDialTimeout))
	defer cancel()
	addresses, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	// One forbidden address among several is no accident.
	if err := g.allowed(addresses); err != nil {
		return nil, err
	}
	for i, a := range addresses {
		var conn net.Conn
		if conn, err = g.connect(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
		if ctx.Err() != nil || i == maxURLs {
			break
		}
	}
	return nil, err
}

func (g getter) dialProxy(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, defaulted(g.DialTimeout, DefaultDialTimeout))
	defer cancel()
	return g.connect(ctx, network, address)
}

func (g getter) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if g.Dial != nil {
		return g.Dial(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func (g getter) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	lookup := g.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	found, err := lookup(ctx, host)
	if err != nil || len(found) == 0 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, lookupError{"its name does not resolve"}
	}
	out := make([]netip.Addr, len(found))
	for i, a := range found {
		out[i] = a.Unmap()
	}
	return out, nil
}

// allowed keeps a fetch off this machine and off the link, where metadata services live, and that of a simulated stamp on
// this machine. It is the line that package live draws for endpoints, and a little more.
func (g getter) allowed(list []netip.Addr) error {
	for _, a := range list {
		switch {
		case g.simulated && !a.IsLoopback():
			return faultError("its host is not on this machine, and a simulated stamp is nowhere else")
		case g.simulated:
		case a.IsLoopback() || a.IsUnspecified():
			return faultError("its host is this machine, and a CA never is")
		case a.IsLinkLocalUnicast() || a.IsMulticast() || a.Zone() != "":
			return faultError("its host has a link-local or multicast address, and a CA never has")
		}
	}
	return nil
}

// fault puts an error of the network into words of our own.
func fault(ctx context.Context, err error) error {
	var own faultError
	var lookup lookupError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &lookup):
		return lookup.faultError
	case errors.Is(ctx.Err(), context.Canceled):
		return faultError("the run was interrupted")
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return faultError("timeout")
	case errors.Is(err, syscall.ECONNREFUSED):
		return faultError("the connection was refused")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return faultError("the answer ended too early")
	}
	return faultError("the connection failed, or the answer was no HTTP")
}
