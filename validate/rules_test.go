package validate

import (
	"slices"
	"strings"
	"testing"
)

// Every rule is findable, cited, explained, and seen to pass (in the good sets) and to fault (in the defects).
func TestEveryRule(t *testing.T) {
	type entry struct {
		id, name, about string
		severity        Severity
		source          string
	}
	p := policy(t)
	var all []entry
	for _, r := range Rules() {
		all = append(all, entry{r.ID, r.Name, r.About, r.Severity, r.Cite(p).String()})
		for _, n := range r.Needs {
			at := slices.IndexFunc(Rules(), func(x Rule) bool { return x.ID == n })
			if at < 0 || at >= slices.IndexFunc(Rules(), func(x Rule) bool { return x.ID == r.ID }) {
				t.Errorf("%s needs %s, which does not come before it", r.ID, n)
			}
		}
	}
	for _, r := range SetRules() {
		all = append(all, entry{r.ID, r.Name, r.About, r.Severity, r.Cite(p).String()})
	}
	seen := make(map[string]bool)
	for _, r := range all {
		if seen[r.id] {
			t.Errorf("%s is there twice", r.id)
		}
		seen[r.id] = true
		if want := strings.ReplaceAll(strings.ToLower(r.name), " ", "-"); r.id != want {
			t.Errorf("%s is named %q, whose kebab case is %s", r.id, r.name, want)
		}
		if r.source == "" {
			t.Errorf("%s cites nothing", r.id)
		}
		if len(strings.Fields(r.about)) < 5 || !strings.HasSuffix(r.about, ".") {
			t.Errorf("%s: %q is no sentence", r.id, r.about)
		}
		if r.severity != Error && r.severity != Caution {
			t.Errorf("%s: severity %q", r.id, r.severity)
		}
		i := slices.IndexFunc(defects, func(d defect) bool { return d.rule == r.id })
		if i < 0 {
			t.Errorf("%s has no defect that shows it", r.id)
			continue
		}
		for k, got := range defects[i].said {
			if strings.HasSuffix(k, ": "+r.id) && (got == Fail) != (r.severity == Error) {
				t.Errorf("%s: severity %s, but its defect is a %s", r.id, r.severity, got)
			}
		}
	}
}
