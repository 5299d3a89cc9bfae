package validate

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
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
	constraint  func([]*x509.Certificate) error
}

// anchorIndex is read-only once made.
type anchorIndex struct {
	enterprise map[anchorKey]*x509.Certificate
	public     map[anchorKey]publicRoot
	bySubject  map[string][]*x509.Certificate // anchors and extra intermediates as possible issuers
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
		out = append(out, publicRoot{c, r.Constraint})
	}
	return out
})

func indexAnchors(a Anchors) *anchorIndex {
	public := mozillaRoots
	if a.Public != nil {
		public = func() []publicRoot {
			var out []publicRoot
			for _, c := range a.Public {
				out = append(out, publicRoot{certificate: c})
			}
			return out
		}
	}
	x := &anchorIndex{
		enterprise: make(map[anchorKey]*x509.Certificate),
		public:     make(map[anchorKey]publicRoot),
		bySubject:  make(map[string][]*x509.Certificate),
	}
	issuer := func(c *x509.Certificate) {
		x.bySubject[string(c.RawSubject)] = append(x.bySubject[string(c.RawSubject)], c)
	}
	for _, c := range a.Enterprise {
		x.enterprise[keyOf(c)] = c
		issuer(c)
	}
	for _, r := range public() {
		x.public[keyOf(r.certificate)] = r
		issuer(r.certificate)
	}
	for _, c := range a.Extra {
		issuer(c)
	}
	return x
}
