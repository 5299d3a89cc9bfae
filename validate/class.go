package validate

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

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

// classifier holds what certificates are classified by. It is read-only.
type classifier struct {
	anchors    *anchorIndex
	at         time.Time                      // a root may be disabled from a day on
	distrusted func(sha256 string) string     // of the built-in roots: why a stamp may not trust one
	toPublic   func(c *x509.Certificate) bool // marked as issued by a public CA to the public
	maxAge     time.Duration                  // of a trust list
}

func newClassifier(in *Input, anchors *anchorIndex) classifier {
	return classifier{
		anchors: anchors, at: in.AsOf, distrusted: in.Policy.Distrusted, toPublic: in.Policy.IssuedToPublic, maxAge: in.Policy.ListMaxAge(),
	}
}

// classify decides offline. A path to a configured enterprise anchor wins, then a path to a public one, then a root that
// only the file vouches for; whoever can make a file can make such a root, so that is said.
func (k classifier) classify(leaf *x509.Certificate, pool []*x509.Certificate) Classification {
	if leaf == nil {
		return Classification{Class: policies.Unknown, Doubt: "no certificate was seen"}
	}
	if selfIssued(leaf) {
		c := Classification{
			Class: policies.SelfSigned, Path: []*x509.Certificate{leaf},
			Evidence: "the certificate " + quote(leaf.Subject.String()) + " is its own issuer",
		}
		if !k.anchors.signatures.SelfSigned(leaf) {
			c.Doubt = "its signature does not hold under its own key: it is malformed"
		}
		return c
	}
	f := finder{classifier: k, pool: pool, budget: maxSignatures}
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
		return k.public(p, f.public)
	}
	var doubts []string
	if f.refused != nil {
		doubts = append(doubts, "the public root refuses it: "+f.refused.Error())
	}
	if f.budget == 0 {
		doubts = append(doubts, "there are too many CAs of the same names to try them all")
	}
	if p := shortest(f.private); p != nil {
		c := Classification{Class: policies.Enterprise, Path: p, Evidence: evidence("root known from the file alone", p)}
		if f.refused == nil {
			doubts = append([]string{onlyFile}, doubts...)
		} else if len(k.anchors.public[keyOf(p[len(p)-1])]) > 0 {
			c.Evidence = evidence("refused public anchor", p)
		}
		c.Doubt = strings.Join(doubts, "; ")
		return c
	}
	top := f.longest[len(f.longest)-1]
	return Classification{
		Class: policies.Unknown, Path: f.longest,
		Evidence: "path ends at " + quote(top.Subject.String()),
		Doubt:    strings.Join(append([]string{"the issuer " + quote(top.Issuer.String()) + " was not found" + k.anchors.wouldBe(top)}, doubts...), "; "),
	}
}

// onlyFile is the one doubt that goes away when the stamp serves certificates of the same CA today.
const onlyFile = "only the file vouches for its root"

// public is the class of a certificate with a path to a public anchor, and what speaks against relying on it.
func (k classifier) public(path []*x509.Certificate, all [][]*x509.Certificate) Classification {
	c := Classification{Class: policies.Public, Path: path, Evidence: evidence("public anchor", path)}
	root := path[len(path)-1]
	for _, other := range all {
		if o := other[len(other)-1]; !bytes.Equal(o.RawSubjectPublicKeyInfo, root.RawSubjectPublicKeyInfo) {
			c.Evidence += "; another public path ends at sha256:" + hexSHA256(o.Raw)
			break
		}
	}
	var doubts []string
	if k.anchors.builtIn {
		sums := []string{hexSHA256(root.Raw)}
		for _, known := range k.anchors.public[keyOf(root)] {
			sums = append(sums, hexSHA256(known.certificate.Raw))
		}
		for _, sum := range sums {
			if why := k.distrusted(sum); why != "" {
				doubts = append(doubts, why)
				break
			}
		}
	}
	if l := k.anchors.list; l != nil {
		c.Evidence += "; trust list of " + l.ThisUpdate.Format(time.DateOnly)
		if k.at.Sub(l.ThisUpdate) > k.maxAge {
			doubts = append(doubts, "the trust list is of "+l.ThisUpdate.Format(time.DateOnly)+", and a root may have been disabled since")
		}
	}
	if why := k.private(path); why != "" {
		doubts = append(doubts, why)
	}
	c.Doubt = strings.Join(doubts, "; ")
	return c
}

