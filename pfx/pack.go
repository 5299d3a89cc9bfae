package pfx

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/des" //nolint:gosec // what Windows calls TripleDES-SHA1
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
)

// Pack is what a file to be written holds.
type Pack struct {
	Key          crypto.Signer
	Leaf         *x509.Certificate
	Chain        []*x509.Certificate // without the leaf: issuing CA first, upwards
	Password     string
	Encryption   string // TripleDESSHA1 (the default) or AES256SHA256
	Iterations   int    // of MAC and encryption; 0 means 2000, which is what Windows writes
	LocalMachine bool   // ask Windows to import into the machine's key store
	CSP          string // provider name, when not empty
	FriendlyName string
	Rand         io.Reader // for salts and IVs; nil means crypto/rand
}

const windowsIterations = 2000

// Encode writes the file the way Windows does: the key's safe first, then one encrypted safe with the certificates, leaf
// first. Key and leaf carry the localKeyId 1. (go-pkcs12's encoder can set neither the local-machine attribute nor names and
// lays the file out as OpenSSL does, hence an own one.)
//
// Nothing is written that a stamp would refuse for its structure: the key must match the leaf, each certificate must have
// been issued by the next one, and the password must not be empty.
func (p Pack) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	w := writer{random: p.Rand, password: passwords(p.Password)[0], iterations: cmp.Or(p.Iterations, windowsIterations)}
	if w.random == nil {
		w.random = rand.Reader
	}
	scheme, digest := (*writer).pbes2, oidSHA256
	if cmp.Or(p.Encryption, TripleDESSHA1) == TripleDESSHA1 {
		scheme, digest = (*writer).tripleDES, oidSHA1
	}
	key, err := p.keySafe(&w, scheme)
	if err != nil {
		return nil, err
	}
	certificates, err := p.certificateSafe(&w, scheme)
	if err != nil {
		return nil, err
	}
	safes := sequenceDER(key, certificates)
	mac, err := w.mac(digest, safes)
	if err != nil {
		return nil, err
	}
	return sequenceDER(integerDER(3), sequenceDER(oidDER(oidData), explicitDER(octetsDER(safes))), mac), nil
}

func (p Pack) check() error {
	switch {
	case p.Key == nil:
		return errors.New("pack: no private key")
	case p.Leaf == nil:
		return errors.New("pack: no leaf certificate")
	case !samePublic(p.Key.Public(), p.Leaf.PublicKey):
		return fmt.Errorf("pack: the key does not belong to certificate %q", p.Leaf.Subject)
	case p.Password == "":
		return errors.New("pack: the password is empty")
	case p.Iterations < 0 || p.Iterations > DefaultLimits().Iterations:
		return fmt.Errorf("pack: %d iterations, want 1 to %d", p.Iterations, DefaultLimits().Iterations)
	}
	switch p.Encryption {
	case "", TripleDESSHA1, AES256SHA256:
	default:
		return fmt.Errorf("pack: encryption %q, want %s or %s", p.Encryption, TripleDESSHA1, AES256SHA256)
	}
	below := p.Leaf
	for i, c := range p.Chain {
		if c == nil {
			return fmt.Errorf("pack: certificate %d of the chain is missing", i+1)
		}
		if SelfSigned(below) {
			return fmt.Errorf("pack: chain out of order: %q signed itself, and %q follows", below.Subject, c.Subject)
		}
		if !bytes.Equal(below.RawIssuer, c.RawSubject) {
			return fmt.Errorf("pack: chain out of order: %q was issued by %q, and %q follows", below.Subject, below.Issuer, c.Subject)
		}
		if err := signedBy(below, c); err != nil {
			return fmt.Errorf("pack: chain out of order: the key of %q did not sign %q: %w", c.Subject, below.Subject, err)
		}
		below = c
	}
	return nil
}

// localKeyID is the DWORD 1, little-endian, that Windows gives the first key of a file.
func localKeyID() []byte {
	return attributeDER(oidLocalKeyID, octetsDER([]byte{1, 0, 0, 0}))
}

func (p Pack) keySafe(w *writer, newScheme func(*writer) (scheme, []byte, error)) ([]byte, error) {
	der, err := marshalKey(p.Key)
	if err != nil {
		return nil, err
	}
	s, algorithm, err := newScheme(w)
	if err != nil {
		return nil, err
	}
	sealed, err := s.encrypt(context.Background(), w.password, der)
	if err != nil {
		return nil, err
	}
	attributes := [][]byte{localKeyID()}
	if p.FriendlyName != "" {
		attributes = append(attributes, attributeDER(oidFriendlyName, bmpDER(p.FriendlyName)))
	}
	if p.LocalMachine {
		attributes = append(attributes, attributeDER(oidLocalMachine)) // an empty set: 30 0D 06 09 2B … 11 02 31 00
	}
	if p.CSP != "" {
		attributes = append(attributes, attributeDER(oidCSPName, bmpDER(p.CSP)))
	}
	bag := sequenceDER(oidDER(oidShroudedBag), explicitDER(sequenceDER(algorithm, octetsDER(sealed))), sortedSetDER(attributes...))
	return sequenceDER(oidDER(oidData), explicitDER(octetsDER(sequenceDER(bag)))), nil
}

