package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

// hostile are texts that a certificate, a server or a file name may hold.
var hostile = []string{
	"x\n::error::owned", "x\r##vso[task.setvariable variable=a]b", "::set-output name=a::b", "##[error]no", "\x1b[31mred\x1b[0m", "\u202eevil",
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title>`, "javascript:alert(1)", "&lt;", "]]>", "a\x00b", "\u2028next", "`whoami`", "${{ secrets.X }}",
	"<![CDATA[x]]>", "a\ufffeb\uffffc\U0001fffe", "bad\xffutf8\xed\xa0\x80", "\x0b\x1f\x7f\u0085", "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>&e;",
	"| a | b |\n|---|---|", "`` ` ``` x", "``", "[click](https://evil.example)", "![x](https://evil.example/x.png)", "@octocat and @org/team", "www.evil.example", "https://evil.example/a",
	"mallory@evil.example", "<!-- hidden -->", "</details></code></pre>", "~~~\n# owned", "```\n# owned", "    ~~~", "# owned", "a\\|b\\", "&#124;", "*a* _b_ ~~c~~", "[a]: https://evil.example",
	"../../etc/passwd", "https://evil.example/%2e%2e/x", "C:\\windows", "a b?c#d%e:f", "{0} {1}", "$x^2$", strings.Repeat("long ", 400),
}

// full is a document that has text in every place, all of it the same.
func full(text string) *Document {
	no := false
	p := &plan.Plan{
		SchemaVersion: 1, Kind: plan.External, Simulated: true, Tool: text, Repository: text, Commit: text, AsOf: "2026-11-20T00:00:00Z", ValidUntil: "2026-11-27T00:00:00Z",
		Asserted: []plan.Assertion{{What: text, Value: text, Reason: text}}, Notices: []string{text},
		Stamp:        plan.Stamp{Name: text, Region: text, FQDN: text, Version: text, Identity: "AAD", TargetDigest: "00"},
		Certificates: []plan.Certificate{{Endpoint: "acs-blob", Folder: text, Subject: text, Issuer: text, NotAfter: "2027-11-01T00:00:00Z", LeafSHA256: strings.Repeat("ab", 32)}},
		Steps:        []plan.Step{{ID: text, Action: text, Reason: text, Before: text, After: text, Changes: true}},
	}
	finding := validate.Finding{ID: "dns-names", Name: "DNS Names", Result: validate.Fail, Found: text, Wanted: text, Hint: text, Source: text, Waived: text, Folders: []string{text}}
	return &Document{
		SchemaVersion: 1, Command: "plan", Tool: text, Verdict: validate.FailedOnce, Complete: &no,
		Stamps: []Stamp{{
			Stamp: text, Simulated: true, Verdict: validate.FailedOnce, Complete: &no,
			File: text,
			Certificates: []Certificate{{
				CertificateReport: validate.CertificateReport{Folder: text, File: text, Thumbprint: strings.Repeat("A", 40), Verdict: validate.FailedOnce, Tests: []validate.Finding{finding}}, Path: text,
			}},
			Set: []validate.Finding{finding}, Plan: p, PlanSHA256: strings.Repeat("cd", 32), PlanFile: text, Findings: []validate.Finding{finding},
			Outcome: "failed", Message: text, Steps: []Step{{Name: text, State: text, Detail: text, Started: "2026-11-20T00:00:00Z", Seconds: 5}},
			Endpoints: []Endpoint{{Endpoint: text, Host: text, Verdict: "foreign", Before: "2026-12-01T00:00:00Z", After: "2027-11-01T00:00:00Z", Detail: text}},
			Expiries: []Expiry{
				{
					Endpoint: text, Source: "live", Host: text, State: ExpiryCritical, Leaves: 2, Samples: 16, NotBefore: "2026-01-01T00:00:00Z", NotAfter: "2026-12-01T00:00:00Z", Ends: "2026-11-30T00:00:00Z",
					DaysLeft: new(10), SubjectCN: text, IssuerCN: text, SerialNumber: "5", LeafSHA256: strings.Repeat("ab", 32), Detail: text,
				},
				{Type: text, Endpoint: text, Source: "file", Path: text, State: ExpiryUnread, Detail: text},
				{Endpoint: text + "2", Source: "live", Host: text, State: ExpiryUnreachable, Detail: text},
			},
			Health:   []Health{{Test: text, Before: text, After: text}, {Test: text, After: text}},
			Compared: []Comparison{{Fact: text, Before: text, After: text}, {Fact: text, Before: text, After: text + text}},
			Errors:   []string{text, text + "\n" + text}, Facts: []Fact{{Name: text, Value: text}}, Next: text,
		}, {Stamp: "other", Target: &Target{SHA256: "00", Text: text}}, {Stamp: text, Intent: p}},
		Records: []Record{{Stream: "output", Value: text}}, Files: []string{text}, Next: text,
		Error: &Error{Code: 4, Reason: "failed", Message: text, Hint: text},
	}
}

