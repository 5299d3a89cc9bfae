package wsman

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// http.sys, on which WinRM sits, closes a connection that carried no request for 120 s. While a cmdlet runs that is the control
// connection, and what is said on it then must not be lost with it.
const idleOfWindows = 2 * time.Minute

func TestDetachOverAConnectionThatIdled(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.idle = idleOfWindows
		p.serve = countTo(60)
		s := mustDial(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := s.Invoke(ctx, readOnly, Options{AtMostOnce: true})
		n := 0
		for range r.Records() {
			if n++; n == 40 { // 4 min 33 s
				cancel()
			}
		}
		if err := errOf(r.Result()); !errors.Is(err, psrp.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		begun := time.Now()
		if err := s.Close(ctx); err != nil || time.Since(begun) > closeTimeout {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if p.operations("Disconnect") != 1 || p.operations("Delete") != 0 {
			t.Errorf("operations %v", p.log)
		}
	})
}

func TestReconnectOverAConnectionThatIdled(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.idle = idleOfWindows
		p.serve = countTo(40)
		p.goes = func(op string, n int) action {
			if op == "Receive" && n >= 35 && p.operations("Reconnect") == 0 { // after about 4 min
				return away
			}
			return fine
		}
		s := mustDial(t, p)
		r := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})
		if diff := cmp.Diff(upTo(40), outputs(r)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := errOf(r.Result()); err != nil {
			t.Error(err)
		}
		_ = s.Close(t.Context())
		if p.operations("Reconnect") != 2 {
			t.Errorf("operations %v", p.log)
		}
	})
}
