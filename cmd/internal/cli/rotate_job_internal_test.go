package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/stamp"
)

// TestMayStart: a rotation starts in a window that stays open for two more hours, as clocks on the wall there say.
func TestMayStart(t *testing.T) {
	for _, row := range []struct {
		name, windows, now, says string
	}{
		{"no windows at all", "", "2026-02-04T12:00:00Z", ""},
		{"outside", "Sat 22:00-04:00 Europe/Berlin", "2026-02-04T12:00:00Z", "the next one opens 2026-02-07T21:00:00Z"},
		{"a second before it opens", "Sat 22:00-04:00 Europe/Berlin", "2026-02-07T20:59:59Z", "the next one opens 2026-02-07T21:00:00Z"},
		{"as it opens", "Sat 22:00-04:00 Europe/Berlin", "2026-02-07T21:00:00Z", ""},
		{"two hours left", "Sat 22:00-04:00 Europe/Berlin", "2026-02-08T01:00:00Z", ""},
		{"a minute less", "Sat 22:00-04:00 Europe/Berlin", "2026-02-08T01:01:00Z", "closes in 1h59m"},
		{"as it closes", "Sat 22:00-04:00 Europe/Berlin", "2026-02-08T03:00:00Z", "the next one opens 2026-02-14T21:00:00Z"},
		{"the night that loses an hour, two left", "Sat 22:00-04:00 Europe/Berlin", "2026-03-29T00:00:00Z", ""},
		{"the night that loses an hour, a minute less", "Sat 22:00-04:00 Europe/Berlin", "2026-03-29T00:01:00Z", "closes in 1h59m"},
		{"the night that gains an hour, two left", "Sat 22:00-04:00 Europe/Berlin", "2026-10-25T01:00:00Z", ""},
		{"the night that gains an hour, a minute less", "Sat 22:00-04:00 Europe/Berlin", "2026-10-25T01:01:00Z", "closes in 1h59m"},
		{"shorter than two hours", "Sat 22:00-23:30 Europe/Berlin", "2026-02-07T21:00:00Z", "closes in 1h30m"},
	} {
		var list []string
		if row.windows != "" {
			list = []string{row.windows}
		}
		windows, err := stamp.ParseWindows(list)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, row.now)
		if err != nil {
			t.Fatal(err)
		}
		switch err := mayStart(windows, now); {
		case err == nil && row.says != "":
			t.Errorf("%s: it may start, want %q", row.name, row.says)
		case err != nil && (row.says == "" || !strings.Contains(err.Error(), row.says)):
			t.Errorf("%s: %v, want %q", row.name, err, row.says)
		}
	}
}
