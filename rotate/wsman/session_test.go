package wsman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

func parseID(s string) (psrp.GUID, error) { return clixml.ParseGUID(s) }

// world runs a test in a bubble of its own time, with a peer, and once more with a client that reads one byte at a time.
func world(t *testing.T, f func(t *testing.T, p *peer)) {
	t.Helper()
	for _, slow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPeer(t)
			p.slow = slow
			f(t, p)
			if t.Failed() && slow {
				t.Log("the client read one byte at a time")
			}
			if p.tls == nil {
				if err := p.leaks(); err != nil {
					t.Error(err)
				}
			}
			p.wg.Wait()
			if !slow {
				p.replay(t)
			}
		})
	}
}

func mustDial(t *testing.T, p *peer) *Session {
	t.Helper()
	s, err := Dial(t.Context(), p.config())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func countTo(n int) func(*peer, psrp.PipelineRequested) {
	return func(p *peer, r psrp.PipelineRequested) {
		for i := range n {
			p.emit(r.ID, psrp.Output{Value: int32(i)})
			time.Sleep(7 * time.Second) // of the bubble
		}
		p.finish(r.ID, psrp.PipelineCompleted, nil)
	}
}

func outputs(r *Run) []int32 {
	var out []int32
	for record := range r.Records() {
		if o, ok := record.(psrp.Output); ok {
			n, _ := o.Value.(int32)
			out = append(out, n)
		}
	}
	return out
}

func upTo(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

var readOnly = psrp.Command{Name: "Get-ActionStatus", Params: []psrp.Param{{Name: "FunctionName", Value: "Start-SecretRotation"}}}

func TestOneRun(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		var got psrp.PipelineRequested
		p.serve = func(p *peer, r psrp.PipelineRequested) {
			got = r
			countTo(20)(p, r)
		}
		s := mustDial(t, p)
		r := s.Invoke(t.Context(), readOnly, Options{})
		if !r.Started() {
			t.Error("not started")
		}
		if diff := cmp.Diff(upTo(20), outputs(r)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		result, err := r.Result()
		if err != nil || result.State != psrp.PipelineCompleted || result.Lost != 0 || !result.Sent {
			t.Errorf("got %+v, %v", result, err)
		}
		if got.Commands[0].Name != "Get-ActionStatus" || got.Commands[0].Params[0] != readOnly.Params[0] {
			t.Errorf("the peer ran %+v", got)
		}
		// The next command on the same session.
		if err := errOf(s.Invoke(t.Context(), readOnly, Options{}).Result()); err != nil {
			t.Error(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if p.operations("Delete") != 1 || p.conns != 2 || p.operations("Signal") != 0 {
			t.Errorf("%d connections, operations %v", p.conns, p.log)
		}
	})
}

func errOf(_ psrp.Result, err error) error { return err }

func TestSecretsInParameters(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		long := strings.Repeat("p", 100_000)
		var got clixml.Credential
		p.serve = func(p *peer, r psrp.PipelineRequested) {
			got, _ = r.Commands[0].Params[1].Value.(clixml.Credential)
			if r.Commands[0].Params[0].Value.(clixml.SecureString).Reveal() != long {
				t.Error("the long secret was changed")
			}
			p.finish(r.ID, psrp.PipelineCompleted, nil)
		}
		s := mustDial(t, p)
		r := s.Invoke(t.Context(), psrp.Command{Name: "Set-BmcCredential", Params: []psrp.Param{
			{Name: "BmcPassword", Value: clixml.NewSecureString(long)},
			{Name: "Credential", Value: clixml.Credential{User: "u", Password: clixml.NewSecureString("pw")}},
		}}, Options{AtMostOnce: true})
		if err := errOf(r.Result()); err != nil {
			t.Fatal(err)
		}
		if got.User != "u" || got.Password.Reveal() != "pw" {
			t.Errorf("got %v", got)
		}
		if p.operations("Send") < 2 || p.operations("Command") != 1 {
			t.Errorf("operations %v", p.log)
		}
		_ = s.Close(t.Context())
	})
}

func TestQuietServerIsAskedAgain(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) {
			time.Sleep(time.Hour)
			p.finish(r.ID, psrp.PipelineCompleted, nil)
		}
		s := mustDial(t, p)
		if err := errOf(s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()); err != nil {
			t.Error(err)
		}
		if n := p.operations("Receive"); n < 60 {
			t.Errorf("%d Receives in an hour", n)
		}
		_ = s.Close(t.Context())
	})
}

