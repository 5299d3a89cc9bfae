package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/pep"
)

// rotated reports how a rotation came out, with its exit code.
func (a *app) rotated(b *bound, w *watcher, out rotate.Outcome, cause error) error {
	a.reportOutcome(b, w, out)
	w.kept.outcome(out)
	b.entry.Outcome = string(out.Result)
	means := ""
	for _, e := range rotate.Endings() {
		if e.ID == out.Ending {
			means = e.Means
		}
	}
	word := out.Result
	if word == rotate.Already {
		word = rotate.Success
	}
	b.entry.Message = fmt.Sprintf("rotation: %s (%s): %s", word, out.Ending, means)
	switch out.Result {
	case rotate.Success, rotate.Already:
		b.entry.Next = b.command("verify")
		if b.plan.Verify == nil || b.by != nil {
			b.entry.Next = ""
		}
		a.doc.Stamps = append(a.doc.Stamps, b.entry)
		return nil
	case rotate.Running, rotate.Unknown:
		b.entry.Next = b.command("rotate --attach")
		if out.Ending == "cut-off" || out.Ending == "unanswered" { // who pastes it at once may lock the account
			b.entry.Next = "when the endpoint's account is in order: " + b.entry.Next
		}
	}
	a.doc.Stamps = append(a.doc.Stamps, b.entry)
	err := errors.New(means)
	if cause != nil {
		err = fmt.Errorf("%s: %w", means, cause)
	}
	hint := out.Next
	if h := hintOf(cause); h != "" && out.Result == rotate.Environment {
		hint = h
	}
	if out.Ending == "cancelled" {
		return fail(exitInterrupted, "interrupted", errors.New("interrupted before anything changed"), "run the same command again")
	}
	return fail(exitOf(out), out.Ending, err, hint)
}

// exitOf is the exit code of a rotation; docs/operations.md has it for each ending.
func exitOf(out rotate.Outcome) int {
	switch out.Result {
	case rotate.Success, rotate.Already:
		return exitDone
	case rotate.Failed, rotate.FailedAgain:
		return exitFailed
	case rotate.Unknown, rotate.Running:
		return exitUnknown
	case rotate.Refused:
		return exitRefused
	}
	switch out.Ending {
	case "cancelled":
		return exitInterrupted
	case "no-secret": // what we were told, not the world
		return exitUsage
	}
	return exitEnvironment
}

// reportOutcome fills the document with what a rotation left behind.
func (a *app) reportOutcome(b *bound, w *watcher, out rotate.Outcome) {
	w.close(a.env.Now())
	if n := len(w.steps); n > 0 && out.Ending != "" && out.Result != rotate.Success && out.Result != rotate.Already {
		w.steps[n-1].State = string(out.Result) // what it came to an end in is not done
	}
	b.entry.Steps = append(b.entry.Steps, w.steps...)
	for _, s := range out.Action.Steps {
		b.entry.Steps = append(b.entry.Steps, stampSteps(s, 1)...)
	}
	b.entry.Findings = append(b.entry.Findings, out.Findings...)
	for _, f := range out.Facts {
		b.entry.Facts = append(b.entry.Facts, report.Fact{Name: f.Name, Value: f.Value})
	}
	for _, u := range out.Unknown {
		b.entry.Facts = append(b.entry.Facts, report.Fact{Name: "could not know", Value: u})
	}
	for _, e := range out.Errors {
		b.entry.Errors = append(b.entry.Errors, errorText(e))
	}
	if b.plan.Verify != nil {
		for _, s := range out.Served {
			b.entry.Endpoints = append(b.entry.Endpoints, b.endpoint(s))
		}
	}
	before := map[string]string{}
	for _, h := range out.HealthBefore {
		for _, t := range h.Report.Tests {
			before[t.Name] = t.Result
		}
	}
	for _, h := range out.HealthAfter {
		for _, t := range h.Report.Tests {
			if t.Result != pep.TestPass || before[t.Name] != t.Result {
				b.entry.Health = append(b.entry.Health, report.Health{Test: t.Name, Before: before[t.Name], After: t.Result})
			}
		}
	}
}

func (b *bound) endpoint(s rotate.Judged) report.Endpoint {
	e := report.Endpoint{Endpoint: s.Endpoint, Verdict: string(s.Leaf), Detail: s.Failed}
	for _, v := range b.plan.Verify.Endpoints {
		if v.Endpoint == s.Endpoint {
			e.Host = v.Host
		}
	}
	if len(s.Leaves) > 0 {
		e.LeafSHA256 = s.Leaves[0]
	}
	e.Before, e.After = expiries(b.plan, s.Endpoint)
	return e
}

// maxDepthShown bounds the nesting of the stamp's own steps in a report.
const maxDepthShown = 6

func stampSteps(s pep.Step, depth int) []report.Step {
	out := []report.Step{{Name: s.Name, State: s.Status, Detail: s.Message, Depth: depth}}
	if !s.Started.IsZero() {
		out[0].Started = s.Started.UTC().Format(time.RFC3339)
		if !s.Ended.IsZero() {
			out[0].Seconds = int(s.Ended.Sub(s.Started).Round(time.Second) / time.Second)
		}
	}
	if depth < maxDepthShown {
		for _, below := range s.Steps {
			out = append(out, stampSteps(below, depth+1)...)
		}
	}
	return out
}

func errorText(e pep.ErrorRecord) string {
	var b strings.Builder
	for _, part := range []struct{ name, text string }{
		{"", e.Message},
		{"id", e.ID},
		{"exception", e.Exception},
		{"step", e.Activity},
		{"reason", e.Reason},
		{"target", e.TargetName},
		{"recommended", e.RecommendedAction},
		{"stack", e.StackTrace},
	} {
		if part.text == "" {
			continue
		}
		if part.name != "" {
			b.WriteString(part.name + ": ")
		}
		b.WriteString(part.text + "\n")
	}
	return b.String()
}