func write(t *testing.T, format string, d *Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestTextCannotCommand: whatever foreign text says, no line of ours begins like a command of a pipeline's log, and no byte
// of it commands a terminal.
func TestTextCannotCommand(t *testing.T) {
	clean := strings.Count(write(t, "text", full("x")), "\n")
	for _, h := range hostile {
		got := write(t, "text", full(h))
		for line := range strings.SplitSeq(got, "\n") {
			trimmed := strings.TrimSpace(line)
			if strings.HasPrefix(trimmed, "::") || strings.Contains(line, "##vso[") || strings.Contains(line, "##[") {
				t.Errorf("%q: the line %q is a command", h, line)
			}
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && (r < 0x20 || r == 0x7f || r == 0x202e || r == 0x2028) {
				t.Errorf("%q: %q got into the text", h, r)
				break
			}
		}
		if more := strings.Count(got, "\n"); more > clean+4 { // error records of the stamp and the target keep their own lines
			t.Errorf("%q made %d lines of %d", h, more, clean)
		}
	}
}

// TestJSONIsTheSameText: JSON can be printed in a pipeline and decodes to what was said.
func TestJSONIsTheSameText(t *testing.T) {
	for _, h := range hostile {
		d := full(h)
		got := write(t, "json", d)
		if !json.Valid([]byte(got)) || strings.Contains(got, "##") || strings.Contains(got, "\n::") || strings.ContainsAny(got, "\x1b\x00") {
			t.Errorf("%q: %s", h, got)
		}
		back := &Document{}
		if err := json.Unmarshal([]byte(got), back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, back); diff != "" && utf8.ValidString(h) { // JSON cannot hold what is not UTF-8
			t.Errorf("%q (-want +got):\n%s", h, diff)
		}
	}
}

var (
	tag       = regexp.MustCompile(`<\s*(script|img|iframe|link|object|embed|base|form)\b`)
	attribute = regexp.MustCompile(`(?i)<[a-z][^>]*\s(on[a-z]+|src|href|srcset)\s*=`)
)

// TestHTMLStandsAlone: one file without scripts and requests, whatever the text says, and it is well-formed.
func TestHTMLStandsAlone(t *testing.T) {
	for _, h := range append([]string{"plain"}, hostile...) {
		got := write(t, "html", full(h))
		if m := tag.FindString(got); m != "" {
			t.Errorf("%q: %s", h, m)
		}
		if m := attribute.FindString(got); m != "" {
			t.Errorf("%q: %s", h, m)
		}
		if !utf8.ValidString(got) || strings.Contains(got, "url(") || strings.Contains(got, "@import") {
			t.Errorf("%q: not self-contained", h)
		}
		for _, want := range []string{"default-src 'none'", "SIMULATED", "<svg", `class="before"`, `class="after"`, "2027-11-01", "</html>"} {
			if !strings.Contains(got, want) {
				t.Errorf("%q: no %s", h, want)
			}
		}
		wellFormed(t, h, got)
	}
}

// wellFormed reads the page as XML, with the freedoms that HTML has.
func wellFormed(t *testing.T, name, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.NewReplacer("\x00", "", "<!doctype html>", "").Replace(page)))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			return
		}
	}
}

