package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/rotate/bmc"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/stage"
)

func (a *app) bmcCommand() *cobra.Command {
	var how binding
	cmd := &cobra.Command{
		Use:   "bmc",
		Short: "hand the stamp its planned BMC credential, once",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.bind(how)
			if err != nil {
				return err
			}
			defer b.Close()
			if b.plan.BMC == nil {
				return usagef("make one with certstamp plan --kind bmc", "a plan of kind %s changes no BMC credential", b.plan.Kind)
			}
			return a.bmc(cmd.Context(), b, how)
		},
	}
	how.flags(cmd)
	return cmd
}

func (a *app) bmc(ctx context.Context, b *bound, how binding) error {
	p := b.plan
	sh, err := a.bmcShare(ctx, b, a.journalFile(b, how.journal))
	if err != nil {
		return err
	}
	if err := a.openWitness(b, a.journalFile(b, how.journal), sh, true); err != nil {
		return err
	}
	if !b.witness.started() {
		if err := a.rederive(ctx, b); err != nil {
			return err
		}
	}
	if err := a.hold(ctx, b, sh, "bmc"); err != nil {
		return err
	}
	if digest, found := b.witness.unsettled(); found && !b.witness.started() {
		return refusedf("rotating", "find out how it ended first: certstamp rotate --attach with that plan", "the journal shows a rotation of plan %s whose end it does not know", digest)
	}
	if !b.witness.started() {
		if err := b.notUnwatched(); err != nil { // of which only a local journal may know
			return err
		}
	}
	cfg, err := a.endpointConfig(p.BMC.PEP, p.Simulated)
	if err != nil {
		return err
	}
	cfg.IdleTimeout = 0
	out, err := bmc.Run(ctx, bmc.Deps{
		Dial: func(ctx context.Context) (bmc.Endpoint, error) {
			s, err := pep.Dial(ctx, cfg)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Journal: handover{b.witness}, Now: a.env.Now,
		Events: func(e bmc.Event) {
			if e.Text != "" {
				a.progress("bmc: %s", e.Text)
			}
			if e.Record != nil {
				a.record(*e.Record)
			}
		},
	}, bmc.Job{Stamp: p.Stamp, Simulated: p.Simulated, BMC: *p.BMC, Secrets: a.secrets})
	return a.handedOver(ctx, b, out, err)
}

// bmcShare opens the share that holds the stamp's lock and journal, which the stamp file names: a plan of this kind does not.
// Once the local journal shows a start, the checkout may have moved on: nothing is sent again, so the lock is not missed.
func (a *app) bmcShare(ctx context.Context, b *bound, journalFile string) (stage.Share, error) {
	err := a.checkout(b)
	if err == nil {
		if b.job.stamp.Share.IsZero() {
			return nil, nil
		}
		var sh stage.Share
		if sh, err = a.shareOfStamp(ctx, b); err == nil {
			return sh, nil
		}
	}
	log, readErr := fileLog(journalFile)
	if readErr != nil {
		return nil, err
	}
	if _, started := log.Started(b.digest); !started {
		return nil, err
	}
	a.progress("the share is left out, the journal here shows the start: %v", err)
	b.job = nil
	return nil, nil
}

func (a *app) handedOver(ctx context.Context, b *bound, out bmc.Outcome, cause error) error {
	b.entry.Outcome = string(out.Result)
	b.entry.Findings = append(b.entry.Findings, out.Findings...)
	for _, e := range out.Errors {
		b.entry.Errors = append(b.entry.Errors, errorText(e))
	}
	if out.Health != nil {
		for _, t := range out.Health.Tests {
			b.entry.Health = append(b.entry.Health, report.Health{Test: t.Name, After: t.Result})
		}
	}
	means := ""
	for _, e := range bmc.Endings() {
		if e.ID == out.Ending {
			means = e.Means
		}
	}
	b.entry.Message = fmt.Sprintf("bmc: %s (%s): %s", out.Result, out.Ending, means)
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	err := errors.New(means)
	if cause != nil {
		err = fmt.Errorf("%s: %w", means, cause)
	}
	switch out.Result {
	case bmc.Success:
		return nil
	case bmc.Failed:
		return fail(exitFailed, out.Ending, err, out.Next)
	case bmc.Partly:
		return fail(exitPartly, out.Ending, err, out.Next)
	case bmc.Unknown:
		return fail(exitUnknown, out.Ending, err, out.Next)
	case bmc.Refused:
		return fail(exitRefused, out.Ending, err, out.Next)
	}
	if ctx.Err() != nil {
		return fail(exitInterrupted, "interrupted", errors.New("interrupted before anything changed"), "run the same command again")
	}
	var f *failure
	if errors.As(cause, &f) {
		return f
	}
	hint := out.Next
	if h := hintOf(cause); h != "" {
		hint = h
	}
	return environment(out.Ending, err, hint)
}
