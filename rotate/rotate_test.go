package rotate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/rotate/wsman"
	"github.com/certstamp/certstamp/validate"
)

var startedBefore = []Entry{
	{Run: "run-0", Step: stepLastAction, State: stateBefore, Facts: pep.Status{
		Known: true, State: pep.Completed, InstanceID: "old",
		Started: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), Ended: time.Date(1999, 1, 1, 1, 0, 0, 0, time.UTC),
	}.Facts()},
	{Run: "run-0", Step: stepStart, State: stateStarting, Facts: map[string]string{factPlanned: "0", factTotal: "2"}},
}

// TestEndings walks every way in which a rotation can come out, and holds that no ending is without a case.
func TestEndings(t *testing.T) {
	failedLast := func(w *world) {
		w.last.State, w.last.Word, w.last.InstanceID, w.last.Message = pep.Failed, "Failed", "failed", "no pfx"
		w.last.Started, w.last.Ended = w.last.Started.Add(3*time.Hour), w.last.Ended.Add(3*time.Hour)
	}
	failedTwice := append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepEnd, State: string(FailedAgain)})
	const success = "Overall action status: Success"
	bare := pep.Status{Known: true, State: pep.Completed}
	told := func(before, after pep.Status, text string) func(*world, *Job) { // an internal rotation by a stamp that shows no more than this
		return func(w *world, j *Job) {
			w.last, j.Verify, j.Rotate.Start.Parameters = before, nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.onStart = func(_ context.Context, sink pep.Sink) (pep.Reply, error) {
				w.starts++
				w.last = after
				return say(sink, text), nil
			}
		}
	}
	rows := []struct {
		name   string
		setup  func(w *world, j *Job)
		ending string
		starts int
	}{
		{"a rotation that succeeds", nil, "completed", 1},
		{"the connection is lost, the action completes", func(w *world, _ *Job) {
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
		}, "completed", 1},
		{"a lost connection, and hosts that come back late", func(w *world, _ *Job) {
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
			w.dialErr = func(n int) error {
				if n > 1 && n < 30 {
					return errDown
				}
				return nil
			}
		}, "completed", 1},
		{"a stamp whose actions cannot be told apart says success", func(w *world, j *Job) {
			w.last, w.nameless, j.Verify = pep.Status{Known: true, State: pep.Completed}, true, nil
		}, "said-success", 1},
		{"actions cannot be told apart and the text was lost, but the leaves changed", func(w *world, _ *Job) {
			w.last, w.nameless = pep.Status{Known: true, State: pep.Completed}, true
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
		}, "proved-by-leaves", 1},
		{"the same without the text", told(bare, bare, "Starting"), "no-proof", 1},
		{"the text says success of an action with an instance, where the one before had none", told(bare, pep.Status{Known: true, State: pep.Completed, InstanceID: "x"}, success), "no-proof", 1},
		{"the same with a start", told(bare, pep.Status{Known: true, State: pep.Completed, Started: time.Now()}, success), "no-proof", 1},
		{"the same with an end", told(bare, pep.Status{Known: true, State: pep.Completed, Ended: time.Now()}, success), "no-proof", 1},
		{"the text says success of an action without a name, where the one before had one", told(pep.Status{Known: true, State: pep.Completed, InstanceID: "x"}, bare, success), "no-proof", 1},
		{"the text says success, and the stamp that its action failed, as before", func(w *world, j *Job) {
			failed := pep.Status{Known: true, State: pep.Failed}
			told(failed, failed, success)(w, j)
			j.Rotate.Fresh = "support said so"
		}, "no-proof", 1},
		{"everything is planned already", func(w *world, _ *Job) { w.rotateLeaves() }, "already-rotated", 0},
		{"everything is planned already, but for one sample of a stranger", func(w *world, _ *Job) {
			w.rotateLeaves()
			w.served[0].Leaves = append(w.served[0].Leaves, "ff")
		}, "not-ready", 0},
		{"everything is planned already, but for one sample of before", func(w *world, _ *Job) {
			w.rotateLeaves()
			w.served[0].Leaves = append(w.served[0].Leaves, "aa")
		}, "not-ready", 0},
		{"everything is planned already, but for one sample without an answer", func(w *world, _ *Job) {
			w.rotateLeaves()
			w.served[0].Failed = "timeout"
		}, "not-ready", 0},
		{"the action fails", func(w *world, _ *Job) { w.onStart = w.lose(time.Minute, time.Hour, pep.Failed) }, "action-failed", 1},
		{"the call fails and no action began", func(w *world, _ *Job) {
			w.onStart = func(context.Context, pep.Sink) (pep.Reply, error) {
				w.starts++
				return pep.Reply{Sent: true}, &pep.CommandError{Cmdlet: "Start-SecretRotation", State: "Failed", Record: pep.ErrorRecord{Message: "no"}}
			}
		}, "call-failed", 1},
		{"the text names a failure and the stamp tells nothing", func(w *world, _ *Job) {
			w.onStart = func(_ context.Context, sink pep.Sink) (pep.Reply, error) {
				w.starts++
				return say(sink, "Overall action status: Failure"), nil
			}
		}, "said-failure", 1},
		{"the text says success and the stamp shows no later action", func(w *world, _ *Job) {
			w.onStart = func(_ context.Context, sink pep.Sink) (pep.Reply, error) {
				w.starts++
				return say(sink, "Overall action status: Success"), nil
			}
		}, "no-proof", 1},
		{"an action completes with an error record, and the endpoints prove it", func(w *world, _ *Job) {
			w.onStart = w.complain
		}, "proved-by-leaves", 1},
		{"an action completes with an error record, and nothing proves it", func(w *world, j *Job) {
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.onStart = w.complain
		}, "contradicted", 1},
		{"an action completes with an error record, and endpoints that lag behind prove it", func(w *world, _ *Job) {
			w.lag(70 * time.Minute)
			w.onStart = w.complain
		}, "proved-by-leaves", 1},
		{"contradicted before, and looking again does not mend that", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken},
				Entry{Run: "run-0", Step: stepEnd, State: string(Failed), Facts: map[string]string{"ending": "contradicted"}})
			w.last.InstanceID, w.last.Started = "ours", time.Now()
		}, "contradicted", 0},
		{"a rerun was contradicted before, and looking again does not mend that", func(w *world, j *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken},
				Entry{Run: "run-0", Step: stepEnd, State: string(FailedAgain), Facts: map[string]string{"ending": "failed-again", "first": "contradicted"}})
			rerun(j)
			j.Verify, w.last.InstanceID, w.last.Started = nil, "ours", time.Now()
		}, "failed-again", 0},
		{"a rerun's action failed before, and support took it up since", func(w *world, j *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken},
				Entry{Run: "run-0", Step: stepEnd, State: string(FailedAgain), Facts: map[string]string{"ending": "failed-again", "first": "action-failed"}})
			rerun(j)
			j.Verify, w.last.InstanceID, w.last.Started = nil, "ours", time.Now()
		}, "completed", 0},
		{"a rerun completes with an error record, and nothing proves it", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			j.Verify, w.onStart = nil, w.complain
		}, "failed-again", 1},
		{"answered, and an action that completed with certificates of somebody else", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			w.last.InstanceID, w.last.Started = "theirs", time.Now()
			w.served[1].Leaves = []string{"ff"}
		}, "no-proof", 0},
		{"the same for a while, until the endpoints are put right", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			w.last.InstanceID, w.last.Started = "ours", time.Now()
			w.served[1].Leaves = []string{"ff"}
			w.lag(10 * time.Minute)
		}, "completed", 0},
		{"the stamp's clock was set back, and the text names its action as ours", func(w *world, j *Job) {
			w.last.Started, w.last.Ended = time.Now().Add(2*time.Hour), time.Now().Add(3*time.Hour)
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.onStart = w.naming
		}, "completed", 1},
		{"the same on a connection that is lost, and it fails", func(w *world, _ *Job) {
			w.last.Started, w.last.Ended = time.Now().Add(2*time.Hour), time.Now().Add(3*time.Hour)
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				reply, _ := w.naming(ctx, sink)
				w.last.State, w.last.Word = pep.Failed, "Failed"
				return reply, errLost
			}
		}, "action-failed", 1},
		{"a rerun fails", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.onStart = w.lose(time.Minute, time.Hour, pep.Failed)
		}, "failed-again", 1},
		{"a rerun of a failed rotation succeeds on a mixed stamp", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.served[0].Leaves = []string{"ba"}
		}, "completed", 1},
		{"a rerun with all leaves planned is still run", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.rotateLeaves()
		}, "completed", 1},
		{"a fresh start after a failure", func(w *world, j *Job) { failedLast(w); j.Rotate.Fresh = "support said so" }, "completed", 1},
		{"a fresh start after a failure on a mixed stamp", func(w *world, j *Job) {
			failedLast(w)
			j.Rotate.Fresh, w.served[0].Leaves = "support said so", []string{"ba"}
		}, "completed", 1},
		{"an internal rotation", func(_ *world, j *Job) {
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
		}, "completed", 1},
		{"started before, nothing seen since", func(w *world, _ *Job) { w.entries = slices.Clone(startedBefore) }, "no-proof", 0},
		{"started before, completed since", func(w *world, _ *Job) {
			w.entries = slices.Clone(startedBefore)
			w.last.InstanceID, w.last.Started = "new", time.Now()
			w.rotateLeaves()
		}, "completed", 0},
		{"started and answered before, completed since", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			w.last.InstanceID, w.last.Started = "new", time.Now()
		}, "completed", 0},
		{"a start that may have been lost, and somebody's action that left the endpoints alone", func(w *world, _ *Job) {
			w.entries = slices.Clone(startedBefore)
			w.last.InstanceID, w.last.Started = "new", time.Now()
		}, "no-proof", 0},
		{"a start that was answered, and endpoints that cannot be read after the connection was lost", func(w *world, _ *Job) {
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				w.serveErr = errors.New("no network")
				return w.lose(time.Minute, time.Hour, pep.Completed)(ctx, sink)
			}
		}, "completed", 1},
		{"an error record, a lost connection, and an action that shows late", func(w *world, _ *Job) {
			w.onStart = func(_ context.Context, sink pep.Sink) (pep.Reply, error) {
				w.starts++
				reply := say(sink, "Starting")
				reply.Errors = []pep.ErrorRecord{{Message: "one secret was skipped"}}
				return reply, errLost
			}
			w.statusErr = func(n int) error {
				if n == 5 {
					w.begin(time.Hour, pep.Failed)
					w.starts--
				}
				return nil
			}
		}, "action-failed", 1},
		{"started before, and nobody can say whether it was this stamp", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			w.last.InstanceID, w.last.Started, w.infoErr = "new", time.Now(), errDown
		}, "no-contact", 0},
		{"started before, and no answer after the first", func(w *world, _ *Job) {
			w.entries = slices.Clone(startedBefore)
			w.statusErr = func(n int) error {
				if n > 1 {
					return errDown
				}
				return nil
			}
		}, "no-contact", 0},
		{"an internal start that may have been lost has nothing else to go by", func(w *world, j *Job) {
			w.entries = slices.Clone(startedBefore)
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.last.InstanceID, w.last.Started = "new", time.Now()
		}, "completed", 0},
		{"an internal start that was lost, and another plan's that completed", func(w *world, j *Job) {
			w.entries, w.others = slices.Clone(startedBefore), [][]Entry{startedAfter(startedBefore)}
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.last.InstanceID, w.last.Started = "theirs", time.Now()
		}, "no-proof", 0},
		{"the same, and the other journal is cut off", func(w *world, j *Job) {
			w.entries, w.others = slices.Clone(startedBefore), [][]Entry{{{Time: time.Now(), Run: "x", Step: stepStart, State: "?"}}}
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.last.InstanceID, w.last.Started = "theirs", time.Now()
		}, "no-proof", 0},
		{"answered, and another plan's rotation after ours failed", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			ours := pep.Status{Known: true, State: pep.Completed, InstanceID: "ours", Started: time.Now().Add(-2 * time.Hour)}
			w.others = [][]Entry{{
				{Run: "x", Step: stepLastAction, State: stateBefore, Facts: ours.Facts()},
				{Run: "x", Step: stepStart, State: stateStarting, Facts: map[string]string{factPlanned: "0", factTotal: "0"}},
			}}
			failedLast(w)
			w.last.Started = time.Now().Add(-time.Hour)
		}, "no-proof", 0},
		{"answered and completed, and another plan's start after it began no action", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			w.last.InstanceID, w.last.Started = "ours", time.Now()
			w.others = [][]Entry{{
				{Run: "x", Step: stepLastAction, State: stateBefore, Facts: w.last.Facts()},
				{Run: "x", Step: stepStart, State: stateStarting, Facts: map[string]string{factPlanned: "0", factTotal: "0"}},
			}}
		}, "completed", 0},
		{"its action failed before, and somebody took it up since", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken},
				Entry{Run: "run-0", Step: stepEnd, State: string(Failed), Facts: map[string]string{"ending": "action-failed"}})
			w.last.InstanceID, w.last.Started = "ours", time.Now()
		}, "completed", 0},
		{"ours failed, and another plan's rotation after it completed elsewhere", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepEnd, State: string(Failed), Facts: map[string]string{"ending": "said-failure"}})
			w.others = [][]Entry{startedAfter(startedBefore)}
			w.last.InstanceID, w.last.Started = "theirs", time.Now()
		}, "said-failure", 0},
		{"another plan's start before ours is not in between", func(w *world, _ *Job) {
			w.entries = append(startedAfter(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			w.last.InstanceID, w.last.Started = "new", time.Now()
		}, "completed", 0},
		{"an earlier plan's start was lost, ours is not its action though the connection is lost", func(w *world, j *Job) {
			w.others = [][]Entry{startedAfter(startedBefore)}
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
		}, "completed", 1},
		{"the same by a clock that is ahead, and ours fails", func(w *world, _ *Job) {
			w.others = [][]Entry{startedAfter(startedBefore)}
			w.others[0][1].Time = time.Now().Add(time.Hour)
			w.onStart = w.lose(time.Minute, time.Hour, pep.Failed)
		}, "action-failed", 1},
		{"another plan's start before ours on a stamp that tells no times is not in between", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			w.entries[0].Facts = pep.Status{Known: true, State: pep.Completed, InstanceID: "older"}.Facts()
			for i := range w.entries {
				w.entries[i].Time = time.Now()
			}
			w.others = [][]Entry{startedAfter(startedBefore)}
			w.others[0][0].Facts = pep.Status{Known: true, State: pep.Completed, InstanceID: "oldest"}.Facts()
			w.last = pep.Status{Known: true, State: pep.Completed, InstanceID: "ours"}
		}, "completed", 0},
		{"the last action of a start that was taken back is not that before the next", func(w *world, j *Job) {
			w.entries = []Entry{
				startedBefore[0], startedBefore[1],
				{Run: "run-0", Step: stepStart, State: stateNotTaken},
				{Run: "x", Step: stepStart, State: stateStarting, Facts: startedBefore[1].Facts},
				{Run: "x", Step: stepStart, State: stateTaken},
			}
			w.last.InstanceID, w.last.Started = "somebody's", time.Now()
		}, "no-proof", 0},
		{"its call failed before, and looking again at an action that completed does not mend that", func(w *world, j *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken},
				Entry{Run: "run-0", Step: stepEnd, State: string(Failed), Facts: map[string]string{"ending": "call-failed"}})
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.last.InstanceID, w.last.Started = "ours", time.Now()
		}, "contradicted", 0},
		{"its call failed before, and the endpoints prove the opposite", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken},
				Entry{Run: "run-0", Step: stepEnd, State: string(Failed), Facts: map[string]string{"ending": "said-failure"}})
			w.last.InstanceID, w.last.Started = "ours", time.Now()
			w.rotateLeaves()
		}, "proved-by-leaves", 0},
		{"seen to its end before, and another plan's rotation failed since", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepEnd, State: string(Success)})
			w.rotateLeaves()
			failedLast(w)
		}, "already-done", 0},
		{"planned leaves prove nothing while the last action is the failure of before", func(w *world, j *Job) {
			failedLast(w)
			j.Rotate.Fresh = "support said so"
			w.entries = slices.Clone(startedBefore)
			w.entries[0].Facts = w.last.Facts()
			w.rotateLeaves()
		}, "no-proof", 0},
		{"planned leaves prove it on a stamp that tells of no action", func(w *world, _ *Job) {
			w.last = pep.Status{}
			w.entries = slices.Clone(startedBefore)
			w.entries[0].Facts = w.last.Facts()
			w.rotateLeaves()
		}, "proved-by-leaves", 0},
		{"seen to its end before, and another stamp answers now", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepEnd, State: string(Success)})
			w.info.RegionName = "west"
		}, "wrong-stamp", 0},
		{"seen to its end before, and the endpoint is away", func(w *world, _ *Job) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepEnd, State: string(Success)})
			w.dialErr = func(n int) error {
				if n > 1 {
					t.Errorf("login %d for what the journal knows", n)
				}
				return errDown
			}
		}, "already-done", 0},
		{"started before by a journal that cannot be read, leaves planned", func(w *world, _ *Job) {
			w.entries = []Entry{{Run: "x", Step: stepStart, State: "?"}}
			w.rotateLeaves()
		}, "proved-by-leaves", 0},
		{"the same for a rerun proves nothing", func(w *world, j *Job) {
			w.entries = []Entry{{Run: "x", Step: stepStart, State: "?"}}
			w.rotateLeaves()
			rerun(j)
		}, "no-proof", 0},
		{"nor for a fresh start", func(w *world, j *Job) {
			w.entries = []Entry{{Run: "x", Step: stepStart, State: "?"}}
			w.rotateLeaves()
			j.Rotate.Fresh = "support said so"
		}, "no-proof", 0},
		{"a rerun on a mixed stamp whose actions cannot be told apart", func(w *world, j *Job) {
			rerun(j)
			w.last = pep.Status{Known: true, State: pep.Completed}
			w.entries = []Entry{
				{Run: "run-0", Step: stepLastAction, State: stateBefore, Facts: w.last.Facts()},
				{Run: "run-0", Step: stepStart, State: stateStarting, Facts: map[string]string{factPlanned: "1", factTotal: "2"}},
			}
			w.rotateLeaves()
		}, "proved-by-leaves", 0},
		{"no host answers after the start", func(w *world, _ *Job) {
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
			w.dialErr = func(n int) error {
				if n > 1 {
					return errDown
				}
				return nil
			}
		}, "no-contact", 1},
		{"the limit comes, the stamp answers, and the endpoints cannot be read", func(w *world, j *Job) {
			w.last, w.nameless, j.Rotate.LimitSeconds = pep.Status{Known: true, State: pep.Completed}, true, 65*60
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				w.serveErr = errors.New("no network")
				return w.lose(time.Minute, time.Hour, pep.Completed)(ctx, sink)
			}
		}, "no-proof", 1},
		{"logins get no answer after the start", func(w *world, _ *Job) {
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
			w.dialErr = func(n int) error {
				if n > 4 {
					t.Errorf("login %d after one that must be the last", n)
				}
				if n > 3 {
					return fmt.Errorf("log in: %w", wsman.ErrUnanswered)
				} else if n > 1 {
					return errDown
				}
				return nil
			}
		}, "unanswered", 1},
		{"the login is refused when the end is asked for", func(w *world, _ *Job) {
			w.statusErr = func(n int) error {
				if n > 2 {
					return wsman.ErrUnauthorized
				}
				return nil
			}
		}, "cut-off", 1},
		{"a start whose leaves were planned before proves nothing by them", func(w *world, j *Job) {
			rerun(j)
			w.last = pep.Status{Known: true, State: pep.Completed}
			w.entries = []Entry{
				{Run: "run-0", Step: stepLastAction, State: stateBefore, Facts: w.last.Facts()},
				{Run: "run-0", Step: stepStart, State: stateStarting, Facts: map[string]string{factPlanned: "2", factTotal: "2"}},
			}
			w.rotateLeaves()
		}, "no-proof", 0},
		{"the login is refused after the start", func(w *world, _ *Job) {
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
			w.dialErr = unauthorized(2)
		}, "cut-off", 1},
		{"longer than the limit", func(w *world, _ *Job) {
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				w.begin(100*time.Hour, pep.Completed)
				return say(sink, "Starting"), w.watch(ctx)
			}
		}, "still-running", 1},
		{"another stamp", func(w *world, _ *Job) { w.info.RegionName = "west" }, "wrong-stamp", 0},
		{"another stamp when attaching", func(w *world, _ *Job) {
			w.info.RegionName, w.entries = "west", slices.Clone(startedBefore)
		}, "wrong-stamp", 0},
		{"a simulator", func(w *world, j *Job) { w.info.CloudID, j.Stamp.CloudID = "SIMULATED-1", "" }, "wrong-stamp", 0},
		{"a failed health test", func(w *world, _ *Job) { w.health.Tests[0].Result = pep.TestFail }, "not-ready", 0},
		{"a failed health test where warnings don't count", func(w *world, j *Job) {
			w.health.Tests[0].Result, j.Rotate.Health[0].WarningsBlock = pep.TestFail, false
		}, "not-ready", 0},
		{"a failed health test beside an accepted one", func(w *world, j *Job) {
			w.health.Tests[0].Result = pep.TestFail
			j.Rotate.AcceptHealth = []plan.Assertion{{What: "AzsStampBMCSummary", Reason: "known"}}
		}, "not-ready", 0},
		{"a health check that fails as a cmdlet", func(w *world, _ *Job) {
			w.healthErr = &pep.CommandError{Cmdlet: "Test-AzureStack", Record: pep.ErrorRecord{Message: "Access is denied", ID: "UnauthorizedAccess"}}
		}, "not-ready", 0},
		{"a health check that is not answered", func(w *world, _ *Job) { w.healthErr = pep.ErrNoAnswer }, "unreachable", 0},
		{"healthy by a word and no test", func(w *world, _ *Job) {
			yes := true
			w.health = pep.HealthReport{Known: true, Healthy: true, Stated: &yes}
		}, "completed", 1},
		{"a warning where warnings count", func(w *world, _ *Job) { w.health.Tests[0].Result = pep.TestWarn }, "not-ready", 0},
		{"a warning where they don't", func(w *world, j *Job) {
			w.health.Tests[0].Result, j.Rotate.Health[0].WarningsBlock = pep.TestWarn, false
		}, "completed", 1},
		{"an accepted failure", func(w *world, j *Job) {
			no := false
			w.health.Tests[0].Result, w.health.Stated = pep.TestFail, &no
			j.Rotate.AcceptHealth = []plan.Assertion{{What: "azsinfracapacity", Reason: "known"}}
		}, "completed", 1},
		{"unhealthy without a name", func(w *world, _ *Job) {
			no := false
			w.health = pep.HealthReport{Known: true, Stated: &no}
		}, "not-ready", 0},
		{"health that cannot be read", func(w *world, _ *Job) { w.health = pep.HealthReport{} }, "not-ready", 0},
		{"no window is open", func(w *world, _ *Job) {
			w.mayStart = func(time.Time) error { return errors.New("the next window opens on Saturday") }
		}, "not-ready", 0},
		{"an update runs", func(w *world, _ *Job) { w.update.State = pep.Running }, "not-ready", 0},
		{"an update runs, on a release where nobody asks", func(w *world, j *Job) {
			w.update.State, j.Rotate.UpdateCheck = pep.Running, false
		}, "completed", 1},
		{"a release that does not tell of updates", func(w *world, _ *Job) { w.update = pep.Update{} }, "completed", 1},
		{"the state of updates is not answered", func(w *world, _ *Job) { w.updateErr = pep.ErrNoAnswer }, "unreachable", 0},
		{"an update begins while the stamp is checked", func(w *world, _ *Job) {
			w.onHealth = func() { w.update.State, w.update.Word = pep.Running, "Running" }
		}, "not-ready", 0},
		{"the state of updates is not answered any more after the checks", func(w *world, _ *Job) {
			w.onHealth = func() { w.updateErr = pep.ErrNoAnswer }
		}, "unreachable", 0},
		{"an update failed", func(w *world, _ *Job) { w.update.State = pep.Failed }, "not-ready", 0},
		{"a foreign leaf", func(w *world, _ *Job) { w.served[1].Leaves = []string{"ff"} }, "not-ready", 0},
		{"some endpoints are planned already, others not", func(w *world, _ *Job) { w.served[0].Leaves = []string{"ba"} }, "not-ready", 0},
		{"an endpoint between two leaves", func(w *world, _ *Job) { w.served[0].Leaves = []string{"aa", "ba"} }, "not-ready", 0},
		{"an endpoint that keeps its certificate", func(_ *world, j *Job) { j.Verify.Endpoints[0].Planned = "aa" }, "completed", 1},
		{"an endpoint went silent", func(w *world, _ *Job) { w.served[1] = Served{Endpoint: "public-portal", Failed: "timeout"} }, "not-ready", 0},
		{"an endpoint was not looked at", func(w *world, _ *Job) { w.served = w.served[:1] }, "not-ready", 0},
		{"an endpoint was silent before too", func(w *world, j *Job) {
			w.served[1] = Served{Endpoint: "public-portal", Failed: "timeout"}
			j.Verify.Endpoints[1].Previous = ""
		}, "completed", 1},
		{"a leaf nobody saw when the plan was made may be the previous one", func(_ *world, j *Job) {
			j.Verify.Endpoints[1].Previous = ""
		}, "completed", 1},
		{"a planned leaf where nobody saw one when the plan was made is no news", func(w *world, j *Job) {
			j.Verify.Endpoints[1].Previous, w.served[1].Leaves = "", []string{"bb"}
		}, "completed", 1},
		{"a cmdlet that the endpoint does not describe", func(w *world, _ *Job) { w.syntax = pep.Syntax{} }, "completed", 1},
		{"the syntax is not answered", func(w *world, _ *Job) { w.syntaxErr = pep.ErrNoAnswer }, "unreachable", 0},
		{"a cmdlet without the parameter", func(w *world, _ *Job) { w.syntax.Parameters = nil }, "not-ready", 0},
		{"an AD FS endpoint on an AAD stamp", func(w *world, _ *Job) { w.adfs = Present }, "not-ready", 0},
		{"an AD FS endpoint on an AD FS stamp", func(w *world, j *Job) { w.adfs, j.Stamp.Identity = Present, "ADFS" }, "completed", 1},
		{"no AD FS endpoint on an AD FS stamp", func(w *world, j *Job) { j.Stamp.Identity = "ADFS" }, "not-ready", 0},
		{"no evidence but that the AD FS endpoint serves", func(w *world, j *Job) {
			w.adfs, j.Stamp.Identity = NoIdea, "ADFS"
			w.served[0].Endpoint, j.Verify.Endpoints[0].Endpoint = "ADFS", "ADFS"
		}, "completed", 1},
		{"no evidence where the AD FS endpoint is silent", func(w *world, j *Job) {
			w.adfs, j.Stamp.Identity = NoIdea, "ADFS"
			w.served[0], j.Verify.Endpoints[0].Endpoint, j.Verify.Endpoints[0].Previous = Served{Endpoint: "ADFS", Failed: "timeout"}, "ADFS", ""
		}, "not-ready", 0},
		{"evidence of the identity system that could not be had", func(w *world, _ *Job) { w.adfsErr = errors.New("no DNS") }, "not-ready", 0},
		{"no evidence of the identity system", func(w *world, _ *Job) { w.adfs = NoIdea }, "not-ready", 0},
		{"no evidence, but an acknowledgement", func(w *world, j *Job) { w.adfs, j.IdentityAsserted = NoIdea, true }, "completed", 1},
		{"the last rotation failed", func(w *world, _ *Job) { failedLast(w) }, "last-failed", 0},
		{"a failed rotation that no journal shows", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.others = nil
		}, "not-ours", 0},
		{"one that no journal shows, adopted", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.others, j.Rotate.Adopt = nil, true
		}, "completed", 1},
		{"a rerun that failed too", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.others = append(w.others, failedTwice)
		}, "third-attempt", 0},
		{"a rerun that failed too, and a reason", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.others, j.Rotate.Adopt = append(w.others, failedTwice), true
		}, "completed", 1},
		{"a rotation that failed once, after a rerun of last year failed", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.others = append(w.others, failedTwice, startedBefore)
		}, "completed", 1},
		{"a rerun that failed too, by a clock behind that of the failure before", func(w *world, j *Job) {
			first := pep.Status{Known: true, State: pep.Failed, InstanceID: "first", Started: w.last.Started.Add(time.Hour), Ended: w.last.Ended.Add(time.Hour)}
			again := slices.Clone(failedTwice)
			again[0].Facts = first.Facts()
			failedLast(w)
			rerun(j)
			w.others = [][]Entry{again, startedBefore}
		}, "third-attempt", 0},
		{"a failed rotation after one of ours that succeeded", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.others = [][]Entry{append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepEnd, State: string(Success)})}
		}, "not-ours", 0},
		{"a failed rotation before one of ours, which began no action", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.others = [][]Entry{{
				{Run: "run-0", Step: stepLastAction, State: stateBefore, Facts: w.last.Facts()},
				{Run: "run-0", Step: stepStart, State: stateStarting, Facts: map[string]string{factPlanned: "0", factTotal: "2"}},
			}}
		}, "not-ours", 0},
		{"a start of ours by a journal that is cut off", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.others = [][]Entry{{{Run: "x", Step: stepStart, State: "?"}}}
		}, "completed", 1},
		{"nothing failed that could be rerun", func(_ *world, j *Job) { rerun(j) }, "nothing-to-rerun", 0},
		{"somebody else's rotation runs and is not ours", func(w *world, _ *Job) {
			w.begin(time.Hour, pep.Completed)
			w.starts, w.served = 0, nil
			w.doneState = pep.Waiting // ends in a word that means nothing here
			w.doneAt = time.Time{}
			w.statusErr = func(n int) error {
				if n == 5 {
					w.last.State = pep.Completed
				}
				return nil
			}
		}, "another-ran", 0},
		{"somebody else's rotation runs and fails", func(w *world, _ *Job) { w.begin(time.Hour, pep.Failed); w.starts = 0 }, "last-failed", 0},
		{"a rotation from a machine whose journal is not here, and endpoints that lag behind", func(w *world, j *Job) {
			w.begin(time.Hour, pep.Completed)
			w.starts = 0
			w.lag(73 * time.Minute)
		}, "proved-by-leaves", 0},
		{"a rotation that leaves certificates of somebody else", func(w *world, j *Job) {
			w.begin(time.Hour, pep.Completed)
			w.starts, w.serve = 0, func() []Served {
				return []Served{{Endpoint: "acs-blob", Leaves: []string{"ff"}}, {Endpoint: "public-portal", Leaves: []string{"bb"}}}
			}
		}, "another-ran", 0},
		{"somebody else's rotation did our work", func(w *world, _ *Job) { w.begin(time.Hour, pep.Completed); w.starts = 0 }, "proved-by-leaves", 0},
		{"a rotation began since the plan was made, and the endpoints lag behind", func(w *world, j *Job) {
			w.last.Started, j.PlannedAt = time.Now().Add(-time.Hour), time.Now().Add(-2*time.Hour)
		}, "another-ran", 0},
		{"an internal rotation that ran, from a machine without its journal", func(w *world, j *Job) {
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.last.Started, j.PlannedAt = time.Now().Add(-time.Hour), time.Now().Add(-2*time.Hour)
		}, "another-ran", 0},
		{"a rerun that failed since it was planned, from a machine without its journal", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			w.last.Started, j.PlannedAt = time.Now().Add(-time.Hour), time.Now().Add(-2*time.Hour)
		}, "another-ran", 0},
		{"a rotation before the plan was made is none of its business", func(w *world, j *Job) {
			w.last.Started, j.PlannedAt = time.Now().Add(-3*time.Hour), time.Now().Add(-2*time.Hour)
		}, "completed", 1},
		{"somebody starts one while we check", func(w *world, _ *Job) {
			w.statusErr = func(n int) error {
				if n == 2 {
					w.begin(time.Hour, pep.Completed)
					w.starts = 0
				}
				return nil
			}
		}, "another-ran", 0},
		{"the stamp forgets its last rotation while it is checked", func(w *world, _ *Job) {
			last := w.last
			w.statusErr = func(n int) error {
				if w.last = last; n == 2 {
					w.last = pep.Status{} // last year's would count as ours afterwards
				}
				return nil
			}
		}, "unreachable", 0},
		{"actions cannot be told apart, and a part of the call was lost", func(w *world, j *Job) {
			w.last, w.nameless, j.Verify = pep.Status{Known: true, State: pep.Completed}, true, nil
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				reply, err := w.succeed(ctx, sink)
				reply.Lost = 2
				return reply, err
			}
		}, "no-proof", 1},
		{"a path to the wrong place", func(_ *world, j *Job) { j.Rotate.Start.Parameters[0].Value = `\\a\b\Certificates\AAD` }, "bad-call", 0},
		{"no host answers", func(w *world, _ *Job) { w.dialErr = func(int) error { return errDown } }, "unreachable", 0},
		{"the stamp cannot say who it is", func(w *world, _ *Job) { w.infoErr = errors.New("reset") }, "unreachable", 0},
		{"the login is refused", func(w *world, _ *Job) { w.dialErr = unauthorized(1) }, "login-refused", 0},
		{"a secret is missing", func(_ *world, j *Job) {
			j.Secrets = func(ref string) (secret.Value, error) { return secret.Value{}, secret.ErrNotSet }
		}, "no-secret", 0},
		{"the journal cannot be written", func(w *world, _ *Job) {
			w.journalErr = func(string, string) error { return errors.New("disk full") }
		}, "no-journal", 0},
		{"the start cannot be journaled", func(w *world, _ *Job) {
			w.journalErr = func(step, _ string) error {
				if step == stepStart {
					return errors.New("disk full")
				}
				return nil
			}
		}, "no-journal", 0},
		{"the last action cannot be journaled", func(w *world, _ *Job) {
			w.journalErr = func(step, _ string) error {
				if step == stepLastAction {
					return errors.New("disk full")
				}
				return nil
			}
		}, "no-journal", 0},
		{"keys cannot be exchanged", func(w *world, _ *Job) { w.prepare = func() error { return errors.New("reset") } }, "unreachable", 0},
		{"told to leave while keys are exchanged", func(w *world, _ *Job) {
			w.leaveAfter(time.Minute)
			w.prepare = func() error { time.Sleep(time.Hour); return nil }
		}, "cancelled", 0},
		{"a stamp that never rotated", func(w *world, _ *Job) { w.last = pep.Status{} }, "completed", 1},
		{"the text names a failure of an action that completed, and the endpoints prove it", func(w *world, _ *Job) {
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				w.begin(time.Hour, pep.Completed)
				return say(sink, "Overall action status: Failure"), w.watch(ctx)
			}
		}, "proved-by-leaves", 1},
		{"the text names a failure of an action that completed, and nothing proves it", func(w *world, j *Job) {
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				w.begin(time.Hour, pep.Completed)
				return say(sink, "Overall action status: Failure"), w.watch(ctx)
			}
		}, "contradicted", 1},
		{"the call ends well, and its action in a word that nobody knows", func(w *world, j *Job) {
			j.Verify, j.Rotate.Start.Parameters = nil, []plan.Parameter{{Name: "Internal", Type: "Switch"}}
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				w.begin(time.Hour, pep.Unseen)
				return say(sink, "Action plan finished with status: 'Completed'"), w.watch(ctx)
			}
		}, "still-running", 1},
		{"a start that was answered cannot be one that was not taken", func(w *world, _ *Job) {
			w.onStart = func(_ context.Context, sink pep.Sink) (pep.Reply, error) {
				w.begin(time.Hour, pep.Completed)
				return say(sink, "Starting"), &wsman.ConnectError{Host: "a", Err: errors.New("refused")}
			}
		}, "completed", 1},
		{"told to leave before the start is taken", func(w *world, _ *Job) {
			w.leaveAfter(time.Minute)
			w.onStart = func(context.Context, pep.Sink) (pep.Reply, error) {
				time.Sleep(time.Hour)
				return pep.Reply{}, &wsman.ConnectError{Host: "a", Err: errors.New("refused")}
			}
		}, "cancelled", 0},
		{"the login is refused before the start is taken", func(w *world, _ *Job) {
			w.onStart = func(context.Context, pep.Sink) (pep.Reply, error) { return pep.Reply{}, unauthorized(1)(1) }
		}, "login-refused", 0},
		{"a path to the wrong place, and transcripts to the right one", func(_ *world, j *Job) {
			j.Rotate.Start.Parameters[0].Value = `\\a\b\Certificates\AAD`
			j.Rotate.Transcripts = &plan.Call{Cmdlet: "Close-PrivilegedEndpoint", Parameters: []plan.Parameter{
				{Name: "TranscriptsPathDestination", Type: "String", Value: `\\10.20.0.5\transcripts`}, {Name: "Credential", Type: "PSCredential", Value: "u", Secret: "env:SHARE_PASSWORD"},
			}}
		}, "bad-call", 0},
		{"a fresh start after a rerun failed", func(w *world, j *Job) {
			failedLast(w)
			j.Rotate.Fresh, w.others = "support said so", append(w.others, failedTwice)
		}, "completed", 1},
		{"a rotation ended since the plan was made, and nobody knows when it began", func(w *world, j *Job) {
			w.last.Started, w.last.Ended, j.PlannedAt = time.Time{}, time.Now().Add(-time.Hour), time.Now().Add(-2*time.Hour)
		}, "another-ran", 0},
		{"a rotation began in the second in which the plan was made", func(w *world, j *Job) {
			j.PlannedAt, w.last.Started = time.Now().Add(-time.Hour), time.Now().Add(-time.Hour+time.Second/2)
		}, "another-ran", 0},
		{"a rotation failed in the second in which its rerun was planned", func(w *world, j *Job) {
			failedLast(w)
			rerun(j)
			j.PlannedAt, w.last.Started = time.Now().Add(-time.Hour), time.Now().Add(-time.Hour+time.Second/2)
		}, "completed", 1},
		{"the endpoints cannot be read", func(w *world, _ *Job) { w.serveErr = errors.New("no network") }, "endpoints-unseen", 0},
		{"the start is not taken", func(w *world, _ *Job) {
			w.onStart = func(context.Context, pep.Sink) (pep.Reply, error) {
				return pep.Reply{}, &wsman.ConnectError{Host: "a", Err: errors.New("refused")}
			}
		}, "not-taken", 0},
		{"told to leave while the stamp is checked", func(w *world, _ *Job) { w.leaveAfter(0) }, "cancelled", 0},
		{"told to leave while the stamp rotates", func(w *world, _ *Job) { w.leaveAfter(10 * time.Minute) }, "detached", 1},
		{"told to leave before the stamp of a started plan was reached", func(w *world, _ *Job) {
			w.entries = slices.Clone(startedBefore)
			w.dialErr = func(int) error { return errDown }
			w.leaveAfter(10 * time.Minute)
		}, "left-unseen", 0},
		{"told to leave before the start was answered", func(w *world, _ *Job) {
			w.onStart = func(ctx context.Context, _ pep.Sink) (pep.Reply, error) {
				w.starts++
				<-ctx.Done()
				return pep.Reply{Sent: true}, errLost
			}
			w.leaveAfter(10 * time.Minute)
		}, "left-unseen", 1},
		{"told to leave while nothing answers after the connection was lost", func(w *world, _ *Job) {
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
			w.dialErr = func(n int) error {
				if n > 1 {
					return errDown
				}
				return nil
			}
			w.leaveAfter(10 * time.Minute)
		}, "detached", 1},
		{"told to leave when nothing runs any more and nothing is proved yet", func(w *world, _ *Job) {
			w.last, w.nameless = pep.Status{Known: true, State: pep.Completed}, true
			w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
				w.serveErr = errors.New("no network")
				return w.lose(time.Minute, time.Minute, pep.Completed)(ctx, sink)
			}
			w.leaveAfter(10 * time.Minute)
		}, "left-unseen", 1},
		{"told to leave while somebody else's rotation runs", func(w *world, _ *Job) {
			w.begin(time.Hour, pep.Completed)
			w.starts = 0
			w.leaveAfter(10 * time.Minute)
		}, "detached", 0},
	}
	table := outcomeTable(t)
	covered := map[string]bool{}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				j := w.job()
				if row.setup != nil {
					row.setup(w, &j)
				}
				logins := w.dials
				ctx := t.Context()
				if w.leave != nil {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, *w.leave)
					defer cancel()
				}
				out, err := Run(ctx, w.deps(), j)
				covered[out.Ending] = true // by what came out, not by what was expected
				check(t, out.Ending == row.ending, "ending %q (%v, findings %+v), want %q", out.Ending, err, out.Findings, row.ending)
				check(t, w.starts == row.starts, "%d starts, want %d", w.starts, row.starts)
				check(t, out.Next != "", "no next step")
				check(t, (out.Result == Refused) == slices.ContainsFunc(out.Findings, isFail) || out.Ending == "last-failed",
					"result %s with findings %+v", out.Result, out.Findings)
				check(t, out.Result == Environment || row.starts == 0 || out.Started, "a start that the outcome does not admit")
				check(t, w.infos <= 1 || w.infoErr != nil, "the stamp was asked %d times who it is", w.infos) // it runs an action plan for each
				for _, f := range out.Findings {
					check(t, f.ID != "" && f.Name != "" && f.Result != "" && (f.Result == validate.OK || f.Found != "") && (!isFail(f) || f.Wanted != "" && f.Hint != ""),
						"a finding lacks words: %+v", f)
				}
				if slices.Contains([]string{"last-failed", "not-ours", "third-attempt"}, row.ending) {
					check(t, len(out.Errors) == 1 && out.Errors[0].Message == "no pfx", "what failed is not said: %+v", out.Errors)
				}
				if row.ending == "login-refused" || row.ending == "cut-off" {
					check(t, w.dials-logins <= 2 && w.statuses <= 3, "%d logins and %d questions, some after a refusal", w.dials, w.statuses)
				}
			})
		})
	}
	for _, line := range table {
		check(t, covered[line.id], "docs/operations.md has a row for %q, and no case ends so", line.id)
	}
	for i, e := range Endings() {
		check(t, e.Means != "" && e.Next != "" && e.Result != "" && e.Seen != "" && e.Did != "", "ending %q lacks words", e.ID)
		want := strings.Join([]string{"`" + e.ID + "`", string(e.Result), e.Seen, e.Means, e.Did, e.Next}, " | ")
		if i >= len(table) || table[i].words != want {
			t.Errorf("row %d of the table in docs/operations.md should be:\n| %s |", i+1, want)
		}
	}
	check(t, len(table) == len(Endings()), "the table has %d rows, and there are %d endings", len(table), len(Endings()))
}

