package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/journal"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/stage"
)

func (a *app) statusCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "say where a stamp stands, and the exact next command",
		Long: "Reads the journal, the share, the stamp's last action and what the endpoints serve, and changes nothing. The endpoint is asked only\n" +
			"when its password is at hand. The plan is the one given, or the last one that was worked with from here. Without one the journal on the\n" +
			"share says which plan was worked with last.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), file) },
	}
	a.stampFlag(cmd)
	cmd.Flags().StringVar(&file, "plan", "", "the plan to hold the stamp against")
	return cmd
}

func (a *app) status(ctx context.Context, file string) error {
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	if file != "" && len(jobs) != 1 {
		return usagef("name one with --stamp stamps/NAME", "--plan takes one stamp, found %d", len(jobs))
	}
	var failed []error
	for _, j := range jobs {
		entry, err := a.statusOf(ctx, j, file)
		a.doc.Stamps = append(a.doc.Stamps, entry)
		if err != nil {
			failed = append(failed, err)
		}
	}
	return together(failed)
}

// standing is what is known of one stamp.
type standing struct {
	bound   *bound
	share   stage.State
	started bool
	ended   string // how the journal says the rotation ended
	ending  string // how it says the BMC change ended, one of bmc.Endings
	planned int
	total   int
	action  *pep.Status
	against bool   // the journal shows an action that completed against what its call said
	twice   string // names the plan of the rerun that failed, if that is what the stamp ran last
}

func (a *app) statusOf(ctx context.Context, j *job, file string) (report.Stamp, error) {
	s := j.stamp
	entry := report.Stamp{Stamp: s.Name, File: s.File, Simulated: s.Simulated, Outcome: "status"}
	fact := func(name, format string, args ...any) {
		value := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ") // errors that were joined
		entry.Facts = append(entry.Facts, report.Fact{Name: name, Value: value})
	}
	if file == "" {
		file = a.lastPlan(s.Name)
	}
	if file == "" {
		problems := a.statusUnplanned(ctx, j, &entry, fact)
		return entry, incomplete(s, problems)
	}
	b, err := a.unapproved(file)
	if err != nil {
		return entry, err
	}
	defer b.Close()
	if b.plan.Stamp.Name != s.Name {
		return entry, usagef("", "the plan is for stamp %q, not %q", b.plan.Stamp.Name, s.Name)
	}
	if err := fits(b.plan, s); err != nil {
		return entry, err
	}
	b.outside = a.outside(append(opened(b.plan), s.Share.Folder)...)
	entry.Plan, entry.PlanSHA256, entry.PlanFile = b.plan, b.digest, b.file
	fact("plan", "%s, made %s, valid until %s", b.plan.Kind, b.plan.AsOf, b.plan.ValidUntil)
	st := standing{bound: b}
	var problems []error
	note := func(name string, err error) {
		fact(name, "unknown: %v", err)
		problems = append(problems, err)
	}

	sh, err := a.statusShare(ctx, b, s)
	if err != nil {
		note("share", err)
	} else if b.plan.Stage != nil {
		findings, state, err := stage.Check(ctx, sh, *b.plan.Stage)
		if err != nil {
			note("share", err)
		} else {
			st.share = state
			entry.Findings = append(entry.Findings, findings...)
			fact("share", "%s", shareWords[state])
		}
	}
	err = a.openWitness(b, a.journalFile(b, ""), sh, false)
	if err != nil && sh != nil {
		note("journal", err)
		err = a.openWitness(b, a.journalFile(b, ""), nil, false) // the one here may show a start all the same
	}
	if err != nil {
		note("journal", err)
	} else {
		st.read(b.witness.log(), fact)
	}
	if b.plan.Verify != nil {
		judged, err := a.lookLive(ctx, b)
		if err != nil {
			return entry, err
		}
		st.planned, st.total = matching(judged), len(judged)
		entry.Endpoints = a.endpointsOf(b, judged)
		fact("endpoints", "%d of %d serve the planned certificate", st.planned, st.total)
	}
	if err := a.statusAction(ctx, j, &st, fact); err != nil {
		problems = append(problems, err)
	}
	if w := b.witness; w != nil && rotate.FailedTwice(w.elsewhere(), st.action) {
		st.twice = a.planOf(s.Name, w.lastElsewhere())
	}
	if b.plan.BMC != nil {
		fact("BMC nodes", "%s", bmcNodes)
	}
	entry.Next = st.next(b, s.Dir, b.plan.Expired(a.env.Now()))
	return entry, incomplete(s, problems)
}

// incomplete is what a status ends with that could not look at everything.
func incomplete(s *stamp.Stamp, problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	all := errors.Join(problems...)
	hint := hintOf(all) // a refused login must not be tried again without thought
	if hint == "" {
		hint = "the rest is as shown"
	}
	return environment("incomplete", fmt.Errorf("stamp %s: %w", s.Name, all), hint)
}

