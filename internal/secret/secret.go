// Package secret holds values that must never be printed.
//
// A Value redacts itself under every fmt verb, in slog, JSON, text and YAML, so a secret that strays into a log line,
// an error or a document shows as [redacted]. Reveal is the one way out, and the only word to grep for in a review.
//
// A Ref names where a secret lives without holding it: "env:NAME" or "file:PATH", never a literal. References are
// typed by Role, because a reference that a pull request can move from one field to another would send one system's
// password to the next.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every secret prints as.
const Redacted = "[redacted]"

// Value is a secret. The zero Value is "no secret", which is not the same as an empty one.
type Value struct{ p *string }

// New wraps a secret that is already in memory.
func New(s string) Value { return Value{p: &s} }

// Reveal returns the secret. Call it as late as possible, and never into something that outlives the call.
func (v Value) Reveal() string {
	if v.p == nil {
		return ""
	}
	return *v.p
}

// IsZero reports whether there is no secret at all.
func (v Value) IsZero() bool { return v.p == nil }

func (v Value) String() string               { return Redacted }
func (v Value) GoString() string             { return Redacted }
func (v Value) LogValue() slog.Value         { return slog.StringValue(Redacted) }
func (v Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }
func (v Value) MarshalYAML() (any, error)    { return Redacted, nil }

// Format keeps verbs such as %x and %d, which do not consult String, from reaching the bytes.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }
