//go:build unix

package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// recorder is a program that writes down how it was called.
const recorder = `#!/bin/sh
{
	printf '%s\n' "$PWD"
	for a; do printf '<%s>\n' "$a"; done
	env | grep ^CERTSTAMP_IN_ || :
} >"$RECORD"
exit 5
`

// scripted runs run.sh like the runner does, with a recorder in the place of certstamp.
type scripted struct {
	t                              *testing.T
	shell, action, temp, workspace string
	record                         string
	env                            []string // besides what a runner sets
}

func newScripted(t *testing.T, shell string) *scripted {
	t.Helper()
	dir := t.TempDir()
	s := &scripted{t: t, shell: shell, action: filepath.Join(dir, "the action"), temp: filepath.Join(dir, "temp"), workspace: filepath.Join(dir, "work space"), record: filepath.Join(dir, "record")}
	for _, d := range []string{filepath.Join(s.action, "scripts", "action"), filepath.Join(s.action, "dist"), s.temp, filepath.Join(s.workspace, "sub")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.put(filepath.Join(s.action, "scripts", "action", "run.sh"), read(t, "scripts/action/run.sh"), 0o644)
	return s
}

func (s *scripted) put(file, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

// release puts a binary into the action as a release commit has it.
func (s *scripted) release(text, sums string) {
	name := "certstamp-" + runtime.GOOS + "-" + runtime.GOARCH
	s.put(filepath.Join(s.action, "dist", name), text, 0o644)
	s.put(filepath.Join(s.action, "dist", "SHA256SUMS"), strings.ReplaceAll(sums, "NAME", name), 0o644)
}

// run gives the exit code, what was said, and what the recorder wrote.
func (s *scripted) run(inputs map[string]string) (int, string, string) {
	s.t.Helper()
	_ = os.Remove(s.record)
	cmd := exec.Command(s.shell, "-e", "-c", `exec `+s.shell+` "$GITHUB_ACTION_PATH/scripts/action/run.sh"`)
	cmd.Dir = s.workspace
	arch := map[string]string{"amd64": "X64", "arm64": "ARM64"}[runtime.GOARCH]
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GITHUB_ACTION_PATH=" + s.action, "RUNNER_TEMP=" + s.temp, "RUNNER_OS=Linux", "RUNNER_ARCH=" + arch, "RECORD=" + s.record, "PFX_PASSWORD=canary"}
	for _, name := range []string{"COMMAND", "STAMP", "PLAN", "PLAN_SHA256", "FORMATS", "ARGS", "WORKING_DIRECTORY", "BINARY", "BINARY_SHA256", "ALLOW_BUILD"} {
		cmd.Env = append(cmd.Env, "CERTSTAMP_IN_"+name+"="+inputs[name])
	}
	cmd.Env = append(cmd.Env, s.env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	b, _ := os.ReadFile(s.record)
	return cmd.ProcessState.ExitCode(), said.String(), string(b)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func eachShell(t *testing.T, test func(*testing.T, *scripted)) {
	for _, shell := range []string{"dash", "bash"} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Fatalf("%s is needed: scripts/deps.sh installs it", shell)
			}
			test(t, newScripted(t, shell))
		})
	}
}

// TestActionArguments: every line becomes one argument, whatever stands in it, and nothing is evaluated.
func TestActionArguments(t *testing.T) {
	eachShell(t, func(t *testing.T, s *scripted) {
		s.release(recorder, digest(recorder)+"  NAME\n")
		owned := filepath.Join(s.workspace, "owned")
		evil := []string{"$(touch '" + owned + "')", "`touch '" + owned + "'`", "a  b\tc ", `\n\\ "x" 'y'`, "; touch owned", "*", "${IFS}", "LINES", "%s", "--", "::error::x"}
		code, said, record := s.run(map[string]string{
			"COMMAND": "stage", "STAMP": "stamps/east\nstamps/we st", "PLAN": "plans/$(x).json", "PLAN_SHA256": "abc", "FORMATS": "json=a.json, junit=b.xml\nsarif=c",
			"ARGS": strings.Join(evil, "\n") + "\n\n", "WORKING_DIRECTORY": "sub",
		})
		want := []string{
			filepath.Join(s.workspace, "sub"), "<stage>", "<--stamp=stamps/east>", "<--stamp=stamps/we st>", "<--plan=plans/$(x).json>", "<--plan-sha256=abc>",
			"<--format=json=a.json>", "<--format=junit=b.xml>", "<--format=sarif=c>", "<--format=text>",
		}
		for _, e := range evil {
			want = append(want, "<"+e+">")
		}
		if w := strings.Join(want, "\n") + "\n"; record != w || code != 5 || said != "" {
			t.Errorf("exit %d, said %q, called with\n%swant\n%s", code, said, record, w)
		}
		if _, err := os.Stat(owned); err == nil {
			t.Error("an argument was evaluated")
		}
		_, _, record = s.run(map[string]string{"COMMAND": "plan", "PLAN": "out.json", "FORMATS": "json"})
		if w := "<plan>\n<--out=out.json>\n<--format=json>\n"; !strings.HasSuffix(record, s.workspace+"\n"+w) {
			t.Errorf("plan was called with %q", record)
		}
	})
}