// A server that has nothing and says so at once, instead of holding the question, is not asked without a pause.
func TestImpatientServerIsNotHammered(t *testing.T) {
	for _, what := range []action{faulty, hollow, blank} {
		world(t, func(t *testing.T, p *peer) {
			p.code = FaultTimedOut
			p.serve = func(p *peer, r psrp.PipelineRequested) {
				time.Sleep(10 * time.Minute) // of the bubble
				p.finish(r.ID, psrp.PipelineCompleted, nil)
			}
			s := mustDial(t, p)
			begun := time.Now()
			p.goes = func(op string, n int) action {
				if op == "Receive" && time.Since(begun) < 10*time.Minute && n < 1000 { // nor without an end, for no time passes then
					return what
				}
				return fine
			}
			if err := errOf(s.Invoke(t.Context(), readOnly, Options{}).Result()); err != nil {
				t.Error(err)
			}
			if n := p.operations("Receive"); n > 300 {
				t.Errorf("%d Receives in ten minutes", n)
			}
			_ = s.Close(t.Context())
		})
	}
}

// The pause ends with the context.
func TestImpatientServerDoesNotHoldACancel(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.code = FaultTimedOut
		p.serve = func(p *peer, r psrp.PipelineRequested) {}
		s := mustDial(t, p)
		p.goes = func(op string, _ int) action {
			if op == "Receive" {
				return faulty
			}
			return fine
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		err := errOf(s.Invoke(ctx, readOnly, Options{}).Result())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
		_ = s.Close(t.Context())
	})
}

// One lane's login may take half a minute. The other's wait for its turn ends with the context all the same.
func TestWaitingForTheLoginEndsWithTheContext(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.mute = func(n int) bool {
			if n == 1 {
				time.Sleep(20 * time.Second) // of the bubble
			}
			return false
		}
		cfg := p.config()
		cfg.Gate = &Gate{}
		first, err1 := NewTransport(cfg)
		second, err2 := NewTransport(cfg)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- first.renew(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := second.renew(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		_, _ = first.Close(), second.Close()
	})
}

func TestFailuresOfThePipeline(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) {
			p.emit(r.ID, psrp.ErrorRecord{Message: "first", ID: "A"})
			p.finish(r.ID, psrp.PipelineFailed, &psrp.ErrorRecord{Message: "second", ID: "B"})
		}
		s := mustDial(t, p)
		result, err := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
		var failed *psrp.PipelineError
		if !errors.As(err, &failed) || failed.Record.ID != "B" || len(result.Errors) != 1 || errors.Is(err, psrp.ErrOutcomeUnknown) {
			t.Errorf("got %+v, %v", result, err)
		}
		_ = s.Close(t.Context())
		if p.operations("Delete") != 1 {
			t.Errorf("operations %v", p.log)
		}
	})
}

func TestSeventeenResetsLoseNothing(t *testing.T) {
	for _, what := range []action{resetBefore, status503, status401, silence} {
		world(t, func(t *testing.T, p *peer) {
			p.serve = countTo(120)
			var broken atomic.Int32 // connections are served side by side
			p.goes = func(op string, n int) action {
				if op == "Receive" && n > 2 && n%3 == 0 && broken.Load() < 17 {
					broken.Add(1)
					return what
				}
				return fine
			}
			s := mustDial(t, p)
			r := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})
			if diff := cmp.Diff(upTo(120), outputs(r)); diff != "" {
				t.Errorf("fault %d (-want +got):\n%s", what, diff)
			}
			if result, err := r.Result(); err != nil || result.Lost != 0 || broken.Load() != 17 {
				t.Errorf("fault %d: got %+v, %v after %d of them", what, result, err, broken.Load())
			}
			_ = s.Close(t.Context())
		})
	}
}

func TestLostAnswersAreReported(t *testing.T) {
	for _, what := range []action{resetAfter, garbage, clear200} {
		synctest.Test(t, func(t *testing.T) {
			p := newPeer(t)
			p.serve = countTo(60)
			var broken atomic.Int32 // connections are served side by side
			p.goes = func(op string, n int) action {
				if op == "Receive" && n > 2 && n%3 == 0 && broken.Load() < 17 && n < 55 {
					broken.Add(1)
					return what
				}
				return fine
			}
			s := mustDial(t, p)
			r := s.Invoke(t.Context(), readOnly, Options{})
			got := outputs(r)
			result, err := r.Result()
			if err != nil || result.Lost == 0 || int(result.Lost)+len(got) != 60 {
				t.Errorf("fault %d: %d records, result %+v, %v", what, len(got), result, err)
			}
			_ = s.Close(t.Context())
			p.wg.Wait()
		})
	}
}

