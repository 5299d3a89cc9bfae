package wsman

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// wireCut resets a connection once so many bytes of the server have reached the client, over all connections together.
type wireCut struct {
	stays    bool // no further connection comes up
	mu       sync.Mutex
	left     int
	passed   int
	happened bool
}

func (w *wireCut) dial(p *peer) func(context.Context, string, string) (net.Conn, error) {
	next := p.config().Dial
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		w.mu.Lock()
		dead := w.happened && w.stays
		w.mu.Unlock()
		if dead {
			return nil, syscall.ECONNREFUSED
		}
		c, err := next(ctx, network, address)
		return &cutConn{Conn: c, w: w}, err
	}
}

type cutConn struct {
	net.Conn
	w *wireCut
}

func (c *cutConn) Read(b []byte) (int, error) {
	w := c.w
	w.mu.Lock()
	over := w.happened && w.stays
	if !w.happened && w.left < len(b) {
		b = b[:w.left]
	}
	if !w.happened && len(b) == 0 {
		w.happened, over = true, true
	}
	w.mu.Unlock()
	if over {
		_ = c.Close()
		return 0, syscall.ECONNRESET
	}
	n, err := c.Conn.Read(b)
	w.mu.Lock()
	w.left -= n
	w.passed += n
	w.mu.Unlock()
	return n, err
}

// A session that is cut at each byte of what the server says: the host stays away, or is back at once. The client sees the
// true end of its command or says that it does not know, in bounded time, and shows nothing to whoever holds the line.
func TestResetAtEachByte(t *testing.T) {
	const records = 2
	attempt := func(t *testing.T, at int, forEver bool) (passed int) {
		synctest.Test(t, func(t *testing.T) {
			p := newPeer(t)
			ran, ended := 0, false
			p.serve = func(p *peer, r psrp.PipelineRequested) {
				ran++
				countTo(records)(p, r)
				ended = true
			}
			w := &wireCut{left: at, stays: forEver}
			cfg := p.config()
			cfg.Dial = w.dial(p)
			begun := time.Now()
			s, err := Dial(t.Context(), cfg)
			sent, got := false, 0
			var result psrp.Result
			if err == nil {
				r := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})
				got = len(outputs(r))
				result, err = r.Result()
				sent = result.Sent
				if closing := s.Close(t.Context()); closing != nil {
					t.Errorf("byte %d: close: %v", at, closing)
				}
			}
			if took := time.Since(begun); took > 15*time.Minute {
				t.Errorf("byte %d: took %v", at, took)
			}
			p.wg.Wait()
			var connect *ConnectError
			switch {
			case err == nil && (!ended || result.State != psrp.PipelineCompleted || got+int(result.Lost) < records):
				t.Errorf("byte %d: a success that was none: %d records, %+v", at, got, result)
			case err != nil && sent != errors.Is(err, psrp.ErrOutcomeUnknown):
				t.Errorf("byte %d: sent %v, but %v", at, sent, err)
			case err != nil && !sent && !errors.As(err, &connect):
				t.Errorf("byte %d: nothing was sent, so another host may be tried: %v", at, err)
			case err != nil && len(err.Error()) > 600:
				t.Errorf("byte %d: a long error: %.700v", at, err)
			}
			if ran > 1 || p.operations("Command") > 1 || p.refused > 0 || !sent && ran > 0 {
				t.Errorf("byte %d: ran %d times, %d Commands, %d logins refused", at, ran, p.operations("Command"), p.refused)
			}
			if err := p.leaks(); err != nil {
				t.Errorf("byte %d: %v", at, err)
			}
			passed = w.passed
		})
		return passed
	}
	whole := attempt(t, math.MaxInt, false)
	if whole < 4000 {
		t.Fatalf("the whole session has %d bytes", whole)
	}
	step := 29 // "make chaos" takes every byte
	if os.Getenv("CERTSTAMP_CHAOS") != "" {
		step = 1
	}
	for name, forEver := range map[string]bool{"and back at once": false, "and away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := 0; at <= whole && !t.Failed(); at += step {
				attempt(t, at, forEver)
			}
		})
	}
}
