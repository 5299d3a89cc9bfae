package policies

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Waiver is a person's word that a fault against a rule is acceptable for a while. It shows in every report.
type Waiver struct {
	Rule   string `yaml:"rule" json:"rule"`
	Folder string `yaml:"folder" json:"folder"` // empty: every folder
	Reason string `yaml:"reason" json:"reason"`
	Until  string `yaml:"until" json:"until"` // last day it holds, 2006-01-02, UTC
}

// End is the first moment at which the waiver no longer holds.
func (w Waiver) End() time.Time {
	t, err := time.Parse(time.DateOnly, w.Until)
	if err != nil {
		return time.Time{}
	}
	return t.AddDate(0, 0, 1)
}

// Waivers are those of the stamp's policy file.
func (p *Policy) Waivers() []Waiver { return slices.Clone(p.waivers) }

// overlay is a stamp's policy.yaml.
type overlay struct {
	Tighten map[string]map[string]any `yaml:"tighten" json:"tighten"` // rule → parameter → value
	Waivers []Waiver                  `yaml:"waivers" json:"waivers"`
}

// OverlayError is every mistake in a stamp's policy file.
type OverlayError struct {
	File     string
	Problems []string
}

func (e *OverlayError) Error() string { return e.File + ": " + strings.Join(e.Problems, "\n") }

// Hint says what to do.
func (e *OverlayError) Hint() string {
	return "a policy file tightens parameters, or waives a rule with folder, reason and until; it never loosens"
}

// stricter says in which direction a parameter becomes stricter. What is not listed cannot be changed.
var stricter = map[string]int{
	"expiry-date/min-days":       1,
	"key-length/min-bits":        1,
	"password-policy/min-length": 1,
	"password-policy/min-kinds":  1,
}

// clientAuthOrder is from loose to strict.
var clientAuthOrder = []string{"ignore", "auto", "require"}

// WithOverlay applies a stamp's policy file. Every mistake is reported at once.
func (p *Policy) WithOverlay(b []byte, name string) (*Policy, error) {
	var o overlay
	if err := strict(b, &o); err != nil {
		return nil, &OverlayError{File: name, Problems: []string{err.Error()}}
	}
	c := p.clone()
	var problems []string
	ids := make([]string, 0, len(o.Tighten))
	for id := range o.Tighten {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		names := make([]string, 0, len(o.Tighten[id]))
		for n := range o.Tighten[id] {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			if err := c.tighten(id, n, o.Tighten[id][n]); err != nil {
				problems = append(problems, err.Error())
			}
		}
	}
	for i, w := range o.Waivers {
		if err := c.checkWaiver(w); err != nil {
			problems = append(problems, fmt.Sprintf("waiver %d: %v", i+1, err))
		}
	}
	if len(problems) > 0 {
		return nil, &OverlayError{File: name, Problems: problems}
	}
	c.waivers = o.Waivers
	c.extend(o)
	return c, nil
}

func (p *Policy) tighten(id, name string, value any) error {
	i := slices.IndexFunc(p.rules, func(r rule) bool { return r.ID == id })
	if i < 0 {
		return fmt.Errorf("no rule is named %q", id)
	}
	old, ok := p.rules[i].Parameters[name]
	if !ok {
		return fmt.Errorf("rule %s has no parameter %q", id, name)
	}
	if id == "key-usage" && name == "client-auth" {
		was, is := slices.Index(clientAuthOrder, fmt.Sprint(old)), slices.Index(clientAuthOrder, fmt.Sprint(value))
		// ignore is looser than auto, but which demand holds is the one thing that Microsoft's own pages disagree about.
		if is < 0 || was < 0 {
			return fmt.Errorf("rule key-usage: client-auth is %q, wanted one of %s", fmt.Sprint(value), strings.Join(clientAuthOrder, ", "))
		}
		p.rules[i].Parameters[name] = value
		return nil
	}
	direction := stricter[id+"/"+name]
	was, wasInt := old.(int)
	is, isInt := value.(int)
	switch {
	case direction == 0 || !wasInt:
		return fmt.Errorf("rule %s: %s cannot be changed", id, name)
	case !isInt:
		return fmt.Errorf("rule %s: %s must be a whole number", id, name)
	case is < was:
		return fmt.Errorf("rule %s: %s is %d, which is looser than %d", id, name, is, was)
	}
	p.rules[i].Parameters[name] = is
	return nil
}

func (p *Policy) checkWaiver(w Waiver) error {
	var problems []error
	i := slices.IndexFunc(p.rules, func(r rule) bool { return r.ID == w.Rule })
	switch {
	case i < 0:
		problems = append(problems, fmt.Errorf("no rule is named %q", w.Rule))
	case !p.rules[i].Waivable:
		problems = append(problems, fmt.Errorf("rule %s cannot be waived", w.Rule))
	}
	if w.Folder != "" && !slices.ContainsFunc(slices.Concat(p.endpoints, p.providers), func(e Endpoint) bool { return e.Folder == w.Folder }) {
		problems = append(problems, fmt.Errorf("no endpoint has the folder %q", w.Folder))
	}
	if strings.TrimSpace(w.Reason) == "" {
		problems = append(problems, errors.New("a reason is missing"))
	}
	if _, err := time.Parse(time.DateOnly, w.Until); err != nil {
		problems = append(problems, fmt.Errorf("until is %q, wanted the last day it holds, such as 2026-12-31", w.Until))
	}
	return errors.Join(problems...)
}
