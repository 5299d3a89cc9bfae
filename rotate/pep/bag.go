package pep

import (
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Answers come as objects, dictionaries or wrapped primitives, depending on the release and on what the proxy functions of
// the endpoint pass through. These readers take them all.

// member finds the first of several names on an object or dictionary.
func member(v any, names ...string) (any, bool) {
	o, ok := v.(*clixml.Object)
	if !ok || o == nil {
		return nil, false
	}
	for _, n := range names {
		if m, ok := o.Get(n); ok && m != nil {
			return m, true
		}
		if m, ok := o.Lookup(n); ok && m != nil {
			return m, true
		}
	}
	return nil, false
}

// names are those of every member of an object or entry of a dictionary, sorted and bounded.
func names(v any) []string {
	o, ok := v.(*clixml.Object)
	if !ok || o == nil {
		return nil
	}
	var out []string
	add := func(name string) {
		if len(out) < 128 && !slices.Contains(out, name) {
			out = append(out, cut(name, 64))
		}
	}
	for _, list := range [][]clixml.Property{o.Extended, o.Adapted} {
		for _, p := range list {
			add(p.Name)
		}
	}
	for _, e := range o.Dict {
		if name, ok := e.Key.(string); ok {
			add(name)
		}
	}
	slices.Sort(out)
	return out
}

// text is a member as one trimmed line.
func text(v any, names ...string) string {
	m, ok := member(v, names...)
	if !ok {
		return ""
	}
	return cut(strings.TrimSpace(clixml.Text(m)), maxText)
}

// items returns the elements of a collection, or the single value as one. An object that the collection names again says nothing
// new, and would cost as much as the first time.
func items(v any) []any {
	o, ok := v.(*clixml.Object)
	if !ok || o == nil {
		if v == nil {
			return nil
		}
		return []any{v}
	}
	if len(o.List) > 0 || o.Container != clixml.NoContainer && o.Container != clixml.Dictionary {
		seen := map[*clixml.Object]bool{}
		return slices.DeleteFunc(slices.Clone(o.List), func(e any) bool {
			o, _ := e.(*clixml.Object)
			again := o != nil && seen[o]
			seen[o] = true
			return again
		})
	}
	return []any{v}
}

// texts flattens a collection of strings, or one string with commas, which is what a proxy makes of an array.
func texts(v any, names ...string) []string {
	m, ok := member(v, names...)
	if !ok {
		return nil
	}
	var out []string
	list := items(m)
	for _, i := range list[:min(len(list), 256)] {
		for _, s := range strings.FieldsFunc(clixml.Text(i), func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
			if len(out) < 256 {
				out = append(out, cut(s, 512))
			}
		}
	}
	return out
}

// instant reads a time in any form that was seen. A time without a zone is UTC, as the endpoint's are.
func instant(v any) (time.Time, bool) {
	switch x := v.(type) {
	case time.Time:
		if clixml.IsUnzoned(x) {
			return time.Date(x.Year(), x.Month(), x.Day(), x.Hour(), x.Minute(), x.Second(), x.Nanosecond(), time.UTC), true
		}
		return x.UTC(), !x.IsZero()
	case string:
		return parseTime(x)
	case *clixml.Object:
		if x == nil {
			return time.Time{}, false
		}
		if x.Value != nil {
			return instant(x.Value)
		}
		if m, ok := member(x, "DateTime", "value"); ok {
			if _, nested := m.(*clixml.Object); !nested {
				return instant(m)
			}
		}
		return parseTime(x.ToString)
	}
	return time.Time{}, false
}

func parseTime(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return time.Time{}, false
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "1/2/2006 3:04:05 PM"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 1900 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
