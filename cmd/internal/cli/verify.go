package cli

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/stamp"
)

func (a *app) verifyCommand() *cobra.Command {
	var (
		how  binding
		wait time.Duration
	)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "prove that the endpoints serve the planned certificates",
		Long: "Connects to every endpoint several times and compares what is served, byte for byte, with the plan. With --wait it asks until all\n" +
			"agree twice in a row, or the time is over.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.bind(how)
			if err != nil {
				return err
			}
			defer b.Close()
			if b.plan.Verify == nil {
				return usagef("", "a plan of kind %s changes no endpoint", b.plan.Kind)
			}
			return a.verify(cmd.Context(), b, wait)
		},
	}
	how.flags(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for the endpoints to agree, such as 30m")
	return cmd
}

func (a *app) verify(ctx context.Context, b *bound, wait time.Duration) error {
	judged, err := a.lookLive(ctx, b)
	if err != nil {
		return err
	}
	if matching(judged) != len(judged) && wait > 0 {
		if judged, err = a.waitLive(ctx, b, wait, judged); err != nil {
			return err
		}
	}
	b.entry.Endpoints = a.endpointsOf(b, judged)
	n := matching(judged)
	b.entry.Message = fmt.Sprintf("verify: %d of %d endpoints serve the planned certificate", n, len(judged))
	b.entry.Outcome = "live"
	if n == len(judged) {
		if b.plan.Stage != nil {
			b.entry.Next = b.command("unstage")
		}
		a.doc.Stamps = append(a.doc.Stamps, b.entry)
		return nil
	}
	b.entry.Outcome = "not-live"
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	unseen, previous := unreached(judged), 0
	for _, j := range judged {
		if j.Verdict == live.Stale {
			previous++
		}
	}
	text := b.entry.Message
	switch {
	case unseen == len(judged)-n:
		return environment("network", fmt.Errorf("%s, %d cannot be reached", text, unseen), "run verify from a machine that reaches the endpoints")
	case n == 0 && previous+unseen == len(judged):
		return refusedf("not-live", "run certstamp rotate, or verify again with --wait 30m: endpoints change within minutes of each other", "%s, the rest the one before", text)
	}
	return fail(exitPartly, "mixed", fmt.Errorf("%s", text), "wait with verify --wait 30m; if it stays so, run certstamp status")
}

// liveTargets are the endpoints of a plan: everything needed to look at them is in it.
func (b *bound) liveTargets() ([]live.Target, map[string]live.Want, error) {
	v := b.plan.Verify
	var targets []live.Target
	wants := map[string]live.Want{}
	for _, e := range v.Endpoints {
		addresses, err := stamp.Addresses(v.Resolve, e.Host, v.Port)
		if err != nil {
			return nil, nil, refusedf("plan", "make a new plan", "the plan's resolve list: %w", err)
		}
		targets = append(targets, live.Target{Endpoint: e.Endpoint, Host: e.Host, Port: v.Port, Addresses: addresses})
		wants[e.Endpoint] = live.Want{Previous: e.Previous, Planned: e.Planned}
	}
	return targets, wants, nil
}

// lookLive samples every endpoint once round.
func (a *app) lookLive(ctx context.Context, b *bound) ([]live.Judgement, error) {
	targets, wants, err := b.liveTargets()
	if err != nil {
		return nil, err
	}
	a.progress("reading what %d endpoints serve", len(targets))
	o := observer(b.plan.Simulated)
	o.Samples = b.plan.Verify.Samples
	var out []live.Judgement
	for _, seen := range o.Observe(ctx, targets) {
		out = append(out, live.Judge(seen, wants[seen.Target.Endpoint]))
	}
	return out, ctx.Err()
}

func (a *app) waitLive(ctx context.Context, b *bound, limit time.Duration, last []live.Judgement) ([]live.Judgement, error) {
	targets, wants, err := b.liveTargets()
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	o := observer(b.plan.Simulated)
	o.Samples = b.plan.Verify.Samples
	interval := time.Minute
	if b.plan.Simulated {
		interval = simulatedPoll
	}
	judged, _ := o.Wait(waiting, targets, wants, live.Waiting{
		Interval: interval, Pause: pause,
		Progress: func(round int, seen []live.Judgement) {
			a.progress("round %d: %d of %d endpoints serve the planned certificate", round, matching(seen), len(seen))
		},
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(judged) == 0 {
		return last, nil // what was seen last says more than that the time is over
	}
	return judged, nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// simulatedPoll replaces the minutes between two questions to a stamp: a simulated one works hundreds of times faster.
const simulatedPoll = 500 * time.Millisecond

func matching(list []live.Judgement) int {
	n := 0
	for _, j := range list {
		if j.Verdict == live.Match {
			n++
		}
	}
	return n
}

func unreached(list []live.Judgement) int {
	n := 0
	for _, j := range list {
		if j.Verdict == live.Unreachable {
			n++
		}
	}
	return n
}

// endpointsOf is what a report shows of the endpoints.
func (a *app) endpointsOf(b *bound, judged []live.Judgement) []report.Endpoint {
	var out []report.Endpoint
	for _, j := range judged {
		e := report.Endpoint{
			Endpoint: j.Target.Endpoint, Host: net.JoinHostPort(j.Target.Host, fmt.Sprint(j.Target.Port)), Verdict: verdictWords[j.Verdict],
			LeafSHA256: j.Leaf().LeafSHA256,
		}
		e.Before, e.After = expiries(b.plan, j.Target.Endpoint)
		if j.Verdict != live.Match {
			e.Detail = j.String()
			if s, failed := j.Failure(); failed && s.Err != nil {
				e.Detail += ": " + strings.ReplaceAll(s.Err.Error(), "\n", " ")
			}
		}
		out = append(out, e)
	}
	return out
}

var verdictWords = map[live.Verdict]string{
	live.Match: "planned", live.Mixed: "mixed", live.Stale: "previous", live.UnknownLeaf: "foreign", live.Unreachable: "unreachable",
}

// expiries are the ends of the certificate that an endpoint served when the plan was made and of the planned one.
func expiries(p *plan.Plan, endpoint string) (before, after string) {
	for _, o := range p.Observed {
		if o.Endpoint == endpoint {
			before = o.NotAfter
		}
	}
	for _, c := range p.Certificates {
		if c.Endpoint == endpoint {
			after = c.NotAfter
		}
	}
	return before, after
}