// TestAnsweredTwice: what comes unasked is taken for the answer to the next request, whose own answer would then be taken for
// that of the one after it, and so on until the recovery window ends.
func TestAnsweredTwice(t *testing.T) {
	for _, op := range []string{"Create", "Receive", "Command"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPeer(t)
				p.serve, p.ahead = countTo(60), true
				once := true
				p.goes = func(o string, n int) action {
					if o == op && once && (o != "Receive" || n == 5) {
						once = false
						return twice
					}
					return fine
				}
				s := mustDial(t, p)
				begun := time.Now()
				r := s.Invoke(t.Context(), readOnly, Options{})
				got := outputs(r)
				result, err := r.Result()
				if err != nil || int(result.Lost)+len(got) != 60 || result.Lost > 10 {
					t.Errorf("%d records, result %+v, %v", len(got), result, err)
				}
				if took := time.Since(begun); took > 8*time.Minute {
					t.Errorf("took %v", took)
				}
				if err := errOf(s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()); err != nil {
					t.Errorf("the next command: %v", err)
				}
				_ = s.Close(t.Context())
				p.wg.Wait()
			})
		})
	}
}

// TestLostAnswersOfThePool: what the pool said once is not waited for until the recovery window ends.
func TestLostAnswersOfThePool(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.goes = func(op string, n int) action {
			if op == "Receive" && n == 1 {
				return resetAfter
			}
			return fine
		}
		begun := time.Now()
		_, err := Dial(t.Context(), p.config())
		var connect *ConnectError
		if !errors.As(err, &connect) || time.Since(begun) > 2*time.Minute {
			t.Errorf("open: %v after %v, want leave to try another host", err, time.Since(begun))
		}
	})
	world(t, func(t *testing.T, p *peer) {
		p.goes = func(op string, n int) action {
			if op == "Receive" && n == 2 { // the first opens the pool
				return resetAfter
			}
			return fine
		}
		s := mustDial(t, p)
		begun := time.Now()
		if err := s.Prepare(t.Context()); !errors.Is(err, errPoolSilent) || time.Since(begun) > 2*time.Minute {
			t.Errorf("keys: %v after %v", err, time.Since(begun))
		}
		_ = s.Close(t.Context())
	})
	world(t, func(t *testing.T, p *peer) { // an answer that was never given is still to come
		p.goes = func(op string, n int) action {
			if op == "Receive" && n == 1 {
				return resetBefore
			}
			return fine
		}
		s := mustDial(t, p)
		_ = s.Close(t.Context())
	})
}

// A fault that comes in clear may be anybody's. Believed, it would say that a changing command was not taken, or that a
// running one is gone.
func TestFaultsInClearAreNotBelieved(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.code = FaultAccessDenied
		p.goes = func(op string, n int) action {
			if op == "Command" {
				return clear500
			}
			return fine
		}
		s := mustDial(t, p)
		_, err := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
		if !errors.Is(err, psrp.ErrOutcomeUnknown) || faultCode(err) != 0 {
			t.Errorf("a Command: got %v", err)
		}
		_ = s.Close(t.Context())
	})
	world(t, func(t *testing.T, p *peer) {
		p.code = FaultUnknownShell
		p.serve = countTo(5)
		p.goes = func(op string, n int) action {
			if op == "Receive" && n == 3 {
				return clear500
			}
			return fine
		}
		s := mustDial(t, p)
		if diff := cmp.Diff(upTo(5), outputs(s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}))); diff != "" {
			t.Errorf("a Receive (-want +got):\n%s", diff)
		}
		_ = s.Close(t.Context())
	})
}

func TestLostFinalAnswer(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) { p.finish(r.ID, psrp.PipelineCompleted, nil) }
		p.goes = func(op string, n int) action {
			if op == "Receive" && n == 2 {
				return resetAfter
			}
			return fine
		}
		s := mustDial(t, p)
		_, err := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
		if !errors.Is(err, psrp.ErrOutcomeUnknown) || faultCode(err) != FaultUnknownShell {
			t.Errorf("got %v", err)
		}
		_ = s.Close(t.Context())
	})
}

// TestDoneWithoutAState: a server that says again and again that the command is done, and never how, is not asked for ever.
func TestDoneWithoutAState(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(*peer, psrp.PipelineRequested) {}
		p.goes = func(op string, n int) action {
			if op == "Receive" && n > 1 {
				return spent
			}
			return fine
		}
		s := mustDial(t, p)
		_, err := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
		if !errors.Is(err, psrp.ErrOutcomeUnknown) || p.operations("Receive") != 2 {
			t.Errorf("%v after %d answers", err, p.operations("Receive"))
		}
		_ = s.Close(t.Context())
	})
}