// line is one row of the outcome table, without its exit code.
type line struct{ id, words string }

// outcomeTable reads the table of the page for the night shift.
func outcomeTable(t *testing.T) []line {
	t.Helper()
	b, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n## How a rotation ends\n")
	if !ok {
		t.Fatal("docs/operations.md has no outcome table")
	}
	page, _, _ = strings.Cut(page, "\n## ")
	var out []line
	for l := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(l), "|"), " | ")
		if len(cells) == 7 && strings.HasPrefix(strings.TrimSpace(cells[0]), "`") {
			words := strings.TrimSpace(strings.Join(cells[:6], " | "))
			out = append(out, line{strings.Trim(strings.TrimSpace(cells[0]), "`"), words})
		}
	}
	return out
}

func rerun(j *Job) {
	j.Rotate.Rerun = true
	j.Rotate.Start.Parameters = []plan.Parameter{{Name: "ReRun", Type: "Switch"}}
}

// TestCancelling leaves at every point of a run, and holds that this starts nothing more and stops nothing.
func TestCancelling(t *testing.T) {
	for minute := range 130 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			if minute%2 == 1 {
				w.onStart = w.lose(20*time.Minute, time.Hour, pep.Completed)
			}
			d := w.deps()
			d.ADFS = func(ctx context.Context) (Evidence, error) {
				time.Sleep(10 * time.Minute)
				return Absent, nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(minute)*time.Minute)
			defer cancel()
			out, _ := Run(ctx, d, w.job())
			switch {
			case minute < 10:
				check(t, out.Ending == "cancelled" && w.starts == 0 && !out.Started, "minute %d: %q, %d starts", minute, out.Ending, w.starts)
			case minute > 10 && minute < 70:
				check(t, out.Ending == "detached" && w.starts == 1 && out.Started, "minute %d: %q, %d starts", minute, out.Ending, w.starts)
			case minute > 72:
				check(t, out.Ending == "completed", "minute %d: %q", minute, out.Ending)
			}
			if !out.Started {
				return
			}
			// The stamp went on, and a second run from another machine finds out how.
			w.run = "run-2"
			again, err := Run(t.Context(), w.deps(), w.job())
			check(t, (again.Result == Success || again.Result == Already) && w.starts == 1, "minute %d: then %q (%v), %d starts", minute, again.Ending, err, w.starts)
		})
	}
}

