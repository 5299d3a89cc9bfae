package validate

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/validate/authroot"
)

// anchorKey names a trust anchor by key and subject: re-issued and cross-signed roots keep both. A name alone proves
// nothing.
type anchorKey struct {
	spki    [sha256.Size]byte
	subject string
}

func keyOf(c *x509.Certificate) anchorKey {
	return anchorKey{sha256.Sum256(c.RawSubjectPublicKeyInfo), string(c.RawSubject)}
}

type publicRoot struct {
	certificate *x509.Certificate
	refuses     func(path []*x509.Certificate, at time.Time) error // nil: nothing
}

// anchorIndex is read-only once made, but for the signatures it remembers.
type anchorIndex struct {
	signatures *pfx.Signatures
	enterprise map[anchorKey]*x509.Certificate
	public     map[anchorKey][]publicRoot     // a key may be listed with several certificates
	bySubject  map[string][]*x509.Certificate // anchors and extra intermediates as possible issuers
	list       *authroot.List                 // of hashes, whose certificates may come with a file
	builtIn    bool                           // the public roots are those of this program
}

// mozillaRoots parses the roots of golang.org/x/crypto/x509roots/fallback/bundle. Its parent package is not imported: it
// would install them for the whole process.
var mozillaRoots = sync.OnceValue(func() []publicRoot {
	var out []publicRoot
	for r := range bundle.Roots() {
		c, err := x509.ParseCertificate(r.Certificate)
		if err != nil {
			continue // one odd root must not take the others with it
		}
		root := publicRoot{certificate: c}
		if r.Constraint != nil {
			root.refuses = func(path []*x509.Certificate, _ time.Time) error { return r.Constraint(path) }
		}
		out = append(out, root)
	}
	return out
})

// publicRoots are the public roots to go by. A trust list has hashes only: the certificates it means are found among the
// built-in roots and those the operator gave, else in the file itself.
func publicRoots(a Anchors) []publicRoot {
	if a.PublicList == nil && a.Public == nil {
		return mozillaRoots()
	}
	var out []publicRoot
	for _, c := range a.Public {
		out = append(out, publicRoot{certificate: c})
	}
	if a.PublicList == nil {
		return out
	}
	candidates := slices.Clone(a.Extra)
	for _, r := range mozillaRoots() {
		candidates = append(candidates, r.certificate)
	}
	for _, c := range candidates {
		if a.PublicList.Lists(c) {
			out = append(out, publicRoot{c, func(path []*x509.Certificate, at time.Time) error {
				return a.PublicList.Trusts(c, path[0], at)
			}})
		}
	}
	return out
}

func indexAnchors(a Anchors) *anchorIndex {
	x := &anchorIndex{
		signatures: &pfx.Signatures{},
		enterprise: make(map[anchorKey]*x509.Certificate),
		public:     make(map[anchorKey][]publicRoot),
		bySubject:  make(map[string][]*x509.Certificate),
		list:       a.PublicList,
		builtIn:    a.Public == nil && a.PublicList == nil,
	}
	issuer := func(c *x509.Certificate) {
		x.bySubject[string(c.RawSubject)] = append(x.bySubject[string(c.RawSubject)], c)
	}
	for _, c := range a.Enterprise {
		x.enterprise[keyOf(c)] = c
		issuer(c)
	}
	for _, r := range publicRoots(a) {
		x.public[keyOf(r.certificate)] = append(x.public[keyOf(r.certificate)], r)
		issuer(r.certificate)
	}
	for _, c := range a.Extra {
		issuer(c)
	}
	return x
}

// trusts reports whether the top of a path is a public anchor, and why that one refuses the path. Where one key has several
// certificates, one that accepts is enough.
func (x *anchorIndex) trusts(path []*x509.Certificate, top *x509.Certificate, at time.Time) (known bool, err error) {
	roots := x.public[keyOf(top)]
	if x.list != nil && x.list.Lists(top) {
		// The file brings a certificate that the list names: what the list says of this very one decides.
		return true, x.list.Trusts(top, path[0], at)
	}
	for _, r := range roots {
		if r.refuses == nil {
			return true, nil
		}
		if err = r.refuses(path, at); err == nil {
			return true, nil
		}
	}
	return len(roots) > 0, err
}

// wouldBe says which anchor carries the name of the missing issuer. A name is a hint, no proof.
func (x *anchorIndex) wouldBe(top *x509.Certificate) string {
	for _, c := range x.bySubject[string(top.RawIssuer)] {
		if _, ok := x.enterprise[keyOf(c)]; ok {
			return ": an enterprise anchor has this name but another key"
		}
		if len(x.public[keyOf(c)]) > 0 {
			return ": a public anchor has this name but another key"
		}
	}
	if x.list != nil {
		if e, ok := x.list.Issuer(top); ok {
			return ": the trust list names it " + quote(e.Name) + ", sha256:" + e.Hex() + ", and its certificate is missing"
		}
	}
	return ""
}
