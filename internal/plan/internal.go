package plan

import "strings"

// internalReasons are the only two occasions for rotating internal secrets (ROT-2210, rotate internal secrets).
var internalReasons = []string{"compromise", "alert"}

// internal plans a rotation of the stamp's own secrets.
func (m *maker) internal() {
	in := m.in
	m.firstRotation()
	word, why, _ := strings.Cut(in.Reason, ":")
	word, why = strings.TrimSpace(word), strings.TrimSpace(why)
	if (word != internalReasons[0] && word != internalReasons[1]) || why == "" {
		m.refuse("internal-reason", "Internal Reason", quote(in.Reason), "compromise: WHAT, or alert: WHICH",
			"rotate internal secrets only after a suspected compromise or an expiry alert; say so with --reason", "ROT-2210, rotate internal secrets")
	} else {
		m.assert(AssertReason, word, why)
	}
	if g := in.Policy.Gate("split-rotation"); word == "alert" && in.Kind == Internal && !g.Has(in.Version) {
		m.refuse("internal-reason", "Internal Reason", "an alert on "+in.Version.String(), "a suspected compromise, or release 1811",
			"below 1811 alerts about internal expiry are false: ignore them, or update to 1811 first", "SEED, alerts")
	}
	kind := "internal"
	if in.Kind == Rerun {
		kind = "rerun-internal"
	}
	call, ok := in.Policy.Rotation(in.Version, kind)
	if !ok {
		return
	}
	if in.Policy.Gate("internal-root").Has(in.Version) {
		m.notice("from 2108 on the internal root certificate is renewed too")
	}
	m.acknowledgements()
	p := m.plan
	p.Rotate = m.rotateSection(call, kind)
	m.guardStep()
	m.healthStep()
	m.step(Step{
		ID: "rotate.start", Changes: true,
		Action: "run " + p.Rotate.Start.Text() + " at the privileged endpoint, once, and watch it to its end",
		Reason: "the stamp replaces its own internal secrets; no document says how long that takes",
		Before: "no rotation is running", After: "an action later than the last one before it has completed",
	})
	m.transcriptsStep()
}