// TestKilled kills the process at every point where something is written or sent. Whatever happens then, a second and a
// third run make at most one start altogether, and exactly one where the first could not have started.
func TestKilled(t *testing.T) {
	points := []string{
		"guard", "status 1", "status 2", "before last-action before", "after last-action before", "before start starting",
		"after start starting", "started", "before start taken", "after start taken", "status 3", "before end success", "after end success",
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				killed := false
				w.kill = func(at string) bool {
					if at == point && !killed {
						killed = true
						return true
					}
					return false
				}
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					_, _ = Run(t.Context(), w.deps(), w.job())
				}()
				<-gone
				check(t, killed, "nothing happens at %q", point)
				reached := w.starts
				var out Outcome
				for n := range 2 {
					w.run = fmt.Sprint("run-", n+2)
					out, _ = Run(t.Context(), w.deps(), w.job())
				}
				want := 1
				if point == "after start starting" {
					want = 0 // journaled and never sent: nobody can know, so nothing is started again
					check(t, out.Ending == "no-proof", "got %q", out.Ending)
				} else {
					check(t, out.Result == Success || out.Result == Already, "got %q", out.Ending)
				}
				check(t, w.starts == want, "%d starts (%d before the kill), want %d", w.starts, reached, want)
			})
		})
	}
}

