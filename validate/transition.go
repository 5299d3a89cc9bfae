package validate

import (
	"crypto/x509"
	"slices"

	"github.com/certstamp/certstamp/policies"
)

// TransitionResult is the change of CA of one endpoint and the evidence it was judged by.
type TransitionResult struct {
	Endpoint string // policies.Endpoint.ID
	Folder   string
	From     policies.Class // of the installed certificate
	To       policies.Class
	SameCA   bool
	Decision policies.Decision // empty when it could not be decided
	Why      string
	Evidence string
	Source   string
	Result   Result
}

// transitions judges every endpoint of the stamp that has a certificate with a sound chain, in catalogue order.
func transitions(set *Set) []TransitionResult {
	out := []TransitionResult{}
	for _, e := range set.run.required {
		for i, s := range set.Subjects {
			if s.Endpoint.ID == e.ID && set.chained(i) {
				out = append(out, transition(set.run, s))
				break // a second file in the folder is Folder Layout's business
			}
		}
	}
	return out
}

func transition(r *run, s *Subject) TransitionResult {
	installed, known := installedAt(r, s.Endpoint.ID)
	t := TransitionResult{Endpoint: s.Endpoint.ID, Folder: s.Folder, From: policies.Unknown, To: s.Class.Class}
	if !known || installed.Class == "" && len(installed.Chain) == 0 {
		return undecided(r, t, installed, known, s.Class)
	}
	from := Classification{Class: installed.Class, Evidence: "asserted in the stamp file"}
	if len(installed.Chain) > 0 {
		seen := classifyInstalled(r, installed.Chain, s)
		if installed.Class != "" {
			seen.Class, seen.Evidence = installed.Class, "asserted in the stamp file; "+seen.Evidence
		}
		from = seen
	}
	kin := related(from, s.Class)
	t.From, t.SameCA = from.Class, kin >= sameRoot
	t.Evidence = "installed: " + from.Evidence + "; new: " + s.Class.Evidence
	d := r.Policy.Transition(r.Version, t.From, t.To, t.SameCA)
	t.Decision, t.Why, t.Source = d.Decision, d.Why, d.Source.String()
	t.Result = resultOf(d.Decision)
	if len(installed.Chain) == 0 && t.Result == Fail && r.Policy.Transition(r.Version, t.From, t.To, true).Decision != policies.Refused {
		t.Decision, t.Result, t.Why = "", Skipped, "which enterprise CA is installed decides, and only its class is asserted"
		return t
	}
	if t.From == policies.Unknown || t.To == policies.Unknown {
		t.Why += "; the unknown CA is treated as an enterprise CA"
	}
	switch other := r.Policy.Transition(r.Version, t.From, t.To, false); {
	case kin == sameRoot && other.Decision == policies.Refused:
		// Nobody has said whether another issuing CA under one root is "the same CA".
		t.Result = worse(t.Result, Warning)
		t.Why += "; the root key is the same, the issuing CA is another one"
	case kin == renamed && other.Decision != policies.Allowed:
		t.Why += "; the names are the same but the keys differ: a CA renewed with a new key counts as another CA"
	}
	if again := reissued(from, s.Class); again != "" && t.From == policies.Enterprise && t.To == policies.Enterprise {
		t.Why += "; " + again
	}
	return t
}

// undecided handles an endpoint of which nothing is known. Where every possible answer is the same, it does not matter.
func undecided(r *run, t TransitionResult, installed Installed, known bool, to Classification) TransitionResult {
	t.Evidence = "installed: not seen"
	if known && installed.Error != "" {
		t.Evidence += " (" + quote(installed.Error) + ")"
	}
	t.Evidence += "; new: " + to.Evidence
	for _, from := range []policies.Class{policies.SelfSigned, policies.Enterprise, policies.Public} {
		for _, same := range []bool{false, true} {
			d := r.Policy.Transition(r.Version, from, t.To, same)
			t.Source = d.Source.String()
			if d.Decision != policies.Allowed {
				t.Result, t.Why = Skipped, "the class of the installed CA decides, and it is not known"
				return t
			}
		}
	}
	t.Decision, t.Result, t.Why = policies.Allowed, OK, "allowed from any installed CA"
	if known && installed.Error != "" {
		t.Result = Warning
		t.Why += "; the endpoint could not be asked"
	}
	return t
}

func installedAt(r *run, endpoint string) (Installed, bool) {
	for _, id := range []string{endpoint, ""} {
		if i := slices.IndexFunc(r.Installed, func(x Installed) bool { return x.Endpoint == id }); i >= 0 {
			return r.Installed[i], true
		}
	}
	return Installed{}, false
}

// classifyInstalled classifies what an endpoint serves, or the CA certificates that a person recorded instead. The root is
// often missing from a handshake; the new file may bring it.
func classifyInstalled(r *run, chain []*x509.Certificate, s *Subject) Classification {
	leaf := guessLeaf(chain) // a recorded file may have any order
	pool := slices.Concat(without(chain, leaf), s.Chain[1:])
	if !leaf.IsCA {
		return newClassifier(&r.Input, r.anchors).classify(leaf, pool)
	}
	// A CA stands for the certificates it issued: it takes the place after the leaf.
	var c Classification
	if selfIssued(leaf) {
		c = rootClass(leaf, r.anchors)
	} else {
		c = newClassifier(&r.Input, r.anchors).classify(leaf, pool)
	}
	c.Path = append([]*x509.Certificate{leaf}, c.Path...)
	return c
}

// rootClass is the class of what a root issues.
func rootClass(root *x509.Certificate, anchors *anchorIndex) Classification {
	c := Classification{Class: policies.Enterprise, Path: []*x509.Certificate{root}}
	_, enterprise := anchors.enterprise[keyOf(root)]
	if len(anchors.public[keyOf(root)]) > 0 && !enterprise {
		c.Class = policies.Public
	}
	c.Evidence = evidence("recorded root", c.Path)
	return c
}

func (s *Subject) pool() []*x509.Certificate {
	return without(s.Certificates, s.Leaf)
}

func without(list []*x509.Certificate, leaf *x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(list), leaf.Equal)
}

func resultOf(d policies.Decision) Result {
	switch d {
	case policies.Allowed:
		return OK
	case policies.AllowedWarning:
		return Warning
	default:
		return Fail
	}
}
