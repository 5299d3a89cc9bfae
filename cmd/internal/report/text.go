package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

// Text writes d for a person at a terminal. Certificates come in the ReadinessChecker's layout, which operators know.
func Text(w io.Writer, d *Document) error {
	b := bufio.NewWriter(w)
	t := texter{b}
	for i := range d.Stamps {
		if i > 0 {
			t.line("")
		}
		t.stamp(d, &d.Stamps[i])
	}
	if d.Matrix != nil {
		m, err := json.Marshal(d.Matrix)
		if err != nil {
			return err
		}
		t.line("%s", string(m))
	}
	t.rules(d.Rules)
	for _, c := range d.Cmdlets {
		there := ""
		if c.There != "" {
			there = fmt.Sprintf("%-4s", c.There)
		}
		t.line("%-32s %s%-24s %s", c.Name, there, c.Use, c.Parameters)
	}
	for _, r := range d.Records {
		if d.Streamed {
			break
		}
		t.line("%s: %v", r.Stream, fmt.Sprint(r.Value))
	}
	for _, f := range d.Files {
		t.line("wrote %s", f)
	}
	if d.Next != "" {
		t.line("next: %s", d.Next)
	}
	return b.Flush()
}

// besides is what a command says of no stamp in particular, as text; without anything else to say it names the tool.
func besides(d *Document) (string, error) {
	c := Document{Matrix: d.Matrix, Rules: d.Rules, Cmdlets: d.Cmdlets, Records: d.Records}
	var b strings.Builder
	err := Text(&b, &c)
	if b.Len() == 0 && len(d.Stamps)+len(d.Files) == 0 && d.Error == nil {
		texter{&b}.line("certstamp %s", d.Tool)
	}
	return b.String(), err
}

type texter struct{ w io.Writer }

// line writes one line. Every text in it is foreign until proven otherwise, so all of them are made harmless here and none elsewhere.
func (t texter) line(format string, args ...any) {
	for i, a := range args {
		if v := reflect.ValueOf(a); v.Kind() == reflect.String {
			args[i] = ci.Text(v.String())
		}
	}
	_, _ = fmt.Fprintf(t.w, format+"\n", args...)
}

func (t texter) stamp(d *Document, s *Stamp) {
	mark := ""
	if s.Simulated {
		mark = " (SIMULATED)"
	}
	if s.Target != nil {
		t.line("%s%s", s.Stamp, mark)
		for l := range strings.Lines(s.Target.Text) {
			t.line("  %s", strings.TrimSuffix(l, "\n"))
		}
		t.line("target sha256: %s", s.Target.SHA256)
		return
	}
	if len(s.Certificates) > 0 || len(s.Set) > 0 {
		name := s.Stamp
		if s.Type != "" {
			name += " " + s.Type
		}
		t.line("certstamp %s %s: %s%s", d.Command, d.Tool, name, mark)
		t.certificates(s)
	}
	switch {
	case s.Plan != nil && d.madePlan():
		t.plan(s.Plan, s.PlanSHA256)
	case s.Intent != nil:
		t.intent(s.Intent)
	case s.PlanSHA256 != "":
		t.line("%s%s: plan sha256 %s", s.Stamp, mark, s.PlanSHA256)
	case len(s.Facts) > 0 || len(s.Endpoints) > 0 || len(s.Compared) > 0 || len(s.Expiries) > 0 || d.Command == "expiry":
		t.line("%s%s", s.Stamp, mark)
	}
	for _, f := range s.Facts {
		t.line("%-22s %s", f.Name+":", f.Value)
	}
	t.compared(s.Compared)
	for _, st := range s.Steps {
		took := ""
		if st.Seconds > 0 {
			took = fmt.Sprintf(" (%ds)", st.Seconds)
		}
		detail := ""
		if st.Detail != "" {
			detail = ": " + st.Detail
		}
		t.line("  %s%-9s %s%s%s", strings.Repeat("  ", st.Depth), st.State, st.Name, took, detail)
	}
	for _, e := range s.Endpoints {
		detail := ""
		if e.Detail != "" {
			detail = ": " + e.Detail
		}
		t.line("  %-12s %-24s %s%s", e.Verdict, e.Endpoint, e.Host, detail)
	}
	t.expiries(s.Expiries)
	for _, h := range s.Health {
		if h.Before == "" {
			t.line("  %-5s %s", h.After, h.Test)
			continue
		}
		t.line("  %-5s %s (before: %s)", h.After, h.Test, h.Before)
	}
	t.findings(s.Findings, "")
	for _, e := range s.Errors {
		t.line("  the stamp says:")
		for l := range strings.Lines(e) {
			t.line("    %s", strings.TrimRight(l, "\r\n"))
		}
	}
	if s.Message != "" {
		t.line("%s", s.Message)
	}
	if s.Next != "" {
		t.line("next: %s", s.Next)
	}
}

