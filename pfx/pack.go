package pfx

import (
	"crypto"
	"crypto/x509"
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

// Encode writes the file, leaf first.
func (p Pack) Encode() ([]byte, error) {
	return nil, &UnsupportedError{What: "packing: not built yet"}
}
