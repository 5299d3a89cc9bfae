package validate

import (
	"fmt"
	"time"
)

var stampAlerts = SetRule{
	ID: "stamp-alerts", Name: "Stamp Alerts", Severity: Caution,
	About: "The certificates live long enough that the stamp raises no alert about their end as soon as they are in place.",
	Check: func(s *Set) []Judgement {
		var early *Subject // the first to end of those that other rules leave alone
		groups := make(map[string][]string)
		first := make(map[string]*Subject)
		for _, f := range s.Subjects {
			if f.Leaf == nil || s.run.left(f.Leaf) < planDays(s.run) {
				continue
			}
			if early == nil || f.Leaf.NotAfter.Before(early.Leaf.NotAfter) {
				early = f
			}
			stage := alertStage(s, f)
			groups[stage] = append(groups[stage], f.Folder)
			if first[stage] == nil || f.Leaf.NotAfter.Before(first[stage].Leaf.NotAfter) {
				first[stage] = f
			}
		}
		if early == nil {
			return one(pass("nothing that other tests do not say"))
		}
		var out []Judgement
		for _, stage := range []string{"critical", "warning"} {
			f := first[stage]
			if f == nil {
				continue
			}
			out = append(out, warn(fmt.Sprintf("%s left until %s: the stamp's %s alert is raised at once", days(s.run.left(f.Leaf)), instant(f.Leaf.NotAfter), stage),
				fmt.Sprintf("at least %s left", days(s.params("stamp-alerts").Days(stage+"-days"))), "request longer-lived certificates, or plan the next rotation now").in(groups[stage]...))
		}
		if len(out) == 0 {
			return one(pass(alertDates(s, early)))
		}
		return out
	},
}

// alertStage is the alert that a certificate raises as soon as it is in place, or "". Of one that never had more days than
// a few months, the early alert says nothing: its date is information.
func alertStage(s *Set, f *Subject) string {
	p := s.params("stamp-alerts")
	left := s.run.left(f.Leaf)
	switch {
	case left < p.Days("critical-days"):
		return "critical"
	case left >= p.Days("warning-days") || s.run.Version.Release() < p.Int("warning-from"):
		return ""
	case f.Leaf.NotAfter.Sub(f.Leaf.NotBefore) < p.Days("short-life-days"):
		return ""
	}
	return "warning"
}

// alertDates says when the stamp will speak of the certificate that ends first.
func alertDates(s *Set, f *Subject) string {
	p := s.params("stamp-alerts")
	text := ""
	for _, stage := range []string{"warning", "critical"} {
		if stage == "warning" && s.run.Version.Release() < p.Int("warning-from") {
			continue
		}
		at := f.Leaf.NotAfter.Add(-p.Days(stage + "-days"))
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s from %s", stage, at.UTC().Format(time.DateOnly))
	}
	return fmt.Sprintf("%s ends first, %s: the stamp alerts with %s", quote(f.Folder), instant(f.Leaf.NotAfter), text)
}
