package wsman

import (
	"context"
	"errors"
	"testing"
	"time"

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
