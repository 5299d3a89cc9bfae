//go:build unix

package cli_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPipeIsNoFile: opening a pipe waits for somebody to write, and an interrupt does not end that.
func TestPipeIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for _, args := range [][]string{
		{"stage", "--plan", pipe, "--plan-sha256", strings.Repeat("ab", 32)},
		{"validate", "--stamp", pipe},
		{"simulate", "--scenario", pipe},
		{"pep", "Get-ActionStatus", "--host", "127.0.0.1:9", "--user", "x", "--password", "file:" + pipe},
	} {
		code, _, stderr := alone(t, dir, nil, args...)
		if code != 2 || !strings.Contains(stderr, "not a regular file") || !strings.Contains(stderr, "certstamp: hint: ") {
			t.Errorf("%q: exit %d\n%s", args, code, stderr)
		}
	}
}
