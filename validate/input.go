package validate

import (
	"crypto/x509"
	"time"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate/authroot"
)

// Input is everything a run judges by. Nothing else is consulted: the same Input gives the same Outcome.
type Input struct {
	Stamp     string
	Type      policies.CertificateType // empty: Deployment
	Simulated bool
	Domain    string // <region>.<fqdn>
	Version   policies.Version
	Identity  policies.Identity
	Optional  []string // optional endpoints that the stamp has
	Policy    *policies.Policy
	AsOf      time.Time

	Files []File
	// Listing is every path below the certificates directory, slash-separated; directories may end in a slash. Of a type
	// whose PFX lies directly in its folder, the paths begin with that folder.
	Listing []string

	Password   string
	NoPassword bool // judge what can be judged without Password: never complete

	Installed []Installed
	Anchors   Anchors

	CRL map[string]CRL // by hex SHA-256 of the certificate; nil: nobody asked, and nothing is said of it

	// Core is what a resource provider's certificates are held against: the stamp's Deployment set. Nil: not known.
	Core []Subject
}

// File is one PFX of the set. Blob is what lies in the repository, a .pfx or a .pfx.age; PFX is the bundle itself, empty
// while the blob is sealed; Twin is the public .crt beside it, leaf and chain, empty when there is none.
type File struct {
	Path string // below the certificates directory: ACSBlob/ACSBlob.pfx
	Blob []byte
	PFX  []byte
	Twin []byte
	// Err says why the file could not be read; it has no bytes then, and fails parse-pfx. A method Hint() string on it says
	// what to do.
	Err error
}

// Installed is what an endpoint serves today.
type Installed struct {
	Endpoint string              // policies.Endpoint.ID; empty: every endpoint without an entry of its own
	Class    policies.Class      // as asserted by a person; empty: decided from Chain
	Chain    []*x509.Certificate // as served, leaf first; the root is often missing
	Error    string              // why nothing was seen: dns, timeout, refused, tls
}

// Anchors decides what class a CA has. An explicit enterprise anchor wins over a public one.
type Anchors struct {
	Public     []*x509.Certificate // nil, with no PublicList: the Mozilla roots that this program carries
	PublicList *authroot.List      // Microsoft's list instead, verified
	Enterprise []*x509.Certificate // the operator's own roots
	Extra      []*x509.Certificate // intermediates that may be missing
}

// Outcome is the judgement over a set and what it was made from.
type Outcome struct {
	Report      StampReport
	Subjects    []Subject          // in the order of Report.Certificates
	Transitions []TransitionResult // in catalogue order, one per endpoint of the stamp that has a leaf
}
