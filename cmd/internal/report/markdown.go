package report

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

// GitHub refuses a step summary of more than 1 MiB as a whole, so ours ends before that and says what it left out.
const maxMarkdown = 900 << 10

// Markdown writes a page for step summaries and comments: a table for each stamp, details folded away. Whatever is foreign
// stands in a code span, in an HTML-escaped code element or in a fenced block, where nothing is a link, an image, a mention
// or a tag.
func Markdown(w io.Writer, d *Document) error {
	m := &marker{}
	m.block("%s\n# certstamp %s%s\n", Sticky, code(d.Command), dash(verdictWord(d.Verdict, d.Complete)))
	if e := d.Error; e != nil {
		m.block("\n**%s**: %s\n", code(e.Reason), code(e.Message))
		if e.Hint != "" {
			m.block("\nhint: %s\n", code(e.Hint))
		}
	}
	if len(d.Stamps) > 1 {
		m.overview(d)
	}
	m.gantt(d)
	for i := range d.Stamps {
		m.stamp(d, &d.Stamps[i])
	}
	text, err := besides(d)
	if err != nil {
		return err
	}
	if text != "" {
		m.block("\n%s", fence(strings.Split(strings.TrimSuffix(text, "\n"), "\n")))
	}
	if len(d.Files) > 0 || d.Next != "" {
		m.block("\n")
	}
	for _, f := range d.Files {
		m.block("- wrote %s\n", code(f))
	}
	if d.Next != "" {
		m.block("- next: %s\n", code(d.Next))
	}
	if m.left > 0 {
		// Room for this line was kept.
		fmt.Fprintf(&m.b, "\n> [!WARNING]\n> This page is cut: it lacks %s. The JSON report has everything.\n", amount.Of(m.left, "part"))
	}
	_, err = io.WriteString(w, m.b.String())
	return err
}

type marker struct {
	b    strings.Builder
	left int
}

// block adds one piece that makes sense as a whole, or counts it as left out. After the first that does not fit none does:
// a page with holes would read as a page without.
func (m *marker) block(format string, args ...any) {
	const notice = 256
	text := fmt.Sprintf(format, args...)
	if m.left > 0 || m.b.Len()+len(text) > maxMarkdown-notice {
		m.left++
		return
	}
	m.b.WriteString(text)
}

func (m *marker) overview(d *Document) {
	m.block("\n| stamp | verdict | certificates | first to expire (days left) |\n|---|---|---|---|\n")
	for i := range d.Stamps {
		s := &d.Stamps[i]
		first := ""
		ends := s.ends()
		for _, e := range ends {
			if e.at != "" && (first == "" || e.at < first) {
				first = e.at
			}
		}
		m.block("| %s | %s | %d | %s |\n", code(s.Stamp), orOutcome(s), len(ends), until(first, d.AsOf))
	}
}

func orOutcome(s *Stamp) string {
	if v := verdictWord(s.Verdict, s.Complete); v != "" {
		return v
	}
	return code(s.Outcome)
}

func (m *marker) stamp(d *Document, s *Stamp) {
	simulated := ""
	if s.Simulated {
		simulated = " (SIMULATED)"
	}
	m.block("\n## %s%s%s\n", code(s.Stamp), simulated, dash(orOutcome(s)))
	if s.Message != "" {
		m.block("\n%s\n", code(s.Message))
	}
	if s.Target != nil {
		m.fold("target", s.Target.SHA256, strings.Split(strings.TrimSuffix(s.Target.Text, "\n"), "\n"))
	}
	m.certificates(d, s)
	if s.Plan != nil && d.madePlan() {
		m.plan(s.Plan, s.PlanSHA256)
	}
	if p := s.Intent; p != nil {
		m.block("\nIntent: a plan %s for %s (%s, %s, %s). Nobody can act on it, and its steps may change until the plan is made.\n",
			code(string(p.Kind)), code(p.Stamp.Name), code(p.Stamp.Domain()), code(p.Stamp.Identity), code(p.Stamp.Version))
		m.vouched(p)
		m.steps(p)
	}
	if len(s.Steps) > 0 {
		m.block("\n| step | state | seconds | |\n|---|---|---|---|\n")
	}
	for _, st := range s.Steps {
		m.block("| %s%s | %s | %d | %s |\n", strings.Repeat("&emsp;", st.Depth), code(st.Name), code(st.State), st.Seconds, code(st.Detail))
	}
	if len(s.Endpoints) > 0 {
		m.block("\n| endpoint | host | serves | |\n|---|---|---|---|\n")
	}
	for _, e := range s.Endpoints {
		m.block("| %s | %s | %s | %s |\n", code(e.Endpoint), code(e.Host), code(e.Verdict), code(e.Detail))
	}
	m.expiries(s.Expiries)
	if len(s.Health) > 0 {
		m.block("\n| health test | before | after |\n|---|---|---|\n")
	}
	for _, h := range s.Health {
		m.block("| %s | %s | %s |\n", code(h.Test), code(h.Before), code(h.After))
	}
	if len(s.Facts) > 0 {
		m.block("\n| fact | |\n|---|---|\n")
	}
	for _, f := range s.Facts {
		m.block("| %s | %s |\n", code(f.Name), code(f.Value))
	}
	if len(s.Compared) > 0 {
		m.block("\n| fact | before | after |\n|---|---|---|\n")
	}
	for _, c := range s.Compared {
		m.block("| %s | %s | %s |\n", code(c.Fact), code(c.Before), code(c.After))
	}
	m.details(s.Findings, d.Command)
	for _, e := range s.Errors {
		m.fold("the stamp says", "", strings.Split(strings.TrimSuffix(e, "\n"), "\n"))
	}
	if s.Next != "" {
		m.block("\nnext: %s\n", code(s.Next))
	}
}

