package wsman

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// TestCancelledAtEachRequest: whatever a changing command waits for when it is cancelled, it lets go at once, was sent once at
// most, says that its outcome is unknown exactly when it may have been taken, and leaves no connection behind. A goroutine left
// behind would keep the bubble from ending.
func TestCancelledAtEachRequest(t *testing.T) {
	cmd := psrp.Command{Name: "Set-BmcCredential", Params: []psrp.Param{{Name: "BmcPassword", Value: clixml.NewSecureString("made up")}}}
	for _, what := range []action{fine, resetBefore, resetAfter, silence, status503, garbage} {
		cancelled := true
		for at := 1; cancelled; at++ {
			cancelled = false
			synctest.Test(t, func(t *testing.T) {
				p := newPeer(t)
				p.unrecorded = true
				p.serve = countTo(5)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				total, wrong := 0, ""
				var when time.Time
				p.goes = func(op string, n int) action {
					p.mu.Lock()
					defer p.mu.Unlock()
					if total++; total != at {
						return fine
					}
					cancelled, wrong, when = true, op, time.Now()
					cancel()
					return what
				}
				s, err := Dial(ctx, p.config())
				if err == nil {
					r := s.Invoke(ctx, cmd, Options{AtMostOnce: true})
					var result psrp.Result
					result, err = r.Result()
					taken := p.operations("Command") > 0 // it reached the peer, whatever became of it
					if unknown := errors.Is(err, psrp.ErrOutcomeUnknown); cancelled && unknown != taken || result.Sent != taken || p.operations("Command") > 1 {
						t.Errorf("%d at request %d, %s: %d commands, result %+v, %v", what, at, wrong, p.operations("Command"), result, err)
					}
				}
				if cancelled && (!errors.Is(err, context.Canceled) || time.Since(when) > 2*closeTimeout) {
					t.Errorf("%d at request %d, %s: %v after %v", what, at, wrong, err, time.Since(when))
				}
				if !cancelled && err != nil {
					t.Errorf("%d, not cancelled: %v", what, err)
				}
				if s != nil {
					_ = s.Close(ctx)
				}
				if p.operations("Signal") != 0 {
					t.Errorf("%d at request %d, %s: operations %v", what, at, wrong, p.log)
				}
				p.wg.Wait()
			})
		}
	}
}

// A host that has stopped to read holds nobody up beyond the context, inside TLS either.
func TestHostThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		mine := certificate(t, "10.0.0.1")
		sum := sha256.Sum256(mine.Certificate[0])
		cfg, err := Config{Host: "10.0.0.1", TLS: true, Pin: hex.EncodeToString(sum[:]), User: "u", Password: Password("made up")}.resolved()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
		go func() {
			_ = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{mine}, SessionTicketsDisabled: true}).Handshake()
		}()
		c, err := dial(t.Context(), &cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, _, err = c.post(ctx, graceTimeout, "", []byte("x"))
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("got %v after %v", err, took)
		}
	})
}