// TestActionBinary: which certstamp runs, and what is said when none may.
func TestActionBinary(t *testing.T) {
	eachShell(t, func(t *testing.T, s *scripted) {
		mine := filepath.Join(s.workspace, "my certstamp")
		s.put(mine, recorder, 0o755)
		good, bad := digest(recorder), digest("other")
		name := "certstamp-" + runtime.GOOS + "-" + runtime.GOARCH
		for _, row := range []struct {
			name, text, sums string
			inputs           map[string]string
			code             int
			says             string
		}{
			{name: "nothing there", inputs: map[string]string{}, code: 2, says: "mirror " + name},
			{name: "a release", text: recorder, sums: bad + "  other\n" + good + "  NAME\n", code: 5},
			{name: "a changed release", text: recorder + "#", sums: good + "  NAME\n", code: 2, says: "is not the released file"},
			{name: "a release under two digests", text: recorder, sums: good + "  NAME\n" + bad + "  NAME\n", code: 2, says: "does not name " + name + " once"},
			{name: "a release that is not listed", text: recorder, sums: good + "  NAMEx\n" + good + "  xNAME\n", code: 2, says: "does not name"},
			{name: "one of the runner", inputs: map[string]string{"BINARY": mine}, code: 5},
			{name: "one of the runner, checked", inputs: map[string]string{"BINARY": "my certstamp", "BINARY_SHA256": good}, code: 5},
			{name: "one of the runner, another file", inputs: map[string]string{"BINARY": mine, "BINARY_SHA256": bad}, code: 2, says: "find out who changed the file"},
			{name: "one of the runner comes first", text: "#!/bin/sh\nexit 9\n", sums: digest("#!/bin/sh\nexit 9\n") + "  NAME\n", inputs: map[string]string{"BINARY": mine}, code: 5},
			{name: "one that is not there", inputs: map[string]string{"BINARY": "/no/::error::x"}, code: 2, says: "no file where the input binary says"},
			{name: "a digest alone", inputs: map[string]string{"BINARY_SHA256": good}, code: 2, says: "without binary"},
			{name: "no command", inputs: map[string]string{"BINARY": mine, "COMMAND": "--help"}, code: 2, says: "is no command"},
			{name: "allow-build in doubt", inputs: map[string]string{"BINARY": mine, "ALLOW_BUILD": "yes"}, code: 2, says: "neither true nor false"},
			{name: "no such directory", inputs: map[string]string{"BINARY": mine, "WORKING_DIRECTORY": "nowhere"}, code: 2, says: "is no folder"},
		} {
			_ = os.RemoveAll(filepath.Join(s.action, "dist"))
			_ = os.Mkdir(filepath.Join(s.action, "dist"), 0o755)
			if row.text != "" {
				s.release(row.text, row.sums)
			}
			inputs := map[string]string{"COMMAND": "status"}
			for k, v := range row.inputs {
				inputs[k] = v
			}
			code, said, record := s.run(inputs)
			if code != row.code || !strings.Contains(said, row.says) || row.code == 5 && said != "" || (record != "") != (row.code == 5) {
				t.Errorf("%s: exit %d, said %q, ran %t; wanted %d, %q", row.name, code, said, record != "", row.code, row.says)
			}
			if strings.Contains(said, "::") || row.code == 2 && strings.Count(said, "certstamp: hint: ") != 1 {
				t.Errorf("%s: said %q", row.name, said)
			}
		}
	})
}

// TestActionBuilds: with allow-build the compiler runs, without a secret in its environment.
func TestActionBuilds(t *testing.T) {
	eachShell(t, func(t *testing.T, s *scripted) {
		bin := filepath.Join(s.workspace, "bin")
		if err := os.Mkdir(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		seen := filepath.Join(s.workspace, "seen")
		s.put(filepath.Join(bin, "go"), fmt.Sprintf("#!/bin/sh\nenv >'%s'\nwhile [ \"$1\" != -o ]; do shift; done\nprintf '%%s' '#!/bin/sh\nexit 7\n' >\"$2\"\nchmod +x \"$2\"\n", seen), 0o755)
		t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		network := []string{"HTTP_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}
		for _, name := range network {
			s.env = append(s.env, name+"=of "+name)
		}
		code, said, _ := s.run(map[string]string{"COMMAND": "status", "ALLOW_BUILD": "true"})
		env, _ := os.ReadFile(seen)
		if code != 7 || said != "" || strings.Contains(string(env), "canary") || strings.Contains(string(env), "CERTSTAMP_IN") || !strings.Contains(string(env), "CGO_ENABLED=0") {
			t.Errorf("exit %d, said %q, the compiler saw\n%s", code, said, env)
		}
		// Modules come through a proxy, whose certificate a CA of the company vouches for.
		for _, name := range network {
			if !strings.Contains(string(env), name+"=of "+name+"\n") {
				t.Errorf("the compiler does not get %s", name)
			}
		}
	})
}

// TestShellCheck: the scripts are plain sh.
func TestShellCheck(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(top, "scripts", "*.sh"))
	if err != nil || len(scripts) == 0 {
		t.Fatal(err, "there is no script")
	}
	out, err := exec.Command("shellcheck", append([]string{"-s", "sh", filepath.Join(top, "scripts", "action", "run.sh")}, scripts...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
