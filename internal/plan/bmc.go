package plan

import (
	"fmt"
	"unicode/utf8"
)

// bmc plans the hand-over of a new BMC credential to the stamp.
func (m *maker) bmc() {
	in := m.in
	byPEP := in.Policy.Gate("bmc-by-pep")
	switch in.BMC.Update {
	case "pep":
		if !byPEP.Has(in.Version) {
			m.refuse("bmc-update", "BMC Update", "update: pep on "+in.Version.String(), fmt.Sprintf("release %d or later", byPEP.Span.From),
				"change the controllers by the vendor's procedure first and say update: external", byPEP.Source.String())
		}
	case "external":
		m.notice("the controllers of all nodes must already accept the new credential: the stamp is only told")
	case "redfish":
		m.refuse("bmc-update", "BMC Update", "update: redfish", "pep or external", "changing nodes over Redfish is not there yet: change them by the vendor's procedure and say update: external", "")
	default:
		m.refuse("bmc-update", "BMC Update", "no bmc in the stamp file", "update and new-password", "add bmc: {update: pep, new-password: env:BMC_...} to stamp.yaml", "")
	}
	if in.BMC.NewPassword == "" && in.BMC.Update != "" {
		m.refuse("bmc-password", "BMC Password", "no new-password in the stamp file", "a reference", "add new-password: env:BMC_... to bmc in stamp.yaml", "")
	}
	if n := utf8.RuneCountInString(in.BMC.NewUser); n > m.facts.UserMax {
		m.refuse("bmc-user", "BMC User", fmt.Sprintf("%d characters", n), fmt.Sprintf("at most %d", m.facts.UserMax), "choose a shorter user name", "SEED, update the BMC credential")
	}
	call, ok := in.Policy.Rotation(in.Version, "bmc")
	if !ok {
		return
	}
	s := &BMCSection{PEP: in.PEP, Update: in.BMC.Update, NewUser: in.BMC.NewUser, Call: m.call(call)}
	if in.BMC.NewUser != "" && !takes(s.Call, "BmcUser") {
		m.refuse("bmc-user", "BMC User", "new-user on "+in.Version.String(), "no new-user: this release changes the password only", "remove new-user from stamp.yaml", call.Source.String())
	}
	if h := m.health("bmc"); len(h) > 0 {
		s.Health = &h[0]
	}
	if in.Policy.Gate("bmc-password-16").Has(in.Version) {
		s.Longest = m.facts.PasswordMax
	}
	m.plan.BMC = s
	m.guardStep()
	m.step(Step{
		ID: "bmc.set", Changes: true, Action: "run " + s.Call.Text() + " at the privileged endpoint, once",
		Reason: "the stamp and its controllers must agree on the credential",
		Before: "the stamp knows the credential of before", After: "the cmdlet ended without an error",
	})
	if s.Health != nil {
		m.step(Step{
			ID: "bmc.health", Action: "run " + s.Health.Call.Text(), Reason: "success has no documented sign of its own",
			Before: "unknown", After: "the controllers answer to the stamp",
		})
	}
}

func takes(c Call, name string) bool {
	for _, p := range c.Parameters {
		if p.Name == name {
			return true
		}
	}
	return false
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