// TestNotTakenIsTakenBack: a start that its own run saw fail before the first byte may be made by the next run.
func TestNotTakenIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onStart = func(context.Context, pep.Sink) (pep.Reply, error) { return pep.Reply{}, errDown }
		if out, err := Run(t.Context(), w.deps(), w.job()); out.Result != Environment || !errors.Is(err, errDown) || out.Started {
			t.Fatalf("got %+v, %v", out, err)
		}
		w.onStart = w.succeed
		out, err := Run(t.Context(), w.deps(), w.job())
		check(t, out.Ending == "completed" && w.starts == 1, "got %q (%v), %d starts", out.Ending, err, w.starts)
	})
	foreign := append(slices.Clone(startedBefore), Entry{Run: "another", Step: stepStart, State: stateNotTaken})
	check(t, Started(foreign), "another run's word took a start back")
}

// startedAfter is the journal of another plan, started later on from the same last action.
func startedAfter(entries []Entry) []Entry {
	out := slices.Clone(entries)
	for i := range out {
		out[i].Time = time.Date(1999, 1, 2, 0, 0, 0, 0, time.UTC)
	}
	return out
}

// TestSuccessIsSaidOnce: what another plan's rotation did later is no word about this one, in its journal least of all.
func TestSuccessIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		out, _ := Run(t.Context(), w.deps(), w.job())
		check(t, out.Ending == "completed", "got %q", out.Ending)
		before := len(w.entries)
		out, _ = Attach(t.Context(), w.deps(), w.job())
		check(t, out.Ending == "already-done" && !slices.ContainsFunc(out.Findings, func(f validate.Finding) bool { return f.Result != validate.OK }), "got %q, %+v", out.Ending, out.Findings)
		w.last.State, w.last.Word, w.last.InstanceID, w.last.Started = pep.Failed, "Failed", "theirs", time.Now()
		w.last.Steps = []pep.Step{{Name: "Rotate", Status: "Error", Message: "their secret store is full"}}
		w.served[0].Leaves = []string{"ff"}
		for _, again := range []func(context.Context, Deps, Job) (Outcome, error){Run, Attach} {
			out, err := again(t.Context(), w.deps(), w.job())
			check(t, err == nil && out.Ending == "already-done" && out.Result == Already && len(out.Errors) == 0, "got %q (%v), errors %v", out.Ending, err, out.Errors)
			warns := slices.ContainsFunc(out.Findings, func(f validate.Finding) bool {
				return f.ID == "endpoint-state" && f.Result == validate.Warning && slices.Equal(f.Folders, []string{"acs-blob"}) && f.Hint != ""
			})
			check(t, warns, "no warning of an endpoint that was rotated since: %+v", out.Findings)
		}
		check(t, len(w.entries) == before, "the journal gained %v", w.entries[before:])
	})
}

