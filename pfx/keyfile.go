package pfx

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

const (
	encryptedKeyBlock = "ENCRYPTED PRIVATE KEY"
	// keyIterations is the least for a key file, which lies in a repository for weeks. (A PFX keeps to what Windows writes.)
	keyIterations = 600_000
)

// EncryptKey writes key as PKCS#8 in PEM, encrypted with PBES2 (PBKDF2-HMAC-SHA256, AES-256-CBC). iterations below 600 000
// are raised to it. random makes salt and IV; nil means crypto/rand.
func EncryptKey(key crypto.Signer, password string, iterations int, random io.Reader) ([]byte, error) {
	if key == nil {
		return nil, errors.New("encrypt key: no private key")
	}
	if password == "" {
		return nil, errors.New("encrypt key: the password is empty")
	}
	if most := DefaultLimits().Iterations; iterations > most {
		return nil, fmt.Errorf("encrypt key: %d iterations, at most %d", iterations, most)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, &UnsupportedError{What: fmt.Sprintf("private key to write: %T", key)}
	}
	w := writer{random: random, password: passwords(password)[0], iterations: max(iterations, keyIterations)}
	if w.random == nil {
		w.random = rand.Reader
	}
	s, algorithm, err := w.pbes2()
	if err != nil {
		return nil, err
	}
	sealed, err := s.encrypt(context.Background(), w.password, der)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedKeyBlock, Bytes: sequenceDER(algorithm, octetsDER(sealed))}), nil
}

// DecryptKey reads an "ENCRYPTED PRIVATE KEY" PEM block of ours or openssl's; text around it is skipped. The errors are
// those of [Open].
func DecryptKey(ctx context.Context, text []byte, password string, l Limits) (crypto.Signer, error) {
	r := newReader(ctx, l)
	if len(text) > r.budget.limits.Size {
		return nil, overLimit("bytes", int64(len(text)), r.budget.limits.Size)
	}
	block, rest := pem.Decode(text)
	for block != nil && block.Type != encryptedKeyBlock {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, malformed("key file: no PEM block %q", encryptedKeyBlock)
	}
	e, err := r.only(block.Bytes, 1, "key file")
	if err != nil {
		return nil, err
	}
	m, err := r.sequence(e, 2, 2, "key file")
	if err != nil {
		return nil, err
	}
	s, err := r.scheme(m[0], "key file")
	if err != nil {
		return nil, err
	}
	sealed, err := r.octets(m[1], "key file")
	if err != nil {
		return nil, err
	}
	der, err := s.decrypt(r.budget.ctx, passwords(password)[0], sealed)
	if err != nil {
		return nil, err
	}
	// Nothing authenticates a key file: a wrong password in 256 decrypts to well-padded noise.
	if _, err := r.only(der, 1, "key"); err != nil {
		return nil, ErrPassword
	}
	var k Key
	k.parse(der)
	return k.Signer, k.Err
}