func (p Pack) certificateSafe(w *writer, newScheme func(*writer) (scheme, []byte, error)) ([]byte, error) {
	attributes := [][]byte{localKeyID()}
	if p.FriendlyName != "" {
		attributes = append(attributes, attributeDER(oidFriendlyName, bmpDER(p.FriendlyName)))
	}
	bags := [][]byte{certificateBag(p.Leaf, sortedSetDER(attributes...))}
	for _, c := range p.Chain {
		bags = append(bags, certificateBag(c))
	}
	s, algorithm, err := newScheme(w)
	if err != nil {
		return nil, err
	}
	sealed, err := s.encrypt(context.Background(), w.password, sequenceDER(bags...))
	if err != nil {
		return nil, err
	}
	info := sequenceDER(oidDER(oidData), algorithm, tlv(0x80, sealed))
	return sequenceDER(oidDER(oidEncryptedData), explicitDER(sequenceDER(integerDER(0), info))), nil
}

func certificateBag(c *x509.Certificate, attributes ...[]byte) []byte {
	value := explicitDER(sequenceDER(oidDER(oidX509Bag), explicitDER(octetsDER(c.Raw))))
	return sequenceDER(append([][]byte{oidDER(oidCertBag), value}, attributes...)...)
}

// marshalKey writes PKCS#8. An RSA key gets the attribute of Windows exports that makes it a key-exchange key
// (keyUsage 0x10 = AT_KEYEXCHANGE), which TLS servers on CAPI providers need.
func marshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, &UnsupportedError{What: fmt.Sprintf("private key to write: %T", key)}
	}
	if _, ok := key.(*rsa.PrivateKey); !ok {
		return der, nil
	}
	w := walker{depth: 4}
	e, err := w.only(der, 1, "private key")
	if err != nil {
		return nil, err
	}
	const keyUsage = "2.5.29.15"
	return sequenceDER(e.body, tlv(0xa0, attributeDER(keyUsage, []byte{0x03, 0x02, 0x00, 0x10}))), nil
}

// A writer holds what all parts of one file share.
type writer struct {
	random     io.Reader
	password   password
	iterations int
}

func (w *writer) bytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(w.random, b); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return b, nil
}

func (w *writer) tripleDES() (s scheme, algorithm []byte, err error) {
	d, _ := hashByOID(oidSHA1)
	s = scheme{kdf: d, iterations: w.iterations, keyLen: 24, block: des.NewTripleDESCipher}
	if s.salt, err = w.bytes(8); err != nil {
		return s, nil, err
	}
	return s, sequenceDER(oidDER(oidPBE3DES), sequenceDER(octetsDER(s.salt), integerDER(w.iterations))), nil
}

func (w *writer) pbes2() (s scheme, algorithm []byte, err error) {
	d, _ := prfByOID(oidHMACSHA256)
	s = scheme{pbes2: true, kdf: d, iterations: w.iterations, keyLen: 32, block: aes.NewCipher}
	if s.salt, err = w.bytes(16); err != nil {
		return s, nil, err
	}
	if s.iv, err = w.bytes(aes.BlockSize); err != nil {
		return s, nil, err
	}
	kdf := sequenceDER(oidDER(oidPBKDF2), sequenceDER(
		octetsDER(s.salt), integerDER(w.iterations), sequenceDER(oidDER(oidHMACSHA256), nullDER())))
	cipher := sequenceDER(oidDER(oidAES256), octetsDER(s.iv))
	return s, sequenceDER(oidDER(oidPBES2), sequenceDER(kdf, cipher)), nil
}

func (w *writer) mac(oid string, message []byte) ([]byte, error) {
	d, _ := hashByOID(oid)
	salt, err := w.bytes(20)
	if err != nil {
		return nil, err
	}
	k := mac{scheme: scheme{salt: salt, iterations: w.iterations, kdf: d}, hash: d}
	sum, err := k.over(context.Background(), w.password, message)
	if err != nil {
		return nil, err
	}
	info := sequenceDER(sequenceDER(oidDER(oid), nullDER()), octetsDER(sum))
	if w.iterations == 1 {
		return sequenceDER(info, octetsDER(salt)), nil // DER leaves the default out
	}
	return sequenceDER(info, octetsDER(salt), integerDER(w.iterations)), nil
}
