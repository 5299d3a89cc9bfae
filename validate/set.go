package validate

import (
	"github.com/certstamp/certstamp/policies"
)

// Set is all files of a run together.
type Set struct {
	Subjects    []*Subject
	Transitions []TransitionResult

	run     *run
	results []map[string]Result // per subject: how the file rules went, by ID
	judged  []Finding           // what was found so far, each with its folders
}

// SetRule judges the set as a whole. It says as many things as it finds; nothing when the set has not what it is about.
type SetRule struct {
	ID       string
	Name     string
	About    string
	Severity Severity
	Sets     Sets
	Check    func(*Set) []Judgement
}

// Cite returns the document a rule comes from.
func (r SetRule) Cite(p *policies.Policy) policies.Source { return p.Rule(r.ID).Source }

// Waivable reports whether a policy overlay may turn the rule's Fail into a Warning.
func (r SetRule) Waivable(p *policies.Policy) bool { return p.Rule(r.ID).Waivable }

// SetRules returns the rules over the whole set, in the order they are reported.
func SetRules() []SetRule {
	return []SetRule{
		folderLayout,
		passwordPolicy,
		samePassword,
		oneForAll,
		duplicateKey,
		mixedIssuers,
		caClass,
		caTransition,
		publicClientAuth,
		stampAlerts,
		planWindow,
		acrAlignment,
		paasRoot,
		waiversRule,
	}
}

func (s *Set) params(id string) policies.RuleParameters { return s.run.Policy.Rule(id) }

// chained reports whether the CA of a subject can be judged at all: without a sound chain, or a waiver for it, Cert Chain
// has said so.
func (s *Set) chained(i int) bool {
	r := s.results[i]["cert-chain"]
	return s.Subjects[i].Leaf != nil && (r == OK || r == Warning)
}

func one(j Judgement) []Judgement { return []Judgement{j} }
