// Package stamp reads stamps/<name>/stamp.yaml into a Stamp.
//
// Load reports every mistake of a file at once, each with file, line and column, and the likely correction. It is strict
// on purpose: a key nobody reads would be a promise nobody keeps. No anchors, aliases, merge keys or tags: what a
// reviewer sees in one place is what counts. A secret is always a reference; text that looks like the secret itself is
// refused and never repeated.
//
// Whoever may change this file may point a login at another machine, so everything a credential could reach is also
// pinned outside the repository: see Target.
//
// LoadAll reads many stamps and Repository opens files without leaving the checkout. The table of fields in fields.go is
// the one description of the format: the reader and the JSON schema (Schema) are both made from it.
package stamp

import (
	"path"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/policies"
)

// FileName is the name of a stamp's file in its directory.
const FileName = "stamp.yaml"

// MaxSize bounds a stamp file, in bytes.
const MaxSize = 1 << 20

// Stamp is one scale unit as its file describes it. Paths are slash-separated and relative to the repository's root,
// unless the file gives an absolute one.
type Stamp struct {
	Name              string
	Region            string // one DNS label, lower case
	FQDN              string // external suffix without the region, lower case
	Identity          policies.Identity
	Version           policies.Version // as precise as written
	PreviouslyRotated *bool            // nil: the file doesn't say
	OptionalEndpoints []string
	CloudID           string // pinned; empty: not pinned
	Simulated         bool
	Port              int      // of the external endpoints, default 443
	Resolve           []string // NAME:PORT:ADDRESS[:PORT]; see Addresses

	InstalledCA       InstalledCA
	PublicRoots       string // file of roots that count as public; empty: the built-in ones
	EnterpriseRoots   string // file of roots that count as the operator's own; empty: none
	Certificates      string // directory of the PFX tree
	ResourceProviders string // directory with a folder for each type of resource provider; empty: none
	PFXPassword       secret.Ref
	AgeIdentity       secret.Ref
	Share             Share
	PEP               PEP
	BMC               BMC
	Backup            string // directory, off the share; empty: none
	Windows           Windows
	Policy            string // file that tightens the policy; empty: none
	// Runner holds the labels of the runner that reaches the stamp. It is no part of the target: a label lends no credential,
	// and the environment's own runner group decides what runs there.
	Runner []string

	File   string // of this stamp, in the repository
	Dir    string // directory of File
	Digest string // hex SHA-256 of the file, line ends normalised so that a Windows checkout has the same one

	caSHA256 string
}

// Domain is <region>.<fqdn>, the base of every external name.
func (s *Stamp) Domain() string { return s.Region + "." + s.FQDN }

// InstalledCA says how the class of the CA that issued today's certificates is known.
type InstalledCA struct {
	Mode string // one of the Mode constants
	File string // certificate file, with ModeFile
}

// How the installed CA is known. The middle three are a person's word.
const (
	ModeEndpoints  = "endpoints" // read from what the endpoints serve
	ModeSelfSigned = "self-signed"
	ModeEnterprise = "enterprise"
	ModePublic     = "public"
	ModeFile       = "file"
)

// Share is where the stamp reads its certificates from.
type Share struct {
	UNC            string // \\host\share[\path], without Certificates and without a trailing backslash
	Folder         string // the same share as this machine sees it; empty: over SMB
	SigningOnly    bool   // over SMB: accept a server that does not encrypt
	User           string // publishes
	Password       secret.Ref
	AccessUser     string // reads for the stamp; the same as User unless given
	AccessPassword secret.Ref
}

// IsZero reports whether the file has no share.
func (s Share) IsZero() bool { return s.UNC == "" }

// PEP is the privileged endpoint.
type PEP struct {
	Hosts         []string // host or host:port, in the order they are tried
	User          string
	Password      secret.Ref
	TLS           bool
	Pin           string // sha256:<hex> of the server certificate
	CA            string // PEM file
	Configuration string

	Transcripts         string // \\host\share[\path] to which they are moved after a rotation; empty: they stay
	TranscriptsUser     string
	TranscriptsPassword secret.Ref
}

// IsZero reports whether the file has no privileged endpoint.
func (p PEP) IsZero() bool { return len(p.Hosts) == 0 }

// BMC says how the credential of the nodes' baseboard controllers is changed.
type BMC struct {
	Update      string // pep | redfish | external; empty: the file has no bmc
	NewPassword secret.Ref
	NewUser     string
}

// IsZero reports whether the file has no bmc.
func (b BMC) IsZero() bool { return b.Update == "" }

// Values a field has when the file leaves it out.
const (
	DefaultPort          = 443
	DefaultConfiguration = "PrivilegedEndpoint"
	DefaultRunner        = "self-hosted"
	defaultCertificates  = "certificates"
	// bmcByPEP is the first release whose privileged endpoint changes the controllers itself (ROT-1910).
	bmcByPEP = 1910
)

// fillIn sets what the file left out. It runs after all fields are read, because some defaults look at others.
func (s *Stamp) fillIn(given func(path string) bool) {
	if s.Port == 0 {
		s.Port = DefaultPort
	}
	if s.Certificates == "" {
		s.Certificates = path.Join(s.Dir, defaultCertificates)
	}
	if s.InstalledCA.Mode == "" {
		s.InstalledCA.Mode = ModeEndpoints
	}
	if s.Share.AccessUser == "" {
		s.Share.AccessUser = s.Share.User
	}
	if s.Share.AccessPassword.IsZero() {
		s.Share.AccessPassword = s.Share.Password
	}
	if s.PEP.Transcripts != "" && s.PEP.TranscriptsUser == "" {
		s.PEP.TranscriptsUser, s.PEP.TranscriptsPassword = s.Share.AccessUser, s.Share.AccessPassword
	}
	if len(s.Runner) == 0 {
		s.Runner = []string{DefaultRunner}
	}
	if given("pep") && s.PEP.Configuration == "" {
		s.PEP.Configuration = DefaultConfiguration
	}
	if given("bmc") && s.BMC.Update == "" {
		s.BMC.Update = "external"
		if s.Version.Release() >= bmcByPEP {
			s.BMC.Update = "pep"
		}
	}
}
