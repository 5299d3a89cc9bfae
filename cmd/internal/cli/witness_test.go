package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/journal"
	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/stage"
)

// told is a journal in which a plan went through these steps, each "step state".
func told(digest string, steps ...string) journal.Log {
	var l journal.Log
	for i, s := range steps {
		step, state, _ := strings.Cut(s, " ")
		l.Entries = append(l.Entries, journal.Entry{Seq: i + 1, Plan: digest, Run: "run-" + digest, Room: "rotate", Step: step, State: state})
	}
	return l
}

// leftUnseen is a run that was told to leave before the stamp said anything.
func leftUnseen(digest string) journal.Log {
	l := told(digest, "start starting", "end unknown")
	l.Entries[1].Facts = map[string]string{"ending": "left-unseen"}
	return l
}

// inRoom is the same told of another room.
func inRoom(room string, l journal.Log) journal.Log {
	for i := range l.Entries {
		l.Entries[i].Room = room
		if l.Entries[i].Step == "end" {
			l.Entries[i].Facts = map[string]string{"ending": "set"}
		}
	}
	return l
}

func TestUnsettled(t *testing.T) {
	for _, row := range []struct {
		name  string
		logs  []journal.Log
		found string
	}{
		{"nothing", nil, ""},
		{"a check that came to nothing", []journal.Log{told("a", "last-action before")}, ""},
		{"started and never heard of again", []journal.Log{told("a", "start starting")}, "a"},
		{"taken back", []journal.Log{told("a", "start starting", "start not-taken")}, ""},
		{"left while it ran", []journal.Log{told("a", "start starting", "start taken", "end running")}, "a"},
		{"left, then seen to its end", []journal.Log{told("a", "start starting", "end running", "end success")}, ""},
		{"proved once, not reached later", []journal.Log{told("a", "start starting", "end success", "end refused")}, ""},
		{"failed", []journal.Log{told("a", "start starting", "end failed")}, ""},
		{"another plan's, in another copy", []journal.Log{told("a", "start starting", "end success"), told("b", "start starting", "end unknown")}, "b"},
		{"never proved, and another plan's began since", []journal.Log{told("a", "start starting", "end unknown"), told("b", "start starting", "end success")}, ""},
	} {
		w := &witness{others: row.logs, digest: "a"}
		if got, found := w.unsettled(); got != row.found || found != (row.found != "") {
			t.Errorf("%s: got %q %v, want %q", row.name, got, found, row.found)
		}
	}
}

// TestUnwatched: without a share, what lies here of other plans is all that is known of them.
func TestUnwatched(t *testing.T) {
	started, seen := told("b", "start starting", "start taken"), told("b", "start starting", "end unknown")
	unseen := leftUnseen("b")
	both := told("b", "start starting", "end unknown", "end running")
	both.Entries[1].Facts = unseen.Entries[1].Facts
	for _, row := range []struct {
		name  string
		w     witness
		found string
	}{
		{"nothing", witness{alone: true}, ""},
		{"on the share", witness{others: []journal.Log{started}}, "b"},
		{"on the share, looked at", witness{others: []journal.Log{seen}}, ""},
		{"on the share, left unseen", witness{others: []journal.Log{unseen}}, "b"},
		{"on the share, left unseen and then looked at", witness{others: []journal.Log{both}}, ""},
		{"here, and there is a share that may know better", witness{local: []journal.Log{started}}, ""},
		{"here, without a share", witness{local: []journal.Log{started}, alone: true}, "b"},
		{"here, looked at", witness{local: []journal.Log{seen}, alone: true}, ""},
	} {
		row.w.digest = "a"
		if got, _ := row.w.unwatched(); got != row.found {
			t.Errorf("%s: got %q, want %q", row.name, got, row.found)
		}
	}
}

