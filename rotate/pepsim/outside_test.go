package pepsim

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnotherModuleUsesIt builds ExampleStart's own code as a module that is not this one, which may import nothing internal.
func TestAnotherModuleUsesIt(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	// The same requirements, so that nothing has to be looked up.
	_, needs, ok := strings.Cut(read(filepath.Join(root, "go.mod")), "\ngo ")
	if !ok {
		t.Fatal("go.mod names no version of Go")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":          "module example.com/outside\n\ngo " + needs + "\nrequire github.com/certstamp/certstamp v0.0.0\n\nreplace github.com/certstamp/certstamp => " + root + "\n",
		"go.sum":          read(filepath.Join(root, "go.sum")),
		"example_test.go": strings.Replace(read("example_test.go"), "package pepsim_test", "package outside_test", 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-run", "ExampleStart", "-v", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: ExampleStart") {
		t.Errorf("%v\n%s", err, out)
	}
}
