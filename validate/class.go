package validate

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

// Classification says what kind of CA issued a certificate, and by which evidence.
type Classification struct {
	Class    policies.Class
	Path     []*x509.Certificate // leaf to anchor, or as far as it goes
	Evidence string              // one line: anchor hash and path
	Doubt    string              // why the class is not certain; empty when it is
}

// anchor is the end of the path, nil when there is no issuer.
func (c Classification) anchor() *x509.Certificate {
	if len(c.Path) < 2 {
		return nil
	}
	return c.Path[len(c.Path)-1]
}

// issuing is the CA that signed the leaf, nil when it was not seen.
func (c Classification) issuing() *x509.Certificate {
	if len(c.Path) < 2 {
		return nil
	}
	return c.Path[1]
}

// classify decides offline. A path to a configured enterprise anchor wins, then a path to a public one, then a root that
// only the file vouches for; whoever can make a file can make such a root, so that is said.
func classify(leaf *x509.Certificate, pool []*x509.Certificate, anchors *anchorIndex, distrusted func(sha256 string) string) Classification {
	if leaf == nil {
		return Classification{Class: policies.Unknown, Doubt: "no certificate was seen"}
	}
	if selfIssued(leaf) {
		return Classification{
			Class: policies.SelfSigned, Path: []*x509.Certificate{leaf},
			Evidence: "the certificate " + quote(leaf.Subject.String()) + " is its own issuer",
		}
	}
	f := finder{pool: pool, anchors: anchors, budget: 64}
	f.walk([]*x509.Certificate{leaf})
	f.longest = slices.Clone(f.longest)

	if p := shortest(f.enterprise); p != nil {
		c := Classification{Class: policies.Enterprise, Path: p, Evidence: evidence("enterprise anchor", p)}
		if len(f.public) > 0 {
			c.Evidence += "; a public path exists too"
		}
		return c
	}
	if p := shortest(f.public); p != nil {
		c := Classification{Class: policies.Public, Path: p, Evidence: evidence("public anchor", p)}
		root := p[len(p)-1]
		known := anchors.public[keyOf(root)].certificate
		for _, sum := range []string{hexSHA256(root.Raw), hexSHA256(known.Raw)} {
			if why := distrusted(sum); why != "" {
				c.Doubt = why
			}
		}
		return c
	}
	if p := shortest(f.private); p != nil {
		c := Classification{
			Class: policies.Enterprise, Path: p, Evidence: evidence("root known from the file alone", p),
			Doubt: "only the file vouches for its root",
		}
		if f.constrained != nil {
			c.Doubt = "the public root refuses it: " + f.constrained.Error()
		}
		return c
	}
	top := f.longest[len(f.longest)-1]
	return Classification{
		Class: policies.Unknown, Path: f.longest,
		Evidence: "path ends at " + quote(top.Subject.String()),
		Doubt:    "the issuer " + quote(top.Issuer.String()) + " was not found" + wouldBe(top, anchors),
	}
}

// wouldBe says which anchor carries the name of the missing issuer. A name is a hint, no proof.
func wouldBe(top *x509.Certificate, anchors *anchorIndex) string {
	for _, c := range anchors.bySubject[string(top.RawIssuer)] {
		if _, ok := anchors.enterprise[keyOf(c)]; ok {
			return ": an enterprise anchor has this name but another key"
		}
		if _, ok := anchors.public[keyOf(c)]; ok {
			return ": a public anchor has this name but another key"
		}
	}
	return ""
}

// selfIssued is true for a leaf that names itself as issuer, whether or not its signature holds.
func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// finder collects the paths from a leaf to anchors and to self-signed certificates.
type finder struct {
	pool        []*x509.Certificate
	anchors     *anchorIndex
	budget      int // signature checks left: a file of a hundred crossed CAs must not cost a minute
	enterprise  [][]*x509.Certificate
	public      [][]*x509.Certificate
	private     [][]*x509.Certificate
	longest     []*x509.Certificate
	constrained error
}

const longestPath = 10

func (f *finder) walk(path []*x509.Certificate) {
	if len(path) > len(f.longest) {
		f.longest = slices.Clone(path)
	}
	top := path[len(path)-1]
	if len(path) > 1 && f.ends(path, top) {
		return
	}
	if len(path) == longestPath {
		return
	}
	for _, list := range [][]*x509.Certificate{f.pool, f.anchors.bySubject[string(top.RawIssuer)]} {
		for _, c := range list {
			if !bytes.Equal(c.RawSubject, top.RawIssuer) || slices.ContainsFunc(path, c.Equal) || !f.signed(top, c) {
				continue
			}
			f.walk(append(slices.Clip(path), c))
		}
	}
}

// ends files a path that has arrived. A public path goes on: an enterprise anchor may lie above a cross-signed root.
func (f *finder) ends(path []*x509.Certificate, top *x509.Certificate) bool {
	key := keyOf(top)
	if _, ok := f.anchors.enterprise[key]; ok {
		f.enterprise = append(f.enterprise, slices.Clone(path))
		return true
	}
	if root, ok := f.anchors.public[key]; ok {
		var err error
		if root.constraint != nil {
			err = root.constraint(path)
		}
		if err == nil {
			f.public = append(f.public, slices.Clone(path))
			return pfx.SelfSigned(top)
		}
		f.constrained = err
	}
	if pfx.SelfSigned(top) {
		f.private = append(f.private, slices.Clone(path))
		return true
	}
	return false
}

func (f *finder) signed(child, parent *x509.Certificate) bool {
	if f.budget == 0 {
		return false
	}
	f.budget--
	// Walk verifies SHA-1 signatures too, which crypto/x509 refuses since Go 1.24.
	chain, _ := pfx.Walk(child, []*x509.Certificate{parent})
	return len(chain) == 2
}

func shortest(paths [][]*x509.Certificate) []*x509.Certificate {
	var best []*x509.Certificate
	for _, p := range paths {
		if best == nil || len(p) < len(best) {
			best = p
		}
	}
	return best
}

func evidence(what string, path []*x509.Certificate) string {
	var names []string
	for _, c := range path {
		names = append(names, quote(c.Subject.String()))
	}
	return fmt.Sprintf("%s sha256:%s, path %s", what, hexSHA256(path[len(path)-1].Raw), strings.Join(names, " <- "))
}

// kinship is how the CAs of two certificates are related.
type kinship int

const (
	strangers  kinship = iota
	renamed            // same names, other keys: a CA renewed with a new key is another CA
	sameRoot           // another issuing CA under the same root key
	sameIssuer         // the same issuing key
)

// related compares two CAs by their keys, never by name alone.
func related(a, b Classification) kinship {
	ia, ib := a.issuing(), b.issuing()
	if ia == nil || ib == nil {
		return strangers
	}
	if bytes.Equal(ia.RawSubjectPublicKeyInfo, ib.RawSubjectPublicKeyInfo) {
		return sameIssuer
	}
	ta, tb := a.anchor(), b.anchor()
	if bytes.Equal(ta.RawSubjectPublicKeyInfo, tb.RawSubjectPublicKeyInfo) {
		return sameRoot
	}
	if bytes.Equal(ia.RawSubject, ib.RawSubject) || bytes.Equal(ta.RawSubject, tb.RawSubject) {
		return renamed
	}
	return strangers
}
