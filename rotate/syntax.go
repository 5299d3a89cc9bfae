package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

const otherRelease = "the stamp's release differs from the plan's version: correct it and plan again"

// otherSyntax asks for every cmdlet that a run will use beside the start, and holds all that is described against the
// documents. It asks about each cmdlet once, and once for the list of them all.
func (m *machine) otherSyntax(ctx context.Context) error {
	r := m.j.Rotate
	calls := []plan.Call{
		{Cmdlet: "Get-AzureStackStampInformation"},
		{Cmdlet: "Get-ActionStatus", Parameters: []plan.Parameter{{Name: "FunctionName"}}},
	}
	if r.UpdateCheck {
		calls = append(calls, plan.Call{Cmdlet: "Get-AzureStackUpdateStatus", Parameters: []plan.Parameter{{Name: "StatusOnly"}}})
	}
	for _, h := range r.Health {
		calls = append(calls, h.Call)
	}
	if r.Transcripts != nil {
		calls = append(calls, *r.Transcripts)
	}
	for _, call := range calls {
		y, err := m.describe(ctx, call.Cmdlet)
		if err != nil {
			return err
		}
		f := validate.Finding{ID: "cmdlet-syntax", Name: "Cmdlet Syntax", Result: validate.OK, Source: "PEPREF"}
		missing := y.Missing(call)
		switch {
		case !y.Known:
			f.Result, f.Found = validate.Warning, "the endpoint does not describe "+call.Cmdlet
		case len(missing) > 0:
			f.Result, f.Found = validate.Fail, fmt.Sprintf("%s does not take -%s", call.Cmdlet, strings.Join(missing, ", -"))
			f.Wanted, f.Hint = "the parameters that certstamp sends", otherRelease
		}
		m.found(f)
	}
	for _, ask := range []func(context.Context) error{m.rerunSyntax, m.bmcSyntax, m.documented} {
		if err := ask(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rerunSyntax looks ahead to the day on which the rotation has failed. A rotation that could not be rerun may start all the
// same: whoever starts it should know.
func (m *machine) rerunSyntax(ctx context.Context) error {
	rerun := m.j.Documented.Rerun
	if rerun == nil {
		return nil
	}
	y, err := m.describe(ctx, rerun.Cmdlet)
	if err != nil || !y.Known { // the start's own finding says so
		return err
	}
	f := validate.Finding{ID: "cmdlet-syntax", Name: "Cmdlet Syntax", Result: validate.OK, Source: "PEPREF"}
	if missing := y.Missing(*rerun); len(missing) > 0 {
		f.Result, f.Found = validate.Warning, fmt.Sprintf("%s does not take -%s, which a rerun of this rotation needs", rerun.Cmdlet, strings.Join(missing, ", -"))
		f.Wanted, f.Hint = rerun.Text(), "ask support how a failed rotation is repeated on this release, before you start one"
	}
	m.found(f)
	return nil
}

// bmcSyntax says which cmdlet changes the BMC credential here: the release in which it got its other name is in no document.
// The others are asked for only while none is found. The plan does not use it, so it fails nothing.
func (m *machine) bmcSyntax(ctx context.Context) error {
	const name = "BMC credential"
	for i, cmdlet := range m.j.Documented.BMC {
		y, err := m.describe(ctx, cmdlet)
		switch {
		case err != nil:
			return m.aside(name, err)
		case !y.Known:
			continue
		case i > 0:
			m.fact(name, "the endpoint has %s, and not %s, which the documents have for this release", cmdlet, m.j.Documented.BMC[0])
		default:
			m.fact(name, "the endpoint has %s, which takes %s", cmdlet, dashed(y.Parameters))
		}
		return nil
	}
	if len(m.j.Documented.BMC) > 0 {
		m.fact(name, "the endpoint describes none of %s", listed(m.j.Documented.BMC))
	}
	return nil
}

// documented says where the endpoint and the documents differ, in both directions. The table spans releases, so a difference
// is worth knowing and no failure.
func (m *machine) documented(ctx context.Context) error {
	table := m.j.Documented.Cmdlets
	if len(table) == 0 {
		return nil
	}
	has, err := m.ep.Commands(ctx)
	if err != nil {
		return m.aside("which cmdlets there are", err)
	}
	var lacks []string
	for _, c := range table {
		if !hasFold(has, c.Cmdlet) {
			lacks = append(lacks, c.Cmdlet)
		}
		y, asked := m.described[c.Cmdlet]
		if !asked || !y.Known {
			continue
		}
		less, more := y.Compare(c)
		if len(less) > 0 {
			m.fact(c.Cmdlet, "lacks %s of certstamp's table", dashed(less))
		}
		if len(more) > 0 {
			m.fact(c.Cmdlet, "also takes %s, which certstamp's table does not have", dashed(more))
		}
	}
	more := 0
	for _, name := range has {
		if !slices.ContainsFunc(table, func(c plan.Call) bool { return strings.EqualFold(c.Cmdlet, name) }) {
			more++
		}
	}
	m.fact("cmdlets", "of certstamp's table the endpoint lacks %s; it has %d that the table does not (certstamp pep --list names them)", listed(lacks), more)
	m.fact("asked for their syntax", "%d cmdlets, one question each, and one for the list", len(m.described))
	return nil
}

// aside keeps a question whose answer is information from failing anything: what the stamp does not answer is not known. Only
// a login that is lost ends the look.
func (m *machine) aside(what string, err error) error {
	var failed *pep.CommandError
	if errors.As(err, &failed) || errors.Is(err, pep.ErrNoAnswer) {
		m.unknown("%s: %v", what, err)
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// hostSyntax compares what the hosts said of the start. A run logs in to the first one that answers, which on the day may be
// another than today.
func (m *machine) hostSyntax(hosts []pep.HostCheck) {
	calls := []plan.Call{m.j.Rotate.Start}
	if rerun := m.j.Documented.Rerun; rerun != nil {
		calls = append(calls, *rerun)
	}
	var first *pep.HostCheck
	same := true
	for i, h := range hosts {
		switch {
		case h.Err != nil:
			continue
		case h.Unasked != nil:
			m.unknown("the syntax of %s at %q: %v", m.j.Rotate.Start.Cmdlet, h.Host, h.Unasked)
			continue
		case first == nil:
			first = &hosts[i]
		default:
			same = same && alike(first.Syntax, h.Syntax)
		}
	}
	if same {
		return
	}
	for _, h := range hosts {
		if h.Err != nil || h.Unasked != nil {
			continue
		}
		f := validate.Finding{
			ID: "cmdlet-syntax", Name: "Cmdlet Syntax", Result: validate.Warning, Source: "PEPREF", Wanted: "the same syntax at every host",
			Hint: "find out whether an update is half done on the stamp before the window: the start goes to the first host that answers",
		}
		if !h.Syntax.Known {
			f.Found = fmt.Sprintf("%q does not describe %s, unlike another host", h.Host, m.j.Rotate.Start.Cmdlet)
			m.found(f)
			continue
		}
		m.fact(m.j.Rotate.Start.Cmdlet+" at "+h.Host, "takes %s", dashed(h.Syntax.Parameters))
		var missing []string
		for _, call := range calls {
			for _, name := range h.Syntax.Missing(call) {
				if !hasFold(missing, name) {
					missing = append(missing, name)
				}
			}
		}
		if len(missing) > 0 {
			f.Found = fmt.Sprintf("%q: %s does not take %s, and the hosts differ in what it takes", h.Host, m.j.Rotate.Start.Cmdlet, dashed(missing))
			m.found(f)
		}
	}
}

// alike compares without order and case: both may come from one help text that was written twice.
func alike(a, b pep.Syntax) bool {
	within := func(a, b pep.Syntax) bool {
		return !slices.ContainsFunc(a.Parameters, func(name string) bool { return !b.Has(name) })
	}
	return a.Known == b.Known && within(a, b) && within(b, a)
}

func hasFold(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

func dashed(names []string) string {
	if len(names) == 0 {
		return "no parameter"
	}
	return "-" + strings.Join(names, ", -")
}
