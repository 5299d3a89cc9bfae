package pfx

import (
	"context"
	"crypto"
	"crypto/x509"
)

// Certificate is one certificate of a file.
type Certificate struct {
	Raw            []byte            // DER, always
	X509           *x509.Certificate // nil when Err is set
	Err            error             // why crypto/x509 refuses it
	Safe           int               // index of the safe that holds it
	NegativeSerial bool              // against RFC 5280 section 4.1.2.2; Windows has issued such and reads them
	FriendlyName   string
	LocalKeyID     []byte
}

// Key is one private key of a file.
type Key struct {
	Signer    crypto.Signer // nil when Err is set
	Err       error         // why it cannot be used
	Facts     KeyFacts
	Algorithm string // "RSA-2048", "ECDSA-P-256", "Ed25519", else the OID
}

// Bundle is an opened file.
type Bundle struct {
	Facts        Facts
	Certificates []Certificate // in file order
	Keys         []Key
	Leaf         int   // index of the certificate of the first usable key, -1 for none
	LeafMatches  []int // every certificate with that public key
}

// LeafCertificate returns the certificate that belongs to the key, or nil.
func (b *Bundle) LeafCertificate() *x509.Certificate {
	if b == nil || b.Leaf < 0 || b.Leaf >= len(b.Certificates) {
		return nil
	}
	return b.Certificates[b.Leaf].X509
}

// X509 returns the certificates that could be parsed, in file order.
func (b *Bundle) X509() []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range b.Certificates {
		if c.X509 != nil {
			out = append(out, c.X509)
		}
	}
	return out
}

// Open checks the integrity of b and decrypts it. The error is or wraps [ErrPassword], [ErrFormat], [ErrLimit] or the
// context's, or is an [*UnsupportedError]. A file without a MAC is opened ([Facts.Integrity] says so); there a decryption
// that makes no sense counts as a wrong password.
func Open(ctx context.Context, b []byte, password string, l Limits) (*Bundle, error) {
	r := newReader(ctx, l)
	if err := r.file(b); err != nil {
		return nil, err
	}
	if r.facts.Integrity == IntegritySignature {
		return nil, &UnsupportedError{OID: oidSignedData, What: "integrity: signature instead of a MAC"}
	}
	return r.open(passwords(password))
}
