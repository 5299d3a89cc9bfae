package stage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/validate"
)

// set is a made-up set: path below the identity folder → content.
type set map[string]string

func (s set) section(identity string) plan.StageSection {
	sec := plan.StageSection{UNC: `\\host\certs`, Identity: identity, Files: []plan.PlannedFile{}}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		sum := sha256.Sum256([]byte(s[name]))
		sec.Files = append(sec.Files, plan.PlannedFile{Folder: path.Dir(name), Name: path.Base(name), Size: int64(len(s[name])), SHA256: hex.EncodeToString(sum[:])})
	}
	return sec
}

func (s set) open(f plan.PlannedFile) ([]byte, error) {
	b, ok := s[f.Folder+"/"+f.Name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(b), nil
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

var (
	older = set{"ACSBlob/ACSBlob.pfx": "old blob", "Admin Portal/AdminPortal.pfx": "old portal"}
	newer = set{"ACSBlob/ACSBlob.pfx": "new blob", "Admin Portal/AdminPortal.pfx": "new portal"}
)

func options(run string) stage.Options {
	return stage.Options{Run: run, Owner: "a test", Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func folder(t *testing.T, dir string) stage.Share {
	t.Helper()
	sh, err := stage.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sh.Close() })
	return sh
}

// served is what a stamp would read: every file below Certificates/<identity>.
func served(t *testing.T, dir, identity string) set {
	t.Helper()
	out := set{}
	root := filepath.Join(dir, "Certificates", identity)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		out[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "not a directory") {
		t.Fatal(err)
	}
	return out
}

// publish is a run that must succeed.
func publish(t *testing.T, sh stage.Share, s set, run string) stage.Result {
	t.Helper()
	r, err := stage.Publish(t.Context(), sh, s.section("AAD"), digest(fmt.Sprint(s)), s.open, options(run))
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return r
}

// errPower is what every call gets after the power went.
var errPower = errors.New("the power is gone")

// mortal is a share that dies at its n-th change. Half says whether that change still happened.
type mortal struct {
	stage.Share
	left int
	half bool
	dead bool
	mu   sync.Mutex // files are uploaded side by side
}

func (m *mortal) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

func (m *mortal) change(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errPower
	}
	if m.left--; m.left > 0 {
		return do()
	}
	m.dead = true
	if m.half {
		_ = do()
	}
	return errPower
}

func (m *mortal) Mkdir(name string) error {
	return m.change(func() error { return m.Share.Mkdir(name) })
}

func (m *mortal) Create(name string, b []byte) error {
	return m.change(func() error {
		if m.left <= 0 && len(b) > 1 {
			b = b[:len(b)/2] // torn in the middle
		}
		return m.Share.Create(name, b)
	})
}

func (m *mortal) Rename(from, to string) error {
	return m.change(func() error { return m.Share.Rename(from, to) })
}

func (m *mortal) Remove(name string) error {
	return m.change(func() error { return m.Share.Remove(name) })
}

func (m *mortal) Append(name string, b []byte) error {
	return m.change(func() error { return m.Share.Append(name, b) })
}

func (m *mortal) Stat(name string) (fs.FileInfo, error) {
	if m.gone() {
		return nil, errPower
	}
	return m.Share.Stat(name)
}

func (m *mortal) ReadFile(name string, most int64) ([]byte, error) {
	if m.gone() {
		return nil, errPower
	}
	return m.Share.ReadFile(name, most)
}

func (m *mortal) ReadDir(name string) ([]fs.DirEntry, error) {
	if m.gone() {
		return nil, errPower
	}
	return m.Share.ReadDir(name)
}

// TestPowerLossAtEveryStep lets the share die at each change of publishing and of removing, once before and once after it
// took effect. At no moment does the stamp see a mixture, and the next run ends where the first one would have.
func TestPowerLossAtEveryStep(t *testing.T) {
	for _, verb := range []string{"publish over a set", "publish the first set", "unstage"} {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, change done %v", verb, half), func(t *testing.T) {
				var steps int
				for n := 1; ; n++ {
					if n > 500 {
						t.Fatal("it never ends")
					}
					dir := t.TempDir()
					sh := folder(t, dir)
					before := set{}
					switch verb {
					case "publish over a set":
						publish(t, sh, older, "run-0")
						before = older
					case "unstage":
						publish(t, sh, older, "run-0")
						publish(t, sh, newer, "run-1")
						before = newer
					}
					m := &mortal{Share: sh, left: n, half: half}
					result, err := do(t.Context(), m, verb, "run-2")
					if !m.dead {
						if err != nil {
							t.Fatalf("nothing happened to it, and it failed: %v", err)
						}
						steps = n - 1
						break
					}
					if err == nil && !half {
						t.Errorf("change %d was lost, and nobody said so", n)
					}
					now := served(t, dir, "AAD")
					if err != nil && !maps.Equal(now, before) && !result.Changed {
						t.Errorf("change %d touched the live set, and the result denies it", n)
					}
					after := newer
					if verb == "unstage" {
						after = set{}
					}
					switch {
					case maps.Equal(now, before), maps.Equal(now, after), len(now) == 0:
					case verb == "unstage" && subset(now, before): // files go one by one; what is there is the planned set's
					default:
						t.Fatalf("after %d changes the stamp sees a mixture: %v", n, now)
					}
					// The machine is up again. What held the lock died with its process: here, with its handle.
					again := folder(t, dir)
					if _, err := do(t.Context(), again, verb, "run-3"); err != nil {
						t.Fatalf("after a loss at change %d the next run fails: %v", n, err)
					}
					if now := served(t, dir, "AAD"); !maps.Equal(now, after) {
						t.Fatalf("after a loss at change %d the next run ends in %v", n, now)
					}
					leftovers(t, again, verb, n)
				}
				if steps < 8 {
					t.Errorf("only %d changes were tried", steps)
				}
				t.Logf("%d changes", steps)
			})
		}
	}
}

