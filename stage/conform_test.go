package stage_test

import (
	"errors"
	"os"
	"path/filepath"
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
