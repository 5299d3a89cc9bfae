// Package report renders what a command found or did. Each format is one file and escapes for its own sink: a subject is
// foreign text in a terminal, in JSON, in XML, in Markdown, in HTML.
//
// A Document is the source of all formats. JSON is its stable, versioned form; text is for people; HTML is one
// self-contained file without scripts that can be kept with a change record; JUnit, SARIF and Markdown are what pipelines
// show as test results, code scanning alerts and step summaries.
package report

import (
	"fmt"
	"io"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

// SchemaVersion is the version of the JSON document. Fields are added, never renamed.
const SchemaVersion = 1

// Document is what one command says.
type Document struct {
	SchemaVersion int                    `json:"schemaVersion"`
	Command       string                 `json:"command"`
	Tool          string                 `json:"tool"`
	PolicyDigest  string                 `json:"policyDigest,omitempty"`
	AsOf          string                 `json:"asOf,omitempty"`
	Verdict       validate.Verdict       `json:"verdict,omitempty"`
	Complete      *bool                  `json:"complete,omitempty"`
	Stamps        []Stamp                `json:"stamps,omitempty"`
	Matrix        *Matrix                `json:"matrix,omitempty"` // the jobs that a pipeline makes of the stamps
	Rules         []validate.Explanation `json:"rules,omitempty"`
	Records       []Record               `json:"records,omitempty"`
	LeftOut       int                    `json:"recordsLeftOut,omitempty"` // records that came after as many bytes of them as a document holds
	Cmdlets       []Cmdlet               `json:"cmdlets,omitempty"`
	Streamed      bool                   `json:"-"`               // the records were printed as they came
	Files         []string               `json:"files,omitempty"` // what the command wrote
	Next          string                 `json:"next,omitempty"`  // the exact next command
	Error         *Error                 `json:"error,omitempty"`
}

// madePlan reports whether the plans in the document are what the command made. Other commands worked from theirs: a person at
// a terminal has read it by then, and needs its digest; JSON and HTML, which are kept, have it whole.
func (d *Document) madePlan() bool { return d.Command == "plan" }

// Stamp is what one command says of one stamp. Only the parts that the command has are there.
type Stamp struct {
	Stamp        string             `json:"stamp"`
	Type         string             `json:"type,omitempty"` // of the certificates; empty: those that a rotation takes
	File         string             `json:"file,omitempty"` // stamp.yaml, as a path in the repository
	Simulated    bool               `json:"simulated"`
	Verdict      validate.Verdict   `json:"verdict,omitempty"`
	Complete     *bool              `json:"complete,omitempty"`
	Certificates []Certificate      `json:"certificates,omitempty"`
	Set          []validate.Finding `json:"set,omitempty"`

	Target     *Target            `json:"target,omitempty"`
	PlanSHA256 string             `json:"planSha256,omitempty"`
	PlanFile   string             `json:"planFile,omitempty"`
	Intent     *plan.Plan         `json:"intent,omitempty"` // what a plan would be, without sections: nobody can act on it
	Plan       *plan.Plan         `json:"plan,omitempty"`   // that was made, or that the command worked from
	Findings   []validate.Finding `json:"findings,omitempty"`
	Outcome    string             `json:"outcome,omitempty"` // one word: published, success, failed, unknown, ...
	Message    string             `json:"message,omitempty"` // one sentence
	Steps      []Step             `json:"steps,omitempty"`
	Endpoints  []Endpoint         `json:"endpoints,omitempty"`
	Expiries   []Expiry           `json:"expiries,omitempty"` // first to end first; what gave no certificate before that
	Health     []Health           `json:"health,omitempty"`
	Errors     []string           `json:"errors,omitempty"` // the stamp's own error records, whole
	Facts      []Fact             `json:"facts,omitempty"`
	Compared   []Comparison       `json:"compared,omitempty"` // what was, and what a command made of it
	Next       string             `json:"next,omitempty"`
}

// Certificate is the judgement over one file, and where the file lies.
type Certificate struct {
	validate.CertificateReport
	Path string `json:"path,omitempty"` // in the repository
}

// Matrix is what GitHub makes jobs of: fromJSON takes it as it is.
type Matrix struct {
	Include []MatrixJob `json:"include"`
}

// MatrixJob is the work on one stamp. Every text in it is of letters, digits, dots, hyphens and underscores, but for Path.
type MatrixJob struct {
	Stamp  string   `json:"stamp"`
	Path   string   `json:"path"`   // the stamp's folder in the repository
	Runner []string `json:"runner"` // labels
}

// Target is what a run may send credentials to.
type Target struct {
	SHA256 string `json:"sha256"`
	Text   string `json:"text"`
}

// Step is one thing done, with its time. Seconds is rounded; Started is RFC 3339.
type Step struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Detail  string `json:"detail,omitempty"`
	Started string `json:"started,omitempty"`
	Seconds int    `json:"seconds,omitempty"`
	Depth   int    `json:"depth,omitempty"` // of nested steps of the stamp's own action plan
}

// Endpoint is what one endpoint serves, against what was planned.
type Endpoint struct {
	Endpoint   string `json:"endpoint"`
	Host       string `json:"host"`
	Verdict    string `json:"verdict"` // planned, previous, mixed, foreign, unreachable; served when no plan is at hand
	LeafSHA256 string `json:"leafSha256,omitempty"`
	Before     string `json:"before,omitempty"` // notAfter of the certificate it served, or serves when there is no plan, RFC 3339
	After      string `json:"after,omitempty"`  // notAfter of the planned one
	Detail     string `json:"detail,omitempty"`
}

// Health is one health test before and after.
type Health struct {
	Test   string `json:"test"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Fact is a line of a status: a name and what is so.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Comparison is one fact of a file before and after a command.
type Comparison struct {
	Fact   string `json:"fact"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Record is one record of a cmdlet's streams.
type Record struct {
	Stream string `json:"stream"`
	Value  any    `json:"value"`            // as text
	Object any    `json:"object,omitempty"` // what the text does not keep: an output that is no text, parts of progress and information
	Detail string `json:"detail,omitempty"` // of an error record: everything the endpoint said of it
}

// Cmdlet is one cmdlet of an endpoint and what may be done with it.
type Cmdlet struct {
	Name       string `json:"name"`
	Use        string `json:"use"`             // read-only, needs --unplanned, refused, not in certstamp's table
	There      string `json:"there,omitempty"` // yes or no; empty when no endpoint was asked
	Parameters string `json:"parameters,omitempty"`
	Source     string `json:"source,omitempty"`
}

// Error is the one error of a run.
type Error struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"` // stable word
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Formats are the names --format takes.
var Formats = []string{"text", "json", "junit", "sarif", "markdown", "html"}

// Write renders d in a format.
func Write(w io.Writer, format string, d *Document) error {
	switch format {
	case "text":
		return Text(w, d)
	case "json":
		return JSON(w, d)
	case "junit":
		return JUnit(w, d)
	case "sarif":
		return SARIF(w, d)
	case "markdown":
		return Markdown(w, d)
	case "html":
		return HTML(w, []*Document{d}, "certstamp "+d.Command)
	}
	return fmt.Errorf("format %q is not one of %v", format, Formats)
}

// day shows a date where the hour does not matter.
func day(rfc3339 string) string {
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return rfc3339
	}
	return t.UTC().Format("2006-01-02")
}
