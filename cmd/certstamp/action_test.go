package main_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/certstamp/certstamp/cmd/internal/cli"
)

// metadata is what this test reads of an action.yml.
type metadata struct {
	Inputs map[string]struct {
		Description string
		Required    bool
		Default     *string
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			ID, If, Shell, Run, Uses string
			Env                      map[string]string
			With                     map[string]string
		}
	}
}

const top = "../.." // the repository

// actions are all action.yml files: the one at the root and whatever stands in for others in tests.
func actions(t *testing.T) map[string]metadata {
	t.Helper()
	out := map[string]metadata{}
	for _, pattern := range []string{"action.yml", "*/action.yml", "testdata/actions/*/action.yml"} {
		files, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var m metadata
			if err := yaml.Unmarshal(b, &m); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			name, _ := filepath.Rel(top, f)
			out[filepath.ToSlash(name)] = m
		}
	}
	if len(out) == 0 || len(out["action.yml"].Inputs) == 0 {
		t.Fatal("there is no action.yml")
	}
	return out
}

var (
	inputName  = regexp.MustCompile(`\binputs\.([A-Za-z0-9_-]+)`)
	stepOutput = regexp.MustCompile(`\bsteps\.([A-Za-z0-9_-]+)\.outputs\.([A-Za-z0-9_-]+)`)
	pinned     = regexp.MustCompile(`^[A-Za-z0-9._-]+/[A-Za-z0-9._/-]+@[0-9a-f]{40}$`)
	plainName  = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
)

// TestActionMetadata holds what no linter looks at inside a composite action.
func TestActionMetadata(t *testing.T) {
	for file, m := range actions(t) {
		ids := map[string]bool{}
		used := map[string]bool{}
		for i, s := range m.Runs.Steps {
			if s.ID != "" {
				if ids[s.ID] {
					t.Errorf("%s: two steps are called %q", file, s.ID)
				}
				ids[s.ID] = true
			}
			if strings.Contains(s.Run, "${{") {
				t.Errorf("%s: step %d: an expression inside run becomes part of the script: pass it through env", file, i)
			}
			if (s.Run != "") == (s.Uses != "") || s.Run != "" && s.Shell == "" {
				t.Errorf("%s: step %d: wants run and shell, or uses", file, i)
			}
			if s.Uses != "" && !pinned.MatchString(s.Uses) {
				t.Errorf("%s: step %d: %q is not pinned to a commit", file, i, s.Uses)
			}
			for name, value := range s.Env {
				if !plainName.MatchString(name) || strings.HasPrefix(name, "INPUT_") || strings.HasPrefix(name, "GITHUB_") {
					t.Errorf("%s: step %d: a script cannot rely on a variable called %q", file, i, name)
				}
				for _, in := range inputName.FindAllStringSubmatch(value, -1) {
					used[in[1]] = true
					if want := "${{ inputs." + in[1] + " }}"; value != want || !strings.HasSuffix(name, "_"+strings.ToUpper(strings.ReplaceAll(in[1], "-", "_"))) {
						t.Errorf("%s: step %d: %s: %s should be the input of its name and nothing else", file, i, name, value)
					}
				}
			}
			for _, text := range slices.Concat([]string{s.If}, slices.Collect(maps.Values(s.With))) {
				for _, in := range inputName.FindAllStringSubmatch(text, -1) {
					used[in[1]] = true
				}
			}
		}
		for in := range used {
			if _, ok := m.Inputs[in]; !ok {
				t.Errorf("%s: the input %q is used and not declared", file, in)
			}
		}
		for in, d := range m.Inputs {
			if !used[in] {
				t.Errorf("%s: the input %q is declared and reaches no step", file, in)
			}
			if d.Description == "" || !d.Required && d.Default == nil {
				t.Errorf("%s: the input %q wants a description and, if it may be left out, a default", file, in)
			}
		}
		for name, o := range m.Outputs {
			refs := stepOutput.FindAllStringSubmatch(o.Value, -1)
			if len(refs) == 0 || o.Description == "" {
				t.Errorf("%s: the output %q wants a description and a step that sets it", file, name)
			}
			for _, r := range refs {
				if !ids[r[1]] {
					t.Errorf("%s: the output %q is of a step %q, which is none", file, name, r[1])
				}
				if r[2] != name {
					t.Errorf("%s: the output %q is fed by %q", file, name, r[2])
				}
			}
		}
	}
}