func TestChangingCommandGoesOutOnce(t *testing.T) {
	for _, what := range []action{resetBefore, resetAfter, garbage, status503, status401} {
		world(t, func(t *testing.T, p *peer) {
			p.serve = func(p *peer, r psrp.PipelineRequested) {}
			p.goes = func(op string, n int) action {
				if op == "Command" {
					return what
				}
				return fine
			}
			s := mustDial(t, p)
			r := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})
			for range r.Records() {
				t.Error("a record")
			}
			result, err := r.Result()
			var unknown *psrp.OutcomeUnknownError
			if !errors.As(err, &unknown) || !unknown.Sent || !result.Sent || !errors.Is(err, psrp.ErrOutcomeUnknown) {
				t.Errorf("fault %d: got %+v, %v", what, result, err)
			}
			var elsewhere *ConnectError
			if errors.As(err, &elsewhere) {
				t.Errorf("fault %d: another host may be tried, says %v", what, err)
			}
			if n := p.operations("Command"); n != 1 {
				t.Errorf("fault %d: %d Commands were sent", what, n)
			}
			// Nor by a second attempt on the same session.
			if err := errOf(s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()); !errors.Is(err, ErrBusy) {
				t.Errorf("fault %d: second Invoke: %v", what, err)
			}
			_ = s.Close(t.Context())
			if p.operations("Command") != 1 || p.operations("Delete") != 0 || p.operations("Signal") != 0 {
				t.Errorf("fault %d: operations %v", what, p.log)
			}
		})
	}
}

func TestReadingCommandIsRepeated(t *testing.T) {
	for _, what := range []action{resetBefore, resetAfter, garbage, status503, status401} {
		world(t, func(t *testing.T, p *peer) {
			ran := 0
			p.serve = func(p *peer, r psrp.PipelineRequested) {
				ran++
				p.finish(r.ID, psrp.PipelineCompleted, nil)
			}
			p.goes = func(op string, n int) action {
				if op == "Command" && n == 1 {
					return what
				}
				return fine
			}
			s := mustDial(t, p)
			if err := errOf(s.Invoke(t.Context(), readOnly, Options{}).Result()); err != nil {
				t.Errorf("fault %d: %v", what, err)
			}
			if ran != 1 || p.operations("Command") != 2 {
				t.Errorf("fault %d: ran %d times, %d Commands", what, ran, p.operations("Command"))
			}
			_ = s.Close(t.Context())
		})
	}
}

func TestCreateIsRepeatedUnderItsID(t *testing.T) {
	for _, what := range []action{resetBefore, resetAfter, status503} {
		world(t, func(t *testing.T, p *peer) {
			p.goes = func(op string, n int) action {
				if op == "Create" && n == 1 {
					return what
				}
				return fine
			}
			s := mustDial(t, p)
			_ = s.Close(t.Context())
			if p.operations("Create") != 2 {
				t.Errorf("fault %d: operations %v", what, p.log)
			}
		})
	}
}

// TestCrowdedHost: a host that has no room for a shell now is one to pass over, and is asked once. A host that says no to the
// account or to the endpoint says so for the others too.
func TestCrowdedHost(t *testing.T) {
	for code, another := range map[uint32]bool{
		FaultTimedOut: true, 2150859173: true, 2150859240: true, FaultAccessDenied: false, FaultConfiguration: false, 4711: false,
	} {
		world(t, func(t *testing.T, p *peer) {
			p.code = code
			p.goes = func(op string, n int) action {
				if op == "Create" {
					return faulty
				}
				return fine
			}
			_, err := Dial(t.Context(), p.config())
			var c *ConnectError
			if faultCode(err) != code || errors.As(err, &c) != another || another && c.Hint() == "" {
				t.Errorf("%d: got %v", code, err)
			}
			if p.operations("Create") != 1 || p.operations("Delete") != 1 {
				t.Errorf("%d: operations %v", code, p.log)
			}
		})
	}
}

func TestRecoveryWindowEnds(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) {}
		p.goes = func(op string, n int) action {
			if op == "Receive" && n > 1 {
				return resetBefore
			}
			return fine
		}
		s := mustDial(t, p)
		start := time.Now()
		_, err := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
		if !errors.Is(err, psrp.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took < 9*time.Minute || took > 11*time.Minute {
			t.Errorf("gave up after %v, want about 10 min", took)
		}
		if n := p.operations("Receive"); n < 20 || n > 80 {
			t.Errorf("%d attempts", n)
		}
		_ = s.Close(t.Context())
	})
}

func TestCancellingDetaches(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		done := false
		p.serve = func(p *peer, r psrp.PipelineRequested) {
			countTo(20)(p, r)
			done = true
		}
		s := mustDial(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := s.Invoke(ctx, readOnly, Options{AtMostOnce: true})
		n := 0
		for range r.Records() {
			if n++; n == 3 {
				cancel()
			}
		}
		_, err := r.Result()
		if !errors.Is(err, psrp.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if p.operations("Signal") != 0 || p.operations("Delete") != 0 || p.operations("Disconnect") != 1 {
			t.Errorf("operations %v", p.log)
		}
		p.wg.Wait()
		if !done {
			t.Error("the pipeline did not run on")
		}
	})
}

