package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/certstamp/certstamp/internal/amount"
)

// Waiting says how to poll.
type Waiting struct {
	Interval time.Duration                                    // between two rounds, default a minute
	Pause    func(ctx context.Context, d time.Duration) error // waits; required
	Progress func(round int, seen []Judgement)                // told after each round; nil: nobody
}

// inARow is how many rounds must match: right after a switch a front end may still fall back once.
const inARow = 2

// NotServedError says that the planned certificates were not served everywhere when the wait ended.
type NotServedError struct {
	Seen   []Judgement // of the last whole round; empty when there was none
	Rounds int
	Err    error // why the wait ended
}

func (e *NotServedError) Error() string {
	var first Judgement
	n := 0
	for _, j := range e.Seen {
		if j.Verdict != Match {
			if n == 0 {
				first = j
			}
			n++
		}
	}
	switch {
	case len(e.Seen) == 0:
		return fmt.Sprintf("the endpoints were not seen once: %v", e.Err)
	case n == 0:
		return fmt.Sprintf("the endpoints served the planned certificates only once in %s: %v", amount.Of(e.Rounds, "round"), e.Err)
	}
	return fmt.Sprintf("%d of %d endpoints don't serve the planned certificate after %s (%s: %s): %v",
		n, len(e.Seen), amount.Of(e.Rounds, "round"), first.Target.Endpoint, first, e.Err)
}

// Hint says what to do.
func (e *NotServedError) Hint() string {
	return "look at certstamp status: a rotation may still be running, or a front end may lag behind"
}

func (e *NotServedError) Unwrap() error { return e.Err }

// Wait polls until every target matches its want twice in a row, and returns the last round. Wants are by
// Target.Endpoint. Set the deadline on ctx; when it ends Wait returns a *NotServedError.
func (o Observer) Wait(ctx context.Context, targets []Target, wants map[string]Want, w Waiting) ([]Judgement, error) {
	for _, t := range targets {
		if wants[t.Endpoint].Planned == "" {
			return nil, fmt.Errorf("endpoint %q: no planned certificate to wait for", t.Endpoint)
		}
	}
	if len(targets) == 0 {
		return nil, errors.New("no endpoint to wait for")
	}
	w.Interval = defaulted(w.Interval, time.Minute)
	var last []Judgement
	matched := 0
	for round := 1; ; round++ {
		seen := make([]Judgement, len(targets))
		all := true
		for i, ob := range o.Observe(ctx, targets) {
			seen[i] = Judge(ob, wants[ob.Target.Endpoint])
			all = all && seen[i].Verdict == Match
		}
		if err := ctx.Err(); err != nil && !all {
			return last, &NotServedError{Seen: last, Rounds: round - 1, Err: err}
		}
		last = seen
		if w.Progress != nil {
			w.Progress(round, seen)
		}
		if matched++; !all {
			matched = 0
		}
		if matched == inARow {
			return seen, nil
		}
		if err := w.Pause(ctx, w.Interval); err != nil {
			return last, &NotServedError{Seen: last, Rounds: round, Err: err}
		}
	}
}