// TestActionTwins: the steps for the two systems get the same inputs, feed the same outputs, and their scripts read exactly
// the inputs that they are given.
func TestActionTwins(t *testing.T) {
	m := actions(t)["action.yml"]
	if len(m.Runs.Steps) != 2 || m.Runs.Using != "composite" {
		t.Fatalf("%d steps, want one for each system", len(m.Runs.Steps))
	}
	nix, windows := m.Runs.Steps[0], m.Runs.Steps[1]
	if !maps.Equal(nix.Env, windows.Env) || nix.Shell != "sh" || windows.Shell != "powershell" || nix.If != "runner.os != 'Windows'" || windows.If != "runner.os == 'Windows'" {
		t.Error("the two steps are not twins")
	}
	for name, o := range m.Outputs {
		if want := "${{ steps.nix.outputs." + name + " || steps.windows.outputs." + name + " }}"; o.Value != want {
			t.Errorf("the output %s is %s, want %s", name, o.Value, want)
		}
	}
	given := slices.Sorted(maps.Keys(nix.Env))
	sh, ps := read(t, "scripts/action/run.sh"), read(t, "scripts/action/run.ps1")
	reads := map[string]bool{}
	for _, x := range regexp.MustCompile(`CERTSTAMP_IN_[A-Z0-9_]*[A-Z0-9]`).FindAllString(sh, -1) {
		reads[x] = true
	}
	if got := slices.Sorted(maps.Keys(reads)); !slices.Equal(got, given) {
		t.Errorf("run.sh reads %q, it is given %q", got, given)
	}
	reads = map[string]bool{}
	for _, x := range regexp.MustCompile(`Get-Input '([A-Z0-9_]+)'`).FindAllStringSubmatch(ps, -1) {
		reads["CERTSTAMP_IN_"+x[1]] = true
	}
	if got := slices.Sorted(maps.Keys(reads)); !slices.Equal(got, given) {
		t.Errorf("run.ps1 reads %q, it is given %q", got, given)
	}
	// They refuse in the same words. A script that prints an input prints what somebody else wrote.
	told := regexp.MustCompile(`(?:fail|Stop-Run) ["']([^"'$]*)`)
	words := func(s string) []string {
		out := map[string]bool{}
		for _, x := range told.FindAllStringSubmatch(s, -1) {
			out[x[1]] = true
		}
		return slices.Sorted(maps.Keys(out))
	}
	a, b := words(sh), words(ps)
	if a = slices.DeleteFunc(a, func(s string) bool { return strings.Contains(s, "cannot be executed") }); !slices.Equal(a, b) {
		t.Errorf("run.sh refuses with %q, run.ps1 with %q", a, b)
	}
	for name, s := range map[string]string{"run.sh": sh, "run.ps1": ps} {
		if m := regexp.MustCompile(`(?i)\beval\b|invoke-expression|\biex\b|\$\{\{`).FindString(s); m != "" {
			t.Errorf("%s has %q", name, m)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestActionCommands: the input command offers what the command line has.
func TestActionCommands(t *testing.T) {
	var out bytes.Buffer
	if code := cli.Main(t.Context(), []string{"--help"}, cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}); code != 0 {
		t.Fatalf("--help: exit %d\n%s", code, out.String())
	}
	_, list, _ := strings.Cut(out.String(), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var have []string
	for line := range strings.Lines(list) {
		if name := strings.Fields(line)[0]; name != "help" && name != "completion" {
			have = append(have, name)
		}
	}
	_, offered, _ := strings.Cut(actions(t)["action.yml"].Inputs["command"].Description, "One of: ")
	offers := strings.Split(offered, ", ")
	slices.Sort(offers)
	slices.Sort(have)
	if !slices.Equal(offers, have) {
		t.Errorf("action.yml offers %q, certstamp has %q", offers, have)
	}
}

// TestActionIsDocumented: the tables in docs/github.md and README.md are those of action.yml, row by row.
func TestActionIsDocumented(t *testing.T) {
	m := actions(t)["action.yml"]
	declared := map[string]map[string]string{"input": {}, "output": {}}
	for name, d := range m.Inputs {
		declared["input"][name] = d.Description
	}
	for name, d := range m.Outputs {
		declared["output"][name] = d.Description
	}
	for _, file := range []string{"docs/github.md", "README.md"} {
		for what, want := range declared {
			_, text, ok := strings.Cut(read(t, file), "\n| "+what+" | meaning |\n|---|---|\n")
			text, _, _ = strings.Cut(text, "\n\n")
			rows := map[string]string{}
			for _, r := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (.*) \\|$").FindAllStringSubmatch(text, -1) {
				rows[r[1]] = r[2]
			}
			if !ok || !maps.Equal(rows, want) {
				t.Errorf("%s says of each %s\n%q\naction.yml\n%q", file, what, rows, want)
			}
		}
	}
}

// outputOfTool finds the names under which the command line gives outputs.
var outputOfTool = regexp.MustCompile(`output\{"([a-z0-9-]+)", |\{"(result|exit-code)", `)

// TestActionOutputs: action.yml hands on every output that the tool has, and no other.
func TestActionOutputs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(top, "cmd", "internal", "cli", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, o := range outputOfTool.FindAllStringSubmatch(string(b), -1) {
			given[o[1]+o[2]] = true
		}
	}
	have, declared := slices.Sorted(maps.Keys(given)), slices.Sorted(maps.Keys(actions(t)["action.yml"].Outputs))
	if !slices.Equal(have, declared) {
		t.Errorf("certstamp gives %q, action.yml hands on %q", have, declared)
	}
}

// TestReadmeWorkflow holds the workflow that everybody copies to the rules of those that init writes.
func TestReadmeWorkflow(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "README.md"), "```yaml\nname: rotate east\n")
	text, _, _ = strings.Cut(text, "\n```")
	var w struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			If, Environment string
			Timeout         int `yaml:"timeout-minutes"`
			Concurrency     struct{ Group string }
			Steps           []struct {
				Uses, Run string
				With      map[string]any
				Env       map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	plan, apply := w.Jobs["plan"], w.Jobs["apply"]
	if len(w.Jobs) != 2 || plan.Environment != "east-plan" || apply.Environment != "east" || apply.If != "github.ref == 'refs/heads/main'" || apply.Concurrency.Group != "stamp-east" || apply.Timeout != 720 || plan.Timeout == 0 {
		t.Errorf("the jobs are %+v", w.Jobs)
	}
	if want := map[string]string{"contents": "read"}; !maps.Equal(w.Permissions, want) {
		t.Errorf("it may %v", w.Permissions)
	}
	for id, j := range w.Jobs {
		ours := 0
		for _, s := range j.Steps {
			if s.Run != "" || !pinned.MatchString(s.Uses) {
				t.Errorf("%s runs %q and uses %q", id, s.Run, s.Uses)
			}
			if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
				t.Errorf("%s leaves a token in the checkout", id)
			}
			if !strings.HasPrefix(s.Uses, "certstamp/certstamp@") {
				continue
			}
			ours++
			if s.Env["CERTSTAMP_TARGET"] != "${{ vars.CERTSTAMP_TARGET }}" || id == "apply" && s.With["plan-sha256"] != "${{ needs.plan.outputs.sha256 }}" {
				t.Errorf("%s is bound to %v and %q", id, s.With["plan-sha256"], s.Env["CERTSTAMP_TARGET"])
			}
		}
		if ours == 0 {
			t.Errorf("%s does not use the action", id)
		}
	}
}
