package validate

import (
	"fmt"
	"strings"

	"github.com/certstamp/certstamp/policies"
)

// Severity is what a fault against a rule counts as. It follows the words of the source: what blocks a deployment or a
// rotation is an Error, what the documents only recommend is a Caution.
type Severity string

// The two severities.
const (
	Error   Severity = "error"
	Caution Severity = "warning"
)

// Reads is what a rule must have in front of it. What cannot be read is Skipped, never passed.
type Reads int

const (
	// ReadsFile wants the bytes of a PFX, not its password.
	ReadsFile Reads = iota
	// ReadsCertificates wants leaf and chain: from the opened file, or from the public twin when there is no password.
	ReadsCertificates
	// ReadsPair wants the file's name and twin only, and is always judged.
	ReadsPair
)

// Sets says which sets a rule is about.
type Sets int

// The kinds of sets.
const (
	EverySet      Sets = iota
	DeploymentSet      // what a rotation takes
	ProviderSets       // certificates of resource providers
)

func (s Sets) has(r *run) bool {
	return s == EverySet || r.deployment() == (s == DeploymentSet)
}

// Rule judges one file. Its parameters, its source and whether it may be waived are data in policies, under its ID.
type Rule struct {
	ID       string // stable, kebab case: printed, waived and documented by this name
	Name     string // as the ReadinessChecker prints it
	About    string // one sentence: what a good file is like
	Severity Severity
	Reads    Reads
	Sets     Sets
	Needs    []string // rules that must not have failed, else this one is Skipped

	// Sealed means that a fault can be seen without the password but its absence cannot: then OK becomes Skipped.
	Sealed bool

	Check func(*Subject) Judgement
}

// Cite returns the document a rule comes from.
func (r Rule) Cite(p *policies.Policy) policies.Source { return p.Rule(r.ID).Source }

// Waivable reports whether a policy overlay may turn the rule's Fail into a Warning.
func (r Rule) Waivable(p *policies.Policy) bool { return p.Rule(r.ID).Waivable }

// Rules returns the rules over one file in the order the ReadinessChecker prints them; ours come last.
func Rules() []Rule {
	return []Rule{
		pfxEncryption,
		expiryDate,
		signatureAlgorithm,
		dnsNames,
		keyUsage,
		keyLength,
		parsePFX,
		privateKey,
		certChain,
		chainOrder,
		otherCertificates,
		httpCRL,
		subjectInSAN,
		serialNumber,
		kdfIterations,
		twin,
		encryptedAtRest,
	}
}

// Judgement is what a Check says. Every string is one line, foreign text in it is quoted.
type Judgement struct {
	Result Result
	Found  string
	Wanted string
	Hint   string

	Folders []string // set rules: the folders concerned
}

func pass(found string) Judgement { return Judgement{Result: OK, Found: found} }

func fail(found, wanted, hint string) Judgement {
	return Judgement{Result: Fail, Found: found, Wanted: wanted, Hint: hint}
}

func warn(found, wanted, hint string) Judgement {
	return Judgement{Result: Warning, Found: found, Wanted: wanted, Hint: hint}
}

func skip(found, hint string) Judgement {
	return Judgement{Result: Skipped, Found: found, Hint: hint}
}

func (j Judgement) in(folders ...string) Judgement {
	j.Folders = folders
	return j
}

// worse orders results: OK, Warning, Skipped, Fail.
func worse(a, b Result) Result {
	rank := map[Result]int{OK: 0, Warning: 1, Skipped: 2, Fail: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// quoteList quotes foreign strings, at most ten of them.
func quoteList(list []string) string {
	const most = 10
	var out []string
	for i, s := range list {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		out = append(out, quote(s))
	}
	return strings.Join(out, ", ")
}

// quote quotes one foreign string and bounds its length: a subject may be a megabyte.
func quote(s string) string {
	const most = 200
	r := []rune(s)
	if len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
