// Package validate judges certificate files before anybody stakes an outage window on them.
//
// A Rule is a value with an ID, a name, a source and a Check. Run applies every rule to every file and to the set as a
// whole, reports everything it found in one pass, and never stops at the first mistake: each round trip to a CA costs a
// day. Results carry the names the Microsoft ReadinessChecker prints, so that operators find their way.
//
// Nothing here dials, reads a clock or a disk: bytes, passwords and the time to judge by (AsOf) are inputs.
package validate

// Result is the outcome of one test. The words are the ReadinessChecker's.
type Result string

// The four results. Skipped means "could not be judged" and is never a pass.
const (
	OK      Result = "OK"
	Warning Result = "Warning"
	Fail    Result = "Fail"
	Skipped Result = "Skipped"
)

// Finding is one judgement, in every room: what was tested, what was found, what was wanted and what to do.
// Everything but ID, Name and Result is empty when the result is OK and there is nothing to say.
type Finding struct {
	ID     string `json:"id"`   // kebab case, stable: dns-names
	Name   string `json:"name"` // as the ReadinessChecker prints it: DNS Names
	Result Result `json:"result"`
	Found  string `json:"found,omitempty"`
	Wanted string `json:"wanted,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Source string `json:"source,omitempty"` // document and section of the rule
	Waived string `json:"waived,omitempty"` // reason and end date, when a waiver turned a Fail into a Warning

	Folders []string `json:"folders,omitempty"` // set findings: the endpoint folders concerned
}

// Verdict sums findings up.
type Verdict string

// The three verdicts.
const (
	Pass       Verdict = "pass"
	Warn       Verdict = "warn"
	FailedOnce Verdict = "fail"
)

// CertificateReport is the judgement over one PFX file. FileSHA256 and LeafSHA256 are lower-case hex, Thumbprint is the
// leaf's SHA-1 in upper-case hex as Windows shows it, NotAfter is RFC 3339 in UTC.
type CertificateReport struct {
	Folder     string    `json:"folder"`
	File       string    `json:"file"`
	Thumbprint string    `json:"thumbprint,omitempty"`
	FileSHA256 string    `json:"fileSha256"`
	LeafSHA256 string    `json:"leafSha256,omitempty"`
	NotAfter   string    `json:"notAfter,omitempty"`
	Verdict    Verdict   `json:"verdict"`
	Tests      []Finding `json:"tests"`
}

// StampReport is the judgement over one stamp's set. Complete is false when a required test was skipped: then it is
// never a pass and never becomes a plan.
type StampReport struct {
	Stamp        string              `json:"stamp"`
	Type         string              `json:"type,omitempty"` // of the certificates; empty: Deployment
	Simulated    bool                `json:"simulated"`
	Verdict      Verdict             `json:"verdict"`
	Complete     bool                `json:"complete"`
	Certificates []CertificateReport `json:"certificates"`
	Set          []Finding           `json:"set"`
}
