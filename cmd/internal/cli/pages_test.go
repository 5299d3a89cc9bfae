package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	shownCommand = regexp.MustCompile("certstamp((?: --(?:format|ci)[ =]\\S+)*) ([a-z]+)\\b([^`\n;|]*)")
	shownFlag    = regexp.MustCompile(`(?:^|[ \[])--([a-z0-9-]+)`)
)

// TestPagesShowFlags: each command that a page, a workflow or a pipeline shows takes the flags that stand behind it there.
func TestPagesShowFlags(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "examples/gitops/*", "examples/gitops/.github/workflows/*", "cmd/internal/cli/starter/README.md"} {
		found, err := filepath.Glob(filepath.Join("..", "..", "..", filepath.FromSlash(pattern)))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	helps := map[string]string{}
	seen := 0
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.IsDir() {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range shownCommand.FindAllStringSubmatch(string(b), -1) {
			command, said := m[2], m[3]
			said, _, _ = strings.Cut(said, " # ")
			flags := shownFlag.FindAllStringSubmatch(said, -1)
			if len(flags) == 0 {
				continue
			}
			if _, asked := helps[command]; !asked {
				helps[command] = in(t, t.TempDir(), command, "--help").stdout
			}
			for _, flag := range flags {
				seen++
				if !regexp.MustCompile(`--` + flag[1] + `\b`).MatchString(helps[command]) {
					t.Errorf("%s shows %q, and %s has no --%s", filepath.Base(f), m[0], command, flag[1])
				}
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d flags were found", seen)
	}
}
