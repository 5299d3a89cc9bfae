package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/amount"
)

// Sticky is the first line of a page: whoever keeps one comment on a pull request up to date finds it by this.
const Sticky = "<!-- certstamp -->"

const (
	maxBars    = 100 // beyond that Mermaid draws a wall, and some hosts nothing
	maxLabel   = 48
	soon       = 30 * 24 * time.Hour      // the stamp's own critical alert begins then
	drawnAhead = 3 * 365 * 24 * time.Hour // a certificate for a century would make lines of all others
	ganttDay   = "2006-01-02"
)

// gantt draws when the certificates of each stamp end, as Mermaid. The tables beside it say the same in words. Labels hold
// nothing but letters, digits and a few signs: a colon, a comma, a semicolon or a hash would mean something there.
func (m *marker) gantt(d *Document) {
	now, err := time.Parse(time.RFC3339, d.AsOf)
	if err != nil {
		return
	}
	var b strings.Builder
	bars, left := 0, 0
	for i := range d.Stamps {
		s := &d.Stamps[i]
		var first time.Time
		section := false
		for _, c := range s.ends() {
			end, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				continue
			}
			if first.IsZero() || end.Before(first) {
				first = end
			}
			if bars == maxBars {
				left++
				continue
			}
			if !section {
				fmt.Fprintf(&b, "    section %s\n", label("stamp "+s.Stamp+" "+s.Type))
				section = true
			}
			bars++
			fmt.Fprintf(&b, "    %s :%s\n", label(fmt.Sprintf("%d %s", bars, c.name)), bar(bars, now, end))
		}
		if section {
			by := first.Add(-soon)
			if by.Before(now) {
				by = now
			}
			fmt.Fprintf(&b, "    rotate by %s :milestone, m%d, %s, 0d\n", day(by.Format(time.RFC3339)), bars, ahead(by, now).UTC().Format(ganttDay))
		}
	}
	if bars == 0 {
		return
	}
	more := ""
	if left > 0 {
		more = fmt.Sprintf("\nIn the tables only: %s.\n", amount.Of(left, "more certificate"))
	}
	m.block("\n```mermaid\ngantt\n    title certificates and when they end\n    dateFormat YYYY-MM-DD\n    axisFormat %%Y-%%m\n%s```\n%s", b.String(), more)
}

// ending is a certificate and when it ends, RFC 3339.
type ending struct{ name, at string }

// ends are the certificates that a stamp's document is about: those that were judged, or those that are due.
func (s *Stamp) ends() []ending {
	var out []ending
	for _, c := range s.Certificates {
		out = append(out, ending{c.Folder, c.NotAfter})
	}
	for _, e := range s.Expiries {
		if e.due() {
			out = append(out, ending{e.name(), e.Ends})
		}
	}
	return out
}

// bar goes from today to the end of a certificate, or from its end to today.
func bar(id int, now, end time.Time) string {
	state := ""
	if end.Sub(now) <= soon {
		state = "crit, "
	}
	from, to := now, ahead(end, now)
	if to.Before(from) {
		from, to = to, from
	}
	return fmt.Sprintf("%sc%d, %s, %s", state, id, from.UTC().Format(ganttDay), to.UTC().Format(ganttDay))
}

// ahead keeps a date within what is drawn.
func ahead(t, now time.Time) time.Time {
	switch {
	case t.Sub(now) > drawnAhead:
		return now.Add(drawnAhead)
	case now.Sub(t) > drawnAhead:
		return now.Add(-drawnAhead)
	}
	return t
}

// label is foreign text in a diagram. It never begins with a foreign word, which could be one of Mermaid's own.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" ._/-", r):
			return r
		}
		return '_'
	}, s)
	return strings.TrimSpace(s[:min(len(s), maxLabel)])
}
