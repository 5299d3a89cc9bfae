//go:build unix

package cli_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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

// TestUnreadableFilesHideNothing: what cannot be read fails by itself, and every other file is judged.
func TestUnreadableFilesHideNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.pack()
	tree := filepath.Join(s.w.Repo, "stamps", "east", "certificates", "AAD")
	outside := filepath.Join(t.TempDir(), "outside.pfx")
	at := func(folder, file string) string { return filepath.Join(tree, folder, file) }
	pipe, link, large := at("ACSBlob", "ACSBlob.pfx"), at("ACSQueue", "ACSQueue.pfx"), at("ACSTable", "ACSTable.pfx")
	if err := errors.Join(os.Remove(pipe), syscall.Mkfifo(pipe, 0o600), os.Rename(link, outside), os.Symlink(outside, link), os.WriteFile(large, make([]byte, 3<<20), 0o600)); err != nil {
		t.Fatal(err)
	}
	a := s.run(nil, "validate", "--stamp", "stamps/east", "--offline")
	if a.code != 1 || len(a.doc.Stamps) != 1 {
		t.Fatalf("exit %d\n%s", a.code, a.stderr)
	}
	failed := map[string]string{}
	for _, c := range a.doc.Stamps[0].Certificates {
		for _, f := range c.Tests {
			if f.ID == "parse-pfx" && f.Result == "Fail" {
				failed[c.Folder] = f.Found + " | " + f.Hint
			}
		}
	}
	for folder, want := range map[string]string{"ACSBlob": "not a regular file", "ACSQueue": "escapes", "ACSTable": "larger than"} {
		if !strings.Contains(failed[folder], want) || strings.HasSuffix(failed[folder], "| ") {
			t.Errorf("%s: %q", folder, failed[folder])
		}
	}
	if n := len(a.doc.Stamps[0].Certificates); len(failed) != 3 || n < 10 || slices.Contains([]string{"pass", "warn"}, string(a.doc.Stamps[0].Verdict)) {
		t.Errorf("%d of %d certificates failed, the verdict is %q", len(failed), n, a.doc.Stamps[0].Verdict)
	}
}
