package pfx

import (
	"crypto"
	"io"
)

// EncryptKey writes key as PKCS#8 in PEM, encrypted with PBES2 (PBKDF2-HMAC-SHA256, AES-256-CBC). iterations below 600 000
// are raised to it.
func EncryptKey(key crypto.Signer, password string, iterations int, rand io.Reader) ([]byte, error) {
	return nil, &UnsupportedError{What: "key files: not built yet"}
}

// DecryptKey reads an "ENCRYPTED PRIVATE KEY" PEM block of ours or openssl's.
func DecryptKey(pem []byte, password string, l Limits) (crypto.Signer, error) {
	return nil, &UnsupportedError{What: "key files: not built yet"}
}
