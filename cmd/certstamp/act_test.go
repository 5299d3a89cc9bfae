//go:build unix

package main_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/demo"
)

// TestWorkflows runs the workflows of the committed example with act, byte for byte as they are: what must be refused first, then the
// way to two rotated stamps. act knows no environments, no approval and no fail-fast of a matrix: those are not proved.
func TestWorkflows(t *testing.T) {
	g := newGitops(t)
	before := g.touched(t)
	t.Run("refused", func(t *testing.T) {
		t.Run("pull request", g.pullRequest)
		t.Run("broken certificate", g.brokenCertificate)
		t.Run("stamp taken away", g.stampTakenAway)
		t.Run("tampered plan", g.tamperedPlan)
		t.Run("another commit", g.anotherCommit)
		t.Run("expired plan", g.expiredPlan)
		t.Run("another target", g.anotherTarget)
		t.Run("another twin", g.anotherTwin)
		t.Run("changed host", g.changedHost)
		t.Run("by hand", g.byHand)
		t.Run("due", g.due)
	})
	// All at once, so this says that one of them did something, and not which.
	if after := g.touched(t); after != before {
		t.Fatalf("a stamp or its share was touched: before\n%s\nafter\n%s", before, after)
	}
	t.Run("deploy", g.deploy)
	t.Run("not due any more", g.renewed)
	t.Run("after it", func(t *testing.T) {
		t.Run("typed approval", g.typedApproval) // of east
		t.Run("controllers", g.controllers)      // of west
	})
}

// ended holds a run against how each of its jobs should have ended. A job that was skipped has no result.
func ended(t *testing.T, r *workflowRun, want map[string]string) {
	t.Helper()
	if !maps.Equal(r.jobs, want) {
		t.Errorf("the jobs ended %v, want %v", r.jobs, want)
	}
	if failed := slices.Contains(slices.Collect(maps.Values(want)), "failure"); failed != (r.exit != 0) {
		t.Errorf("act exited %d", r.exit)
	}
}

// has holds the last value of a job's output.
func (r *workflowRun) has(t *testing.T, job, output, want string) {
	t.Helper()
	if got := r.last(job, output); got != want {
		t.Errorf("the output %s of %s is %q, want %q", output, job, got, want)
	}
}

