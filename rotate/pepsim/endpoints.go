package pepsim

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// serveTLS answers TLS handshakes as the stamp's external endpoints do: one address, the certificate by server name.
func (s *Server) serveTLS(ctx context.Context, l net.Listener) error {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificateFor}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		s.running.Go(func() {
			defer c.Close()
			t := tls.Server(c, cfg)
			hctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			if t.HandshakeContext(hctx) != nil {
				return
			}
			// The visitor has seen the certificate; wait until it goes.
			_ = t.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = t.Read(make([]byte, 1))
			_ = t.Close()
		})
	}
}

func (s *Server) certificateFor(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wildcard *tls.Certificate
	for i := range s.served {
		c := &s.served[i].Certificate
		if c.Leaf == nil || c.Leaf.VerifyHostname(hello.ServerName) != nil {
			continue
		}
		for _, name := range c.Leaf.DNSNames {
			if name == hello.ServerName {
				return c, nil // the exact name wins over a wildcard
			}
		}
		wildcard = c
	}
	if wildcard == nil {
		return nil, errors.New("no endpoint has this name")
	}
	return wildcard, nil
}

// expected maps folders to the names that a new certificate must cover.
func (s *Server) expected() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for _, e := range s.served {
		out[e.Folder] = e.Name
	}
	return out
}

// serve puts a set of certificates into service.
func (s *Server) serve(certs map[string]tls.Certificate) {
	s.mu.Lock()
	next := make([]Endpoint, 0, len(s.served))
	for _, e := range s.served {
		if c, ok := certs[e.Folder]; ok {
			e.Certificate = c
		}
		next = append(next, e)
	}
	s.served = next
	s.mu.Unlock()
	s.history.write(event{Event: "swapped"})
}
