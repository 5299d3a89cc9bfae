package clixml

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxText bounds what Text returns: shared objects can make a small document print as an endless one.
const maxText = 64 << 10

// Text renders a value for a person, much as PowerShell would show it: the object's own text when it has one, otherwise
// its value, items or members. Secrets show as [redacted]. It is bounded in depth and length.
func Text(v any) string {
	w := textWriter{left: maxText}
	w.value(v, 0)
	return w.b.String()
}

// String makes %v of an object safe and finite.
func (o *Object) String() string { return Text(o) }

type textWriter struct {
	b    strings.Builder
	left int
}

func (w *textWriter) put(s string) {
	if len(s) > w.left {
		s = strings.ToValidUTF8(s[:max(w.left, 0)], "")
		w.left = 0
	}
	w.left -= len(s)
	w.b.WriteString(s)
}

func (w *textWriter) value(v any, depth int) {
	if w.left <= 0 {
		return
	}
	switch x := v.(type) {
	case nil:
	case string:
		w.put(x)
	case bool:
		w.put(map[bool]string{true: "True", false: "False"}[x])
	case Char:
		w.put(string(rune(x)))
	case float32:
		w.put(formatFloat(float64(x), 32))
	case float64:
		w.put(formatFloat(x, 64))
	case time.Time:
		w.put(formatTime(x))
	case time.Duration:
		w.put(x.String())
	case []byte:
		w.put(strconv.Itoa(len(x)) + " bytes")
	case GUID:
		w.put(strings.ToLower(x.String()))
	case *Object:
		w.object(x, depth)
	default:
		w.put(fmt.Sprint(x))
	}
}

func (w *textWriter) object(o *Object, depth int) {
	switch {
	case o == nil:
	case o.ToString != "":
		w.put(o.ToString)
	case depth > 4:
		w.put("…")
	case o.Value != nil:
		w.value(o.Value, depth+1)
	case len(o.List) > 0:
		for i, item := range o.List {
			if i > 0 {
				w.put(", ")
			}
			w.value(item, depth+1)
			if w.left <= 0 {
				return
			}
		}
	case len(o.Dict) > 0:
		for i, e := range o.Dict {
			w.pair(i, keyText(e.Key), e.Value, depth)
			if w.left <= 0 {
				return
			}
		}
	default:
		i := 0
		for _, list := range [2][]Property{o.Adapted, o.Extended} {
			for _, p := range list {
				w.pair(i, p.Name, p.Value, depth)
				if w.left <= 0 {
					return
				}
				i++
			}
		}
	}
}

func (w *textWriter) pair(i int, name string, v any, depth int) {
	if i > 0 {
		w.put("; ")
	}
	w.put(name + "=")
	w.value(v, depth+1)
}

// keyText renders the key of a dictionary; keys that are objects themselves are not followed.
func keyText(v any) string {
	if o, ok := v.(*Object); ok {
		return o.ToString
	}
	return Text(v)
}
