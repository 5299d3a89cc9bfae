package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/validate"
)

func (a *app) stageCommand() *cobra.Command {
	var (
		how            binding
		check, restore bool
	)
	cmd := &cobra.Command{
		Use:   "stage",
		Short: "publish the planned set on the share",
		Long: "Puts exactly the planned files on the stamp's share, as one transaction: staged aside, read back, swapped by renaming. The set\n" +
			"before is kept until the planned one is proved live, and the planned one in the stamp's backup. --check only looks; --restore publishes again from the backup.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.bind(how)
			if err != nil {
				return err
			}
			defer b.Close()
			if b.plan.Stage == nil {
				return usagef("", "a plan of kind %s stages nothing", b.plan.Kind)
			}
			if check {
				return a.stageCheck(cmd.Context(), b)
			}
			return a.stage(cmd.Context(), b, how, restore)
		},
	}
	how.flags(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "look at the share, change nothing")
	cmd.Flags().BoolVar(&restore, "restore", false, "publish the planned set again, from the backup")
	return cmd
}

func (b *bound) owner(command string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed machine"
	}
	return fmt.Sprintf("certstamp %s, plan %s, run %s on %s", command, b.digest[:12], b.run, host)
}

func (a *app) stageOptions(b *bound, command string) stage.Options {
	return stage.Options{Run: strings.ToLower(b.run), Owner: b.owner(command), Journal: b.witness.append("stage")}
}

func (a *app) stage(ctx context.Context, b *bound, how binding, restore bool) error {
	p := b.plan
	sh, err := a.share(ctx, b, placeOfPlan(b.plan))
	if err != nil {
		return err
	}
	if err := a.openWitness(b, a.journalFile(b, how.journal), sh, true); err != nil {
		return err
	}
	if b.witness.started() && !restore {
		b.entry.Outcome, b.entry.Message = "started", fmt.Sprintf("%s: the rotation of this plan was started already: nothing is staged again", p.Stamp.Name)
		b.entry.Next = b.command("rotate")
		a.doc.Stamps = append(a.doc.Stamps, b.entry)
		return nil
	}
	if !b.witness.started() {
		if err := a.rederive(ctx, b); err != nil {
			return err
		}
		if err := a.noThirdState(ctx, b); err != nil {
			return err
		}
	}
	fromBackup := restore || p.Stage.Restore
	open, err := a.sources(b, fromBackup)
	if err != nil {
		return err
	}
	place := placeOfPlan(p)
	a.progress("publish %s on %s", amount.Of(len(p.Stage.Files), "file"), place)
	o := a.stageOptions(b, "stage")
	o.Access = a.accessProof(p, place)
	o.Guard = func(ctx context.Context) error {
		if err := a.mayPublish(ctx, b, sh, restore); err != nil {
			return err
		}
		if !fromBackup {
			if err := a.keepPlanned(b, open); err != nil {
				return err
			}
		}
		return stage.BackupEquals(*p.Stage, a.backupFile(*p.Stage))
	}
	result, err := stage.Publish(ctx, sh, *p.Stage, b.digest, open, o)
	if err != nil {
		return halfDone(result, stageFailure(ctx, b, a, err))
	}
	for _, r := range result.Recovered {
		b.entry.Facts = append(b.entry.Facts, report.Fact{Name: "recovered", Value: r})
	}
	for _, r := range result.Rights {
		b.entry.Findings = append(b.entry.Findings, validate.Finding{
			ID: "share-rights", Name: "Share Rights", Result: validate.Warning, Found: "no longer on the set: " + r, Wanted: "the rights of the set before",
			Hint: "if the stamp needs it, grant it at the share's root: a folder keeps the rights it was made with",
		})
	}
	b.entry.Outcome = string(result.Outcome)
	b.entry.Message = fmt.Sprintf("stage: %s: %s on the share", result.Outcome, amount.Of(result.Files, "file"))
	b.entry.Next = b.command("rotate")
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	return nil
}

// mayPublish is asked under the stamp's lock, which rotate takes too: no rotation of ours begins between the answer and the
// swap.
func (a *app) mayPublish(ctx context.Context, b *bound, sh stage.Share, restore bool) error {
	if err := b.reread(sh); err != nil {
		return err
	}
	if b.witness.started() && !restore {
		return refusedf("started", b.command("rotate --attach"), "the rotation of this plan was started meanwhile: nothing is staged again")
	}
	if err := a.guardIdentity(ctx, b); err != nil {
		return err
	}
	// A set is never swapped under a rotation, and a stamp may take a quarter of an hour to show one that was started.
	if err := b.notUnwatched(); err != nil {
		return err
	}
	if !asserted(b.plan, plan.AssertNoPEPCheck) {
		return a.guardStamp(ctx, b, restore)
	}
	a.progress("the privileged endpoint is not asked, as the plan asserts")
	if digest, found := b.witness.unsettled(); found {
		return refusedf("rotating", attachFirst, "the journal shows a rotation of plan %s whose end it does not know", digest)
	}
	return b.notOverFailed(restore)
}

