package plan

import (
	"fmt"
	"slices"
	"strings"
)

// acknowledgement is what a person may say about a plan, by its flag, and the plans in which that has a place.
type acknowledgement struct {
	flag  string
	said  func(Input) string // empty: nothing
	goes  func(Input) bool
	where string // it goes with, in words
}

// acknowledgements is the closed list. Whatever a plan does not hold must not look as if it did.
var acknowledgements = []acknowledgement{
	{"--reason", func(in Input) string { return in.Reason }, Input.internal, "--kind internal, or --kind rerun --rerun-of internal"},
	{
		"--combined", func(in Input) string { return in.Combined },
		func(in Input) bool {
			call, ok := in.Policy.Rotation(in.Version, "external")
			return in.external() && (!ok || call.Combined) // a release without rotations is refused for that
		}, "external certificates of a release below 1811",
	},
	{"--no-pep-check", func(in Input) string { return in.NoPEPCheck }, Input.external, "external certificates"},
	{"--identity-known", func(in Input) string { return in.KnowIdentity }, Input.external, "external certificates"},
	{
		"--fresh", func(in Input) string { return in.Fresh },
		func(in Input) bool { return in.Kind == External || in.Kind == Internal }, "--kind external or internal: a rerun continues",
	},
	{"--adopt", func(in Input) string { return in.Adopt }, func(in Input) bool { return in.Kind == Rerun }, "--kind rerun"},
	{
		"--accept-health", func(in Input) string {
			if len(in.AcceptHealth) == 0 {
				return ""
			}
			return in.AcceptHealth[0].Reason
		}, func(in Input) bool { return in.external() || in.internal() }, "a rotation",
	},
	{"--rerun-of", func(in Input) string { return string(in.RerunOf) }, func(in Input) bool { return in.Kind == Rerun }, "--kind rerun"},
}

// internal reports whether the plan rotates the stamp's own secrets.
func (in Input) internal() bool {
	return in.Kind == Internal || in.Kind == Rerun && in.RerunOf == Internal
}

// external reports whether it rotates the external certificates.
func (in Input) external() bool {
	return in.Kind == External || in.Kind == Rerun && in.RerunOf != Internal
}

// NoEffect says of each acknowledgement that the plan has no place for, that is blank, doubled or of no known word, what is
// wrong with it. It reads the acknowledgements, Kind, Version and Policy of in, nothing else.
func NoEffect(in Input) []string {
	var out []string
	for _, a := range acknowledgements {
		said := a.said(in)
		switch {
		case said == "":
		case strings.TrimSpace(said) == "":
			out = append(out, a.flag+" gives no reason")
		case !a.goes(in):
			out = append(out, fmt.Sprintf("%s has no effect here: it goes with %s", a.flag, a.where))
		}
	}
	if in.Kind == Rerun && in.RerunOf != "" && in.RerunOf != External && in.RerunOf != Internal {
		out = append(out, fmt.Sprintf("--rerun-of %q is neither external nor internal", in.RerunOf))
	}
	for i, h := range in.AcceptHealth {
		twice := func(x Assertion) bool { return strings.EqualFold(x.What, h.What) }
		if slices.ContainsFunc(in.AcceptHealth[:i], twice) {
			out = append(out, fmt.Sprintf("--accept-health %s is given twice", h.What))
		}
	}
	return out
}
