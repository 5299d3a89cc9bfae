package live

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// Class sorts failures by what a person would look at next.
type Class string

// The classes of a failed sample. The empty class is no failure.
const (
	Timeout   Class = "timeout"   // nobody answered in time
	Refused   Class = "refused"   // the machine is there, nothing listens
	DNS       Class = "dns"       // the name leads nowhere
	Plaintext Class = "plaintext" // something listens that speaks no TLS
	TLS       Class = "tls"       // the handshake failed
	Network   Class = "network"   // reset, unreachable and the like
	Peer      Class = "peer"      // the address is not one to connect to
	Cancelled Class = "cancelled"
)

// lookupError marks failures of the resolver, whichever type the injected one returns.
type lookupError struct{ err error }

func (e *lookupError) Error() string { return e.err.Error() }
func (e *lookupError) Unwrap() error { return e.err }

// sample opens one connection, takes the certificates and hangs up.
func (o Observer) sample(ctx context.Context, t Target, address string) Served {
	inner, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	chain, err := o.fetch(inner, t, address)
	if err != nil {
		return failed(ctx, t, address, err)
	}
	return Served{Endpoint: t.Endpoint, Host: t.Host, Address: address, Chain: chain, LeafSHA256: digest(chain[0])}
}

func (o Observer) fetch(ctx context.Context, t Target, address string) ([]*x509.Certificate, error) {
	raw, err := o.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	defer raw.Close()
	var chain []*x509.Certificate
	proven := false
	config := &tls.Config{
		ServerName: t.Host,
		// Fetching trusts nothing: Judge and Check do the verifying, and say what exactly is wrong.
		InsecureSkipVerify: true, //nolint:gosec // see above
		// No session cache: on a resumed session Go reports the certificate of the first handshake, so that after a
		// rotation the old leaf would seem to be served still.
		ClientSessionCache: nil,
		// The certificates are taken here, because a server that demands a client certificate ends the handshake later.
		VerifyPeerCertificate: func(rawCerts [][]byte, _ [][]*x509.Certificate) error {
			for i, der := range rawCerts {
				c, err := x509.ParseCertificate(der)
				if err != nil {
					return fmt.Errorf("served certificate %d: %w", i+1, err)
				}
				chain = append(chain, c)
			}
			return nil
		},
		// A certificate is public; only its key proves who serves it. That proof comes after the callback above and
		// before this one (RFC 5246 section 7.4.3, RFC 8446 section 4.4.3), which only such a server reaches.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			proven = true
			return &tls.Certificate{}, nil
		},
	}
	if _, err := netip.ParseAddr(t.Host); err == nil {
		config.ServerName = "" // no server name for an address, RFC 6066 section 3
	}
	conn := tls.Client(raw, config)
	err = conn.HandshakeContext(ctx)
	if err != nil && !proven {
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("TLS with %s: no certificate was served", address)
	}
	return chain, nil
}

func failed(ctx context.Context, t Target, address string, err error) Served {
	return Served{Endpoint: t.Endpoint, Host: t.Host, Address: address, Err: err, Class: classify(ctx, err)}
}

// wsaRefused is WSAECONNREFUSED, which package syscall doesn't map to ECONNREFUSED.
const wsaRefused = syscall.Errno(10061)

// classify sorts an error; ctx is the caller's, whose end is not the peer's fault.
func classify(ctx context.Context, err error) Class {
	var (
		header tls.RecordHeaderError
		dns    *lookupError
		peer   *PeerError
		errno  syscall.Errno
		netErr net.Error
		op     *net.OpError
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Cancelled
	case errors.As(err, &peer):
		return Peer
	case errors.As(err, &dns):
		return DNS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &netErr) && netErr.Timeout():
		return Timeout
	case errors.As(err, &header):
		return Plaintext
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &errno) && errno == wsaRefused:
		return Refused
	case errors.As(err, &op) && op.Op == "remote error":
		return TLS // an alert of the peer, which crypto/tls dresses as a network error
	case errors.As(err, &op), errors.As(err, &errno):
		return Network
	}
	return TLS
}
