package cli

import (
	"slices"
	"strings"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/rotate"
)

// documented is what the documents say of the endpoint on the plan's release, for the look ahead: package rotate reads no
// policies.
func documented(p *plan.Plan) (rotate.Documented, error) {
	base, err := policies.Default()
	if err != nil {
		return rotate.Documented{}, err
	}
	v, err := policies.ParseVersion(p.Stamp.Version)
	if err != nil {
		return rotate.Documented{}, refusedf("plan", "make a new plan", "the plan's version: %w", err)
	}
	var out rotate.Documented
	kinds := map[plan.Kind]string{plan.External: "rerun", plan.Internal: "rerun-internal"} // a plan that reruns has the call itself
	if call, ok := base.Rotation(v, kinds[p.Kind]); ok {
		rerun := plan.Call{Cmdlet: call.Cmdlet}
		for _, q := range call.Parameters {
			rerun.Parameters = append(rerun.Parameters, plan.Parameter{Name: q.Name, Type: q.Type})
		}
		out.Rerun = &rerun
	}
	bmc, ok := base.Rotation(v, "bmc")
	if ok {
		out.BMC = []string{bmc.Cmdlet}
	}
	for _, c := range base.Cmdlets() {
		call := plan.Call{Cmdlet: c.Name}
		for _, q := range c.Parameters {
			call.Parameters = append(call.Parameters, plan.Parameter{Name: q.Name, Type: q.Type})
		}
		out.Cmdlets = append(out.Cmdlets, call)
		if ok && strings.HasPrefix(c.Name, "Set-Bmc") && !slices.Contains(out.BMC, c.Name) {
			out.BMC = append(out.BMC, c.Name)
		}
	}
	return out, nil
}
