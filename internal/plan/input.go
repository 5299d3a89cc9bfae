package plan

import (
	"time"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// Input is everything a plan is made from. Nothing else is consulted: the same Input gives the same bytes.
type Input struct {
	Kind       Kind
	Tool       string
	Repository string
	Commit     string
	AsOf       time.Time

	Stamp             Stamp // names and digests
	Version           policies.Version
	Identity          policies.Identity
	Simulated         bool
	PreviouslyRotated *bool // nil: the stamp file doesn't say
	Policy            *policies.Policy

	Report       validate.StampReport // of the planned set; external and rerun
	Certificates []Certificate
	Transitions  []Transition
	Observed     []Observed

	Share       Share
	PFXPassword string // reference
	PEP         PEP
	Transcripts Transcripts
	BMC         BMCChange
	Port        int      // of the external endpoints
	Resolve     []string // the stamp file's answers instead of DNS
	Windows     []string
	InstalledCA string // asserted class; empty when it was read

	AcceptHealth []Assertion // What is the test
	Combined     string      // reason: the operator knows that internal secrets rotate too
	Reason       string      // of an internal rotation: "compromise: ..." or "alert: ..."
	NoPEPCheck   string      // reason: stage may publish without asking the endpoint first
	Fresh        string      // reason: start anew although the last action failed
	Adopt        string      // reason: rerun a failed rotation that this tool did not start
	KnowIdentity string      // reason: the identity system is known although no AD FS endpoint can be seen
	RerunOf      Kind        // rerun: External (default) or Internal
}

// Share is the share as the stamp file has it.
type Share struct {
	UNC            string
	Folder         string
	User           string
	Password       string // reference
	SigningOnly    bool
	AccessUser     string
	AccessPassword string // reference
	Backup         string
}

// Transcripts is where the endpoint's transcripts are moved to after a rotation; a zero value leaves them.
type Transcripts struct {
	UNC      string
	User     string
	Password string // reference
}

// BMCChange is what the stamp file says of the controllers' credential.
type BMCChange struct {
	Update      string // pep | redfish | external
	NewUser     string
	NewPassword string // reference
}

// Acknowledgements that an Input may hold, by the word they are asserted under.
const (
	AssertPreviouslyRotated = "previously-rotated"
	AssertInstalledCA       = "installed-ca"
	AssertWaiver            = "waiver"
	AssertHealth            = "accept-health"
	AssertCombined          = "combined-rotation"
	AssertReason            = "internal-reason"
	AssertNoPEPCheck        = "no-pep-check"
	AssertFresh             = "fresh"
	AssertAdopt             = "adopt"
	AssertIdentity          = "identity"
)