func TestDisconnectedShellIsReconnected(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(5)
		p.goes = func(op string, n int) action {
			if op == "Receive" && n == 3 {
				return away
			}
			return fine
		}
		s := mustDial(t, p)
		if diff := cmp.Diff(upTo(5), outputs(s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		_ = s.Close(t.Context())
		if p.operations("Reconnect") != 2 {
			t.Errorf("operations %v", p.log)
		}
	})
}

// TestShellThatStaysDisconnected: a server that takes each Reconnect and is disconnected all the same is not asked for ever.
func TestShellThatStaysDisconnected(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(5)
		p.goes = func(op string, n int) action {
			switch {
			case op == "Receive" && n > 100:
				return resetBefore
			case op == "Receive" && n > 2:
				return away
			}
			return fine
		}
		s := mustDial(t, p)
		_, err := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
		if !errors.Is(err, psrp.ErrOutcomeUnknown) || faultCode(err) != FaultDisconnected || p.operations("Receive") > 10 {
			t.Errorf("%v after %d answers", err, p.operations("Receive"))
		}
		_ = s.Close(t.Context())
	})
}

func TestShellThatNeverOpens(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.goes = func(op string, n int) action {
			if op == "Receive" {
				return resetBefore
			}
			return fine
		}
		start := time.Now()
		_, err := Dial(t.Context(), p.config())
		var c *ConnectError
		if !errors.As(err, &c) || time.Since(start) > 2*time.Minute {
			t.Errorf("after %v: got %v, want a ConnectError soon", time.Since(start), err)
		}
	})
}

// A pool that is always busy and never opens is a host that cannot be used, not one to wait for until morning.
func TestPoolThatIsAlwaysBusy(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.goes = func(op string, n int) action {
			if op == "Receive" {
				time.Sleep(time.Minute)
				return faulty
			}
			return fine
		}
		p.code = FaultTimedOut
		start := time.Now()
		_, err := Dial(t.Context(), p.config())
		var c *ConnectError
		if took := time.Since(start); !errors.As(err, &c) || took < 9*time.Minute || took > 12*time.Minute {
			t.Errorf("after %v: got %v, want a ConnectError in 10 min", took, err)
		}
	})
}

// A server that wants to send secrets asks for the key, at any time. The command it was asked at must not suffer.
// A body above 8 MiB is not read on: the error says so, and the command's outcome is open.
func TestBodiesAreBounded(t *testing.T) {
	for _, op := range []string{"Create", "Receive"} {
		synctest.Test(t, func(t *testing.T) { // one byte at a time, eight mebibytes take minutes
			p := newPeer(t)
			p.unrecorded = true
			p.serve = countTo(1)
			opened := false
			p.goes = func(o string, n int) action {
				if o == op && (op == "Create" || opened) {
					return huge
				}
				return fine
			}
			cfg := p.config()
			cfg.RecoveryWindow = 20 * time.Second // each try moves eight mebibytes
			s, err := Dial(t.Context(), cfg)
			if op == "Receive" {
				if err != nil {
					t.Fatal(err)
				}
				opened = true
				var result psrp.Result
				result, err = s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
				if !errors.Is(err, psrp.ErrOutcomeUnknown) || !result.Sent {
					t.Errorf("got %+v, %v", result, err)
				}
				_ = s.Close(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), "more than 8388608 bytes") {
				t.Errorf("%s: got %v", op, err)
			}
			p.wg.Wait()
		})
	}
}

func TestServerAsksForTheKey(t *testing.T) {
	for _, early := range []bool{true, false} {
		world(t, func(t *testing.T, p *peer) {
			ask := func() {
				if err := p.core.RequestKey(); err != nil {
					t.Error(err)
				}
				p.flush()
			}
			p.goes = func(op string, n int) action {
				if early && op == "Receive" && n == 1 {
					p.mu.Lock()
					defer p.mu.Unlock()
					ask()
					p.queues[""] = [][]byte{bytes.Join(p.queues[""], nil)} // all in one answer
				}
				return fine
			}
			p.serve = func(p *peer, r psrp.PipelineRequested) {
				p.mu.Lock()
				if !early {
					ask()
					p.queues[r.ID.String()], p.queues[""] = p.queues[""], nil // the other stream will do
				}
				p.mu.Unlock()
				time.Sleep(time.Minute)
				p.emit(r.ID, psrp.Output{Value: clixml.NewSecureString("theirs")})
				p.finish(r.ID, psrp.PipelineCompleted, nil)
			}
			s := mustDial(t, p)
			r := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})
			var got []string
			for record := range r.Records() {
				o, _ := record.(psrp.Output)
				v, _ := o.Value.(clixml.SecureString)
				got = append(got, v.Reveal())
			}
			if err := errOf(r.Result()); err != nil || !slices.Equal(got, []string{"theirs"}) {
				t.Errorf("early %v: got %q, %v", early, got, err)
			}
			_ = s.Close(t.Context())
		})
	}
}