const attachFirst = "find out how it ended first: certstamp rotate --attach with that plan; if its file is lost, with another plan of the stamp and --lost and the digest above"

// notUnwatched refuses to go on beside a rotation that nobody has looked at since it was started.
func (b *bound) notUnwatched() error {
	if digest, found := b.witness.unwatched(); found {
		return refusedf("rotating", attachFirst, "the journal shows a rotation of plan %s that was started and never looked at again", digest)
	}
	return nil
}

// notOverFailed refuses to stage over a rotation of which the journal shows that it failed.
func (b *bound) notOverFailed(restore bool) error {
	if digest, failed := b.witness.failedLast(); failed && b.replaces(restore) {
		return refusedf("last-failed", rerunOrFresh, "the journal shows that the rotation of plan %s failed: nothing else is staged until it is rerun", digest)
	}
	return nil
}

// replaces reports whether staging the plan puts other files in the place of those that a rerun of a failed rotation needs.
func (b *bound) replaces(restore bool) bool {
	return !restore && !b.plan.Rotate.Rerun && b.plan.Rotate.Fresh == ""
}

const rerunOrFresh = "certstamp plan --kind rerun; or plan with --fresh REASON"

// sources opens the planned files: from the checkout, or from the backup when the checkout has moved on or a rerun wants
// exactly what was staged before.
func (a *app) sources(b *bound, fromBackup bool) (func(plan.PlannedFile) ([]byte, error), error) {
	if fromBackup {
		return a.backupFile(*b.plan.Stage), nil
	}
	open := a.unsealer(b.job.stamp)
	if open != nil && slices.ContainsFunc(b.plan.Certificates, func(c plan.Certificate) bool { return isSealed(c.Path) }) {
		if _, err := open(); err != nil { // what will be missing is said before anything is published
			return nil, err
		}
	}
	return a.plannedFile(b.plan, open), nil
}

