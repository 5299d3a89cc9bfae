package report

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/validate"
)

// readSARIF reads a report with no knowledge of our structs, and holds it against what the SARIF 2.1.0 schema and GitHub
// code scanning require. It returns the only run.
func readSARIF(t *testing.T, text string) map[string]any {
	t.Helper()
	var log map[string]any
	if err := json.Unmarshal([]byte(text), &log); err != nil {
		t.Fatal(err)
	}
	if log["version"] != "2.1.0" || log["$schema"] != "https://json.schemastore.org/sarif-2.1.0.json" {
		t.Errorf("version %v, schema %v", log["version"], log["$schema"])
	}
	runs := list(t, log, "runs")
	if len(runs) != 1 {
		t.Fatalf("%d runs", len(runs))
	}
	run := runs[0].(map[string]any)
	driver := object(t, object(t, run, "tool"), "driver")
	absolute(t, word(t, driver, "informationUri"))
	if word(t, driver, "name") != "certstamp" {
		t.Error("another tool")
	}
	ids := []string{}
	for _, r := range list(t, driver, "rules") {
		r := r.(map[string]any)
		ids = append(ids, word(t, r, "id"))
		absolute(t, word(t, r, "helpUri"))
		for _, text := range []string{"shortDescription", "fullDescription", "help"} {
			if s := word(t, object(t, r, text), "text"); utf8.RuneCountInString(s) > 1024 && text != "help" {
				t.Errorf("%s: %s of %d characters", r["id"], text, utf8.RuneCountInString(s))
			}
		}
		level(t, object(t, r, "defaultConfiguration"))
	}
	if dup := slices.Clone(ids); len(slices.Compact(slices.Sorted(slices.Values(dup)))) != len(ids) {
		t.Errorf("a rule is listed twice: %q", ids)
	}
	prints := map[string]bool{}
	for _, r := range list(t, run, "results") {
		r := r.(map[string]any)
		level(t, r)
		if i := int(r["ruleIndex"].(float64)); i < 0 || i >= len(ids) || ids[i] != word(t, r, "ruleId") {
			t.Errorf("ruleIndex %d is not rule %v", i, r["ruleId"])
		}
		said := word(t, object(t, r, "message"), "text")
		if utf8.RuneCountInString(said) > 6000 {
			t.Errorf("a message of %d characters", utf8.RuneCountInString(said))
		}
		if link.MatchString(said) || placeholder.MatchString(strings.ReplaceAll(strings.ReplaceAll(said, "{{", ""), "}}", "")) {
			t.Errorf("the message %q holds a link or a placeholder", said)
		}
		p := word(t, object(t, r, "partialFingerprints"), "primaryLocationLineHash")
		if prints[p] {
			t.Errorf("two results are one to GitHub: %s", p)
		}
		prints[p] = true
		places, _ := r["locations"].([]any) // none when nothing names a file in the repository
		for _, l := range places {
			physical := object(t, l.(map[string]any), "physicalLocation")
			u, err := url.Parse(word(t, object(t, physical, "artifactLocation"), "uri"))
			if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.Fragment != "" || slices.Contains(strings.Split(u.Path, "/"), "..") {
				t.Errorf("location %v: %v", u, err)
			}
			for _, n := range []string{"startLine", "startColumn", "endLine", "endColumn"} {
				if object(t, physical, "region")[n].(float64) < 1 {
					t.Errorf("%s of %v", n, u)
				}
			}
		}
	}
	if _, ok := list(t, run, "invocations")[0].(map[string]any)["executionSuccessful"].(bool); !ok {
		t.Error("the invocation does not say how it ended")
	}
	return run
}

var (
	link        = regexp.MustCompile(`(^|[^\\])\]\(`)
	placeholder = regexp.MustCompile(`[{}]`)
)

func object(t *testing.T, m map[string]any, key string) map[string]any {
	t.Helper()
	v, ok := m[key].(map[string]any)
	if !ok {
		t.Fatalf("%s is %v", key, m[key])
	}
	return v
}

func list(t *testing.T, m map[string]any, key string) []any {
	t.Helper()
	v, ok := m[key].([]any)
	if !ok {
		t.Fatalf("%s is %v, wanted a list", key, m[key])
	}
	return v
}

func word(t *testing.T, m map[string]any, key string) string {
	t.Helper()
	v, ok := m[key].(string)
	if !ok || v == "" {
		t.Errorf("%s is %v, wanted text", key, m[key])
	}
	return v
}

func absolute(t *testing.T, s string) {
	t.Helper()
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host != "github.com" {
		t.Errorf("%q is no absolute URI of ours: %v", s, err)
	}
}

