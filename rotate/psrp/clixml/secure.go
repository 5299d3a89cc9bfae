package clixml

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"unicode/utf16"
	"unicode/utf8"
)

const redacted = "[redacted]"

// SecureString is a secret. It redacts itself under every fmt verb, in slog, JSON, text and YAML. The text hangs on a
// pointer, so that even a rendering that reaches the unexported field shows an address at most.
type SecureString struct{ p *string }

// NewSecureString wraps a secret.
func NewSecureString(s string) SecureString { return SecureString{p: &s} }

// Reveal returns the secret. Call it as late as possible.
func (s SecureString) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

func (s SecureString) String() string               { return redacted }
func (s SecureString) GoString() string             { return redacted }
func (s SecureString) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s SecureString) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (s SecureString) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (s SecureString) MarshalYAML() (any, error)    { return redacted, nil }

// Format also covers the verbs that String and GoString do not reach, such as %d and %x.
func (s SecureString) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// Sealer turns a secret into the text of an SS element.
type Sealer interface {
	Seal(s SecureString) (string, error)
}

// Opener is the way back.
type Opener interface {
	Open(text string) (SecureString, error)
}

// SessionKey seals and opens the secure strings of one runspace pool: AES-256 in CBC mode over UTF-16 with a zero
// initialization vector (MS-PSRP section 2.2.5.1.24). Equal secrets are therefore equal on the wire; the protection that
// counts is the sealed transport beneath.
type SessionKey struct{ block cipher.Block }

// NewSessionKey takes the 32 bytes of the key exchange.
func NewSessionKey(key []byte) (*SessionKey, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("clixml: the session key has %d bytes, want 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &SessionKey{block: block}, nil
}

func (k *SessionKey) String() string   { return redacted }
func (k *SessionKey) GoString() string { return redacted }

// Seal implements Sealer.
func (k *SessionKey) Seal(s SecureString) (string, error) {
	text := s.Reveal()
	if !utf8.ValidString(text) {
		return "", errors.New("clixml: a secure string is not valid UTF-8")
	}
	units := utf16.Encode([]rune(text))
	pad := aes.BlockSize - len(units)*2%aes.BlockSize
	plain := make([]byte, 0, len(units)*2+pad)
	for _, u := range units {
		plain = binary.LittleEndian.AppendUint16(plain, u)
	}
	for range pad {
		plain = append(plain, byte(pad))
	}
	cipher.NewCBCEncrypter(k.block, make([]byte, aes.BlockSize)).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain), nil
}

// Open implements Opener. Its errors do not tell apart what is wrong with the padding.
func (k *SessionKey) Open(text string) (SecureString, error) {
	bad := errors.New("clixml: a secure string does not open with the session key")
	b, err := decodeBase64(text)
	if err != nil || len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return SecureString{}, bad
	}
	cipher.NewCBCDecrypter(k.block, make([]byte, aes.BlockSize)).CryptBlocks(b, b)
	pad := int(b[len(b)-1])
	if pad == 0 || pad > aes.BlockSize || pad%2 != 0 {
		return SecureString{}, bad
	}
	for _, p := range b[len(b)-pad:] {
		if int(p) != pad {
			return SecureString{}, bad
		}
	}
	b = b[:len(b)-pad]
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return NewSecureString(string(utf16.Decode(units))), nil
}
