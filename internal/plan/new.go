package plan

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// New makes a plan, or says why there must be none. The findings hold every reason at once; when one of them is a Fail
// the plan is nil. Warnings that were admitted are among the plan's notices.
func New(in Input) (*Plan, []validate.Finding) { return newMaker(in).derive() }

func newMaker(in Input) *maker {
	in.sort()
	m := &maker{in: in, facts: in.Policy.RotationFacts()}
	m.plan = &Plan{
		SchemaVersion: SchemaVersion, Kind: in.Kind, Simulated: in.Simulated, Tool: in.Tool,
		Repository: in.Repository, Commit: in.Commit,
		AsOf:       in.AsOf.UTC().Format(time.RFC3339),
		ValidUntil: in.AsOf.UTC().AddDate(0, 0, m.facts.ValidDays).Format(time.RFC3339),
		Stamp:      in.Stamp,
		Asserted:   []Assertion{}, Certificates: []Certificate{}, Transitions: []Transition{}, Observed: []Observed{},
		Notices: []string{}, Steps: []Step{},
	}
	return m
}

func (m *maker) derive() (*Plan, []validate.Finding) {
	m.everyKind()
	switch in := m.in; in.Kind {
	case External, Rerun:
		if in.Kind == Rerun && in.RerunOf == Internal {
			m.internal()
			break
		}
		m.external()
	case Internal:
		m.internal()
	case BMC:
		m.bmc()
	default:
		m.refuse("plan-kind", "Plan Kind", fmt.Sprintf("%q", in.Kind), "external, internal, bmc or rerun", "choose one with --kind", "")
	}
	if slices.ContainsFunc(m.findings, func(f validate.Finding) bool { return f.Result == validate.Fail }) {
		return nil, m.findings
	}
	m.sort()
	return m.plan, m.findings
}

// maker collects the plan and the reasons against it.
type maker struct {
	in       Input
	facts    policies.RotationFacts
	plan     *Plan
	findings []validate.Finding
	intent   bool // nothing is opened and nobody is asked
}

func (m *maker) refuse(id, name, found, wanted, hint, source string) {
	m.findings = append(m.findings, validate.Finding{ID: id, Name: name, Result: validate.Fail, Found: found, Wanted: wanted, Hint: hint, Source: source})
}

func (m *maker) notice(format string, args ...any) {
	m.plan.Notices = append(m.plan.Notices, fmt.Sprintf(format, args...))
}

func (m *maker) assert(what, value, reason string) {
	m.plan.Asserted = append(m.plan.Asserted, Assertion{What: what, Value: value, Reason: reason})
}

func (m *maker) step(s Step) {
	if s.Uses == nil {
		s.Uses = []string{}
	}
	m.plan.Steps = append(m.plan.Steps, s)
}

// everyKind is what holds for every plan: a supported release, an endpoint to talk to, peers where they belong.
func (m *maker) everyKind() {
	in := m.in
	if g := in.Policy.Gate("rotation-supported"); !g.Has(in.Version) {
		m.refuse("release-supported", "Release Supported", in.Version.String(), fmt.Sprintf("%d or later", g.Span.From),
			"update the stamp first; rotation below this release is not attempted", g.Source.String())
	}
	if len(in.PEP.Hosts) == 0 {
		m.refuse("pep", "Privileged Endpoint", "no pep in the stamp file", "hosts, user and password", "add pep: {hosts: [...], user: ..., password: env:PEP_...} to stamp.yaml", "")
	}
	m.peers()
	for _, what := range NoEffect(in) {
		m.refuse("no-effect", "No Effect", what, "acknowledgements that the plan holds", "drop it, or plan the other kind", "")
	}
	if len(in.Windows) > 0 && in.Kind != BMC { // a new credential is handed over at any time
		m.notice("a rotation starts only inside %s", strings.Join(in.Windows, ", "))
	}
}

// peers holds that a real plan never meets this machine and a simulated one nothing else. The stamp file was checked for
// the same; a plan is checked again because it is what gets applied.
func (m *maker) peers() {
	for _, h := range m.in.PEP.Hosts {
		if local := loopback(h); local != m.in.Simulated {
			wanted := "a host of the stamp"
			if m.in.Simulated {
				wanted = "a loopback address"
			}
			m.refuse("simulated-peer", "Simulated Peer", fmt.Sprintf("%q", h), wanted, "simulated: true belongs to loopback hosts, and only to them", "")
		}
	}
}

func loopback(h string) bool {
	host := h
	if name, _, err := net.SplitHostPort(h); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// firstRotation is the gate below 1811: one rotation, and only when nobody rotated before.
func (m *maker) firstRotation() {
	g := m.in.Policy.Gate("split-rotation")
	if g.Has(m.in.Version) || m.in.Kind == Rerun {
		return
	}
	if m.in.PreviouslyRotated == nil || *m.in.PreviouslyRotated {
		found := "previously-rotated is true"
		if m.in.PreviouslyRotated == nil {
			found = "the stamp file does not say whether secrets were rotated before"
		}
		m.refuse("previously-rotated", "Previously Rotated", found, "a stamp that was never rotated, or release 1811",
			"update to 1811 first, or assert previously-rotated: false in stamp.yaml if that is so", g.Source.String())
		return
	}
	m.assert(AssertPreviouslyRotated, "false", "stated in the stamp file")
}

// sort makes the bytes independent of the order of the input, those that are written on the way as well: notices stand in
// the order of what they are about. The caller keeps its own order.
func (in *Input) sort() {
	in.Certificates, in.Transitions, in.Observed = slices.Clone(in.Certificates), slices.Clone(in.Transitions), slices.Clone(in.Observed)
	slices.SortStableFunc(in.Certificates, func(a, b Certificate) int { return strings.Compare(a.Folder, b.Folder) })
	slices.SortStableFunc(in.Transitions, func(a, b Transition) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	slices.SortStableFunc(in.Observed, func(a, b Observed) int { return strings.Compare(a.Endpoint, b.Endpoint) })
}

// sort puts in order what was gathered from several places.
func (m *maker) sort() {
	p := m.plan
	sort.SliceStable(p.Asserted, func(i, j int) bool {
		a, b := p.Asserted[i], p.Asserted[j]
		return a.What < b.What || a.What == b.What && a.Value < b.Value
	})
	if p.Stamp.Optional == nil {
		p.Stamp.Optional = []string{}
	}
	p.Stamp.Optional = slices.Clone(p.Stamp.Optional)
	sort.Strings(p.Stamp.Optional)
}
