package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/cli"
)

// TestScenarioMistakesSayWhere: whoever writes a scenario by hand hears the file, the line and what was probably meant.
func TestScenarioMistakesSayWhere(t *testing.T) {
	dir := t.TempDir()
	const head = "region: east\nfqdn: f.example\nidentity: AAD\nversion: 1.2301.2.58\ncloud-id: SIMULATED-x\nusers: [{name: u, password: 'env:PEP_X'}]\n"
	for text, want := range map[string][]string{
		"heath: {}\ntotallyother: 1\n":                        {`error: rehearse.yaml:7:1: unknown key "heath", did you mean "health"?`, `rehearse.yaml:8:1: unknown key "totallyother", wanted one of [region `},
		"update: running\nfaults:\n- {on: Recv, do: '503'}\n": {`error: rehearse.yaml:7:1: update "running", wanted one of [Running`, `rehearse.yaml:9:3: fault on "Recv", wanted one of [Create`},
		strings.Repeat("? {}\n: {}\n", 150):                   {"and 50 more"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "rehearse.yaml"), []byte(head+text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		code := cli.Main(t.Context(), []string{"simulate", "--scenario", "rehearse.yaml"}, cli.Env{
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: dir, Now: time.Now, Version: "test",
			Getenv: func(name string) string { return map[string]string{"PEP_X": "SIMULATED-Passw0rd"}[name] },
		})
		if code != 2 || out.Len() > 0 {
			t.Errorf("exit %d, want 2\n%s", code, out.String())
		}
		for _, w := range want {
			if !strings.Contains(errs.String(), w) {
				t.Errorf("no %q in\n%.2000s", w, errs.String())
			}
		}
	}
}
