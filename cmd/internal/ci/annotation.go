package ci

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"
)

// Level is how bad an annotation is. The worst comes first.
type Level int

// Azure knows no notices; there they stay in the log.
const (
	Error Level = iota
	Warning
	Notice
)

func (l Level) String() string { return [...]string{"error", "warning", "notice"}[l] }

// Annotation is one remark beside a file or a run.
type Annotation struct {
	Level   Level
	Code    string // a stable word
	Title   string
	File    string // relative to the workspace, with slashes; empty: none
	Line    int
	Message string
}

// Both platforms show the first ten of a level in a step and drop the rest without a word, and GitHub cuts a message.
const (
	maxAnnotations = 10
	maxMessage     = 4000
)

// Annotate shows remarks, the worst first. Where there are more than the platform shows, the last place says how many.
func (e *Emitter) Annotate(list []Annotation) {
	if e.Platform != GitHub && e.Platform != Azure {
		return
	}
	byLevel := map[Level][]Annotation{}
	for _, a := range list {
		byLevel[a.Level] = append(byLevel[a.Level], a)
	}
	for _, l := range []Level{Error, Warning, Notice} {
		shown := byLevel[l]
		if left := len(shown) - maxAnnotations; left > 0 {
			shown = append(slices.Clone(shown[:maxAnnotations-1]), Annotation{
				Level: l, Code: "more", Title: "more of these", Message: fmt.Sprintf("%d more of level %s: see the reports and the summary", left+1, l),
			})
		}
		for _, a := range shown {
			e.annotate(a)
		}
	}
}

func (e *Emitter) annotate(a Annotation) {
	title, file, message := e.line(a.Title), e.line(a.File), e.line(a.Message)
	if message == "" {
		message = "no message"
	}
	switch e.Platform {
	case GitHub:
		properties := githubactions.CommandProperties{}
		if title != "" {
			properties["title"] = title
		}
		if file != "" {
			properties["file"] = file
			properties["line"] = strconv.Itoa(max(a.Line, 1))
		}
		e.github().IssueCommand(&githubactions.Command{Name: a.Level.String(), Message: message, Properties: properties})
	case Azure:
		if a.Level == Notice {
			return
		}
		properties := []property{{"type", a.Level.String()}}
		if file != "" {
			properties = append(properties, property{"sourcepath", file}, property{"linenumber", strconv.Itoa(max(a.Line, 1))}, property{"columnnumber", "1"})
		}
		if code := e.line(a.Code); code != "" {
			properties = append(properties, property{"code", code})
		}
		if title != "" {
			message = Text(title + ": " + message) // two harmless halves
		}
		e.azure("task.logissue", properties, message)
	}
}

// line is foreign text as one harmless line, although it is escaped too: what the platform shows of it is another log.
func (e *Emitter) line(s string) string {
	s = Text(e.Redact.Redact(s))
	if len(s) <= maxMessage {
		return s
	}
	s = s[:maxMessage]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
