package stage_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/stage/stagetest"
)

func TestFolderConforms(t *testing.T) {
	dir := t.TempDir()
	stagetest.Conform(t, func(t *testing.T) stage.Share { return folder(t, dir) })
}

// TestFolderKeepsInside: a link on a mounted share leads nowhere.
func TestFolderKeepsInside(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := folder(t, dir).Create("out/x", nil); err == nil || errors.Is(err, stage.ErrBusy) {
		t.Errorf("a file was created through a link: %v", err)
	}
}

func TestFaultyConforms(t *testing.T) {
	dir := t.TempDir()
	stagetest.Conform(t, func(t *testing.T) stage.Share { return &stagetest.Faulty{Share: folder(t, dir)} })
}

// quiet is a call whose failure a run may get over without a word.
type quiet struct {
	call string // with a star at the end it is how the call begins; RUN stands for the run's own folder
	only error  // nil: any
	why  string
}

func (q quiet) covers(call string, err error) bool {
	begin, open := strings.CutSuffix(q.call, "*")
	return (call == begin || open && strings.HasPrefix(call, begin)) && (q.only == nil || errors.Is(err, q.only))
}

var (
	unlocking = quiet{"1: unlock _certstamp/lock", nil, "the lock ends with the share, which is closed next"}
	unlocked  = quiet{"2: unlock _certstamp/lock", nil, "it has been let go before"}
	ownStage  = quiet{"1: remove _certstamp/stage-RUN", nil, "removed once more, with whatever is in it, and that is not silent"}
	looking   = []quiet{
		{"1: list .", nil, "looked at again, because something was put right meanwhile"},
		{"1: list Certificates*", nil, "looked at again, because something was put right meanwhile"},
	}
	// A server that has not noticed yet that the last client died says so for a moment.
	deadStage = quiet{"1: remove _certstamp/stage-*", fs.ErrPermission, "tried again for a moment"}
	deadUndo  = quiet{"1: remove _certstamp/undo-*", fs.ErrPermission, "tried again for a moment"}
	oldSet    = quiet{"1: remove _certstamp/previous-*", fs.ErrPermission, "tried again for a moment"}
	ownFolder = []quiet{
		{"4: list _certstamp", nil, "the last of them, when all that was planned is gone and proved so: looked at again"},
		{"1: remove _certstamp", nil, "the next run may have come; tried again"},
	}
)

// TestEveryFaultAtEveryCall lets faults strike at each call of a verb, answered or not. The run says what kind it was, or gets over
// it in one of the listed ways and no other; the share shows the old set, the new one or none, and the next run puts everything
// right.
func TestEveryFaultAtEveryCall(t *testing.T) {
	anything := errors.New("anything else")
	type fault struct {
		class stage.Class
		err   error
		half  bool
	}
	four := []fault{
		{stage.ClassSpace, stage.ErrSpace, false},
		{stage.ClassPermission, fs.ErrPermission, true},
		{stage.ClassTransport, stage.ErrTransport, false},
		{stage.ClassInternal, anything, true},
	}
	two := []fault{{stage.ClassPermission, fs.ErrPermission, false}, {stage.ClassInternal, anything, true}}
	sec, id := newer.section("AAD"), digest("new")
	publishes := func(sh stage.Share, run string) error {
		_, err := stage.Publish(t.Context(), sh, sec, id, newer.open, options(run))
		return err
	}
	for verb, row := range map[string]struct {
		begin  func(t *testing.T) string
		do     func(sh stage.Share, run string) error
		end    set
		faults []fault
		silent []quiet
	}{
		"publish": {func(t *testing.T) string {
			dir := t.TempDir()
			publish(t, folder(t, dir), older, "run-0")
			return dir
		}, publishes, newer, four, []quiet{unlocking, ownStage}},
		"publish after a run that died between its moves": {func(t *testing.T) string {
			_, dir := interrupted(t, false)
			return dir
		}, publishes, newer, two, append(looking, unlocking, ownStage, deadStage, deadUndo)},
		"publish after a run that died when it had moved": {func(t *testing.T) string {
			_, dir := interrupted(t, true)
			return dir
		}, publishes, newer, two, append(looking, unlocking, quiet{"1: ask for space", nil, "the planned set is there: nothing is written"})},
		"unstage": {func(t *testing.T) string {
			dir := t.TempDir()
			sh := folder(t, dir)
			publish(t, sh, older, "run-0")
			publish(t, sh, newer, "run-1")
			if err := sh.Append(stage.JournalFile, []byte("{}\n")); err != nil {
				t.Fatal(err)
			}
			return dir
		}, func(sh stage.Share, run string) error {
			_, err := stage.Unstage(t.Context(), sh, sec, id, options(run))
			return err
		}, set{}, two, append([]quiet{unlocking, unlocked, oldSet}, ownFolder...)},
	} {
		begun := os.DirFS(row.begin(t)) // copied, because each publish waits for the disk
		begin := func() string {
			dir := t.TempDir()
			if err := os.CopyFS(dir, begun); err != nil {
				t.Fatal(err)
			}
			return dir
		}
		well := &stagetest.Faulty{Share: folder(t, begin())}
		if err := row.do(well, "run-2"); err != nil {
			t.Fatalf("%s: nothing struck, and still: %v", verb, err)
		}
		heard := make([]bool, len(row.silent))
		for _, f := range row.faults {
			for _, at := range well.Calls() {
				dir := begin()
				before := served(t, dir, "AAD")
				sh := &stagetest.Faulty{Share: folder(t, dir), At: at, Err: f.err, Half: f.half}
				failed := row.do(sh, "run-2")
				if !sh.Struck() {
					continue // what is looked at while something is put right may be there, or not yet
				}
				call := strings.ReplaceAll(at, id[:16]+"-run-2", "RUN")
				var e *stage.Error
				if failed == nil {
					i := slices.IndexFunc(row.silent, func(q quiet) bool { return q.covers(call, f.err) })
					if i < 0 {
						t.Errorf("%s, %s at %q: nobody says so", verb, f.class, call)
					} else {
						heard[i] = true
					}
				} else if !errors.As(failed, &e) || e.Class != f.class {
					t.Errorf("%s, %s at %q: %v", verb, f.class, call, failed)
				}
				got := served(t, dir, "AAD")
				if whole := len(got) == 0 || maps.Equal(got, older) || maps.Equal(got, newer); !whole && (verb != "unstage" || !subset(got, before)) {
					t.Errorf("%s, %s at %q: the share shows %v", verb, f.class, call, got)
				}
				_ = sh.Close()
				if err := row.do(folder(t, dir), "run-3"); err != nil {
					t.Fatalf("%s, %s at %q: then %v", verb, f.class, call, err)
				}
				left, err := stage.Leftovers(folder(t, dir))
				if got := served(t, dir, "AAD"); err != nil || !maps.Equal(got, row.end) || slices.ContainsFunc(left, func(s string) bool { return !strings.Contains(s, "previous-") }) {
					t.Fatalf("%s, %s at %q: then the share shows %v, left %v, %v", verb, f.class, call, got, left, err)
				}
			}
		}
		for i, q := range row.silent {
			if !heard[i] {
				t.Errorf("%s: no run gets over %q: it does not belong into the list", verb, q.call)
			}
		}
	}
}
