package pepsim

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// ending starts a rotation of which an order spoils the first Receive after the stamp has begun, or the Command itself.
func ending(t *testing.T, on, do string) (r *rehearsal, heard map[string]int, result psrp.Result, err error) {
	t.Helper()
	r = newRehearsal(t, func(c *Config) {
		c.Speed = 2000 // about 1.7 s
		if on == "Command" {
			c.Faults = []Fault{{On: on, Nth: []int{1}, Do: do}}
			return
		}
		c.History = untilLine{Writer: c.History, word: `"event":"action-started"`, found: func() {
			r.server.faults.add([]Fault{{On: on, Nth: []int{1}, Do: do}})
		}}
	})
	run := r.dial().Invoke(t.Context(), psrp.Command{Name: "Start-SecretRotation", Params: r.order()}, wsman.Options{AtMostOnce: true})
	heard = map[string]int{}
	for record := range run.Records() {
		if v, ok := record.(psrp.Verbose); ok {
			heard[v.Text]++
		}
	}
	result, err = run.Result()
	if n := strings.Count(r.history.String(), `"on":"`+on+`","do":"`+do+`"`); n != 1 {
		t.Fatalf("the order was carried out %d times\n%s", n, r.history)
	}
	return r, heard, result, err
}

// becomes waits until the stamp's rotation has ended.
func (r *rehearsal) becomes(want string) {
	r.t.Helper()
	s := r.dial()
	for r.status(s) == "Running" {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-r.t.Context().Done():
			r.t.Fatal("it never ended")
		}
	}
	if got := r.status(s); got != want {
		r.t.Errorf("status %q, want %q", got, want)
	}
}

// TestASessionVanishesUnderARotation: whatever becomes of the session, the rotation goes on. The client says that it does not
// know, why, and where to ask; it never takes the end of the session for the end of the rotation.
func TestASessionVanishesUnderARotation(t *testing.T) {
	for do, code := range map[string]uint32{
		faultShellGone: wsman.FaultUnknownShell, faultAbort: wsman.FaultAborted,
		faultTerminate: wsman.FaultTerminated, faultBroken: wsman.FaultTerminated,
	} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			r, _, _, err := ending(t, "Receive", do)
			var unknown *psrp.OutcomeUnknownError
			if !errors.As(err, &unknown) || !unknown.Sent || !strings.Contains(unknown.Hint(), "Get-ActionStatus") {
				t.Errorf("got %v, want an unknown outcome", err)
			}
			var f *wsman.Fault
			if !errors.As(err, &f) || f.Code != code {
				t.Errorf("got %v, want fault %d", err, code)
			}
			r.becomes("Completed")
			r.serves("new")
			if n := strings.Count(r.history.String(), `"event":"action-started"`); n != 1 {
				t.Errorf("%d rotations were started", n)
			}
		})
	}
}

// TestADisconnectedShellIsTakenUpAgain, and nothing that the cmdlet says is lost.
func TestADisconnectedShellIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	r, heard, result, err := ending(t, "Receive", faultDisconnect)
	if err != nil || result.Lost != 0 || len(heard) != 2*len(externalSteps()) {
		t.Errorf("%d lines, %d lost, %v", len(heard), result.Lost, err)
	}
	r.serves("new")
}

// TestASessionVanishesUnderTheStart: the stamp starts nothing. A fault that says so for certain is an error; after any other
// the client does not know.
func TestASessionVanishesUnderTheStart(t *testing.T) {
	for do, certain := range map[string]bool{faultShellGone: true, faultDisconnect: true, faultAbort: false, faultTerminate: false} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			r, _, _, err := ending(t, "Command", do)
			if err == nil || errors.Is(err, psrp.ErrOutcomeUnknown) == certain {
				t.Errorf("got %v, certain %v", err, certain)
			}
			r.becomes("")
			r.serves("old")
		})
	}
}

// TestAPoolBreaksWhileItOpens: the client says what the pool said.
func TestAPoolBreaksWhileItOpens(t *testing.T) {
	t.Parallel()
	r := newRehearsal(t, func(c *Config) { c.Faults = []Fault{{On: "Receive", Nth: []int{1}, Do: faultBroken}} })
	var broken *psrp.PoolError
	if _, err := wsman.Dial(t.Context(), r.client()); !errors.As(err, &broken) || broken.Record.ID != "RunspaceBroken" {
		t.Errorf("got %v, want a broken pool", err)
	}
}

// TestEveryQuotaIsOne to the client too: nothing was started, and the hint says what to do.
func TestEveryQuotaIsOne(t *testing.T) {
	t.Parallel()
	for _, code := range append([]uint32{0}, quotaCodes...) {
		r := newRehearsal(t, func(c *Config) { c.Faults = []Fault{{On: "Create", Do: faultQuota, Code: code}} })
		_, err := wsman.Dial(t.Context(), r.client())
		var f *wsman.Fault
		if !errors.As(err, &f) || f.Code != max(code, 2150859173) || !f.Quota() || !strings.Contains(f.Hint(), "too many sessions") {
			t.Errorf("code %d: %v", code, err)
		}
	}
}
