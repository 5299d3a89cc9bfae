package cli_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"go.yaml.in/yaml/v4"

	"github.com/certstamp/certstamp/cmd/internal/cli"
)

const pinnedAction = "contoso/certstamp@0123456789abcdef0123456789abcdef01234567"

// stampInformation is what a stamp says of itself, with properties that are not for us.
const stampInformation = `{"DeploymentID":"d","StampVersion":"1.2301.2.58","RegionName":"Paw","ExternalDomainFQDN":"paw.azurestack.contoso.com",
 "CloudID":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","EmergencyConsoleIPAddresses":["10.1.0.11","10.1.0.12","10.1.0.13"],"Timezone":"UTC","AADTenantID":null,"RootCACertificates":[{"NotAfter":"x"}]}`

func in(t *testing.T, dir string, args ...string) answer {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Main(t.Context(), args, cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: dir, Now: time.Now, Version: "test", Getenv: func(string) string { return "" },
	})
	return answer{code: code, stdout: out.String(), stderr: errs.String()}
}

// begun is a starter repository.
func begun(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	info := filepath.Join(t.TempDir(), "info.json")
	if err := os.WriteFile(info, []byte(stampInformation), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := in(t, dir, "init", "--from", info, "--action", pinnedAction); a.code != 0 {
		t.Fatalf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	return dir
}

func TestInit(t *testing.T) {
	dir := begun(t)
	a := in(t, dir, "target")
	for _, want := range []string{`region: "paw"`, `fqdn: "azurestack.contoso.com"`, `cloud-id: "3f2504e0-4f89-41d3-9a0c-0305e82c3301"`, `pep.host.002: "10.1.0.13:5985"`} {
		if a.code != 0 || !strings.Contains(a.stdout, want) {
			t.Errorf("exit %d, want %s in\n%s%s", a.code, want, a.stdout, a.stderr)
		}
	}
	if a := in(t, dir, "plan", "--matrix"); !strings.Contains(a.stdout, `"runner":["self-hosted","paw"]`) {
		t.Errorf("the matrix is\n%s%s", a.stdout, a.stderr)
	}
	files := 0
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(p)
		if err == nil && (bytes.Contains(b, []byte("@ACTION@")) || bytes.Contains(b, []byte("@STAMP@"))) {
			t.Errorf("%s has a place that was not filled", p)
		}
		return err
	})
	if err != nil || files != 14 {
		t.Errorf("%d files, %v", files, err)
	}
	text := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	for _, path := range []string{"/stamps/", "/policies/", "/policy.yaml", "/roots/", "/recipients.txt", "/stamp.schema.json", "/.github/", "/azure-pipelines.yml", "/azure-expiry.yml", "/CODEOWNERS"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(path) + ` +@`).MatchString(text("CODEOWNERS")) {
			t.Errorf("nobody owns %s", path)
		}
	}
	ignored := strings.Fields(text(".gitignore"))
	for _, m := range regexp.MustCompile(`age-keygen -o (\S+)`).FindAllStringSubmatch(text("README.md"), -1) {
		if !slices.ContainsFunc(ignored, func(p string) bool { ok, _ := filepath.Match(p, m[1]); return ok }) {
			t.Errorf("README.md makes the identity %s, and git add would take it", m[1])
		}
	}
	for line := range strings.Lines(text("README.md")) {
		if strings.HasPrefix(line, "certstamp csr") && !strings.Contains(line, "--recipient ") || strings.HasPrefix(line, "certstamp pack") && !strings.Contains(line, "--key-identity ") {
			t.Errorf("README.md shows a command that is refused: %s", line)
		}
	}
}