// TestAnnouncedAlone: a start that others have announced meanwhile, or that nobody can tell, is taken back.
func TestAnnouncedAlone(t *testing.T) {
	for _, row := range []struct {
		name string
		log  journal.Log
		err  error
		sent bool
	}{
		{"nobody else", journal.Log{}, nil, true},
		{"another run of the plan", told("a", "start starting"), nil, false},
		{"another run that took it back", told("a", "start starting", "start not-taken"), nil, true},
		{"another plan", told("b", "start starting"), nil, false},
		{"another plan that somebody has looked at", told("b", "start starting", "end unknown"), nil, true},
		{"another plan that somebody left unseen", leftUnseen("b"), nil, false},
		{"a BMC credential", inRoom("bmc", told("b", "start starting")), nil, false},
		{"a BMC credential that was taken back", inRoom("bmc", told("b", "start starting", "start not-taken")), nil, true},
		{"a BMC credential that is set", inRoom("bmc", told("b", "start starting", "end success")), nil, true},
		{"a BMC credential of a run that was dead before", inRoom("bmc", told("dead", "start starting")), nil, true},
		{"the journal cannot be read", journal.Log{}, errors.New("no network"), false},
	} {
		own, err := journal.Open(filepath.Join(t.TempDir(), "j"), "a", "run", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		w := &witness{own: own, local: []journal.Log{inRoom("bmc", told("dead", "start starting"))}, digest: "a", run: "run", again: func() ([]journal.Log, error) { return []journal.Log{row.log}, row.err }}
		if err := w.append("rotate")("start", "starting", nil); (err == nil) != row.sent || w.started() != row.sent {
			t.Errorf("%s: %v, started %v, wanted %v", row.name, err, w.started(), row.sent)
		}
		_ = own.Close()
	}
}

// TestTornJournalOnTheShare: a run that was killed, or a disk that was full for a moment, leaves half a line on the share. What is
// written next must not become a part of it: it may be the start.
func TestTornJournalOnTheShare(t *testing.T) {
	const half = `{"seq":1,"time":"2026-03-`
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "_certstamp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(stage.JournalFile)), []byte(half), 0o600); err != nil {
		t.Fatal(err)
	}
	sh, err := stage.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	full := &fullOnce{Share: sh}
	own, err := journal.Open(filepath.Join(t.TempDir(), "j"), "a", "run", time.Now, &onShare{sh: full})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for i, step := range []string{"last-action", "start", "end"} {
		full.now = i == 1
		if err := own.Append("rotate", step, "x", nil); err != nil {
			t.Fatal(err)
		}
	}
	log, err := shareLog(sh)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, e := range log.Entries {
		steps = append(steps, e.Step)
	}
	if strings.Join(steps, " ") != "last-action start end" {
		t.Errorf("the share knows of %q, %v", steps, log.Problems)
	}
}

// TestVisitorWaitsForTheLock: rotate --attach writes on the share while nobody holds the lock. Over a network its line would else lie
// over one of the run that does, such as the one that announces a start.
func TestVisitorWaitsForTheLock(t *testing.T) {
	dir := t.TempDir()
	sh, err := stage.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	open := func() *journal.Journal {
		own, err := journal.Open(filepath.Join(t.TempDir(), "j"), "a", "run", time.Now, &onShare{sh: sh, visitor: "a visitor"})
		if err != nil {
			t.Fatal(err)
		}
		if err := own.Append("rotate", "end", "success", nil); err != nil {
			t.Fatal(err)
		}
		return own
	}
	onTheShare := func() int {
		log, err := shareLog(sh)
		if err != nil {
			t.Fatal(err)
		}
		return len(log.Entries)
	}
	if err := open().Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sh.Stat("_certstamp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after unstage the work folder is made again: %v", err)
	}
	release, err := stage.Hold(sh, "somebody who rotates")
	if err != nil {
		t.Fatal(err)
	}
	own := open()
	if n := onTheShare(); n != 0 {
		t.Errorf("beside the holder of the lock it wrote %d lines", n)
	}
	if err := own.MirrorErrors()[0]; err == nil || !strings.Contains(err.Error(), "somebody who rotates") {
		t.Errorf("what the share lacks, and why: %v", err)
	}
	if err := errors.Join(release(), own.Close()); err != nil {
		t.Fatal(err)
	}
	if n := onTheShare(); n != 1 {
		t.Errorf("once the lock was free it wrote %d lines", n)
	}
	if err := open().Close(); err != nil || onTheShare() != 2 {
		t.Errorf("with nobody there it wrote %d lines, %v", onTheShare()-1, err)
	}
}

