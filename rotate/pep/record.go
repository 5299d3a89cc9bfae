package pep

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Kind is the stream a record came on.
type Kind string

// The kinds of record.
const (
	OutputRecord      Kind = "output"
	ErrorKind         Kind = "error"
	WarningRecord     Kind = "warning"
	VerboseRecord     Kind = "verbose"
	DebugRecord       Kind = "debug"
	InformationRecord Kind = "information"
	ProgressRecord    Kind = "progress"
	UnreadableRecord  Kind = "unreadable"
)

// Record is one thing a cmdlet said. Text is foreign: quote or escape it for its sink.
type Record struct {
	Kind    Kind         `json:"kind"`
	Text    string       `json:"text"`
	Percent int          `json:"percent,omitempty"` // of a progress record; -1 unknown
	Error   *ErrorRecord `json:"error,omitempty"`
	// Object is what the text does not keep, as JSON says it: the value of an output that is no text, the parts of a progress
	// or information record. Bounded, and secure strings only as [redacted].
	Object any `json:"-"`
}

// ErrorRecord is an error as the stamp describes it, whole.
type ErrorRecord struct {
	Message           string `json:"message"`
	ID                string `json:"id,omitempty"` // FullyQualifiedErrorId
	Category          int    `json:"category,omitempty"`
	Exception         string `json:"exception,omitempty"`
	Activity          string `json:"activity,omitempty"`
	Reason            string `json:"reason,omitempty"`
	TargetName        string `json:"targetName,omitempty"`
	TargetType        string `json:"targetType,omitempty"`
	RecommendedAction string `json:"recommendedAction,omitempty"`
	StackTrace        string `json:"stackTrace,omitempty"`
}

const (
	maxText  = 16 << 10 // of a record, bytes
	maxError = 64 << 10 // of one field of an error, bytes
)

func recordOf(r psrp.Record) Record {
	switch x := r.(type) {
	case psrp.Output:
		r := Record{Kind: OutputRecord, Text: cut(clixml.Text(x.Value), maxText)}
		if _, isText := x.Value.(string); !isText {
			r.Object = plain(x.Value)
		}
		return r
	case psrp.ErrorRecord:
		e := errorOf(x)
		return Record{Kind: ErrorKind, Text: cut(e.Message, maxText), Error: &e}
	case psrp.Warning:
		return Record{Kind: WarningRecord, Text: cut(x.Text, maxText)}
	case psrp.Verbose:
		return Record{Kind: VerboseRecord, Text: cut(x.Text, maxText)}
	case psrp.Debug:
		return Record{Kind: DebugRecord, Text: cut(x.Text, maxText)}
	case psrp.Information:
		i := informationParts{Source: cut(x.Source, maxText)}
		for _, tag := range x.Tags[:min(len(x.Tags), 64)] {
			i.Tags = append(i.Tags, cut(tag, 512))
		}
		if !x.Time.IsZero() {
			i.Time = x.Time.Format(time.RFC3339Nano)
		}
		return Record{Kind: InformationRecord, Text: cut(x.Text, maxText), Object: i}
	case psrp.Progress:
		text := x.Activity
		for _, more := range []string{x.Status, x.CurrentOperation} {
			if more != "" {
				text += ": " + more
			}
		}
		return Record{Kind: ProgressRecord, Text: cut(text, maxText), Percent: int(x.Percent), Object: progressParts{
			Activity: cut(x.Activity, maxText), Status: cut(x.Status, maxText), Operation: cut(x.CurrentOperation, maxText),
			Percent: int(x.Percent), SecondsLeft: int(x.SecondsLeft), Completed: x.Completed,
		}}
	case psrp.Unreadable:
		return Record{Kind: UnreadableRecord, Text: fmt.Sprintf("a message of type %v does not decode: %v", x.Type, x.Err)}
	}
	return Record{Kind: UnreadableRecord, Text: fmt.Sprintf("a record of unknown kind %T", r)}
}

// Size is about what a record holds, in bytes. A small message can make a large record, by naming one text many times.
func (r Record) Size() int {
	w := 256 + len(r.Text) + plainWeight(r.Object)
	if e := r.Error; e != nil {
		for _, text := range []string{e.Message, e.ID, e.Exception, e.Activity, e.Reason, e.TargetName, e.TargetType, e.RecommendedAction, e.StackTrace} {
			w += len(text)
		}
	}
	return w
}

func errorOf(e psrp.ErrorRecord) ErrorRecord {
	return ErrorRecord{
		Message: cut(e.Message, maxError), ID: cut(e.ID, maxError), Category: int(e.Category),
		Exception: cut(e.Exception, maxError), Activity: cut(e.Activity, maxError), Reason: cut(e.Reason, maxError),
		TargetName: cut(e.TargetName, maxError), TargetType: cut(e.TargetType, maxError),
		RecommendedAction: cut(e.RecommendedAction, maxError), StackTrace: cut(e.StackTrace, maxError),
	}
}

// Hint explains errors whose text misleads, from the documents and from what users reported.
func (e ErrorRecord) Hint() string {
	for _, known := range [...]struct{ part, hint string }{
		{"ParameterArgumentValidationErrorNullNotAllowed,Test-Certificate", "the folders on the share are wrong, not the access to it: run stage --check (Certificates, then AAD or ADFS, then one folder per endpoint)"},
		{"Invalid folder structure", "the share holds folders too many or too few: run stage --check"},
		{"should end with Certificates", `the path given to the stamp ends in \Certificates, without AAD or ADFS: plan again`},
		{"password for the certificate is not correct", "every PFX of the set needs the one planned password: run validate"},
		{"ScriptsNotAllowed", "the endpoint takes cmdlets only; this is a bug of certstamp, report it"},
	} {
		if strings.Contains(e.ID, known.part) || strings.Contains(e.Message, known.part) {
			return known.hint
		}
	}
	return e.RecommendedAction
}

func (e ErrorRecord) notFound() bool {
	return strings.HasPrefix(e.ID, "CommandNotFoundException") || strings.HasPrefix(e.ID, "NamedParameterNotFound")
}

// cut shortens text to at most n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