// compared prints a table: chains are long, hence two lines for a fact that changed, and one for a fact that did not.
func (t texter) compared(list []Comparison) {
	for _, c := range list {
		if c.Before == c.After {
			t.line("  %-16s %s", c.Fact, c.Before)
			continue
		}
		t.line("  %-16s before: %s", c.Fact, c.Before)
		t.line("  %-16s after:  %s", "", c.After)
	}
}

func (t texter) certificates(s *Stamp) {
	for _, c := range s.Certificates {
		t.line("Testing: %s\\%s", c.Folder, c.File)
		t.line("Thumbprint: %s", MaskThumbprint(c.Thumbprint))
		t.tests(c.Tests)
	}
	if len(s.Set) > 0 {
		t.line("Testing: the set")
		t.tests(s.Set)
	}
	whole := ""
	if s.Complete != nil && !*s.Complete {
		whole = ", incomplete: a required test was skipped"
	}
	t.line("verdict: %s%s", s.Verdict, whole)
}

// tests prints every result first, as operators know it, and below what there is to say about some.
func (t texter) tests(list []validate.Finding) {
	for _, f := range list {
		t.line("\t%s: %s", f.Name, f.Result)
	}
	t.findings(list, "\t")
}

func (t texter) findings(list []validate.Finding, indent string) {
	head := false
	for _, f := range list {
		if f.Result == validate.OK || f.Found == "" && f.Wanted == "" && f.Hint == "" {
			continue
		}
		if !head {
			t.line("%sDetails:", indent)
			head = true
		}
		t.line("%s[%s] %s", indent, f.Result, f.Name)
		for _, p := range parts(f) {
			t.line("%s    %-8s %s", indent, p.name+":", p.text)
		}
	}
}

// plan prints what a reviewer reads: what is vouched for first, then what will happen and why.
func (t texter) plan(p *plan.Plan, digest string) {
	sim := ""
	if p.Simulated {
		sim = "SIMULATED "
	}
	t.line("%splan %s for %s (%s.%s, %s, %s)", sim, p.Kind, p.Stamp.Name, p.Stamp.Region, p.Stamp.FQDN, p.Stamp.Identity, p.Stamp.Version)
	for _, a := range p.Asserted {
		t.line("  ASSERTED %s = %s: %s", a.What, a.Value, a.Reason)
	}
	t.line("  from %s at %s, as of %s, valid until %s", p.Repository, p.Commit, p.AsOf, p.ValidUntil)
	t.line("  target %s", p.Stamp.TargetDigest)
	for _, n := range p.Notices {
		t.line("  NOTICE %s", n)
	}
	before := map[string]plan.Observed{}
	for _, o := range p.Observed {
		before[o.Endpoint] = o
	}
	for _, c := range p.Certificates {
		was := "not reached"
		if o := before[c.Endpoint]; o.LeafSHA256 != "" {
			was = short(o.LeafSHA256) + " until " + day(o.NotAfter)
			if o.LeafSHA256 == c.LeafSHA256 {
				was = "the same"
			}
		}
		t.line("  %-24s %s until %s (serves now: %s)", c.Folder, short(c.LeafSHA256), day(c.NotAfter), was)
	}
	for _, tr := range p.Transitions {
		if tr.Decision != "ok" {
			t.line("  CA %s: %s to %s: %s", tr.Endpoint, tr.From, tr.To, tr.Decision)
		}
	}
	for i, s := range p.Steps {
		t.step(i+1, s)
		t.line("       before: %s", s.Before)
		t.line("       after:  %s", s.After)
	}
	if digest != "" {
		t.line("plan sha256: %s", digest)
	}
}

// intent prints what is known of a plan that nobody has made.
func (t texter) intent(p *plan.Plan) {
	sim := ""
	if p.Simulated {
		sim = "SIMULATED "
	}
	t.line("%sintent: a plan %s for %s (%s.%s, %s, %s)", sim, p.Kind, p.Stamp.Name, p.Stamp.Region, p.Stamp.FQDN, p.Stamp.Identity, p.Stamp.Version)
	for _, a := range p.Asserted {
		t.line("  ASSERTED %s = %s: %s", a.What, a.Value, a.Reason)
	}
	for _, n := range p.Notices {
		t.line("  NOTICE %s", n)
	}
	for i, s := range p.Steps {
		t.step(i+1, s)
	}
}

func (t texter) step(n int, s plan.Step) {
	mark := "reads  "
	if s.Changes {
		mark = "CHANGES"
	}
	t.line("  %d. %s %s: %s", n, mark, s.ID, s.Action)
	t.line("       why: %s", s.Reason)
}

// MaskThumbprint shows the first and last six digits, as the ReadinessChecker does.
func MaskThumbprint(s string) string {
	if len(s) < 13 {
		return strings.Repeat("*", len(s))
	}
	return s[:6] + strings.Repeat("*", len(s)-12) + s[len(s)-6:]
}

func short(digest string) string {
	if len(digest) < 12 {
		return digest
	}
	return digest[:12]
}