// Half a key exchange cannot be taken up again: the session must say so, not wait for a key that nobody sends.
func TestRefusedKeyExchangeEndsTheSession(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.code = FaultAccessDenied
		p.goes = func(op string, n int) action {
			if op == "Send" {
				return faulty
			}
			return fine
		}
		s := mustDial(t, p)
		cmd := psrp.Command{Name: "Set-X", Params: []psrp.Param{{Name: "P", Value: clixml.NewSecureString("x")}}}
		for range 2 {
			_, err := s.Invoke(t.Context(), cmd, Options{AtMostOnce: true}).Result()
			if faultCode(err) != FaultAccessDenied || errors.Is(err, psrp.ErrOutcomeUnknown) {
				t.Errorf("got %v", err)
			}
		}
		_ = s.Close(t.Context())
		if p.operations("Send") != 1 || p.operations("Command") != 0 || p.operations("Delete") != 1 {
			t.Errorf("operations %v", p.log)
		}
	})
}

func TestLogTellsNoSecret(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(2)
		var log strings.Builder
		cfg := p.config()
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
		s, err := Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		cmd := psrp.Command{Name: "Set-Secret", Params: []psrp.Param{{Name: "P", Value: clixml.NewSecureString("hunter2")}, {Name: "Path", Value: "hunter2"}}}
		if err := errOf(s.Invoke(t.Context(), cmd, Options{}).Result()); err != nil {
			t.Error(err)
		}
		_ = s.Close(t.Context())
		text := log.String()
		for _, leak := range []string{"hunter2", testPassword, "Envelope", "admin"} {
			if strings.Contains(text, leak) {
				t.Errorf("the log holds %q", leak)
			}
		}
		if !strings.Contains(text, "operation=Command") {
			t.Errorf("the log says nothing: %s", text)
		}
	})
}

// TestFarewells: what only frees something on the server is said again after a reset, and holds nobody up.
func TestFarewells(t *testing.T) {
	for _, op := range []string{"Signal", "Delete"} {
		for name, what := range map[string]action{"reset": resetBefore, "lost": resetAfter, "frozen": silence} {
			t.Run(op+" "+name, func(t *testing.T) {
				world(t, func(t *testing.T, p *peer) {
					p.serve = func(p *peer, r psrp.PipelineRequested) {
						p.emit(r.ID, psrp.Output{Value: int32(0)})
						p.mu.Lock()
						defer p.mu.Unlock()
						if err := p.core.SetPipelineState(r.ID, psrp.PipelineCompleted, nil); err != nil { // without Done
							t.Error(err)
						}
						p.flush()
					}
					p.goes = func(o string, n int) action {
						if o == op && n == 1 {
							return what
						}
						return fine
					}
					s := mustDial(t, p)
					begun := time.Now()
					r := s.Invoke(t.Context(), readOnly, Options{})
					if err := errOf(r.Result()); err != nil {
						t.Error(err)
					}
					if err := s.Close(t.Context()); err != nil {
						t.Error(err)
					}
					if took := time.Since(begun); took > 2*closeTimeout {
						t.Errorf("it took %v", took)
					}
					if n := p.operations(op); what != silence && n != 2 {
						t.Errorf("%d of %s", n, op)
					}
				})
			})
		}
	}
}

func TestBreakingOutSendsNothing(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(10)
		s := mustDial(t, p)
		r := s.Invoke(t.Context(), readOnly, Options{})
		for range r.Records() {
			break
		}
		if p.operations("Signal")+p.operations("Delete") != 0 {
			t.Errorf("operations %v", p.log)
		}
		if err := errOf(r.Result()); err != nil { // reads on
			t.Error(err)
		}
		_ = s.Close(t.Context())
	})
}

func TestCloseBesideARun(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) {}
		s := mustDial(t, p)
		r := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})
		result := make(chan error)
		go func() { result <- errOf(r.Result()) }()
		time.Sleep(30 * time.Second)
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-result; !errors.Is(err, psrp.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		if p.operations("Disconnect") != 1 || p.operations("Delete") != 0 {
			t.Errorf("operations %v", p.log)
		}
	})
}