// TestAttachProvesNoUnstartedPlan: planned leaves that were there when the plan was made prove no rotation.
func TestAttachProvesNoUnstartedPlan(t *testing.T) {
	for _, row := range []struct {
		name   string
		setup  func(*Job)
		ending string
	}{
		{"they were other ones", func(*Job) {}, "proved-by-leaves"},
		{"one was another", func(j *Job) { j.Verify.Endpoints[0].Previous = "ba" }, "proved-by-leaves"},
		{"none was another", func(j *Job) { j.Verify.Endpoints[0].Previous, j.Verify.Endpoints[1].Previous = "BA", "bb" }, "already-rotated"},
		{"none was seen", func(j *Job) { j.Verify.Endpoints[0].Previous, j.Verify.Endpoints[1].Previous = "", "" }, "already-rotated"},
		{"none was another for a rerun", func(j *Job) {
			rerun(j)
			j.Verify.Endpoints[0].Previous, j.Verify.Endpoints[1].Previous = "ba", "bb"
		}, "no-proof"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.rotateLeaves()
			j := w.job()
			row.setup(&j)
			out, _ := Attach(t.Context(), w.deps(), j)
			check(t, w.starts == 0 && out.Ending == row.ending, "%s: got %q, %d starts", row.name, out.Ending, w.starts)
			check(t, out.Took < time.Minute && !slices.ContainsFunc(out.Findings, isFail), "%s: after %v, with findings %+v", row.name, out.Took, out.Findings)
		})
	}
}

// TestContradictionIsRemembered: a rerun journals what it would have been called as a first rotation, and a second look at it does not
// end well.
func TestContradictionIsRemembered(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			j := w.job()
			if again {
				w.last.State = pep.Failed
				rerun(&j)
			}
			j.Verify, w.onStart = nil, w.complain
			first, _ := Run(t.Context(), w.deps(), j)
			check(t, first.Result == Failed || first.Result == FailedAgain, "got %q", first.Ending)
			check(t, Contradicted(w.Entries()), "the journal does not show it: %+v", w.Entries())
			w.run = "run-2"
			second, _ := Attach(t.Context(), w.deps(), j)
			check(t, second.Ending == first.Ending && w.starts == 1, "then %q, first %q", second.Ending, first.Ending)
			w.entries = append(w.entries, Entry{Run: "run-3", Step: stepEnd, State: string(Success)})
			check(t, !Contradicted(w.Entries()), "a success does not end it")
		})
	}
}

