package report

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/validate"
)

//go:embed report.html.tmpl
var page string

// story is everything that several commands said about one stamp, in their order.
type story struct {
	Stamp     string
	Simulated bool
	Timeline  template.HTML
	Chapters  []chapter
}

type chapter struct {
	Command string
	Verdict validate.Verdict
	Stamp
	Findings []validate.Finding // of certificates, set and the command, everything not OK
	Error    *Error
	Text     string   // what was said of no stamp in particular
	Files    []string // that were written, where there is no stamp to tell of
}

// HTML writes one self-contained page about a run of several commands: no scripts, no requests, inline style and SVG.
// html/template escapes for the place each value stands in, but lets control and direction characters through, and commands of a log.
func HTML(w io.Writer, docs []*Document, title string) error {
	t, err := template.New("report").Funcs(template.FuncMap{"day": day, "short": short, "mask": MaskThumbprint, "bad": bad, "amount": amount.Of[int]}).Parse(page)
	if err != nil {
		return err
	}
	data := struct {
		Title     string
		Simulated bool
		Stories   []*story
	}{Title: title}
	byName := map[string]*story{}
	for _, d := range docs {
		for _, s := range d.Stamps {
			st := byName[s.Stamp]
			if st == nil {
				st = &story{Stamp: s.Stamp}
				byName[s.Stamp] = st
				data.Stories = append(data.Stories, st)
			}
			st.add(d, s)
			data.Simulated = data.Simulated || s.Simulated
		}
		if d.Error != nil && len(d.Stamps) == 0 {
			// It ended before it knew a stamp: told where it happened, under its own name.
			ended := chapter{Command: d.Command, Stamp: Stamp{Outcome: "failed"}, Error: d.Error}
			if d.Error.Code == 1 {
				ended.Outcome = "refused"
			}
			data.Stories = append(data.Stories, &story{Stamp: strings.TrimSpace("certstamp " + d.Command), Chapters: []chapter{ended}})
		}
	}
	for _, d := range docs {
		text, err := besides(d)
		if err != nil {
			return err
		}
		c := chapter{Command: d.Command, Text: text}
		if len(d.Stamps) == 0 {
			c.Files, c.Next = d.Files, d.Next
		}
		if c.Text != "" || len(c.Files) > 0 {
			data.Stories = append(data.Stories, &story{Stamp: strings.TrimSpace("certstamp " + d.Command), Chapters: []chapter{c}})
		}
	}
	for _, st := range data.Stories {
		st.Timeline = timeline(st.Chapters)
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	_, err = io.WriteString(w, ci.Markup(b.String()))
	return err
}

func (st *story) add(d *Document, s Stamp) {
	st.Simulated = st.Simulated || s.Simulated
	c := chapter{Command: d.Command, Stamp: s, Verdict: s.Verdict, Error: d.Error}
	if slices.ContainsFunc(st.Chapters, func(told chapter) bool { return told.Plan != nil && told.PlanSHA256 == s.PlanSHA256 }) {
		c.Plan = nil // told in the chapter that made it
	}
	for _, cert := range s.Certificates {
		for _, f := range cert.Tests {
			if f.Result != validate.OK {
				f.Folders = []string{cert.Folder}
				c.Findings = append(c.Findings, f)
			}
		}
	}
	for _, f := range slices.Concat(s.Set, s.Findings) {
		if f.Result != validate.OK {
			c.Findings = append(c.Findings, f)
		}
	}
	st.Chapters = append(st.Chapters, c)
}

// bad picks the style of a word.
func bad(word any) string {
	switch s := strings.ToLower(toString(word)); s {
	case "fail", "failed", "refused", "foreign", "unreachable", "mixed", "unknown", ExpiryCritical, ExpiryExpired, ExpiryEarly:
		return "bad"
	case ExpiryWarning, "warn", "skipped", "running", "previous", ExpiryUnread, NotLookedAt:
		return "warn"
	}
	return "good"
}

func toString(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case validate.Result:
		return string(v)
	case validate.Verdict:
		return string(v)
	}
	return ""
}
