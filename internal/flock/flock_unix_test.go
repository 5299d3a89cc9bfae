//go:build unix

package flock_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/certstamp/certstamp/internal/flock"
)

// TestTakePipe: a pipe can be opened and locked, and to read from one would take for ever.
func TestTakePipe(t *testing.T) {
	root, dir := open(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := flock.Take(root, "pipe", "somebody"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
}
