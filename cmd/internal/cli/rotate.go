package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/stage"
)

func (a *app) rotateCommand() *cobra.Command {
	var (
		how           binding
		check, attach bool
		lost          string
		most          time.Duration
	)
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "start the planned rotation, once, and watch it to its end",
		Long: "Guards the stamp, checks that it is ready, journals, starts the rotation and watches. A second run never starts it again: it finds\n" +
			"out how the first one ended. --attach does only that. --check is a read-only go or no-go. Interrupting leaves the rotation running.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check && attach {
				return usagef("", "--check and --attach exclude each other")
			}
			if lost != "" && !attach {
				return usagef("", "--lost goes with --attach")
			}
			ctx := cmd.Context()
			switch {
			case most < 0, most == 0 && cmd.Flags().Changed("max-duration"):
				return usagef("write it like 55m", "--max-duration %s leaves no time", most)
			case most > 0:
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, most)
				defer cancel()
			}
			b, err := a.bind(how)
			if err != nil {
				return err
			}
			defer b.Close()
			if b.plan.Rotate == nil {
				return usagef("", "a plan of kind %s rotates nothing", b.plan.Kind)
			}
			act := a.rotate
			switch {
			case check:
				act = a.rotateCheck
			case lost != "":
				act = func(ctx context.Context, b *bound, how binding) error { return a.attachLost(ctx, b, how, lost) }
			case attach:
				act = a.rotateAttach
			}
			if err := act(ctx, b, how); err != nil {
				return classify(ctx, err) // here, where the limit is known
			}
			return nil
		},
	}
	how.flags(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "only say whether the rotation could start now")
	cmd.Flags().BoolVar(&attach, "attach", false, "only find out how a rotation that was started comes out")
	cmd.Flags().StringVar(&lost, "lost", "", "with --attach: SHA-256 of another plan of this stamp whose file is lost, to find out how its rotation came out")
	a.recordFlag(cmd)
	cmd.Flags().DurationVar(&most, "max-duration", 0, "leave after this long, as an interrupt does: the rotation runs on (55m, say, for a CI job of an hour)")
	return cmd
}

// shareIfAny opens the stamp's share. An internal rotation reads nothing there, but the stamp's lock and
// journal lie there for it too.
func (a *app) shareIfAny(ctx context.Context, b *bound) (stage.Share, error) {
	if b.plan.Stage != nil {
		return a.share(ctx, b, placeOfPlan(b.plan))
	}
	if err := a.checkout(b); err != nil {
		return nil, err
	}
	if b.job.stamp.Share.IsZero() {
		return nil, nil
	}
	return a.shareOfStamp(ctx, b)
}

func (a *app) rotate(ctx context.Context, b *bound, how binding) error {
	sh, err := a.shareIfAny(ctx, b)
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
	// The share is looked at under the lock: what lies there now is what the stamp will read.
	if err := a.hold(ctx, b, sh, "rotate"); err != nil {
		return err
	}
	if !b.witness.started() {
		// The stamp may not show yet what another plan has started.
		if err := b.notUnwatched(); err != nil {
			return err
		}
		if err := a.mustBeStaged(ctx, b, sh); err != nil {
			return err
		}
	}
	job, deps, watch, err := a.rotation(b, a.journalFile(b, how.journal))
	if err != nil {
		return err
	}
	defer a.sayThatItGoesOn(ctx, b)()
	out, err := rotate.Run(ctx, deps, job)
	return a.rotated(b, watch, out, err)
}

// sayThatItGoesOn tells a person who interrupts, at once, what that does: leaving in good order takes seconds when the endpoint
// does not answer, and a second interrupt must not be a guess.
func (a *app) sayThatItGoesOn(ctx context.Context, b *bound) (done func()) {
	said := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(said)
		a.progress("leaving; a rotation that was started goes on without us. Come back with %s. Interrupt again to leave at once", b.command("rotate --attach"))
	})
	return func() {
		if !stop() {
			<-said
		}
	}
}

// attachLost finds out how a rotation came out whose plan's file is lost: who and where the stamp is says the plan at hand, and what
// was there before the start the journal. What the lost plan wanted the endpoints to serve nobody knows any more, so only the stamp's
// action is proof.
func (a *app) attachLost(ctx context.Context, b *bound, how binding, digest string) error {
	digest = strings.ToLower(digest)
	switch {
	case !isDigest(digest):
		return usagef("take it from the message that names the plan, or from the journal", "--lost %q is not a SHA-256", digest)
	case digest == b.digest:
		return usagef("", "--lost names the plan at hand: leave it out")
	}
	p, section := *b.plan, *b.plan.Rotate
	section.Rerun, section.Fresh, section.Transcripts = false, "", nil
	p.Rotate, p.Verify = &section, &plan.VerifySection{}
	gone := &bound{plan: &p, digest: digest, file: b.file, run: b.run, entry: b.entry, approved: true, journal: b.journal, outside: b.outside, by: b}
	defer gone.Close() // before the share
	gone.entry.Message = ""
	return a.attachTo(ctx, gone, b, how)
}

func (a *app) rotateAttach(ctx context.Context, b *bound, how binding) error {
	return a.attachTo(ctx, b, b, how)
}

// attachTo attaches to the rotation of b; the share is that of the plan at hand.
func (a *app) attachTo(ctx context.Context, b, at *bound, how binding) error {
	sh, err := a.shareIfAny(ctx, at)
	if err != nil {
		a.progress("the journal on the share cannot be read: %v", err)
		sh = nil
	}
	if sh != nil {
		if _, err := shareLog(sh); err != nil {
			a.progress("the journal on the share cannot be read: %v", err)
			sh = nil // the stamp can be asked all the same
		}
	}
	b.visitor = b.owner("rotate --attach") // whoever started the rotation may hold the lock until its end
	if err := a.openWitness(b, a.journalFile(b, how.journal), sh, true); err != nil {
		return err
	}
	if b != at && !b.witness.started() {
		return usagef("", "no journal at hand shows a start of plan %s", b.digest)
	}
	job, deps, watch, err := a.rotation(b, a.journalFile(b, how.journal))
	if err != nil {
		return err
	}
	defer a.sayThatItGoesOn(ctx, b)()
	out, err := rotate.Attach(ctx, deps, job)
	return a.rotated(b, watch, out, err)
}

// mustBeStaged holds the share against the plan: a rotation that reads anything else fails an hour from now.
func (a *app) mustBeStaged(ctx context.Context, b *bound, sh stage.Share) error {
	if b.plan.Stage == nil {
		return nil
	}
	if sh == nil {
		a.progress("the share cannot be seen from here: that the planned set lies there is the word of whoever staged it")
		return nil
	}
	findings, state, err := stage.Check(ctx, sh, *b.plan.Stage)
	if err != nil {
		return stageFailure(ctx, b, a, err)
	}
	if state == stage.StatePlanned && len(findings) == 0 {
		return nil
	}
	b.entry.Findings = append(b.entry.Findings, findings...)
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	return refusedf("not-staged", b.command("stage"), "the share holds %s, and the rotation needs exactly the planned one", shareWords[state])
}