// TestInitOverwritesNothing: not even a link that leads nowhere, and it writes nothing beside what is there.
func TestInitOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "CODEOWNERS")); err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := in(t, dir, "init", "--action", pinnedAction)
	if a.code != 2 || !strings.Contains(a.stderr, "CODEOWNERS, README.md") {
		t.Errorf("exit %d\n%s", a.code, a.stderr)
	}
	entries, err := os.ReadDir(dir)
	if b, rerr := os.ReadFile(filepath.Join(dir, "README.md")); err != nil || rerr != nil || len(entries) != 2 || string(b) != "mine" {
		t.Errorf("it left %v, %v %v", entries, err, rerr)
	}
	for _, action := range []string{"", "contoso/certstamp@v1", "contoso/certstamp", "contoso/x@0123456789abcdef0123456789abcdef01234567\n  evil: x", "../x@0123456789abcdef0123456789abcdef01234567"} {
		if a := in(t, t.TempDir(), "init", "--action", action); a.code != 2 {
			t.Errorf("--action %q: exit %d", action, a.code)
		}
	}
}

// TestInformation: one property changed at a time. A value is a line of a stamp file or an error that shows it quoted.
func TestInformation(t *testing.T) {
	change := func(key string, value any) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(stampInformation), &m); err != nil {
			t.Fatal(err)
		}
		m[key] = value
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	wide := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(stampInformation)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	many := slices.Repeat([]string{"10.0.0.1"}, 17)
	for claim, row := range map[string]struct {
		text, want string
		code       int
	}{
		"UTF-16 of PowerShell":   {string(wide), "", 0},
		"a byte order mark":      {"\xef\xbb\xbf" + stampInformation, "", 0},
		"one address as a text":  {change("EmergencyConsoleIPAddresses", "10.1.0.11"), "", 0},
		"an IPv6 address":        {change("EmergencyConsoleIPAddresses", []string{"2001:db8::1"}), "", 0},
		"no CloudID":             {change("CloudID", ""), "", 0},
		"empty":                  {"", "not the JSON", 2},
		"a list":                 {"[]", "not the JSON", 2},
		"deep":                   {strings.Repeat(`{"a":`, 20000), "not the JSON", 2},
		"large":                  {strings.Repeat(" ", 1<<20) + stampInformation, "larger than", 2},
		"YAML in the region":     {change("RegionName", "paw\nsimulated: true"), `"paw\nsimulated: true"`, 2},
		"a command in the FQDN":  {change("ExternalDomainFQDN", "paw.x\n::error::y"), "ExternalDomainFQDN", 2},
		"FQDN without a region":  {change("ExternalDomainFQDN", "azurestack.contoso.com"), `begins with "paw."`, 2},
		"a word for a version":   {change("StampVersion", "1.2301 # x"), "StampVersion", 2},
		"YAML in the CloudID":    {change("CloudID", "x # y"), "CloudID", 2},
		"a name for an address":  {change("EmergencyConsoleIPAddresses", []string{"evil.example"}), "no address", 2},
		"this machine":           {change("EmergencyConsoleIPAddresses", []string{"127.0.0.1"}), "no address", 2},
		"a zone":                 {change("EmergencyConsoleIPAddresses", []string{"fe80::1%x\"]"}), "no address", 2},
		"too many addresses":     {change("EmergencyConsoleIPAddresses", many), "17 addresses", 2},
		"a number for addresses": {change("EmergencyConsoleIPAddresses", 7), "no list", 2},
		"no addresses":           {change("EmergencyConsoleIPAddresses", []string{}), "0 addresses", 2},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "info")
		if err := os.WriteFile(file, []byte(row.text), 0o644); err != nil {
			t.Fatal(err)
		}
		a := in(t, dir, "init", "--from", file, "--action", pinnedAction)
		if a.code != row.code || !strings.Contains(a.stderr, row.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", claim, a.code, row.code, row.want, a.stderr)
		}
		if entries, err := os.ReadDir(dir); row.code != 0 && (err != nil || len(entries) != 1) {
			t.Errorf("%s: it left %v", claim, entries)
		}
		if row.code == 0 {
			if a := in(t, dir, "target"); a.code != 0 {
				t.Errorf("%s: its stamp file cannot be read\n%s", claim, a.stderr)
			}
		}
	}
}

