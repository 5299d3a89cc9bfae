package stamp

import (
	"math"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones under test, on any machine
)

func TestWindowOpen(t *testing.T) {
	for _, row := range []struct {
		claim, window, now string
		left               time.Duration // 0: closed
	}{
		{"before", "Sat 22:00-04:00 Europe/Berlin", "2026-03-07T20:59:59Z", 0},
		{"first second", "Sat 22:00-04:00 Europe/Berlin", "2026-03-07T21:00:00Z", 6 * time.Hour},
		{"after midnight it is still Saturday's window", "Sat 22:00-04:00 Europe/Berlin", "2026-03-08T01:00:00Z", 2 * time.Hour},
		{"last second", "Sat 22:00-04:00 Europe/Berlin", "2026-03-08T02:59:59Z", time.Second},
		{"over", "Sat 22:00-04:00 Europe/Berlin", "2026-03-08T03:00:00Z", 0},
		{"another night", "Sat 22:00-04:00 Europe/Berlin", "2026-03-08T22:00:00Z", 0},
		{"the zone decides the day", "Sun 00:00-02:00 Pacific/Auckland", "2026-03-07T11:30:00Z", 90 * time.Minute},
		{"within a day", "Wed 09:00-17:00 UTC", "2026-03-04T12:00:00Z", 5 * time.Hour},
		{"a whole day", "Wed 00:00-24:00 UTC", "2026-03-04T00:00:00Z", 24 * time.Hour},
		{"daily joins into one", "daily 00:00-24:00 UTC", "2026-03-04T23:00:00Z", 9*24*time.Hour + time.Hour},
		{"a range over the week's end", "Fri-Mon 22:00-04:00 UTC", "2026-03-10T03:00:00Z", time.Hour},
		{"a list", "Mon,Wed 22:00-04:00 UTC", "2026-03-04T22:00:00Z", 6 * time.Hour},
		{"a list leaves days out", "Mon,Wed 22:00-04:00 UTC", "2026-03-03T22:00:00Z", 0},
		// Europe/Berlin springs forward on 2026-03-29 at 01:00 UTC, from 02:00 to 03:00.
		{"the night that is an hour short", "Sat 22:00-04:00 Europe/Berlin", "2026-03-28T21:00:00Z", 5 * time.Hour},
		{"a start that is skipped counts late", "Sun 02:30-06:00 Europe/Berlin", "2026-03-29T01:15:00Z", 0},
		{"a start that was skipped", "Sun 02:30-06:00 Europe/Berlin", "2026-03-29T01:30:00Z", 150 * time.Minute},
		{"an end that is skipped counts early", "Sun 00:00-02:30 Europe/Berlin", "2026-03-29T00:15:00Z", 15 * time.Minute},
		// and falls back on 2026-10-25 at 01:00 UTC, from 03:00 to 02:00.
		{"the night that is an hour long", "Sat 22:00-04:00 Europe/Berlin", "2026-10-24T20:00:00Z", 7 * time.Hour},
		{"a start that comes twice counts late", "Sun 02:30-06:00 Europe/Berlin", "2026-10-25T00:45:00Z", 0},
		{"a start that came twice", "Sun 02:30-06:00 Europe/Berlin", "2026-10-25T01:30:00Z", 210 * time.Minute},
		{"an end that comes twice counts early", "Sun 00:00-02:30 Europe/Berlin", "2026-10-25T00:15:00Z", 15 * time.Minute},
		{"an end that came once already", "Sun 00:00-02:30 Europe/Berlin", "2026-10-25T00:45:00Z", 0},
		// Lord Howe moves its clocks by half an hour: on 2026-10-04 from 02:00 to 02:30 (15:30 UTC the day before).
		{"half an hour is skipped", "Sun 01:00-03:00 Australia/Lord_Howe", "2026-10-03T14:30:00Z", 90 * time.Minute},
	} {
		t.Run(row.claim, func(t *testing.T) {
			w, err := ParseWindow(row.window)
			if err != nil {
				t.Fatal(err)
			}
			now, err := time.Parse(time.RFC3339, row.now)
			if err != nil {
				t.Fatal(err)
			}
			open, left := w.Open(now)
			if open != (row.left > 0) || left != row.left {
				t.Errorf("%v, %v left; want %v", open, left, row.left)
			}
			if w.String() != row.window {
				t.Errorf("prints as %q", w)
			}
		})
	}
}

func TestWindowsTogether(t *testing.T) {
	ws, err := ParseWindows([]string{"Sat 22:00-24:00 UTC", "Sun 00:00-04:00 UTC", "Wed 10:00-12:00 UTC"})
	if err != nil {
		t.Fatal(err)
	}
	sat := time.Date(2026, 3, 7, 23, 0, 0, 0, time.UTC)
	if open, left := ws.Open(sat); !open || left != 5*time.Hour {
		t.Errorf("%v, %v: windows that touch are one", open, left)
	}
	if next, ok := ws.Next(sat); !ok || !next.Equal(time.Date(2026, 3, 11, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("next is %v, %v; want Wednesday 10:00", next, ok)
	}
	if open, left := Windows(nil).Open(sat); !open || left != math.MaxInt64 {
		t.Errorf("without windows: %v, %v", open, left)
	}
	if _, err := ParseWindows([]string{"never"}); err == nil {
		t.Error("accepted a window that is none")
	}
	if got := strings.Join(ws.Strings(), "; "); got != "Sat 22:00-24:00 UTC; Sun 00:00-04:00 UTC; Wed 10:00-12:00 UTC" {
		t.Errorf("strings %q", got)
	}
}
