package stage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/stage"
)

// stubborn is a share that has not noticed yet that the last client died: what that left cannot be removed at first.
type stubborn struct {
	stage.Share
	answers []error // one for each try
	tries   *int
}

func (s stubborn) Remove(name string) error {
	if !strings.Contains(name, "stage-") {
		return s.Share.Remove(name)
	}
	*s.tries++
	if n := *s.tries; n <= len(s.answers) {
		return s.answers[n-1]
	}
	return s.Share.Remove(name)
}

// TestLeftoversOfTheDead: a stage that a dead run left behind is removed again and again for a moment, whether the server
// calls it busy or denied; an account that may not remove is told so, and the set stays as it was.
func TestLeftoversOfTheDead(t *testing.T) {
	busy, denied := stage.ErrBusy, fs.ErrPermission
	for name, row := range map[string]struct {
		answers []error
		class   stage.Class // of the failure; empty: none
	}{
		"busy for a while":   {[]error{busy, busy, busy, busy, busy}, ""},
		"denied for a while": {[]error{denied, denied, denied}, ""},
		"one, then another":  {[]error{denied, busy, denied, denied, busy, denied}, ""},
		"denied":             {[]error{denied, denied, denied, denied, denied, denied}, stage.ClassPermission},
		"busy":               {[]error{busy, busy, busy, busy, busy, busy, busy, busy, busy}, stage.ClassBusy},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			publish(t, folder(t, dir), older, "run-1")
			dead := filepath.Join(dir, "_certstamp", fmt.Sprintf("stage-%s-run-0", digest("x")[:16]))
			if err := os.Mkdir(dead, 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := stage.Publish(t.Context(), stubborn{folder(t, dir), row.answers, new(int)}, newer.section("AAD"), digest("new"), newer.open, options("run-2"))
			var failed *stage.Error
			want := newer
			switch {
			case row.class == "" && err != nil:
				t.Fatal(err)
			case row.class != "":
				want = older
				if !errors.As(err, &failed) || failed.Class != row.class {
					t.Fatalf("got %v, wanted class %s", err, row.class)
				}
			}
			if now := served(t, dir, "AAD"); !maps.Equal(now, want) {
				t.Errorf("the share holds %v", now)
			}
			if _, err := os.Stat(dead); (err == nil) != (row.class != "") {
				t.Errorf("what the dead run left: %v", err)
			}
		})
	}
}

// deaf is a share on which one question about one name fails.
type deaf struct {
	stage.Share
	op, name string
}

func (d deaf) fails(op, name string) error {
	if d.op == op && strings.HasPrefix(name, d.name) {
		return fs.ErrPermission
	}
	return nil
}

func (d deaf) Stat(name string) (fs.FileInfo, error) {
	if err := d.fails("stat", name); err != nil {
		return nil, err
	}
	return d.Share.Stat(name)
}

func (d deaf) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := d.fails("list", name); err != nil {
		return nil, err
	}
	return d.Share.ReadDir(name)
}

func (d deaf) ReadFile(name string, most int64) ([]byte, error) {
	if err := d.fails("read", name); err != nil {
		return nil, err
	}
	return d.Share.ReadFile(name, most)
}

func (d deaf) Rename(from, to string) error {
	if err := d.fails("rename", from); err != nil {
		return err
	}
	return d.Share.Rename(from, to)
}

func (d deaf) Remove(name string) error {
	if err := d.fails("remove", name); err != nil {
		return err
	}
	return d.Share.Remove(name)
}

// interrupted is a share that a run left between its two moves, with the set before in its own folder only, or after both.
func interrupted(t *testing.T, swapped bool) (stage.Share, string) {
	t.Helper()
	dir := t.TempDir()
	sh := folder(t, dir)
	publish(t, sh, older, "run-0")
	var at stage.Share = &failingRename{Share: sh, to: "Certificates/AAD"}
	if swapped {
		at = deaf{sh, "rename", "_certstamp/undo-"}
	}
	if _, err := stage.Publish(t.Context(), at, newer.section("AAD"), digest(fmt.Sprint(newer)), newer.open, options("run-1")); err == nil {
		t.Fatal("published")
	}
	want := set{}
	if swapped {
		want = newer
	}
	if now := served(t, dir, "AAD"); !maps.Equal(now, want) {
		t.Fatalf("the stamp sees %v", now)
	}
	return sh, dir
}

// holds reports whether the share has each file of a set, wherever it lies.
func holds(t *testing.T, dir string, s set) bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		found[string(b)] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range s {
		if !found[b] {
			return false
		}
	}
	return true
}

