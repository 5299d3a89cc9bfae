package report

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// diagramLine is every line that a diagram may have.
var diagramLine = regexp.MustCompile(`^    (section stamp [A-Za-z0-9 ._/-]*|\d+ [A-Za-z0-9 ._/-]* ?:(crit, )?c\d+, \d{4}-\d\d-\d\d, \d{4}-\d\d-\d\d|rotate by \d{4}-\d\d-\d\d :milestone, m\d+, \d{4}-\d\d-\d\d, 0d|title certificates and when they end|dateFormat YYYY-MM-DD|axisFormat %Y-%m)$`)

// diagram is the Mermaid of a page.
func diagram(t *testing.T, page string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n```mermaid\ngantt\n")
	inside, _, closed := strings.Cut(rest, "\n```\n")
	if !ok || !closed {
		t.Fatalf("no diagram in\n%s", page)
	}
	return strings.Split(inside, "\n")
}

func TestGantt(t *testing.T) {
	page := write(t, "markdown", judgement())
	if !strings.HasPrefix(page, Sticky+"\n") {
		t.Errorf("the page begins with %.40q", page)
	}
	got := strings.Join(diagram(t, page), "\n")
	for _, want := range []string{
		"    section stamp east\n    1 ACSBlob :c1, 2026-11-23, 2027-06-11\n    2 Public Portal :crit, c2, 2026-11-23, 2026-12-04\n    rotate by 2026-11-23 :milestone, m2, 2026-11-23, 0d",
		"    section stamp west\n    3 KeyVault :c3, 2026-11-23, 2027-11-01\n    rotate by 2027-10-02 :milestone, m3, 2027-10-02, 0d",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the diagram lacks\n%s\nit is\n%s", want, got)
		}
	}
}

// TestGanttHoldsForeignText: a folder, a stamp or a type is somebody else's text, and a diagram has its own grammar.
func TestGanttHoldsForeignText(t *testing.T) {
	texts := append([]string{"section x", "title y", "a:b,c;d#e", "%%{init: {}}%%", "click c1 call f()", "```", "~~~", "\n    section x", "<script>", "ü", strings.Repeat("x", 500)}, hostile...)
	for _, h := range texts {
		d := judgement()
		for i := range d.Stamps {
			d.Stamps[i].Stamp, d.Stamps[i].Type = h, h
			for k := range d.Stamps[i].Certificates {
				d.Stamps[i].Certificates[k].Folder = h
			}
		}
		lines := diagram(t, write(t, "markdown", d))
		if len(lines) != 10 {
			t.Errorf("%.40q made %d lines:\n%s", h, len(lines), strings.Join(lines, "\n"))
		}
		for _, l := range lines {
			if !diagramLine.MatchString(l) {
				t.Errorf("%.40q: the line %q", h, l)
			}
		}
	}
}

// TestGanttIsBounded: a fleet is in the tables, and the diagram says so; no date leads to a wall or out of four digits.
func TestGanttIsBounded(t *testing.T) {
	d := judgement()
	one := d.Stamps[1]
	d.Stamps = nil
	for i := range 150 {
		s := one
		s.Stamp = fmt.Sprintf("s%d", i)
		s.Certificates = []Certificate{one.Certificates[0]}
		s.Certificates[0].NotAfter = []string{"9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2027-01-01T00:00:00Z"}[i%3]
		d.Stamps = append(d.Stamps, s)
	}
	page := write(t, "markdown", d)
	bars := 0
	for _, l := range diagram(t, page) {
		if !diagramLine.MatchString(l) {
			t.Errorf("the line %q", l)
		}
		if regexp.MustCompile(`c\d+, `).MatchString(l) {
			bars++
		}
	}
	if bars != maxBars || !strings.Contains(page, "In the tables only: 50 more certificates.") {
		t.Errorf("%d bars", bars)
	}
}
