package csr

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// ManifestName is the file that maps requests to endpoints.
const ManifestName = "manifest.json"

// Manifest maps the requests of a folder to endpoints and keys. It holds no secrets.
type Manifest struct {
	SchemaVersion int     `json:"schemaVersion"`
	Domain        string  `json:"domain"` // <region>.<fqdn>
	Requests      []Entry `json:"requests"`
}

// Entry is one request. A CA's answer finds its key by SPKI, never by a file's name.
type Entry struct {
	Folders []string `json:"folders"`
	Names   []string `json:"dnsNames"`
	Request string   `json:"request"` // file
	Key     string   `json:"key"`     // file, encrypted
	SPKI    string   `json:"spkiSha256"`
}

// maxManifest bounds what is read.
const maxManifest = 1 << 20

// ReadManifest reads a manifest strictly.
func ReadManifest(b []byte) (*Manifest, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("manifest of %d bytes, at most %d", len(b), maxManifest)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	m := &Manifest{}
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("manifest: more than one document")
	}
	if m.SchemaVersion != 1 {
		return nil, fmt.Errorf("manifest: schema version %d, wanted 1", m.SchemaVersion)
	}
	return m, nil
}

// PEM is the request as CAs take it.
func (r Request) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.DER})
}

// SealAge encrypts a key to age recipients (armoured). The plain key never leaves memory.
func SealAge(key crypto.Signer, recipients ...age.Recipient) ([]byte, error) {
	if len(recipients) == 0 {
		return nil, errors.New("no recipient to encrypt the key to")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt the key: %w", err)
	}
	_, err = w.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := errors.Join(err, w.Close(), a.Close()); err != nil {
		return nil, fmt.Errorf("encrypt the key: %w", err)
	}
	return out.Bytes(), nil
}

// OpenAge decrypts a key that SealAge encrypted.
func OpenAge(b []byte, identities ...age.Identity) (crypto.Signer, error) {
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(b)), identities...)
	if err != nil {
		return nil, fmt.Errorf("decrypt the key: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("decrypt the key: %w", err)
	}
	block, _ := pem.Decode(plain)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("decrypt the key: no private key inside")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("decrypt the key: no PKCS#8 key inside")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("decrypt the key: the key cannot sign")
	}
	return signer, nil
}
