package report

import (
	"encoding/xml"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/validate"
)

// shape is what the schemas of Jenkins, Azure Pipelines and GitLab have in common: for each element its attributes, those
// that must be there first, and its children in their order.
var shape = map[string]struct{ must, may, children []string }{
	"testsuites": {[]string{"name", "tests", "failures", "errors"}, nil, []string{"testsuite"}},
	"testsuite":  {[]string{"name", "tests", "failures", "errors", "skipped", "time"}, []string{"timestamp"}, []string{"testcase"}},
	"testcase":   {[]string{"name", "classname", "time"}, nil, []string{"skipped", "error", "failure", "system-out"}},
	"skipped":    {[]string{"message", "type"}, nil, nil},
	"error":      {[]string{"message", "type"}, nil, nil},
	"failure":    {[]string{"message", "type"}, nil, nil},
	"system-out": {nil, nil, nil},
}

// element is XML as it was read, whatever it holds.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e element) count(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(e.attr(name))
	if err != nil {
		t.Errorf("%s: %s: %v", e.XMLName.Local, name, err)
	}
	return n
}

func (e element) has(child string) bool {
	return slices.ContainsFunc(e.Children, func(c element) bool { return c.XMLName.Local == child })
}

// junit reads a report and holds it against the shape and its own counts.
func junit(t *testing.T, text string) element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	var root element
	if err := d.Decode(&root); err != nil {
		t.Fatalf("%v in\n%.2000s", err, text)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) && err != nil {
		t.Errorf("after the end: %v", err)
	}
	fits(t, root)
	sums := map[string]int{}
	for _, s := range root.Children {
		counted := map[string]int{"tests": len(s.Children)}
		for _, c := range s.Children {
			for attribute, child := range map[string]string{"failures": "failure", "errors": "error", "skipped": "skipped"} {
				if c.has(child) {
					counted[attribute]++
				}
			}
		}
		for _, a := range []string{"tests", "failures", "errors", "skipped"} {
			if got := s.count(t, a); got != counted[a] {
				t.Errorf("suite %q says %s=%d and has %d", s.attr("name"), a, got, counted[a])
			}
			sums[a] += counted[a]
		}
	}
	for _, a := range []string{"tests", "failures", "errors"} {
		if got := root.count(t, a); got != sums[a] {
			t.Errorf("the report says %s=%d and has %d", a, got, sums[a])
		}
	}
	return root
}

func fits(t *testing.T, e element) {
	t.Helper()
	want, ok := shape[e.XMLName.Local]
	if !ok {
		t.Errorf("an element %s", e.XMLName.Local)
		return
	}
	for _, name := range want.must {
		if !slices.ContainsFunc(e.Attrs, func(a xml.Attr) bool { return a.Name.Local == name }) {
			t.Errorf("%s has no %s", e.XMLName.Local, name)
		}
	}
	for _, a := range e.Attrs {
		if !slices.Contains(want.must, a.Name.Local) && !slices.Contains(want.may, a.Name.Local) {
			t.Errorf("%s has an attribute %s", e.XMLName.Local, a.Name.Local)
		}
	}
	last := 0
	for _, c := range e.Children {
		i := slices.Index(want.children, c.XMLName.Local)
		if i < last {
			t.Errorf("%s may not stand there in %s", c.XMLName.Local, e.XMLName.Local)
		}
		last = i
		fits(t, c)
	}
}

func TestJUnitHoldsForeignText(t *testing.T) {
	clean := junit(t, write(t, "junit", full("x")))
	for _, h := range hostile {
		text := write(t, "junit", full(h))
		root := junit(t, text)
		if len(root.Children) != len(clean.Children) {
			t.Errorf("%.40q made %d suites of %d", h, len(root.Children), len(clean.Children))
		}
		if strings.ContainsAny(text, "\x00\x1b\ufffe\uffff") || strings.Contains(text, "<![CDATA[") || strings.Contains(text, "<!DOCTYPE") {
			t.Errorf("%.40q: %s", h, text)
		}
		commandless(t, h, text)
	}
}

// commandless holds that no line of a document is a command to the log of a pipeline that prints it.
func commandless(t *testing.T, name, text string) {
	t.Helper()
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##vso[") || strings.Contains(line, "##[") {
			t.Errorf("%.40q: the line %q is a command", name, line)
		}
	}
}

func TestJUnitTellsResultsApart(t *testing.T) {
	root := junit(t, write(t, "junit", judgement()))
	var names []string
	for _, s := range root.Children {
		names = append(names, s.attr("name"))
		if s.attr("name") != "east/Public Portal/Public Portal.pfx" {
			continue
		}
		for i, want := range []string{"system-out", "failure", "skipped"} {
			if !s.Children[i].has(want) || len(s.Children[i].Children) != 1 {
				t.Errorf("%s has %v, wanted %s", s.Children[i].attr("name"), s.Children[i].Children, want)
			}
		}
	}
	if want := []string{"east/ACSBlob/ACSBlob.pfx", "east/Public Portal/Public Portal.pfx", "east/set", "west/KeyVault/KeyVault.pfx", "west/set"}; !slices.Equal(names, want) {
		t.Errorf("suites %q, wanted %q", names, want)
	}
}

// TestJUnitIsRedWhenTheRunIs: whatever went wrong, something in the report failed.
func TestJUnitIsRedWhenTheRunIs(t *testing.T) {
	passed := []validate.Finding{{ID: "x", Name: "X", Result: validate.OK}, {ID: "y", Name: "Y", Result: validate.Skipped}}
	for code, want := range map[int]string{1: "failures", 2: "errors", 5: "errors", 70: "errors"} {
		d := &Document{Command: "validate", Stamps: []Stamp{{Stamp: "east", Set: passed}}, Error: &Error{Code: code, Reason: "r", Message: "m"}}
		if got := junit(t, write(t, "junit", d)); got.attr(want) != "1" {
			t.Errorf("exit %d: %s=%s", code, want, got.attr(want))
		}
	}
	d := &Document{Command: "validate", Stamps: []Stamp{{Stamp: "east", Set: passed}}}
	if got := junit(t, write(t, "junit", d)); got.attr("failures") != "0" || got.attr("errors") != "0" {
		t.Errorf("a good run has failures: %+v", got.Attrs)
	}
}

// TestJUnitForAStranger has another parser read it.
func TestJUnitForAStranger(t *testing.T) {
	for _, h := range hostile {
		cmd := exec.Command("xmllint", "--noout", "--nonet", "-")
		cmd.Stdin = strings.NewReader(write(t, "junit", full(h)))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%.40q: xmllint: %v\n%s", h, err, out)
		}
	}
}
