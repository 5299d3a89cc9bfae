package policies

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"
)

//go:embed *.yaml *.pem
var files embed.FS

// Policy is everything in the tables, with a stamp's own policy file applied. Read-only once made.
type Policy struct {
	endpoints   []Endpoint // of the Deployment type
	providers   []Endpoint // of the other types
	rules       []rule
	transitions []transition
	gates       []Gate
	rotation    rotation
	health      []HealthCall
	cmdlets     []Cmdlet
	roots       roots
	waivers     []Waiver
	digest      string
}

// Default is the embedded policy. The tables are decoded side by side: every command waits for them.
func Default() (*Policy, error) {
	p := &Policy{}
	h := sha256.New()
	tables := []struct {
		name string
		into any
	}{
		{"endpoints", &p.endpoints},
		{"resource-providers", &p.providers},
		{"rules", &p.rules},
		{"transitions", &p.transitions},
		{"gates", &p.gates},
		{"rotation", &p.rotation},
		{"health", &p.health},
		{"cmdlets", &p.cmdlets},
		{"roots", &p.roots},
	}
	var decoding sync.WaitGroup
	failed := make([]error, len(tables))
	for i, f := range tables {
		b, err := files.ReadFile(f.name + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
		// A Windows checkout may have other line ends; the policy is the same.
		b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		decoding.Go(func() {
			if err := strict(b, f.into); err != nil {
				failed[i] = fmt.Errorf("policies/%s.yaml: %w", f.name, err)
			}
		})
		_, _ = fmt.Fprintf(h, "%s %d\n", f.name, len(b))
		_, _ = h.Write(b) // a hash never fails
	}
	decoding.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	for i := range p.endpoints {
		if p.endpoints[i].Type == "" {
			p.endpoints[i].Type = Deployment
		}
	}
	p.digest = hex.EncodeToString(h.Sum(nil))
	return p, p.roots.read()
}

func strict(b []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return err
	}
	var more any
	if err := d.Decode(&more); err != io.EOF { //nolint:errorlint // the decoder returns the bare value
		return fmt.Errorf("more than one document")
	}
	return nil
}

// Digest is the hex SHA-256 of everything that holds, a stamp's own policy file included.
func (p *Policy) Digest() string { return p.digest }

// Catalogue is every endpoint of every release that a rotation takes, in the order people see them.
func (p *Policy) Catalogue() []Endpoint { return slices.Clone(p.endpoints) }

// Endpoints are the endpoints that a stamp of this release and identity system has, in catalogue order: the Deployment
// type, and nothing of resource providers.
func (p *Policy) Endpoints(v Version, id Identity, optional []string) []Endpoint {
	var out []Endpoint
	for _, e := range p.endpoints {
		if e.Span.Has(v) && slices.Contains(e.Identity, id) && (e.Optional == "" || slices.Contains(optional, e.Optional)) {
			out = append(out, e)
		}
	}
	return out
}

// Optionals are the names that a stamp file may list in optional-endpoints.
func (p *Policy) Optionals() []string {
	var out []string
	for _, e := range p.endpoints {
		if e.Optional != "" && !slices.Contains(out, e.Optional) {
			out = append(out, e.Optional)
		}
	}
	slices.Sort(out)
	return out
}

// Distrusted says why a public root may not be one to a stamp, or "". The argument is the hex SHA-256 of the certificate.
func (p *Policy) Distrusted(sum string) string {
	for _, r := range p.roots.NotMicrosoft {
		if strings.HasPrefix(strings.ToLower(sum), r.SHA256) {
			return fmt.Sprintf("%s is not in Microsoft's root programme (%s)", r.Name, p.roots.Source)
		}
	}
	return ""
}

type roots struct {
	Source       Source `yaml:"source"`
	NotMicrosoft []struct {
		Name   string `yaml:"name"`
		SHA256 string `yaml:"sha256"`
	} `yaml:"not-microsoft"`
	List           listTerms      `yaml:"list"`
	PublicPolicies publicPolicies `yaml:"public-policies"`
}

// Gate is one thing that changes at a release.
type Gate struct {
	ID     string `yaml:"id"`
	Span   Span   `yaml:"span"`
	Why    string `yaml:"why"`
	Source Source `yaml:"source"`
}

// Has reports whether the gate is open for v.
func (g Gate) Has(v Version) bool { return g.Span.Has(v) }

