package plan

import "strings"

// State is what one endpoint serves, held against the plan.
type State string

// The states. Foreign is the third state that every step refuses.
const (
	StatePlanned     State = "planned"
	StatePrevious    State = "previous"
	StateForeign     State = "foreign"
	StateUnreachable State = "unreachable"
)

// EndpointState is one endpoint's state.
type EndpointState struct {
	VerifyEndpoint
	State State
	Leaf  string // served leaf, hex SHA-256; empty when unreachable
}

// State is which state a served leaf, as hex SHA-256, means; none is served when it is empty. An endpoint that could not be
// read when the plan was made has no previous leaf, so whatever it serves now counts as previous.
func (e VerifyEndpoint) State(leaf string) State {
	switch {
	case leaf == "":
		return StateUnreachable
	case strings.EqualFold(leaf, e.Planned):
		return StatePlanned
	case e.Previous == "", strings.EqualFold(leaf, e.Previous):
		return StatePrevious
	}
	return StateForeign
}

// Compare holds what is served against the plan. Leaves maps endpoint ids to the served leaf's hex SHA-256.
func Compare(v VerifySection, leaves map[string]string) []EndpointState {
	out := make([]EndpointState, 0, len(v.Endpoints))
	for _, e := range v.Endpoints {
		leaf := leaves[e.Endpoint]
		out = append(out, EndpointState{VerifyEndpoint: e, State: e.State(leaf), Leaf: leaf})
	}
	return out
}
