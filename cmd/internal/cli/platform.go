package cli

import (
	"encoding/json"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/cmd/internal/report"
)

// results are the words for exit codes that the output result has.
var results = map[int]string{
	exitDone: "done", exitRefused: "refused", exitUsage: "usage", exitEnvironment: "environment", exitFailed: "failed",
	exitUnknown: "unknown", exitPartly: "partly", exitBug: "bug", exitInterrupted: "interrupted",
}

// stampName is what may stand in a matrix, an environment's name and an artifact's.
var stampName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`) })

// output is one value for later steps.
type output struct{ name, value string }

// outputs tells later steps what was made. Paths are absolute: a later step may run in another directory.
func (a *app) outputs() error {
	if a.emitter.Platform == ci.Plain || a.doc.Command == "" {
		return nil
	}
	names := []string{}
	var plans []*report.Stamp
	for i := range a.doc.Stamps {
		s := &a.doc.Stamps[i]
		if stampName().MatchString(s.Stamp) && (len(names) == 0 || names[len(names)-1] != s.Stamp) {
			names = append(names, s.Stamp)
		}
		if s.Plan != nil && s.PlanFile != "" && a.doc.Command == "plan" {
			plans = append(plans, s)
		}
	}
	list := a.made
	if len(names) > 0 && !slices.ContainsFunc(list, func(o output) bool { return o.name == "stamps" }) {
		b, err := json.Marshal(names)
		if err != nil {
			return err
		}
		list = append(list, output{"stamps", string(b)})
	}
	if len(plans) == 1 && len(a.doc.Stamps) == 1 {
		list = append(list, output{"plan", a.path(plans[0].PlanFile)}, output{"plan-sha256", plans[0].PlanSHA256})
	}
	if f := firstReport(a.formats); f != "" {
		list = append(list, output{"report", a.path(f)})
	}
	for _, o := range list {
		if err := a.emitter.Output(o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// firstReport is the file of the first JSON report, else of the first report.
func firstReport(formats []string) string {
	first := ""
	for _, f := range formats {
		name, file, ok := strings.Cut(f, "=")
		switch {
		case !ok:
		case name == "json":
			return file
		case first == "":
			first = file
		}
	}
	return first
}

// tell gives the platform what it shows beside the log: the exit code, remarks and a page. None of it is worth an exit code
// of its own, so what cannot be told is only said.
func (a *app) tell(code int) {
	if a.emitter.Platform == ci.Plain {
		return
	}
	a.ended(code)
	list := report.Annotations(a.doc)
	prefix := a.insideWorkspace()
	for i := range list {
		if list[i].File != "" {
			list[i].File = path.Join(prefix, list[i].File)
		}
	}
	a.emitter.Annotate(list)
	if len(a.doc.Stamps) == 0 && a.doc.Error == nil {
		return
	}
	var b strings.Builder
	w := &ci.Redacting{W: &b, Redact: a.redactor}
	if report.Write(w, "markdown", report.Redacted(a.doc, a.redactor.Redact)) != nil || w.Close() != nil {
		return // a Builder takes everything
	}
	if err := a.emitter.Summary(b.String()); err != nil {
		a.progress("certstamp: %v", err)
	}
}

// ended sets the two outputs that every run has, however it ended.
func (a *app) ended(code int) {
	for _, o := range [][2]string{{"result", results[code]}, {"exit-code", strconv.Itoa(code)}} {
		if err := a.emitter.Output(o[0], o[1]); err != nil {
			a.progress("certstamp: %v", err)
		}
	}
}

// insideWorkspace is where the repository lies in the checkout that the platform knows.
func (a *app) insideWorkspace() string {
	workspace := a.env.Getenv("GITHUB_WORKSPACE")
	if a.emitter.Platform == ci.Azure {
		workspace = a.env.Getenv("BUILD_SOURCESDIRECTORY")
	}
	if workspace == "" || a.repo == nil {
		return ""
	}
	rel, err := filepath.Rel(workspace, a.repo.Dir())
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}
