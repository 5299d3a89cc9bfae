package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/certstamp/certstamp/internal/journal"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/bmc"
	"github.com/certstamp/certstamp/stage"
)

// witness is the journal of one plan with all its copies: the local file, which is written, and the share's, which gets
// every line as well and is read because another machine may have begun.
type witness struct {
	own    *journal.Journal // nil: reading only
	others []journal.Log
	local  []journal.Log // of the stamp's other plans, as far as they were worked with from here; see elsewhere
	digest string
	alone  bool // there is no share, so the local journals are all that is known of other plans
	run    string
	again  func() ([]journal.Log, error) // reads once more what others may have written to meanwhile
}

// stateDir is where local journals lie, relative to the working directory.
const stateDir = ".certstamp"

func (a *app) journalFile(b *bound, flag string) string {
	if flag != "" {
		return a.path(flag)
	}
	return a.path(filepath.Join(stateDir, b.plan.Stamp.Name, "journal-"+b.digest[:12]+".jsonl"))
}

const otherJournal = "name another file with --journal: nothing is changed that cannot be written down first"

// openWitness reads every copy of the plan's journal. With write it also continues the local one.
func (a *app) openWitness(b *bound, file string, sh stage.Share, write bool) error {
	w := &witness{digest: b.digest, local: a.localLogs(b.plan.Stamp.Name), alone: sh == nil, run: b.run}
	if sh != nil {
		log, err := shareLog(sh)
		if err != nil {
			return environment("journal", fmt.Errorf("read the journal on the share: %w", err), "")
		}
		w.others = append(w.others, log)
	}
	if !write {
		log, err := fileLog(file)
		if err != nil {
			return environment("journal", err, "")
		}
		w.others = append(w.others, log)
		b.witness = w
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return environment("journal", fmt.Errorf("--journal: %w", unwritable(filepath.Dir(file), err)), otherJournal)
	}
	var mirrors []io.Writer
	if sh != nil {
		mirrors = append(mirrors, &onShare{sh: sh, visitor: b.visitor})
	}
	own, err := journal.Open(file, b.digest, b.run, a.env.Now, mirrors...)
	if err != nil {
		return environment("journal", fmt.Errorf("--journal: %w", err), otherJournal)
	}
	w.own = own
	w.again = func() ([]journal.Log, error) {
		log, err := fileLog(file)
		if err != nil || sh == nil {
			return append(a.localLogs(b.plan.Stamp.Name), log), err
		}
		shared, err := shareLog(sh)
		return []journal.Log{log, shared}, err
	}
	b.witness = w
	b.clean = append(b.clean, func() {
		_ = own.Close() // which tries once more to write what waits
		for _, err := range own.MirrorErrors() {
			if err != nil {
				a.progress("the journal on the share lacks lines: %v", err)
			}
		}
	})
	for _, p := range own.Problems() {
		a.progress("journal: %s", p)
	}
	if b.by != nil { // its file is not at hand
		return nil
	}
	if err := a.keepPlan(b, file); err != nil {
		a.progress("certstamp status will not find this plan by itself: %v", err)
	}
	return nil
}

// localLogs are the journals of a stamp that lie in the working directory. One that cannot be read shows nothing.
func (a *app) localLogs(stamp string) []journal.Log {
	dir := a.path(filepath.Join(stateDir, stamp))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []journal.Log
	for _, e := range entries {
		if ok, _ := filepath.Match("journal-*.jsonl", e.Name()); !ok {
			continue
		}
		if log, err := fileLog(filepath.Join(dir, e.Name())); err == nil {
			out = append(out, log)
		}
	}
	return out
}

// hold takes the stamp's lock for stage, rotate and bmc, and only then believes what the journal on the share says: another
// machine may have begun while this one looked. Without a share there is no lock.
func (a *app) hold(ctx context.Context, b *bound, sh stage.Share, command string) error {
	if sh == nil {
		return nil
	}
	release, err := stage.Hold(sh, b.owner(command))
	if err != nil {
		return stageFailure(ctx, b, a, err)
	}
	b.clean = append(b.clean, func() { _ = release() })
	return b.reread(sh)
}

// reread adds what the journal on the share says now, under the lock, to what is known.
func (b *bound) reread(sh stage.Share) error {
	log, err := shareLog(sh)
	if err != nil {
		return environment("journal", fmt.Errorf("read the journal on the share: %w", err), "")
	}
	b.witness.others = append(b.witness.others, log)
	return nil
}

// onShare appends the journal's lines to the share. The work folder may be gone: then so is this copy.
type onShare struct {
	sh      stage.Share
	visitor string // see bound; such a run takes the lock for each write, and while another has it the lines wait
	whole   bool   // the file is known to end in a line end
}