func do(ctx context.Context, sh stage.Share, verb, run string) (stage.Result, error) {
	sec := newer.section("AAD")
	if verb == "unstage" {
		return stage.Unstage(ctx, sh, sec, digest(fmt.Sprint(newer)), options(run))
	}
	return stage.Publish(ctx, sh, sec, digest(fmt.Sprint(newer)), newer.open, options(run))
}

func subset(some, all set) bool {
	for name, content := range some {
		if all[name] != content {
			return false
		}
	}
	return true
}

// leftovers holds that only the kept set may remain, and after unstage nothing.
func leftovers(t *testing.T, sh stage.Share, verb string, n int) {
	t.Helper()
	list, err := stage.Leftovers(sh)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if verb == "unstage" || !strings.Contains(name, "previous-") {
			t.Errorf("a loss at change %d leaves %q behind for good", n, name)
		}
	}
}

func TestTwiceIsOnce(t *testing.T) {
	dir := t.TempDir()
	sh := folder(t, dir)
	if r := publish(t, sh, newer, "run-1"); r.Outcome != stage.Published || r.Files != 2 || len(r.Previous) != 0 {
		t.Errorf("%+v", r)
	}
	if r := publish(t, sh, newer, "run-2"); r.Outcome != stage.Unchanged {
		t.Errorf("%+v", r)
	}
	sec := newer.section("AAD")
	if findings, state, err := stage.Check(t.Context(), sh, sec); err != nil || len(findings) > 0 || state != stage.StatePlanned {
		t.Errorf("%v %v %v", findings, state, err)
	}
	if _, state, err := stage.Check(t.Context(), sh, older.section("AAD")); err != nil || state != stage.StateOther {
		t.Errorf("another set is %v, %v", state, err)
	}
	for _, want := range []stage.Outcome{stage.Removed, stage.Absent} {
		r, err := stage.Unstage(t.Context(), sh, sec, digest("x"), options("run-3"))
		if err != nil || r.Outcome != want {
			t.Errorf("%+v, %v, wanted %s", r, err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

// TestEverySetIsKept: going back to a plan that was staged before keeps the set of the plan in between, until unstage.
func TestEverySetIsKept(t *testing.T) {
	dir := t.TempDir()
	sh := folder(t, dir)
	first := set{"ACSBlob/ACSBlob.pfx": "first blob", "Admin Portal/AdminPortal.pfx": "first portal"}
	for i, s := range []set{first, older, newer, older} {
		publish(t, sh, s, fmt.Sprint("run-", i))
	}
	kept := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(dir, "_certstamp"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		kept[string(b)] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []set{first, older, newer} {
		for name, b := range s {
			if !kept[b] {
				t.Errorf("%s of %q is gone", name, b)
			}
		}
	}
	if _, err := stage.Unstage(t.Context(), sh, older.section("AAD"), digest("x"), options("run-9")); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

// TestUnstageRemovesOnlyThePlan stops before the first removal when somebody else's file lies among the planned ones.
func TestUnstageRemovesOnlyThePlan(t *testing.T) {
	dir := t.TempDir()
	sh := folder(t, dir)
	publish(t, sh, older, "run-1")
	_, err := stage.Unstage(t.Context(), sh, newer.section("AAD"), digest("new"), options("run-2"))
	var layout *stage.LayoutError
	if !errors.As(err, &layout) {
		t.Fatalf("it removed another plan's set: %v", err)
	}
	if now := served(t, dir, "AAD"); !maps.Equal(now, older) {
		t.Errorf("the share holds %v", now)
	}
}

func TestWrongBytesTouchNothing(t *testing.T) {
	dir := t.TempDir()
	sh := folder(t, dir)
	_, err := stage.Publish(t.Context(), sh, newer.section("AAD"), digest("new"), older.open, options("run-1"))
	var e *stage.Error
	if !errors.As(err, &e) || e.Class != stage.ClassVerification {
		t.Fatalf("%v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("%v was written", entries)
	}
	if err := stage.BackupEquals(newer.section("AAD"), newer.open); err != nil {
		t.Error(err)
	}
	if err := stage.BackupEquals(newer.section("AAD"), older.open); err == nil {
		t.Error("another backup equals the plan")
	}
}

// liar is a share that returns other bytes below a folder than were written there.
type liar struct {
	stage.Share
	below string
}

func (l liar) ReadFile(name string, most int64) ([]byte, error) {
	b, err := l.Share.ReadFile(name, most)
	if err == nil && strings.HasPrefix(name, l.below) {
		b = append(b, 'x')
	}
	return b, err
}

// TestHintsTellWhatWasPublished: after the swap it is not true that nothing was.
func TestHintsTellWhatWasPublished(t *testing.T) {
	for below, wanted := range map[string]string{"_certstamp/stage-": "nothing was published", "Certificates/": "do not rotate"} {
		dir := t.TempDir()
		r, err := stage.Publish(t.Context(), liar{folder(t, dir), below}, newer.section("AAD"), digest("new"), newer.open, options("run-1"))
		var e *stage.Error
		if !errors.As(err, &e) || e.Class != stage.ClassVerification || !strings.Contains(e.Hint(), wanted) {
			t.Errorf("%s: got %v, wanted a hint with %q", below, err, wanted)
		}
		if published := len(served(t, dir, "AAD")) > 0; published != r.Changed || published == strings.Contains(e.Hint(), "nothing") {
			t.Errorf("%s: published %v, changed %v, hint %q", below, published, r.Changed, e.Hint())
		}
	}
}

func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	first, second := folder(t, dir), folder(t, dir)
	release, err := stage.Hold(first, "the first")
	if err != nil {
		t.Fatal(err)
	}
	_, err = stage.Publish(t.Context(), second, newer.section("AAD"), digest("new"), newer.open, options("run-1"))
	var locked *stage.LockedError
	if !errors.As(err, &locked) || !strings.Contains(locked.Owner, "the first") {
		t.Fatalf("%v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	publish(t, second, newer, "run-2")
}

// TestWhile: what is done under the lock is done by one at a time, its error comes back, and the lock is free afterwards. Where there
// is no work folder none is made.
func TestWhile(t *testing.T) {
	dir := t.TempDir()
	first, second := folder(t, dir), folder(t, dir)
	if err := stage.While(first, "a test", func() error { t.Error("done without a lock"); return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no work folder: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v was made, %v", entries, err)
	}
	publish(t, first, newer, "run-1")
	var locked *stage.LockedError
	err := stage.While(first, "the first", func() error {
		if err := stage.While(second, "the second", func() error { t.Error("two have the lock"); return nil }); !errors.As(err, &locked) {
			t.Errorf("beside it: %v", err)
		}
		return errPower
	})
	if !errors.Is(err, errPower) {
		t.Errorf("what was done said %v", err)
	}
	done := false
	if err := stage.While(second, "the second", func() error { done = true; return nil }); err != nil || !done {
		t.Errorf("after it: %v, done %v", err, done)
	}
}

// TestBusyNamesAreWaitedFor by the clock when the caller has no way of its own, and no longer than the run lasts where nothing was
// begun.
func TestBusyNamesAreWaitedFor(t *testing.T) {
	sh := folder(t, t.TempDir())
	dead := "_certstamp/stage-" + digest("x")[:16] + "-run-0"
	publish(t, sh, older, "run-0")
	synctest.Test(t, func(t *testing.T) {
		left, begin := 3, time.Now()
		m := &moving{Share: sh, fails: func(from, _ string) error {
			if left--; left >= 0 && from == "Certificates/AAD" {
				return stage.ErrBusy
			}
			return nil
		}}
		r, err := stage.Publish(t.Context(), m, newer.section("AAD"), digest("new"), newer.open, stage.Options{Run: "run-1"})
		if waited := time.Since(begin); err != nil || r.Outcome != stage.Published || waited != 700*time.Millisecond {
			t.Errorf("%+v, %v after %s", r, err, waited)
		}
	})
	if err := sh.Mkdir(dead); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		s := stubborn{sh, slices.Repeat([]error{stage.ErrBusy}, 9), new(int)}
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err := stage.Publish(ctx, s, older.section("AAD"), digest("old"), older.open, stage.Options{Run: "run-2"})
		if waited := time.Since(begin); !errors.Is(err, stage.ErrBusy) || waited != 50*time.Millisecond {
			t.Errorf("%v after %s", err, waited)
		}
	})
}

// impatient is a share on which another run takes the lock the moment it is let go.
type impatient struct {
	stage.Share
	next func()
}

func (i impatient) Lock(name, owner string) (func() error, error) {
	unlock, err := i.Share.Lock(name, owner)
	return func() error {
		defer i.next()
		return unlock()
	}, err
}

// TestUnstageLeavesTheNextLock: a run that takes the lock while unstage ends keeps it, and nobody else gets it beside it.
func TestUnstageLeavesTheNextLock(t *testing.T) {
	dir := t.TempDir()
	sh := folder(t, dir)
	publish(t, sh, newer, "run-1")
	taken := false
	next := func() {
		if taken {
			return // unstage may let go twice
		}
		if _, err := stage.Hold(folder(t, dir), "the next run"); err != nil {
			t.Fatal(err)
		}
		taken = true
	}
	_, err := stage.Unstage(t.Context(), impatient{sh, next}, newer.section("AAD"), digest(fmt.Sprint(newer)), options("run-2"))
	if err != nil {
		t.Errorf("unstage: %v", err)
	}
	var locked *stage.LockedError
	if _, err := stage.Hold(folder(t, dir), "a third run"); !taken || !errors.As(err, &locked) {
		t.Errorf("a third run gets %v beside the next one, which has the lock: %v", err, taken)
	}
}

// crowded is a share on which another run comes at the moment in which the work folder is removed.
type crowded struct {
	stage.Share
	come func() error
}

func (c *crowded) Remove(name string) error {
	if come := c.come; name == "_certstamp" && come != nil {
		if err := come(); err != nil {
			return err
		}
	}
	return c.Share.Remove(name)
}

// TestUnstageLeavesTheFolderInUse: that the next run has come before the empty work folder could go takes nothing from what was
// removed.
func TestUnstageLeavesTheFolderInUse(t *testing.T) {
	for name, come := range map[string]func(dir string) error{
		"it has the lock":        func(dir string) error { return os.WriteFile(filepath.Join(dir, "_certstamp", "lock"), nil, 0o600) },
		"it looks at the folder": func(string) error { return stage.ErrBusy },
	} {
		dir := t.TempDir()
		sh := folder(t, dir)
		publish(t, sh, newer, "run-1")
		r, err := stage.Unstage(t.Context(), &crowded{sh, func() error { return come(dir) }}, newer.section("AAD"), digest(fmt.Sprint(newer)), options("run-2"))
		if err != nil || r.Outcome != stage.Removed {
			t.Errorf("%s: %q, %v", name, r.Outcome, err)
		}
	}
}

// vanishing is a share whose work folder is just going, with all that a server says of it then.
type vanishing struct {
	stage.Share
	infos []func() (fs.FileInfo, error)
}

func (v *vanishing) Mkdir(name string) error {
	if len(v.infos) > 0 {
		return fs.ErrExist
	}
	return v.Share.Mkdir(name)
}

func (v *vanishing) Stat(name string) (fs.FileInfo, error) {
	if len(v.infos) == 0 {
		return v.Share.Stat(name)
	}
	info := v.infos[0]
	v.infos = v.infos[1:]
	return info()
}

// TestLockBesideAnUnstage: that a work folder is just going away is no reason not to begin.
func TestLockBesideAnUnstage(t *testing.T) {
	v := &vanishing{Share: folder(t, t.TempDir()), infos: []func() (fs.FileInfo, error){
		func() (fs.FileInfo, error) { return os.Stat(os.Args[0]) }, // a file
		func() (fs.FileInfo, error) { return nil, fs.ErrNotExist },
	}}
	publish(t, v, newer, "run-1")
}

// TestNothingIsSwappedIn walks what must end a run before the live set is touched, each with what the share holds or does by then.
func TestNothingIsSwappedIn(t *testing.T) {
	for name, row := range map[string]struct {
		share  func(stage.Share) stage.Share
		access func(leave func()) error
		class  stage.Class
	}{
		"too little space": {share: func(sh stage.Share) stage.Share { return cramped{sh} }, class: stage.ClassSpace},
		"a file that somebody put into a staged folder": {share: func(sh stage.Share) stage.Share { return littered{sh} }, class: stage.ClassVerification},
		"a staged folder that cannot be listed":         {share: func(sh stage.Share) stage.Share { return &secretive{Share: sh} }, class: stage.ClassPermission},
		"a live set that cannot be read":                {share: func(sh stage.Share) stage.Share { return unread{sh} }, class: stage.ClassPermission},
		"told to leave after the set was staged":        {access: func(leave func()) error { leave(); return nil }},
		"a credential of the stamp that reads nothing":  {access: func(func()) error { return fs.ErrPermission }, class: stage.ClassPermission},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			sh := folder(t, dir)
			publish(t, sh, older, "run-0")
			if row.share != nil {
				sh = row.share(sh)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := options("run-1")
			o.Access = func(context.Context, string) error {
				if row.access != nil {
					return row.access(cancel)
				}
				return nil
			}
			r, err := stage.Publish(ctx, sh, newer.section("AAD"), digest("new"), newer.open, o)
			var e *stage.Error
			if err == nil || row.class != "" && (!errors.As(err, &e) || e.Class != row.class) {
				t.Errorf("got %v, wanted one of class %q", err, row.class)
			}
			if now := served(t, dir, "AAD"); !maps.Equal(now, older) || r.Changed {
				t.Errorf("the stamp sees %v, changed %v", now, r.Changed)
			}
			if left, err := stage.Leftovers(folder(t, dir)); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err) // a full disk is not left fuller
			}
		})
	}
}

// cramped is a share that is nearly full.
type cramped struct{ stage.Share }

func (cramped) Free() (int64, bool, error) { return 10, true, nil }

// secretive is a share that does not list what was staged when it is asked first.
type secretive struct {
	stage.Share
	asked atomic.Bool
}

func (s *secretive) ReadDir(name string) ([]fs.DirEntry, error) {
	if strings.HasSuffix(name, "/AAD/ACSBlob") && strings.HasPrefix(name, "_certstamp/stage-") && !s.asked.Swap(true) {
		return nil, fs.ErrPermission
	}
	return s.Share.ReadDir(name)
}

// unread is a share whose live set cannot be read.
type unread struct{ stage.Share }

func (u unread) ReadFile(name string, most int64) ([]byte, error) {
	if strings.HasPrefix(name, "Certificates/") {
		return nil, fs.ErrPermission
	}
	return u.Share.ReadFile(name, most)
}

// littered is a share on which somebody drops a file beside each PFX.
type littered struct{ stage.Share }

func (l littered) Create(name string, b []byte) error {
	return errors.Join(l.Share.Create(name, b), l.Share.Create(name+".txt", []byte("mine")))
}

// TestUnstagePutsRightFirst: a run that died between its two renames has the set before in its own folder only, and unstage must not
// take that for something to remove.
func TestUnstagePutsRightFirst(t *testing.T) {
	dir := t.TempDir()
	sh := folder(t, dir)
	publish(t, sh, older, "run-0")
	m := &failingRename{Share: sh, to: "Certificates/AAD"}
	if _, err := stage.Publish(t.Context(), m, newer.section("AAD"), digest(fmt.Sprint(newer)), newer.open, options("run-1")); err == nil {
		t.Fatal("published")
	}
	if now := served(t, dir, "AAD"); len(now) != 0 {
		t.Fatalf("the stamp sees %v, the test wants it between two sets", now)
	}
	var layout *stage.LayoutError
	if _, err := stage.Unstage(t.Context(), sh, newer.section("AAD"), digest(fmt.Sprint(newer)), options("run-2")); !errors.As(err, &layout) {
		t.Errorf("got %v, wanted a refusal because of another plan's set", err)
	}
	if now := served(t, dir, "AAD"); !maps.Equal(now, older) {
		t.Errorf("the stamp sees %v, wanted the set before", now)
	}
}

// failingRename is a share on which nothing can be moved to one name.
type failingRename struct {
	stage.Share
	to string
}

func (f *failingRename) Rename(from, to string) error {
	if to == f.to {
		return errPower
	}
	return f.Share.Rename(from, to)
}

// TestUnstageProvesThatNothingIsLeft: a PFX that somebody keeps in the work folder is a private key on the share, and so may be
// what lies where nobody can look.
func TestUnstageProvesThatNothingIsLeft(t *testing.T) {
	const deep = "_certstamp/2/3/4/5/6/7/8"
	for name, row := range map[string]struct {
		fault deaf
		class stage.Class
	}{
		"_certstamp/mine/a.PFX": {deaf{}, stage.ClassVerification},
		"_certstamp/mine/a.txt": {deaf{}, ""},
		"_certstamp/mine/b.txt": {deaf{op: "list", name: "_certstamp/mine"}, stage.ClassPermission},
		deep + "/9/a.pfx":       {deaf{}, stage.ClassVerification},
		deep + "/9/10/a.txt":    {deaf{}, stage.ClassInternal},
	} {
		dir := t.TempDir()
		row.fault.Share = folder(t, dir)
		publish(t, row.fault.Share, newer, "run-0")
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
		_, err := stage.Unstage(t.Context(), row.fault, newer.section("AAD"), digest(fmt.Sprint(newer)), options("run-1"))
		var e *stage.Error
		if (err == nil) != (row.class == "") || err != nil && (!errors.As(err, &e) || e.Class != row.class) || row.class == stage.ClassVerification && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, wanted class %q", name, err, row.class)
		}
	}
}

// TestGuardIsAskedUnderTheLock: what the guard saw holds until the swap, and its refusal leaves the share as it was, what an
// interrupted run left there included.
func TestGuardIsAskedUnderTheLock(t *testing.T) {
	dir := t.TempDir()
	sh, other := folder(t, dir), folder(t, dir)
	publish(t, sh, older, "run-1")
	undone := filepath.Join(dir, "_certstamp", "undo-"+digest("x")[:16]+"-run-0")
	if err := os.Mkdir(undone, 0o755); err != nil {
		t.Fatal(err)
	}
	no := errors.New("a rotation runs")
	for _, verb := range []struct {
		name string
		run  func(stage.Options) (stage.Result, error)
	}{
		{"publish", func(o stage.Options) (stage.Result, error) {
			return stage.Publish(t.Context(), sh, newer.section("AAD"), digest("new"), newer.open, o)
		}},
		{"unstage", func(o stage.Options) (stage.Result, error) {
			return stage.Unstage(t.Context(), sh, older.section("AAD"), digest("old"), o)
		}},
	} {
		o := options("run-2")
		asked := false
		o.Guard = func(context.Context) error {
			asked = true
			var locked *stage.LockedError
			if _, err := stage.Hold(other, "a rotation"); !errors.As(err, &locked) {
				t.Errorf("%s: the guard was asked without the lock: %v", verb.name, err)
			}
			return no
		}
		if _, err := verb.run(o); !errors.Is(err, no) || !asked {
			t.Errorf("%s: got %v", verb.name, err)
		}
		if now := served(t, dir, "AAD"); !maps.Equal(now, older) {
			t.Errorf("%s: the share holds %v", verb.name, now)
		}
		if _, err := os.Stat(undone); err != nil {
			t.Errorf("%s: recovery came before the guard: %v", verb.name, err)
		}
		release, err := stage.Hold(other, "a rotation")
		if err != nil {
			t.Fatalf("%s: the lock was not let go: %v", verb.name, err)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCancelledBeforeTheSwap(t *testing.T) {
	dir := t.TempDir()
	sh := folder(t, dir)
	publish(t, sh, older, "run-1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := stage.Publish(ctx, sh, newer.section("AAD"), digest("new"), newer.open, options("run-2")); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if now := served(t, dir, "AAD"); !maps.Equal(now, older) {
		t.Errorf("the share holds %v", now)
	}
}

// TestLayout is the doctor: what a rotation would trip over an hour later is named before anything is written.
func TestLayout(t *testing.T) {
	for _, row := range []struct {
		name, identity string
		there          []string // files to put down first; folders end in a slash
		bad            bool
	}{
		{"nothing there", "AAD", nil, false},
		{"another set", "AAD", []string{"Certificates/AAD/ACSBlob/x.pfx"}, false},
		{"strangers beside Certificates", "AAD", []string{"notes.txt", "Backup/x.pfx"}, false},
		{"the AD FS endpoint", "ADFS", []string{"Certificates/ADFS/ADFS/x.pfx"}, false},
		{"identity at the root", "AAD", []string{"AAD/ACSBlob/x.pfx"}, true},
		{"other identity at the root", "AAD", []string{"ADFS/ACSBlob/x.pfx"}, true},
		{"Certificates twice", "AAD", []string{"Certificates/Certificates/AAD/ACSBlob/x.pfx"}, true},
		{"wrong case", "AAD", []string{"certificates/AAD/ACSBlob/x.pfx"}, true},
		{"identity twice", "AAD", []string{"Certificates/AAD/AAD/ACSBlob/x.pfx"}, true},
		{"the other identity too", "AAD", []string{"Certificates/ADFS/ACSBlob/x.pfx"}, true},
		{"endpoints without identity", "AAD", []string{"Certificates/ACSBlob/x.pfx"}, true},
		{"a file in Certificates", "AAD", []string{"Certificates/x.pfx"}, true},
		{"a file in the identity", "AAD", []string{"Certificates/AAD/x.pfx"}, true},
		{"two files in a folder", "AAD", []string{"Certificates/AAD/ACSBlob/x.pfx", "Certificates/AAD/ACSBlob/y.pfx"}, true},
		{"Certificates is a file", "AAD", []string{"Certificates"}, true},
		{"a link in Certificates", "AAD", []string{"Certificates/AAD -> gone"}, true},
		{"a link in the identity", "AAD", []string{"Certificates/AAD/ACSBlob -> gone"}, true},
		{"a link in a folder", "AAD", []string{"Certificates/AAD/ACSBlob/x.pfx -> gone"}, true},
		{"a folder in a folder", "AAD", []string{"Certificates/AAD/ACSBlob/ACSBlob.pfx/x.pfx"}, true},
		{"a file beside the PFX", "AAD", []string{"Certificates/AAD/ACSBlob/x.pfx", "Certificates/AAD/ACSBlob/x.txt"}, true},
		{"an endpoint that is not planned", "AAD", []string{"Certificates/AAD/KeyVault/x.pfx"}, true},
		{"one endpoint twice", "AAD", []string{"Certificates/AAD/ACSBlob/x.pfx", "Certificates/AAD/acsblob/x.pfx"}, true},
		{"an endpoint in another case", "AAD", []string{"Certificates/AAD/acsblob/X.PFX"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range row.there {
				p := filepath.Join(dir, filepath.FromSlash(name))
				err := os.MkdirAll(filepath.Dir(p), 0o755)
				if link, to, ok := strings.Cut(p, " -> "); ok {
					err = errors.Join(err, os.Symlink(to, link))
				} else {
					err = errors.Join(err, os.WriteFile(p, []byte(name), 0o600))
				}
				if err != nil {
					t.Skip(err) // a file system that folds case, or has no links
				}
			}
			s := newer
			if row.identity == "ADFS" {
				s = set{"ADFS/ADFS.pfx": "new adfs"}
			}
			sh := folder(t, dir)
			sec := s.section(row.identity)
			findings, state, err := stage.Check(t.Context(), sh, sec)
			if err != nil || (len(findings) > 0) != row.bad || row.bad != (state == stage.StateDamaged) {
				t.Errorf("doctor: %+v %v %v", findings, state, err)
			}
			for _, f := range findings {
				if f.ID != "share-layout" || f.Name == "" || f.Result != validate.Fail || f.Found == "" || f.Wanted == "" || f.Hint == "" || f.Source == "" || len(f.Folders) != 1 {
					t.Errorf("half a finding: %+v", f)
				}
			}
			_, err = stage.Publish(t.Context(), sh, sec, digest("new"), s.open, options("run-1"))
			var layout *stage.LayoutError
			if errors.As(err, &layout) != row.bad || !row.bad && err != nil {
				t.Errorf("publish: %v", err)
			}
			if row.bad {
				for _, name := range row.there {
					if strings.Contains(name, " -> ") {
						continue
					}
					if b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil || string(b) != name {
						t.Errorf("%s was touched: %q %v", name, b, err)
					}
				}
				if now := served(t, dir, row.identity); len(now) > 0 && maps.Equal(now, s) {
					t.Error("it was published nevertheless")
				}
			} else if now := served(t, dir, row.identity); !maps.Equal(now, s) {
				t.Errorf("the share holds %v", now)
			}
		})
	}
}

// TestRefusedAtOnce: what no run may begin with, told before anything is written.
func TestRefusedAtOnce(t *testing.T) {
	good := newer.section("AAD")
	renamed := func(folder, name string) plan.StageSection {
		sec := newer.section("AAD")
		sec.Files[0].Folder, sec.Files[0].Name = folder, name
		return sec
	}
	for what, row := range map[string]struct {
		sec         plan.StageSection
		digest, run string
		class       stage.Class
	}{
		"an identity that is none":             {newer.section("Entra"), digest("new"), "run-1", stage.ClassConfig},
		"no identity":                          {newer.section(""), digest("new"), "run-1", stage.ClassConfig},
		"a digest that is cut off":             {good, digest("new")[:15], "run-1", stage.ClassInternal},
		"no run":                               {good, digest("new"), "", stage.ClassInternal},
		"a folder that leads out of the share": {renamed("..", "ACSBlob.pfx"), digest("new"), "run-1", stage.ClassVerification},
		"a name that leads out of its folder":  {renamed("ACSBlob", "../x.pfx"), digest("new"), "run-1", stage.ClassVerification},
	} {
		dir := t.TempDir()
		sh := folder(t, dir)
		open := func(f plan.PlannedFile) ([]byte, error) {
			for _, b := range newer {
				if digest(b) == f.SHA256 {
					return []byte(b), nil
				}
			}
			return nil, fs.ErrNotExist
		}
		_, err := stage.Publish(t.Context(), sh, row.sec, row.digest, open, options(row.run))
		var e *stage.Error
		if !errors.As(err, &e) || e.Class != row.class {
			t.Errorf("%s: got %v, wanted class %s", what, err, row.class)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s: %v was written, %v", what, entries, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "_certstamp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := stage.Hold(folder(t, dir), "a test"); err == nil || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("a file in place of the work folder: %v", err)
	}
}

// unstaged is a share on which an unstage takes the work folder away so many times before the lock is made in it.
type unstaged struct {
	stage.Share
	times int
}

func (v *unstaged) Lock(name, owner string) (func() error, error) {
	if v.times--; v.times >= 0 {
		return nil, errors.Join(v.Remove(path.Dir(name)), fs.ErrNotExist)
	}
	return v.Share.Lock(name, owner)
}

func TestTheWorkFolderIsMadeAgain(t *testing.T) {
	for times, want := range map[int]error{1: nil, 2: nil, 3: fs.ErrNotExist} {
		release, err := stage.Hold(&unstaged{folder(t, t.TempDir()), times}, "a test")
		if !errors.Is(err, want) {
			t.Errorf("taken away %d times: %v, want %v", times, err, want)
		}
		if err == nil {
			_ = release()
		}
	}
}

// TestSpace: twice the set must fit, and a little more; a server that does not tell is not asked.
func TestSpace(t *testing.T) {
	need := int64(1 << 20)
	for _, b := range newer {
		need += 2 * int64(len(b))
	}
	for what, row := range map[string]struct {
		roomy
		class stage.Class
	}{
		"a byte too little":     {roomy{free: need - 1, told: true}, stage.ClassSpace},
		"just enough":           {roomy{free: need, told: true}, ""},
		"not told":              {roomy{}, ""},
		"it could not be asked": {roomy{err: stage.ErrTransport}, stage.ClassTransport},
	} {
		row.Share = folder(t, t.TempDir())
		_, err := stage.Publish(t.Context(), row.roomy, newer.section("AAD"), digest("new"), newer.open, options("run-1"))
		var e *stage.Error
		if (err == nil) != (row.class == "") || err != nil && (!errors.As(err, &e) || e.Class != row.class) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

type roomy struct {
	stage.Share
	free int64
	told bool
	err  error
}

func (r roomy) Free() (int64, bool, error) { return r.free, r.told, r.err }

// TestEveryStepIsJournaled before it is taken, and a journal that cannot be written ends the run there.
func TestEveryStepIsJournaled(t *testing.T) {
	var steps []string
	for n := 0; n == 0 || n <= len(steps); n++ {
		dir := t.TempDir()
		sh := folder(t, dir)
		publish(t, sh, older, "run-0")
		o := options("run-1")
		var said []string
		full := errors.New("the disk is full")
		o.Journal = func(step, state string, facts map[string]string) error {
			if said = append(said, step+" "+state); len(said) == n {
				return full
			}
			if state == "published" && !maps.Equal(facts, sums(older)) {
				t.Errorf("the set before is journaled as %v", facts)
			}
			return nil
		}
		r, err := stage.Publish(t.Context(), sh, newer.section("AAD"), digest("new"), newer.open, o)
		if n == 0 {
			steps = said
			want := "publish upload, publish read back, publish access, publish swap, publish prove, publish keep, publish published"
			if got := strings.Join(said, ", "); err != nil || got != want || !maps.Equal(r.Previous, sums(older)) {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
			continue
		}
		now, swapped := served(t, dir, "AAD"), n > 4
		if !errors.Is(err, full) || len(said) != n || r.Changed != swapped || maps.Equal(now, newer) != swapped || maps.Equal(now, older) == swapped {
			t.Errorf("%q could not be journaled: %v, then %q, the share holds %v, changed %v", steps[n-1], err, said[n-1:], now, r.Changed)
		}
	}
	sh := folder(t, t.TempDir())
	publish(t, sh, newer, "run-0")
	o := options("run-1")
	o.Journal = func(string, string, map[string]string) error { return errPower }
	if _, err := stage.Publish(t.Context(), sh, newer.section("AAD"), digest("new"), newer.open, o); !errors.Is(err, errPower) {
		t.Errorf("a set that was there already: %v", err)
	}
	if _, err := stage.Unstage(t.Context(), sh, newer.section("AAD"), digest("new"), o); !errors.Is(err, errPower) {
		t.Errorf("unstage: %v", err)
	}
}

// sums are the SHA-256 of a set's files.
func sums(s set) map[string]string {
	out := map[string]string{}
	for name, b := range s {
		out[name] = digest(b)
	}
	return out
}

// hasty is a share on which the run is told to leave as the new set is moved in.
type hasty struct {
	stage.Share
	leave func()
}

func (h hasty) Rename(from, to string) error {
	if to == "Certificates/AAD" {
		h.leave()
	}
	return h.Share.Rename(from, to)
}

// TestASwapIsSeenToItsEnd: after the swap a run that is told to leave still proves what it published, and keeps the set before.
func TestASwapIsSeenToItsEnd(t *testing.T) {
	sh := folder(t, t.TempDir())
	publish(t, sh, older, "run-0")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := stage.Publish(ctx, hasty{sh, cancel}, newer.section("AAD"), digest("new"), newer.open, options("run-1"))
	left, lerr := stage.Leftovers(sh)
	if err != nil || r.Outcome != stage.Published || lerr != nil || len(left) != 1 || !strings.Contains(left[0], "previous-") {
		t.Errorf("%+v, %v, left %v, %v", r, err, left, lerr)
	}
}

// early is a share on which recovery begins when the layout has been seen.
type early struct {
	stage.Share
	seen chan struct{}
	once sync.Once
}

func (e *early) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "_certstamp" {
		<-e.seen
	}
	if name == "Certificates" {
		defer e.once.Do(func() { close(e.seen) })
	}
	return e.Share.ReadDir(name)
}

// TestWhatWasPutRightIsSeen: the layout is looked at again once recovery has changed it.
func TestWhatWasPutRightIsSeen(t *testing.T) {
	for _, s := range []set{older, newer} {
		sh := folder(t, t.TempDir())
		publish(t, sh, older, "run-0")
		if _, err := stage.Publish(t.Context(), &failingRename{Share: sh, to: "Certificates/AAD"}, newer.section("AAD"), digest("new"), newer.open, options("run-1")); err == nil {
			t.Fatal("published")
		}
		r, err := stage.Publish(t.Context(), &early{Share: sh, seen: make(chan struct{})}, s.section("AAD"), digest(fmt.Sprint(s)), s.open, options("run-2"))
		if err != nil || !maps.Equal(r.Previous, sums(older)) || (r.Outcome == stage.Unchanged) != maps.Equal(s, older) || len(r.Recovered) == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// shown is a share that tells who may do what, or cannot.
type shown struct {
	stage.Share
	rights map[string][]string // by the beginning of the name
	denied map[string]bool
}

func (s shown) Rights(name string) ([]string, error) {
	for at := range s.denied {
		if strings.HasPrefix(name, at) {
			return nil, fs.ErrPermission
		}
	}
	for at, r := range s.rights {
		if strings.HasPrefix(name, at) {
			return r, nil
		}
	}
	return nil, fs.ErrNotExist
}

// TestRightsThatAreLost: what the set before granted, or the folder it would lie in, and the staged one does not.
func TestRightsThatAreLost(t *testing.T) {
	const live, above, staged = "Certificates/AAD", "Certificates", "_certstamp/stage-"
	for what, row := range map[string]struct {
		rights map[string][]string
		denied map[string]bool
		want   []string
	}{
		"nothing is lost":                  {map[string][]string{live: {"a", "b"}, staged: {"b", "a", "c"}}, nil, nil},
		"one is lost":                      {map[string][]string{live: {"a", "b"}, staged: {"b"}}, nil, []string{"a"}},
		"the folder shows it, not the set": {map[string][]string{above: {"a"}, staged: {"b"}}, map[string]bool{live: true}, []string{"a"}},
		"the staged set shows nothing":     {map[string][]string{live: {"a"}}, map[string]bool{staged: true}, nil},
		"nothing is shown":                 {nil, map[string]bool{above: true, staged: true}, nil},
	} {
		sh := folder(t, t.TempDir())
		publish(t, sh, older, "run-0")
		r, err := stage.Publish(t.Context(), shown{sh, row.rights, row.denied}, newer.section("AAD"), digest("new"), newer.open, options("run-1"))
		if err != nil || !slices.Equal(r.Rights, row.want) {
			t.Errorf("%s: %q, %v, want %q", what, r.Rights, err, row.want)
		}
	}
}

// moving is a share on which some moves fail, before or after they are made.
type moving struct {
	stage.Share
	fails  func(from, to string) error
	made   bool
	unseen string // cannot be looked at
}

func (m *moving) Rename(from, to string) error {
	err := m.fails(from, to)
	if err != nil && !m.made {
		return err
	}
	return errors.Join(m.Share.Rename(from, to), err)
}

func (m *moving) Stat(name string) (fs.FileInfo, error) {
	if name == m.unseen {
		return nil, fs.ErrPermission
	}
	return m.Share.Stat(name)
}

// TestASwapThatFails says whether the live set was touched: not when it lies where it lay.
func TestASwapThatFails(t *testing.T) {
	const live = "Certificates/AAD"
	away := func(from, _ string) error {
		if from == live {
			return errPower
		}
		return nil
	}
	in := func(from, to string) error {
		if to == live && strings.Contains(from, "stage-") {
			return errPower
		}
		return nil
	}
	any := func(_, to string) error {
		if to == live {
			return errPower
		}
		return nil
	}
	for what, row := range map[string]struct {
		before  set
		share   moving
		changed bool
		now     set
	}{
		"the set before stays":                {older, moving{fails: away}, false, older},
		"the set before goes, without a word": {older, moving{fails: away, made: true}, true, set{}},
		"the set before is moved back":        {older, moving{fails: in}, false, older},
		"the set before cannot be moved back": {older, moving{fails: any}, true, set{}},
		"the set before cannot be looked at":  {older, moving{fails: away, unseen: live}, false, older},
		"the first set does not come":         {nil, moving{fails: in}, false, set{}},
		"the first set comes, without a word": {nil, moving{fails: in, made: true}, true, newer},
	} {
		dir := t.TempDir()
		sh := folder(t, dir)
		if row.before != nil {
			publish(t, sh, row.before, "run-0")
		}
		row.share.Share = sh
		r, err := stage.Publish(t.Context(), &row.share, newer.section("AAD"), digest("new"), newer.open, options("run-1"))
		if now := served(t, dir, "AAD"); err == nil || r.Changed != row.changed || !maps.Equal(now, row.now) {
			t.Errorf("%s: %v, changed %v, the share holds %v", what, err, r.Changed, now)
		}
	}
}

// TestBusyNamesAreTriedAgain, each time after twice the wait before, and not for ever.
func TestBusyNamesAreTriedAgain(t *testing.T) {
	for busy, ok := range map[int]bool{7: true, 8: false} {
		sh := folder(t, t.TempDir())
		publish(t, sh, older, "run-0")
		left := busy
		var waits []time.Duration
		o := options("run-1")
		o.Wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
		m := &moving{Share: sh, fails: func(from, _ string) error {
			if left--; left >= 0 && from == "Certificates/AAD" {
				return stage.ErrBusy
			}
			return nil
		}}
		_, err := stage.Publish(t.Context(), m, newer.section("AAD"), digest("new"), newer.open, o)
		if (err == nil) != ok || !ok && !errors.Is(err, stage.ErrBusy) || len(waits) != 7 || waits[0] != 100*time.Millisecond || waits[6] != 64*waits[0] {
			t.Errorf("busy %d times: %v, waited %v", busy, err, waits)
		}
	}
}

// TestAccess: the stamp reads each file, and writes, reads and removes one beside the set.
func TestAccess(t *testing.T) {
	const staged = "_certstamp/stage-x/AAD"
	for what, row := range map[string]struct {
		holds set
		share func(stage.Share) stage.Share
		class stage.Class
	}{
		"all of it":                   {newer, nil, ""},
		"other bytes":                 {older, nil, stage.ClassVerification},
		"a file is not there":         {set{"ACSBlob/ACSBlob.pfx": "new blob"}, nil, stage.ClassInternal},
		"nothing can be made":         {newer, func(sh stage.Share) stage.Share { return readonly{sh} }, stage.ClassPermission},
		"nothing can be removed":      {newer, func(sh stage.Share) stage.Share { return hoarding{sh} }, stage.ClassPermission},
		"what is made cannot be read": {newer, func(sh stage.Share) stage.Share { return blind{sh} }, stage.ClassPermission},
	} {
		dir := t.TempDir()
		for name, b := range row.holds {
			p := filepath.Join(dir, staged, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(b), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		sh := folder(t, dir)
		if row.share != nil {
			sh = row.share(sh)
		}
		err := stage.Access(sh, newer.section("AAD"), staged)
		var e *stage.Error
		if (err == nil) != (row.class == "") || err != nil && (!errors.As(err, &e) || e.Class != row.class) {
			t.Errorf("%s: %v, want class %q", what, err, row.class)
		}
		if _, err := os.Stat(filepath.Join(dir, "_certstamp/stage-x/probe")); row.class == "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the probe is left: %v", what, err)
		}
	}
}

type readonly struct{ stage.Share }

func (readonly) Create(string, []byte) error { return fs.ErrPermission }

type hoarding struct{ stage.Share }

func (hoarding) Remove(string) error { return fs.ErrPermission }

type blind struct{ stage.Share }

func (b blind) ReadFile(name string, most int64) ([]byte, error) {
	if path.Base(name) == "probe" {
		return nil, fs.ErrPermission
	}
	return b.Share.ReadFile(name, most)
}

// TestNothingIsPublishedUnseen: a part of the share that cannot be listed may hold what the stamp would trip over.
func TestNothingIsPublishedUnseen(t *testing.T) {
	for _, name := range []string{".", "Certificates", "Certificates/AAD", "Certificates/AAD/Admin Portal"} {
		dir := t.TempDir()
		sh := deaf{folder(t, dir), "list", name}
		publish(t, sh.Share, older, "run-0")
		r, err := stage.Publish(t.Context(), sh, newer.section("AAD"), digest("new"), newer.open, options("run-1"))
		_, _, checked := stage.Check(t.Context(), sh, newer.section("AAD"))
		var e *stage.Error
		if now := served(t, dir, "AAD"); !errors.As(err, &e) || e.Class != stage.ClassPermission || checked == nil || r.Changed || !maps.Equal(now, older) {
			t.Errorf("%s: %v and %v, changed %v, the stamp sees %v", name, err, checked, r.Changed, now)
		}
	}
	for n, ok := range map[int]bool{1999: true, 2000: false} { // and the work folder
		dir := t.TempDir()
		for i := range n {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := stage.Publish(t.Context(), folder(t, dir), newer.section("AAD"), digest("new"), newer.open, options("run-1")); (err == nil) != ok {
			t.Errorf("a share with %d names: %v", n, err)
		}
	}
}