// workflow is what the rules look at.
type workflow struct {
	On          any               `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		If          string `yaml:"if"`
		RunsOn      string `yaml:"runs-on"`
		Environment string `yaml:"environment"`
		Timeout     int    `yaml:"timeout-minutes"`
		Uses        string `yaml:"uses"`
		Permissions any    `yaml:"permissions"`
		Concurrency struct {
			Group  string `yaml:"group"`
			Cancel *bool  `yaml:"cancel-in-progress"`
		} `yaml:"concurrency"`
		Strategy struct {
			MaxParallel int   `yaml:"max-parallel"`
			FailFast    *bool `yaml:"fail-fast"`
		} `yaml:"strategy"`
		Env     map[string]string `yaml:"env"`
		Outputs map[string]string `yaml:"outputs"`
		Steps   []struct {
			If   string            `yaml:"if"`
			Run  string            `yaml:"run"`
			Uses string            `yaml:"uses"`
			With map[string]any    `yaml:"with"`
			Env  map[string]string `yaml:"env"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

var (
	pinnedUse = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]+@[0-9a-f]{40}$`)
	useLine   = regexp.MustCompile(`(?m)^\s*(?:- )?uses: (actions/\S+)(.*)$`)
	envName   = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
)

// TestStarterWorkflows holds what keeps a pull request from the stamps, and one plan to one approval.
func TestStarterWorkflows(t *testing.T) {
	dir := filepath.Join(begun(t), ".github", "workflows")
	for _, name := range []string{"pr", "deploy", "stamp", "bmc", "dispatch", "expiry"} {
		b, err := os.ReadFile(filepath.Join(dir, name+".yml"))
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(b, &w); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		bad := func(format string, args ...any) { t.Errorf("%s: %s", name, fmt.Sprintf(format, args...)) }
		if w.Permissions["contents"] != "read" || len(w.Permissions) > 2 || len(w.Permissions) == 2 && (name != "dispatch" || w.Permissions["actions"] != "read") {
			bad("permissions %v", w.Permissions)
		}
		for _, m := range useLine.FindAllStringSubmatch(string(b), -1) {
			if !regexp.MustCompile(`^ # v\d+\.\d+\.\d+$`).MatchString(m[2]) {
				bad("%s has no version beside it", m[0])
			}
		}
		if strings.Contains(string(b), "pull_request_target") || strings.Contains(string(b), "workflow_run") {
			bad("it runs for a pull request with the rights of main")
		}
		for id, j := range w.Jobs {
			if j.Permissions != nil {
				bad("%s has permissions of its own", id)
			}
			if j.Uses != "" {
				if j.Uses != "./.github/workflows/stamp.yml" || j.Strategy.MaxParallel != 1 || j.Strategy.FailFast == nil || !*j.Strategy.FailFast {
					bad("%s uses %q, %+v", id, j.Uses, j.Strategy)
				}
				continue
			}
			if j.Timeout == 0 || id == "apply" && j.Timeout != 720 {
				bad("%s may take %d minutes", id, j.Timeout)
			}
			own := j.RunsOn != "ubuntu-latest"
			if own != (id == "plan" || id == "apply" || id == "expiry") || own && !strings.HasPrefix(j.RunsOn, "${{ fromJSON(") && id != "expiry" || id == "expiry" && j.RunsOn != "${{ matrix.runner }}" || name == "pr" && own {
				bad("%s runs on %q", id, j.RunsOn)
			}
			want := map[string]string{"plan": "${{ inputs.stamp }}-plan", "apply": "${{ inputs.stamp }}"}[id]
			if j.Environment != want {
				bad("%s has the environment %q", id, j.Environment)
			}
			if id == "apply" && (j.Concurrency.Group != "stamp-${{ inputs.stamp }}" || j.Concurrency.Cancel == nil || *j.Concurrency.Cancel) {
				bad("the lock of the stamp is %+v", j.Concurrency)
			}
			// A branch must not reach a stamp, and where approvals are typed only the workflow in which they are typed applies.
			reaches := map[bool]string{true: "github.ref == 'refs/heads/main'", false: "vars.CERTSTAMP_APPROVAL != 'typed' && github.ref == 'refs/heads/main'"}[name == "dispatch" || name == "expiry"]
			if (id == "apply" || id == "expiry") && j.If != reaches {
				bad("%s runs if %q, want %q", id, j.If, reaches)
			}
			if id == "expiry" && (j.Strategy.FailFast == nil || *j.Strategy.FailFast) {
				bad("a stamp that is due hides the others")
			}
			if id == "plan" && j.Outputs["sha256"] != "${{ steps.plan.outputs.plan-sha256 }}" {
				bad("the digest is %q", j.Outputs["sha256"])
			}
			if last := j.Steps[len(j.Steps)-1]; own && (last.If != "always()" || last.Run != "git clean -ffdxq") {
				bad("%s ends with %q if %q, and what it made stays on the runner", id, last.Run, last.If)
			}
			var commands []string
			for _, s := range j.Steps {
				if strings.Contains(s.Run, "${{") {
					bad("%s: a script with an expression: %q", id, s.Run)
				}
				if (s.Uses == "") == (s.Run == "") || s.Uses != "" && !pinnedUse.MatchString(s.Uses) {
					bad("%s uses %q, which is not pinned", id, s.Uses)
				}
				if strings.Contains(s.Uses, "load-artifact@") != strings.Contains(s.If, "vars.CERTSTAMP_PLAN_FOLDER == ''") {
					bad("%s: %q needs an artifact service, and there may be none: it runs if %q", id, s.Uses, s.If)
				}
				if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
					bad("%s leaves a token in the checkout", id)
				}
				for k, v := range s.Env {
					if !envName.MatchString(k) {
						bad("%s: the variable %q", id, k)
					}
					if strings.Contains(v, "secrets.") && (j.Environment == "" || v != "${{ secrets."+k+" }}") {
						bad("%s: the secret %s is %q outside of an environment", id, k, v)
					}
				}
				if s.Uses != pinnedAction {
					continue
				}
				command, _ := s.With["command"].(string)
				commands = append(commands, command)
				if kinds := map[string]string{"rotate": "inputs.kind != 'bmc'", "bmc": "inputs.kind == 'bmc'"}; name == "dispatch" && id == "apply" && s.If != cmp.Or(kinds[command], "inputs.kind == 'certificates'") {
					bad("%s runs if %q", command, s.If)
				}
				if id == "apply" {
					digest := map[string]string{"dispatch": "${{ inputs.plan-sha256 }}"}[name]
					if digest == "" {
						digest = "${{ needs.plan.outputs.sha256 }}"
					}
					if s.With["plan-sha256"] != digest || s.Env["CERTSTAMP_TARGET"] != "${{ vars.CERTSTAMP_TARGET }}" {
						bad("%s is bound to %v and %q", command, s.With["plan-sha256"], s.Env["CERTSTAMP_TARGET"])
					}
					args, _ := s.With["args"].(string)
					if !strings.Contains(args, "--journal=${{ env.CERTSTAMP_JOURNAL }}") || !strings.Contains(j.Env["CERTSTAMP_JOURNAL"], "vars.CERTSTAMP_PLAN_FOLDER && format('{0}/journal-") {
						bad("%s leaves its journal in the workspace: %q, %q", command, args, j.Env["CERTSTAMP_JOURNAL"])
					}
				}
			}
			steps := map[string]string{"apply": "stage rotate verify unstage", "plan": "plan", "jobs": "plan", "discover": "discover", "validate": "validate plan", "expiry": "expiry"}[id]
			switch {
			case name == "deploy" && id == "discover":
				steps = "discover plan" // or: of what was pushed, or of the stamp that somebody names
			case id != "apply":
			case name == "bmc":
				steps = "bmc"
			case name == "dispatch":
				steps += " bmc"
			}
			if got := strings.Join(commands, " "); got != steps {
				bad("%s runs %q, want %q", id, got, steps)
			}
		}
		if (name == "pr" || name == "expiry") && strings.Contains(string(b), "secrets.") {
			bad("a secret where none is needed")
		}
	}
}