// read takes from the journal what was done last.
func (st *standing) read(log journal.Log, fact func(string, string, ...any)) {
	_, st.started = log.Started(st.bound.digest)
	if n := len(log.Entries); n > 0 {
		e := log.Entries[n-1]
		fact("last step", "%s %s %s at %s", e.Room, e.Step, e.State, e.Time)
	} else {
		fact("last step", "none is journaled")
	}
	st.ended, st.ending = st.bound.witness.ended(), st.bound.witness.handedOver()
	st.against = rotate.Contradicted(rotation{st.bound.witness}.Entries())
	for _, p := range log.Problems {
		fact("journal", "%s", p)
	}
}

// statusAction asks the stamp about its last rotation, when the login is at hand.
func (a *app) statusAction(ctx context.Context, j *job, st *standing, fact func(string, string, ...any)) error {
	s := j.stamp
	if s.PEP.IsZero() {
		return nil
	}
	if name, isEnv := s.PEP.Password.Env(); isEnv && a.env.Getenv(name) == "" {
		fact("last action", "not asked: %s is not set", name)
		return nil
	}
	// The plan is not approved here, so it is the stamp file that says where the login goes, and the pinned target
	// whether it may.
	if err := a.checkTarget(s); err != nil {
		fact("last action", "not asked: %v", err)
		return nil // status says what it may, and that it may not ask
	}
	cfg, err := a.endpointConfig(pepOf(s), s.Simulated)
	if err != nil {
		return err
	}
	session, err := pep.Dial(ctx, cfg)
	if err != nil {
		fact("last action", "unknown: %v", err)
		return err
	}
	defer func() { _ = session.Close(ctx) }()
	const rotation = "Start-SecretRotation"
	action, err := session.ActionStatus(ctx, rotation)
	if err != nil {
		fact("last action", "unknown: %v", err)
		return err
	}
	st.action = &action
	switch {
	case !action.Known:
		fact("last action", "the stamp knows of no rotation")
	case action.Started.IsZero():
		fact("last action", "%q", action.Word)
	default:
		fact("last action", "%q, started %s", action.Word, action.Started.UTC().Format("2006-01-02T15:04:05Z"))
	}
	return nil
}

// next is the exact next command. What the stamp says of its last action is about any plan; only the journal says whether
// it is about this one.
func (st *standing) next(b *bound, dir string, expired bool) string {
	p := b.plan
	live := st.total > 0 && st.planned == st.total
	running := st.action != nil && st.action.Running()
	failed := st.action != nil && st.action.Known && st.action.State == pep.Failed
	again := p.Kind != plan.Rerun && (p.Rotate == nil || p.Rotate.Fresh == "")
	ended := rotate.Result(st.ended)
	if st.started && st.action == nil { // nobody could ask
		failed = !st.against && (ended == rotate.Failed || ended == rotate.FailedAgain)
	}
	switch {
	case p.Kind == plan.Rerun && p.Rotate != nil && !p.Rotate.Adopt && !st.started && !live && !running && (failed || st.action == nil) && st.twice != "":
		// rotate refuses a third attempt, so neither it nor what leads there is next, however fresh the plan.
		return fmt.Sprintf("certstamp support --plan %s, then contact support: the rerun failed too; on its word %s --adopt REASON", st.twice, rerunCommand(p, dir))
	case p.Kind == plan.BMC && !st.started && expired, !st.started && expired && !running && !live:
		return fmt.Sprintf("certstamp plan --stamp %s --kind %s: this plan has expired", dir, p.Kind)
	case p.Kind == plan.BMC && !st.started:
		return b.command("bmc")
	case p.Kind == plan.BMC:
		return nextBMC(st.ending)
	case running:
		return b.command("rotate --attach")
	case st.started && ended != rotate.Success && failed && p.Kind == plan.Rerun:
		return fmt.Sprintf("certstamp support --plan %s, then contact support: the rerun failed too", b.file)
	case st.against && !live && p.Kind == plan.Rerun:
		return fmt.Sprintf("certstamp support --plan %s, then contact support: the rerun failed too", b.file)
	case st.against && !live && !failed: // the stamp has nothing to rerun
		return planCommand(p, string(p.Kind), dir) + " --fresh REASON, once the cause that the stamp names is fixed"
	case failed && ended != rotate.Success && again && (st.started || !live):
		return rerunCommand(p, dir)
	case st.started && ended != rotate.Success:
		return b.command("rotate --attach")
	case live && p.Stage != nil && st.share != stage.StateAbsent:
		return b.command("unstage")
	case live:
		return "nothing: every endpoint serves the planned certificate, and the share holds no set"
	case st.started && p.Verify == nil:
		return "nothing: the rotation has ended well"
	case st.started:
		return b.command("verify --wait 30m")
	case p.Stage != nil && st.share != stage.StatePlanned:
		return b.command("stage")
	}
	return b.command("rotate")
}

