package rotate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

// Leaf is which certificate an endpoint serves, seen from the plan.
type Leaf string

// The leaves.
const (
	Planned     Leaf = "planned"
	Previous    Leaf = "previous"
	Mixed       Leaf = "mixed" // some samples planned, some previous
	Foreign     Leaf = "foreign"
	Unreachable Leaf = "unreachable"
)

// Judged is one endpoint held against the plan.
type Judged struct {
	Served
	Leaf Leaf `json:"leaf"`
}

// look observes every endpoint of the plan. It returns nothing for a plan without endpoints.
func (m *machine) look(ctx context.Context) ([]Judged, error) {
	if m.j.Verify == nil || len(m.j.Verify.Endpoints) == 0 || m.d.Observe == nil {
		return nil, nil
	}
	served, err := m.d.Observe(ctx)
	if err != nil {
		return nil, err
	}
	var out []Judged
	for _, want := range m.j.Verify.Endpoints {
		i := slices.IndexFunc(served, func(s Served) bool { return s.Endpoint == want.Endpoint })
		s := Served{Endpoint: want.Endpoint, Failed: "not observed"}
		if i >= 0 {
			s = served[i]
		}
		out = append(out, Judged{Served: s, Leaf: judge(s, want)})
	}
	m.out.Served = out
	return out, nil
}

// judge names the leaf over all samples.
func judge(s Served, want plan.VerifyEndpoint) Leaf {
	var onPlanned, onPrevious bool
	for _, leaf := range s.Leaves {
		switch want.State(leaf) {
		case plan.StatePlanned:
			onPlanned = true
		case plan.StatePrevious:
			onPrevious = true
		case plan.StateForeign:
			return Foreign
		}
	}
	switch {
	case onPlanned && onPrevious:
		return Mixed
	case onPlanned && s.Failed == "":
		return Planned
	case onPlanned:
		return Mixed
	case onPrevious:
		return Previous
	}
	return Unreachable
}

func count(list []Judged, leaf Leaf) int {
	n := 0
	for _, j := range list {
		if j.Leaf == leaf {
			n++
		}
	}
	return n
}

func allPlanned(list []Judged) bool { return len(list) > 0 && count(list, Planned) == len(list) }

// halfway refuses endpoints of which some serve a planned leaf that is news and others do not yet: neither the state before
// the start nor the one after it. Only what repeats a failed rotation begins there.
func (m *machine) halfway(list []Judged) []validate.Finding {
	if m.j.Rotate.Rerun || m.j.Rotate.Fresh != "" || allPlanned(list) {
		return nil
	}
	var ahead []string
	for i, j := range list {
		previous := m.j.Verify.Endpoints[i].Previous
		if (j.Leaf == Planned || j.Leaf == Mixed) && previous != "" && !strings.EqualFold(previous, m.j.Verify.Endpoints[i].Planned) {
			ahead = append(ahead, j.Endpoint)
		}
	}
	if len(ahead) == 0 {
		return nil
	}
	return []validate.Finding{{
		ID: "endpoints-halfway", Name: "Endpoints Halfway", Result: validate.Fail, Folders: ahead,
		Found: fmt.Sprintf("%s serve planned leaves already, and others do not", strings.Join(ahead, ", ")), Wanted: "every endpoint as observed, or every one as planned",
		Hint: "run verify --wait 30m: endpoints lag behind a rotation; if they stay so, find out who rotated them and make a new plan",
	}}
}

// endpointFindings refuses a leaf that is neither the previous nor the planned one, and an endpoint that answered when
// the plan was made and doesn't now.
func (m *machine) endpointFindings(list []Judged) []validate.Finding {
	var out []validate.Finding
	for i, j := range list {
		want := m.j.Verify.Endpoints[i]
		f := validate.Finding{ID: "endpoint-state", Name: "Endpoint State", Result: validate.OK, Folders: []string{j.Endpoint}}
		wanted := fmt.Sprintf("%s serves its previous leaf %.16s or its planned leaf %.16s", j.Endpoint, want.Previous, want.Planned)
		switch {
		case j.Leaf == Foreign:
			f.Result, f.Found, f.Wanted = validate.Fail, fmt.Sprintf("%s serves %.16q", j.Endpoint, j.Leaves), wanted
			f.Hint = "the certificate was changed since the plan was made: make a new plan"
		case j.Leaf == Unreachable && want.Previous != "":
			f.Result, f.Found, f.Wanted = validate.Fail, fmt.Sprintf("%s cannot be read: %s", j.Endpoint, j.Failed), wanted
			f.Hint = "it could be read when the plan was made: find out why not now"
		case j.Leaf == Unreachable:
			f.Result, f.Found, f.Wanted = validate.Warning, fmt.Sprintf("%s cannot be read, as when the plan was made: %s", j.Endpoint, j.Failed), wanted
		}
		out = append(out, f)
	}
	return out
}
