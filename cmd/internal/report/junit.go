package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/validate"
)

// JUnit XML as Azure Pipelines, GitLab and Jenkins read it. There is no standard; this is what their schemas agree on, with
// the children of a testcase in the order they want.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      int         `xml:"time,attr"` // of one test nothing is known
		Timestamp string      `xml:"timestamp,attr,omitempty"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string       `xml:"name,attr"`
		Class   string       `xml:"classname,attr"`
		Time    int          `xml:"time,attr"`
		Skipped *junitReason `xml:"skipped"`
		Error   *junitReason `xml:"error"`
		Failure *junitReason `xml:"failure"`
		Out     *junitLines  `xml:"system-out"`
	}
	junitReason struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		junitLines
	}
	junitLines struct {
		// Escaped here: encoding/xml would write line ends as character references.
		Text string `xml:",innerxml"`
	}
)

// JUnit writes one suite for each certificate, one for the set and one for everything else a command did, with a test for
// each rule. Warnings pass, and say so in the output of their test.
func JUnit(w io.Writer, d *Document) error {
	out := junitSuites{Name: "certstamp " + d.Command}
	for i := range d.Stamps {
		out.stamp(d, &d.Stamps[i])
	}
	if e := d.Error; e != nil && out.Failures+out.Errors == 0 {
		// A run that went wrong must never look green, whatever it got to judge.
		c := junitCase{Name: d.Command, Class: "certstamp"}
		r := reason(e.Message, e.Reason, []part{{"error", e.Message}, {"hint", e.Hint}})
		if e.Code == 1 {
			c.Failure = r
		} else {
			c.Error = r
		}
		out.suite(d, "certstamp", []junitCase{c})
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	enc := xml.NewEncoder(&b)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

func (j *junitSuites) stamp(d *Document, s *Stamp) {
	for _, c := range s.Certificates {
		name := s.Stamp + "/" + c.Folder + "/" + c.File
		j.suite(d, name, findingCases(name, c.Tests))
	}
	set, own := s.Stamp+"/set", s.Stamp+"/"+d.Command
	j.suite(d, set, findingCases(set, s.Set))
	cases := findingCases(own, s.Findings)
	for i, st := range s.Steps {
		cases = append(cases, wordCase(own, fmt.Sprintf("step %d: %s", i+1, st.Name), st.State, st.Detail))
	}
	for _, e := range s.Endpoints {
		cases = append(cases, wordCase(own, "endpoint "+e.Endpoint+" at "+e.Host, e.Verdict, e.Detail))
	}
	for _, e := range s.Expiries {
		detail := e.Detail
		if e.DaysLeft != nil {
			detail = strings.TrimPrefix(fmt.Sprintf("%s; ends %s, days left %d", detail, e.Ends, *e.DaysLeft), "; ")
		}
		cases = append(cases, wordCase(own, e.Source+" "+e.name()+" at "+e.where(), e.State, detail))
	}
	for _, h := range s.Health {
		cases = append(cases, wordCase(own, "health "+h.Test, h.After, ""))
	}
	j.suite(d, own, cases)
}

// suite adds a suite with its counts. One without tests would only be noise.
func (j *junitSuites) suite(d *Document, name string, cases []junitCase) {
	if len(cases) == 0 {
		return
	}
	s := junitSuite{Name: ci.Text(name), Tests: len(cases), Timestamp: strings.TrimSuffix(ci.Text(d.AsOf), "Z"), Cases: cases}
	for _, c := range cases {
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
	j.Tests += s.Tests
	j.Failures += s.Failures
	j.Errors += s.Errors
	j.Suites = append(j.Suites, s)
}

func findingCases(class string, list []validate.Finding) []junitCase {
	times := map[string]int{}
	for _, f := range list {
		times[f.ID]++
	}
	var out []junitCase
	for _, f := range list {
		name := f.Name
		if times[f.ID] > 1 && len(f.Folders) > 0 {
			name += " (" + strings.Join(f.Folders, ", ") + ")" // servers tell tests apart by their names
		}
		c := junitCase{Name: ci.Text(name), Class: ci.Text(class)}
		switch f.Result {
		case validate.Fail:
			c.Failure = reason(f.Found, f.ID, parts(f))
		case validate.Skipped:
			c.Skipped = reason(f.Found, f.ID, parts(f))
		case validate.Warning:
			c.Out = lines(append([]part{{"result", "Warning"}}, parts(f)...))
		}
		out = append(out, c)
	}
	return out
}

// wordCase is a test whose result is one word of a step, an endpoint or a health test.
func wordCase(class, name, word, detail string) junitCase {
	c := junitCase{Name: ci.Text(name), Class: ci.Text(class)}
	said := []part{{"state", word}, {"detail", detail}}
	switch bad(word) {
	case "bad":
		c.Failure = reason(word, word, said)
	case "warn":
		c.Out = lines(said)
	}
	return c
}

func reason(message, kind string, list []part) *junitReason {
	return &junitReason{Message: ci.Text(message), Type: ci.Text(kind), junitLines: *lines(list)}
}

// lines writes parts one to a line. Each is made harmless by itself: servers print the output of tests into their logs.
func lines(list []part) *junitLines {
	var b strings.Builder
	b.WriteByte('\n')
	for _, p := range list {
		if p.text == "" {
			continue
		}
		b.WriteString(p.name + ": ")
		_ = xml.EscapeText(&b, []byte(ci.Text(p.text))) // a Builder takes everything
		b.WriteByte('\n')
	}
	return &junitLines{b.String()}
}
