package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/validate"
)

func (a *app) rotateCheck(ctx context.Context, b *bound, how binding) error {
	sh, err := a.shareIfAny(ctx, b)
	if err == nil && sh != nil {
		_, err = shareLog(sh)
		if err != nil {
			err = environment("journal", fmt.Errorf("read the journal on the share: %w", err), "")
		}
	}
	unseen := unseenShare(ctx, err)
	if err != nil && unseen == nil {
		return err
	}
	if unseen != nil {
		sh = nil
	}
	if err := a.openWitness(b, a.journalFile(b, how.journal), sh, false); err != nil {
		return err
	}
	if unseen != nil {
		b.witness.alone = false // the share's journal may show the end of what stays open in a local one
	}
	next := "rotate"
	if !b.witness.started() {
		if err := a.rederive(ctx, b); err != nil {
			return err
		}
		if unseen == nil {
			next, err = a.lookAtShare(ctx, b, sh)
			if unseen = unseenShare(ctx, err); err != nil && unseen == nil {
				return err
			}
		}
		if err := b.notUnwatched(); err != nil {
			b.entry.Findings = append(b.entry.Findings, validate.Finding{
				ID: "journal", Name: "Journal", Result: validate.Fail, Found: err.Error(), Wanted: "no rotation of another plan whose end nobody has seen", Hint: attachFirst,
			})
		}
	}
	known := len(b.entry.Findings) // the share's own is no refusal
	if unseen != nil {
		a.progress("the share cannot be looked at, the endpoint is asked all the same: %v", unseen)
		hint := unseen.hint
		if hint == "" {
			hint = b.command("stage --check") + " shows it again, without the endpoint"
		}
		b.entry.Findings = append(b.entry.Findings, validate.Finding{
			ID: "share", Name: "Share", Result: validate.Fail, Found: unseen.Error(), Wanted: "a share that can be read", Hint: hint,
		})
	}
	job, deps, watch, err := a.rotation(b, a.journalFile(b, how.journal))
	if err != nil {
		return err
	}
	watch.kept = nil // a look leaves nothing behind
	out, err := rotate.Check(ctx, deps, job)
	if err != nil || out.Ending != "" {
		if err := a.rotated(b, watch, out, err); err != nil || unseen == nil {
			return err
		}
		return unseen
	}
	a.reportOutcome(b, watch, out)
	for i, f := range b.entry.Findings {
		if f.Result == validate.Fail && (unseen == nil || i != known) {
			b.entry.Outcome, b.entry.Message = "no-go", "rotate --check: no go"
			a.doc.Stamps = append(a.doc.Stamps, b.entry)
			return refusedf("not-ready", "mend what the findings name", "the rotation could not start now")
		}
	}
	if unseen != nil {
		b.entry.Outcome, b.entry.Message = "no-go", "rotate --check: no go: the endpoint is ready, and the share could not be looked at"
		a.doc.Stamps = append(a.doc.Stamps, b.entry)
		return unseen
	}
	b.entry.Outcome, b.entry.Message, b.entry.Next = "go", "rotate --check: go", b.command(next)
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	return nil
}

// unseenShare is the failure of a share that a look ahead need not end with: what the environment denies today, the endpoint can
// be asked for all the same, and both get mended in one round. A mistake of ours, or a person who leaves, ends it.
func unseenShare(ctx context.Context, err error) *failure {
	var f *failure
	if errors.As(err, &f) && f.code == exitEnvironment && ctx.Err() == nil {
		return f
	}
	return nil
}

// lookAtShare is mustBeStaged days ahead, when the set may still come: it adds what the share holds to the findings, and
// names the command that comes first.
func (a *app) lookAtShare(ctx context.Context, b *bound, sh stage.Share) (next string, err error) {
	if b.plan.Stage == nil || sh == nil {
		return "rotate", a.mustBeStaged(ctx, b, sh)
	}
	findings, state, err := stage.Check(ctx, sh, *b.plan.Stage)
	if err != nil {
		shown := len(a.doc.Stamps)
		err = stageFailure(ctx, b, a, err)
		if unseenShare(ctx, err) != nil {
			a.doc.Stamps = a.doc.Stamps[:shown] // the look goes on, and shows the stamp once
		}
		return "", err
	}
	f := validate.Finding{ID: "share-set", Name: "Share Set", Result: validate.OK}
	next = "rotate"
	if state != stage.StatePlanned {
		next = "stage"
		f.Result, f.Found, f.Wanted, f.Hint = validate.Warning, "the share holds "+shareWords[state], "exactly the planned set when the rotation starts", b.command("stage")
	}
	b.entry.Findings = append(append(b.entry.Findings, f), findings...)
	return next, nil
}
