package report

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

const (
	barHeight = 30
	labelSize = 220
	chartSize = 560
)

// timeline draws when each endpoint's certificate expires, before and after, as inline SVG. It takes the endpoints of
// the last chapter that has them with both dates.
func timeline(chapters []chapter) template.HTML {
	var rows []Endpoint
	for _, c := range chapters {
		var dated []Endpoint
		for _, e := range c.Endpoints {
			if e.After != "" {
				dated = append(dated, e)
			}
		}
		if len(dated) > 0 {
			rows = dated
		}
	}
	var first, last time.Time
	for _, e := range rows {
		for _, s := range []string{e.Before, e.After} {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				continue
			}
			if first.IsZero() || t.Before(first) {
				first = t
			}
			if t.After(last) {
				last = t
			}
		}
	}
	if first.IsZero() {
		return ""
	}
	// The axis begins a month before the first expiry, so that even the shortest bar can be seen.
	start := first.AddDate(0, -1, 0)
	span := last.Unix() - start.Unix()
	at := func(s string) int {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return 0
		}
		return int((t.Unix() - start.Unix()) * chartSize / span) // in seconds: nanoseconds overflow after half a year
	}
	var b strings.Builder
	height := barHeight*len(rows) + 30
	fmt.Fprintf(&b, `<svg role="img" aria-label="certificate expiry before and after" viewBox="0 0 %d %d" width="100%%">`, labelSize+chartSize+100, height)
	for i, e := range rows {
		y := i * barHeight
		fmt.Fprintf(&b, `<text x="0" y="%d">%s</text>`, y+17, template.HTMLEscapeString(e.Endpoint))
		fmt.Fprintf(&b, `<rect class="after" x="%d" y="%d" width="%d" height="9"/>`, labelSize, y+3, max(at(e.After), 2))
		fmt.Fprintf(&b, `<rect class="before" x="%d" y="%d" width="%d" height="9"/>`, labelSize, y+14, max(at(e.Before), 2))
		for _, bar := range []struct {
			date string
			y    int
		}{{e.After, y + 11}, {e.Before, y + 23}} {
			fmt.Fprintf(&b, `<text class="date" x="%d" y="%d">%s</text>`, labelSize+max(at(bar.date), 2)+6, bar.y, template.HTMLEscapeString(day(bar.date)))
		}
	}
	y := height - 18
	fmt.Fprintf(&b, `<rect class="before" x="%d" y="%d" width="14" height="6"/><text x="%d" y="%d">before</text>`, labelSize, y, labelSize+20, y+8)
	fmt.Fprintf(&b, `<rect class="after" x="%d" y="%d" width="14" height="8"/><text x="%d" y="%d">after</text>`, labelSize+90, y, labelSize+110, y+8)
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // built from numbers and escaped text only
}
