package psrp

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// The blobs of the key exchange are those of the Windows CryptoAPI (MS-PSRP sections 2.2.2.3 and 2.2.2.4): a
// PUBLICKEYBLOB with an RSAPUBKEY, and a SIMPLEBLOB that holds an AES-256 key.
const (
	publicKeyHeader  = "\x06\x02\x00\x00\x00\xa4\x00\x00RSA1"
	sessionKeyHeader = "\x01\x02\x00\x00\x10\x66\x00\x00\x00\xa4\x00\x00"
	rsaBits          = 2048
)

func encodePublicKey(k *rsa.PublicKey) string {
	b := []byte(publicKeyHeader)
	b = binary.LittleEndian.AppendUint32(b, uint32(k.N.BitLen()))
	b = binary.LittleEndian.AppendUint32(b, uint32(k.E))
	n := k.N.FillBytes(make([]byte, (k.N.BitLen()+7)/8))
	slices.Reverse(n)
	return base64.StdEncoding.EncodeToString(append(b, n...))
}

func decodePublicKey(text string) (*rsa.PublicKey, error) {
	b, err := base64Bytes(text)
	if err != nil || len(b) != len(publicKeyHeader)+8+rsaBits/8 || string(b[:len(publicKeyHeader)]) != publicKeyHeader {
		return nil, errors.New("psrp: the public key is not a blob of RSA-2048")
	}
	b = b[len(publicKeyHeader):]
	bits, e := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	n := slices.Clone(b[8:])
	slices.Reverse(n)
	k := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(e)}
	if bits != rsaBits || k.N.BitLen() != rsaBits || e < 3 || e > 1<<31-1 || e%2 == 0 {
		return nil, errors.New("psrp: the public key is not a usable RSA-2048 key")
	}
	return k, nil
}

// sealSessionKey is the server's half.
func sealSessionKey(rand io.Reader, k *rsa.PublicKey, key []byte) (string, error) {
	//nolint:staticcheck // MS-PSRP prescribes PKCS #1 v1.5
	c, err := rsa.EncryptPKCS1v15(rand, k, key)
	if err != nil {
		return "", err
	}
	slices.Reverse(c)
	return base64.StdEncoding.EncodeToString(append([]byte(sessionKeyHeader), c...)), nil
}

// openSessionKey is the client's half.
func openSessionKey(k *rsa.PrivateKey, text string) (*clixml.SessionKey, error) {
	b, err := base64Bytes(text)
	if err != nil || len(b) != len(sessionKeyHeader)+k.Size() || string(b[:len(sessionKeyHeader)]) != sessionKeyHeader {
		return nil, errors.New("psrp: the session key is not a blob of an AES-256 key under RSA-2048")
	}
	c := b[len(sessionKeyHeader):]
	slices.Reverse(c)
	//nolint:staticcheck // MS-PSRP prescribes PKCS #1 v1.5; the peer learns nothing from our failure but a closed session
	key, err := rsa.DecryptPKCS1v15(nil, k, c)
	if err != nil {
		return nil, errors.New("psrp: the session key does not open with our key")
	}
	s, err := clixml.NewSessionKey(key)
	if err != nil {
		return nil, fmt.Errorf("psrp: %w", err)
	}
	return s, nil
}

func base64Bytes(s string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s))
}