func TestTextSaysEverything(t *testing.T) {
	got := write(t, "text", full("foreign"))
	for _, want := range []string{
		"Testing: foreign\\foreign", "Thumbprint: AAAAAA****************************AAAAAA", "\tDNS Names: Fail", "found:", "wanted:", "hint:", "waived:",
		"ASSERTED foreign = foreign: foreign", "NOTICE foreign", "CHANGES foreign: foreign", "plan sha256: " + strings.Repeat("cd", 32),
		"the stamp says:", "next: foreign", "(before: foreign)", "wrote foreign", "verdict: fail, incomplete: a required test was skipped", "SIMULATED",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestPlanWorkedFrom: JSON and HTML of a command that worked from a plan have its steps, the HTML once for each plan; a person
// at a terminal has read them.
func TestPlanWorkedFrom(t *testing.T) {
	d := full("foreign")
	d.Command, d.Stamps = "rotate", d.Stamps[:1]
	for format, times := range map[string]int{"text": 0, "markdown": 0, "json": 1, "html": 1} {
		const step = "Publish What Was Planned"
		d.Stamps[0].Plan.Steps[0].Action = step
		if got := write(t, format, d); strings.Count(got, step) != times {
			t.Errorf("%s has the step %d times, wanted %d", format, strings.Count(got, step), times)
		}
		if got := write(t, format, d); !strings.Contains(got, d.Stamps[0].PlanSHA256) && format != "markdown" {
			t.Errorf("%s lacks the digest", format)
		}
	}
	made := full("foreign")
	var b strings.Builder
	if err := HTML(&b, []*Document{made, d, d}, "story"); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<th>as of</th>"); n != 1 {
		t.Errorf("a story tells its plan %d times", n)
	}
}

func TestMaskThumbprint(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "ABC": "***", "0123456789AB": "************", "0123456789ABC": "012345*789ABC"[:6] + "*" + "789ABC",
		"0123456789ABCDEF0123456789ABCDEF01234567": "012345" + strings.Repeat("*", 28) + "234567",
	} {
		if got := MaskThumbprint(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestTimeline draws nothing without dates and never leaves its frame.
func TestTimeline(t *testing.T) {
	if got := timeline([]chapter{{Stamp: Stamp{Endpoints: []Endpoint{{Endpoint: "a"}}}}}); got != "" {
		t.Errorf("%s", got)
	}
	width := regexp.MustCompile(`width="(-?\d+)"`)
	for _, e := range []Endpoint{
		{Before: "2026-12-01T00:00:00Z", After: "2027-11-01T00:00:00Z"},
		{After: "2027-11-01T00:00:00Z"},
		{Before: "2027-11-01T00:00:00Z", After: "2027-11-01T00:00:00Z"},
		{Before: "0001-01-01T00:00:00Z", After: "9999-12-31T23:59:59Z"},
		{Before: "junk", After: "junk"},
		{Before: "2030-01-01T00:00:00Z", After: "2026-01-01T00:00:00Z"},
	} {
		svg := string(timeline([]chapter{{Stamp: Stamp{Endpoints: []Endpoint{e}}}}))
		for _, m := range width.FindAllStringSubmatch(svg, -1) {
			if strings.HasPrefix(m[1], "-") || len(m[1]) > 3 {
				t.Errorf("%+v: a bar of %s", e, m[1])
			}
		}
	}
}

// TestTimelineInProportion: bars of more than half a year apart, which nanoseconds times pixels do not hold.
func TestTimelineInProportion(t *testing.T) {
	e := Endpoint{Endpoint: "a", Before: "2026-12-15T00:00:00Z", After: "2027-06-12T00:00:00Z"}
	svg := string(timeline([]chapter{{Stamp: Stamp{Endpoints: []Endpoint{e}}}}))
	for _, want := range []string{`class="after" x="220" y="3" width="560"`, `class="before" x="220" y="14" width="80"`, ">2026-12-15<", ">2027-06-12<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in\n%s", want, svg)
		}
	}
}

// TestHTMLTellsInOrder: each plan stays with the command that made it, and a refusal that came before any stamp was known
// stands where it happened.
func TestHTMLTellsInOrder(t *testing.T) {
	planned := func(kind plan.Kind) *Document {
		return &Document{Command: "plan", Stamps: []Stamp{{Stamp: "east", Plan: &plan.Plan{Kind: kind}, PlanSHA256: "digest-of-" + string(kind)}}}
	}
	var b bytes.Buffer
	if err := HTML(&b, []*Document{
		planned(plan.External), planned(plan.BMC), {Command: "stage", Error: &Error{Code: 1, Message: "not the approved one"}},
	}, "t"); err != nil {
		t.Fatal(err)
	}
	rest := b.String()
	for _, want := range []string{"<h2>east", "<td>external</td>", "digest-of-external", "<td>bmc</td>", "digest-of-bmc", "<h2>certstamp stage", "refused", "not the approved one"} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no %q where it belongs:\n%s", want, b.String())
		}
		rest = after
	}
}

func TestUnknownFormat(t *testing.T) {
	if err := Write(io.Discard, "pdf", full("x")); err == nil {
		t.Error("a format that does not exist was written")
	}
}

// TestNoPageIsEmpty: what a command says of no stamp stands in its pages too.
func TestNoPageIsEmpty(t *testing.T) {
	for want, d := range map[string]*Document{
		"certstamp v1.2.3":  {Command: "version", Tool: "v1.2.3"},
		"Names":             {Command: "explain", Rules: []validate.Explanation{{ID: "dns-names", Name: "Names"}}},
		"Get-ActionStatus":  {Command: "pep", Cmdlets: []Cmdlet{{Name: "Get-ActionStatus"}}},
		"output: said":      {Command: "pep", Streamed: true, Records: []Record{{Stream: "output", Value: "said"}}},
		"self-hosted":       {Command: "plan", Matrix: &Matrix{Include: []MatrixJob{{Stamp: "east", Runner: []string{"self-hosted"}}}}},
		"stamps/stamp.yaml": {Command: "init", Files: []string{"stamps/stamp.yaml"}},
	} {
		for _, format := range []string{"markdown", "html"} {
			if got := write(t, format, d); !strings.Contains(got, want) {
				t.Errorf("%s of %s lacks %q:\n%s", format, d.Command, want, got)
			}
		}
	}
}
