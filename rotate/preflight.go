package rotate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

func (m *machine) found(list ...validate.Finding) {
	m.out.Findings = append(m.out.Findings, list...)
}

func failing(list []validate.Finding) bool {
	return slices.ContainsFunc(list, func(f validate.Finding) bool { return f.Result == validate.Fail })
}

// guard holds the stamp against the plan. Its error means that the stamp could not be asked.
func (m *machine) guard(ctx context.Context) ([]validate.Finding, error) {
	info, err := m.ep.StampInformation(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the stamp who it is: %w", err)
	}
	m.info = info
	mismatches := pep.Guard(info, m.j.Stamp, m.j.Simulated)
	if len(mismatches) == 0 {
		return []validate.Finding{{ID: "stamp-identity", Name: "Stamp Identity", Result: validate.OK}}, nil
	}
	var out []validate.Finding
	for _, x := range mismatches {
		out = append(out, validate.Finding{ID: x.ID, Name: x.Name, Result: validate.Fail, Found: x.Found, Wanted: x.Wanted, Hint: x.Hint})
	}
	return out, nil
}

// identity looks for evidence of the identity system, and judges it.
func (m *machine) identity(ctx context.Context, list []Judged) validate.Finding {
	evidence := NoIdea
	if m.d.ADFS != nil {
		e, err := m.d.ADFS(ctx)
		if err == nil {
			evidence = e
		}
	}
	if evidence == NoIdea && slices.ContainsFunc(list, func(j Judged) bool { return strings.EqualFold(j.Endpoint, "adfs") && len(j.Leaves) > 0 }) {
		evidence = Present
	}
	return JudgeIdentity(m.j.Stamp.Identity, evidence, m.j.IdentityAsserted)
}

// JudgeIdentity holds the planned identity system against the evidence of an AD FS endpoint, else the plan's
// acknowledgement. It is asked before the set is staged and before the rotation is started.
func JudgeIdentity(identity string, evidence Evidence, asserted bool) validate.Finding {
	f := validate.Finding{ID: "identity-system", Name: "Identity System", Result: validate.OK}
	adfs := strings.EqualFold(identity, "ADFS")
	switch {
	case evidence == Present && !adfs, evidence == Absent && adfs:
		f.Result, f.Found = validate.Fail, "an AD FS endpoint is "+string(evidence)
		f.Wanted = "one that fits identity " + identity
		f.Hint = "correct identity in stamp.yaml and plan again"
	case evidence == NoIdea && !asserted:
		f.Result, f.Found = validate.Fail, "whether there is an AD FS endpoint cannot be seen from here"
		f.Wanted = "evidence for identity " + identity + ", or its acknowledgement in the plan"
		f.Hint = "let this machine resolve the stamp's names, or acknowledge the identity system with plan --identity-known REASON"
	}
	return f
}

func (m *machine) update(ctx context.Context) (validate.Finding, error) {
	f := validate.Finding{ID: "update-state", Name: "Update State", Result: validate.OK, Source: "PEP-2012"}
	if !m.j.Rotate.UpdateCheck {
		return f, nil
	}
	u, err := m.ep.UpdateStatus(ctx)
	if err != nil {
		return f, fmt.Errorf("ask for the state of updates: %w", err)
	}
	switch {
	case !u.Known:
		f.Result, f.Found = validate.Warning, "this release does not tell the state of updates"
	case u.State != pep.Completed:
		f.Result, f.Found, f.Wanted = validate.Fail, fmt.Sprintf("the last update is %q", u.Word), "a completed update, or none"
		f.Hint = "wait for the update, or resume it until it succeeds, before secrets are rotated"
	}
	return f, nil
}

// describe asks for the syntax of a cmdlet, once.
func (m *machine) describe(ctx context.Context, cmdlet string) (pep.Syntax, error) {
	if y, asked := m.described[cmdlet]; asked {
		return y, nil
	}
	y, err := m.ep.CommandSyntax(ctx, cmdlet)
	if err != nil {
		return y, fmt.Errorf("ask for the syntax of %s: %w", cmdlet, err)
	}
	if m.described == nil {
		m.described = map[string]pep.Syntax{}
	}
	m.described[cmdlet] = y
	return y, nil
}