func (o *onShare) Write(p []byte) (int, error) {
	if o.visitor == "" {
		return o.append(p)
	}
	n := 0
	err := stage.While(o.sh, o.visitor, func() (err error) {
		o.whole = false // others have written since
		n, err = o.append(p)
		return err
	})
	return n, err
}

func (o *onShare) append(p []byte) (int, error) {
	out := p
	if !o.whole {
		// Whoever wrote last may have been cut off in the middle of a line, of which ours must not become a part.
		b, err := o.sh.ReadFile(stage.JournalFile, journal.MaxSize)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		if len(b) > 0 && b[len(b)-1] != '\n' {
			out = append([]byte("\n"), p...)
		}
	}
	err := o.sh.Append(stage.JournalFile, out)
	if o.whole = err == nil; err != nil {
		return 0, err
	}
	return len(p), nil
}

func shareLog(sh stage.Share) (journal.Log, error) {
	b, err := sh.ReadFile(stage.JournalFile, journal.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return journal.Log{}, nil
	}
	if err != nil {
		return journal.Log{}, err
	}
	return journal.Read(bytes.NewReader(b))
}

func fileLog(name string) (journal.Log, error) {
	err := regularAt(name)
	if errors.Is(err, fs.ErrNotExist) {
		return journal.Log{}, nil
	}
	if err != nil {
		return journal.Log{}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return journal.Log{}, err
	}
	defer f.Close()
	return journal.Read(f) // which bounds itself, and says so instead of losing the newest lines
}

// ended is how the plan's rotation came out in the words of package rotate, as far as the journal knows: success once it was
// proved, else what was said last.
func (w *witness) ended() string {
	out := ""
	for _, e := range w.log().Entries {
		if e.Room == "rotate" && e.Step == "end" && out != string(rotate.Success) {
			out = e.State
		}
	}
	return out
}

// handedOver is the ending of the plan's BMC change as the journal knows it: a good one once it was seen, else the last.
func (w *witness) handedOver() string {
	out, good := "", false
	for _, e := range w.log().Entries {
		if e.Room == "bmc" && e.Step == "end" && !good {
			out, good = e.Facts["ending"], e.State == string(bmc.Success)
		}
	}
	return out
}

// byPlan sorts a room's entries by their plans, in the order in which these first appear.
func byPlan(room string, logs ...journal.Log) []*witness {
	var out []*witness
	of := map[string]*witness{}
	for _, e := range journal.Merge(logs...).Entries {
		if e.Room != room {
			continue
		}
		if of[e.Plan] == nil {
			of[e.Plan] = &witness{others: []journal.Log{{}}, digest: e.Plan}
			out = append(out, of[e.Plan])
		}
		l := &of[e.Plan].others[0]
		l.Entries = append(l.Entries, e)
	}
	return out
}

// elsewhere is what any journal at hand shows of the stamp's other plans. The local ones count here and not in unsettled: a
// rotation that another machine saw to its end stays open in them for ever.
func (w *witness) elsewhere() [][]rotate.Entry {
	_, entries := w.otherPlans()
	return entries
}

// lastElsewhere is the other plan whose rotation was started last, as any journal at hand shows it.
func (w *witness) lastElsewhere() string {
	plans, entries := w.otherPlans()
	if i := rotate.Latest(entries); i >= 0 {
		return plans[i].digest
	}
	return ""
}

func (w *witness) otherPlans() (plans []*witness, entries [][]rotate.Entry) {
	for _, one := range byPlan("rotate", slices.Concat(w.others, w.local)...) {
		if one.digest != w.digest {
			plans, entries = append(plans, one), append(entries, rotation{one}.Entries())
		}
	}
	return plans, entries
}

// plans are the rotations that the journal knows, of any plan, oldest first.
func (w *witness) plans() []*witness {
	logs := append([]journal.Log{}, w.others...)
	if w.own != nil {
		logs = append(logs, w.own.Log())
	}
	return byPlan("rotate", logs...)
}

// lastStarted is the rotation that was started last, of any plan, or nil.
func (w *witness) lastStarted() *witness {
	plans := w.plans()
	entries := make([][]rotate.Entry, len(plans))
	for i, one := range plans {
		entries[i] = rotation{one}.Entries()
	}
	if i := rotate.Latest(entries); i >= 0 {
		return plans[i]
	}
	return nil
}

// failedLast finds the last rotation that was started, if the journal shows that it failed.
func (w *witness) failedLast() (digest string, failed bool) {
	last := w.lastStarted()
	if last == nil {
		return "", false
	}
	end := rotate.Result(last.ended())
	return last.digest, end == rotate.Failed || end == rotate.FailedAgain
}

// unseen are the endings of runs that left or were cut off before the stamp showed how its rotation stands.
var unseen = []string{"left-unseen", "cut-off", "unanswered", "no-contact", "wrong-stamp"}