// noThirdState observes the endpoints once more and refuses what is neither the state before nor the one after.
func (a *app) noThirdState(ctx context.Context, b *bound) error {
	if b.plan.Verify == nil {
		return nil
	}
	seen, err := a.observe(ctx, b.job)
	if err != nil {
		return err
	}
	leaves := map[string]string{}
	for _, o := range seen {
		leaves[o.Endpoint] = o.LeafSHA256
	}
	var foreign []string
	for _, s := range plan.Compare(*b.plan.Verify, leaves) {
		if s.State == plan.StateForeign {
			foreign = append(foreign, s.Endpoint)
			b.entry.Findings = append(b.entry.Findings, validate.Finding{
				ID: "third-state", Name: "Third State", Result: validate.Fail, Found: fmt.Sprintf("%s serves %s", s.Host, s.Leaf),
				Wanted: fmt.Sprintf("%s as observed, or %s as planned", s.Previous, s.Planned), Hint: "somebody changed it since the plan was made: find out who, then plan again",
			})
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	return refusedf("third-state", "find out who changed the stamp since, then plan again", "what is served is neither as observed nor as planned: %s", strings.Join(foreign, ", "))
}

func asserted(p *plan.Plan, what string) bool {
	for _, s := range p.Asserted {
		if s.What == what {
			return true
		}
	}
	return false
}

// stageFailure gives a failure of the share its exit code. The transaction leaves the old set or the new one.
func stageFailure(ctx context.Context, b *bound, a *app, err error) error {
	var (
		layout  *stage.LayoutError
		e       *stage.Error
		refused *failure
	)
	b.entry.Outcome = "failed"
	defer func() { a.doc.Stamps = append(a.doc.Stamps, b.entry) }()
	switch {
	case errors.As(err, &refused):
		return refused // by our own guard
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return fail(exitInterrupted, "interrupted", errors.New("interrupted: the share shows the set before or the planned one, never a mixture"), "run the same command again")
	case errors.As(err, &layout):
		b.entry.Findings = append(b.entry.Findings, layout.Findings...)
		return refusedf("share-layout", "", "the share does not look as it must; nothing was written: %w", err)
	case errors.As(err, &e) && (e.Class == stage.ClassVerification || e.Class == stage.ClassLayout):
		return fail(exitRefused, string(e.Class), err, "")
	case errors.As(err, &e) && e.Class == stage.ClassConfig:
		return configuration(err, "")
	case errors.As(err, &e):
		return environment(string(e.Class), err, "")
	}
	return environment("share", err, "")
}

// halfDone corrects a failure after the live set was touched: then it is not true that nothing was changed.
func halfDone(r stage.Result, err error) error {
	var f *failure
	if !r.Changed || !errors.As(err, &f) {
		return err
	}
	hint := "run the same command again: whatever was half done is put right first"
	if f.reason == string(stage.ClassVerification) {
		hint = f.hint // running it again mends no server
	}
	return fail(exitPartly, f.reason, fmt.Errorf("the set on the share was changed, then: %w", f.err), hint)
}

func (a *app) stageCheck(ctx context.Context, b *bound) error {
	sh, err := a.share(ctx, b, placeOfPlan(b.plan))
	if err != nil {
		return err
	}
	findings, state, err := stage.Check(ctx, sh, *b.plan.Stage)
	if err != nil {
		return stageFailure(ctx, b, a, err)
	}
	b.entry.Findings, b.entry.Outcome = findings, string(state)
	b.entry.Message = fmt.Sprintf("share: %s", shareWords[state])
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	if len(findings) > 0 {
		return refusedf("share-layout", "mend what the findings name", "the share does not look as it must")
	}
	return nil
}

var shareWords = map[stage.State]string{
	stage.StateAbsent:  "no set",
	stage.StatePlanned: "exactly the planned set",
	stage.StateOther:   "another set",
	stage.StateDamaged: "a layout that no rotation would survive",
}

func (a *app) unstageCommand() *cobra.Command {
	var how binding
	cmd := &cobra.Command{
		Use:   "unstage",
		Short: "remove the planned set from the share, once it is proved live",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.bind(how)
			if err != nil {
				return err
			}
			defer b.Close()
			if b.plan.Stage == nil {
				return usagef("", "a plan of kind %s stages nothing", b.plan.Kind)
			}
			return a.unstage(cmd.Context(), b, how)
		},
	}
	how.flags(cmd)
	return cmd
}

// unstage removes the set when the endpoints prove that they no longer need it.
func (a *app) unstage(ctx context.Context, b *bound, how binding) error {
	judged, err := a.lookLive(ctx, b)
	if err != nil {
		return err
	}
	if n := matching(judged); n != len(judged) {
		b.entry.Endpoints = a.endpointsOf(b, judged)
		a.doc.Stamps = append(a.doc.Stamps, b.entry)
		if unseen := unreached(judged); unseen == len(judged)-n {
			return environment("network", fmt.Errorf("%d of %d endpoints serve the planned certificate, %d cannot be reached: the set and the one before stay on the share", n, len(judged), unseen),
				"run unstage from a machine that reaches the endpoints")
		}
		return refusedf("not-live", "run certstamp verify until every endpoint serves the planned certificate",
			"%d of %d endpoints serve the planned certificate: the set and the one before stay on the share", n, len(judged))
	}
	sh, err := a.share(ctx, b, placeOfPlan(b.plan))
	if err != nil {
		return err
	}
	if err := a.openWitness(b, a.journalFile(b, how.journal), nil, true); err != nil {
		return err
	}
	o := a.stageOptions(b, "unstage")
	o.Guard = func(context.Context) error { return b.mayRemove(sh) }
	result, err := stage.Unstage(ctx, sh, *b.plan.Stage, b.digest, o)
	if err != nil {
		return halfDone(result, stageFailure(ctx, b, a, err))
	}
	b.entry.Outcome = string(result.Outcome)
	b.entry.Message = fmt.Sprintf("unstage: %s: %s, and no PFX is left on the share", result.Outcome, amount.Of(result.Files, "file"))
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	return nil
}

// mayRemove is asked under the stamp's lock. Endpoints change before a rotation ends, and one that failed is repeated with the
// files on the share. The journal there goes with them, and is all that other machines know of another plan's that may run.
func (b *bound) mayRemove(sh stage.Share) error {
	if err := b.reread(sh); err != nil {
		return err
	}
	if ended := b.witness.ended(); b.witness.started() && ended != string(rotate.Success) {
		return refusedf("not-ended", b.command("rotate --attach"), "every endpoint serves the planned certificate, but the journal does not show that the rotation ended well (%q): the set stays on the share", ended)
	}
	last := b.witness.lastStarted()
	if last == nil || last.digest == b.digest {
		return nil
	}
	if ended := last.ended(); ended == "" || ended == string(rotate.Running) {
		return refusedf("rotating", attachFirst, "the journal shows a rotation of plan %s whose end nobody has seen: set and journal stay on the share", last.digest)
	}
	return nil
}