// TestLacksNothingInTheEnd: what waited for the share and came there as the last thing is not said to be missing.
func TestLacksNothingInTheEnd(t *testing.T) {
	for _, late := range []bool{false, true} {
		sh, err := stage.OpenFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer sh.Close()
		release, err := stage.Hold(sh, "somebody who rotates")
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		a := newApp(Env{Stdout: io.Discard, Stderr: &said, Dir: t.TempDir(), Now: time.Now, Getenv: func(string) string { return "" }})
		b := &bound{plan: &plan.Plan{}, digest: strings.Repeat("d", 64), run: "r", visitor: "a visitor"}
		if err := a.openWitness(b, filepath.Join(t.TempDir(), "j"), sh, true); err != nil {
			t.Fatal(err)
		}
		if err := b.witness.append("rotate")("end", "success", nil); err != nil {
			t.Fatal(err)
		}
		if !late {
			if err := release(); err != nil {
				t.Fatal(err)
			}
		}
		b.Close()
		if err := a.err.Flush(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said.String(), "lacks lines") != late {
			t.Errorf("the lock is held to the end: %v; it said %q", late, said.String())
		}
	}
}

// fullOnce is a share that takes half a line and no more, while now is set.
type fullOnce struct {
	stage.Share
	now bool
}

func (f *fullOnce) Append(name string, b []byte) error {
	if !f.now {
		return f.Share.Append(name, b)
	}
	return errors.Join(stage.ErrSpace, f.Share.Append(name, b[:len(b)/2]))
}

