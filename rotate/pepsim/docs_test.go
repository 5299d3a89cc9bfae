package pepsim

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documented are the first cells of the tables of a section, back-quoted words each.
func documented(t *testing.T, page, section string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n## "+section+"\n")
	if !ok {
		t.Fatalf("no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var out []string
	for line := range strings.Lines(rest) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.TrimSpace(cells[2]) == "" {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			out = append(out, m[1])
		}
	}
	return out
}

// TestThePageNamesEveryKey holds docs/simulator.md against what a scenario can say: nothing is missing, and nothing is
// promised that does not exist.
func TestThePageNamesEveryKey(t *testing.T) {
	b, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	keysOf := func(v any) []string {
		var out []string
		for f := range reflect.TypeOf(v).Fields() {
			out = append(out, f.Tag.Get("yaml"))
		}
		return out
	}
	same := func(what string, want, got []string) {
		t.Helper()
		want, got = slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
		for _, k := range want {
			if !slices.Contains(got, k) {
				t.Errorf("%s: %q is not on the page", what, k)
			}
		}
		for _, k := range got {
			if k != "do" && !slices.Contains(want, k) {
				t.Errorf("%s: the page has %q, which does not exist", what, k)
			}
		}
	}
	same("scenario keys", keysOf(Scenario{}), documented(t, page, "A scenario"))
	same("faults", faultWords, documented(t, page, "Faults"))
	for what, keys := range map[string][]string{
		"an order": keysOf(Fault{}), "a failure": keysOf(Failure{}), "slow": keysOf(Slowness{}), "last-action": keysOf(ScenarioAction{}),
		"a user": keysOf(ScenarioUser{}), "a share": keysOf(ScenarioShare{}), "kinds": faultKinds, "styles": styles, "information": informationNames,
		"defaults": {DefaultUser, DefaultPassword},
	} {
		for _, k := range keys {
			if !regexp.MustCompile("`" + regexp.QuoteMeta(k) + "[`:]").MatchString(page) {
				t.Errorf("%s: `%s` is not on the page", what, k)
			}
		}
	}

	_, cmdlets, _ := strings.Cut(page, "\n## Cmdlets\n")
	cmdlets, _, _ = strings.Cut(cmdlets, "\n## ")
	var named []string
	for _, m := range regexp.MustCompile("`([A-Z][A-Za-z]+-[A-Z][A-Za-z]+)`").FindAllStringSubmatch(cmdlets, -1) {
		named = append(named, m[1])
	}
	exists := func(name string) bool {
		return slices.ContainsFunc(slices.Concat(others(), table()), func(d cmdlet) bool { return d.name == name })
	}
	for _, name := range named {
		if !exists(name) {
			t.Errorf("the page has the cmdlet %q, which does not exist", name)
		}
	}
	for _, d := range others() {
		if d.name != "Get-CloudAdminUserList" && !slices.Contains(named, d.name) {
			t.Errorf("%s is not on the page", d.name)
		}
	}

	_, example, _ := strings.Cut(page, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	sc, err := ReadScenario([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Users: []User{Login("a", "b")}}
	if err := sc.Orders(&cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg); err != nil {
		t.Errorf("the page's scenario: %v", err)
	}
}