func TestHostCallIsAnswered(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) {
			p.mu.Lock()
			if err := p.core.Ask(psrp.HostCall{Pipeline: r.ID, ID: 3, Method: psrp.HostReadLine, Name: "ReadLine"}); err != nil {
				t.Error(err)
			}
			p.flush()
			p.mu.Unlock()
			time.Sleep(time.Minute)
			p.finish(r.ID, psrp.PipelineCompleted, nil)
		}
		s := mustDial(t, p)
		if err := errOf(s.Invoke(t.Context(), readOnly, Options{}).Result()); err != nil {
			t.Error(err)
		}
		if p.operations("Send") != 1 {
			t.Errorf("operations %v", p.log)
		}
		_ = s.Close(t.Context())
	})
}

func TestWrongPasswordIsTriedOnce(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		cfg := p.config()
		cfg.Password = secret.New("wrong-" + testPassword)
		_, err := Dial(t.Context(), cfg)
		if !errors.Is(err, ErrUnauthorized) || strings.Contains(fmt.Sprint(err), testPassword) {
			t.Errorf("got %v", err)
		}
		var c *ConnectError
		if errors.As(err, &c) {
			t.Error("a refused login must not look as if the next host may be tried")
		}
		if p.refused != 1 || p.conns != 1 {
			t.Errorf("%d logins on %d connections, want one", p.refused, p.conns)
		}
	})
}

func TestPasswordThatChangesIsTriedOnceMore(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) {}
		s := mustDial(t, p)
		// Both connections die, and the password is no longer right.
		p.goes = func(string, int) action { return resetBefore }
		s.cfg.Password = secret.New("changed")
		err := errOf(s.Invoke(t.Context(), readOnly, Options{}).Result())
		if !errors.Is(err, ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
		_ = s.Close(t.Context())
		if p.refused != 1 {
			t.Errorf("%d refused logins, want one", p.refused)
		}
	})
}

// A login that got no answer may have been refused, and a few refused ones lock the account: while the password may be wrong
// it is not repeated for as long as a lost connection is sought.
func TestUnansweredLoginsAreFew(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) {}
		s := mustDial(t, p)
		before := p.logins
		p.goes = func(string, int) action { return resetBefore }
		p.mute = func(int) bool { return true }
		_, err := s.Invoke(t.Context(), readOnly, Options{}).Result()
		if !errors.Is(err, ErrUnanswered) || !errors.Is(err, psrp.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		_ = s.Close(t.Context())
		if n := p.logins - before; n != mostUnanswered {
			t.Errorf("%d logins without an answer, want %d", n, mostUnanswered)
		}
		var c *ConnectError
		if errors.As(err, &c) {
			t.Error("it must not look as if the next host may be tried")
		}
	})
}

// An answer in between shows that the password is right, and the count begins anew.
func TestAnsweredLoginsBeginAnew(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(60)
		p.mute = func(n int) bool { return n > 2 && n%3 != 0 }
		p.goes = func(op string, n int) action {
			if op == "Receive" && n%5 == 0 {
				return resetBefore
			}
			return fine
		}
		s := mustDial(t, p)
		if diff := cmp.Diff(upTo(60), outputs(s.Invoke(t.Context(), readOnly, Options{}))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		p.mute = nil
		_ = s.Close(t.Context())
		if p.logins < 10 {
			t.Errorf("%d logins", p.logins)
		}
	})
}

// Sessions of one run share what is known of the password, because the account does.
func TestUnansweredLoginsAreCountedOverSessions(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.mute = func(int) bool { return true }
		cfg := p.config()
		cfg.Gate, cfg.Record = &Gate{}, nil
		for n := range 6 {
			_, err := Dial(t.Context(), cfg)
			if got, want := errors.Is(err, ErrUnanswered), n >= mostUnanswered-1; got != want {
				t.Errorf("session %d: got %v", n+1, err)
			}
		}
		if p.logins != mostUnanswered {
			t.Errorf("%d logins, want %d", p.logins, mostUnanswered)
		}
	})
}

func TestBrokenPoolIsAnError(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.pool.Broken = &psrp.ErrorRecord{Message: "no pool", ID: "X"}
		_, err := Dial(t.Context(), p.config())
		var broken *psrp.PoolError
		if !errors.As(err, &broken) || broken.Record.Message != "no pool" {
			t.Errorf("got %v", err)
		}
		if p.operations("Delete") != 1 {
			t.Errorf("operations %v", p.log)
		}
	})
}

