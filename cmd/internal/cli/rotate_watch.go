package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/pep"
)

// watcher shows progress and keeps the times of the phases.
type watcher struct {
	app    *app
	steps  []report.Step
	begun  time.Time
	status string
	kept   *keeper
	shown  map[string]string // of the stamp's own steps, the state that was last shown
	outage string            // minutes of it that users must expect; told once
}

func (w *watcher) event(e rotate.Event) {
	if n := len(w.steps); n == 0 || w.steps[n-1].Name != string(e.Phase) {
		w.close(e.Time)
		w.begun = e.Time
		w.steps = append(w.steps, report.Step{Name: string(e.Phase), State: "done", Started: e.Time.UTC().Format(time.RFC3339), Detail: e.Text})
	}
	if e.Text != "" && e.Text != w.status {
		w.status = e.Text
		w.app.progress("%s: %s", e.Phase, e.Text)
	}
	if w.outage != "" && (e.Phase == rotate.Watching || e.Phase == rotate.Attaching && underWay(e.Steps)) {
		w.app.progress("users: public addresses of the stamp are unreachable for %s minutes once while it rotates; no document says in which step", w.outage)
		w.outage = ""
	}
	w.showSteps(e.Steps, "")
	if e.Record != nil {
		w.app.record(*e.Record)
		w.kept.record(e.Time, e.Phase, *e.Record)
	}
}

// maxStepsShown bounds what a stamp can make us print; a real action has some hundred steps.
const maxStepsShown = 2000

// showSteps shows each step of the stamp's action when it changes, with its times: people wait for the outage.
func (w *watcher) showSteps(steps []pep.Step, above string) {
	if w.shown == nil {
		w.shown = map[string]string{}
	}
	for _, s := range steps {
		name := above + s.Name
		if s.Status != w.shown[name] && !s.Started.IsZero() && len(w.shown) < maxStepsShown {
			when := s.Started.UTC().Format(time.TimeOnly) + " UTC"
			if !s.Ended.IsZero() {
				when += fmt.Sprintf(" to %s, %s", s.Ended.UTC().Format(time.TimeOnly), s.Ended.Sub(s.Started).Round(time.Second))
			}
			text := s.Description
			if text != "" {
				text = " (" + text + ")"
			}
			w.app.progress("  step: %s: %s, %s%s", oneLine(name), oneLine(s.Status), when, oneLine(text))
			w.shown[name] = s.Status
		}
		if strings.Count(above, " / ") < maxDepthShown {
			w.showSteps(s.Steps, name+" / ")
		}
	}
}

// underWay reports whether a step has begun and not ended.
func underWay(steps []pep.Step) bool {
	return slices.ContainsFunc(steps, func(s pep.Step) bool { return !s.Started.IsZero() && s.Ended.IsZero() || underWay(s.Steps) })
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (w *watcher) close(now time.Time) {
	if n := len(w.steps); n > 0 {
		w.steps[n-1].Seconds = int(now.Sub(w.begun).Round(time.Second) / time.Second)
	}
}

// record shows one line of what the stamp says. Debug output is for certstamp pep.
func (a *app) record(r pep.Record) {
	if r.Kind == pep.DebugRecord || strings.TrimSpace(r.Text) == "" {
		return
	}
	for l := range strings.Lines(strings.TrimSpace(r.Text)) {
		a.progress("  %s: %s", r.Kind, strings.TrimRight(l, "\r\n"))
	}
}
