package pep

import (
	"math"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Bounds of what is kept of one object beside its text.
const (
	maxPlainNodes = 4096
	maxPlainDepth = 8
	maxPlainText  = 128 << 10 // bytes; a text that an object names often is kept as often
)

// progressParts is a progress record whole; -1 is unknown.
type progressParts struct {
	Activity    string `json:"activity"`
	Status      string `json:"status,omitempty"`
	Operation   string `json:"operation,omitempty"`
	Percent     int    `json:"percent"`
	SecondsLeft int    `json:"secondsLeft"`
	Completed   bool   `json:"completed"`
}

// informationParts is what an information record has beside its text.
type informationParts struct {
	Source string   `json:"source,omitempty"`
	Tags   []string `json:"tags,omitempty"`
	Time   string   `json:"time,omitempty"` // RFC 3339
}

// plain makes a value of nil, truth values, numbers, text, lists and maps, all of which JSON has. What is beyond the bounds is
// left out; what JSON has no kind for, secure strings among it, is its text.
func plain(v any) any {
	return plainOf(v, &room{nodes: maxPlainNodes, text: maxPlainText}, 0)
}

// room is what is left of the bounds.
type room struct{ nodes, text int }

// take shortens a text to at most n bytes and to what is left.
func (r *room) take(s string, n int) string {
	s = cut(s, min(n, r.text))
	r.text -= min(len(s), r.text)
	return s
}

func (r *room) full() bool { return r.nodes <= 0 || r.text <= 0 }

func plainOf(v any, left *room, depth int) any {
	if left.full() || depth > maxPlainDepth {
		return nil
	}
	left.nodes--
	switch x := v.(type) {
	case nil, bool, uint8, uint16, uint32, uint64, int8, int16, int32, int64:
		return x
	case float32:
		return finite(float64(x), v)
	case float64:
		return finite(x, v)
	case time.Time:
		if clixml.IsUnzoned(x) {
			return x.Format("2006-01-02T15:04:05.999999999")
		}
		return x.Format(time.RFC3339Nano)
	case *clixml.Object:
		if x == nil {
			return nil
		}
		return plainObject(x, left, depth)
	}
	return left.take(clixml.Text(v), maxText)
}

// finite is a number that JSON can say, or its text.
func finite(f float64, v any) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return clixml.Text(v)
	}
	return f
}

func plainObject(o *clixml.Object, left *room, depth int) any {
	if c, ok := clixml.CredentialOf(o); ok {
		return map[string]any{"UserName": left.take(c.User, maxText), "Password": clixml.Text(c.Password)}
	}
	switch {
	case len(o.Dict) > 0 || o.Container == clixml.Dictionary:
		out := map[string]any{}
		for _, e := range o.Dict {
			if left.full() {
				break
			}
			out[left.take(clixml.Text(e.Key), 512)] = plainOf(e.Value, left, depth+1)
		}
		return out
	case len(o.List) > 0 || o.Container != clixml.NoContainer:
		out := []any{}
		for _, i := range o.List {
			if left.full() {
				break
			}
			out = append(out, plainOf(i, left, depth+1))
		}
		return out
	case o.Is("System.Enum") && o.ToString != "":
		return left.take(o.ToString, maxText)
	case o.Value != nil:
		return plainOf(o.Value, left, depth+1)
	case len(o.Adapted)+len(o.Extended) == 0:
		return left.take(o.ToString, maxText)
	}
	out := map[string]any{}
	for _, list := range [][]clixml.Property{o.Adapted, o.Extended} { // extended members hide adapted ones
		for _, p := range list {
			if left.full() {
				break
			}
			out[left.take(p.Name, 512)] = plainOf(p.Value, left, depth+1)
		}
	}
	return out
}

// plainWeight is about what a plain value holds, in bytes.
func plainWeight(v any) int {
	const each = 48
	w := each
	switch x := v.(type) {
	case string:
		w += len(x)
	case []any:
		for _, item := range x {
			w += plainWeight(item)
		}
	case map[string]any:
		for name, item := range x {
			w += each + len(name) + plainWeight(item)
		}
	}
	return w
}
