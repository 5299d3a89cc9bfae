package validate

import (
	_ "embed"
	"encoding/json"
	"sync"

	"github.com/certstamp/certstamp/policies"
)

// Explanation is what a person wants to know of a rule.
type Explanation struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Wants      string      `json:"wants"`
	Judges     string      `json:"judges"`   // file or set
	Severity   Severity    `json:"severity"` // what a fault counts as
	Waivable   bool        `json:"waivable"`
	Source     Reference   `json:"source"`
	Parameters []Parameter `json:"parameters,omitempty"`
	Example    *Example    `json:"example,omitempty"`
}

// Reference is where a rule was read.
type Reference struct {
	Document string `json:"document"`
	Section  string `json:"section,omitempty"`
	Read     string `json:"read"` // the day, 2006-01-02
}

// Parameter is a value that a rule judges by, before a stamp's own policy file tightens it.
type Parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Example is a message of a rule, as it said it.
type Example struct {
	Result Result `json:"result"`
	Found  string `json:"found"`
	Wanted string `json:"wanted"`
	Hint   string `json:"hint"`
}

// examplesFile holds what every rule said of a faulty set. The tests write it (go test ./validate -update) and fail when
// a rule has other words by now.
//
//go:embed examples.json
var examplesFile []byte

var examples = sync.OnceValue(func() map[string]Example {
	out := make(map[string]Example)
	if err := json.Unmarshal(examplesFile, &out); err != nil {
		panic("validate: examples.json: " + err.Error())
	}
	return out
})

// Explain explains all rules, those over a file before those over the set, in the order they are reported.
func Explain(p *policies.Policy) []Explanation {
	var out []Explanation
	for _, r := range Rules() {
		out = append(out, explanation(p, r.ID, r.Name, r.About, "file", r.Severity))
	}
	for _, r := range SetRules() {
		out = append(out, explanation(p, r.ID, r.Name, r.About, "set", r.Severity))
	}
	return out
}

func explanation(p *policies.Policy, id, name, about, judges string, severity Severity) Explanation {
	r := p.Rule(id)
	e := Explanation{
		ID: id, Name: name, Wants: about, Judges: judges, Severity: severity, Waivable: r.Waivable,
		Source: Reference{Document: r.Source.Doc, Section: r.Source.Section, Read: r.Source.Read},
	}
	for _, n := range r.Names() {
		e.Parameters = append(e.Parameters, Parameter{Name: n, Value: r.Text(n)})
	}
	if x, ok := examples()[id]; ok {
		e.Example = &x
	}
	return e
}
