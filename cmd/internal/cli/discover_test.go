package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/report"
)

// checkout is a made repository of stamps.
type checkout struct {
	t   *testing.T
	dir string // of the work tree
	sub string // where certstamp runs in it
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil && os.Getenv("CI") == "" {
		t.Skip("NOT TESTED: git is not installed")
	}
	c := &checkout{t: t, dir: t.TempDir()}
	c.git("init", "-q", "-b", "main")
	return c
}

func (c *checkout) git(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", c.dir, "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c *checkout) write(name, text string) {
	c.t.Helper()
	p := filepath.Join(c.dir, c.sub, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *checkout) commit() string {
	c.t.Helper()
	c.git("add", "-A", ".")
	c.git("commit", "-q", "--allow-empty", "-m", "x")
	return c.git("rev-parse", "HEAD")
}

// event runs discover as the platform does.
func (c *checkout) event(name, payload string, args ...string) (answer, map[string]string) {
	c.t.Helper()
	dir := c.t.TempDir()
	file := filepath.Join(dir, "event.json")
	if err := os.WriteFile(file, []byte(payload), 0o644); err != nil {
		c.t.Fatal(err)
	}
	env := map[string]string{
		"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_OUTPUT": filepath.Join(dir, "out"), "PATH": os.Getenv("PATH"), "HOME": c.dir,
		"GITHUB_EVENT_PATH": file, "GITHUB_EVENT_NAME": name, "GITHUB_WORKSPACE": c.dir,
	}
	if name == "" {
		delete(env, "GITHUB_EVENT_PATH")
	}
	a := answer{}
	var out, errs bytes.Buffer
	doc := filepath.Join(dir, "doc.json")
	a.code = cli.Main(c.t.Context(), append([]string{"--format", "text", "--format", "json=" + doc, "discover"}, args...), cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: filepath.Join(c.dir, c.sub), Now: time.Now, Version: "test",
		Getenv: func(n string) string { return env[n] },
	})
	a.stdout, a.stderr = out.String(), errs.String()
	b, err := os.ReadFile(doc)
	if err != nil {
		c.t.Fatalf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	if err := json.Unmarshal(b, &a.doc); err != nil {
		c.t.Fatal(err)
	}
	return a, outputsOf(c.t, env["GITHUB_OUTPUT"])
}

func push(before, after string) string { return fmt.Sprintf(`{"before":%q,"after":%q}`, before, after) }

func pull(base, head string) string {
	return fmt.Sprintf(`{"pull_request":{"title":"::set-output name=any::true","base":{"sha":%q},"head":{"sha":%q}}}`, base, head)
}

func stampFile(name, host string) string {
	return "name: " + name + "\nregion: " + name + "\nfqdn: azurestack.contoso.com\nidentity: AAD\nversion: 2301\npfx-password: env:PFX_PASSWORD\n" +
		"pep: {hosts: [" + host + "], user: 'CONTOSO\\admin', password: env:PEP_PASSWORD}\n"
}

func taken(a answer) string {
	if a.doc.Matrix == nil {
		return "none"
	}
	var names []string
	for _, j := range a.doc.Matrix.Include {
		names = append(names, j.Stamp)
	}
	return strings.Join(names, " ")
}

const nothing = "0000000000000000000000000000000000000000"

// hostileNames are paths that a careless reader takes for lines, options, patterns or commands.
var hostileNames = []string{
	"a\nstamps/west/certificates/x", "::error::boo", "##vso[task.setvariable variable=any]true", "-rf", "$(touch pwned)", "a\tb", "é\u202e", ":(exclude)x", "a\r::set-output name=any::true",
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	for _, sub := range []string{"", "infra/certs"} {
		t.Run("in "+sub, func(t *testing.T) { discover(t, sub) })
	}
}

func discover(t *testing.T, sub string) {
	c := newCheckout(t)
	c.sub = sub
	c.write("stamps/east/stamp.yaml", stampFile("east", "10.0.0.1")+"runner: [self-hosted, paw-east]\nenterprise-roots: ../../shared/roots.pem\n")
	c.write("stamps/west/stamp.yaml", stampFile("west", "10.0.1.1"))
	c.write("stamps/north/stamp.yaml", stampFile("north", "10.0.2.1"))
	c.write("README.md", "x")
	first := c.commit()

	t.Run("new branch", func(t *testing.T) {
		a, out := c.event("push", push(nothing, first))
		if a.code != 0 || out["stamps"] != `["east","north","west"]` || out["any"] != "true" {
			t.Fatalf("exit %d, outputs %q\n%s", a.code, out, a.stderr)
		}
		if want := `{"stamp":"east","path":"stamps/east","runner":["self-hosted","paw-east"]}`; !strings.Contains(out["matrix"], want) || !strings.Contains(a.stdout, want) {
			t.Errorf("the matrix is %s", out["matrix"])
		}
	})

	step := func(claim, want string, edit func()) string {
		t.Helper()
		before := c.git("rev-parse", "HEAD")
		edit()
		after := c.commit()
		a, out := c.event("push", push(before, after))
		if a.code != 0 || taken(a) != want || (out["any"] == "true") != (want != "") {
			t.Errorf("%s: exit %d, took %q, want %q, outputs %q\n%s", claim, a.code, taken(a), want, out, a.stderr)
		}
		if b, _ := c.event("pull_request", pull(before, after)); taken(b) != want {
			t.Errorf("%s: the pull request took %q, want %q", claim, taken(b), want)
		}
		return after
	}
	step("a document", "", func() { c.write("README.md", "y") })
	step("one stamp", "west", func() { c.write("stamps/west/certificates/AAD/ARMPublic/ARMPublic.crt", "x") })
	step("a file that a stamp names", "east", func() { c.write("shared/roots.pem", "x") })
	step("the policy", "east north west", func() { c.write("policy.yaml", "x") })
	step("a policy", "east north west", func() { c.write("policies/more.yaml", "x") })
	step("beside the policies", "", func() { c.write("policies-old/more.yaml", "x") })
	step("hostile names", "north", func() {
		for _, n := range hostileNames {
			c.write("stamps/north/certificates/"+n, "x")
			c.write("docs/"+n, "x")
		}
	})
	step("a name that begins like a stamp's", "", func() { c.write("stamps/north-2/x", "y"); c.write("stamps/x", "y") })
	step("a renamed certificate", "west", func() {
		c.git("mv", filepath.Join(c.sub, "stamps/west/certificates/AAD/ARMPublic/ARMPublic.crt"), filepath.Join(c.sub, "stamps/west/moved.crt"))
	})
	step("a renamed folder", "west", func() { c.git("mv", filepath.Join(c.sub, "stamps/west"), filepath.Join(c.sub, "stamps/west-1")) })

	t.Run("a pull request is compared with where it began", func(t *testing.T) {
		base := c.git("rev-parse", "HEAD")
		c.git("checkout", "-q", "-b", "feature")
		c.write("stamps/east/certificates/y", "y")
		head := c.commit()
		c.git("checkout", "-q", "main")
		c.write("stamps/north/certificates/y", "y")
		tip := c.commit()
		if a, _ := c.event("pull_request", pull(tip, head)); taken(a) != "east" {
			t.Errorf("took %q, want east: north changed on main only\n%s", taken(a), a.stderr)
		}
		if a, _ := c.event("", "", "--base", "main", "--head", "feature"); taken(a) != "east" {
			t.Errorf("with --base: took %q\n%s", taken(a), a.stderr)
		}
		if a, _ := c.event("push", push(base, tip)); taken(a) != "north" {
			t.Errorf("the push took %q", taken(a))
		}
	})

	t.Run("credentials elsewhere", func(t *testing.T) {
		before := c.git("rev-parse", "HEAD")
		c.write("stamps/east/stamp.yaml", stampFile("east", "203.0.113.9"))
		after := c.commit()
		a, _ := c.event("pull_request", pull(before, after))
		if a.code != 0 || len(a.doc.Stamps) != 1 || len(a.doc.Stamps[0].Findings) != 1 || a.doc.Stamps[0].Findings[0].Found != "this change sends credentials elsewhere" {
			t.Fatalf("exit %d %+v\n%s", a.code, a.doc.Stamps, a.stderr)
		}
		want := report.Comparison{Fact: "pep.host.000", Before: `"10.0.0.1:5985"`, After: `"203.0.113.9:5985"`}
		if got := a.doc.Stamps[0].Compared; len(got) != 1 || got[0] != want {
			t.Errorf("compared %+v, want %+v", got, want)
		}
		if !strings.Contains(a.stderr, "::warning") || !strings.Contains(a.stdout, "203.0.113.9") {
			t.Errorf("nobody is told\n%s%s", a.stdout, a.stderr)
		}
	})

	t.Run("a new stamp", func(t *testing.T) {
		before := c.git("rev-parse", "HEAD")
		c.write("stamps/south/stamp.yaml", stampFile("south", "10.0.9.1"))
		a, _ := c.event("pull_request", pull(before, c.commit()))
		if taken(a) != "south" || a.doc.Stamps[0].Findings[0].ID != "target-new" {
			t.Errorf("took %q: %+v", taken(a), a.doc.Stamps)
		}
	})

	t.Run("a deleted stamp", func(t *testing.T) {
		before := c.git("rev-parse", "HEAD")
		c.git("rm", "-q", "-r", filepath.Join(c.sub, "stamps/south"))
		after := c.commit()
		a, out := c.event("pull_request", pull(before, after))
		if a.code != 1 || a.doc.Error.Reason != "stamp-deleted" || !strings.Contains(a.doc.Error.Message, `"south"`) || out["any"] != "" {
			t.Errorf("exit %d %+v, outputs %q", a.code, a.doc.Error, out)
		}
		// Once it is on the branch, the other stamps get what they are due all the same.
		c.write("stamps/west-1/stamp.yaml", stampFile("west", "10.0.1.1")+"# changed\n")
		a, out = c.event("push", push(before, c.commit()))
		if a.code != 0 || !strings.Contains(taken(a), "west") || strings.Contains(out["stamps"], "south") || !strings.Contains(a.stderr, "::warning") || !strings.Contains(a.stdout, "takes away the stamp") {
			t.Errorf("pushed: exit %d, took %q, outputs %q\n%s%s", a.code, taken(a), out, a.stdout, a.stderr)
		}
	})

	t.Run("a stamp under another name", func(t *testing.T) {
		before := c.git("rev-parse", "HEAD")
		c.write("stamps/north/stamp.yaml", stampFile("polar", "10.0.2.1"))
		if a, _ := c.event("pull_request", pull(before, c.commit())); a.code != 1 || a.doc.Error.Reason != "stamp-deleted" {
			t.Errorf("exit %d %+v", a.code, a.doc.Error)
		}
	})

	t.Run("a broken stamp", func(t *testing.T) {
		before := c.git("rev-parse", "HEAD")
		c.write("stamps/east/stamp.yaml", "name: [")
		broken := c.commit()
		if a, _ := c.event("pull_request", pull(before, broken)); a.code != 2 || !strings.Contains(a.doc.Error.Message, "stamps/east/stamp.yaml") {
			t.Errorf("exit %d %+v", a.code, a.doc.Error)
		}
		c.write("stamps/east/stamp.yaml", stampFile("east", "203.0.113.9"))
		if a, _ := c.event("push", push(broken, c.commit())); a.code != 0 || taken(a) != "east" || !strings.Contains(a.doc.Stamps[0].Findings[0].Found, "cannot be read") {
			t.Errorf("mended: exit %d, took %q %+v", a.code, taken(a), a.doc.Stamps)
		}
	})

	t.Run("a link instead of a stamp", func(t *testing.T) {
		before := c.git("rev-parse", "HEAD")
		p := filepath.Join(c.dir, c.sub, "stamps/east/stamp.yaml")
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../polar/stamp.yaml", p); err != nil {
			t.Skip(err)
		}
		if a, _ := c.event("pull_request", pull(before, c.commit())); a.code != 2 || !strings.Contains(a.doc.Error.Message, "not a regular file") {
			t.Errorf("exit %d %+v", a.code, a.doc.Error)
		}
	})
}