// private says why a CA below a public root looks like somebody's own. Such a CA is public to the documents, as its root is,
// but neither its rules nor its next root are those of the public CA.
func (k classifier) private(path []*x509.Certificate) string {
	const but = ": an enterprise CA below a public root"
	for _, c := range path[1 : len(path)-1] {
		if len(c.PermittedDNSDomains)+len(c.PermittedIPRanges)+len(c.PermittedEmailAddresses)+len(c.PermittedURIDomains) > 0 {
			return quote(c.Subject.String()) + " may issue for some names only" + but
		}
	}
	if !k.toPublic(path[0]) {
		return "the certificate has none of the policies that public CAs mark theirs with" + but
	}
	return ""
}

// selfIssued is true for a leaf that names itself as issuer, whether or not its signature holds.
func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// maxSignatures bounds the signatures that one classification checks: a file of a hundred crossed CAs must not cost a minute.
const maxSignatures = 64

// finder collects the paths from a leaf to anchors and to self-signed certificates.
type finder struct {
	classifier
	pool       []*x509.Certificate
	budget     int // signature checks left
	enterprise [][]*x509.Certificate
	public     [][]*x509.Certificate
	private    [][]*x509.Certificate
	longest    []*x509.Certificate
	refused    error // by a public anchor
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
	for _, c := range f.issuers(top) {
		if slices.ContainsFunc(path, c.Equal) || !f.signed(top, c) {
			continue
		}
		f.walk(append(slices.Clip(path), c))
	}
}

// issuers lists what by its name may have issued a certificate, each once. Whose key identifier fits comes first, so that a
// flood of look-alikes does not use up the signatures before the right one is tried; so do anchors.
func (f *finder) issuers(c *x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, list := range [][]*x509.Certificate{f.anchors.bySubject[string(c.RawIssuer)], f.pool} {
		for _, p := range list {
			if bytes.Equal(p.RawSubject, c.RawIssuer) && !slices.ContainsFunc(out, p.Equal) {
				out = append(out, p)
			}
		}
	}
	fits := func(p *x509.Certificate) int {
		if len(c.AuthorityKeyId) > 0 && !bytes.Equal(c.AuthorityKeyId, p.SubjectKeyId) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b *x509.Certificate) int { return fits(a) - fits(b) })
	return out
}

// ends files a path that has arrived. A public path goes on: an enterprise anchor may lie above a cross-signed root.
func (f *finder) ends(path []*x509.Certificate, top *x509.Certificate) bool {
	if _, ok := f.anchors.enterprise[keyOf(top)]; ok {
		f.enterprise = append(f.enterprise, slices.Clone(path))
		return true
	}
	if known, err := f.anchors.trusts(path, top, f.at); known {
		if err == nil {
			f.public = append(f.public, slices.Clone(path))
			return f.anchors.signatures.SelfSigned(top)
		}
		f.refused = err
	}
	if f.anchors.signatures.SelfSigned(top) {
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
	chain, _ := f.anchors.signatures.Walk(child, []*x509.Certificate{parent})
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
	sameRoot           // another issuing CA under the same key
	sameIssuer         // the same issuing key
)

// related compares two CAs by their keys, never by name alone. The root of one may be an intermediate of the other, and two
// roots may have signed one CA: what leads through the same key stands under the same CA.
func related(a, b Classification) kinship {
	ia, ib := a.issuing(), b.issuing()
	if ia == nil || ib == nil {
		return strangers
	}
	if sameKey(ia, ib) {
		return sameIssuer
	}
	for _, c := range a.Path[1:] {
		if slices.ContainsFunc(b.Path[1:], func(x *x509.Certificate) bool { return sameKey(c, x) }) {
			return sameRoot
		}
	}
	if bytes.Equal(ia.RawSubject, ib.RawSubject) || bytes.Equal(a.anchor().RawSubject, b.anchor().RawSubject) {
		return renamed
	}
	return strangers
}

func sameKey(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

// reissued says that a CA of both paths has the same key in different certificates, or "".
func reissued(a, b Classification) string {
	if len(a.Path) < 2 || len(b.Path) < 2 {
		return ""
	}
	for _, x := range a.Path[1:] {
		for _, y := range b.Path[1:] {
			if !sameKey(x, y) || x.Equal(y) {
				continue
			}
			if bytes.Equal(x.RawIssuer, y.RawIssuer) {
				return quote(y.Subject.String()) + " was issued again with the same key, which is the same CA"
			}
			return quote(y.Subject.String()) + " is cross-signed: another certificate of the same key, which is the same CA"
		}
	}
	return ""
}
