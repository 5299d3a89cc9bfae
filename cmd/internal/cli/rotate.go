package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/validate"
)

func (a *app) rotateCommand() *cobra.Command {
	var (
		how           binding
		check, attach bool
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
	return a.share(ctx, b, placeOfStamp(b.job.stamp))
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

func (a *app) rotateAttach(ctx context.Context, b *bound, how binding) error {
	sh, err := a.shareIfAny(ctx, b)
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
	if err := a.openWitness(b, a.journalFile(b, how.journal), sh, true); err != nil {
		return err
	}
	job, deps, watch, err := a.rotation(b, a.journalFile(b, how.journal))
	if err != nil {
		return err
	}
	defer a.sayThatItGoesOn(ctx, b)()
	out, err := rotate.Attach(ctx, deps, job)
	return a.rotated(b, watch, out, err)
}

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

// watcher shows progress and keeps the times of the phases.
type watcher struct {
	app    *app
	steps  []report.Step
	begun  time.Time
	status string
	kept   *keeper
	shown  map[string]string // of the stamp's own steps, the state that was last shown
	outage string            // minutes of it that users must expect; told once
}

func (w *watcher) event(e rotate.Event) {
	if n := len(w.steps); n == 0 || w.steps[n-1].Name != string(e.Phase) {
		w.close(e.Time)
		w.begun = e.Time
		w.steps = append(w.steps, report.Step{Name: string(e.Phase), State: "done", Started: e.Time.UTC().Format(time.RFC3339), Detail: e.Text})
	}
	if e.Text != "" && e.Text != w.status {
		w.status = e.Text
		w.app.progress("%s: %s", e.Phase, e.Text)
	}
	if w.outage != "" && (e.Phase == rotate.Watching || e.Phase == rotate.Attaching && underWay(e.Steps)) {
		w.app.progress("users: public addresses of the stamp are unreachable for %s minutes once while it rotates; no document says in which step", w.outage)
		w.outage = ""
	}
	w.showSteps(e.Steps, "")
	if e.Record != nil {
		w.app.record(*e.Record)
		w.kept.record(e.Time, e.Phase, *e.Record)
	}
}

// showSteps shows each step of the stamp's action when it changes, with its times: people wait for the outage.
func (w *watcher) showSteps(steps []pep.Step, above string) {
	if w.shown == nil {
		w.shown = map[string]string{}
	}
	for _, s := range steps {
		name := above + s.Name
		if s.Status != w.shown[name] && !s.Started.IsZero() && len(w.shown) < maxStepsShown {
			when := s.Started.UTC().Format(time.TimeOnly) + " UTC"
			if !s.Ended.IsZero() {
				when += fmt.Sprintf(" to %s, %s", s.Ended.UTC().Format(time.TimeOnly), s.Ended.Sub(s.Started).Round(time.Second))
			}
			text := s.Description
			if text != "" {
				text = " (" + text + ")"
			}
			w.app.progress("  step: %s: %s, %s%s", oneLine(name), oneLine(s.Status), when, oneLine(text))
			w.shown[name] = s.Status
		}
		if strings.Count(above, " / ") < maxDepthShown {
			w.showSteps(s.Steps, name+" / ")
		}
	}
}

// underWay reports whether a step has begun and not ended.
func underWay(steps []pep.Step) bool {
	return slices.ContainsFunc(steps, func(s pep.Step) bool { return !s.Started.IsZero() && s.Ended.IsZero() || underWay(s.Steps) })
}

// maxStepsShown bounds what a stamp can make us print; a real action has some hundred steps.
const maxStepsShown = 2000

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (w *watcher) close(now time.Time) {
	if n := len(w.steps); n > 0 {
		w.steps[n-1].Seconds = int(now.Sub(w.begun).Round(time.Second) / time.Second)
	}
}

// record shows one line of what the stamp says. Debug output is for certstamp pep.
func (a *app) record(r pep.Record) {
	if r.Kind == pep.DebugRecord || strings.TrimSpace(r.Text) == "" {
		return
	}
	for l := range strings.Lines(strings.TrimSpace(r.Text)) {
		a.progress("  %s: %s", r.Kind, strings.TrimRight(l, "\r\n"))
	}
}

// reportOutcome fills the document with what a rotation left behind.
func (a *app) reportOutcome(b *bound, w *watcher, out rotate.Outcome) {
	w.close(a.env.Now())
	b.entry.Steps = append(b.entry.Steps, w.steps...)
	for _, s := range out.Action.Steps {
		b.entry.Steps = append(b.entry.Steps, stampSteps(s, 1)...)
	}
	b.entry.Findings = append(b.entry.Findings, out.Findings...)
	for _, f := range out.Facts {
		b.entry.Facts = append(b.entry.Facts, report.Fact{Name: f.Name, Value: f.Value})
	}
	for _, u := range out.Unknown {
		b.entry.Facts = append(b.entry.Facts, report.Fact{Name: "could not know", Value: u})
	}
	for _, e := range out.Errors {
		b.entry.Errors = append(b.entry.Errors, errorText(e))
	}
	if b.plan.Verify != nil {
		for _, s := range out.Served {
			b.entry.Endpoints = append(b.entry.Endpoints, b.endpoint(s))
		}
	}
	before := map[string]string{}
	for _, h := range out.HealthBefore {
		for _, t := range h.Report.Tests {
			before[t.Name] = t.Result
		}
	}
	for _, h := range out.HealthAfter {
		for _, t := range h.Report.Tests {
			if t.Result != pep.TestPass || before[t.Name] != t.Result {
				b.entry.Health = append(b.entry.Health, report.Health{Test: t.Name, Before: before[t.Name], After: t.Result})
			}
		}
	}
}

func (b *bound) endpoint(s rotate.Judged) report.Endpoint {
	e := report.Endpoint{Endpoint: s.Endpoint, Verdict: string(s.Leaf), Detail: s.Failed}
	for _, v := range b.plan.Verify.Endpoints {
		if v.Endpoint == s.Endpoint {
			e.Host = v.Host
		}
	}
	if len(s.Leaves) > 0 {
		e.LeafSHA256 = s.Leaves[0]
	}
	e.Before, e.After = expiries(b.plan, s.Endpoint)
	return e
}

// maxDepthShown bounds the nesting of the stamp's own steps in a report.
const maxDepthShown = 6

func stampSteps(s pep.Step, depth int) []report.Step {
	out := []report.Step{{Name: s.Name, State: s.Status, Detail: s.Message, Depth: depth}}
	if !s.Started.IsZero() {
		out[0].Started = s.Started.UTC().Format(time.RFC3339)
		if !s.Ended.IsZero() {
			out[0].Seconds = int(s.Ended.Sub(s.Started).Round(time.Second) / time.Second)
		}
	}
	if depth < maxDepthShown {
		for _, below := range s.Steps {
			out = append(out, stampSteps(below, depth+1)...)
		}
	}
	return out
}

func errorText(e pep.ErrorRecord) string {
	var b strings.Builder
	for _, part := range []struct{ name, text string }{
		{"", e.Message},
		{"id", e.ID},
		{"exception", e.Exception},
		{"step", e.Activity},
		{"reason", e.Reason},
		{"target", e.TargetName},
		{"recommended", e.RecommendedAction},
		{"stack", e.StackTrace},
	} {
		if part.text == "" {
			continue
		}
		if part.name != "" {
			b.WriteString(part.name + ": ")
		}
		b.WriteString(part.text + "\n")
	}
	return b.String()
}

// rotated reports how a rotation came out, with its exit code.
func (a *app) rotated(b *bound, w *watcher, out rotate.Outcome, cause error) error {
	a.reportOutcome(b, w, out)
	w.kept.outcome(out)
	b.entry.Outcome = string(out.Result)
	means := ""
	for _, e := range rotate.Endings() {
		if e.ID == out.Ending {
			means = e.Means
		}
	}
	word := out.Result
	if word == rotate.Already {
		word = rotate.Success
	}
	b.entry.Message = fmt.Sprintf("rotation: %s (%s): %s", word, out.Ending, means)
	switch out.Result {
	case rotate.Success, rotate.Already:
		b.entry.Next = b.command("verify")
		if b.plan.Verify == nil {
			b.entry.Next = ""
		}
		a.doc.Stamps = append(a.doc.Stamps, b.entry)
		return nil
	case rotate.Running, rotate.Unknown:
		b.entry.Next = b.command("rotate --attach")
	}
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	err := errors.New(means)
	if cause != nil {
		err = fmt.Errorf("%s: %w", means, cause)
	}
	hint := out.Next
	if h := hintOf(cause); h != "" && out.Result == rotate.Environment {
		hint = h
	}
	if out.Ending == "cancelled" {
		return fail(exitInterrupted, "interrupted", errors.New("interrupted before anything changed"), "run the same command again")
	}
	return fail(exitOf(out), out.Ending, err, hint)
}

// exitOf is the exit code of a rotation; docs/operations.md has it for each ending.
func exitOf(out rotate.Outcome) int {
	switch out.Result {
	case rotate.Success, rotate.Already:
		return exitDone
	case rotate.Failed, rotate.FailedAgain:
		return exitFailed
	case rotate.Unknown, rotate.Running:
		return exitUnknown
	case rotate.Refused:
		return exitRefused
	}
	switch out.Ending {
	case "cancelled":
		return exitInterrupted
	case "no-secret": // what we were told, not the world
		return exitUsage
	}
	return exitEnvironment
}