// TestAttachWaitsForEndpoints: without a journal, an action that began since the plan was made may be the plan's, and endpoints lag
// behind it. One from before is not.
func TestAttachWaitsForEndpoints(t *testing.T) {
	for name, row := range map[string]struct {
		began  time.Duration // before now; the plan is an hour old
		lag    time.Duration
		ending string
		took   time.Duration
	}{
		"they follow":           {time.Minute, 10 * time.Minute, "proved-by-leaves", 10 * time.Minute},
		"they never do":         {time.Minute, time.Hour, "another-ran", 15 * time.Minute},
		"the action is too old": {2 * time.Hour, 10 * time.Minute, "another-ran", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				j := w.job()
				j.PlannedAt = time.Now().Add(-time.Hour)
				w.last.InstanceID, w.last.Started = "from elsewhere", time.Now().Add(-row.began)
				w.lag(row.lag)
				out, _ := Attach(t.Context(), w.deps(), j)
				check(t, w.starts == 0 && out.Ending == row.ending && out.Took == row.took, "got %q after %v, want %q after %v", out.Ending, out.Took, row.ending, row.took)
			})
		})
	}
}

// TestAttachStartsNothing, and admits no start of a plan whose journal shows none.
func TestAttachStartsNothing(t *testing.T) {
	for ending, setup := range map[string]func(*world){
		"another-ran":   func(*world) {},
		"no-proof":      func(w *world) { w.last = pep.Status{} }, // the stamp never rotated
		"login-refused": func(w *world) { w.dialErr = unauthorized(1) },
		"unreachable":   func(w *world) { w.dialErr = func(int) error { return errDown } },
		"cancelled": func(w *world) {
			w.dialErr = func(int) error { return errDown }
			w.leaveAfter(10 * time.Minute)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			setup(w)
			ctx := t.Context()
			if w.leave != nil {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, *w.leave)
				defer cancel()
			}
			out, err := Attach(ctx, w.deps(), w.job())
			check(t, w.starts == 0 && out.Ending == ending && !out.Started, "got %q, %d starts, want %q", out.Ending, w.starts, ending)
			check(t, (err != nil) == (w.dialErr != nil), "%s: the cause is %v", ending, err)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.dialErr = func(n int) error {
			check(t, n == 1, "login %d after one that must be the last", n)
			return fmt.Errorf("log in: %w", wsman.ErrUnanswered)
		}
		out, _ := Attach(t.Context(), w.deps(), w.job())
		check(t, out.Ending == "unreachable", "logins without an answer: got %q", out.Ending)
	})
}

// TestPatience: a stamp gets fifteen polls to show something, counted from when nothing runs any more, and no more.
func TestPatience(t *testing.T) {
	started := func(w *world, _ *Job) { w.entries = slices.Clone(startedBefore) }
	runs := func(w *world, _ *Job) {
		w.last, w.nameless = pep.Status{Known: true, State: pep.Completed}, true
		w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
	}
	again := func(w *world, j *Job) { // of a rotation whose leaves were there before
		rerun(j)
		w.last = pep.Status{Known: true, State: pep.Completed}
		w.entries = []Entry{
			{Run: "run-0", Step: stepLastAction, State: stateBefore, Facts: w.last.Facts()},
			{Run: "run-0", Step: stepStart, State: stateStarting, Facts: map[string]string{factPlanned: "2", factTotal: "2"}},
		}
		w.rotateLeaves()
	}
	for name, row := range map[string]struct {
		setup  func(*world, *Job)
		lag    time.Duration // of the endpoints; 0: theirs are not touched
		ending string
		took   time.Duration
	}{
		"nothing is seen":                   {started, 0, "no-proof", 15 * time.Minute},
		"endpoints lag behind":              {started, 14 * time.Minute, "proved-by-leaves", 14 * time.Minute},
		"it ends, and endpoints lag behind": {runs, 73 * time.Minute, "proved-by-leaves", 73 * time.Minute},
		"it ends, and nothing is seen":      {runs, 10 * time.Hour, "no-proof", 74 * time.Minute},
		"leaves that were there before":     {again, 0, "no-proof", 15 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				j := w.job()
				row.setup(w, &j)
				d, begun, before := w.deps(), time.Now(), w.served
				if row.lag > 0 {
					observe := d.Observe
					d.Observe = func(ctx context.Context) ([]Served, error) {
						if w.served = before; time.Since(begun) >= row.lag {
							w.rotateLeaves()
						}
						return observe(ctx)
					}
				}
				out, _ := Run(t.Context(), d, j)
				check(t, out.Ending == row.ending && out.Took == row.took, "got %q after %v, want %q after %v", out.Ending, out.Took, row.ending, row.took)
			})
		})
	}
}

// TestAnotherLogin: a session that failed is left for a new one, and its command goes on; what a cmdlet says is none of its fault.
func TestAnotherLogin(t *testing.T) {
	for name, row := range map[string]struct {
		err    error
		logins int
	}{
		"the connection is lost": {errDown, 2},
		"the cmdlet fails":       {&pep.CommandError{Cmdlet: "Get-ActionStatus"}, 1},
	} {
		for _, question := range []string{"the action", "who it is"} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
				w.last.InstanceID, w.last.Started = "new", time.Now()
				w.statusErr = func(n int) error {
					if w.infoErr = nil; n > 1 {
						return nil
					}
					if question == "the action" {
						return row.err
					}
					w.infoErr = row.err
					return nil
				}
				out, _ := Run(t.Context(), w.deps(), w.job())
				check(t, out.Ending == "completed" && w.dials == row.logins && w.detaches == row.logins-1, "%s, asked for %s: %q, %d logins, %d left", name, question, out.Ending, w.dials, w.detaches)
			})
		}
	}
}

// TestJudge: one sample is enough to doubt an endpoint.
func TestJudge(t *testing.T) {
	want := plan.VerifyEndpoint{Endpoint: "portal", Previous: "aa", Planned: "bb"}
	for _, row := range []struct {
		leaves []string
		failed string
		leaf   Leaf
	}{
		{[]string{"bb"}, "", Planned},
		{[]string{"BB"}, "", Planned},
		{[]string{"bb"}, "timeout", Mixed},
		{[]string{"bb", "aa"}, "", Mixed},
		{[]string{"aa", "bb"}, "timeout", Mixed},
		{[]string{"aa"}, "", Previous},
		{[]string{"aa"}, "timeout", Previous},
		{[]string{"bb", "ff"}, "", Foreign},
		{[]string{"ff", "aa"}, "", Foreign},
		{nil, "timeout", Unreachable},
		{nil, "", Unreachable},
	} {
		got := judge(Served{Endpoint: "portal", Leaves: row.leaves, Failed: row.failed}, want)
		check(t, got == row.leaf, "%v, failed %q: %s, want %s", row.leaves, row.failed, got, row.leaf)
	}
}

// TestDoubtsAreWarnings: what cannot be known, and what the plan accepts, is said and stops nothing.
func TestDoubtsAreWarnings(t *testing.T) {
	for id, row := range map[string]struct {
		setup func(*world, *Job)
		found string
	}{
		"update-state":  {func(w *world, _ *Job) { w.update = pep.Update{} }, "does not tell"},
		"cmdlet-syntax": {func(w *world, _ *Job) { w.syntax = pep.Syntax{} }, "does not describe Start-SecretRotation"},
		"endpoint-state": {func(w *world, j *Job) {
			w.served, j.Verify.Endpoints[1].Previous = w.served[:1], ""
		}, "public-portal cannot be read, as when the plan was made: not observed"},
		"stamp-health": {func(w *world, j *Job) {
			w.health.Tests[0].Result = pep.TestFail
			j.Rotate.AcceptHealth = []plan.Assertion{{What: "AzsInfraCapacity", Reason: "known"}}
		}, `"AzsInfraCapacity" is FAIL`},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			j := w.job()
			row.setup(w, &j)
			out, _ := Run(t.Context(), w.deps(), j)
			var said []validate.Finding
			for _, f := range out.Findings {
				if f.Result != validate.OK {
					said = append(said, f)
				}
			}
			check(t, out.Ending == "completed" && len(said) == 1 && said[0].ID == id && said[0].Result == validate.Warning && strings.Contains(said[0].Found, row.found),
				"%s: %q, %+v", id, out.Ending, said)
			check(t, id != "stamp-health" || said[0].Waived == "known", "accepted without its reason: %+v", said)
		})
	}
}

// TestReadPast: a journal that lacks a part makes nobody surer.
func TestReadPast(t *testing.T) {
	before, start := startedBefore[0], startedBefore[1]
	counted := func(facts map[string]string) Entry {
		return Entry{Run: "run-0", Step: stepStart, State: stateStarting, Facts: facts}
	}
	taken := Entry{Run: "run-0", Step: stepStart, State: stateTaken}
	for name, row := range map[string]struct {
		entries                  []Entry
		started, readable, taken bool
	}{
		"nothing":                        {nil, false, false, false},
		"the last action alone":          {[]Entry{before}, false, false, false},
		"an end alone":                   {[]Entry{{Run: "run-0", Step: stepEnd, State: string(Unknown), Facts: map[string]string{"ending": "no-proof"}}}, false, false, false},
		"a start":                        {[]Entry{before, start}, true, true, false},
		"a start that was answered":      {[]Entry{before, start, taken}, true, true, true},
		"no last action":                 {[]Entry{start}, true, false, false},
		"a last action without facts":    {[]Entry{{Run: "run-0", Step: stepLastAction, State: stateBefore}, start}, true, false, false},
		"another run's last action":      {[]Entry{{Run: "x", Step: stepLastAction, State: stateBefore, Facts: before.Facts}, start}, true, false, false},
		"no count of planned leaves":     {[]Entry{before, counted(map[string]string{factTotal: "2"})}, true, false, false},
		"no count of all":                {[]Entry{before, counted(map[string]string{factPlanned: "2"})}, true, false, false},
		"answered, as another's was too": {[]Entry{before, start, taken, {Run: "x", Step: stepStart, State: stateStarting}, {Run: "x", Step: stepStart, State: stateTaken}}, true, true, true},
		"another's was answered":         {[]Entry{before, start, {Run: "x", Step: stepStart, State: stateStarting}, {Run: "x", Step: stepStart, State: stateTaken}}, true, true, false},
	} {
		p := readPast(row.entries)
		check(t, p.failed == "", "%s: failed as %q", name, p.failed)
		check(t, p.started == row.started && Started(row.entries) == row.started && p.readable == row.readable && p.taken == row.taken, "%s: %+v", name, p)
	}
}

