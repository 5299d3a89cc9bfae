package stamp

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/certstamp/certstamp/internal/secret"
)

// kind is what a field's value looks like.
type kind int

const (
	text   kind = iota // a string
	whole              // a number
	truth              // true or false
	list               // of texts
	group              // keys with values
	either             // a text or a group: installed-ca
	loose              // a text, or a number that is read as it is written: version
)

// field is one key of the file. The table in fields.go is made of them.
type field struct {
	key      string
	help     string
	kind     kind
	required bool
	choices  []string       // allowed texts
	pattern  string         // of texts, or of a list's items; the same regular expression in Go and in JSON schema
	form     string         // what pattern means, in words
	role     secret.Role    // the text is a reference to this secret
	min, max int            // of a number; max also bounds a list's length
	fields   []field        // of a group
	read     func(v string) // stores a text; nil for a group
	check    func(v string) (suggestion string, err error)
	each     func(v string) error // checks and stores one item of a list
	flagged  func(v bool)
	counted  func(v int)
	ref      func(r secret.Ref)
}

// reader walks the tree beside the table and collects every mistake.
type reader struct {
	file     string
	problems Errors
	at       map[string]*yaml.Node // values by path, such as share.unc or pep.hosts[1]
}

func (r *reader) problem(n *yaml.Node, suggestion, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		File: r.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...), Suggestion: suggestion,
	})
}

// wrong reports a mistake that only shows when several fields are seen together.
func (r *reader) wrong(path, suggestion, format string, args ...any) {
	n := r.at[path]
	if n == nil {
		n = r.at[""]
	}
	r.problem(n, suggestion, format, args...)
}

func (r *reader) given(path string) bool { return r.at[path] != nil }

func (r *reader) mapping(n *yaml.Node, path string, fields []field) {
	r.at[path] = n
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	seen, misspelt := map[string]int{}, map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			r.problem(k, "", "a key is a word, found %s", shape(k))
			continue
		}
		if line, twice := seen[k.Value]; twice {
			r.problem(k, "", "key %s is given twice, first in line %d", quoted(k.Value), line)
			continue
		}
		seen[k.Value] = k.Line
		at := slices.Index(keys, k.Value)
		if at < 0 {
			where := ""
			if path != "" {
				where = " in " + path
			}
			meant := Nearest(k.Value, keys)
			r.problem(k, meant, "unknown key %s%s", quoted(k.Value), where)
			misspelt[meant] = true
			continue
		}
		r.value(v, join(path, k.Value), fields[at])
	}
	for _, f := range fields {
		if _, ok := seen[f.key]; f.required && !ok && !misspelt[f.key] {
			r.problem(n, "", "%s is missing: %s", quoted(join(path, f.key)), f.help)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (r *reader) value(n *yaml.Node, path string, f field) {
	r.at[path] = n
	scalar := n.Kind == yaml.ScalarNode
	want := ""
	switch f.kind {
	case text, loose:
		numeric := n.Tag == "!!int" || n.Tag == "!!float"
		if scalar && (n.Tag == "!!str" || f.kind == loose && numeric) {
			r.text(n, path, f)
			return
		}
		want = "a text"
		if scalar && n.Tag != "!!null" {
			want = "a text (put quotes around it)"
		}
		if f.role != "" {
			want = fmt.Sprintf("a reference, env:%s_NAME or file:PATH, never the value itself", f.role)
		}
	case whole:
		if scalar && n.Tag == "!!int" {
			v, err := strconv.Atoi(n.Value)
			// YAML reads 0443 and 0x1bb as other numbers than a person might: only the plain spelling counts.
			if err != nil || v < f.min || v > f.max || strconv.Itoa(v) != n.Value {
				r.problem(n, "", "%s must be a number from %d to %d", path, f.min, f.max)
				return
			}
			f.counted(v)
			return
		}
		want = fmt.Sprintf("a number from %d to %d", f.min, f.max)
	case truth:
		if scalar && n.Tag == "!!bool" {
			f.flagged(strings.EqualFold(n.Value, "true"))
			return
		}
		want = "true or false"
	case list:
		if n.Kind == yaml.SequenceNode {
			r.list(n, path, f)
			return
		}
		want = "a list"
	case group:
		if n.Kind == yaml.MappingNode {
			r.mapping(n, path, f.fields)
			return
		}
		want = "keys with values"
	case either:
		if n.Kind == yaml.MappingNode {
			r.mapping(n, path, f.fields)
			return
		}
		if scalar && n.Tag == "!!str" {
			r.text(n, path, f)
			return
		}
		want = "one of " + strings.Join(f.choices, ", ") + ", or {" + f.fields[0].key + ": FILE}"
	}
	r.problem(n, "", "%s must be %s, found %s", path, want, shape(n))
}

func (r *reader) text(n *yaml.Node, path string, f field) {
	v := n.Value
	if f.role != "" {
		ref, err := secret.ParseRef(f.role, v)
		if err != nil {
			r.problem(n, "", "%s: %s", path, err)
			return
		}
		f.ref(ref)
		return
	}
	if len(f.choices) > 0 && !slices.Contains(f.choices, v) {
		suggestion := Nearest(strings.ReplaceAll(v, " ", ""), f.choices)
		r.problem(n, suggestion, "%s: %s is not one of %s", path, quoted(v), strings.Join(f.choices, ", "))
		return
	}
	if strings.ContainsFunc(v, unprintable) {
		r.problem(n, "", "%s: %s holds line ends or control characters", path, quoted(v))
		return
	}
	// check comes before pattern: it knows more, and can say what was meant.
	if f.check != nil {
		if suggestion, err := f.check(v); err != nil {
			r.problem(n, suggestion, "%s: %s", path, err)
			return
		}
	}
	if f.pattern != "" && !compiled(f.pattern).MatchString(v) {
		r.problem(n, "", "%s: %s is not %s", path, quoted(v), f.form)
		return
	}
	f.read(v)
}

func (r *reader) list(n *yaml.Node, path string, f field) {
	if len(n.Content) > f.max {
		r.problem(n, "", "%s has %d entries, at most %d are allowed", path, len(n.Content), f.max)
		return
	}
	if f.min > len(n.Content) {
		r.problem(n, "", "%s needs at least %d entry", path, f.min)
	}
	seen := map[string]bool{}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.at[at] = item
		switch {
		case item.Kind != yaml.ScalarNode || item.Tag != "!!str":
			r.problem(item, "", "%s must be a text, found %s", at, shape(item))
		case strings.ContainsFunc(item.Value, unprintable):
			r.problem(item, "", "%s: %s holds line ends or control characters", at, quoted(item.Value))
		case seen[strings.ToLower(item.Value)]:
			r.problem(item, "", "%s: %s is given twice", at, quoted(item.Value))
		case f.pattern != "" && !compiled(f.pattern).MatchString(item.Value):
			r.problem(item, "", "%s: %s is not %s", at, quoted(item.Value), f.form)
		default:
			if err := f.each(item.Value); err != nil {
				r.problem(item, "", "%s: %s", at, err)
			}
		}
		seen[strings.ToLower(item.Value)] = true
	}
}

func unprintable(r rune) bool {
	return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' // bidi controls make a reviewer read another text
}

var patterns sync.Map // expression → *regexp.Regexp: a thousand stamps have the same fields

func compiled(pattern string) *regexp.Regexp {
	if p, ok := patterns.Load(pattern); ok {
		return p.(*regexp.Regexp)
	}
	p := regexp.MustCompile(pattern)
	patterns.Store(pattern, p)
	return p
}
