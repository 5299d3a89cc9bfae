package report

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/certstamp/certstamp/validate"
)

var (
	span = regexp.MustCompile("`[^`\n]*`")
	// ours is every piece of a line that is not foreign: what may stand outside of code.
	ours = regexp.MustCompile(`^[-A-Za-z0-9 .,:()/#*|>!&;\[\]✅❌⚠️⏭]*$`)
	tags = strings.NewReplacer("<details><summary>", "", "</summary>", "", "</details>", "", "<br>", "", "<code>", "", "</code>", "", "&emsp;", "", Sticky, "")
)

// TestMarkdownHoldsForeignText: outside of code spans, code elements and fences nothing is foreign, and foreign text makes
// neither rows, columns nor blocks.
func TestMarkdownHoldsForeignText(t *testing.T) {
	clean := outline(t, "x", write(t, "markdown", full("x")))
	for _, h := range hostile {
		text := write(t, "markdown", full(h))
		if got := outline(t, h, text); got != clean {
			t.Errorf("%.40q changed the page:\n%s\nwithout it:\n%s", h, got, clean)
		}
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\r\u202e\u2028") {
			t.Errorf("%.40q: hidden characters got through", h)
		}
		commandless(t, h, text)
	}
}

// outline is a page without what stands in code.
func outline(t *testing.T, name, page string) string {
	t.Helper()
	var b strings.Builder
	fenced := false
	for line := range strings.SplitSeq(page, "\n") {
		switch {
		case line == "~~~text":
			fenced = true
		case line == "~~~":
			fenced = false
		case fenced:
			if !strings.HasPrefix(line, "    ") {
				t.Errorf("%.40q: the line %q of a fence is not indented", name, line)
			}
			continue
		}
		if before, rest, ok := strings.Cut(line, "<code>"); ok {
			inside, after, closed := strings.Cut(rest, "</code>")
			if !closed || strings.ContainsAny(inside, "<>") {
				t.Errorf("%.40q: the element of %q is broken", name, line)
			}
			line = before + after
		}
		line = span.ReplaceAllString(line, "")
		if !ours.MatchString(tags.Replace(strings.TrimLeft(line, "~"))) {
			t.Errorf("%.40q: %q stands outside of code", name, line)
		}
		b.WriteString(line + "\n")
	}
	if fenced {
		t.Errorf("%.40q: a fence is not closed", name)
	}
	return b.String()
}

// TestMarkdownFits: a page never outgrows the step summary, and says what it left out.
func TestMarkdownFits(t *testing.T) {
	d := &Document{Command: "validate", Verdict: validate.FailedOnce}
	for i := range 1000 {
		s := Stamp{Stamp: fmt.Sprintf("stamp-%d", i), Verdict: validate.FailedOnce}
		for j := range 13 {
			s.Certificates = append(s.Certificates, Certificate{CertificateReport: validate.CertificateReport{
				Folder: fmt.Sprint(j), File: "x.pfx", Verdict: validate.FailedOnce,
				Tests: []validate.Finding{{ID: "dns-names", Name: "DNS Names", Result: validate.Fail, Found: strings.Repeat("x", 300)}},
			}})
		}
		d.Stamps = append(d.Stamps, s)
	}
	page := write(t, "markdown", d)
	if len(page) > maxMarkdown || len(page) < maxMarkdown*9/10 {
		t.Errorf("%d bytes", len(page))
	}
	if !strings.Contains(page, "This page is cut: ") || !strings.Contains(page, "`stamp-999`") {
		t.Error("the page does not say that it is cut, or the overview is")
	}
	outline(t, "long", page)
}

func TestMarkdownCountsDays(t *testing.T) {
	const asOf = "2026-11-23T08:00:00Z"
	for notAfter, want := range map[string]string{
		"":                     "",
		"2026-11-23T08:00:00Z": "2026-11-23 (0)",
		"2026-11-24T07:59:59Z": "2026-11-24 (0)",
		"2026-11-24T08:00:00Z": "2026-11-24 (1)",
		"2026-11-23T07:59:59Z": "2026-11-23 (**expired**)",
		"|junk":                "`¦junk`",
	} {
		if got := until(notAfter, asOf); got != want {
			t.Errorf("%s: %q, want %q", notAfter, got, want)
		}
	}
	if got := until("2026-11-24T08:00:00Z", ""); got != "2026-11-24" {
		t.Errorf("without a time of judgement: %q", got)
	}
}