func level(t *testing.T, m map[string]any) {
	t.Helper()
	if !slices.Contains([]string{"error", "warning", "note"}, word(t, m, "level")) {
		t.Errorf("level %v", m["level"])
	}
}

func TestSARIFHoldsForeignText(t *testing.T) {
	for _, h := range append([]string{"plain"}, hostile...) {
		text := write(t, "sarif", full(h))
		run := readSARIF(t, text)
		if n := len(list(t, run, "results")); n != 3 {
			t.Errorf("%.40q: %d results", h, n)
		}
		if strings.ContainsAny(text, "\x00\x1b\u202e\u2028") || strings.Contains(text, "##") {
			t.Errorf("%.40q: %s", h, text)
		}
		commandless(t, h, text)
	}
}

// TestSARIFLocations: a path is percent-encoded, and what is no path in the repository falls back to the stamp's file.
func TestSARIFLocations(t *testing.T) {
	for path, want := range map[string]string{
		"stamps/east/ACS Blob/a.pfx": "stamps/east/ACS%20Blob/a.pfx",
		"stamps/east/a#b?c%d.pfx":    "stamps/east/a%23b%3Fc%25d.pfx",
		"C:/x":                       "C%3A/x",
		"stamps/ü/x.pfx":             "stamps/%C3%BC/x.pfx",
		`a\b`:                        "a%5Cb",
		"":                           "stamps/east/stamp.yaml",
		"/etc/passwd":                "stamps/east/stamp.yaml",
		"../x":                       "stamps/east/stamp.yaml",
		"a\xffb":                     "stamps/east/stamp.yaml",
	} {
		s := Stamp{Stamp: "east", File: "stamps/east/stamp.yaml"}
		c := concern{Finding: validate.Finding{ID: "x", Result: validate.Fail}, stamp: &s, path: path}
		if got := c.sarif(0, map[string]int{}).Locations[0].Physical.Artifact.URI; got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// TestSARIFFingerprintsLast: a finding keeps its alert when its words change, and two findings never share one.
func TestSARIFFingerprintsLast(t *testing.T) {
	prints := func(d *Document) []string {
		var out []string
		for _, r := range list(t, readSARIF(t, write(t, "sarif", d)), "results") {
			out = append(out, word(t, object(t, r.(map[string]any), "partialFingerprints"), "primaryLocationLineHash"))
		}
		return out
	}
	later := judgement()
	later.Tool, later.AsOf = "v2", "2026-11-24T08:00:00Z"
	later.Stamps[0].Certificates[1].Tests[1].Found = "10 days left"
	if diff := cmp.Diff(prints(judgement()), prints(later)); diff != "" {
		t.Error(diff)
	}
	twice := judgement()
	twice.Stamps[0].Set = append(twice.Stamps[0].Set, twice.Stamps[0].Set[1])
	prints(twice)
}

// TestSARIFKeepsTheWorst: more than GitHub takes is cut at the harmless end, and the report says so.
func TestSARIFKeepsTheWorst(t *testing.T) {
	d := &Document{Command: "validate", Stamps: []Stamp{{Stamp: "east", File: "stamp.yaml"}}}
	for i := range sarifResults + 10 {
		f := validate.Finding{ID: "dns-names", Name: "DNS Names", Result: validate.Skipped, Folders: []string{fmt.Sprint(i)}}
		if i >= sarifResults {
			f.Result = validate.Fail
		}
		d.Stamps[0].Set = append(d.Stamps[0].Set, f)
	}
	run := readSARIF(t, write(t, "sarif", d))
	results := list(t, run, "results")
	if len(results) != sarifResults || results[9].(map[string]any)["level"] != "error" || results[10].(map[string]any)["level"] != "note" {
		t.Errorf("%d results, the tenth is %v", len(results), results[9])
	}
	b, _ := json.Marshal(run["invocations"])
	if !strings.Contains(string(b), "10 of 5010 findings are left out") {
		t.Errorf("not said: %s", b)
	}
}

func TestSARIFSaysHowTheRunEnded(t *testing.T) {
	for code, want := range map[int]bool{0: true, 1: true, 2: false, 3: false, 70: false} {
		d := &Document{Command: "validate"}
		if code != 0 {
			d.Error = &Error{Code: code, Reason: "r", Message: "m"}
		}
		inv := list(t, readSARIF(t, write(t, "sarif", d)), "invocations")[0].(map[string]any)
		if inv["executionSuccessful"] != want {
			t.Errorf("exit %d: %v", code, inv)
		}
	}
}