// TestFileLogIsNotCutShort: the newest lines of a journal that somebody blew up must not vanish silently.
func TestFileLogIsNotCutShort(t *testing.T) {
	name := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := os.WriteFile(name, []byte(strings.Repeat("\n", journal.MaxSize+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fileLog(name); err == nil {
		t.Error("an oversized journal was read as if it were whole")
	}
}

// TestNextCommand walks where a stamp may stand, and holds that the command which status names is one that will be taken.
func TestNextCommand(t *testing.T) {
	failed, running := &pep.Status{Known: true, State: pep.Failed}, &pep.Status{Known: true, State: pep.Running}
	done := &pep.Status{Known: true, State: pep.Completed}
	for _, row := range []struct {
		name    string
		kind    plan.Kind
		st      standing
		expired bool
		next    string // begins so
	}{
		{"fresh", plan.External, standing{total: 2}, false, "certstamp stage"},
		{"staged", plan.External, standing{total: 2, share: stage.StatePlanned}, false, "certstamp rotate --plan"},
		{"staged, expired", plan.External, standing{total: 2, share: stage.StatePlanned}, true, "certstamp plan"},
		{"not started, the last rotation failed", plan.External, standing{total: 2, action: failed}, false, "certstamp plan --stamp d --kind rerun"},
		{"a rerun of it", plan.Rerun, standing{total: 2, action: failed}, false, "certstamp stage"},
		{"running", plan.External, standing{total: 2, started: true, action: running}, true, "certstamp rotate --attach"},
		{"started, end unknown, all live", plan.External, standing{total: 2, planned: 2, started: true, ended: "running", action: done}, true, "certstamp rotate --attach"},
		{"failed, all live", plan.External, standing{total: 2, planned: 2, started: true, ended: "failed", action: failed}, true, "certstamp plan --stamp d --kind rerun"},
		{"failed, nobody could ask", plan.External, standing{total: 2, started: true, ended: "failed"}, true, "certstamp plan --stamp d --kind rerun"},
		{"rerun failed", plan.Rerun, standing{total: 2, started: true, ended: "failed-again", action: failed}, true, "certstamp support --plan plan.json, then contact support"},
		{"completed against its call", plan.External, standing{total: 2, started: true, ended: "failed", against: true, action: done}, true, "certstamp plan --stamp d --kind external --fresh REASON"},
		{"the same, and the endpoints came", plan.External, standing{total: 2, planned: 2, started: true, ended: "failed", against: true, action: done}, true, "certstamp rotate --attach"},
		{"the same, nobody could ask", plan.External, standing{total: 2, started: true, ended: "failed", against: true}, true, "certstamp plan --stamp d --kind external --fresh REASON"},
		{"the same, and a later one failed", plan.External, standing{total: 2, started: true, ended: "failed", against: true, action: failed}, true, "certstamp plan --stamp d --kind rerun"},
		{"a rerun completed against its call", plan.Rerun, standing{total: 2, started: true, ended: "failed-again", against: true, action: done}, true, "certstamp support --plan plan.json, then contact support"},
		{"internal, against its call", plan.Internal, standing{started: true, ended: "failed", against: true, action: done}, true, `certstamp plan --stamp d --kind internal --reason 'alert: x' --fresh REASON`},
		{"succeeded, endpoints lag", plan.External, standing{total: 2, started: true, ended: "success", action: done}, true, "certstamp verify --wait 30m"},
		{"succeeded, a later one of somebody else failed", plan.External, standing{total: 2, planned: 2, share: stage.StatePlanned, started: true, ended: "success", action: failed}, true, "certstamp unstage"},
		{"over", plan.External, standing{total: 2, planned: 2, share: stage.StateAbsent, started: true, ended: "success", action: done}, true, "nothing"},
		{"internal", plan.Internal, standing{}, false, "certstamp rotate --plan"},
		{"internal failed", plan.Internal, standing{started: true, ended: "failed", action: failed}, false, `certstamp plan --stamp d --kind rerun --rerun-of internal --reason 'alert: x'`},
		{"internal over", plan.Internal, standing{started: true, ended: "success", action: done}, true, "nothing"},
		{"bmc", plan.BMC, standing{}, false, "certstamp bmc"},
		{"bmc expired", plan.BMC, standing{}, true, "certstamp plan --stamp d --kind bmc"},
		{"bmc sent, and nobody saw the end", plan.BMC, standing{started: true}, true, "certstamp bmc with the same plan"},
		{"bmc over", plan.BMC, standing{started: true, ending: "proved"}, true, "nothing: the stamp has the new BMC credential; tell other tools"},
		{"bmc failed", plan.BMC, standing{started: true, ending: "call-failed"}, true, "fix the cause the stamp names, then make a new plan"},
		{"bmc unknown", plan.BMC, standing{started: true, ending: "no-proof"}, true, "try the new credential on one BMC"},
		{"bmc halfway", plan.BMC, standing{started: true, ending: "mixed"}, true, "set the others by the hardware's own tools"},
	} {
		p := &plan.Plan{Kind: row.kind}
		switch row.kind {
		case plan.Internal:
			p.Rotate, p.Asserted = &plan.RotateSection{}, []plan.Assertion{{What: plan.AssertReason, Value: "alert", Reason: "x"}}
		case plan.External, plan.Rerun:
			p.Rotate, p.Stage, p.Verify = &plan.RotateSection{}, &plan.StageSection{}, &plan.VerifySection{}
		}
		b := &bound{plan: p, file: "plan.json", digest: fmt.Sprintf("%064d", 0)}
		if got := row.st.next(b, "d", row.expired); !strings.HasPrefix(got, row.next) {
			t.Errorf("%s: got %q, want %q", row.name, got, row.next)
		}
	}
}

// TestOneTruthAboutLeaves: the plan decides what a served leaf means, and the room that looks says the same.
func TestOneTruthAboutLeaves(t *testing.T) {
	for _, previous := range []string{"", "old", "new"} {
		for _, leaf := range []string{"", "old", "new", "other"} {
			seen := live.Observation{Samples: []live.Served{{LeafSHA256: leaf}}}
			if leaf == "" {
				seen.Samples[0].Err = errors.New("no answer")
			}
			want := plan.VerifyEndpoint{Previous: previous, Planned: "new"}.State(leaf)
			if got := verdictWords[live.Judge(seen, live.Want{Previous: previous, Planned: "new"}).Verdict]; got != string(want) {
				t.Errorf("%q, with %q before: seen as %s, planned as %s", leaf, previous, got, want)
			}
		}
	}
}
