package plan

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

// eras are releases on both sides of every change that a document knows (spec of the rotation pages, 2018 to 2025).
var eras = []string{"1711", "1802", "1803", "1810", "1811", "1901", "1902", "1909", "1910", "2107", "2108", "2501"}

// orders are the kinds of plan with everything a person may say to them.
var orders = []struct {
	name string
	set  func(*Input)
}{
	{"external", func(*Input) {}},
	{"external, first rotation", func(in *Input) { in.PreviouslyRotated = yes(false) }},
	{"external, first and combined", func(in *Input) { in.PreviouslyRotated, in.Combined = yes(false), "known" }},
	{"external, rotated before and combined", func(in *Input) { in.PreviouslyRotated, in.Combined = yes(true), "known" }},
	{"rerun", func(in *Input) { in.Kind = Rerun }},
	{"rerun, combined", func(in *Input) { in.Kind, in.Combined = Rerun, "known" }},
	{"internal", func(in *Input) { in.Kind, in.PreviouslyRotated = Internal, yes(false) }},
	{"internal, alert", func(in *Input) { in.Kind, in.PreviouslyRotated, in.Reason = Internal, yes(false), "alert: 7 days" }},
	{"internal, compromise", func(in *Input) {
		in.Kind, in.PreviouslyRotated, in.Reason = Internal, yes(false), "compromise: a laptop"
	}},
	{"internal, rotated before", func(in *Input) {
		in.Kind, in.PreviouslyRotated, in.Reason = Internal, yes(true), "compromise: a laptop"
	}},
	{"rerun of internal", func(in *Input) { in.Kind, in.RerunOf, in.Reason = Rerun, Internal, "alert: 7 days" }},
	{"bmc by the endpoint", func(in *Input) { in.Kind = BMC }},
	{"bmc, controllers first", func(in *Input) { in.Kind, in.BMC.Update = BMC, "external" }},
	{"bmc, controllers first, new user", func(in *Input) { in.Kind, in.BMC.Update, in.BMC.NewUser = BMC, "external", "root" }},
	{"bmc by the endpoint, new user", func(in *Input) { in.Kind, in.BMC.NewUser = BMC, "root" }},
}

// TestEras walks every release in which something changes through every kind of plan: what is refused, for which reasons, or
// what is sent and which health check comes before it. testdata/eras.txt is the whole of it, to be read beside the documents.
func TestEras(t *testing.T) {
	var b strings.Builder
	for _, order := range orders {
		fmt.Fprintf(&b, "%s\n", order.name)
		last := ""
		for _, version := range eras {
			in := given(t, version, policies.AAD)
			order.set(&in)
			p, findings := New(in)
			line := "refused: " + strings.Join(reasons(findings), ", ")
			if p != nil {
				line = decided(p)
			}
			if line == last {
				fmt.Fprintf(&b, "  %s the same\n", version)
				continue
			}
			last = line
			fmt.Fprintf(&b, "  %s %s\n", version, line)
		}
	}
	const file = "testdata/eras.txt"
	if os.Getenv("CERTSTAMP_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("the decisions are other ones than in %s (CERTSTAMP_UPDATE=1 writes it again):\n%s", file, got)
	}
}

func decided(p *Plan) string {
	var call Call
	var checks []HealthCheck
	switch {
	case p.Rotate != nil:
		call, checks = p.Rotate.Start, p.Rotate.Health
	case p.BMC != nil:
		call = p.BMC.Call
		if p.BMC.Health != nil {
			checks = append(checks, *p.BMC.Health)
		}
	}
	line := call.Text()
	for _, h := range checks {
		line += "\n       health: " + h.Call.Text()
		if h.WarningsBlock {
			line += " (warnings block)"
		}
	}
	for _, a := range p.Asserted {
		line += fmt.Sprintf("\n       asserted: %s %s: %s", a.What, a.Value, a.Reason)
	}
	for _, n := range p.Notices {
		line += "\n       notice: " + n
	}
	return line
}
