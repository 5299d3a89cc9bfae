// Package plan turns stamp facts, policy, judged certificates and what the stamp serves today into a small, sorted,
// digest-bound document: what was reviewed is what gets rotated.
//
// New is pure. The same Input gives the same bytes; nothing here dials, reads a clock, a disk or a secret. A plan that
// must not exist is not made: New returns every reason at once instead.
//
// The document holds typed sections (Stage, Rotate, Verify, BMC). Each is everything its room needs; the rooms read
// neither the stamp file nor the policies, so nobody decides twice.
package plan

import "github.com/certstamp/certstamp/policies"

// SchemaVersion is the version of the document's shape.
const SchemaVersion = 1

// Kind is what a plan does. One kind per plan.
type Kind string

// The kinds of plan.
const (
	External Kind = "external" // stage and rotate the external certificates
	Internal Kind = "internal" // rotate the stamp's own secrets
	BMC      Kind = "bmc"      // hand the stamp a new BMC credential
	Rerun    Kind = "rerun"    // repeat a failed external rotation with exactly the same files
)

// Plan is the document. Every list is sorted, every time is RFC 3339 in UTC with whole seconds, every digest lower-case
// hex SHA-256. No floats, no secrets, no clock.
type Plan struct {
	SchemaVersion int    `json:"schemaVersion"`
	Kind          Kind   `json:"kind"`
	Simulated     bool   `json:"simulated"`
	Tool          string `json:"tool"` // version of certstamp that made it; another one cannot apply it

	// Asserted comes first in every rendering: what a person vouches for and nothing proves.
	Asserted []Assertion `json:"asserted"`

	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	AsOf       string `json:"asOf"`
	ValidUntil string `json:"validUntil"`

	Stamp Stamp `json:"stamp"`

	Certificates []Certificate `json:"certificates"` // sorted by folder
	Transitions  []Transition  `json:"transitions"`  // sorted by endpoint
	Observed     []Observed    `json:"observed"`     // sorted by endpoint
	Notices      []string      `json:"notices"`      // what users of the stamp will notice, and warnings that were admitted
	Steps        []Step        `json:"steps"`        // in order

	Stage  *StageSection  `json:"stage,omitempty"`
	Rotate *RotateSection `json:"rotate,omitempty"`
	Verify *VerifySection `json:"verify,omitempty"`
	BMC    *BMCSection    `json:"bmc,omitempty"`
}

// Assertion is a fact, waiver or acknowledgement that rests on a person's word.
type Assertion struct {
	What   string `json:"what"`   // previously-rotated, waiver, accept-health, internal-reason, combined-rotation, ...
	Value  string `json:"value"`  // what exactly is asserted
	Reason string `json:"reason"` // why, in the person's words
}

// Stamp names the stamp and the digests of everything the plan was derived from.
type Stamp struct {
	Name         string   `json:"name"`
	File         string   `json:"file"` // stamp.yaml in the repository, slash-separated
	Region       string   `json:"region"`
	FQDN         string   `json:"fqdn"` // without the region
	Identity     string   `json:"identity"`
	Version      string   `json:"version"` // as written: the stamp is held to this precision
	CloudID      string   `json:"cloudId"` // pinned; empty when the stamp file pins none
	Optional     []string `json:"optional"`
	StampDigest  string   `json:"stampDigest"`
	PolicyDigest string   `json:"policyDigest"`
	TargetDigest string   `json:"targetDigest"`
}

// Domain is <region>.<fqdn>, the base of every external name.
func (s Stamp) Domain() string { return s.Region + "." + s.FQDN }

// Runs reports whether a build that a stamp says it runs agrees with the plan's version, to the precision that one is
// written in.
func (s Stamp) Runs(reported string) (bool, error) {
	want, err := policies.ParseVersion(s.Version)
	if err != nil {
		return false, err
	}
	got, err := policies.ParseVersion(reported)
	if err != nil {
		return false, err
	}
	return want.Matches(got), nil
}

// Certificate is one planned file. BlobSHA256 is over the file in the repository (.pfx or .pfx.age), PFXSHA256 over the
// PFX the stamp will read; they are equal for a bare .pfx.
type Certificate struct {
	Endpoint   string `json:"endpoint"` // policies.Endpoint.ID
	Folder     string `json:"folder"`
	File       string `json:"file"` // name on the share: ACSBlob.pfx
	Path       string `json:"path"` // in the repository, slash-separated
	Size       int64  `json:"size"` // of the PFX
	BlobSHA256 string `json:"blobSha256"`
	PFXSHA256  string `json:"pfxSha256"`
	LeafSHA256 string `json:"leafSha256"`
	SPKISHA256 string `json:"spkiSha256"`
	Thumbprint string `json:"thumbprint"` // SHA-1 of the leaf, upper-case hex
	NotBefore  string `json:"notBefore"`
	NotAfter   string `json:"notAfter"`
	Subject    string `json:"subject"`
	Issuer     string `json:"issuer"`
}

// Transition is the CA change of one endpoint and the evidence it was judged by.
type Transition struct {
	Endpoint string `json:"endpoint"`
	From     string `json:"from"` // policies.Class of the installed certificate
	To       string `json:"to"`
	Decision string `json:"decision"` // policies.Decision
	Evidence string `json:"evidence"` // anchor hash and path
	Source   string `json:"source"`
}

// Observed is what an endpoint served when the plan was made. An unreachable endpoint has an empty LeafSHA256. Chain
// holds the certificates themselves, because the CA transition was judged by them and must come out the same when the
// plan is derived again.
type Observed struct {
	Endpoint   string   `json:"endpoint"`
	Host       string   `json:"host"`
	LeafSHA256 string   `json:"leafSha256"`
	NotAfter   string   `json:"notAfter"`
	Issuer     string   `json:"issuer"`
	Error      string   `json:"error"` // class of the failure: timeout, refused, tls; empty when served
	Chain      []string `json:"chain"` // DER in base64 as served, leaf first
}

