package flock_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/certstamp/certstamp/internal/flock"
)

func open(t *testing.T) (root *os.Root, dir string) {
	t.Helper()
	dir = t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root, dir
}

func TestTake(t *testing.T) {
	root, _ := open(t)
	first, err := flock.Take(root, "lock", "the first, whose name is longer")
	if err != nil {
		t.Fatal(err)
	}
	var held *flock.HeldError
	if _, err := flock.Take(root, "lock", "the second"); !errors.As(err, &held) || held.Owner != "the first, whose name is longer" {
		t.Errorf("beside the first: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := flock.Take(root, "lock", "the second")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := flock.Take(root, "lock", "the third"); !errors.As(err, &held) || held.Owner != "the second" {
		t.Errorf("beside the second: %v", err)
	}
}

// TestTakeWhileItIsRemoved: holders that take the file away when they are done let nobody in beside the next one.
func TestTakeWhileItIsRemoved(t *testing.T) {
	root, _ := open(t)
	var (
		inside, taken atomic.Int32
		wg            sync.WaitGroup
	)
	for range 4 {
		wg.Go(func() {
			for range 500 {
				l, err := flock.Take(root, "lock", "one of four")
				if errors.As(err, new(*flock.HeldError)) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				taken.Add(1)
				if inside.Add(1) != 1 {
					t.Error("two have it")
				}
				inside.Add(-1)
				if err := errors.Join(root.Remove("lock"), l.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		t.Error("nobody ever had it")
	}
}

// TestTakeWhatIsNoFile: a link in the place of the lock leads to no file that the owner would be written into.
func TestTakeWhatIsNoFile(t *testing.T) {
	root, dir := open(t)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "precious"), []byte("as it was"), 0o600), os.Mkdir(filepath.Join(dir, "folder"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("precious", filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"link", "folder"} {
		if l, err := flock.Take(root, name, "somebody"); err == nil {
			_ = l.Close()
			t.Errorf("the %s was locked", name)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "precious")); err != nil || string(b) != "as it was" {
		t.Errorf("the file behind the link holds %q, %v", b, err)
	}
}
