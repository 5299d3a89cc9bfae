package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStageKeepsTheSet: stage fills the backup that nobody filled, with the bytes that it publishes, once nothing speaks against
// the plan. Until then it leaves what is there, which a rerun may need.
func TestStageKeepsTheSet(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	packed := print(t, s.s.Backup)
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
	if !strings.Contains(a.stdout, "backup") || print(t, s.s.Backup) != packed {
		t.Errorf("the backup is not the set that was packed\n%s", a.stdout)
	}
	a = s.must(nil, append([]string{"stage"}, bound...)...)
	if strings.Contains(a.stdout, "kept in") {
		t.Errorf("it was kept twice\n%s", a.stdout)
	}
}
