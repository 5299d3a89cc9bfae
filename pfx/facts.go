package pfx

import "context"

// The values of [Facts.Integrity].
const (
	IntegrityNone      = "none"      // no MacData: nobody can tell whether the file was changed
	IntegrityMAC       = "mac"       // password MAC of RFC 7292
	IntegrityPBMAC1    = "pbmac1"    // RFC 9579
	IntegritySignature = "signature" // public-key integrity; such a file is not opened
)

// The values of [Facts.Encryption]. The first two are the names Windows and the Azure Stack documents use.
const (
	TripleDESSHA1       = "TripleDES-SHA1"
	AES256SHA256        = "AES256-SHA256"
	EncryptionRC2       = "RC2-40/3DES"
	EncryptionMixed     = "mixed" // several ciphers, or one that is neither of the above
	EncryptionNone      = "none"
	EncryptionPartClear = "partly clear"
	EncryptionUnknown   = "unknown"
)

// Algorithm is one use of a cipher or MAC.
type Algorithm struct {
	Name       string // "3DES", "2-key 3DES", "RC2-40", "RC2-128", "AES-256-CBC", "DES-EDE3-CBC", "SHA1", "PBMAC1-SHA256"…; empty when clear
	OID        string // dotted: the PBE scheme, for PBES2 and PBMAC1 the cipher or MAC inside
	Iterations int    // of the key derivation; 0 when clear
	Salt       int    // bytes
	PRF        string // of PBKDF2: "HMAC-SHA256"…; empty for the PKCS#12 key derivation
}

// KeyFacts describes a private key's bag.
type KeyFacts struct {
	Safe         int       // index of the safe that holds it
	Shrouded     bool      // encrypted by itself
	Cipher       Algorithm // zero unless Shrouded
	LocalMachine bool      // has attribute 1.3.6.1.4.1.311.17.2
	CSP          string    // attribute 1.3.6.1.4.1.311.17.1, the provider's name
	FriendlyName string
	LocalKeyID   []byte
	CipherLen    int // bytes of the encrypted key, which hint at its size; see [KeyFacts.SizeHint]
}

// SizeHint guesses the kind of an encrypted key from the length of its ciphertext: "RSA-2048", or "" when no usual key is
// that long.
func (k KeyFacts) SizeHint() string {
	for _, h := range []struct {
		low, high int
		name      string
	}{
		{40, 64, "Ed25519"},
		{72, 80, "P-256"},
		{120, 176, "P-256"},
		{177, 208, "P-384"},
		{209, 272, "P-521"},
		{600, 680, "RSA-1024"},
		{1190, 1280, "RSA-2048"},
		{1750, 1850, "RSA-3072"},
		{2340, 2432, "RSA-4096"},
		{4600, 4760, "RSA-8192"},
	} {
		if k.CipherLen >= h.low && k.CipherLen <= h.high {
			return h.name
		}
	}
	return ""
}

// SafeFacts describes one entry of the authenticated safe.
type SafeFacts struct {
	Kind   string    // "data" (clear), "encrypted" or "enveloped"
	Cipher Algorithm // of an encrypted safe
	Bags   int       // -1 while encrypted
}

// Facts is what a file shows of itself. From [Read] it is what can be seen without the password; from [Open] it also
// covers what was inside.
type Facts struct {
	Size              int
	Version           int // 3
	BER               bool
	Trailing          int  // bytes after the file's last element
	TrailingZeros     bool // all of them zero: some Windows versions write eight
	Integrity         string
	MAC               Algorithm
	Safes             []SafeFacts
	Keys              []KeyFacts
	ClearCertificates int
	OtherBags         []string // types of bags that hold neither key nor certificate: the OID, and its name when known
	Encryption        string
	EncryptionDetail  string // every place with its algorithm
}

// Read tells what b shows without its password. Derivations over the limits are refused here already. The errors are those
// of [Open], except [ErrPassword].
func Read(b []byte, l Limits) (*Facts, error) {
	r := newReader(context.Background(), l)
	if err := r.file(b); err != nil {
		return nil, err
	}
	r.conclude()
	return &r.facts, nil
}
