package report

import (
	"github.com/certstamp/certstamp/validate"
)

// rules explains one rule in full, or lists many.
func (t texter) rules(list []validate.Explanation) {
	waivable := map[bool]string{true: ", waivable", false: ""}
	if len(list) > 1 {
		for _, e := range list {
			t.line("%-20s %-20s %s, %s%s", e.ID, e.Name, e.Judges, e.Severity, waivable[e.Waivable])
		}
		return
	}
	for _, e := range list {
		t.line("%s (%s): %s, of each %s%s", e.ID, e.Name, e.Severity, e.Judges, waivable[e.Waivable])
		t.line("  %s", e.Wants)
		section := ""
		if e.Source.Section != "" {
			section = ", " + e.Source.Section
		}
		t.line("  source:  %s%s (read %s)", e.Source.Document, section, e.Source.Read)
		for _, p := range e.Parameters {
			t.line("  %s: %s", p.Name, p.Value)
		}
		if x := e.Example; x != nil {
			t.line("  for example:")
			t.line("  [%s] %s", x.Result, e.Name)
			t.line("      found:   %s", x.Found)
			t.line("      wanted:  %s", x.Wanted)
			t.line("      hint:    %s", x.Hint)
		}
	}
}
