package cli_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/bmc"
)

// TestOperationsKnowsEveryEnding holds the page for the night shift against the two closed lists.
func TestOperationsKnowsEveryEnding(t *testing.T) {
	b, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(b), "\r\n", "\n")
	var missing []string
	row := func(id, result, means, next string) {
		if line := fmt.Sprintf("| `%s` | %s | %s | %s |\n", id, result, means, next); !strings.Contains(page, line) {
			missing = append(missing, line)
		}
	}
	for _, e := range rotate.Endings() {
		row(e.ID, string(e.Result), e.Means, e.Next)
	}
	for _, e := range bmc.Endings() {
		row(e.ID, string(e.Result), e.Means, e.Next)
	}
	if len(missing) > 0 {
		t.Errorf("docs/operations.md lacks:\n%s", strings.Join(missing, ""))
	}
}
