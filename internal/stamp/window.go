package stamp

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Window is a weekly span in which a rotation may start. Days names the days on which it begins.
type Window struct {
	text        string
	days        [7]bool // by time.Weekday
	from, until int     // minutes after midnight; until <= from: it ends on the next day
	zone        *time.Location
}

// Windows is the list of a stamp file. No window means: any time.
type Windows []Window

var (
	windowForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(\S+) (\d{2}):(\d{2})-(\d{2}):(\d{2}) ([A-Za-z][A-Za-z0-9_+/-]*)$`)
	})
	dayNames = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
)

// ParseWindow reads "Sat 22:00-04:00 Europe/Berlin". Days are Mon … Sun, a range Mon-Fri, a list Sat,Sun, or daily; an
// end at or before the start is on the next day; the zone is a name of the IANA database, or UTC.
func ParseWindow(s string) (Window, error) {
	m := windowForm().FindStringSubmatch(s)
	if m == nil {
		return Window{}, fmt.Errorf(`%s is not a window such as "Sat 22:00-04:00 Europe/Berlin"`, quoted(s))
	}
	w := Window{text: s}
	for part := range strings.SplitSeq(m[1], ",") {
		if err := w.addDays(part); err != nil {
			return Window{}, fmt.Errorf("window %s: %w", quoted(s), err)
		}
	}
	var err error
	if w.from, err = minutes(m[2], m[3], false); err != nil {
		return Window{}, fmt.Errorf("window %s: %w", quoted(s), err)
	}
	if w.until, err = minutes(m[4], m[5], true); err != nil {
		return Window{}, fmt.Errorf("window %s: %w", quoted(s), err)
	}
	if w.from == w.until {
		return Window{}, fmt.Errorf("window %s: it begins when it ends; a whole day is 00:00-24:00", quoted(s))
	}
	if m[6] == "Local" {
		return Window{}, fmt.Errorf("window %s: Local is another zone on every machine; write its name", quoted(s))
	}
	if w.zone, err = time.LoadLocation(m[6]); err != nil {
		return Window{}, fmt.Errorf("window %s: no time zone is named %s", quoted(s), quoted(m[6]))
	}
	return w, nil
}

func (w *Window) addDays(s string) error {
	if s == "daily" {
		w.days = [7]bool{true, true, true, true, true, true, true}
		return nil
	}
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, b := slices.Index(dayNames, first), slices.Index(dayNames, last)
	if a < 0 || b < 0 {
		return fmt.Errorf("%s is no day: use Mon, Tue, Wed, Thu, Fri, Sat, Sun, a range Mon-Fri, a list Sat,Sun or daily", quoted(s))
	}
	for d := a; ; d = (d + 1) % 7 {
		w.days[d] = true
		if d == b {
			return nil
		}
	}
}

func minutes(hour, minute string, end bool) (int, error) {
	h, errH := strconv.Atoi(hour)
	m, errM := strconv.Atoi(minute)
	whole := end && h == 24 && m == 0
	if errH != nil || errM != nil || m > 59 || h > 23 && !whole {
		return 0, fmt.Errorf("%s:%s is not a time of day", hour, minute)
	}
	return h*60 + m, nil
}

// String is the window as it was written.
func (w Window) String() string { return w.text }

// Open reports whether now lies in the window, and for how long it still will.
func (w Window) Open(now time.Time) (bool, time.Duration) { return Windows{w}.Open(now) }

// Strings are the windows as they were written.
func (ws Windows) Strings() []string {
	out := make([]string, len(ws))
	for i, w := range ws {
		out[i] = w.text
	}
	return out
}

// ParseWindows reads a list, as a plan carries it.
func ParseWindows(list []string) (Windows, error) {
	var ws Windows
	for _, s := range list {
		w, err := ParseWindow(s)
		if err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	return ws, nil
}

type span struct{ from, until time.Time }

// spans returns the windows of the days around now, sorted, with touching ones merged.
func (ws Windows) spans(now time.Time) []span {
	var all []span
	for _, w := range ws {
		local := now.In(w.zone)
		for offset := -2; offset <= 9; offset++ {
			day := time.Date(local.Year(), local.Month(), local.Day()+offset, 12, 0, 0, 0, w.zone)
			if !w.days[day.Weekday()] {
				continue
			}
			_, from := wall(day, w.from, w.zone)
			next := 0
			if w.until <= w.from {
				next = 24 * 60
			}
			until, _ := wall(day, w.until+next, w.zone)
			if until.After(from) {
				all = append(all, span{from, until})
			}
		}
	}
	slices.SortFunc(all, func(a, b span) int { return a.from.Compare(b.from) })
	var merged []span
	for _, s := range all {
		if n := len(merged); n > 0 && !s.from.After(merged[n-1].until) {
			if s.until.After(merged[n-1].until) {
				merged[n-1].until = s.until
			}
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// wall finds the instants at which a clock on the wall may show this time of day. There are two when the clocks change:
// an hour that comes twice, or one that is skipped. The caller takes the one that makes the window narrower.
func wall(day time.Time, minute int, zone *time.Location) (early, late time.Time) {
	utc := time.Date(day.Year(), day.Month(), day.Day(), 0, minute, 0, 0, time.UTC)
	_, before := utc.Add(-26 * time.Hour).In(zone).Zone()
	_, after := utc.Add(26 * time.Hour).In(zone).Zone()
	a, b := utc.Add(-time.Duration(before)*time.Second), utc.Add(-time.Duration(after)*time.Second)
	shows := func(t time.Time) bool {
		_, offset := t.In(zone).Zone()
		return t.Add(time.Duration(offset) * time.Second).Equal(utc)
	}
	switch onA, onB := shows(a), shows(b); {
	case onA && !onB:
		return a, a
	case onB && !onA:
		return b, b
	}
	if a.After(b) {
		a, b = b, a
	}
	return a, b
}

// Open reports whether now lies in a window, and for how long it still will, windows that touch counted as one.
// Without windows it is always open.
func (ws Windows) Open(now time.Time) (open bool, left time.Duration) {
	if len(ws) == 0 {
		return true, math.MaxInt64
	}
	for _, s := range ws.spans(now) {
		if !now.Before(s.from) && now.Before(s.until) {
			return true, s.until.Sub(now)
		}
	}
	return false, 0
}

// Next is when the next window opens after now; false when there is none, which cannot be for a list that has one.
func (ws Windows) Next(now time.Time) (time.Time, bool) {
	for _, s := range ws.spans(now) {
		if s.from.After(now) {
			return s.from, true
		}
	}
	return time.Time{}, false
}
