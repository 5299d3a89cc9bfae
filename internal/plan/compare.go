package plan

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

// Compare holds what is served against the plan. Leaves maps endpoint ids to the served leaf's hex SHA-256. An endpoint
// that could not be read when the plan was made has no previous leaf, so whatever it serves now counts as previous.
func Compare(v VerifySection, leaves map[string]string) []EndpointState {
	out := make([]EndpointState, 0, len(v.Endpoints))
	for _, e := range v.Endpoints {
		s := EndpointState{VerifyEndpoint: e, Leaf: leaves[e.Endpoint]}
		switch s.Leaf {
		case "":
			s.State = StateUnreachable
		case e.Planned:
			s.State = StatePlanned
		case e.Previous:
			s.State = StatePrevious
		default:
			s.State = StateForeign
			if e.Previous == "" {
				s.State = StatePrevious
			}
		}
		out = append(out, s)
	}
	return out
}