// rerunCommand plans to repeat a failed rotation of the plan's kind.
func rerunCommand(p *plan.Plan, dir string) string {
	if p.Stage != nil {
		return planCommand(p, "rerun", dir)
	}
	return planCommand(p, "rerun --rerun-of internal", dir)
}

// planCommand plans once more, for the same reason if the plan had to have one.
func planCommand(p *plan.Plan, kind, dir string) string {
	out := fmt.Sprintf("certstamp plan --stamp %s --kind %s", dir, kind)
	if p.Stage != nil {
		return out
	}
	why := ""
	for _, s := range p.Asserted {
		if s.What == plan.AssertReason {
			why = s.Value + ": " + s.Reason
		}
	}
	return out + " --reason " + quoted(why)
}

// fits holds a plan that nobody approved against the stamp file, before a name in it is looked up or a folder opened.
func fits(p *plan.Plan, s *stamp.Stamp) error {
	const next = "check out the plan's commit, or make a new plan"
	if got := s.Target().Digest(); p.Stamp.TargetDigest != got {
		return refusedf("target", next, "%s leads to target %s, and the plan was made for %s", s.File, got, p.Stamp.TargetDigest)
	}
	if p.Simulated != s.Simulated {
		return refusedf("target", next, "simulated is %v in %s and %v in the plan", s.Simulated, s.File, p.Simulated)
	}
	if v := p.Verify; v != nil {
		if v.Port != s.Port || !slices.Equal(v.Resolve, s.Resolve) {
			return refusedf("target", next, "the plan reaches the endpoints of stamp %s by another port or resolve list than %s", s.Name, s.File)
		}
		for _, e := range v.Endpoints {
			if !strings.HasSuffix(strings.ToLower(e.Host), "."+strings.ToLower(s.Domain())) {
				return refusedf("target", next, "the plan names %q, which does not lie in the stamp's domain %s", e.Host, s.Domain())
			}
		}
	}
	if p.Stage != nil && p.Stage.Folder != s.Share.Folder {
		return refusedf("target", next, "the plan names the share %q, and %s %q", p.Stage.Folder, s.File, s.Share.Folder)
	}
	return nil
}

// unapproved reads a plan to look at it. Nothing is sent or changed on its word but a login that the target permits.
func (a *app) unapproved(file string) (*bound, error) {
	raw, err := a.readPlan(file)
	if err != nil {
		return nil, err
	}
	p, err := plan.Parse(raw)
	if err != nil {
		return nil, refusedf("plan", "make a new plan with certstamp plan", "--plan %q: %w", file, err)
	}
	return &bound{plan: p, bytes: raw, digest: plan.Digest(raw), file: filepath.ToSlash(file), run: "status"}, nil
}

// keepPlan leaves a copy of the plan beside its journal, so that status finds it. A plan holds no secret.
func (a *app) keepPlan(b *bound, journalFile string) error {
	name := filepath.Join(filepath.Dir(journalFile), "plan-"+b.digest[:12]+".json")
	if exists(name) {
		return nil
	}
	return writeFile(name, b.bytes, 0o644)
}

// planOf names a plan of which only the journal is at hand, as an argument: its kept copy, or what has to be brought.
func (a *app) planOf(name, digest string) string {
	if !isDigest(digest) { // it becomes part of a command
		return "PLAN"
	}
	file := filepath.Join(stateDir, name, "plan-"+digest[:12]+".json")
	if exists(a.path(file)) {
		return filepath.ToSlash(file)
	}
	return "PLAN, with plan " + digest + " from the job that made it"
}

// lastPlan is the plan that was worked with last from here, or none. A copy that is no longer what its name says is passed
// over.
func (a *app) lastPlan(name string) string {
	dir := filepath.Join(stateDir, name)
	entries, err := os.ReadDir(a.path(dir))
	if err != nil {
		return ""
	}
	type found struct {
		file string
		at   int64
	}
	var plans []found
	for _, e := range entries {
		digest, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), "plan-")
		if !ok {
			continue
		}
		info, err := os.Stat(a.path(filepath.Join(dir, "journal-"+digest+".jsonl")))
		if err != nil {
			continue
		}
		raw, err := readNamed(a.path(filepath.Join(dir, e.Name())))
		if err != nil || digest == "" || !strings.HasPrefix(plan.Digest(raw), digest) {
			a.progress("%s is not the plan that its name says: remove it", filepath.ToSlash(filepath.Join(dir, e.Name())))
			continue
		}
		plans = append(plans, found{filepath.Join(dir, e.Name()), info.ModTime().UnixNano()})
	}
	sort.Slice(plans, func(i, j int) bool { return plans[i].at > plans[j].at })
	if len(plans) == 0 {
		return ""
	}
	return plans[0].file
}