// TestNothingIsRecoveredAway: whatever fails while an interrupted run is put right, the next run says so and goes no further, and
// the set before is kept.
func TestNothingIsRecoveredAway(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		for what, fault := range map[string]deaf{
			"nothing":                                 {},
			"the work folder cannot be listed":        {op: "list", name: "_certstamp"},
			"the set before cannot be looked at":      {op: "stat", name: "_certstamp/undo-"},
			"the live set cannot be looked at":        {op: "stat", name: "Certificates/AAD"},
			"the set before cannot be moved":          {op: "rename", name: "_certstamp/undo-"},
			"what was staged cannot be listed":        {op: "list", name: "_certstamp/stage-"},
			"what was staged cannot be removed":       {op: "remove", name: "_certstamp/stage-"},
			"the folder of the set cannot be removed": {op: "remove", name: "_certstamp/undo-"},
		} {
			sh, dir := interrupted(t, swapped)
			before := served(t, dir, "AAD")
			fault.Share = sh
			o := options("run-2")
			o.Journal = func(step, _ string, _ map[string]string) error {
				if step == "publish" {
					return errPower // far enough
				}
				return nil
			}
			_, err := stage.Publish(t.Context(), fault, newer.section("AAD"), digest(fmt.Sprint(newer)), newer.open, o)
			staged := strings.Contains(fault.name, "stage-") && swapped // went with the swap
			undone := fault.op == "remove" && strings.Contains(fault.name, "undo-") && swapped
			went := errors.Is(err, errPower)
			if err == nil || went != (what == "nothing" || staged || undone) {
				t.Errorf("%s, swapped %v: %v", what, swapped, err)
			}
			if now := served(t, dir, "AAD"); !maps.Equal(now, before) && !maps.Equal(now, older) || !holds(t, dir, older) {
				t.Errorf("%s, swapped %v: the stamp sees %v, the set before is kept %v", what, swapped, now, holds(t, dir, older))
			}
		}
	}
}

// TestUnstageEndsAtOnce when something cannot be looked at, and says where.
func TestUnstageEndsAtOnce(t *testing.T) {
	for what, fault := range map[string]deaf{
		"the set cannot be looked at":          {op: "stat", name: "Certificates"},
		"the work folder cannot be listed":     {op: "list", name: "_certstamp"},
		"the share cannot be listed":           {op: "list", name: "."},
		"a folder of the set cannot be listed": {op: "list", name: "Certificates/AAD/Admin Portal"},
		"a file of the set cannot be read":     {op: "read", name: "Certificates/AAD/Admin Portal"},
	} {
		dir := t.TempDir()
		fault.Share = folder(t, dir)
		publish(t, fault.Share, newer, "run-0")
		r, err := stage.Unstage(t.Context(), fault, newer.section("AAD"), digest("new"), options("run-1"))
		var e *stage.Error
		if now := served(t, dir, "AAD"); !errors.As(err, &e) || e.Class != stage.ClassPermission || r.Changed || !maps.Equal(now, newer) {
			t.Errorf("%s: %v, changed %v, the stamp sees %v", what, err, r.Changed, now)
		}
	}
	for _, name := range []string{"Certificates/AAD/ACSBlob/ACSBlob.pfx", "Certificates/AAD/ACSBlob", "Certificates/AAD", "_certstamp/previous-", "_certstamp/journal", "_certstamp/lock", "_certstamp"} {
		sh := folder(t, t.TempDir())
		publish(t, sh, older, "run-0")
		publish(t, sh, newer, "run-1")
		if err := sh.Append("_certstamp/journal.jsonl", []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
		r, err := stage.Unstage(t.Context(), deaf{sh, "remove", name}, newer.section("AAD"), digest("new"), options("run-2"))
		var e *stage.Error
		if !errors.As(err, &e) || e.Class != stage.ClassPermission || !r.Changed {
			t.Errorf("%s cannot be removed: %v, changed %v", name, err, r.Changed)
		}
	}
	for what, answer := range map[string]func(name string) error{
		"somebody removes each name first": func(string) error { return fs.ErrNotExist },
		"the lock is the next run's by then": func(name string) error {
			if name == "_certstamp/lock" {
				return stage.ErrBusy
			}
			return nil
		},
	} {
		sh := folder(t, t.TempDir())
		publish(t, sh, older, "run-0")
		publish(t, sh, newer, "run-1")
		r, err := stage.Unstage(t.Context(), raced{sh, answer}, newer.section("AAD"), digest("new"), options("run-2"))
		if err != nil || r.Outcome != stage.Removed || r.Files != len(newer) {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
}

// raced is a share on which names are removed, and the answer is another.
type raced struct {
	stage.Share
	answer func(name string) error
}

func (r raced) Remove(name string) error {
	return errors.Join(r.Share.Remove(name), r.answer(name))
}