// TestStarterAzure: one stage for each stamp, restricted steps, and no expression in a script.
func TestStarterAzure(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(begun(t), "azure-pipelines.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{
		"default: [paw]", "timeoutInMinutes: 0", "lockBehavior: sequential", "stage: apply_${{ replace(stamp, '-', '_') }}", "environment: stamp-${{ stamp }}\n",
		"- group: stamp-${{ stamp }}-plan\n", "- group: stamp-${{ stamp }}\n", "- publish: .certstamp\n                      artifact: journal-${{ stamp }}-$(System.StageAttempt)\n                      condition: always()\n",
		"REASON: ${{ replace(parameters.reason, '$', '') }}",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	// The order of the stages is what stops the rest after a failed stamp.
	if strings.Contains(text, "dependsOn") {
		t.Error("a stage no longer depends on the one before it")
	}
	if n := strings.Count(text, "CERTSTAMP_TARGET: $(CERTSTAMP_TARGET)"); n != 2 {
		t.Errorf("%d steps are held to the pinned target", n)
	}
	if got := restricted(t, text); got != 4 {
		t.Errorf("%d steps are of certstamp", got)
	}
}

// TestStarterAzureExpiry: the schedule watches, and can do nothing else.
func TestStarterAzureExpiry(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(begun(t), "azure-expiry.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Trigger, Pr string
		Schedules   []struct {
			Cron     string
			Always   bool
			Branches struct{ Include []string }
		}
		Jobs []struct {
			Condition string
			Timeout   int `yaml:"timeoutInMinutes"`
			Variables any
		}
	}
	if err := yaml.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if p.Trigger != "none" || p.Pr != "none" || len(p.Schedules) != 1 || !p.Schedules[0].Always || !slices.Equal(p.Schedules[0].Branches.Include, []string{"main"}) {
		t.Errorf("it runs for %q, %q, %+v", p.Trigger, p.Pr, p.Schedules)
	}
	if len(p.Jobs) != 1 || p.Jobs[0].Condition != "eq(variables['Build.SourceBranch'], 'refs/heads/main')" || p.Jobs[0].Timeout == 0 || p.Jobs[0].Variables != nil {
		t.Errorf("its jobs are %+v", p.Jobs)
	}
	text := string(b)
	if strings.Contains(text, "group:") || strings.Contains(text, "PASSWORD") {
		t.Error("a secret where none is needed")
	}
	if got := restricted(t, text); got != 1 {
		t.Errorf("%d steps are of certstamp", got)
	}
}

// restricted counts the steps of certstamp in a pipeline of Azure, and holds that each is restricted and none holds an expression.
func restricted(t *testing.T, text string) int {
	t.Helper()
	scripts := regexp.MustCompile(`(?m)- (?:script|bash|pwsh|powershell): (.*)`).FindAllStringSubmatch(text, -1)
	ours := 0
	for _, s := range scripts {
		if strings.Contains(s[1], "${{") || strings.Contains(s[1], "$(") || !strings.HasPrefix(s[0], "- bash: ") {
			t.Errorf("%q holds an expression, or means something else on Windows", s[0])
		}
		if strings.HasPrefix(s[1], "certstamp ") {
			ours++
		}
	}
	if strings.Count(text, "target: {commands: restricted, settableVariables: [") != ours {
		t.Errorf("of %q not all %d of certstamp are restricted", scripts, ours)
	}
	return ours
}
