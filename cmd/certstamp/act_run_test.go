//go:build unix

package main_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// workflowRun is what act said of one run of a workflow. Jobs have the names that act gives them: validate-2 is the second leg of a
// matrix, stamp-1/plan the job plan of the workflow that the first leg calls.
type workflowRun struct {
	exit    int
	jobs    map[string]string              // each job that ended, and how; a job that was skipped is in none of these
	refusal map[string]string              // of a job that failed: the command and its reason, as "stage: plan-digest"
	remarks map[string][]string            // warnings
	outputs map[string]map[string][]string // of the steps of each job, in their order
	summary map[string]string
	log     string
}

// trigger is what starts a workflow, and what the server knows.
type trigger struct {
	name, workflow string
	payload        map[string]any
	inputs         map[string]string
	secrets, vars  map[string]string
	run, attempt   string // its number, and which time it runs; empty: the first
	intruder       string // a program that gets each artifact that is stored
}

// actWithin bounds one run: the slowest takes some ten seconds.
const actWithin = 3 * time.Minute

// act runs a workflow of a repository. Actions come from folders; a proxy that is none shows whoever asks the network.
func (g *gitops) act(t *testing.T, repo string, tr trigger) *workflowRun {
	t.Helper()
	g.takes(t, tr.run, cmp.Or(tr.attempt, "1"))
	dir := t.TempDir()
	file := func(name string, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	payload, err := json.Marshal(tr.payload)
	if err != nil {
		t.Fatal(err)
	}
	// As files: act hands its own environment to every job, and an argument is seen by all.
	args := []string{
		tr.name, "--workflows", filepath.Join(".github", "workflows", tr.workflow), "--eventpath", file("event.json", string(payload)), "--json", "--strict", "--no-cache-server",
		"--action-cache-path", filepath.Join(dir, "cache"), "--secret-file", file("secrets", dotenv(tr.secrets)), "--var-file", file("vars", dotenv(tr.vars)),
		"--env-file", file("env", dotenv(map[string]string{
			"GITHUB_RUN_ID": tr.run, "GITHUB_RUN_ATTEMPT": cmp.Or(tr.attempt, "1"), "GITHUB_REPOSITORY": "contoso/stamps", "ARTIFACTS": g.artifacts, "ARTIFACTS_INTRUDER": tr.intruder,
		})),
	}
	for name, value := range tr.inputs {
		args = append(args, "--input", name+"="+value)
	}
	for _, label := range g.labels {
		args = append(args, "--platform", label+"=-self-hosted")
	}
	for action, folder := range g.actions {
		args = append(args, "--local-repository", action+"="+folder)
	}
	ctx, cancel := context.WithTimeout(t.Context(), actWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.program, args...)
	cmd.Dir = repo
	cmd.Env = append(g.home(dir), "HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "ALL_PROXY=http://127.0.0.1:9")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	r := readAct(t, out.Bytes())
	r.exit = cmd.ProcessState.ExitCode()
	r.log += errs.String()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\n%s", tr.workflow, r.log)
		}
	})
	for job, outputs := range r.outputs {
		r.holdsNone(t, tr, job, fmt.Sprint(outputs, r.summary[job], r.remarks[job]))
	}
	r.holdsNone(t, tr, "the log", r.log)
	return r
}

// takes gives a run its number. A run stores its artifacts under it, so two cases with the same number would find each other's.
func (g *gitops) takes(t *testing.T, run, attempt string) {
	t.Helper()
	if by, taken := g.runs.LoadOrStore(run+"."+attempt, t.Name()); taken {
		t.Fatalf("run %s, attempt %s, is one of %s", run, attempt, by)
	}
}

func dotenv(values map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s='%s'\n", k, values[k])
	}
	return b.String()
}

// home is an environment in which nobody finds the settings or the caches of whoever runs the test.
func (g *gitops) home(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "HOME=" + dir, "XDG_CACHE_HOME=" + filepath.Join(dir, "xdg"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
	}
}

var masked = regexp.MustCompile(`(^|[^*])\*\*\*($|[^*])`) // not a thumbprint

// holdsNone: act puts three stars where a secret was in a message, and leaves what it says beside the message as it is.
func (r *workflowRun) holdsNone(t *testing.T, tr trigger, where, text string) {
	t.Helper()
	for name, secret := range tr.secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s: %s shows %s", tr.workflow, where, name)
		}
	}
	if masked.MatchString(text) {
		t.Errorf("%s: %s would show a secret if it were not masked", tr.workflow, where)
	}
}

// refusalOf finds what a summary says of a command that failed, and why. Of the log of a step that failed act may lose the end,
// with the ::error:: lines in it; pages and outputs are files.
var refusalOf = regexp.MustCompile("# certstamp `([a-z]+)`[^\n]*\n+\\*\\*`([a-z-]+)`\\*\\*")

// readAct reads the lines of --json.
func readAct(t *testing.T, out []byte) *workflowRun {
	t.Helper()
	r := &workflowRun{jobs: map[string]string{}, refusal: map[string]string{}, remarks: map[string][]string{}, outputs: map[string]map[string][]string{}, summary: map[string]string{}}
	for line := range bytes.Lines(out) {
		var e struct {
			Job, JobResult, Command, Name, Arg, Content, Msg string
			KVPairs                                          map[string]string
			StepID                                           []string
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("act said %q: %v", line, err)
		}
		parts := strings.Split(strings.TrimSpace(e.Job), "/")
		job := parts[len(parts)-1]
		if len(parts) == 3 { // the calling job, the workflow's name, the job
			job = parts[0] + "/" + job
		}
		if e.Command == "add-mask" {
			continue
		}
		r.log += job + ": " + e.Msg + "\n"
		whole := len(e.StepID) == 1 // and not a step within an action, which says everything once more
		switch {
		case e.JobResult != "":
			r.jobs[job] = e.JobResult
		case strings.Contains(e.Msg, "Skipping unsupported platform"):
			r.jobs[job] = "no runner" // act ends well all the same
		case e.Command == "set-output" && whole && e.Arg != "":
			if r.outputs[job] == nil {
				r.outputs[job] = map[string][]string{}
			}
			if of := r.outputs[job]; len(of[e.Name]) == 0 || of[e.Name][len(of[e.Name])-1] != e.Arg {
				of[e.Name] = append(of[e.Name], e.Arg)
			}
		case e.Command == "summary" && whole:
			r.summary[job] += e.Content
		case e.Command == "warning":
			r.remarks[job] = append(r.remarks[job], e.KVPairs["title"]+": "+e.Arg)
		}
	}
	for job, text := range r.summary {
		for _, m := range refusalOf.FindAllStringSubmatch(text, -1) {
			r.refusal[job] += m[1] + ": " + m[2]
		}
	}
	return r
}