// One run over real sockets, with the default dialer and real resets.
func TestOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t)
	p.serve = func(p *peer, r psrp.PipelineRequested) {
		for i := range 9 {
			p.emit(r.ID, psrp.Output{Value: int32(i)})
		}
		p.finish(r.ID, psrp.PipelineCompleted, nil)
	}
	p.goes = func(op string, n int) action {
		if op == "Receive" && n == 3 {
			return resetBefore
		}
		return fine
	}
	p.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if err := nc.(*net.TCPConn).SetLinger(0); err != nil { // closing resets
				t.Error(err)
			}
			p.wg.Go(func() { p.connection(&tapped{Conn: nc, p: p}) })
		}
	})
	cfg := p.config()
	cfg.Host, cfg.Port, cfg.AllowHosts, cfg.Dial = "127.0.0.1", l.Addr().(*net.TCPAddr).Port, nil, nil
	cfg.Wait = func(context.Context, time.Duration) error { return nil }
	s, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})
	if diff := cmp.Diff(upTo(9), outputs(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if result, err := r.Result(); err != nil || result.Lost != 0 {
		t.Errorf("got %+v, %v", result, err)
	}
	_ = s.Close(t.Context())
	_ = l.Close()
	p.wg.Wait()
	if err := p.leaks(); err != nil {
		t.Error(err)
	}
	if s.Dials() < 4 { // control, its renewal before the command, receive, and again after the reset
		t.Errorf("%d dials", s.Dials())
	}
}

// Only a fault that says for certain that the command was not taken ends as that fault. All others leave a changing
// command's outcome open; a reading one may fail plainly.
func TestFaultsOfTheCommand(t *testing.T) {
	rows := []struct {
		name    string
		code    uint32
		once    bool
		unknown bool
	}{
		{"access denied", FaultAccessDenied, true, false},
		{"unknown shell", FaultUnknownShell, true, false},
		{"unknown configuration", FaultConfiguration, true, false},
		{"quota", 2150859240, true, false},
		{"plug-in", FaultPowerShellPlugin, true, true},
		{"timed out", FaultTimedOut, true, true},
		{"exists already", FaultCommandExists, true, true},
		{"terminated", FaultTerminated, true, true},
		{"aborted", FaultAborted, true, true},
		{"unheard of", 4711, true, true},
		{"no code", 0, true, true},
		{"plug-in, reading", FaultPowerShellPlugin, false, false},
		{"timed out, reading", FaultTimedOut, false, true},
		{"unheard of, reading", 4711, false, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			world(t, func(t *testing.T, p *peer) {
				p.code = r.code
				p.goes = func(op string, _ int) action {
					if op == "Command" {
						return faulty
					}
					return fine
				}
				s := mustDial(t, p)
				_, err := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: r.once}).Result()
				var f *Fault
				if !errors.As(err, &f) || f.Code != r.code || errors.Is(err, psrp.ErrOutcomeUnknown) != r.unknown {
					t.Errorf("got %v, want unknown: %v", err, r.unknown)
				}
				if n := p.operations("Command"); n != 1 {
					t.Errorf("%d Commands", n)
				}
				if !r.unknown { // the session goes on
					p.goes, p.serve = nil, countTo(1)
					if err := errOf(s.Invoke(t.Context(), readOnly, Options{}).Result()); err != nil {
						t.Errorf("next: %v", err)
					}
				}
				_ = s.Close(t.Context())
			})
		})
	}
}

func TestFaultsOfReceive(t *testing.T) {
	for _, code := range []uint32{FaultUnknownShell, FaultTerminated, FaultAborted, FaultAccessDenied} {
		world(t, func(t *testing.T, p *peer) {
			p.code = code
			p.serve = func(p *peer, r psrp.PipelineRequested) {}
			p.goes = func(op string, n int) action {
				if op == "Receive" && n == 2 {
					return faulty
				}
				return fine
			}
			s := mustDial(t, p)
			_, err := s.Invoke(t.Context(), readOnly, Options{}).Result()
			if !errors.Is(err, psrp.ErrOutcomeUnknown) || faultCode(err) != code {
				t.Errorf("%d: got %v", code, err)
			}
			_ = s.Close(t.Context())
		})
	}
}

// A host that takes the login and then wants another for each request is no use, and no reason to go on trying.
func TestLoginThatDoesNotHold(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.goes = func(string, int) action { return status401 }
		_, err := Dial(t.Context(), p.config())
		if !errors.Is(err, ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
		if p.conns != 2 {
			t.Errorf("%d connections, want the first and one more", p.conns)
		}
	})
}

func TestHintsAreGiven(t *testing.T) {
	for _, err := range []error{
		ErrUnauthorized, ErrUnanswered, ErrBusy, ErrUnsealed, ErrNoNTLM, ErrCertificate, &Fault{Code: FaultAccessDenied}, &Fault{Code: FaultConfiguration},
		&Fault{Code: 2150859173}, &ConnectError{Err: errors.New("x")}, &ConnectError{Err: ErrNoNTLM}, &psrp.OutcomeUnknownError{},
	} {
		var h interface{ Hint() string }
		if !errors.As(err, &h) || h.Hint() == "" || strings.Contains(h.Hint(), "\n") {
			t.Errorf("%v has no hint of one line", err)
		}
	}
}
