package plan

import (
	"fmt"
	"strings"

	"github.com/certstamp/certstamp/validate"
)

// Intend says what New would plan, as far as that can be known without a secret and without the network: for the reviewers of a
// pull request. In.Report is a judgement without a password and may be incomplete; In.Observed is empty; certificates are those
// of the public twins, and have no leaf where there is no twin. What remains unknown is among the notices.
//
// An intent is no plan: it has no sections, no uses and no validity, so that nobody can act on it.
func Intend(in Input) (*Plan, []validate.Finding) {
	in.Observed = nil
	m := newMaker(in)
	m.intent = true
	p, findings := m.derive()
	if p == nil {
		return nil, findings
	}
	m.unknown()
	p.ValidUntil, p.Stage, p.Rotate, p.Verify = "", nil, nil, nil
	for i := range p.Steps {
		p.Steps[i].Uses = []string{}
	}
	return p, findings
}

// unknown is what only the plan can say, or only the rotation.
func (m *maker) unknown() {
	in := m.in
	if list := skipped(in.Report); len(list) > 0 {
		m.notice("not judged here: %s", strings.Join(list, ", "))
	}
	ca := "this release takes a CA of another kind"
	if g := in.Policy.Gate("any-enterprise-ca"); !g.Has(in.Version) {
		ca = fmt.Sprintf("below release %d it decides whether there is a plan", g.Span.From)
	}
	if in.InstalledCA == "" {
		m.notice("not known before the plan: what the endpoints serve, and so the installed CA (%s)", ca)
	} else {
		m.notice("not known before the plan: what the endpoints serve; the installed CA is stated as %s (%s)", in.InstalledCA, ca)
	}
	m.notice("not known before the rotation: that this is the stamp, its health, whether an update or a rotation runs")
	if len(in.Windows) > 0 {
		m.notice("not known before the rotation: whether a window is open")
	}
}
