package report

import (
	"cmp"
	"strings"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/validate"
)

// Annotations are the remarks that a platform shows beside files: the error of the run, then everything that failed, then
// everything that was warned of. Package ci escapes and counts them.
func Annotations(d *Document) []ci.Annotation {
	var out []ci.Annotation
	if e := d.Error; e != nil {
		out = append(out, ci.Annotation{Level: ci.Error, Code: e.Reason, Title: "certstamp " + d.Command + ": " + e.Reason, Message: sentence(e.Message, e.Hint)})
	}
	for i := range d.Stamps {
		s := &d.Stamps[i]
		for _, c := range s.Certificates {
			out = append(out, remarks(c.Tests, s.Stamp+" "+cmp.Or(c.Folder, c.File), c.Path)...)
		}
		out = append(out, remarks(s.Set, s.Stamp, s.File)...)
		out = append(out, remarks(s.Findings, s.Stamp, s.File)...)
	}
	return out
}

func remarks(list []validate.Finding, about, file string) []ci.Annotation {
	var out []ci.Annotation
	for _, f := range list {
		level := ci.Error
		switch f.Result {
		case validate.Fail:
		case validate.Warning:
			level = ci.Warning
		default:
			continue
		}
		var say []string
		for _, p := range parts(f) {
			say = append(say, p.name+" "+p.text)
		}
		out = append(out, ci.Annotation{Level: level, Code: f.ID, Title: f.Name + ": " + about, File: file, Message: sentence(say...)})
	}
	return out
}

func sentence(list ...string) string {
	var out []string
	for _, s := range list {
		if s = strings.ReplaceAll(strings.TrimSpace(s), "\n", "; "); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, "; ")
}
