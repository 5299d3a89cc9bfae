package policies_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

// TestEveryFindingHasASource finds the findings that the rooms make, and wants a place for each where its demand stands.
func TestEveryFindingHasASource(t *testing.T) {
	made := regexp.MustCompile(`ID:\s*"([a-z-]+)",\s*Name:|(?:refuse|refusal|add)\("([a-z-]+)", "[A-Z]`)
	found := map[string]string{}
	for _, dir := range []string{"rotate", "rotate/pep", "rotate/bmc", "stage", "internal/plan", "cmd/internal/cli"} {
		names, err := filepath.Glob("../" + dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, m := range made.FindAllSubmatch(b, -1) {
				found[string(m[1])+string(m[2])] = name
			}
		}
	}
	if len(found) < 35 {
		t.Fatalf("only %d findings were found", len(found))
	}
	for id, name := range found {
		if s, ok := policies.FindingSource(id); !ok || s.Doc == "" || s.Read == "" {
			t.Errorf("%s makes %q, and findings.yaml does not know where its demand stands", name, id)
		}
	}
}
