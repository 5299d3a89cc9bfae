package policies

import "slices"

// CallParameter is one named parameter of a call. Values of secrets are never here.
type CallParameter struct {
	Name     string   `yaml:"name"`
	Type     string   `yaml:"type"` // String, StringList, Switch, Int, SecureString, PSCredential
	Value    string   `yaml:"value,omitempty"`
	Values   []string `yaml:"values,omitempty"`
	Optional string   `yaml:"optional,omitempty"` // when it is sent: new-user, nodes-first; empty: always
}

// RotationCall is what is sent for one kind of plan.
type RotationCall struct {
	Kind       string          `yaml:"kind"` // external, internal, rerun, rerun-internal, bmc
	Span       Span            `yaml:"span"`
	Cmdlet     string          `yaml:"cmdlet"`
	Combined   bool            `yaml:"combined,omitempty"` // the call rotates internal secrets too
	Parameters []CallParameter `yaml:"parameters"`
	Source     Source          `yaml:"source"`
}

// Rotation looks up what is sent for a kind of plan. It is false where no document describes a call.
func (p *Policy) Rotation(v Version, kind string) (RotationCall, bool) {
	for _, c := range p.rotation.Calls {
		if c.Kind == kind && c.Span.Has(v) {
			return c, true
		}
	}
	return RotationCall{}, false
}

type rotation struct {
	Calls         []RotationCall `yaml:"calls"`
	RotationFacts `yaml:",inline"`
}

// RotationFacts are what holds for every rotation.
type RotationFacts struct {
	Action        string   `yaml:"action"`  // the name Get-ActionStatus is asked about
	Success       []string `yaml:"success"` // texts that mean success, any generation
	OutageMinutes string   `yaml:"outage-minutes"`
	Limit         int      `yaml:"limit-seconds"`
	InternalLimit int      `yaml:"internal-limit-seconds"`
	Poll          int      `yaml:"poll-seconds"`
	WindowLeft    int      `yaml:"window-left-seconds"`
	ValidDays     int      `yaml:"valid-days"`        // of a plan
	Samples       int      `yaml:"samples"`           // connections to each endpoint when proving it live
	RootWarning   int      `yaml:"root-warning-days"` // before the stamp's internal root ends
	RootCritical  int      `yaml:"root-critical-days"`
	UserMax       int      `yaml:"bmc-user-max"`
	PasswordMax   int      `yaml:"bmc-password-max"`
	Source        Source   `yaml:"source"`
}

// RotationFacts returns what holds for every rotation.
func (p *Policy) RotationFacts() RotationFacts {
	f := p.rotation.RotationFacts
	f.Success = slices.Clone(f.Success)
	return f
}

// HealthCall is one health check.
type HealthCall struct {
	Kinds         []string        `yaml:"kinds"`
	Span          Span            `yaml:"span"`
	Cmdlet        string          `yaml:"cmdlet"`
	WarningsBlock bool            `yaml:"warnings-block,omitempty"`
	Parameters    []CallParameter `yaml:"parameters"`
	Source        Source          `yaml:"source"`
}

// Health looks up the health checks of a kind of plan.
func (p *Policy) Health(v Version, kind string) []HealthCall {
	var out []HealthCall
	for _, h := range p.health {
		if slices.Contains(h.Kinds, kind) && h.Span.Has(v) {
			out = append(out, h)
		}
	}
	return out
}

// CmdletParameter is one parameter of a cmdlet of the privileged endpoint.
type CmdletParameter struct {
	Name      string `yaml:"name"`
	Type      string `yaml:"type"`
	Mandatory bool   `yaml:"mandatory,omitempty"`
	Position  int    `yaml:"position,omitempty"` // from 1; 0: by name only
}

// Cmdlet is a cmdlet of the privileged endpoint.
type Cmdlet struct {
	Name       string            `yaml:"name"`
	ReadOnly   bool              `yaml:"read-only,omitempty"`
	Changing   bool              `yaml:"changing,omitempty"` // sent at most once
	Refused    bool              `yaml:"refused,omitempty"`  // never by hand: from a plan only, or not at all
	Parameters []CmdletParameter `yaml:"parameters"`
	Source     Source            `yaml:"source"`
}

// Cmdlets are the cmdlets that are known.
func (p *Policy) Cmdlets() []Cmdlet { return slices.Clone(p.cmdlets) }
