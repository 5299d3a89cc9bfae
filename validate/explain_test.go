package validate

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite examples.json and docs/rules.md")

// hashes differ from run to run, because the keys do.
var hashes = regexp.MustCompile(`sha256:[0-9a-f]{16,}`)

// exampleOf lets a rule speak of its first defect.
func exampleOf(t *testing.T, id string) Example {
	t.Helper()
	for _, d := range defects {
		if d.rule != id {
			continue
		}
		for _, f := range findings(testRun(t, d.build(t)).Report) {
			if f.ID == id && (f.Result == Fail || f.Result == Warning) {
				short := func(s string) string { return hashes.ReplaceAllString(s, "sha256:…") }
				return Example{Result: f.Result, Found: short(f.Found), Wanted: short(f.Wanted), Hint: short(f.Hint)}
			}
		}
	}
	t.Fatalf("%s says nothing of its defects", id)
	return Example{}
}

// TestRulesPageIsCurrent makes docs/rules.md and the examples of certstamp explain from the rules themselves.
func TestRulesPageIsCurrent(t *testing.T) {
	all := Explain(policy(t))
	said := make(map[string]Example)
	for i := range all {
		x := exampleOf(t, all[i].ID)
		said[all[i].ID], all[i].Example = x, &x
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(said); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"examples.json": b.String(), "../docs/rules.md": rulesPage(all)} {
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(string(have), "\r\n", "\n") != want {
			t.Errorf("%s is not what the rules say: run go test ./validate -run RulesPage -update", file)
		}
	}
}

const rulesHead = `# Rules

Made from the rules themselves by "go test ./validate -run RulesPage -update": change a rule or policies/rules.yaml, not this page.
"certstamp explain RULE" prints the same in a terminal.

A fault against an *error* is a Fail: the documents say that the stamp refuses it. A fault against a *warning* never stops anybody. What could not be
judged is Skipped, and then the set is not complete: never a pass, never a plan. A waivable rule can be named in a stamp's policy file with folder, reason
and end; the names are those of Microsoft's ReadinessChecker where it has the test.

| Rule | Name | Judges | Severity | Waivable |
|---|---|---|---|---|
`

// rulesPage renders the page. All of it is our own text, but for the quoted names of the fixtures.
func rulesPage(all []Explanation) string {
	var b strings.Builder
	b.WriteString(rulesHead)
	yes := map[bool]string{true: "yes", false: "no"}
	for _, e := range all {
		_, _ = fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s |\n", e.ID, e.ID, e.Name, e.Judges, e.Severity, yes[e.Waivable])
	}
	for _, e := range all {
		_, _ = fmt.Fprintf(&b, "\n## %s\n\n**%s.** %s\n\n", e.ID, e.Name, e.Wants)
		_, _ = fmt.Fprintf(&b, "- Severity: %s; waivable: %s\n", e.Severity, yes[e.Waivable])
		section := ""
		if e.Source.Section != "" {
			section = ", " + e.Source.Section
		}
		_, _ = fmt.Fprintf(&b, "- Source: %s%s (read %s)\n", e.Source.Document, section, e.Source.Read)
		for _, p := range e.Parameters {
			_, _ = fmt.Fprintf(&b, "- Parameter `%s`: `%s`\n", p.Name, p.Value)
		}
		_, _ = fmt.Fprintf(&b, "\n```\n[%s] %s\n    found:   %s\n    wanted:  %s\n    hint:    %s\n```\n", e.Example.Result, e.Name, e.Example.Found, e.Example.Wanted, e.Example.Hint)
	}
	return b.String()
}

// TestExplainKnowsEveryRule: what the command prints is complete.
func TestExplainKnowsEveryRule(t *testing.T) {
	p := policy(t)
	all := Explain(p)
	if len(all) != len(Rules())+len(SetRules()) || len(all) != len(p.RuleIDs()) {
		t.Errorf("%d explanations of %d rules, %d of them in rules.yaml", len(all), len(Rules())+len(SetRules()), len(p.RuleIDs()))
	}
	for _, e := range all {
		if e.Example == nil || e.Example.Found == "" || e.Example.Wanted == "" || e.Example.Hint == "" {
			t.Errorf("%s has no example", e.ID)
		}
		if e.Source.Document == "" || e.Source.Read == "" || e.Wants == "" || e.Name == "" {
			t.Errorf("%s: %+v", e.ID, e)
		}
		if len(e.Parameters) != len(p.Rule(e.ID).Names()) {
			t.Errorf("%s: parameters %v", e.ID, e.Parameters)
		}
	}
}