// TestLatest: what the stamp had done before each start orders them, and clocks only where that tells nothing.
func TestLatest(t *testing.T) {
	second := slices.Clone(startedBefore)
	second[0].Facts = pep.Status{Known: true, State: pep.Completed, InstanceID: "new", Started: time.Date(1999, 1, 2, 0, 0, 0, 0, time.UTC)}.Facts()
	dated := startedAfter(startedBefore)
	for name, row := range map[string]struct {
		plans [][]Entry
		want  int
	}{
		"none":                            {nil, -1},
		"none was started":                {[][]Entry{{}, startedBefore[:1]}, -1},
		"one was started":                 {[][]Entry{startedBefore, {}}, 0},
		"nothing tells them apart":        {[][]Entry{startedBefore, startedBefore}, 1},
		"in their order":                  {[][]Entry{startedBefore, second}, 1},
		"against their order":             {[][]Entry{second, startedBefore}, 0},
		"against their clocks":            {[][]Entry{second, dated}, 0},
		"by their clocks":                 {[][]Entry{dated, startedBefore}, 0},
		"one that cannot be read, later":  {[][]Entry{startedBefore, dated[1:]}, 1},
		"one that cannot be read, before": {[][]Entry{dated, startedBefore[1:]}, 0},
	} {
		got := Latest(row.plans)
		check(t, got == row.want, "%s: %d, want %d", name, got, row.want)
	}
}

// TestHealthChange names what differs, and what was not tested before and does not pass.
func TestHealthChange(t *testing.T) {
	report := func(pairs ...string) []Health {
		var h Health
		for i := 0; i < len(pairs); i += 2 {
			h.Report.Tests = append(h.Report.Tests, pep.HealthTest{Name: pairs[i], Result: pairs[i+1]})
		}
		return []Health{h}
	}
	got := healthChange(report("a", pep.TestPass, "b", pep.TestPass, "gone", pep.TestFail, "better", pep.TestFail),
		append(report("a", pep.TestPass, "b", pep.TestPass, "new", pep.TestPass, "bad", pep.TestFail), report("b", pep.TestFail, "better", pep.TestPass)...))
	want := []string{`"b": PASS before, FAIL after`, `"bad": not tested before, FAIL after`, `"better": FAIL before, PASS after`}
	check(t, slices.Equal(got, want), "got %q, want %q", got, want)
}

func TestCheckReportsEverythingAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.update.State, w.adfs, w.syntax.Parameters = pep.Running, Present, nil
		w.served[0].Leaves, w.health.Tests[0].Result = []string{"ff"}, pep.TestFail
		d := w.deps()
		d.DialEach = func(context.Context) []pep.HostCheck { return []pep.HostCheck{{Host: "a"}, {Host: "b", Err: errDown}} }
		d.MayStart = func(time.Time) error { return errors.New("the next window begins on Saturday") }
		out, err := Check(t.Context(), d, w.job())
		if err != nil {
			t.Fatal(err)
		}
		var failed []string
		for _, f := range out.Findings {
			if isFail(f) {
				failed = append(failed, f.ID)
				check(t, f.Found != "" && f.Wanted != "" && f.Hint != "", "finding %q lacks words: %+v", f.ID, f)
			}
		}
		check(t, slices.ContainsFunc(out.Findings, func(f validate.Finding) bool {
			return f.ID == "window" && f.Result == validate.Warning && strings.Contains(f.Found, "on Saturday")
		}), "a look days ahead: %+v", out.Findings)
		want := "endpoint-state identity-system update-state cmdlet-syntax stamp-health"
		check(t, strings.Join(failed, " ") == want, "failing %v, want %s", failed, want)
		check(t, w.starts == 0 && len(w.entries) == 0, "%d starts, journal %+v", w.starts, w.entries)

		w = newWorld()
		out, err = Check(t.Context(), w.deps(), w.job())
		check(t, err == nil && out.Ending == "" && !slices.ContainsFunc(out.Findings, isFail), "a healthy stamp: %+v, %v", out, err)
	})
}

// TestCheckGoesOn: what ends a run early ends no look, as long as the login answers.
func TestCheckGoesOn(t *testing.T) {
	for name, row := range map[string]struct {
		setup  func(*world)
		ending string
		asks   bool
	}{
		"the last rotation failed":         {func(w *world) { w.last.State = pep.Failed }, "last-failed", true},
		"everything is planned already":    {func(w *world) { w.rotateLeaves() }, "already-rotated", true},
		"the endpoints cannot be read":     {func(w *world) { w.serveErr = errors.New("no network") }, "endpoints-unseen", true},
		"the stamp says nothing":           {func(w *world) { w.statusErr = func(int) error { return pep.ErrNoAnswer } }, "unreachable", true},
		"the question fails on the stamp":  {func(w *world) { w.statusErr = func(int) error { return &pep.CommandError{} } }, "unreachable", true},
		"the connection is lost":           {func(w *world) { w.statusErr = func(int) error { return errDown } }, "unreachable", false},
		"the stamp rotates":                {func(w *world) { w.last.State = pep.Running }, "still-running", false},
		"it is another stamp":              {func(w *world) { w.info.RegionName = "west" }, "wrong-stamp", false},
		"the start could be made just now": {func(*world) {}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				row.setup(w)
				out, _ := Check(t.Context(), w.deps(), w.job())
				check(t, out.Ending == row.ending, "got %q, want %q", out.Ending, row.ending)
				for _, id := range []string{"update-state", "stamp-health"} {
					n := 0
					for _, f := range out.Findings {
						if f.ID == id {
							n++
						}
					}
					check(t, n == map[bool]int{true: 1, false: 0}[row.asks], "%d findings %s", n, id)
				}
				check(t, w.starts == 0 && len(w.entries) == 0, "%d starts, journal %+v", w.starts, w.entries)
			})
		})
	}
}

// TestCheckLearns: a look answers for this stamp what no document says, says what it cannot tell, and warns of the root.
func TestCheckLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.info.Names = []string{"CloudID", "IdentitySystem", "RegionName"}
		w.info.RootCACertificates = []pep.RootCA{{NotAfter: time.Now().AddDate(0, 0, -1)}, {NotAfter: time.Now().AddDate(0, 0, 60)}}
		w.last.Members = []string{"CurrentStatus", "ProgressAsXml"}
		w.last.Steps = []pep.Step{{Status: "Success", Steps: []pep.Step{{Status: "Skipped"}}}}
		j := w.job()
		j.Rotate.RootWarningDays, j.Rotate.RootCriticalDays = 90, 30
		out, err := Check(t.Context(), w.deps(), j)
		check(t, err == nil && out.Ending == "" && !slices.ContainsFunc(out.Findings, isFail), "%+v, %v", out.Findings, err)
		facts := fmt.Sprint(out.Facts)
		for _, want := range []string{"1.2301.2.58", "CloudID, IdentitySystem, RegionName", "{properties that may name the identity system IdentitySystem}", "CurrentStatus, ProgressAsXml", "Success, Skipped", "took 1h0m0s"} {
			check(t, strings.Contains(facts, want), "no fact says %q: %s", want, facts)
		}
		check(t, len(out.Unknown) >= 7, "unknown: %q", out.Unknown)
		root := func(out Outcome) validate.Finding {
			return out.Findings[slices.IndexFunc(out.Findings, func(f validate.Finding) bool { return f.ID == "internal-root" })]
		}
		f := root(out)
		check(t, f.Result == validate.Warning && strings.Contains(f.Found, "in 60 days") && !strings.Contains(f.Found, "critical") && strings.Contains(f.Hint, "2108"), "%+v", f)

		w.info.RootCACertificates[1].NotAfter = time.Now().AddDate(0, 0, 30)
		j.Rotate.RootRenewed = true
		out, _ = Check(t.Context(), w.deps(), j)
		f = root(out)
		check(t, strings.Contains(f.Found, "critical") && strings.Contains(f.Hint, "--kind internal"), "%+v", f)
		w.info.RootCACertificates[1].NotAfter = time.Now().AddDate(0, 0, 91)
		out, _ = Check(t.Context(), w.deps(), j)
		check(t, root(out).Result == validate.OK, "%+v", root(out))

		// Another cmdlet that a run needs has another shape; no rotation is known.
		w.takes["Get-ActionStatus"], w.last, w.info.RootCACertificates = nil, pep.Status{}, nil
		out, _ = Check(t.Context(), w.deps(), j)
		check(t, slices.ContainsFunc(out.Findings, func(f validate.Finding) bool {
			return isFail(f) && strings.Contains(f.Found, "Get-ActionStatus does not take -FunctionName")
		}), "%+v", out.Findings)
		check(t, strings.Contains(fmt.Sprint(out.Unknown), "members of Get-ActionStatus") && strings.Contains(fmt.Sprint(out.Unknown), "internal root"), "%q", out.Unknown)
		check(t, w.starts == 0 && len(w.entries) == 0, "%d starts, journal %+v", w.starts, w.entries)
	})
}

