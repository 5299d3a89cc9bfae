package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/certstamp/certstamp/cmd/internal/report"
)

// TestCommentJob runs the job that docs/github.md shows, with a gh that writes down what it is asked.
func TestCommentJob(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "docs/github.md"), "\n## A comment on the pull request\n")
	_, text, _ = strings.Cut(text, "```yaml\n")
	text, _, ok := strings.Cut(text, "```")
	var jobs map[string]struct {
		If          string
		Permissions map[string]string
		Timeout     int `yaml:"timeout-minutes"`
		Steps       []struct {
			Uses, Run string
			Env       map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(text), &jobs); err != nil || !ok {
		t.Fatalf("%v in\n%s", err, text)
	}
	job := jobs["comment"]
	if len(job.Permissions) != 1 || job.Permissions["pull-requests"] != "write" || job.Timeout == 0 {
		t.Errorf("the job may %v for %d minutes", job.Permissions, job.Timeout)
	}
	if !strings.Contains(job.If, "head.repo.full_name == github.repository") {
		t.Errorf("it runs for forks: if: %s", job.If)
	}
	if len(job.Steps) != 2 || !pinned.MatchString(job.Steps[0].Uses) || strings.Contains(job.Steps[1].Run, "${{") || strings.Contains(text, "actions/checkout@") {
		t.Fatalf("the steps are %+v", job.Steps)
	}
	script := job.Steps[1].Run
	if !strings.Contains(script, `startswith("`+report.Sticky+`")`) {
		t.Error("it looks for another marker than pages begin with")
	}

	// What it reads is what pr.yml stores, the page of discover too: only that one says where credentials would go.
	workflow := read(t, "cmd/internal/cli/starter/workflows/pr.yml")
	for _, want := range []string{"command: discover, formats: markdown=reports/comment.md}", "{name: discover, path: reports,", "markdown=reports/comment.md\n", `{name: "validate-${{ matrix.stamp }}", path: reports,`} {
		if !strings.Contains(workflow, want) {
			t.Errorf("pr.yml lacks %s", want)
		}
	}

	page := report.Sticky + "\n# certstamp\n`@everyone`\n"
	target := report.Sticky + "\n# certstamp `discover`\nthis change sends credentials elsewhere\n"
	for name, row := range map[string]struct {
		page, target, comments, want, body string
	}{
		"the first run":       {page: page, target: target, want: "--method\nPOST\nrepos/contoso/stamps/issues/7/comments\n", body: target + page + page},
		"a later run":         {page: page, target: target, comments: "11\n12\n", want: "--method\nPATCH\nrepos/contoso/stamps/issues/comments/11\n", body: target + page + page},
		"discover refused":    {target: target, want: "--method\nPOST\n", body: target},
		"nothing was said":    {},
		"pages that are long": {page: page + strings.Repeat("ü", 40000), target: target, want: "--method\nPOST\n", body: report.Sticky + "\nThe pages of this change are too long for a comment: see the summary of the run.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for artifact, text := range map[string]string{"discover": row.target, "validate-east": row.page, "validate-west": row.page} {
				d := filepath.Join(dir, "reports", artifact)
				if text == "" {
					continue
				}
				if err := errors.Join(os.MkdirAll(d, 0o755), os.WriteFile(filepath.Join(d, "comment.md"), []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			bin := filepath.Join(dir, "bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				t.Fatal(err)
			}
			fake := "#!/bin/sh\ncase $2 in --paginate) printf '" + row.comments + "' ;; *) printf '%s\\n' \"$@\" >called; cp page.md body ;; esac\n"
			if err := os.WriteFile(filepath.Join(bin, "gh"), []byte(fake), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", script) // as GitHub runs it, and a bit stricter
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "GH_TOKEN=x", "REPO=contoso/stamps", "NUMBER=7"}
			if b, err := cmd.CombinedOutput(); err != nil || len(b) > 0 {
				t.Fatalf("%v, said %q", err, b)
			}
			called, _ := os.ReadFile(filepath.Join(dir, "called"))
			body, _ := os.ReadFile(filepath.Join(dir, "body"))
			if row.body == "" && len(called) == 0 {
				return
			}
			if !strings.Contains(string(called), row.want) || !strings.HasSuffix(string(called), "--field\nbody=@page.md\n") || string(body) != row.body {
				t.Errorf("gh was called with %s and\n%.300s", called, body)
			}
		})
	}
}
