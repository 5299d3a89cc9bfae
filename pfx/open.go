package pfx

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

const (
	maxKeyDER  = 8 << 10  // a PKCS#8 RSA-8192 takes 4.7 kB and 5 ms to check; the time grows with the cube
	maxRSABits = 16 << 10 // of a certificate's key
)

func (r *reader) open(candidates []password) (*Bundle, error) {
	if r.check != nil {
		p, err := r.check.verify(r.budget, candidates, r.message)
		if err != nil {
			return nil, err
		}
		candidates = []password{p}
	}
	out := &Bundle{Leaf: -1}
	for i := range r.safes {
		s := &r.safes[i]
		if s.kind != "data" {
			if err := r.decryptSafe(i, s, candidates); err != nil {
				return nil, err
			}
		}
		for _, b := range s.bags {
			if err := r.budget.ctx.Err(); err != nil {
				return nil, err
			}
			if err := r.unpack(out, b, candidates); err != nil {
				return nil, err
			}
		}
	}
	r.conclude()
	out.Facts = r.facts
	out.findLeaf()
	return out, nil
}

// decryptSafe decrypts a safe and reads its bags, charging what they bring along.
func (r *reader) decryptSafe(i int, s *safe, candidates []password) error {
	return r.decrypt(&s.scheme, candidates, s.ciphertext, func(plain []byte) (err error) {
		if s.bags, err = r.contents(i, plain, s.depth); err == nil && s.bags == nil {
			s.bags = []bag{} // open, and empty
		}
		return err
	})
}

// decrypt gives use the plaintext under the first candidate that fits. Without a MAC, contents that make no sense count as
// a wrong password: one in 256 ends in plausible padding.
func (r *reader) decrypt(s *scheme, candidates []password, data []byte, use func(plain []byte) error) error {
	var err error
	for n, p := range candidates {
		if n > 0 {
			if s.pbes2 {
				break // the candidates differ for PKCS#12's own derivation only
			}
			if err := r.budget.spend(s.iterations, s.cost); err != nil {
				return err
			}
		}
		var plain []byte
		if plain, err = s.decrypt(r.budget.ctx, p, data); err == nil {
			if err = use(plain); r.check == nil && errors.Is(err, ErrFormat) {
				err = fmt.Errorf("%s: %w", s.what, ErrPassword)
			}
		}
		if !errors.Is(err, ErrPassword) {
			return err
		}
	}
	return err
}

func (r *reader) unpack(out *Bundle, b bag, candidates []password) error {
	switch b.oid {
	case oidCertBag:
		c, err := r.certificate(b)
		if err != nil {
			return err
		}
		out.Certificates = append(out.Certificates, c)
	case oidKeyBag:
		if !b.value.is(universal, tagSeq, true) {
			return malformed("key: not a sequence")
		}
		key := Key{Facts: b.keyFacts()}
		key.parse(sequenceDER(b.value.body)) // the walker keeps no headers
		out.Keys = append(out.Keys, key)
	case oidShroudedBag:
		key := Key{Facts: b.keyFacts()}
		err := r.decrypt(&b.shroud, candidates, b.ciphertext, func(der []byte) error {
			_, err := r.only(der, 1, "key")
			if err == nil {
				key.parse(der)
			}
			return err
		})
		if err != nil {
			return err
		}
		out.Keys = append(out.Keys, key)
	}
	return nil
}

// certificate reads CertBag ::= SEQUENCE { type, [0] value }.
func (r *reader) certificate(b bag) (c Certificate, err error) {
	const what = "certificate bag"
	m, err := r.sequence(b.value, 2, 2, what)
	if err != nil {
		return c, err
	}
	oid, err := r.oid(m[0], what)
	if err != nil {
		return c, err
	}
	value, err := r.explicit(m[1], 0, what)
	if err != nil {
		return c, err
	}
	c = Certificate{Safe: b.safe, FriendlyName: b.friendlyName, LocalKeyID: slices.Clone(b.localKeyID)}
	if oid != oidX509Bag {
		c.Raw = value.body
		c.Err = &UnsupportedError{OID: oid, What: "certificate type"}
		return c, nil
	}
	if c.Raw, err = r.octets(value, what); err != nil {
		return c, err
	}
	c.Raw = slices.Clone(c.Raw)
	c.X509, c.Err = parseCertificate(c.Raw)
	c.NegativeSerial = negativeSerial(c.Raw)
	return c, nil
}

// parseCertificate refuses RSA keys so large that verifying one signature would take minutes.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return nil, overLimit("bits of an RSA key", int64(k.N.BitLen()), maxRSABits)
	}
	return c, nil
}

