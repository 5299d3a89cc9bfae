package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/validate"
)

// Bounds of GitHub code scanning: it refuses a run with more than 25,000 results and shows the top 5,000 of one. The text
// of one detail is bounded so that found, wanted and hint of a finding are always seen together.
const (
	sarifResults = 5000
	sarifDetail  = 600
)

// SARIF 2.1.0, as far as we have something to say. Everything that is optional and empty is left out.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Automation  sarifAutomation   `json:"automationDetails"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"` // never null: an empty list says that nothing was found
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID            string             `json:"id"`
		Name          string             `json:"name"`
		Short         sarifText          `json:"shortDescription"`
		Full          sarifText          `json:"fullDescription"`
		Help          sarifText          `json:"help"` // GitHub wants it of every rule
		HelpURI       string             `json:"helpUri"`
		Configuration sarifConfiguration `json:"defaultConfiguration"`
	}
	sarifConfiguration struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	// sarifAutomation keeps what one command found apart from what another did: an upload replaces its own category.
	sarifAutomation struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations,omitempty"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI  string `json:"uri"`
		Base string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndLine     int `json:"endLine"`
		EndColumn   int `json:"endColumn"`
	}
)

// firstLine is the place in every file: GitHub wants one, and a PFX has no lines.
var firstLine = sarifRegion{StartLine: 1, StartColumn: 1, EndLine: 1, EndColumn: 1}

var sarifLevels = map[validate.Result]string{validate.Fail: "error", validate.Warning: "warning", validate.Skipped: "note"}

var worstFirst = []string{"error", "warning", "note"}

// SARIF writes what is not OK for code scanning.
func SARIF(w io.Writer, d *Document) error {
	known := rules(d)
	run := sarifRun{
		Tool: sarifTool{sarifDriver{
			Name: "certstamp", Version: ci.Text(d.Tool), InformationURI: "https://github.com/certstamp/certstamp", Rules: sarifRules(known),
		}},
		Automation: sarifAutomation{"certstamp/" + d.Command + "/"},
		Results:    []sarifResult{},
	}
	place := map[string]int{}
	for i, r := range known {
		place[r.id] = i
	}
	seen := map[string]int{}
	for i := range d.Stamps {
		for _, c := range concerns(&d.Stamps[i]) {
			run.Results = append(run.Results, c.sarif(place[c.ID], seen))
		}
	}
	run.Invocations = []sarifInvocation{sarifEnding(d, len(run.Results))}
	// What is cut off must never be an error while a note is kept.
	slices.SortStableFunc(run.Results, func(a, b sarifResult) int {
		return cmp.Compare(slices.Index(worstFirst, a.Level), slices.Index(worstFirst, b.Level))
	})
	run.Results = run.Results[:min(len(run.Results), sarifResults)]
	return encode(w, sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	})
}

func sarifRules(known []rule) []sarifRule {
	out := []sarifRule{}
	for _, r := range known {
		level := "error"
		if r.severity == validate.Caution {
			level = "warning"
		}
		about := sarifText{sarifEscape(r.about)}
		uri := url.URL{Fragment: r.id}
		out = append(out, sarifRule{
			ID: ci.Text(r.id), Name: ci.Text(r.name), Short: sarifText{sarifEscape(r.name)}, Full: about, Help: about,
			HelpURI: rulesPage + uri.String(), Configuration: sarifConfiguration{level},
		})
	}
	return out
}

// sarifEnding says how the run ended: findings are a good end, a run that could not judge is not.
func sarifEnding(d *Document, results int) sarifInvocation {
	const findings = 1 // the exit code of a run that did its work and has something to complain about
	out := sarifInvocation{Successful: d.Error == nil || d.Error.Code == findings}
	if e := d.Error; e != nil {
		text := e.Reason + ": " + e.Message
		if e.Hint != "" {
			text += " (" + e.Hint + ")"
		}
		level := "error"
		if out.Successful {
			level = "note"
		}
		out.Notifications = append(out.Notifications, sarifNotification{level, sarifText{sarifEscape(cut(text, sarifDetail))}})
	}
	if left := results - sarifResults; left > 0 {
		out.Notifications = append(out.Notifications, sarifNotification{
			"warning", sarifText{fmt.Sprintf("%d of %d findings are left out, the least serious first; the JSON report has them all", left, results)},
		})
	}
	return out
}

// sarif is one result. seen counts findings that nothing but their order tells apart.
func (c concern) sarif(place int, seen map[string]int) sarifResult {
	where := c.folder
	if where == "" {
		where = "the set"
	}
	text := sarifEscape(cut(c.stamp.Stamp+", "+where, sarifDetail)) + ": " + sarifEscape(cut(c.Name, sarifDetail)) + ": " + string(c.Result)
	for _, p := range parts(c.Finding) {
		text += "\n" + p.name + ": " + sarifEscape(cut(p.text, sarifDetail))
	}
	out := sarifResult{
		RuleID: ci.Text(c.ID), RuleIndex: place, Level: sarifLevels[c.Result], Message: sarifText{text},
		Fingerprints: map[string]string{"primaryLocationLineHash": c.fingerprint(seen)},
	}
	for _, p := range []string{c.path, c.stamp.File} {
		if fs.ValidPath(p) && p != "." {
			out.Locations = []sarifLocation{{sarifPhysical{sarifArtifact{artifactURI(p), "%SRCROOT%"}, firstLine}}}
			break
		}
	}
	return out
}

// fingerprint names a finding by what it is about, not by what it says: "12 days left" must stay the alert that "13 days
// left" was. The key is the only one that GitHub reads.
func (c concern) fingerprint(seen map[string]int) string {
	h := sha256.New()
	for _, s := range append([]string{c.stamp.Stamp, c.folder, c.file, c.ID}, c.Folders...) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	key := hex.EncodeToString(h.Sum(nil)[:8])
	seen[key]++
	return fmt.Sprintf("%s:%d", key, seen[key])
}

// artifactURI writes a repository path as a relative URI reference. A colon in its first segment would begin a scheme.
func artifactURI(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(s), ":", "%3A")
	}
	return strings.Join(segments, "/")
}

// sarifEscape makes one line of plain text that holds neither placeholders, whose braces are doubled, nor an embedded
// link, whose brackets are escaped (SARIF 2.1.0, 3.11.5 and 3.11.6).
func sarifEscape(s string) string {
	s = strings.NewReplacer("{", "{{", "}", "}}").Replace(ci.Text(s))
	if strings.Contains(s, "](") {
		s = strings.NewReplacer("[", `\[`, "]", `\]`).Replace(s)
	}
	return s
}

// cut bounds a text without breaking a character.
func cut(s string, most int) string {
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
