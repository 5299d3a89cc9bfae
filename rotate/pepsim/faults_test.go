package pepsim

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman"
)

func TestOrdersCountForThemselves(t *testing.T) {
	f := newFaults([]Fault{
		{On: "Receive", Nth: []int{1, 3}, Do: fault503},
		{On: "*", Times: 2, Do: faultQuota},
		{On: "Login", Times: 1, Do: fault401},
	}, 1)
	var got []string
	for _, kind := range []string{"Receive", "Create", onLogin, "Receive", "Receive", "Receive", onLogin} {
		got = append(got, f.next(kind).Do)
	}
	want := []string{fault503, faultQuota, fault401, faultQuota, fault503, "", ""}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if left := f.pending(); len(left) != 0 {
		t.Errorf("%+v can still fire", left)
	}
	f.add([]Fault{{On: "Receive", Nth: []int{1}, Do: faultDelay}})
	if left := f.pending(); len(left) != 1 || f.next("Receive").Do != faultDelay {
		t.Errorf("a later order did not count from where it was given: %+v", left)
	}
	f.replace(nil)
	if got := f.next("Receive"); got.Do != "" {
		t.Errorf("%+v after all orders were taken back", got)
	}
}

// TestOrderedFaultsOfTheLogin: the client knows a refusal from silence, and tries neither for long.
func TestOrderedFaultsOfTheLogin(t *testing.T) {
	for _, do := range loginFaults {
		t.Run(do, func(t *testing.T) {
			r := newRehearsal(t, func(c *Config) { c.Faults = []Fault{{On: onLogin, Do: do, Millis: 20}} })
			s, err := wsman.Dial(t.Context(), r.client())
			if err == nil {
				_ = s.Close(context.Background())
			}
			switch {
			case do == faultDelay && err != nil, do != faultDelay && err == nil:
				t.Errorf("%v", err)
			case do == fault401 && !errors.Is(err, wsman.ErrUnauthorized):
				t.Errorf("%v, want a refused login", err)
			}
			h := r.history.String()
			if n := strings.Count(h, `"on":"Login","do":"`+do+`"`); n == 0 || n > 4 {
				t.Errorf("%d logins were spoilt\n%s", n, h)
			}
		})
	}
}

// TestAFrozenSocketThaws leaves a reading command without an answer, and the start of a rotation with a lost one.
func TestAFrozenSocketThaws(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Faults = []Fault{{On: "Receive", Nth: []int{2}, Do: faultFreeze, Millis: 100}} })
	begun := time.Now()
	if got := r.run(r.dial(), "Get-AzureStackStampInformation"); len(got.values) != 1 || time.Since(begun) < 100*time.Millisecond {
		t.Errorf("%d answers after %v", len(got.values), time.Since(begun))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r = newRehearsal(t, func(c *Config) {
		c.Faults = []Fault{{On: "Command", Nth: []int{1}, Do: faultFreezeAfter}}
		c.History = untilLine{Writer: c.History, word: `"event":"action-started"`, found: cancel}
	})
	run := r.dial().Invoke(ctx, psrp.Command{Name: "Start-SecretRotation", Params: r.order()}, wsman.Options{AtMostOnce: true})
	var unknown *psrp.OutcomeUnknownError
	if _, err := run.Result(); !errors.As(err, &unknown) || !unknown.Sent {
		t.Errorf("%v, want an unknown outcome", err)
	}
	if n := strings.Count(r.history.String(), `"event":"action-started"`); n != 1 {
		t.Errorf("%d rotations were started", n)
	}
}

// TestALostMessageIsNoAnswer loses what the stamp says about its last rotation and delivers the end of the command.
func TestALostMessageIsNoAnswer(t *testing.T) {
	r := newRehearsal(t, func(c *Config) {
		c.LastAction = PastAction{Word: wordCompleted, Started: time.Date(2025, 3, 1, 22, 0, 0, 0, time.UTC), Ended: time.Date(2025, 3, 2, 0, 0, 0, 0, time.UTC)}
	})
	wire, err := wsman.Dial(t.Context(), r.client())
	if err != nil {
		t.Fatal(err)
	}
	s := pep.New(pep.Wrap(wire))
	defer s.Close(t.Context())
	for _, row := range []struct {
		order Fault
		lost  bool
	}{
		{Fault{On: "Receive", Nth: []int{1}, Do: faultLose}, false},      // and asked again
		{Fault{On: "Receive", Nth: []int{1, 3, 5}, Do: faultLose}, true}, // between them comes the end of the command
	} {
		r.server.faults.replace([]Fault{row.order})
		st, err := s.ActionStatus(t.Context(), rotationFunction)
		if errors.Is(err, pep.ErrNoAnswer) != row.lost || st.Known == row.lost {
			t.Errorf("%+v: %+v, %v", row.order, st, err)
		}
	}
	if n := strings.Count(r.history.String(), `"do":"lose"`); n != 4 {
		t.Errorf("%d messages were lost", n)
	}
}

// untilLine calls found when a line with the word was written.
type untilLine struct {
	io.Writer
	word  string
	found func()
}

func (u untilLine) Write(b []byte) (int, error) {
	defer func() {
		if strings.Contains(string(b), u.word) {
			u.found()
		}
	}()
	return u.Writer.Write(b)
}