// public is the certificate's key, also when crypto/x509 refuses the rest of it: the leaf of a file is its leaf even with a
// malformed extension. It returns nil when there is none.
func (c Certificate) public() crypto.PublicKey {
	if c.X509 != nil {
		return c.X509.PublicKey
	}
	const subjectPublicKeyInfo = 5 // after serial number, algorithm, issuer, validity and subject
	fields := toBeSigned(c.Raw)
	if len(fields) <= subjectPublicKeyInfo || len(fields[subjectPublicKeyInfo].body) > maxKeyDER {
		return nil
	}
	public, err := x509.ParsePKIXPublicKey(sequenceDER(fields[subjectPublicKeyInfo].body))
	if err != nil {
		return nil
	}
	return public
}

// negativeSerial looks into the bytes, because crypto/x509 reads such a certificate only in a program that asks for it with
// the GODEBUG setting x509negativeserial=1, as certstamp does.
func negativeSerial(der []byte) bool {
	fields := toBeSigned(der)
	return len(fields) > 0 && fields[0].is(universal, tagInteger, false) && len(fields[0].body) > 0 && fields[0].body[0] >= 0x80
}

// toBeSigned returns the fields of a certificate from its serial number on, or nil when it has another shape.
func toBeSigned(der []byte) []element {
	const what = "certificate"
	w := walker{depth: 4}
	outer, err := w.only(der, 1, what)
	if err != nil {
		return nil
	}
	m, err := w.sequence(outer, 3, 3, what)
	if err != nil {
		return nil
	}
	fields, err := w.sequence(m[0], 6, 10, what)
	if err != nil {
		return nil
	}
	if fields[0].is(tagged, 0, true) { // the version
		fields = fields[1:]
	}
	return fields
}

func (k *Key) parse(der []byte) {
	if len(der) > maxKeyDER {
		k.Err = overLimit("bytes of a private key", int64(len(der)), maxKeyDER)
		return
	}
	k.Signer, k.Algorithm, k.Err = parsePKCS8(der)
}

// parsePKCS8 returns the key and its name, which is the OID of its algorithm when crypto/x509 does not read that.
func parsePKCS8(der []byte) (key crypto.Signer, name string, err error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if oid := keyAlgorithm(der); oid != "" && !readableKey(oid) {
			return nil, oid, &UnsupportedError{OID: oid, What: "private key: " + unreadName(oid)}
		}
		return nil, "", malformed("private key: %v", err) // names structures, never values
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, keyAlgorithm(der), &UnsupportedError{What: fmt.Sprintf("private key: %T cannot sign", parsed)}
	}
	return key, keyName(key.Public()), nil
}

// keyAlgorithm returns the OID in PKCS#8: SEQUENCE { version, algorithm, … }.
func keyAlgorithm(der []byte) string {
	w := walker{depth: 8}
	e, err := w.only(der, 1, "private key")
	if err != nil {
		return ""
	}
	m, err := w.sequence(e, 3, 5, "private key")
	if err != nil {
		return ""
	}
	oid, _, err := w.algorithm(m[1], "private key")
	if err != nil {
		return ""
	}
	return oid
}

func readableKey(oid string) bool {
	return oid == oidRSA || oid == oidEC || oid == oidEd25519 || oid == oidX25519
}

func keyName(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA-" + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", public)
}

// findLeaf pairs by public key: the position says nothing (NSS writes the leaf last) and localKeyId is free text, so it
// only breaks ties, which arise when a renewal kept its key.
func (b *Bundle) findLeaf() {
	for _, k := range b.Keys {
		if k.Signer == nil {
			continue
		}
		for i, c := range b.Certificates {
			if samePublic(k.Signer.Public(), c.public()) {
				b.LeafMatches = append(b.LeafMatches, i)
			}
		}
		if len(b.LeafMatches) == 0 {
			continue
		}
		b.Leaf = b.LeafMatches[0]
		for _, i := range b.LeafMatches {
			if len(k.Facts.LocalKeyID) > 0 && string(b.Certificates[i].LocalKeyID) == string(k.Facts.LocalKeyID) {
				b.Leaf = i
				break
			}
		}
		return
	}
}

// leafKey is the index of the key that the leaf belongs to, or -1.
func (b *Bundle) leafKey() int {
	if b.Leaf < 0 {
		return -1
	}
	public := b.Certificates[b.Leaf].public()
	return slices.IndexFunc(b.Keys, func(k Key) bool { return k.Signer != nil && samePublic(k.Signer.Public(), public) })
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