// Step is one line of what a reviewer approves.
type Step struct {
	ID      string   `json:"id"`      // stage.publish, rotate.start, ...
	Action  string   `json:"action"`  // one sentence
	Reason  string   `json:"reason"`  // why this step is here
	Before  string   `json:"before"`  // the state it accepts as not yet done
	After   string   `json:"after"`   // the state it accepts as done; anything else is refused
	Uses    []string `json:"uses"`    // digests of the files it will use
	Changes bool     `json:"changes"` // whether it changes the share or the stamp
}

// StageSection is what the stage room publishes.
type StageSection struct {
	UNC      string        `json:"unc"`    // share root as the stamp sees it, without Certificates
	Folder   string        `json:"folder"` // the same share as this agent sees it; empty: over SMB
	User     string        `json:"user"`   // publishes; empty with Folder
	SMB      *SMB          `json:"smb,omitempty"`
	Identity string        `json:"identity"`
	Backup   string        `json:"backup"` // directory, off the share, that holds the same set; empty: none
	Restore  bool          `json:"restore"`
	Files    []PlannedFile `json:"files"` // sorted by folder
}

// SMB is how this agent reaches a share that it does not see as a folder. Passwords are references.
type SMB struct {
	Password       string   `json:"password"` // of the section's user
	AccessUser     string   `json:"accessUser"`
	AccessPassword string   `json:"accessPassword"`
	SigningOnly    bool     `json:"signingOnly"`
	Resolve        []string `json:"resolve"` // as in VerifySection
}

// PlannedFile is one file of the set, as it must lie on the share.
type PlannedFile struct {
	Folder string `json:"folder"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Parameter is one named parameter of a cmdlet. Values of secrets are never in a plan: Secret names the reference.
type Parameter struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`             // String, StringList, Switch, Int, SecureString, PSCredential
	Value  string   `json:"value,omitempty"`  // String, Int; the user name of a PSCredential
	Values []string `json:"values,omitempty"` // StringList
	Secret string   `json:"secret,omitempty"` // env:NAME or file:PATH of a SecureString or of a PSCredential's password
}

// Call is one cmdlet with its named parameters, in the order they are sent.
type Call struct {
	Cmdlet     string      `json:"cmdlet"`
	Parameters []Parameter `json:"parameters"`
}

// HealthCheck is one preflight call and how its answer counts.
type HealthCheck struct {
	Call          Call `json:"call"`
	WarningsBlock bool `json:"warningsBlock"`
}

// PEP is the privileged endpoint as pinned in the target.
type PEP struct {
	Hosts         []string `json:"hosts"` // host or host:port, in the order they are tried
	TLS           bool     `json:"tls"`
	Pin           string   `json:"pin"` // sha256:<hex> of the server certificate; empty without TLS or with CA
	CA            string   `json:"ca"`  // path of a PEM file in the repository; empty without
	User          string   `json:"user"`
	Password      string   `json:"password"` // reference
	Configuration string   `json:"configuration"`
}

// RotateSection is what the rotate room runs.
type RotateSection struct {
	PEP           PEP           `json:"pep"`
	Start         Call          `json:"start"`
	ActionName    string        `json:"actionName"` // what Get-ActionStatus is asked about
	Combined      bool          `json:"combined"`   // below 1811 the same call rotates internal secrets too
	Rerun         bool          `json:"rerun"`
	Adopt         bool          `json:"adopt"` // rerun of a failed rotation that certstamp did not start
	Fresh         string        `json:"fresh"` // reason to start anew although the last action failed
	Health        []HealthCheck `json:"health"`
	AcceptHealth  []Assertion   `json:"acceptHealth"` // What is the test's name
	UpdateCheck   bool          `json:"updateCheck"`
	Success       []string      `json:"success"` // texts that mean success, any era
	LimitSeconds  int           `json:"limitSeconds"`
	PollSeconds   int           `json:"pollSeconds"`
	Windows       []string      `json:"windows"`
	OutageMinutes string        `json:"outageMinutes"` // what users notice: "2-5"

	RootWarningDays  int  `json:"rootWarningDays,omitempty"` // before the stamp's internal root ends
	RootCriticalDays int  `json:"rootCriticalDays,omitempty"`
	RootRenewed      bool `json:"rootRenewed,omitempty"` // an internal rotation of this release renews it

	Transcripts *Call `json:"transcripts,omitempty"` // moves the endpoint's transcripts to a share once the rotation has ended
}

// VerifySection is what the endpoints must serve, and what they served before.
type VerifySection struct {
	Port      int              `json:"port"`
	Samples   int              `json:"samples"`
	Resolve   []string         `json:"resolve"` // NAME:PORT:ADDRESS[:PORT], curl's form; part of the target
	Endpoints []VerifyEndpoint `json:"endpoints"`
}

// VerifyEndpoint is one endpoint's before and after.
type VerifyEndpoint struct {
	Endpoint string `json:"endpoint"`
	Host     string `json:"host"`
	Previous string `json:"previous"` // leaf SHA-256; empty when it was unreachable at plan time
	Planned  string `json:"planned"`
}

// BMCSection is what the bmc room does through the privileged endpoint.
type BMCSection struct {
	PEP     PEP          `json:"pep"`
	Update  string       `json:"update"` // pep | external
	Call    Call         `json:"call"`
	Health  *HealthCheck `json:"health,omitempty"`
	NewUser string       `json:"newUser"`
	Longest int          `json:"longest"` // characters of the new password; 0: no document says
}
