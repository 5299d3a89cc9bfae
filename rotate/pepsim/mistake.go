package pepsim

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Mistake is one mistake in a scenario.
type Mistake struct {
	Line, Column int // from 1; 0: the file as a whole
	Message      string
	Word         string   // an unknown key
	Known        []string // what could stand there instead
}

// Mistakes are all that were found in a scenario, in the order of its lines.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, one := range m {
		if lines[i] = one.Message; one.Line > 0 {
			lines[i] = fmt.Sprintf("%d:%d: %s", one.Line, one.Column, one.Message)
		}
		if len(one.Known) > 0 {
			lines[i] += fmt.Sprintf(", wanted one of %v", one.Known)
		}
	}
	return strings.Join(lines, "\n")
}

// keyError is a mistake in what one key of a scenario says, or in the field of a Config that it fills.
type keyError struct {
	key  string
	item int // of a list, from 0
	err  error
}

func (e *keyError) Error() string { return e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

// Locate says where in the file of a scenario those mistakes stand that New or Orders has found in it.
func Locate(file []byte, err error) Mistakes {
	var doc yaml.Node
	if yaml.Unmarshal(file, &doc) != nil || len(doc.Content) == 0 {
		doc.Content = []*yaml.Node{{}}
	}
	return locate(doc.Content[0], err).sorted()
}

func locate(root *yaml.Node, err error) Mistakes {
	var out Mistakes
	if many, ok := err.(interface{ Unwrap() []error }); ok { // one level, then each on its own
		for _, one := range many.Unwrap() {
			out = append(out, locate(root, one)...)
		}
		return out
	}
	m := Mistake{Message: err.Error()}
	var k *keyError
	if !errors.As(err, &k) {
		return Mistakes{m}
	}
	for key, value := range pairs(root) {
		if key.Value != k.key {
			continue
		}
		m.Line, m.Column = key.Line, key.Column
		if value = aliased(value); value.Kind == yaml.SequenceNode && k.item < len(value.Content) {
			m.Line, m.Column = value.Content[k.item].Line, value.Content[k.item].Column
		}
	}
	return Mistakes{m}
}

func (m Mistakes) sorted() Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), strings.Compare(a.Message, b.Message))
	})
	return m
}

// pairs are the keys of a mapping with their values; none when it is something else.
func pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

func aliased(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// unknownKeys looks for keys that a type does not have. The decoder would say it with the names of our types.
func unknownKeys(n *yaml.Node, t reflect.Type) Mistakes {
	v := visit{seen: map[place]bool{}}
	v.look(n, t)
	return v.out
}

// visit goes through a document. A node that many aliases lead to is looked at once.
type visit struct {
	seen map[place]bool
	out  Mistakes
}

type place struct {
	node *yaml.Node
	as   reflect.Type
}

func (v *visit) look(n *yaml.Node, t reflect.Type) {
	n = aliased(n)
	at := place{n, t}
	if v.seen[at] {
		return
	}
	v.seen[at] = true
	switch {
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			v.look(item, t.Elem())
		}
	case t.Kind() == reflect.Struct:
		fields := map[string]reflect.Type{}
		var known []string
		for f := range t.Fields() {
			fields[f.Tag.Get("yaml")] = f.Type
			known = append(known, f.Tag.Get("yaml"))
		}
		for key, value := range pairs(n) {
			if ft, ok := fields[key.Value]; ok {
				v.look(value, ft)
			} else if key.Tag != "!!merge" {
				v.out = append(v.out, Mistake{Line: key.Line, Column: key.Column, Message: fmt.Sprintf("unknown key %.64q", key.Value), Word: key.Value, Known: known})
			}
		}
	}
}

// readingMistakes takes apart what the YAML reader says.
func readingMistakes(err error) error {
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &many):
	case errors.As(err, &one):
		many = &yaml.LoadErrors{Errors: []*yaml.LoadError{one}}
	default:
		return err
	}
	var out Mistakes
	for _, e := range many.Errors {
		out = append(out, Mistake{Line: e.Mark.Line, Column: e.Mark.Column, Message: strings.TrimPrefix(e.Message, "yaml: ")})
	}
	return out
}