// TestDiscoverRefusesNonsense: what an event may hold that is no comparison.
func TestDiscoverRefusesNonsense(t *testing.T) {
	c := newCheckout(t)
	c.write("stamps/east/stamp.yaml", stampFile("east", "10.0.0.1"))
	head := c.commit()
	for _, row := range []struct {
		claim, name, payload string
		args                 []string
		code                 int
		want                 string
	}{
		{"no JSON", "push", `{"before`, nil, 2, "not JSON"},
		{"an option for a commit", "push", push("--output=/tmp/x", head), nil, 2, "names the commits"},
		{"a branch for a commit", "pull_request", pull("main", head), nil, 2, "names the commits"},
		{"nothing", "push", `{}`, nil, 2, "names the commits"},
		{"another event's payload", "pull_request", push(nothing, head), nil, 2, "no pull_request"},
		{"a commit that is not here", "pull_request", pull(strings.Repeat("1", 40), head), nil, 2, "rev-parse"},
		{"an option typed", "", "", []string{"--base", "--all"}, 2, "rev-parse"},
		{"an argument", "", "", []string{"east"}, 2, "takes no arguments"},
	} {
		a, out := c.event(row.name, row.payload, row.args...)
		if a.code != row.code || !strings.Contains(a.doc.Error.Message, row.want) || out["stamps"] != "" {
			t.Errorf("%s: exit %d %+v, outputs %q", row.claim, a.code, a.doc.Error, out)
		}
	}
	if a, out := c.event("push", `{"deleted":true,"before":"`+head+`","after":"`+nothing+`"}`); a.code != 0 || out["any"] != "false" || out["stamps"] != "[]" || out["matrix"] != `{"include":[]}` {
		t.Errorf("a deleted branch: exit %d, outputs %q", a.code, out)
	}
	if a, out := c.event("schedule", `{}`); a.code != 0 || out["stamps"] != `["east"]` {
		t.Errorf("a schedule: exit %d, outputs %q", a.code, out)
	}
}