// looked reports whether somebody has asked the stamp about the plan's rotation since it was started, and got an answer.
func (w *witness) looked() bool {
	return slices.ContainsFunc(w.log().Entries, func(e journal.Entry) bool {
		return e.Room == "rotate" && e.Step == "end" && !slices.Contains(unseen, e.Facts["ending"])
	})
}

// unwatched finds a rotation, of any plan, after whose start the journal shows no look at it: whoever started it was cut off, and
// nobody has seen it since.
func (w *witness) unwatched() (digest string, found bool) {
	plans := w.plans()
	if w.alone {
		plans = byPlan("rotate", slices.Concat(w.others, w.local)...)
	}
	for _, one := range plans {
		if one.started() && !one.looked() {
			return one.digest, true
		}
	}
	return "", false
}

// unsettled finds a rotation, of any plan, that the journal shows as started and not as ended. It may be under way. What those before
// the last one left open is over: none starts while another runs.
func (w *witness) unsettled() (digest string, found bool) {
	last := w.lastStarted()
	if last == nil {
		return "", false
	}
	switch rotate.Result(last.ended()) {
	case rotate.Success, rotate.Failed, rotate.FailedAgain:
		return "", false
	}
	return last.digest, true
}

// log is everything any copy knows about this plan.
func (w *witness) log() journal.Log {
	logs := append([]journal.Log{}, w.others...)
	if w.own != nil {
		logs = append([]journal.Log{w.own.Log()}, logs...)
	}
	return journal.Merge(logs...).Of(w.digest)
}

// started reports whether the plan's one change may have begun.
func (w *witness) started() bool {
	_, ok := w.log().Started(w.digest)
	return ok
}

func (w *witness) append(room string) func(step, state string, facts map[string]string) error {
	return func(step, state string, facts map[string]string) error {
		if w.own == nil {
			return nil
		}
		if err := w.own.Append(room, step, state, facts); err != nil {
			return err
		}
		if step != journal.StepStart || state != "starting" {
			return nil
		}
		err := w.first()
		if err == nil {
			return nil
		}
		return errors.Join(err, w.own.Append(room, journal.StepStart, journal.StateNotTaken, nil)) // the run that has not sent it takes it back
	}
}

// first holds that what was announced may be sent: the share has it, because other machines know of it from there alone and a server
// that takes no line may have let go of the stamp's lock; and no other run announced anything meanwhile, because without a share
// there is no lock. Of two runs of one plan the one whose line comes first goes on.
func (w *witness) first() error {
	if err := errors.Join(w.own.MirrorErrors()...); err != nil {
		return fmt.Errorf("the share does not take what is to be started: %w", err)
	}
	logs, err := w.again()
	if err != nil {
		return fmt.Errorf("read the journal once more: %w", err)
	}
	for _, l := range logs {
		if e, ok := l.Started(w.digest); ok && e.Run != w.run {
			return fmt.Errorf("run %q has begun the same meanwhile", e.Run)
		}
	}
	for _, one := range byPlan("rotate", logs...) {
		if one.digest != w.digest && one.started() && !one.looked() {
			return fmt.Errorf("a rotation of plan %s was begun meanwhile", one.digest)
		}
	}
	// Of a BMC credential whose run was killed nobody may ever see the end: only one that came since we looked counts.
	known := journal.Merge(slices.Concat(w.others, w.local)...)
	for _, one := range byPlan("bmc", logs...) {
		_, before := known.Started(one.digest)
		if one.digest != w.digest && !before && one.started() && one.handedOver() == "" {
			return fmt.Errorf("a change of the BMC credential by plan %s was begun meanwhile", one.digest)
		}
	}
	return nil
}

// rotation is the rotate room's view.
type rotation struct{ *witness }

func (r rotation) Append(step, state string, facts map[string]string) error {
	return r.append("rotate")(step, state, facts)
}

func (r rotation) Entries() []rotate.Entry {
	var out []rotate.Entry
	for _, e := range r.log().Entries {
		if e.Room == "rotate" {
			at, _ := time.Parse(time.RFC3339, e.Time)
			out = append(out, rotate.Entry{Time: at, Run: e.Run, Step: e.Step, State: e.State, Facts: e.Facts})
		}
	}
	return out
}

// handover is the bmc room's view.
type handover struct{ *witness }

func (h handover) Append(step, state string, facts map[string]string) error {
	return h.append("bmc")(step, state, facts)
}

func (h handover) Entries() []bmc.Entry {
	var out []bmc.Entry
	for _, e := range h.log().Entries {
		if e.Room == "bmc" {
			out = append(out, bmc.Entry{Run: e.Run, Step: e.Step, State: e.State, Ending: e.Facts["ending"]})
		}
	}
	return out
}
