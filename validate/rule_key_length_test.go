package validate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"testing"
)

func TestKeyLength(t *testing.T) {
	modulus := func(bits uint) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
	}
	for _, row := range []struct {
		claim string
		key   any
		want  Result
		found string
	}{
		{"4096", modulus(4096), OK, ""},
		{"2049", modulus(2049), OK, ""},
		{"2048", modulus(2048), OK, ""},
		{"2047", modulus(2047), Fail, "2047 bits"},
		{"1024", modulus(1024), Fail, "1024 bits"},
		{"ECDSA", &ecdsa.PublicKey{Curve: elliptic.P256()}, Fail, "unverified"},
		{"Ed25519", ed25519.PublicKey{}, Fail, "unverified"},
		{"unknown", nil, Fail, "unverified"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			leaf := *s.Leaf
			leaf.PublicKey = row.key
			s.Leaf = &leaf
			check(t, keyLength.Check(s), row.want, row.found)
		})
	}
}