// Gate looks a gate up. A name that is not in gates.yaml is a mistake of the program.
func (p *Policy) Gate(id string) Gate {
	for _, g := range p.gates {
		if g.ID == id {
			return g
		}
	}
	panic("policies: no gate " + id)
}

// Gates are all gates.
func (p *Policy) Gates() []Gate { return slices.Clone(p.gates) }

type transition struct {
	From     []Class  `yaml:"from"`
	To       Class    `yaml:"to"`
	Same     string   `yaml:"same,omitempty"` // yes, no; empty: either
	Span     Span     `yaml:"span"`
	Decision Decision `yaml:"decision"`
	Why      string   `yaml:"why"`
	Source   Source   `yaml:"source"`
}

// Transition is a cell of the transition matrix.
type Transition struct {
	Decision Decision
	Why      string
	Source   Source
}

// Transition looks up whether a certificate of class to may follow one of class from. SameCA says that both came from
// the same enterprise CA. Unknown counts as Enterprise; that it was unknown is the caller's to say.
func (p *Policy) Transition(v Version, from, to Class, sameCA bool) Transition {
	if from == Unknown {
		from = Enterprise
	}
	if to == Unknown {
		to = Enterprise
	}
	same := "no"
	if sameCA {
		same = "yes"
	}
	for _, t := range p.transitions {
		if slices.Contains(t.From, from) && t.To == to && t.Span.Has(v) && (t.Same == "" || t.Same == same) {
			return Transition{Decision: t.Decision, Why: t.Why, Source: t.Source}
		}
	}
	// The tests walk the whole matrix; what no document allows is refused.
	return Transition{Decision: Refused, Why: "no document allows it"}
}

type rule struct {
	ID         string         `yaml:"id"`
	Waivable   bool           `yaml:"waivable,omitempty"`
	Parameters map[string]any `yaml:"parameters,omitempty"`
	Source     Source         `yaml:"source"`
}

// RuleParameters are a rule's parameters and where they come from.
type RuleParameters struct {
	ID       string
	Waivable bool
	Source   Source
	values   map[string]any
}

// Rule looks a rule's parameters up. A name that is not in rules.yaml is a mistake of the program.
func (p *Policy) Rule(id string) RuleParameters {
	for _, r := range p.rules {
		if r.ID == id {
			return RuleParameters{ID: r.ID, Waivable: r.Waivable, Source: r.Source, values: r.Parameters}
		}
	}
	panic("policies: no rule " + id)
}

// RuleIDs are the rules that have an entry.
func (p *Policy) RuleIDs() []string {
	out := make([]string, len(p.rules))
	for i, r := range p.rules {
		out[i] = r.ID
	}
	return out
}

func (r RuleParameters) value(name string) any {
	v, ok := r.values[name]
	if !ok {
		panic(fmt.Sprintf("policies: rule %s has no parameter %s", r.ID, name))
	}
	return v
}

// Int is a whole number.
func (r RuleParameters) Int(name string) int { n, _ := r.value(name).(int); return n }

// Days is a number of days as a duration.
func (r RuleParameters) Days(name string) time.Duration {
	return time.Duration(r.Int(name)) * 24 * time.Hour
}

// String is a word.
func (r RuleParameters) String(name string) string { s, _ := r.value(name).(string); return s }

// Names are the names of all parameters, sorted.
func (r RuleParameters) Names() []string { return slices.Sorted(maps.Keys(r.values)) }

// Text is a parameter as a person reads it.
func (r RuleParameters) Text(name string) string {
	if list, ok := r.value(name).([]any); ok {
		words := make([]string, len(list))
		for i, v := range list {
			words[i] = fmt.Sprint(v)
		}
		return strings.Join(words, " ")
	}
	return fmt.Sprint(r.value(name))
}

// Strings is a list of words.
func (r RuleParameters) Strings(name string) []string {
	list, _ := r.value(name).([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// clone copies what an overlay changes.
func (p *Policy) clone() *Policy {
	c := *p
	c.rules = slices.Clone(p.rules)
	for i, r := range c.rules {
		values := map[string]any{}
		for k, v := range r.Parameters {
			values[k] = v
		}
		c.rules[i].Parameters = values
	}
	return &c
}

// extend folds an overlay into the digest, by its meaning rather than its bytes.
func (p *Policy) extend(overlay any) {
	b, err := json.Marshal(overlay)
	if err != nil {
		panic("policies: an overlay that was read cannot be written: " + err.Error())
	}
	sum := sha256.Sum256(append([]byte(p.digest+"\n"), b...))
	p.digest = hex.EncodeToString(sum[:])
}
