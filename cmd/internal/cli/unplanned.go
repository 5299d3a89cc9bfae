package cli

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/journal"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/bmc"
	"github.com/certstamp/certstamp/stage"
)

// unplanned is what is known of a stamp without any plan, as on a runner that was never here before: what its share holds,
// what the journals tell of the last plan, its last action, and what its endpoints serve.
type unplanned struct {
	standing
	digest string // of the plan that the journals know last; empty: none
	room   string // in which it began to change the stamp; empty: nowhere
}

// statusUnplanned looks at everything that status looks at, when no plan is at hand to hold it against.
func (a *app) statusUnplanned(ctx context.Context, j *job, entry *report.Stamp, fact func(string, string, ...any)) []error {
	var (
		problems []error
		u        unplanned
		b        bound // of no plan: it only closes the share
	)
	defer b.Close()
	fact("plan", "none here")
	note := func(name string, err error) {
		fact(name, "unknown: %v", err)
		problems = append(problems, err)
	}
	sh, err := a.statusShare(ctx, &b, j.stamp)
	if err != nil {
		note("share", err)
	}
	logs := a.localLogs(j.stamp.Name)
	if sh != nil {
		held, err := stage.Holds(sh)
		switch {
		case err != nil:
			note("share", err)
		case held:
			fact("share", "a set, of which only its plan can say whether it is the planned one")
		default:
			fact("share", "%s", shareWords[stage.StateAbsent])
		}
		log, err := shareLog(sh)
		if err != nil {
			note("journal", fmt.Errorf("read the journal on the share: %w", err))
		}
		logs = append(logs, log)
	}
	u.read(journal.Merge(logs...), fact)

	seen, err := a.observe(ctx, j)
	if err != nil {
		return append(problems, err)
	}
	answered := 0
	for _, o := range seen {
		e := report.Endpoint{
			Endpoint: o.Endpoint, Host: net.JoinHostPort(o.Host, strconv.Itoa(j.stamp.Port)), Verdict: "served", LeafSHA256: o.LeafSHA256, Before: o.NotAfter,
		}
		if o.Error != "" {
			e.Verdict, e.Detail = "unreachable", o.Error
		} else {
			answered++
		}
		entry.Endpoints = append(entry.Endpoints, e)
	}
	fact("endpoints", "%d of %d answer", answered, len(seen))
	fact("BMC nodes", "%s", bmcNodes)
	if err := a.statusAction(ctx, j, &u.standing, fact); err != nil {
		problems = append(problems, err)
	}
	entry.PlanSHA256 = u.digest
	entry.Next = u.next(j.stamp.Dir)
	return problems
}

// statusShare opens the share that the stamp file names, or none if it names none.
func (a *app) statusShare(ctx context.Context, b *bound, s *stamp.Stamp) (stage.Share, error) {
	if s.Share.IsZero() {
		return nil, nil
	}
	at := placeOfStamp(s)
	if at.folder == "" {
		if err := a.checkTarget(s); err != nil { // a login over SMB sends a credential
			return nil, err
		}
	}
	return a.share(ctx, b, at)
}

// read takes from the journals, which are of every plan, whose rotation nobody saw end, or else which plan was worked with
// last, and what came of it.
func (u *unplanned) read(log journal.Log, fact func(string, string, ...any)) {
	for _, p := range log.Problems {
		fact("journal", "%s", p)
	}
	log.Entries = slices.DeleteFunc(log.Entries, func(e journal.Entry) bool {
		if !isDigest(e.Plan) { // it becomes part of a command
			fact("journal", "it has a line of a plan that is none: %.80q", e.Plan)
		}
		return !isDigest(e.Plan)
	})
	n := len(log.Entries)
	if n == 0 {
		fact("last step", "none is journaled")
		return
	}
	e := log.Entries[n-1]
	fact("last step", "%s %s %s at %s", e.Room, e.Step, e.State, e.Time)
	u.digest = e.Plan
	if open, found := (&witness{others: []journal.Log{log}}).unsettled(); found {
		u.digest = open
	}
	w := witness{others: []journal.Log{log}, digest: u.digest}
	fact("journal", "the last plan that it knows is %s", e.Plan)
	if u.digest != e.Plan {
		fact("journal", "nobody has seen the end of the rotation of plan %s", u.digest)
	}
	var begun journal.Entry
	if begun, u.started = log.Started(u.digest); u.started {
		u.room = begun.Room
	}
	u.ended, u.ending, u.against = w.ended(), w.handedOver(), rotate.Contradicted(rotation{&w}.Entries())
}

// next is what can be done without the plan, or with it once somebody has brought it.
func (u *unplanned) next(dir string) string {
	bring := func(command string) string {
		return fmt.Sprintf("certstamp %s --plan PLAN --plan-sha256 %s, with that plan from the job that made it", command, u.digest)
	}
	running := u.action != nil && u.action.Running()
	switch {
	case u.started && u.room == "bmc" && !running:
		return nextBMC(u.ending)
	case running && !u.started:
		return "wait for the end of the rotation that the stamp shows: no journal at hand knows its plan"
	case running:
		return bring("rotate --attach")
	case !u.started && u.digest != "":
		return fmt.Sprintf("certstamp status --stamp %s --plan PLAN, with plan %s from the job that made it; or certstamp plan --stamp %s for a new one", dir, u.digest, dir)
	case !u.started:
		return fmt.Sprintf("certstamp validate --stamp %s, then certstamp plan --stamp %s", dir, dir)
	}
	switch rotate.Result(u.ended) {
	case rotate.Success:
		return bring("verify")
	case rotate.Failed:
		if u.against {
			return fmt.Sprintf("certstamp plan --stamp %s of the same kind with --fresh REASON, once the cause that the stamp names is fixed: its action completed, so nothing can be rerun", dir)
		}
		return fmt.Sprintf("certstamp plan --stamp %s --kind rerun, once the cause that the stamp names is fixed", dir)
	case rotate.FailedAgain:
		return fmt.Sprintf("certstamp support --plan PLAN, with plan %s from the job that made it, then contact support: the rerun failed too", u.digest)
	}
	return bring("rotate --attach")
}

// bmcNodes is all that a status can say of a stamp's management controllers.
const bmcNodes = "not asked: certstamp logs in to no BMC; what is known is in the journal and the stamp's own health"

// nextBMC is what is to be done after a BMC change that was sent, by its journaled ending.
func nextBMC(ending string) string {
	for _, e := range bmc.Endings() {
		if e.ID != ending {
			continue
		}
		if e.Result == bmc.Success {
			return "nothing: the stamp has the new BMC credential; " + e.Next
		}
		return e.Next
	}
	return "certstamp bmc with the same plan: the credential was handed over, and nobody has seen how that ended; it is not sent again"
}