func (r *workflowRun) last(job, output string) string {
	if all := r.outputs[job][output]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// refused holds the only job that failed against the command and reason that should have made it, and what people are shown.
func (r *workflowRun) refused(t *testing.T, job, refusal string, shown ...string) {
	t.Helper()
	if got := map[string]string{job: refusal}; !maps.Equal(r.refusal, got) {
		t.Errorf("refused were %q, want %q", r.refusal, got)
	}
	r.has(t, job, "result", "refused")
	r.has(t, job, "exit-code", "1")
	r.shows(t, job, shown...)
}

func (r *workflowRun) shows(t *testing.T, job string, shown ...string) {
	t.Helper()
	for _, s := range shown {
		if !strings.Contains(r.summary[job], s) {
			t.Errorf("the summary of %s lacks %q:\n%s", job, s, r.summary[job])
		}
	}
}

func pull(base, head string) trigger {
	commit := func(ref, sha string) map[string]any { return map[string]any{"ref": ref, "sha": sha} }
	return trigger{name: "pull_request", workflow: "pr.yml", payload: map[string]any{
		"number": 7, "pull_request": map[string]any{"number": 7, "base": commit("main", base), "head": commit("certificates", head)},
	}}
}

// push is a merge to main. Its jobs get what the environments of the stamps hold.
func (g *gitops) push(before, after, run string) trigger {
	return trigger{
		name: "push", workflow: "deploy.yml", run: run, secrets: g.secrets, vars: g.vars,
		payload: map[string]any{"ref": "refs/heads/main", "before": before, "after": after, "deleted": false},
	}
}

// dispatch is the approval of a plan by its digest.
func (g *gitops) dispatch(run, planned, digest string) trigger {
	return trigger{
		name: "workflow_dispatch", workflow: "dispatch.yml", run: run, secrets: g.secrets, vars: g.vars, inputs: map[string]string{"stamp": "east", "run": planned, "plan-sha256": digest},
		payload: map[string]any{"ref": "refs/heads/main", "inputs": map[string]any{"stamp": "east", "run": planned, "plan-sha256": digest}},
	}
}

func (g *gitops) pullRequest(t *testing.T) {
	t.Parallel()
	tr := pull(g.base, g.head)
	tr.run = "101"
	r := g.act(t, g.clone(t, g.head), tr)
	ended(t, r, map[string]string{"discover": "success", "validate-1": "success", "validate-2": "success"})
	r.has(t, "discover", "any", "true")
	r.has(t, "discover", "matrix", `{"include":[{"stamp":"east","path":"stamps/east","runner":["self-hosted","paw-east"]},{"stamp":"west","path":"stamps/west","runner":["self-hosted","paw-west"]}]}`)
	if b, err := os.ReadFile(filepath.Join(g.artifacts, "101", "discover", "comment.md")); err != nil || !strings.Contains(string(b), "`discover`") {
		t.Errorf("discover leaves the page %q, %v", b, err)
	}
	for i, stamp := range []string{"east", "west"} {
		job := fmt.Sprintf("validate-%d", i+1)
		r.has(t, job, "stamps", `["`+stamp+`"]`)
		r.has(t, job, "result", "done")
		r.shows(t, job, "certstamp `validate`", "`"+stamp+"` (SIMULATED)", "the file is sealed with age")
		r.shows(t, job, "certstamp `plan`", "Intent: a plan `external` for `"+stamp+"`", "run Start-SecretRotation -PfxFilesPath", "| `compared with` | `"+g.base+"` |", "not known before the rotation")
		for _, report := range []string{"validate.json", "validate.xml", "validate.sarif", "validate.html", "comment.md", "intent.md"} {
			if b, err := os.ReadFile(filepath.Join(g.artifacts, "101", "validate-"+stamp, report)); err != nil || len(b) == 0 {
				t.Errorf("%s: %v", report, err)
			}
		}
	}
	if len(r.refusal) > 0 {
		t.Errorf("refused were %q", r.refusal)
	}
}

// brokenCertificate: the CA forgot a name. The other stamp is judged all the same, and the reports of the broken one are kept. act
// has one result for all legs of a matrix, the worse one of those that have ended: what the good leg did is in its own outputs and files.
func (g *gitops) brokenCertificate(t *testing.T) {
	repo := g.clone(t, g.head)
	g.answer(t, repo, "west", "*.blob")
	g.pack(t, repo, "west")
	head := g.commit(t, repo, "a certificate without its name")
	t.Parallel()
	tr := pull(g.base, head)
	tr.run = "102"
	r := g.act(t, repo, tr)
	ended(t, r, map[string]string{"discover": "success", "validate-1": cmp.Or(r.jobs["validate-1"], "success"), "validate-2": "failure"})
	if got := r.outputs["validate-1"]["result"]; !slices.Equal(got, []string{"done"}) {
		t.Errorf("the commands of the good leg ended %q", got)
	}
	r.shows(t, "validate-1", "certstamp `validate`", "certstamp `plan`")
	if _, err := os.Stat(filepath.Join(g.artifacts, "102", "validate-east", "intent.md")); err != nil {
		t.Error(err) // after a step that failed there is none
	}
	r.refused(t, "validate-2", "validate: findings", "`ACSBlob/ACSBlob.pfx.age`", "Fail DNS Names", "wrong-name.azurestack.contoso.example", "*.blob.west.azurestack.contoso.example")
	var d struct{ Verdict string }
	if b, err := os.ReadFile(filepath.Join(g.artifacts, "102", "validate-west", "validate.json")); err != nil || json.Unmarshal(b, &d) != nil || d.Verdict != "fail" {
		t.Errorf("the report says %q, %v", d.Verdict, err)
	}
}

func (g *gitops) stampTakenAway(t *testing.T) {
	repo := g.clone(t, g.head)
	g.git(t, repo, "rm", "-q", "-r", "stamps/west")
	head := g.commit(t, repo, "no west")
	t.Parallel()
	tr := pull(g.head, head)
	tr.run = "103"
	r := g.act(t, repo, tr)
	ended(t, r, map[string]string{"discover": "failure"})
	r.refused(t, "discover", "discover: stamp-deleted", "west")
}

// tamperedPlan: somebody who can write where artifacts lie changes one word of the plan between the two jobs.
func (g *gitops) tamperedPlan(t *testing.T) {
	t.Parallel()
	tr := g.push(g.base, g.east, "104")
	tr.intruder = filepath.Join(t.TempDir(), "intruder")
	if err := os.WriteFile(tr.intruder, []byte("#!/bin/sh\nsed -i s/ACSBlob/ACSBlog/ \"$1\"/plan-*.json\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := g.act(t, g.clone(t, g.east), tr)
	ended(t, r, map[string]string{"discover": "success", "stamp/plan": "success", "stamp/apply": "failure"})
	approved, is := r.last("stamp/plan", "plan-sha256"), g.planOf(t, "104", "104")
	if approved == is {
		t.Error("nobody tampered with the plan")
	}
	r.refused(t, "stamp/apply", "stage: plan-digest", approved, is)
}

// anotherCommit: a plan waits for its approval, and main moves on before somebody types its digest.
func (g *gitops) anotherCommit(t *testing.T) {
	t.Parallel()
	repo := g.clone(t, g.east)
	tr := g.push(g.base, g.east, "105")
	tr.vars = maps.Clone(g.vars)
	tr.vars["CERTSTAMP_APPROVAL"] = "typed"
	r := g.act(t, repo, tr)
	ended(t, r, map[string]string{"discover": "success", "stamp/plan": "success"})
	digest := r.last("stamp/plan", "plan-sha256")
	if is := g.planOf(t, "105", "105"); is != digest {
		t.Errorf("the plan has %s, the output says %s", is, digest)
	}
	r.shows(t, "stamp/plan", digest)
	write(t, filepath.Join(repo, "notes.md"), "nothing that matters\n")
	g.commit(t, repo, "main moves on")
	r = g.act(t, repo, g.dispatch("106", "105", digest))
	ended(t, r, map[string]string{"jobs": "success", "apply": "failure"})
	r.refused(t, "apply", "stage: plan-differs", g.east)
}

// planned makes the plan of a run as its job would have, and returns the digest.
func (g *gitops) planned(t *testing.T, repo, run string, asOf time.Time) string {
	t.Helper()
	g.takes(t, run, "1")
	file := filepath.Join(g.artifacts, run, "plan-east", "plan-east-"+run+".json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	job := []string{"GITHUB_ACTIONS=true", "GITHUB_REPOSITORY=contoso/stamps", "GITHUB_SHA=" + g.east}
	g.commandIn(t, repo, job, "plan", "--stamp", "stamps/east", "--as-of", asOf.Format(time.RFC3339), "--out", file)
	return g.planOf(t, run, run)
}

// expiredPlan: everything about the plan is right but the day.
func (g *gitops) expiredPlan(t *testing.T) {
	t.Parallel()
	repo := g.clone(t, g.east)
	asOf := time.Now().UTC().Truncate(time.Second).Add(-7*24*time.Hour - time.Minute)
	r := g.act(t, repo, g.dispatch("108", "107", g.planned(t, repo, "107", asOf)))
	ended(t, r, map[string]string{"jobs": "success", "apply": "failure"})
	r.refused(t, "apply", "stage: plan-expired", asOf.Add(7*24*time.Hour).Format(time.RFC3339))
}

// anotherTarget: an administrator pins another target while the plan waits for its approval.
func (g *gitops) anotherTarget(t *testing.T) {
	t.Parallel()
	repo, other := g.clone(t, g.east), strings.Repeat("0123", 16)
	tr := g.dispatch("112", "111", g.planned(t, repo, "111", time.Now()))
	tr.vars = maps.Clone(g.vars)
	tr.vars["CERTSTAMP_TARGET"] = "east=" + other
	r := g.act(t, repo, tr)
	ended(t, r, map[string]string{"jobs": "success", "apply": "failure"})
	r.refused(t, "apply", "stage: target", g.target(t, repo, "east"), other)
}

// anotherTwin: reviewers see another certificate of the same name than the sealed file holds. Nobody can tell without what opens it.
func (g *gitops) anotherTwin(t *testing.T) {
	repo, elsewhere := g.clone(t, g.east), g.clone(t, g.east)
	g.answer(t, elsewhere, "east", "")
	g.pack(t, elsewhere, "east")
	twin := filepath.Join("stamps", "east", "certificates", "AAD", "ACSBlob", "ACSBlob.crt")
	b, err := os.ReadFile(filepath.Join(elsewhere, twin))
	if err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(repo, twin), func(string) string { return string(b) })
	head := g.commit(t, repo, "another twin")
	t.Parallel()
	r := g.act(t, repo, g.push(g.base, head, "109"))
	ended(t, r, map[string]string{"discover": "success", "stamp/plan": "failure"})
	r.refused(t, "stamp/plan", "plan: plan-refused", "`ACSBlob/ACSBlob.pfx.age`", "Fail Twin")
	if _, err := os.Stat(filepath.Join(g.artifacts, "109")); err == nil {
		t.Error("there is a plan")
	}
}

// changedHost: the stamp file leads to a host that nobody pinned, and that host hears nothing.
func (g *gitops) changedHost(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var heard atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			heard.Add(1)
			_ = c.Close()
		}
	}()
	repo := g.clone(t, g.east)
	edit(t, filepath.Join(repo, "stamps", "east", "stamp.yaml"), func(s string) string { return strings.Replace(s, g.w.Stamps[0].Hosts[0], l.Addr().String(), 1) })
	head := g.commit(t, repo, "another host")
	r := g.act(t, repo, g.push(g.east, head, "110"))
	ended(t, r, map[string]string{"discover": "success", "stamp/plan": "failure"})
	r.shows(t, "discover", l.Addr().String())
	if all := strings.Join(r.remarks["discover"], "\n"); !strings.Contains(all, "this change sends credentials elsewhere") {
		t.Errorf("the remarks are\n%s", all)
	}
	r.refused(t, "stamp/plan", "plan: target", g.target(t, repo, "east"))
	if n := heard.Load(); n > 0 {
		t.Errorf("the other host was called %d times", n)
	}
}

// byHand asks for the plan of an internal rotation. What is typed is text: no script and no further argument.
func (g *gitops) byHand(t *testing.T) {
	t.Parallel()
	for run, row := range map[string]struct {
		reason string
		jobs   map[string]string
	}{
		"113": {"alert: $(exit 9) `exit 9` \"; exit 9", map[string]string{"discover": "success", "stamp/plan": "success"}},
		"114": {"alert: x\n--as-of=2020-01-01T00:00:00Z", map[string]string{"discover": "failure"}},
	} {
		tr := g.push(g.base, g.east, run)
		tr.name, tr.inputs = "workflow_dispatch", map[string]string{"stamp": "east", "kind": "internal", "reason": row.reason}
		tr.payload = map[string]any{"ref": "refs/heads/main", "inputs": tr.inputs}
		tr.vars = maps.Clone(g.vars)
		tr.vars["CERTSTAMP_APPROVAL"] = "typed"
		r := g.act(t, g.clone(t, g.east), tr)
		ended(t, r, row.jobs)
		if row.jobs["stamp/plan"] == "" {
			continue
		}
		r.shows(t, "stamp/plan", "Plan `internal` for `east`", "internal-reason")
		b, err := os.ReadFile(filepath.Join(g.artifacts, run, "plan-east", "plan-east-"+run+".json"))
		var p struct {
			Asserted []struct{ What, Value, Reason string }
		}
		if err != nil || json.Unmarshal(b, &p) != nil || !slices.ContainsFunc(p.Asserted, func(a struct{ What, Value, Reason string }) bool {
			return a.Value+": "+a.Reason == row.reason
		}) {
			t.Errorf("the plan asserts %+v, %v", p.Asserted, err)
		}
	}
}

// deploy goes all the way over two stamps.
func (g *gitops) deploy(t *testing.T) {
	r := g.act(t, g.clone(t, g.head), g.push(g.base, g.head, "201"))
	ended(t, r, map[string]string{"discover": "success", "stamp-1/plan": "success", "stamp-1/apply": "success", "stamp-2/plan": "success", "stamp-2/apply": "success"})
	for i, s := range g.w.Stamps {
		plan, apply := fmt.Sprintf("stamp-%d/plan", i+1), fmt.Sprintf("stamp-%d/apply", i+1)
		r.has(t, plan, "result", "done")
		r.has(t, plan, "stamps", `["`+s.Name+`"]`)
		b, err := os.ReadFile(filepath.Join(g.artifacts, "201", "plan-"+s.Name, "plan-"+s.Name+"-201.json"))
		sum := sha256.Sum256(b)
		if digest := hex.EncodeToString(sum[:]); err != nil || r.last(plan, "plan-sha256") != digest || !strings.Contains(r.summary[plan], digest) {
			t.Errorf("the plan of %s has %s, the output says %q: %v", s.Name, digest, r.last(plan, "plan-sha256"), err)
		}
		r.has(t, apply, "result", "done")
		r.has(t, apply, "stamps", `["`+s.Name+`"]`)
		r.shows(t, apply, "certstamp `stage`", "certstamp `rotate`", "certstamp `verify`", "certstamp `unstage`")
		g.rotated(t, s, 1)
		if journals, err := filepath.Glob(filepath.Join(g.artifacts, "201", "journal-"+s.Name+"-1", "*", "*.jsonl")); err != nil || len(journals) == 0 {
			t.Errorf("no journal of %s was kept: %v", s.Name, err)
		}
		if n := bundles(t, s.Share); n > 0 {
			t.Errorf("%d PFX files are left on the share of %s", n, s.Name)
		}
		if n := bundles(t, filepath.Join(g.backups, s.Name)); n < 11 {
			t.Errorf("the backup of %s has %d PFX files", s.Name, n)
		}
	}
	if len(r.refusal) > 0 {
		t.Errorf("refused were %q", r.refusal)
	}
	g.storedNoSecret(t)
}

// typedApproval is for servers without required reviewers and without artifacts: the plan waits in a folder of the runner.
func (g *gitops) typedApproval(t *testing.T) {
	t.Parallel()
	repo, folder := g.clone(t, g.head), t.TempDir()
	g.answer(t, repo, "east", "")
	g.pack(t, repo, "east")
	head := g.commit(t, repo, "certificates once more")
	vars := maps.Clone(g.vars)
	vars["CERTSTAMP_APPROVAL"], vars["CERTSTAMP_PLAN_FOLDER"] = "typed", folder
	tr := g.push(g.head, head, "202")
	tr.vars = vars
	r := g.act(t, repo, tr)
	ended(t, r, map[string]string{"discover": "success", "stamp/plan": "success"})
	g.rotated(t, g.w.Stamps[0], 1)
	tr = g.dispatch("203", "202", r.last("stamp/plan", "plan-sha256"))
	tr.vars = vars
	for _, tr.attempt = range []string{"1", "2"} { // somebody runs the approved run again: there is nothing left to do
		r = g.act(t, repo, tr)
		ended(t, r, map[string]string{"jobs": "success", "apply": "success"})
		r.has(t, "apply", "result", "done")
		r.shows(t, "apply", "certstamp `stage`", "certstamp `rotate`", "certstamp `verify`", "certstamp `unstage`")
		g.rotated(t, g.w.Stamps[0], 2)
		if n := bundles(t, g.w.Stamps[0].Share); n > 0 {
			t.Errorf("attempt %s left %d PFX files on the share", tr.attempt, n)
		}
	}
	if journals, err := filepath.Glob(filepath.Join(folder, "journal-east-*", "journal.jsonl")); err != nil || len(journals) != 1 {
		t.Errorf("the journals are %q, %v", journals, err)
	}
	for _, run := range []string{"202", "203"} {
		if _, err := os.Stat(filepath.Join(g.artifacts, run)); err == nil {
			t.Errorf("run %s stored artifacts", run)
		}
	}
}

// controllers hands a BMC credential over: a plan of its own, and an approval of its own.
func (g *gitops) controllers(t *testing.T) {
	t.Parallel()
	repo, west := g.clone(t, g.head), g.w.Stamps[1]
	edit(t, filepath.Join(repo, "stamps", "west", "stamp.yaml"), func(s string) string {
		return s + "bmc: {update: pep, new-password: env:BMC_NEW_PASSWORD}\n"
	})
	g.commit(t, repo, "the controllers too")
	tr := trigger{
		name: "workflow_dispatch", workflow: "bmc.yml", run: "204", inputs: map[string]string{"stamp": "west"}, secrets: maps.Clone(g.secrets), vars: maps.Clone(g.vars),
		payload: map[string]any{"ref": "refs/heads/main", "inputs": map[string]any{"stamp": "west"}},
	}
	tr.secrets["BMC_NEW_PASSWORD"] = g.w.Secrets["BMC_NEW_PASSWORD"]
	tr.vars["CERTSTAMP_TARGET"] = "west=" + g.target(t, repo, "west")
	r := g.act(t, repo, tr)
	ended(t, r, map[string]string{"jobs": "success", "plan": "success", "apply": "success"})
	r.has(t, "plan", "result", "done")
	r.shows(t, "plan", r.last("plan", "plan-sha256"), "Set-BmcCredential")
	r.has(t, "apply", "result", "done")
	r.has(t, "apply", "stamps", `["west"]`)
	r.shows(t, "apply", "certstamp `bmc`", "`west` (SIMULATED)")
	if journals, err := filepath.Glob(filepath.Join(g.artifacts, "204", "journal-west-1", "*", "*.jsonl")); err != nil || len(journals) == 0 {
		t.Errorf("no journal was kept: %v", err)
	}
	g.rotated(t, west, 1)
	if b, err := os.ReadFile(west.History); err != nil || strings.Count(string(b), `"bmc-updated"`) != 1 {
		t.Errorf("the credential was not handed over once: %v\n%s", err, b)
	}
	g.storedNoSecret(t)
}

// endpoints is how many each stamp has, with and without AD FS.
var endpoints = map[string]int{"east": 11, "west": 13}

// watch is the daily look at what ends when. It gets the variables of the repository: its jobs are in no environment.
func (g *gitops) watch(t *testing.T, repo, name, run string) *workflowRun {
	t.Helper()
	return g.act(t, repo, trigger{name: name, workflow: "expiry.yml", run: run, vars: map[string]string{"CERTSTAMP_TARGET": g.vars["CERTSTAMP_TARGET"]}, payload: map[string]any{"ref": "refs/heads/main"}})
}

// watched is what a leg of the watch kept of its stamp: how it ended, and the states of all that was seen.
func (g *gitops) watched(t *testing.T, run, stamp string) (verdict string, states map[string]int) {
	t.Helper()
	var d struct {
		Verdict string
		Stamps  []struct{ Expiries []struct{ State string } }
	}
	dir := filepath.Join(g.artifacts, run, "expiry-"+stamp)
	b, err := os.ReadFile(filepath.Join(dir, "expiry.json"))
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil || len(d.Stamps) != 1 {
		t.Fatalf("%s: %d stamps, %v", stamp, len(d.Stamps), err)
	}
	states = map[string]int{}
	for _, e := range d.Stamps[0].Expiries {
		states[e.State]++
	}
	for name, begins := range map[string]string{"expiry.html": "<!doctype html>", "expiry.ics": "BEGIN:VCALENDAR"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(strings.ToLower(string(b)), strings.ToLower(begins)) {
			t.Errorf("%s of %s begins %.40q, %v", name, stamp, b, err)
		}
	}
	return d.Verdict, states
}

// due: what both stamps serve ends in 12 days. Their jobs fail, which is the alert, and each says what comes next.
func (g *gitops) due(t *testing.T) {
	repo := g.withRunners(t)
	t.Parallel()
	r := g.watch(t, repo, "schedule", "115")
	ended(t, r, map[string]string{"jobs": "success", "expiry-1": "failure", "expiry-2": "failure"})
	r.has(t, "jobs", "stamps", `["east","west"]`)
	for job, s := range map[string]*demo.Stamp{"expiry-1": g.w.Stamps[0], "expiry-2": g.w.Stamps[1]} {
		if r.refusal[job] != "expiry: findings" {
			t.Errorf("%s was refused for %q", job, r.refusal[job])
		}
		r.has(t, job, "result", "refused")
		r.has(t, job, "exit-code", "1")
		r.has(t, job, "stamps", `["`+s.Name+`"]`)
		r.shows(t, job, "`"+s.Name+"` (SIMULATED)", "`critical`", "`ready`", "certstamp plan --stamp stamps/"+s.Name)
		n := endpoints[s.Name]
		if verdict, states := g.watched(t, "115", s.Name); verdict != "fail" || !maps.Equal(states, map[string]int{"critical": n, "ready": n}) {
			t.Errorf("%s: the report says %q, %v", s.Name, verdict, states)
		}
	}
}

// withRunners is the repository without north, which has no runner. act asks for the runner of any leg of a matrix in the place of
// each other's, where runs-on comes out of the matrix.
func (g *gitops) withRunners(t *testing.T) string {
	t.Helper()
	repo := g.clone(t, g.head)
	g.git(t, repo, "rm", "-q", "-r", "stamps/north")
	g.commit(t, repo, "no north")
	return repo
}

// renewed: the same after the rotation, by hand.
func (g *gitops) renewed(t *testing.T) {
	r := g.watch(t, g.withRunners(t), "workflow_dispatch", "205")
	ended(t, r, map[string]string{"jobs": "success", "expiry-1": "success", "expiry-2": "success"})
	for job, s := range map[string]*demo.Stamp{"expiry-1": g.w.Stamps[0], "expiry-2": g.w.Stamps[1]} {
		r.has(t, job, "result", "done")
		r.shows(t, job, "certstamp `expiry`", "`"+s.Name+"` (SIMULATED)", "`served`")
		n := endpoints[s.Name]
		if verdict, states := g.watched(t, "205", s.Name); verdict != "pass" || !maps.Equal(states, map[string]int{"ok": n, "served": n}) {
			t.Errorf("%s: the report says %q, %v", s.Name, verdict, states)
		}
	}
	if len(r.refusal) > 0 {
		t.Errorf("refused were %q", r.refusal)
	}
}

// rotated holds how often a stamp was asked to rotate.
func (g *gitops) rotated(t *testing.T, s *demo.Stamp, times int) {
	t.Helper()
	b, err := os.ReadFile(s.History)
	if err != nil {
		t.Fatal(err)
	}
	starts, asked := 0, ""
	for line := range strings.Lines(string(b)) {
		var e struct{ Event, Cmdlet string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Event == "invoke" {
			asked += e.Cmdlet + "\n"
			if e.Cmdlet == "Start-SecretRotation" {
				starts++
			}
		}
	}
	if starts != times {
		t.Errorf("%s was asked to rotate %d times, not %d:\n%s", s.Name, starts, times, asked)
	}
}

func bundles(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.EqualFold(filepath.Ext(p), ".pfx") {
			n++
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// planOf is the digest of the plan for east that lies among the artifacts of a run.
func (g *gitops) planOf(t *testing.T, run, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(g.artifacts, run, "plan-east", "plan-east-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// storedNoSecret looks for every secret in everything that the workflows stored.
func (g *gitops) storedNoSecret(t *testing.T) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(g.artifacts, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(p)
		for name, secret := range g.secrets {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s has %s", p, name)
			}
		}
		return err
	})
	if err != nil || files < 20 {
		t.Errorf("%d artifacts, %v", files, err)
	}
}
