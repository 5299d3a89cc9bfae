package pfx

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // old chains are signed with it
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
)

// maxSignatures bounds the signatures one walk verifies, so that a flood of look-alike issuers costs little. crypto/x509
// draws the same line at 100.
const maxSignatures = 100

// Walk orders pool from the leaf upwards: each certificate is followed by the one that issued it, by name and verified
// signature. The chain begins with the leaf and ends at a self-signed certificate or where the issuer is missing; rest is
// what has no place in it, duplicates of the chain included, in the order given. The leaf may be in pool.
//
// Where several certificates could follow (a root and its cross-signed twin), one whose key identifier fits wins, then a
// self-signed one, then the first.
func Walk(leaf *x509.Certificate, pool []*x509.Certificate) (chain, rest []*x509.Certificate) {
	return (*Signatures)(nil).Walk(leaf, pool)
}

// Signatures remembers which signatures hold. The files of a set have their CAs in common, and asking several questions
// about a file verifies the same signatures again, each at twenty times the cost of remembering it. Any number of goroutines
// may use one; nil remembers nothing.
type Signatures struct {
	mu    sync.Mutex
	known map[signature]bool
}

// signature is everything that verification depends on: the whole certificate and the issuer's key.
type signature struct{ certificate, key [sha256.Size]byte }

// Walk is the function [Walk].
func (m *Signatures) Walk(leaf *x509.Certificate, pool []*x509.Certificate) (chain, rest []*x509.Certificate) {
	rest = slices.DeleteFunc(slices.Clone(pool), func(c *x509.Certificate) bool { return c == nil })
	if leaf == nil {
		return nil, rest
	}
	if i := slices.IndexFunc(rest, leaf.Equal); i >= 0 {
		rest = slices.Delete(rest, i, i+1)
	}
	chain = []*x509.Certificate{leaf}
	left := maxSignatures
	for top := leaf; !m.SelfSigned(top); {
		i := m.issuerOf(top, chain, rest, &left)
		if i < 0 {
			break
		}
		top = rest[i]
		chain = append(chain, top)
		rest = slices.Delete(rest, i, i+1)
	}
	return chain, rest
}

func (m *Signatures) issuerOf(c *x509.Certificate, chain, pool []*x509.Certificate, left *int) int {
	var order []int
	for i, p := range pool {
		if bytes.Equal(c.RawIssuer, p.RawSubject) && !slices.ContainsFunc(chain, p.Equal) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return issuerRank(c, pool[a]) - issuerRank(c, pool[b]) })
	for _, i := range order {
		if *left--; *left < 0 {
			return -1
		}
		if m.holds(c, pool[i]) {
			return i
		}
	}
	return -1
}

func issuerRank(c, issuer *x509.Certificate) int {
	rank := 0
	if len(c.AuthorityKeyId) > 0 && !bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId) {
		rank += 2
	}
	if !bytes.Equal(issuer.RawSubject, issuer.RawIssuer) {
		rank++
	}
	return rank
}

// SelfSigned says whether c is signed by its own key under its own name. A certificate that only names itself as issuer is
// not. (CheckSignatureFrom would refuse every self-signed certificate that is not a CA.)
func SelfSigned(c *x509.Certificate) bool { return (*Signatures)(nil).SelfSigned(c) }

// SelfSigned is the function [SelfSigned].
func (m *Signatures) SelfSigned(c *x509.Certificate) bool {
	return c != nil && bytes.Equal(c.RawSubject, c.RawIssuer) && m.holds(c, c)
}

func (m *Signatures) holds(c, issuer *x509.Certificate) bool {
	if m == nil {
		return signedBy(c, issuer) == nil
	}
	key := signature{sha256.Sum256(c.Raw), sha256.Sum256(issuer.RawSubjectPublicKeyInfo)}
	m.mu.Lock()
	good, ok := m.known[key]
	m.mu.Unlock()
	if ok {
		return good
	}
	good = signedBy(c, issuer) == nil // two goroutines may both verify: cheaper than one waiting for the other's RSA
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[signature]bool{}
	}
	m.known[key] = good
	return good
}

// signedBy verifies the signature of c with issuer's key. Unlike crypto/x509 it also verifies SHA-1: that a signature is too
// weak is a finding of its own, and must not look like a missing issuer.
func signedBy(c, issuer *x509.Certificate) error {
	switch key := issuer.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() > maxRSABits {
			return overLimit("bits of an RSA key", int64(key.N.BitLen()), maxRSABits)
		}
		if c.SignatureAlgorithm == x509.SHA1WithRSA {
			sum := sha1.Sum(c.RawTBSCertificate) //nolint:gosec // see above
			return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], c.Signature)
		}
	case *ecdsa.PublicKey:
		if c.SignatureAlgorithm == x509.ECDSAWithSHA1 {
			sum := sha1.Sum(c.RawTBSCertificate) //nolint:gosec // see above
			if !ecdsa.VerifyASN1(key, sum[:], c.Signature) {
				return errors.New("signature does not verify")
			}
			return nil
		}
	}
	return issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
}
