package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/csr"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
)

// newRequests is where a renewal points when it cannot go on.
const newRequests = "make new requests: certstamp csr --new --subject C=…,O=…"

// specs says what the requests of one stamp must hold, one list for each input. A renewal keeps what each endpoint's
// certificate says today, or what one endpoint's says for all.
func (a *app) specs(ctx context.Context, j *job, r requesting, inputs []csr.Input) ([][]csr.Spec, error) {
	var out [][]csr.Spec
	for _, in := range inputs {
		var list []csr.Spec
		var err error
		switch {
		case r.endpoint != "":
			list, err = a.renewFromOne(ctx, j, r.endpoint, in)
		case r.renew:
			list, err = a.renewEach(ctx, j, in)
		default:
			list, err = specsOf(j, in)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, list)
	}
	return out, nil
}

func specsOf(j *job, in csr.Input) ([]csr.Spec, error) {
	list, err := csr.Specs(j.policy, in)
	if err != nil {
		return nil, usagef("", "stamp %s: %w", j.stamp.Name, err)
	}
	return list, nil
}

// renewFromOne makes the whole set from one live certificate.
func (a *app) renewFromOne(ctx context.Context, j *job, given string, in csr.Input) ([]csr.Spec, error) {
	host, err := endpointHost(j, given, in.Type)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(host, given) {
		a.progress("%q is read as %s", given, host)
	}
	own, err := a.renewable(ctx, j, in, []live.Target{targetOf(j.stamp, host, host)}, "reach it from here, or give another host of the stamp with --stamp-endpoint")
	if err != nil {
		return nil, err
	}
	return specsOf(j, own[host])
}

// renewEach makes each request from what its own endpoint serves.
func (a *app) renewEach(ctx context.Context, j *job, in csr.Input) ([]csr.Spec, error) {
	endpoints := csr.Endpoints(j.policy, in)
	var targets []live.Target
	for _, e := range endpoints {
		targets = append(targets, targetOf(j.stamp, e.ID, e.ProbeHost(j.stamp.Domain())))
	}
	own, err := a.renewable(ctx, j, in, targets, "reach every endpoint from here, renew from one with --stamp-endpoint, or "+newRequests)
	if err != nil {
		return nil, err
	}
	var out []csr.Spec
	for i, e := range endpoints {
		list, err := specsOf(j, own[e.ID])
		if err != nil || in.Single && len(list) == 1 {
			return list, err
		}
		out = append(out, list[i])
	}
	return out, nil
}

func targetOf(s *stamp.Stamp, id, host string) live.Target {
	return live.Target{Endpoint: id, Host: host, Port: s.Port, Addresses: s.Addresses(host, s.Port)}
}

// renewable reads what targets serve and takes it over into in, by the id of the target. An endpoint that cannot be
// reached is the network's fault, a certificate that a renewal cannot carry is nobody's: the two end differently.
func (a *app) renewable(ctx context.Context, j *job, in csr.Input, targets []live.Target, reach string) (map[string]csr.Input, error) {
	looker := observer(j.stamp.Simulated)
	looker.Samples = 1
	a.progress("reading what %s of %s serve", amount.Of(len(targets), "endpoint"), j.stamp.Name)
	own := map[string]csr.Input{}
	var unread, unfit []error
	for _, seen := range looker.Observe(ctx, targets) {
		s := seen.Leaf()
		if s.Err != nil {
			unread = append(unread, fmt.Errorf("%s: %w", s.Host, s.Err))
			continue
		}
		taken, err := csr.FromLive(s.Chain[0], in)
		if err != nil {
			unfit = append(unfit, fmt.Errorf("%s: %w", s.Host, err))
			continue
		}
		own[seen.Target.Endpoint] = taken
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(unread) > 0 {
		return nil, environment("network", fmt.Errorf("stamp %s: nothing to renew from:\n%w", j.stamp.Name, errors.Join(append(unread, unfit...)...)), reach)
	}
	if len(unfit) > 0 {
		return nil, refusedf("renewal", newRequests, "stamp %s: a renewal cannot carry what is served:\n%w", j.stamp.Name, errors.Join(unfit...))
	}
	return own, nil
}

// endpointHost reads --stamp-endpoint in both spellings of the readiness tools: a host of the stamp, or the stamp's domain,
// before which comes the host that they ask themselves. Their documents write appservices, and the name is appservice.
// Nothing but a name of the stamp is ever asked: the flag is no way to another machine.
func endpointHost(j *job, given string, kind policies.CertificateType) (string, error) {
	domain := strings.ToLower(j.stamp.Domain())
	host := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(given)), ".")
	if head, ok := strings.CutSuffix(host, "appservices."+domain); ok {
		host = head + "appservice." + domain
	}
	if host == domain {
		if kind == policies.AppServices {
			return "sso.appservice." + domain, nil
		}
		return "portal." + domain, nil
	}
	for _, t := range j.policy.Types() {
		for _, e := range j.policy.TypeEndpoints(t, j.stamp.Version) {
			if t == policies.Deployment && !slices.Contains(e.Identity, j.stamp.Identity) {
				continue
			}
			for _, name := range e.Names(domain) {
				if host == name && strings.HasPrefix(name, "*.") {
					return e.ProbeHost(domain), nil
				}
				label, parent, _ := strings.Cut(host, ".")
				if host == name || label != "" && "*."+parent == name {
					return host, nil
				}
			}
		}
	}
	if strings.Contains(host, "/") || strings.Contains(host, ":") {
		return "", usagef("give the host alone, such as portal."+domain+"; the port is the stamp's", "--stamp-endpoint %q is no host name", given)
	}
	return "", usagef("give "+domain+", portal."+domain+" or another host of the stamp", "--stamp-endpoint %q is no name of stamp %s", given, j.stamp.Name)
}
