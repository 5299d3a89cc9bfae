package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/pep"
)

// rotation wires the rotate room to the world.
// File is its local journal; what the stamp says is kept beside it.
func (a *app) rotation(b *bound, file string) (rotate.Job, rotate.Deps, *watcher, error) {
	p := b.plan
	cfg, err := a.endpointConfig(p.Rotate.PEP, p.Simulated)
	if err != nil {
		return rotate.Job{}, rotate.Deps{}, nil, err
	}
	cfg.IdleTimeout = 0
	windows, err := stamp.ParseWindows(p.Rotate.Windows)
	if err != nil {
		return rotate.Job{}, rotate.Deps{}, nil, refusedf("plan", "make a new plan", "the plan's windows: %w", err)
	}
	plannedAt, err := time.Parse(time.RFC3339, p.AsOf)
	if err != nil {
		return rotate.Job{}, rotate.Deps{}, nil, refusedf("plan", "make a new plan", "the plan's asOf: %w", err)
	}
	section := *p.Rotate
	if p.Simulated {
		section.PollSeconds = 1
	}
	known, err := documented(p)
	if err != nil {
		return rotate.Job{}, rotate.Deps{}, nil, err
	}
	job := rotate.Job{
		Documented: known, Stamp: p.Stamp, Simulated: p.Simulated, Rotate: section, Verify: p.Verify,
		IdentityAsserted: asserted(p, plan.AssertIdentity), PlannedAt: plannedAt, Secrets: a.secrets,
	}
	watch := &watcher{app: a, kept: a.keep(b, file)}
	if p.Verify != nil || p.Rotate.Combined {
		watch.outage = p.Rotate.OutageMinutes
	}
	deps := rotate.Deps{
		Dial: func(ctx context.Context) (rotate.Endpoint, error) {
			s, err := pep.Dial(ctx, cfg)
			if err != nil {
				return nil, err // not a nil session in an interface
			}
			return s, nil
		},
		DialEach: func(ctx context.Context) []pep.HostCheck { return pep.DialEach(ctx, cfg, p.Rotate.Start.Cmdlet) },
		Journal:  rotation{b.witness}, Others: b.witness.elsewhere, Now: a.env.Now, Wait: pause, Events: watch.event,
		MayStart: func(now time.Time) error { return mayStart(windows, now) },
	}
	if p.Verify != nil {
		deps.Observe = func(ctx context.Context) ([]rotate.Served, error) { return a.served(ctx, b) }
		deps.ADFS = func(ctx context.Context) (rotate.Evidence, error) { return a.adfs(ctx, b) }
	}
	return job, deps, watch, nil
}

// mayStart wants enough of a window left for a whole rotation.
func mayStart(windows stamp.Windows, now time.Time) error {
	open, left := windows.Open(now)
	base, err := policies.Default()
	if err != nil {
		return err
	}
	need := time.Duration(base.RotationFacts().WindowLeft) * time.Second
	switch {
	case len(windows) == 0:
		return nil
	case !open:
		next, _ := windows.Next(now)
		return fmt.Errorf("no window of the stamp is open; the next one opens %s", next.UTC().Format(time.RFC3339))
	case left < need:
		return fmt.Errorf("the window closes in %s, and a rotation needs %s", left.Round(time.Minute), need)
	}
	return nil
}

// served asks every endpoint of the plan what it serves now.
func (a *app) served(ctx context.Context, b *bound) ([]rotate.Served, error) {
	targets, _, err := b.liveTargets()
	if err != nil {
		return nil, err
	}
	o := observer(b.plan.Simulated)
	o.Samples = b.plan.Verify.Samples
	var out []rotate.Served
	for _, seen := range o.Observe(ctx, targets) {
		s := rotate.Served{Endpoint: seen.Target.Endpoint}
		for _, leaf := range seen.Leaves() {
			s.Leaves = append(s.Leaves, leaf.LeafSHA256)
		}
		if f, failed := seen.Failure(); failed {
			s.Failed = string(f.Class)
		}
		out = append(out, s)
	}
	return out, ctx.Err()
}

// adfs looks for the AD FS endpoint, which only one of the two identity systems has. A name that does not exist, or a front
// end that answers and has no such name, is evidence of absence; silence is none.
func (a *app) adfs(ctx context.Context, b *bound) (rotate.Evidence, error) {
	v := b.plan.Verify
	absent := 0
	hosts := []string{"adfs." + b.plan.Stamp.Domain(), "graph." + b.plan.Stamp.Domain()}
	for _, host := range hosts {
		addresses, err := stamp.Addresses(v.Resolve, host, v.Port)
		if err != nil {
			return rotate.NoIdea, err
		}
		o := observer(b.plan.Simulated)
		o.Samples = 1
		seen := o.Observe(ctx, []live.Target{{Endpoint: "adfs", Host: host, Port: v.Port, Addresses: addresses}})[0].Leaf()
		switch {
		case seen.Err == nil && seen.Chain[0].VerifyHostname(host) == nil:
			return rotate.Present, nil
		case seen.Err == nil, seen.Class == live.DNS, seen.Class == live.TLS:
			absent++
		}
	}
	if absent == len(hosts) {
		return rotate.Absent, ctx.Err()
	}
	return rotate.NoIdea, ctx.Err()
}
