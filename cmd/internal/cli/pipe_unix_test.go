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

// TestPipeOnTheWay: a pipe where a journal or a file of the set belongs is refused. To read from it, or to write into it, would wait for
// ever, with the stamp's lock held.
func TestPipeOnTheWay(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	s.must(nil, append([]string{"stage"}, bound...)...)
	local := filepath.Join(s.w.Repo, ".certstamp", "east")
	shared := filepath.Join(s.s.Share, "_certstamp", "journal.jsonl")
	published, err := filepath.Glob(filepath.Join(s.s.Share, "Certificates", "AAD", "ACSBlob", "*.pfx"))
	if err != nil || len(published) != 1 {
		t.Fatalf("%v, %v", published, err)
	}
	journal := filepath.Join(local, "journal-"+bound[3][:12]+".jsonl")
	status := append([]string{"status", "--stamp", s.name()}, s.allow()...)
	for _, row := range []struct {
		pipe string
		args []string
		code int
	}{
		{filepath.Join(local, "journal-0123456789ab.jsonl"), append([]string{"rotate", "--check"}, bound...), 0}, // of another plan: it shows nothing
		{journal, status, 3},
		{journal, append([]string{"rotate"}, bound...), 3},
		{shared, status, 3},
		{shared, append([]string{"rotate"}, bound...), 3},
		{published[0], append([]string{"stage", "--check"}, bound...), 3},
		{published[0], append([]string{"rotate"}, bound...), 3},
		{filepath.Join(s.s.Share, "_certstamp", "lock"), append([]string{"rotate"}, bound...), 3},
		{filepath.Join(local, "records-"+bound[3][:12]+".jsonl"), append([]string{"rotate"}, bound...), 0}, // a rotation does not depend on it
	} {
		b, err := os.ReadFile(row.pipe)
		if err := errors.Join(os.RemoveAll(row.pipe), syscall.Mkfifo(row.pipe, 0o600)); err != nil {
			t.Fatal(err)
		}
		a := s.run(nil, row.args...)
		if a.code != row.code || a.code != 0 && !strings.Contains(a.stdout+a.stderr, "not a") {
			t.Errorf("%s with a pipe as %s: exit %d, wanted %d\n%s%s", row.args[0], row.pipe, a.code, row.code, a.stdout, a.stderr)
		}
		if again := os.Remove(row.pipe); again != nil {
			t.Fatal(again)
		}
		if err == nil {
			if err := os.WriteFile(row.pipe, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