func (m *marker) certificates(d *Document, s *Stamp) {
	if len(s.Certificates) > 0 {
		m.block("\n| certificate | verdict | expires (days left) | findings |\n|---|---|---|---|\n")
	}
	for _, c := range s.Certificates {
		m.block("| %s | %s | %s | %s |\n", code(c.Folder+"/"+c.File), verdictWord(c.Verdict, nil), until(c.NotAfter, d.AsOf), names(c.Tests))
	}
	if len(s.Set) > 0 {
		m.block("\nThe set: %s\n", names(s.Set))
	}
	for _, c := range s.Certificates {
		m.details(c.Tests, c.Folder+"/"+c.File)
	}
	m.details(s.Set, "the set")
}

func (m *marker) plan(p *plan.Plan, digest string) {
	m.block("\nPlan %s for %s, valid until %s, sha256 %s\n", code(string(p.Kind)), code(p.Stamp.Name), code(p.ValidUntil), code(digest))
	m.vouched(p)
	if len(p.Certificates) > 0 {
		m.block("\n| folder | leaf | expires (days left) |\n|---|---|---|\n")
	}
	for _, c := range p.Certificates {
		m.block("| %s | %s | %s |\n", code(c.Folder), code(short(c.LeafSHA256)), until(c.NotAfter, p.AsOf))
	}
	m.steps(p)
}

// vouched is what a person vouches for and what users will notice.
func (m *marker) vouched(p *plan.Plan) {
	if len(p.Asserted) > 0 {
		m.block("\n| ASSERTED | is | reason |\n|---|---|---|\n")
	}
	for _, a := range p.Asserted {
		m.block("| %s | %s | %s |\n", code(a.What), code(a.Value), code(a.Reason))
	}
	for _, n := range p.Notices {
		m.block("\n> NOTICE %s\n", code(n))
	}
}

func (m *marker) steps(p *plan.Plan) {
	m.block("\n| | step | changes | what | why |\n|---|---|---|---|---|\n")
	for i, st := range p.Steps {
		changes := ""
		if st.Changes {
			changes = "**yes**"
		}
		m.block("| %d | %s | %s | %s | %s |\n", i+1, code(st.ID), changes, code(st.Action), code(st.Reason))
	}
}

// details folds away what is not OK in a list of findings.
func (m *marker) details(list []validate.Finding, about string) {
	var out []string
	for _, f := range list {
		if f.Result == validate.OK {
			continue
		}
		out = append(out, string(f.Result)+" "+f.Name)
		for _, p := range parts(f) {
			out = append(out, fmt.Sprintf("  %-8s %s", p.name+":", p.text))
		}
	}
	if len(out) > 0 {
		m.fold("findings", about, out)
	}
}

// fence writes lines as they are. A fence can only be closed by a line that begins with it, and each line of ours is indented
// too far for that.
func fence(list []string) string {
	var b strings.Builder
	b.WriteString("~~~text\n")
	for _, l := range list {
		b.WriteString("    " + ci.Text(l) + "\n")
	}
	b.WriteString("~~~\n")
	return b.String()
}

// fold writes lines into a closed details element.
func (m *marker) fold(title, about string, list []string) {
	if about != "" {
		title += ": <code>" + html.EscapeString(ci.Text(about)) + "</code>"
	}
	m.block("\n<details><summary>%s</summary>\n\n%s\n</details>\n", title, fence(list))
}

// names lists the tests that are not OK, or counts those that are.
func names(list []validate.Finding) string {
	var out []string
	for _, f := range list {
		if f.Result != validate.OK {
			out = append(out, fmt.Sprintf("%s %s", mark[f.Result], code(f.Name)))
		}
	}
	if len(out) == 0 {
		return fmt.Sprintf("%d of %d OK", len(list), len(list))
	}
	return strings.Join(out, "<br>")
}

var mark = map[validate.Result]string{validate.Fail: "❌", validate.Warning: "⚠️", validate.Skipped: "⏭️"}

func verdictWord(v validate.Verdict, complete *bool) string {
	word := ""
	switch v {
	case validate.Pass:
		word = "✅ pass"
	case validate.Warn:
		word = "⚠️ warn"
	case validate.FailedOnce:
		word = "❌ fail"
	}
	if word != "" && complete != nil && !*complete {
		word += ", incomplete"
	}
	return word
}

// until is the day something ends and how many days that is away from the day of the judgement.
func until(notAfter, asOf string) string {
	end, err := time.Parse(time.RFC3339, notAfter)
	if err != nil {
		return code(notAfter)
	}
	now, err := time.Parse(time.RFC3339, asOf)
	if err != nil {
		return day(notAfter)
	}
	if end.Before(now) {
		return day(notAfter) + " (**expired**)"
	}
	return fmt.Sprintf("%s (%d)", day(notAfter), end.Sub(now)/(24*time.Hour))
}

func dash(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// code puts foreign text into a code span. Inside one nothing has a meaning but the backtick, and in a table the pipe;
// escapes of either are read differently by different parsers, so both become look-alikes.
func code(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return "`" + strings.NewReplacer("`", "ˋ", "|", "¦").Replace(strings.TrimSpace(ci.Text(s))) + "`"
}
