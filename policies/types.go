// Package policies holds the domain as data: which endpoints a stamp has, what their certificates must look like, which
// CA may follow which, what changes at which release, and the cmdlets of the privileged endpoint. The data is the YAML
// beside this file, each entry with the document it comes from and the day that was read. The Go code loads it and looks
// things up; it decides nothing.
//
// To change a rule's parameter, change the YAML: the tests hold the tables against the documents.
package policies

import "strings"

// Identity is a stamp's identity system. The two strings are also folder names.
type Identity string

// The two identity systems.
const (
	AAD  Identity = "AAD"
	ADFS Identity = "ADFS"
)

// Source says where a fact was read.
type Source struct {
	Doc     string `yaml:"doc"`               // short name of the document, for example PKI-2508
	Section string `yaml:"section,omitempty"` // where in it
	Read    string `yaml:"read"`              // the day it was read, 2006-01-02
}

// String renders the source for a finding.
func (s Source) String() string {
	if s.Section == "" {
		return s.Doc
	}
	return s.Doc + ", " + s.Section
}

// Span is a range of releases: From is included, Until is not, and 0 leaves a side open.
type Span struct {
	From  int `yaml:"from,omitempty"`
	Until int `yaml:"until,omitempty"`
}

// Has reports whether v's release lies in the span.
func (s Span) Has(v Version) bool {
	r := v.Release()
	return r >= s.From && (s.Until == 0 || r < s.Until)
}

// Endpoint is one external endpoint of a stamp: one folder with one PFX on the share, or with a resource provider.
type Endpoint struct {
	ID         string          `yaml:"id"`                    // acs-blob
	Type       CertificateType `yaml:"type,omitempty"`        // empty in the table: Deployment
	Folder     string          `yaml:"folder"`                // ACSBlob, spelled as the stamp spells it, spaces included
	Also       []string        `yaml:"also,omitempty"`        // other spellings met in documents: recognised, then "rename to"
	Label      string          `yaml:"label"`                 // *.blob: what stands before <region>.<fqdn>
	MoreLabels []string        `yaml:"more-labels,omitempty"` // further labels that the one certificate must hold
	Direct     bool            `yaml:"direct,omitempty"`      // the PFX lies directly in the folder of its type
	Exact      bool            `yaml:"exact,omitempty"`       // a wildcard may not stand in for the name
	AnySubject bool            `yaml:"any-subject,omitempty"` // the subject is ignored: only the alternative names count
	Probe      string          `yaml:"probe,omitempty"`       // the label asked for when Label is a wildcard: azs-probe.blob
	Identity   []Identity      `yaml:"identity"`              // identity systems that have it
	Span       Span            `yaml:"span"`                  // releases that have it
	Optional   string          `yaml:"optional,omitempty"`    // the name in optional-endpoints that asks for it; empty: mandatory
	Source     Source          `yaml:"source"`
}

// Name is the DNS name the certificate must hold, lower case: *.blob.east.azurestack.contoso.com.
func (e Endpoint) Name(domain string) string { return strings.ToLower(e.Label + "." + domain) }

// ProbeHost is a host name that reaches the endpoint: the name itself, or an invented label under its wildcard.
func (e Endpoint) ProbeHost(domain string) string {
	if e.Probe != "" {
		return strings.ToLower(e.Probe + "." + domain)
	}
	return e.Name(domain)
}

// Stem is the folder without its spaces: the file name before .pfx.
func (e Endpoint) Stem() string { return strings.ReplaceAll(e.Folder, " ", "") }

// Class is what kind of CA issued a certificate.
type Class string

// The classes of the transition matrix. Unknown is treated as Enterprise, and said.
const (
	SelfSigned Class = "self-signed"
	Enterprise Class = "enterprise"
	Public     Class = "public"
	Unknown    Class = "unknown"
)

// Decision is a cell of the transition matrix.
type Decision string

// What a transition may be.
const (
	Allowed        Decision = "ok"
	AllowedWarning Decision = "warning"
	Refused        Decision = "refuse"
)
