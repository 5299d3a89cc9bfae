package cli_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/report"
)

// alone runs a command without a workspace of its own.
func alone(t *testing.T, dir string, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Main(t.Context(), args, cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: dir, Now: time.Now, Version: "test",
		Getenv: func(name string) string { return env[name] },
	})
	return code, out.String(), errs.String()
}

// TestOneDocument: with --format json the standard output is one document, whatever went wrong, the command line included.
func TestOneDocument(t *testing.T) {
	for _, args := range [][]string{
		{"--format", "json", "rotat"},
		{"rotat", "--format=json"},
		{"validate", "--stmp", "x", "--format", "json"},
		{"--format", "json", "--format", "yaml", "validate"},
		{"--format", "json", "--format", "text", "validate"},
		{"--format", "json", "validate"},
		{"--format", "json", "demo", "--out", "document_test.go"},
		{"--format", "json", "plan", "--kind", "externl"},
		{"--format", "json", "version"},
		{"--format", "json", "stage", "--plan", "none.json", "--plan-sha256", strings.Repeat("ab", 32)},
	} {
		dir := t.TempDir()
		if file, err := filepath.Abs("document_test.go"); err == nil && args[len(args)-1] == "document_test.go" {
			args[len(args)-1] = file
		}
		code, stdout, stderr := alone(t, dir, nil, args...)
		var d report.Document
		if err := json.Unmarshal([]byte(stdout), &d); err != nil {
			t.Errorf("%q: %v\n%s%s", args, err, stdout, stderr)
			continue
		}
		want := 2
		if args[len(args)-1] == "version" {
			want = 0
		}
		got := 0
		if d.Error != nil {
			got = d.Error.Code
			if d.Error.Hint == "" || strings.Count(stderr, "certstamp: error: ") != 1 {
				t.Errorf("%q: %+v\n%s", args, d.Error, stderr)
			}
		}
		if code != want || got != want {
			t.Errorf("%q: exit %d, the document says %d, wanted %d\n%s", args, code, got, want, stderr)
		}
	}
}

// TestUnwritableDocument: a file that cannot be written is an error with a hint of its own, and never a second one.
func TestUnwritableDocument(t *testing.T) {
	dir := t.TempDir()
	for args, want := range map[string]int{"version": 2, "validate": 2} {
		code, _, stderr := alone(t, dir, nil, "--format", "json="+dir, args)
		if code != want || strings.Count(stderr, "certstamp: error: ") != 1 || strings.Count(stderr, "certstamp: hint: ") != 1 {
			t.Errorf("%s: exit %d\n%s", args, code, stderr)
		}
	}
}

// TestMasksLeaveTheDocumentAlone: somebody redirects stdout into a file and uploads it. No command of the runner may be in
// it: it would be no JSON, and it would hold the secret.
func TestMasksLeaveTheDocumentAlone(t *testing.T) {
	s := newStand(t, east)
	for _, platform := range []string{"GITHUB_ACTIONS", "TF_BUILD"} {
		env := maps.Clone(s.w.Secrets)
		env[platform] = "true"
		// Without certificates it ends after the password was resolved and masked.
		code, stdout, stderr := alone(t, s.w.Repo, env, "--format", "json", "validate", "--stamp", s.name())
		if code != 2 || !json.Valid([]byte(stdout)) || strings.Contains(stdout, env["PFX_PASSWORD"]) {
			t.Errorf("%s: exit %d\n%s%s", platform, code, stdout, stderr)
		}
		if n := strings.Count(stderr, env["PFX_PASSWORD"]); n != 1 {
			t.Errorf("%s: masked %d times, wanted once:\n%s", platform, n, stderr)
		}
	}
}