// TestPlanMatrix: the same jobs, of the work tree and without git.
func TestPlanMatrix(t *testing.T) {
	dir := t.TempDir()
	c := &checkout{t: t, dir: dir}
	c.write("stamps/east/stamp.yaml", stampFile("east", "10.0.0.1")+"runner: [self-hosted, paw-east]\n")
	c.write("stamps/west/stamp.yaml", stampFile("west", "10.0.1.1"))
	file := filepath.Join(dir, "out")
	env := map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": file}
	var out, errs bytes.Buffer
	code := cli.Main(t.Context(), []string{"plan", "--matrix"}, cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: dir, Now: time.Now, Version: "test", Getenv: func(n string) string { return env[n] },
	})
	want := `{"include":[{"stamp":"east","path":"stamps/east","runner":["self-hosted","paw-east"]},{"stamp":"west","path":"stamps/west","runner":["self-hosted"]}]}`
	if got := outputsOf(t, file); code != 0 || got["matrix"] != want || strings.TrimSpace(out.String()) != want {
		t.Errorf("exit %d, outputs %q\n%s%s", code, got, out.String(), errs.String())
	}
}

// TestNoWorkTree says what is missing where there is no history, and not that it is too short.
func TestNoWorkTree(t *testing.T) {
	c := newCheckout(t)
	c.write("stamps/east/stamp.yaml", "name: east\n")
	if err := os.RemoveAll(filepath.Join(c.dir, ".git")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--base", "main"}, {"--head", "main"}} {
		a, _ := c.event("", "", args...)
		if a.code != 2 || strings.Count(a.stderr, "certstamp: error: ") != 1 || !strings.Contains(a.stderr, "lies in no Git work tree") || !strings.Contains(a.doc.Error.Hint, "clone of the repository") {
			t.Errorf("%v: exit %d\n%s", args, a.code, a.stderr)
		}
	}
}
