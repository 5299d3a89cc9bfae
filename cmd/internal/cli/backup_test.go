package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStageKeepsTheSet: stage fills the backup that nobody filled, with the bytes that it publishes, once nothing speaks against
// the plan. Until then it leaves what is there, which a rerun may need.
func TestStageKeepsTheSet(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	packed := print(t, filepath.Join(s.s.Backup, "AAD"))
	first, err := filepath.Glob(filepath.Join(s.s.Backup, "AAD", "*", "*.pfx"))
	if err != nil || len(first) == 0 {
		t.Fatalf("the backup has %v, %v", first, err)
	}
	for _, name := range first[1:] {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(first[0], []byte("of the set before"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := print(t, s.s.Backup)
	withoutBackup := append(append([]string{"stage"}, bound[:4]...), "--allow-path", s.s.Share)
	for _, row := range []struct {
		claim string
		env   map[string]string
		args  []string
		code  int
		says  string
	}{
		{"another target", map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, append([]string{"stage"}, bound...), 1, "is pinned"},
		{"a stamp that cannot be asked", map[string]string{"PEP_PASSWORD": "WrongPassword12"}, append([]string{"stage"}, bound...), 3, "the login was refused"},
		{"a backup that is not allowed", nil, withoutBackup, 2, "--allow-path"},
	} {
		a := s.run(row.env, row.args...)
		if a.code != row.code || !strings.Contains(a.stderr, row.says) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", row.claim, a.code, row.code, row.says, a.stderr)
		}
		if print(t, s.s.Backup) != before {
			t.Errorf("%s: the backup was changed", row.claim)
		}
		if _, err := os.Stat(filepath.Join(s.s.Share, "Certificates")); err == nil {
			t.Errorf("%s: a set is on the share", row.claim)
		}
	}
	a := s.must(nil, append([]string{"stage"}, bound...)...)
	if !strings.Contains(a.stdout, "backup") || print(t, filepath.Join(s.s.Backup, "AAD")) != packed {
		t.Errorf("the backup is not the set that was packed\n%s", a.stdout)
	}
	a = s.must(nil, append([]string{"stage"}, bound...)...)
	if strings.Contains(a.stdout, "kept in") {
		t.Errorf("it was kept twice\n%s", a.stdout)
	}
	if kept, err := filepath.Glob(filepath.Join(s.s.Backup, ".kept", "*", "AAD", "*", "*.pfx")); err != nil || len(kept) != 1 || read(t, kept[0]) != "of the set before" {
		t.Errorf("of the set before %v is left, %v", kept, err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRerunFindsItsSet: whatever was packed or staged since, a rerun gets the files that the rotation was started with.
func TestRerunFindsItsSet(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Extra = "fail: {step: 4, message: 'the gateway did not take certificate 3'}\n"
	s := newStand(t, spec)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 4, "action-failed")
	// Sets came and went: the one in question is none of the last two.
	for _, name := range []string{"20260101T000000-x", "20260102T000000-y"} {
		if err := os.MkdirAll(filepath.Join(s.s.Backup, ".kept", name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(s.s.Backup, "AAD"), filepath.Join(s.s.Backup, ".kept", name, "AAD")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(s.s.Backup, "AAD", "ACSBlob"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.s.Backup, "AAD", "ACSBlob", "ACSBlob.pfx"), []byte("of another set"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rerun := s.plan("rerun.json", "--kind", "rerun")
	s.must(nil, append([]string{"stage"}, rerun...)...)
	s.must(nil, append([]string{"rotate"}, rerun...)...)
}

// TestBackupIsPruned: a set more than the kept ones costs the oldest, and never the last.
func TestBackupIsPruned(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.pack()
	blob := filepath.Join(s.s.Backup, "AAD", "ACSBlob", "ACSBlob.pfx")
	pack := append([]string{"pack", "--stamp", s.name(), "--key-identity", "env:PFX_IDENTITY", "--backup"}, s.allow()...)
	for i := range 12 {
		if err := os.WriteFile(blob, fmt.Appendf(nil, "set %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		s.now = func() time.Time { return time.Now().Add(time.Duration(i) * time.Second) }
		s.must(nil, pack...)
	}
	kept, err := filepath.Glob(filepath.Join(s.s.Backup, ".kept", "*", "AAD", "ACSBlob", "ACSBlob.pfx"))
	if err != nil || len(kept) != 8 || read(t, kept[0]) != "set 4" || read(t, kept[7]) != "set 11" {
		t.Errorf("%q are kept, %v", kept, err)
	}
	if s := read(t, blob); strings.HasPrefix(s, "set ") {
		t.Errorf("the backup holds %q", s)
	}
}
