package wsman

import (
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// shears cuts what the server says at one byte, counted over all connections: that connection dies there, the others and
// later ones live.
type shears struct {
	mu   sync.Mutex
	left int // bytes until the cut; below 0: it has been made, or is never made
	said int
}

type sheared struct {
	net.Conn
	s *shears
}

func (c *sheared) Write(b []byte) (int, error) {
	c.s.mu.Lock()
	c.s.said += len(b)
	cut := c.s.left >= 0 && len(b) > c.s.left
	if cut {
		b = b[:c.s.left]
		c.s.left = -1
	} else if c.s.left >= 0 {
		c.s.left -= len(b)
	}
	c.s.mu.Unlock()
	n, err := c.Conn.Write(b)
	if cut {
		_ = c.Close()
		return n, errors.New("cut")
	}
	return n, err
}

// cutSession opens a session, runs a command on it and closes it, with the server's words cut at one byte.
func cutSession(t *testing.T, at int, once bool) (said int, outcome string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPeer(t)
		s := &shears{left: at}
		p.shears = s
		runs := 0
		p.serve = func(p *peer, r psrp.PipelineRequested) {
			runs++
			for i := range 3 {
				p.emit(r.ID, psrp.Output{Value: int32(i)})
			}
			p.finish(r.ID, psrp.PipelineCompleted, nil)
		}
		begun := time.Now()
		fail := func(format string, args ...any) {
			t.Helper()
			t.Errorf("cut at byte %d, at most once %v: "+format, append([]any{at, once}, args...)...)
		}
		var result psrp.Result
		session, err := Dial(t.Context(), p.config())
		if err == nil {
			run := session.Invoke(t.Context(), readOnly, Options{AtMostOnce: once})
			got := outputs(run)
			result, err = run.Result()
			switch {
			case err == nil && (result.State != psrp.PipelineCompleted || len(got)+int(result.Lost) < 3):
				fail("success with %v, %d lost", got, result.Lost)
			case err == nil && result.Lost == 0 && cmp.Diff(upTo(3), got) != "":
				fail("got %v", got)
			case err != nil && runs > 0 && !result.Sent:
				fail("the command ran, and is said not to have been sent: %v", err)
			}
			if err := session.Close(t.Context()); err != nil && len(err.Error()) > 600 {
				fail("closing: %v", err)
			}
		}
		p.wg.Wait()
		if err != nil && (len(err.Error()) < 10 || len(err.Error()) > 600 || errors.Is(err, ErrUnauthorized)) {
			fail("not one clear error: %v", err)
		}
		if runs > 1 {
			fail("the command ran %d times", runs)
		}
		if took := time.Since(begun); took > 15*time.Minute {
			fail("it took %v", took)
		}
		if err := p.leaks(); err != nil {
			fail("%v", err)
		}
		said = s.said
		switch {
		case err == nil && result.Lost == 0:
			outcome = "whole"
		case err == nil:
			outcome = "with lost records"
		case result.Sent:
			outcome = "unknown"
		default:
			outcome = "failed before the command"
		}
	})
	return said, outcome
}

// TestCutAtEveryByte lets the connection die at every byte that the server says in a session: in both logins, while the shell
// opens, while a command is taken and while it answers. Each time the command ran once or not at all, its records came or
// are reported as lost or as unknown, and nothing is said in clear.
func TestCutAtEveryByte(t *testing.T) {
	whole, _ := cutSession(t, -1, true)
	if whole < 5000 {
		t.Fatalf("a session has %d bytes", whole)
	}
	outcomes := map[string]int{}
	for at := 0; at < whole; at += cutStep {
		_, outcome := cutSession(t, at, at%2 == 0)
		outcomes[outcome]++
		if t.Failed() {
			return
		}
	}
	if outcomes["whole"] == 0 || outcomes["unknown"] == 0 || outcomes["failed before the command"] == 0 {
		t.Errorf("the cuts do not reach every phase: %v", outcomes)
	}
	t.Logf("%d bytes, %v", whole, outcomes)
}
