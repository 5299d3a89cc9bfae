package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestWriteFileFollowsLinks holds that a link stays a link and its target gets the bytes, whether it is there yet or not.
func TestWriteFileFollowsLinks(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a link needs a privilege there")
	}
	dir := t.TempDir()
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for _, sub := range []string{"far/deep", "near"} {
		if err := os.MkdirAll(in(sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(in("far", "there.json"), []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		"near/there.json": "../far/there.json", "dangling.json": "far/new.json", "absolute.json": in("far", "absolute.json"),
		"twice.json": "near/there.json", "folder": "far/deep", "folder.json": "folder/../up.json",
	} {
		if err := os.Symlink(filepath.FromSlash(to), in(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ name, lands string }{
		{"near/there.json", "far/there.json"},
		{"twice.json", "far/there.json"},
		{"dangling.json", "far/new.json"},
		{"absolute.json", "far/absolute.json"},
		{"folder/x.json", "far/deep/x.json"},
		{"folder.json", "far/up.json"},
		{"plain.json", "plain.json"},
		{"made/plain.json", "made/plain.json"},
	} {
		if err := writeFile(in(row.name), []byte(row.name), 0o644); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if b, err := os.ReadFile(in(row.lands)); err != nil || string(b) != row.name {
			t.Errorf("%s: %q, %v", row.lands, b, err)
		}
		if info, err := os.Lstat(in(row.name)); err != nil || info.Mode()&os.ModeSymlink == 0 && row.name != row.lands && row.name != "folder/x.json" {
			t.Errorf("%s is no link any more: %v", row.name, err)
		}
		if left, err := filepath.Glob(in("*", ".certstamp-*")); err != nil || len(left) > 0 {
			t.Errorf("%s left %v, %v", row.name, left, err)
		}
	}
	if err := os.Symlink("round.json", in("round.json")); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(in("round.json"), nil, 0o644); err == nil || !strings.Contains(err.Error(), "too many links") {
		t.Errorf("a link to itself: %v", err)
	}
}

// TestWriteFileMakesOneFolder holds that only the last folder of a path is made, and that an error names the file that was
// asked for.
func TestWriteFileMakesOneFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"no/such/report.json": "there is no folder " + filepath.Join(dir, "no"),
		"file/report.json":    filepath.Join(dir, "file") + ": is no folder",
		".":                   dir + ": ",
	} {
		err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), []byte("x"), 0o644)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), ".certstamp-") || hintOf(err) == "" {
			t.Errorf("%s: %v, wanted %q and a hint", name, err, says)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("something was left: %v, %v", entries, err)
	}
}
