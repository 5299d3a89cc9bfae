package ci

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/certstamp/certstamp/internal/secret"
)

// maxLine bounds what a Guard keeps while it waits for a line end.
const maxLine = 64 << 10

// Redactor replaces secrets that strayed into text. It is the last line of defence: nothing should ever reach it.
type Redactor struct {
	mu     sync.RWMutex
	forms  []string // longest first, each once
	known  []secret.Value
	seen   map[string]bool      // those of known
	begins map[string][]string  // forms by their first minRedacted bytes
	marks  [1 << 16 / 64]uint64 // a bit for the hash of each beginning
}

// Known returns the secrets themselves, for who has to look for them in other ways.
func (r *Redactor) Known() []secret.Value {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.known)
}

// minRedacted is the shortest form that is searched for: shorter ones would eat innocent text.
const minRedacted = 4

// Add teaches the redactor a secret in the forms in which it could leave: itself, each of its lines, base64, URL, JSON
// with and without our own escape of #, HTML and XML, quoted in an error, and made harmless.
func (r *Redactor) Add(v secret.Value) {
	if v.IsZero() {
		return
	}
	s := v.Reveal()
	j, _ := json.Marshal(s)
	quoted := strings.Trim(string(j), `"`)
	inError := strconv.Quote(s)
	forms := append(strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' }),
		s, quoted, Text(s), inError[1:len(inError)-1], strings.ReplaceAll(quoted, "#", `\u0023`), html.EscapeString(s), url.QueryEscape(s), url.PathEscape(s),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[s] {
		return // a thousand stamps may have one password
	}
	if r.seen == nil {
		r.seen, r.begins = map[string]bool{}, map[string][]string{}
	}
	r.seen[s] = true
	r.known = append(r.known, v)
	for _, f := range forms {
		b := begin(f)
		if b == "" || slices.Contains(r.begins[b], f) {
			continue
		}
		r.begins[b] = append(r.begins[b], f)
		h := hash(b)
		r.marks[h/64] |= 1 << (h % 64)
		at, _ := slices.BinarySearchFunc(r.forms, f, func(have, f string) int { return cmp.Compare(len(f), len(have)) })
		r.forms = slices.Insert(r.forms, at, f)
	}
}

// begin is what a form is found by; empty for one that is too short to be searched for.
func begin(s string) string {
	if len(s) < minRedacted {
		return ""
	}
	return s[:minRedacted]
}

func hash(begin string) uint16 {
	_ = begin[minRedacted-1]
	n := uint32(begin[0]) | uint32(begin[1])<<8 | uint32(begin[2])<<16 | uint32(begin[3])<<24
	return uint16(n * 2654435761 >> 16) // Knuth's multiplier spreads them over the upper half
}

// holds reports whether any form is in s, in time that does not depend on how many there are.
func (r *Redactor) holds(s string) bool {
	for i := range len(s) - minRedacted + 1 {
		b := s[i : i+minRedacted]
		if h := hash(b); r.marks[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, f := range r.begins[b] {
			if strings.HasPrefix(s[i:], f) {
				return true
			}
		}
	}
	return false
}

// Redact returns s without any known secret.
func (r *Redactor) Redact(s string) string {
	if r == nil {
		return s
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.holds(s) {
		return s
	}
	for _, f := range r.forms {
		s = strings.ReplaceAll(s, f, secret.Redacted)
	}
	return s
}

// longest is the length of the longest form: a secret that begins here ends before that many bytes from here.
func (r *Redactor) longest() int {
	if r == nil {
		return 0
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.forms) == 0 {
		return 0
	}
	return len(r.forms[0])
}

// Guard is a line-buffering writer: each line is redacted and made harmless with Text before it goes on. Flush writes an
// unfinished last line; what comes after it begins a new one, because two harmless halves can make a command.
type Guard struct {
	mu     sync.Mutex
	w      io.Writer
	redact *Redactor
	buf    []byte
	open   bool // the last line written has no end
	err    error
}

// NewGuard guards w. A nil redactor redacts nothing.
func NewGuard(w io.Writer, r *Redactor) *Guard { return &Guard{w: w, redact: r} }

// Write accepts any split of the text. It reports len(p) unless the writer below failed.
func (g *Guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buf = append(g.buf, p...)
	for {
		i := bytes.IndexByte(g.buf, '\n')
		if i < 0 {
			break
		}
		g.line(g.buf[:i], "\n")
		g.buf = g.buf[i+1:]
	}
	g.bound()
	if g.err != nil {
		return 0, g.err
	}
	return len(p), nil
}

// bound ends an endless line. It is cut where no secret is: what lies after the cut was looked at as far as one reaches.
func (g *Guard) bound() {
	ahead := g.redact.longest()
	for len(g.buf) > maxLine+ahead {
		g.buf = []byte(g.redact.Redact(string(g.buf)))
		if len(g.buf) <= maxLine+ahead {
			return // shorter now: what follows the cut would be less than was looked at
		}
		g.line(g.buf[:maxLine], "\n")
		g.buf = g.buf[maxLine:]
	}
}

// Flush writes what is left without a line end.
func (g *Guard) Flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flush()
	return g.err
}

func (g *Guard) flush() {
	if len(g.buf) > 0 {
		g.line(g.buf, "")
		g.buf, g.open = nil, true
	}
}

func (g *Guard) line(b []byte, end string) {
	if g.err != nil {
		return
	}
	b = bytes.TrimSuffix(b, []byte("\r"))
	g.raw(Text(g.redact.Redact(string(b))) + end)
}

func (g *Guard) raw(s string) {
	if g.open {
		g.open = false
		s = "\n" + s
	}
	if g.err == nil {
		_, g.err = io.WriteString(g.w, s)
	}
}

// commands is the way around the guard, for the emitter alone: every write is one whole command and begins a line.
func (g *Guard) commands() io.Writer { return commandWriter{g} }

type commandWriter struct{ g *Guard }

func (c commandWriter) Write(p []byte) (int, error) {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	c.g.flush()
	c.g.raw(string(p))
	if c.g.err != nil {
		return 0, c.g.err
	}
	return len(p), nil
}

// Redacting is the writer for documents (JSON, XML, HTML) that escape for their own sink: it redacts, and leaves the rest.
// It holds the whole document, because a secret may straddle two writes.
type Redacting struct {
	W      io.Writer
	Redact *Redactor
	buf    bytes.Buffer
}

// Write collects the document.
func (d *Redacting) Write(p []byte) (int, error) { return d.buf.Write(p) }

// Close redacts and writes the document.
func (d *Redacting) Close() error {
	_, err := io.WriteString(d.W, d.Redact.Redact(d.buf.String()))
	d.buf.Reset()
	return err
}