func (m *machine) syntax(ctx context.Context) (validate.Finding, error) {
	f := validate.Finding{ID: "cmdlet-syntax", Name: "Cmdlet Syntax", Result: validate.OK, Source: "PEPREF"}
	y, err := m.describe(ctx, m.j.Rotate.Start.Cmdlet)
	if err != nil {
		return f, err
	}
	missing := y.Missing(m.j.Rotate.Start)
	switch {
	case !y.Known:
		f.Result, f.Found = validate.Warning, "the endpoint does not describe "+m.j.Rotate.Start.Cmdlet
	case len(missing) > 0:
		f.Result, f.Found = validate.Fail, fmt.Sprintf("%s does not take -%s", m.j.Rotate.Start.Cmdlet, strings.Join(missing, ", -"))
		f.Wanted, f.Hint = "the planned parameters", otherRelease
	}
	return f, nil
}

// health runs the plan's checks. A failing test that the plan accepts by name counts as a warning.
func (m *machine) health(ctx context.Context) ([]Health, []validate.Finding, error) {
	var reports []Health
	var out []validate.Finding
	for _, check := range m.j.Rotate.Health {
		report, err := m.ep.TestAzureStack(ctx, check, m.j.Secrets, m.record)
		var failed *pep.CommandError
		switch {
		case errors.As(err, &failed):
			reports = append(reports, Health{Check: check, Report: report, Error: err.Error()})
			out = append(out, validate.Finding{
				ID: "stamp-health", Name: "Stamp Health", Result: validate.Fail, Source: "DIAG-2001",
				Found: failed.Error(), Wanted: "a health check that runs", Hint: cmp.Or(failed.Hint(), lookYourself),
			})
			continue
		case err != nil:
			return reports, out, fmt.Errorf("check the stamp's health: %w", err)
		}
		reports = append(reports, Health{Check: check, Report: report})
		out = append(out, judgeHealth(check, report, m.j.Rotate.AcceptHealth)...)
	}
	return reports, out, nil
}

const lookYourself = "run certstamp pep Test-AzureStack and look for yourself"

func judgeHealth(check plan.HealthCheck, h pep.HealthReport, accepted []plan.Assertion) []validate.Finding {
	base := validate.Finding{ID: "stamp-health", Name: "Stamp Health", Result: validate.OK, Source: "DIAG-2001"}
	wanted := "every test passes"
	if check.WarningsBlock {
		wanted = "every test passes without a warning"
	}
	if !h.Known {
		base.Result, base.Found, base.Wanted = validate.Fail, "an answer that cannot be read", wanted
		base.Hint = lookYourself
		return []validate.Finding{base}
	}
	var out []validate.Finding
	bad := h.Bad(true)
	for _, t := range bad {
		f := base
		f.Found, f.Wanted = fmt.Sprintf("%q is %s: %q", t.Name, t.Result, t.Detail), wanted
		f.Result = validate.Warning
		i := slices.IndexFunc(accepted, func(a plan.Assertion) bool { return strings.EqualFold(a.What, t.Name) })
		switch {
		case i >= 0:
			f.Waived = accepted[i].Reason
		case t.Result == pep.TestFail:
			f.Result, f.Hint = validate.Fail, "repair it; on a failure collect Get-AzureStackLog; or accept this test by name when you plan"
		case check.WarningsBlock:
			f.Result, f.Hint = validate.Fail, "in this check a warning blocks as a failure does: repair it, or accept this test by name when you plan"
		}
		out = append(out, f)
	}
	if h.Stated != nil && !*h.Stated && len(bad) == 0 {
		base.Result, base.Found, base.Wanted = validate.Fail, "the stamp says it is not healthy and names no test", wanted
		base.Hint = lookYourself
		return []validate.Finding{base}
	}
	if len(out) == 0 {
		out = append(out, base)
	}
	return out
}

// healthChange says what differs between the checks before and after.
func healthChange(before, after []Health) []string {
	results := func(list []Health) (map[string]string, []string) {
		m, order := map[string]string{}, []string{}
		for _, h := range list {
			for _, t := range h.Report.Tests {
				if _, ok := m[t.Name]; !ok {
					order = append(order, t.Name)
				}
				m[t.Name] = t.Result
			}
		}
		return m, order
	}
	was, _ := results(before)
	is, order := results(after)
	var out []string
	for _, name := range order {
		if old, ok := was[name]; ok && old != is[name] {
			out = append(out, fmt.Sprintf("%q: %s before, %s after", name, old, is[name]))
		} else if !ok && is[name] != pep.TestPass {
			out = append(out, fmt.Sprintf("%q: not tested before, %s after", name, is[name]))
		}
	}
	return out
}
