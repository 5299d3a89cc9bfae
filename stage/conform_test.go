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

// TestEveryFaultAtEveryCall lets each kind of fault strike at each call of a publish, answered or not. The run says what kind
// it was, the share shows the old set, the new one or none, and the next run puts everything right.
func TestEveryFaultAtEveryCall(t *testing.T) {
	for class, err := range map[stage.Class]error{
		stage.ClassSpace: stage.ErrSpace, stage.ClassPermission: fs.ErrPermission, stage.ClassTransport: stage.ErrTransport, stage.ClassInternal: errors.New("anything else"),
	} {
		for _, half := range []bool{false, true} {
			for n := 1; ; n++ {
				dir := t.TempDir()
				publish(t, folder(t, dir), older, "run-0")
				sh := &stagetest.Faulty{Share: folder(t, dir), N: n, Err: err, Half: half}
				_, failed := stage.Publish(t.Context(), sh, newer.section("AAD"), digest("new"), newer.open, options("run-1"))
				if !sh.Struck() {
					if failed != nil {
						t.Errorf("%s: nothing struck, and still: %v", class, failed)
					}
					break // the publish has fewer calls
				}
				var e *stage.Error
				if failed != nil && (!errors.As(failed, &e) || e.Class != class) {
					t.Errorf("%s at call %d: %v", class, n, failed)
				}
				if got := served(t, dir, "AAD"); len(got) > 0 && !maps.Equal(got, older) && !maps.Equal(got, newer) {
					t.Errorf("%s at call %d: the share shows %v", class, n, got)
				}
				_ = sh.Close()
				publish(t, folder(t, dir), newer, "run-2")
				left, err := stage.Leftovers(folder(t, dir))
				if got := served(t, dir, "AAD"); err != nil || !maps.Equal(got, newer) || slices.ContainsFunc(left, func(s string) bool { return !strings.Contains(s, "previous-") }) {
					t.Fatalf("%s at call %d: then the share shows %v, left %v, %v", class, n, got, left, err)
				}
			}
		}
	}
}
