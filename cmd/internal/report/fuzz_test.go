package report

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/certstamp/certstamp/cmd/internal/ci"
)

// FuzzForeignText lets one text stand in every place of a document at once: subject, file name, value of a stamp file, answer of
// a server. No format becomes another shape by it: the page of Markdown keeps its rows and holds it in code only, the page
// of HTML keeps its elements, and neither the text nor the remarks hold a command.
func FuzzForeignText(f *testing.F) {
	for _, h := range hostile {
		f.Add(h)
	}
	var cleanPage, cleanElements string
	f.Fuzz(func(t *testing.T, s string) {
		if cleanPage == "" {
			cleanPage, cleanElements = outline(t, "x", write(t, "markdown", full("x"))), elements(write(t, "html", full("x")))
		}
		if len(s) > 4096 || strings.TrimSpace(ci.Text(s)) == "" {
			return // a place without text has no code span, which is another shape and no danger
		}
		page := write(t, "markdown", full(s))
		if got := outline(t, s, page); got != cleanPage {
			t.Errorf("%q changed the page of Markdown:\n%s\nwithout it:\n%s", s, got, cleanPage)
		}
		commandless(t, s, page)
		if got := elements(write(t, "html", full(s))); got != cleanElements {
			t.Errorf("%q changed the elements of the page:\n%s\nwithout it:\n%s", s, got, cleanElements)
		}
		for _, format := range []string{"html", "junit", "sarif", "json"} { // any of them may go to a log
			commandless(t, s, write(t, format, full(s)))
		}
		var log strings.Builder
		g := ci.NewGuard(&log, nil)
		if err := Text(g, full(s)); err != nil {
			t.Fatal(err)
		}
		if err := g.Flush(); err != nil {
			t.Fatal(err)
		}
		commandless(t, s, log.String())
		log.Reset()
		(&ci.Emitter{Platform: ci.GitHub, Log: ci.NewGuard(&log, nil), Getenv: func(string) string { return "" }}).Annotate(Annotations(full(s)))
		if lines := regexp.MustCompile(`\r\n|\r|\n`).Split(strings.TrimSuffix(log.String(), "\n"), -1); len(lines) != len(Annotations(full(s))) {
			t.Errorf("%q made %d lines out of %d remarks:\n%s", s, len(lines), len(Annotations(full(s))), log.String())
		} else {
			for _, l := range lines {
				if !strings.HasPrefix(l, "::error ") || strings.Contains(l, "##[") {
					t.Errorf("%q: the line %q is not a remark of ours", s, l)
				}
			}
		}
	})
}

// elements are the tags of a page with the names of their attributes, as a browser's tokeniser reads them.
func elements(page string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
		default:
			tok := z.Token()
			b.WriteString(tok.Type.String() + " " + tok.Data)
			if tok.Type == html.CommentToken || tok.Type == html.DoctypeToken {
				b.WriteString("\n")
				continue
			}
			for _, a := range tok.Attr {
				b.WriteString(" " + a.Key)
			}
			b.WriteString("\n")
		}
	}
}
