package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestDockerfile holds what a linter of Dockerfiles would: every stage pinned or empty, nothing but the program in the last one.
func TestDockerfile(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	lines := strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n")
	args := map[string]string{}
	var last []string
	for _, l := range lines {
		word, rest, _ := strings.Cut(l, " ")
		switch word {
		case "ARG":
			name, value, _ := strings.Cut(rest, "=")
			args[name] = value
		case "FROM":
			last = nil
			image := strings.Fields(rest)[0]
			if name, ok := strings.CutPrefix(image, "${"); ok {
				image = args[strings.TrimSuffix(name, "}")]
			}
			if !regexp.MustCompile(`^docker\.io/[a-z0-9./-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}$`).MatchString(image) && image != "scratch" {
				t.Errorf("the image %q is not pinned by registry, tag and digest", image)
			}
		case "ADD":
			t.Errorf("%s: ADD fetches and unpacks; COPY does not", l)
		}
		last = append(last, l)
	}
	if last[0] != "FROM scratch" {
		t.Errorf("the last stage begins with %q", last[0])
	}
	for _, want := range []string{`USER 65532:65532`, `ENTRYPOINT ["/certstamp"]`, `COPY --from=build /out/certstamp /certstamp`} {
		n := 0
		for _, l := range last {
			if l == want {
				n++
			}
		}
		if n != 1 {
			t.Errorf("the last stage has %q %d times", want, n)
		}
	}
	for _, l := range last {
		if strings.HasPrefix(l, "RUN ") || strings.HasPrefix(l, "CMD ") || strings.HasPrefix(l, "COPY ") && !strings.HasPrefix(l, "COPY --from=build ") {
			t.Errorf("the last stage has %q", l)
		}
	}
}

// TestGateSkipsNothing: a test that misses somebody's program is skipped at a desk and fails where CI is set. The gate sets it
// itself, whoever runs it.
func TestGateSkipsNothing(t *testing.T) {
	if !regexp.MustCompile(`(?m)^ci: export CI = true$`).MatchString(read(t, "Makefile")) {
		t.Error("make ci does not set CI")
	}
}

// TestOwnWorkflows: what third parties wrote is pinned to a commit with its version beside it, nothing has more rights or time
// than it says, and no expression becomes part of a script.
func TestOwnWorkflows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(top, ".github", "workflows", "*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, workflows %q", err, files)
	}
	seen := map[string]string{} // an action has one commit in all of them
	for _, f := range files {
		name := filepath.Base(f)
		text := read(t, ".github/workflows/"+name)
		var w struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				TimeoutMinutes int `yaml:"timeout-minutes"`
				Steps          []struct{ Uses, Run string }
			}
		}
		if err := yaml.Unmarshal([]byte(text), &w); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if w.Permissions == nil || len(w.Permissions) > 1 || len(w.Permissions) == 1 && w.Permissions["contents"] != "read" {
			t.Errorf("%s: every job gets %v; wants nothing, or contents: read", name, w.Permissions)
		}
		for id, j := range w.Jobs {
			if j.TimeoutMinutes == 0 {
				t.Errorf("%s: the job %s may run for six hours", name, id)
			}
			for _, s := range j.Steps {
				if strings.Contains(s.Run, "${{") {
					t.Errorf("%s: the job %s has an expression inside run: pass it through env", name, id)
				}
				if s.Uses == "" || s.Uses == "./" {
					continue
				}
				action, commit, _ := strings.Cut(s.Uses, "@")
				if !pinned.MatchString(s.Uses) || !regexp.MustCompile(regexp.QuoteMeta(s.Uses)+` # v\d+\.\d+\.\d+\n`).MatchString(text) {
					t.Errorf("%s: %q wants a commit and a comment with its version", name, s.Uses)
				}
				if before := seen[action]; before != "" && before != commit {
					t.Errorf("%s: %s at %s, elsewhere at %s", name, action, commit, before)
				}
				seen[action] = commit
			}
		}
	}
}

// TestSecurityPageNamesTests: each test that docs/security.md leans on is there, in the package that it names.
func TestSecurityPageNamesTests(t *testing.T) {
	named := regexp.MustCompile("`([a-z/]+) ((?:Test|Fuzz)[A-Za-z]+)`").FindAllStringSubmatch(read(t, "docs/security.md"), -1)
	if len(named) < 40 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, n := range named {
		files, err := filepath.Glob(filepath.Join(top, n[1], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(b), "\nfunc "+n[2]+"(")
		}
		if !found {
			t.Errorf("there is no %s in %s", n[2], n[1])
		}
	}
}
