package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/certstamp/certstamp/cmd/internal/ci"
)

// Calendar writes a calendar (RFC 5545) with one whole day for each certificate that is due, and reminders 90 and 30 days
// before it, when the stamp itself begins to warn. An event is the same one after a renewal, and moves: its identity is the
// stamp and the endpoint, and its sequence number is the minute it was written in. A day would not do for that: certificates are also
// followed by ones that end earlier, and whoever has a calendar ignores an event whose number went down.
func Calendar(w io.Writer, d *Document) error {
	now, err := time.Parse(time.RFC3339, d.AsOf)
	if err != nil {
		return fmt.Errorf("a calendar of no day: %w", err)
	}
	c := calendar{stamp: now.UTC().Format("20060102T150405Z"), sequence: max(now.Unix()/60, 0)}
	c.line("BEGIN:VCALENDAR")
	c.line("VERSION:2.0")
	c.line("PRODID:-//certstamp//certstamp expiry//EN")
	c.line("CALSCALE:GREGORIAN")
	c.line("X-WR-CALNAME:" + calendarText("Certificates of Azure Stack stamps"))
	seen := map[string]bool{}
	for i := range d.Stamps {
		s := &d.Stamps[i]
		for _, e := range s.Expiries {
			id := strings.ToLower(s.Stamp + "." + e.Type + "." + e.Endpoint)
			if !e.due() || seen[id] {
				continue
			}
			seen[id] = true
			c.event(s, e, id)
		}
	}
	c.line("END:VCALENDAR")
	_, err = io.WriteString(w, c.b.String())
	return err
}

// due reports whether the end of e is a day that somebody has to act before. A certificate that waits to be rotated, or
// that is served anyway, has none.
func (e Expiry) due() bool {
	switch e.State {
	case ExpiryOK, ExpiryWarning, ExpiryCritical, ExpiryExpired, ExpiryEarly:
		return e.Ends != ""
	}
	return false
}

type calendar struct {
	b        strings.Builder
	stamp    string // when the calendar was made
	sequence int64
}

func (c *calendar) event(s *Stamp, e Expiry, id string) {
	end, err := time.Parse(time.RFC3339, e.Ends)
	if err != nil {
		return
	}
	end = end.UTC()
	switch {
	case end.Year() == 9999:
		return // it never ends (RFC 5280, section 4.1.2.5), and the day after has no name
	case end.Unix() < 0:
		end = time.Unix(0, 0).UTC() // long ago; not every program has a year 0
	}
	title := fmt.Sprintf("%s: certificate of %s ends", s.Stamp, e.name())
	if s.Simulated {
		title = "SIMULATED " + title
	}
	about := []string{fmt.Sprintf("%s ends %s.", e.where(), e.Ends), "Subject " + e.SubjectCN + ", issued by " + e.IssuerCN + ", serial number " + e.SerialNumber + "."}
	if e.Detail != "" {
		about = append(about, e.Detail)
	}
	c.line("BEGIN:VEVENT")
	c.line("UID:" + calendarText("external."+id+"@certstamp"))
	c.line("DTSTAMP:" + c.stamp)
	c.line(fmt.Sprintf("SEQUENCE:%d", c.sequence))
	c.line("DTSTART;VALUE=DATE:" + end.Format("20060102"))
	c.line("DTEND;VALUE=DATE:" + end.AddDate(0, 0, 1).Format("20060102"))
	c.line("SUMMARY:" + calendarText(title))
	c.line("DESCRIPTION:" + calendarText(strings.Join(about, "\n")))
	c.line("TRANSP:TRANSPARENT")
	for _, days := range []int{90, 30} {
		c.line("BEGIN:VALARM")
		c.line("ACTION:DISPLAY")
		c.line(fmt.Sprintf("TRIGGER:-P%dD", days))
		c.line("DESCRIPTION:" + calendarText(fmt.Sprintf("%s in %d days", title, days)))
		c.line("END:VALARM")
	}
	c.line("END:VEVENT")
}

// line writes a content line, folded so that no part of it has more than 75 octets (section 3.1) and no character is cut.
func (c *calendar) line(s string) {
	const most = 75
	room := most
	for len(s) > room {
		cut := room
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		c.b.WriteString(s[:cut] + "\r\n ")
		s, room = s[cut:], most-1
	}
	c.b.WriteString(s + "\r\n")
}

// calendarText escapes a value of type TEXT (section 3.3.11), in which no control character but the line break may stand. Some programs
// break lines at U+2028 too, and what turns the direction of a text would show another host than the one that is meant.
func calendarText(s string) string {
	return strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\n", `\n`).Replace(ci.Visible(s))
}
