package wsman

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/certstamp/certstamp/internal/secret"
)

// TestOnceIsOnce: what must not be sent twice is not, not even by a first request inside TLS that finds out that its host takes no
// sealed bodies.
func TestOnceIsOnce(t *testing.T) {
	for _, noSeal := range []int{400, 401, 500, -1} {
		synctest.Test(t, func(t *testing.T) {
			p := newPeer(t)
			p.unrecorded = true
			mine := certificate(t, "10.0.0.1")
			sum := sha256.Sum256(mine.Leaf.Raw)
			p.tls = &tls.Config{Certificates: []tls.Certificate{mine}, SessionTicketsDisabled: true, MinVersion: tls.VersionTLS12}
			p.binding = channelBinding(mine.Leaf)
			p.noSeal = noSeal
			cfg := p.config()
			cfg.TLS, cfg.Pin = true, hex.EncodeToString(sum[:])
			w, err := NewTransport(cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, sent, err := w.exchange(t.Context(), []byte("<a/>"), true)
			if err == nil || !sent || len(p.inside) != 1 {
				t.Errorf("%d: sent %v, %v, %d bodies", noSeal, sent, err, len(p.inside))
			}
			_ = w.Close()
			p.wg.Wait()
		})
	}
}

// TestConnectionsShareOneAttempt: a password that is wrong is tried by one of the connections that log in at the same time, and then
// no new one is dialled for it.
func TestConnectionsShareOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer(t)
		p.unrecorded = true
		cfg := p.config()
		cfg.Password, cfg.Gate = secret.New("wrong-"+testPassword), &Gate{}
		var all []*Transport
		var wg sync.WaitGroup
		for range 4 {
			w, err := NewTransport(cfg)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, w)
			wg.Go(func() {
				if _, err := w.Exchange(t.Context(), []byte("<a/>")); !errors.Is(err, ErrUnauthorized) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		conns := p.conns
		if _, err := all[0].Exchange(t.Context(), []byte("<a/>")); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("later: got %v", err)
		}
		if p.logins != 1 || p.conns != conns {
			t.Errorf("%d logins, %d connections and %d later", p.logins, conns, p.conns-conns)
		}
		p.wg.Wait()
	})
}

// hollowSealer is a login that seals nothing.
type hollowSealer struct{ sealed, signature []byte }

func (h hollowSealer) Wrap([]byte) (sealed, signature []byte, err error) {
	return h.sealed, h.signature, nil
}
func (h hollowSealer) Unwrap(sealed, _ []byte) ([]byte, error) { return sealed, nil }

// TestNothingGoesOutUnsealed: the library that seals is asked for what it has made.
func TestNothingGoesOutUnsealed(t *testing.T) {
	for _, h := range []hollowSealer{{}, {sealed: []byte("plain")}, {sealed: []byte("plain"), signature: make([]byte, 8)}, {signature: make([]byte, signatureSize)}} {
		if b, err := sealBody(h, []byte("plain")); !errors.Is(err, ErrUnsealed) || b != nil {
			t.Errorf("%+v: got %q, %v", h, b, err)
		}
	}
	body, err := sealBody(hollowSealer{sealed: []byte("plain"), signature: make([]byte, signatureSize)}, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openBody(hollowSealer{}, sealedType, body); !errors.Is(err, ErrUnsealed) {
		t.Errorf("a signature of version 0: %v", err)
	}
}
