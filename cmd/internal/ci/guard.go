package ci

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/certstamp/certstamp/internal/secret"
)

// maxLine bounds what a Guard keeps while it waits for a line end.
const maxLine = 64 << 10

// Redactor replaces secrets that strayed into text. It is the last line of defence: nothing should ever reach it.
type Redactor struct {
	mu    sync.RWMutex
	forms []string // longest first
	known []secret.Value
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
	r.known = append(r.known, v)
	for _, f := range forms {
		if len(f) >= minRedacted {
			r.forms = append(r.forms, f)
		}
	}
	sort.SliceStable(r.forms, func(i, j int) bool { return len(r.forms[i]) > len(r.forms[j]) })
}

// Redact returns s without any known secret.
func (r *Redactor) Redact(s string) string {
	if r == nil {
		return s
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, f := range r.forms {
		if strings.Contains(s, f) {
			s = strings.ReplaceAll(s, f, secret.Redacted)
		}
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
		if len(g.buf) <= maxLine {
			return
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
