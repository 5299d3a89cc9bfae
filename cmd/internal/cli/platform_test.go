package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// outputsOf reads a file of outputs whose values have one line each.
func outputsOf(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+)<<(certstamp_[0-9a-f]{32})\r?\n(.*)\r?\n(certstamp_[0-9a-f]{32})\r?$`).FindAllStringSubmatch(string(b), -1) {
		if m[2] != m[4] {
			t.Errorf("the output %s is not closed: %q", m[1], b)
		}
		out[m[1]] = m[3]
	}
	return out
}

// TestInAPipeline: what later steps, reviewers and the person looking at a red run are given.
func TestInAPipeline(t *testing.T) {
	s := newStand(t, east)
	s.pack()
	s.edit("stamp.yaml", func(y string) string {
		return strings.Replace(y, "installed-ca: endpoints", "installed-ca: enterprise", 1)
	})
	dir := t.TempDir()
	github := func(name string) map[string]string {
		return map[string]string{
			"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_WORKSPACE": filepath.Dir(s.w.Repo), "GITHUB_REPOSITORY": "contoso/stamps", "GITHUB_SHA": "0123456789012345678901234567890123456789",
			"GITHUB_OUTPUT": filepath.Join(dir, name), "GITHUB_STEP_SUMMARY": filepath.Join(dir, name+".md"),
		}
	}

	t.Run("a plan", func(t *testing.T) {
		a := s.run(github("plan"), "plan", "--stamp", s.name(), "--out", "../plan.json")
		if a.code != 0 {
			t.Fatalf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
		}
		got := outputsOf(t, filepath.Join(dir, "plan"))
		if got["result"] != "done" || got["exit-code"] != "0" || got["stamps"] != `["east"]` || got["plan-sha256"] != a.doc.Stamps[0].PlanSHA256 ||
			got["plan"] != filepath.Join(filepath.Dir(s.w.Repo), "plan.json") || !strings.HasSuffix(got["report"], "document.json") {
			t.Errorf("outputs are %q", got)
		}
		page, err := os.ReadFile(filepath.Join(dir, "plan.md"))
		if err != nil || !strings.Contains(string(page), a.doc.Stamps[0].PlanSHA256) {
			t.Errorf("the summary does not show the digest: %v\n%s", err, page)
		}
		if a.doc.Stamps[0].Plan.Repository != "contoso/stamps" {
			t.Errorf("the plan is of %q", a.doc.Stamps[0].Plan.Repository)
		}
		// The platform that talks is not the platform that decides: the plan stays the same, and so does the refusal.
		again := s.run(github("plain"), "--ci", "plain", "plan", "--stamp", s.name(), "--out", "../again.json", "--as-of", a.doc.AsOf)
		if again.code != 0 || again.doc.Stamps[0].Plan.Repository != "contoso/stamps" || len(outputsOf(t, filepath.Join(dir, "plain"))) != 0 {
			t.Errorf("--ci plain: exit %d, of %q", again.code, again.doc.Stamps[0].Plan.Repository)
		}
		if refused := s.run(github("plain"), append([]string{"--ci", "plain", "stage", "--plan", "../plan.json", "--plan-sha256", got["plan-sha256"]}, s.allow()...)...); refused.code != 1 || refused.doc.Error.Reason != "target" {
			t.Errorf("--ci plain took away the need for CERTSTAMP_TARGET: exit %d %+v", refused.code, refused.doc.Error)
		}
	})

	t.Run("findings", func(t *testing.T) {
		file := s.path("certificates", "AAD", "ACSBlob", "ACSBlob.pfx")
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, good[:len(good)-7], 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.WriteFile(file, good, 0o600)
		a := s.run(github("findings"), "validate", "--stamp", s.name())
		if got := outputsOf(t, filepath.Join(dir, "findings")); a.code != 1 || got["result"] != "refused" || got["exit-code"] != "1" {
			t.Errorf("exit %d, outputs are %q", a.code, got)
		}
		var errs []string
		for line := range strings.Lines(a.stderr) {
			if strings.HasPrefix(line, "::error") {
				errs = append(errs, line)
			}
		}
		if len(errs) < 2 || !strings.HasPrefix(errs[0], "::error title=certstamp validate%3A findings::") ||
			!strings.Contains(strings.Join(errs, ""), "file=repository/stamps/east/certificates/AAD/ACSBlob/ACSBlob.pfx,") {
			t.Errorf("annotations are %q", errs)
		}
		azure := s.run(map[string]string{"TF_BUILD": "True"}, "validate", "--stamp", s.name())
		if !strings.Contains(azure.stderr, "##vso[task.logissue type=error;sourcepath=stamps/east/certificates/AAD/ACSBlob/ACSBlob.pfx;") ||
			!strings.Contains(azure.stderr, "##vso[task.setvariable variable=exitCode;isOutput=true;isReadOnly=true]1") || strings.Contains(azure.stderr, "::error") {
			t.Errorf("on Azure:\n%s", azure.stderr)
		}
		plain := s.run(nil, "validate", "--stamp", s.name())
		if strings.Contains(plain.stderr, "::") || strings.Contains(plain.stderr, "##vso") {
			t.Errorf("in a shell:\n%s", plain.stderr)
		}
	})

	t.Run("a short password", func(t *testing.T) {
		short := func(env map[string]string) answer {
			env["PFX_PASSWORD"] = "Short1word!"
			return s.run(env, "validate", "--stamp", s.name(), "--stamp", s.name())
		}
		for name, a := range map[string]answer{"GitHub": short(github("short")), "Azure": short(map[string]string{"TF_BUILD": "True"})} {
			if n := strings.Count(a.stderr, "warning: pfx-password is shorter than 12 characters"); n != 1 {
				t.Errorf("%s: warned %d times\n%s", name, n, a.stderr)
			}
		}
		if a := short(map[string]string{}); strings.Contains(a.stderr, "shorter than") {
			t.Errorf("in a shell:\n%s", a.stderr)
		}
		if a := s.run(github("long"), "validate", "--stamp", s.name()); strings.Contains(a.stderr, "shorter than") {
			t.Errorf("a long one:\n%s", a.stderr)
		}
	})

	t.Run("a password that cannot be masked", func(t *testing.T) {
		for name, env := range map[string]map[string]string{"GitHub": github("tiny"), "Azure": {"TF_BUILD": "True"}} {
			env["PFX_PASSWORD"] = "Sh0rt!!"
			if a := s.run(env, "validate", "--stamp", s.name()); a.code != 2 || !strings.Contains(a.stderr, "pfx-password has fewer than 8 characters") || strings.Contains(a.stderr+a.stdout, "Sh0rt!!") {
				t.Errorf("%s: exit %d\n%s", name, a.code, a.stderr)
			}
		}
		if a := s.run(map[string]string{"PFX_PASSWORD": "Sh0rt!!"}, "validate", "--stamp", s.name()); a.code == 2 {
			t.Errorf("in a shell it is for the rule password-policy to judge: exit %d\n%s", a.code, a.stderr)
		}
	})

	t.Run("a usage error", func(t *testing.T) {
		a := s.run(github("usage"), "plan", "--no-such-flag")
		if got := outputsOf(t, filepath.Join(dir, "usage")); a.code != 2 || got["result"] != "usage" || got["exit-code"] != "2" {
			t.Errorf("exit %d, outputs are %q", a.code, got)
		}
		if a := s.run(nil, "--ci", "jenkins", "validate"); a.code != 2 {
			t.Errorf("--ci jenkins: exit %d", a.code)
		}
	})
}

// TestPlanByHand: a plan that somebody makes in a checkout is, byte for byte, the one that a job derives from the same commit.
func TestPlanByHand(t *testing.T) {
	c := newCheckout(t)
	c.write("stamps/east/stamp.yaml", stampFile("east", "10.0.0.1"))
	commit := c.commit()
	c.git("remote", "add", "origin", "https://someone:ghp_token@github.com/contoso/stamps.git")
	plans := map[string]string{}
	for who, env := range map[string]map[string]string{
		"by hand":  {"PATH": os.Getenv("PATH"), "HOME": c.dir},
		"in a job": {"PATH": os.Getenv("PATH"), "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "contoso/stamps", "GITHUB_SHA": commit},
	} {
		file := filepath.Join(t.TempDir(), "plan.json")
		a := example(t, c.dir, env, "plan", "--kind", "internal", "--reason", "alert: 7 days", "--out", file)
		b, err := os.ReadFile(file)
		if err != nil || a.code != 0 {
			t.Fatalf("%s: exit %d, %v\n%s%s", who, a.code, err, a.stdout, a.stderr)
		}
		plans[who] = string(b)
	}
	if plans["by hand"] != plans["in a job"] {
		t.Errorf("by hand\n%s\nin a job\n%s", plans["by hand"], plans["in a job"])
	}
}