// TestCheckComparesSyntax looks ahead to a rerun, says which BMC cmdlet there is, and where endpoint and documents differ. None
// of it keeps a rotation from being started, and each question is put once.
func TestCheckComparesSyntax(t *testing.T) {
	call := func(cmdlet string, names ...string) plan.Call {
		c := plan.Call{Cmdlet: cmdlet}
		for _, name := range names {
			c.Parameters = append(c.Parameters, plan.Parameter{Name: name, Type: "Switch"})
		}
		return c
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes["Test-AzureStack"] = []string{"group", "Shiny", "AsJob"}
		w.takes["Set-BmcCredential"] = []string{"BmcPassword"}
		w.takes["Get-Weather"] = nil
		rerun := call("Start-SecretRotation", "ReRun")
		j := w.job()
		j.Rotate.Health = append(j.Rotate.Health, j.Rotate.Health[0])
		j.Documented = Documented{Rerun: &rerun, BMC: []string{"Set-BmcCredential", "Set-BmcPassword"}, Cmdlets: []plan.Call{
			call("Test-AzureStack", "Group", "Include", "Debug"), call("Start-SecretRotation", "PfxFilesPath", "PathAccessCredential", "CertificatePassword", "Internal", "ReRun"),
			call("Set-BmcCredential", "BmcPassword"), call("Set-BmcPassword", "BmcPassword"), call("Get-ActionStatus", "FunctionName"),
		}}
		look := func() Outcome {
			t.Helper()
			w.described = nil
			out, err := Check(t.Context(), w.deps(), j)
			check(t, err == nil && out.Ending == "" && !slices.ContainsFunc(out.Findings, isFail), "%q, %+v, %v", out.Ending, out.Findings, err)
			slices.Sort(w.described)
			check(t, len(w.described) == len(slices.Compact(slices.Clone(w.described))), "asked twice: %v", w.described)
			return out
		}
		holds := func(list any, wants ...string) {
			t.Helper()
			for _, want := range wants {
				check(t, strings.Contains(fmt.Sprint(list), want), "nothing says %q: %v", want, list)
			}
		}
		out := look()
		holds(out.Facts, "{Test-AzureStack lacks -Include of", "{Test-AzureStack also takes -Shiny,", "the endpoint has Set-BmcCredential, which takes -BmcPassword",
			"lacks Start-SecretRotation, Set-BmcPassword; it has 2 that", fmt.Sprintf("%d cmdlets, one question each", len(w.described)))
		check(t, !strings.Contains(fmt.Sprint(out.Facts), "{Get-ActionStatus lacks") && !strings.Contains(fmt.Sprint(out.Facts), "{Get-ActionStatus also"), "a cmdlet that is as documented: %v", out.Facts)
		check(t, !slices.Contains(w.described, "Set-BmcPassword"), "asked for the other cmdlet: %v", w.described)

		w.without, w.syntax.Parameters = []string{"Set-BmcCredential"}, []string{"PfxFilesPath", "PathAccessCredential", "CertificatePassword"}
		out = look()
		holds(out.Facts, "has Set-BmcPassword, and not Set-BmcCredential", "{Start-SecretRotation lacks -Internal, -ReRun of")
		holds(out.Findings, "Start-SecretRotation does not take -ReRun, which a rerun of this rotation needs")
		w.without = append(w.without, "Set-BmcPassword")
		holds(look().Facts, "describes none of Set-BmcCredential, Set-BmcPassword")
		w.commandsErr = pep.ErrNoAnswer
		holds(look().Unknown, "which cmdlets there are: ")
		w.commandsErr = errDown
		out, _ = Check(t.Context(), w.deps(), j)
		check(t, out.Ending == "unreachable", "a lost connection: got %q", out.Ending)
	})
}

// TestCheckComparesHosts: what one host says of the start and another does not is seen in the logins that are made anyway.
func TestCheckComparesHosts(t *testing.T) {
	full := pep.Syntax{Known: true, Parameters: []string{"PfxFilesPath", "PathAccessCredential", "CertificatePassword", "ReRun"}}
	turned := pep.Syntax{Known: true, Parameters: []string{"ReRun", "pfxfilespath", "PathAccessCredential", "CertificatePassword"}}
	more := pep.Syntax{Known: true, Parameters: append(slices.Clone(full.Parameters), "Shiny")}
	less := pep.Syntax{Known: true, Parameters: full.Parameters[:3]}
	for name, row := range map[string]struct {
		hosts                   []pep.HostCheck
		warned, facts, unknowns string
	}{
		"all the same":             {[]pep.HostCheck{{Host: "a", Syntax: full}, {Host: "b", Err: errDown}, {Host: "c", Syntax: turned}}, "", "", ""},
		"one has more":             {[]pep.HostCheck{{Host: "a", Syntax: full}, {Host: "b", Syntax: more}}, "", "-Shiny", ""},
		"one cannot rerun":         {[]pep.HostCheck{{Host: "a", Syntax: full}, {Host: "b", Syntax: less}}, `"b": Start-SecretRotation does not take -ReRun`, "at b", ""},
		"one describes nothing":    {[]pep.HostCheck{{Host: "a", Syntax: full}, {Host: "b"}}, `"b" does not describe`, "", ""},
		"one does not answer":      {[]pep.HostCheck{{Host: "a", Syntax: full}, {Host: "b", Unasked: pep.ErrNoAnswer}}, "", "", `at "b"`},
		"only one host is reached": {[]pep.HostCheck{{Host: "a", Syntax: less}, {Host: "b", Err: errDown}}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				d, j := w.deps(), w.job()
				d.DialEach = func(context.Context) []pep.HostCheck { return row.hosts }
				j.Documented.Rerun = &plan.Call{Cmdlet: "Start-SecretRotation", Parameters: []plan.Parameter{{Name: "ReRun", Type: "Switch"}}}
				out, err := Check(t.Context(), d, j)
				check(t, err == nil && out.Ending == "" && !slices.ContainsFunc(out.Findings, isFail), "%q, %+v, %v", out.Ending, out.Findings, err)
				var warned []string
				for _, f := range out.Findings {
					if f.ID == "cmdlet-syntax" && f.Result == validate.Warning {
						warned = append(warned, f.Found)
					}
				}
				check(t, (row.warned != "") == (len(warned) == 1) && strings.Contains(fmt.Sprint(warned), row.warned), "warned %q, wanted %q", warned, row.warned)
				at := slices.DeleteFunc(slices.Clone(out.Facts), func(f Fact) bool { return !strings.Contains(f.Name, " at ") })
				check(t, (row.facts != "" || row.warned != "") == (len(at) > 0) && strings.Contains(fmt.Sprint(at), row.facts), "facts %v, wanted %q", at, row.facts)
				check(t, strings.Contains(fmt.Sprint(out.Unknown), row.unknowns), "unknown %q, wanted %q", out.Unknown, row.unknowns)
			})
		})
	}
}

func TestFailureShowsTheStampsOwnWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
			w.begin(time.Hour, pep.Failed)
			reply := say(sink, "Starting")
			if err := w.watch(ctx); err != nil {
				return reply, err
			}
			return reply, &pep.CommandError{State: "Failed", Record: pep.ErrorRecord{Message: "the share is empty", ID: "E1"}}
		}
		w.health.Tests = []pep.HealthTest{{Name: "A", Result: pep.TestPass}}
		out, _ := Run(t.Context(), w.deps(), w.job())
		var messages []string
		for _, e := range out.Errors {
			messages = append(messages, e.Message)
		}
		check(t, slices.Contains(messages, "the share is empty") && slices.Contains(messages, "no pfx"), "errors %q", messages)
		check(t, out.Result == Failed && strings.Contains(out.Next, "rerun"), "%s, next %q", out.Result, out.Next)
	})
}

// TestTranscripts: they are moved after a rotation that ended well or badly, once, and never decide about it.
func TestTranscripts(t *testing.T) {
	call := &plan.Call{Cmdlet: "Close-PrivilegedEndpoint", Parameters: []plan.Parameter{
		{Name: "TranscriptsPathDestination", Type: "String", Value: `\\10.20.0.5\transcripts`}, {Name: "Credential", Type: "PSCredential", Value: "u", Secret: "env:SHARE_PASSWORD"},
	}}
	for _, row := range []struct {
		name     string
		setup    func(*world)
		ending   string
		archives int
		warns    bool
	}{
		{"a success", func(*world) {}, "completed", 1, false},
		{"a failure", func(w *world) { w.onStart = w.lose(time.Minute, time.Hour, pep.Failed) }, "action-failed", 1, false},
		{"they cannot be moved", func(w *world) { w.archiveErr = errors.New("access denied") }, "completed", 1, true},
		{"another stamp answers the second run", func(w *world) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepStart, State: stateTaken})
			w.last.InstanceID, w.last.Started, w.info.RegionName = "new", time.Now(), "west"
		}, "wrong-stamp", 0, false},
		{"another stamp answers after a success", func(w *world) {
			w.entries = append(slices.Clone(startedBefore), Entry{Run: "run-0", Step: stepEnd, State: string(Success)})
			w.info.RegionName = "west"
		}, "wrong-stamp", 0, false},
		{"the end is not known", func(w *world) {
			w.onStart = w.lose(time.Minute, time.Hour, pep.Completed)
			w.dialErr = unauthorized(2)
		}, "cut-off", 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				j := w.job()
				j.Rotate.Transcripts = call
				row.setup(w)
				out, _ := Run(t.Context(), w.deps(), j)
				check(t, out.Ending == row.ending && w.archives == row.archives, "%q, %d times", out.Ending, w.archives)
				warned := slices.ContainsFunc(out.Findings, func(f validate.Finding) bool {
					return f.ID == "transcripts" && f.Result == validate.Warning && f.Hint != ""
				})
				check(t, warned == row.warns, "findings %+v", out.Findings)
				_, _ = Run(t.Context(), w.deps(), j)
				again := 0
				if row.warns {
					again = 1 // it is worth another try
				}
				check(t, w.archives == row.archives+again, "after a second run %d times", w.archives)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := w.job()
		j.Rotate.Transcripts = &plan.Call{Cmdlet: "Remove-CloudAdminUser"}
		out, _ := Run(t.Context(), w.deps(), j)
		check(t, out.Ending == "bad-call" && w.dials == 0, "%q, %d logins", out.Ending, w.dials)
	})
}

func TestHealthAfterwardsNeverTurnsSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
			reply, err := w.succeed(ctx, sink)
			w.health.Tests = []pep.HealthTest{{Name: "AzsInfraCapacity", Result: pep.TestFail}}
			return reply, err
		}
		out, err := Run(t.Context(), w.deps(), w.job())
		check(t, err == nil && out.Result == Success && len(out.HealthChange) == 1, "got %s, %v, change %q", out.Result, err, out.HealthChange)
	})
}

// TestLostRecordsAreShown: a rotation whose words have a hole is proved by the stamp's action, and says so.
func TestLostRecordsAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onStart = func(ctx context.Context, sink pep.Sink) (pep.Reply, error) {
			reply, err := w.succeed(ctx, sink)
			reply.Lost = 2
			return reply, err
		}
		out, err := Run(t.Context(), w.deps(), w.job())
		check(t, err == nil && out.Ending == "completed" && out.Lost == 2, "%q, %d lost, %v", out.Ending, out.Lost, err)
		check(t, slices.ContainsFunc(w.events, func(e Event) bool { return strings.HasPrefix(e.Text, "2 messages of the rotation were lost") }), "events %+v", w.events)
	})
}
