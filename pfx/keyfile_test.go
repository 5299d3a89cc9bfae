package pfx

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFile(t *testing.T) {
	f, dir := theFamily(), t.TempDir()
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, key := range map[string]crypto.Signer{
		"rsa": f.key, "ecdsa": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), "ed25519": ed,
	} {
		text, err := EncryptKey(key, testPassword, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecryptKey(t.Context(), append([]byte("a note\n"), text...), testPassword, DefaultLimits())
		if err != nil || !samePublic(key.Public(), got.Public()) {
			t.Errorf("%s: %v", name, err)
		}
		path := writeFile(t, dir, name+".pem", text)
		clear := run(t, "openssl", "pkcs8", "-in", path, "-passin", "pass:"+testPassword)
		if block, _ := pem.Decode([]byte(clear)); block == nil || block.Type != "PRIVATE KEY" {
			t.Errorf("%s: openssl says %q", name, clear)
		}
		if out := run(t, "openssl", "asn1parse", "-in", path); !strings.Contains(out, ":0927C0") || !strings.Contains(out, "aes-256-cbc") || !strings.Contains(out, "hmacWithSHA256") {
			t.Errorf("%s: not 600 000 iterations of HMAC-SHA256 for AES-256:\n%s", name, out)
		}
	}
	if a, err := EncryptKey(f.key, testPassword, 1, bytes.NewReader(make([]byte, 32))); err != nil || len(a) == 0 {
		t.Errorf("given randomness: %v", err)
	}
}

func TestDecryptKeyReadsOpenSSL(t *testing.T) {
	f, dir := theFamily(), t.TempDir()
	in := writeFile(t, dir, "key.pem", keyPEM(t, f.key))
	for _, args := range [][]string{
		nil,
		{"-iter", "1000"},
		{"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"},
		{"-v2", "des3", "-v2prf", "hmacWithSHA512"},
		{"-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA384"},
		{"-v2prf", "hmacWithSHA224"},
		{"-v1", "PBE-SHA1-3DES"},
	} {
		out := filepath.Join(dir, "out.pem")
		run(t, "openssl", append([]string{"pkcs8", "-topk8", "-in", in, "-out", out, "-passout", "pass:" + testPassword}, args...)...)
		text := must(os.ReadFile(out))
		if got, err := DecryptKey(t.Context(), text, testPassword, DefaultLimits()); err != nil || !f.key.Equal(got) {
			t.Errorf("%q: %v", args, err)
		}
		if _, err := DecryptKey(t.Context(), text, "wrong", DefaultLimits()); !errors.Is(err, ErrPassword) {
			t.Errorf("%q with a wrong password: %v", args, err)
		}
	}
}

func TestKeyFileRefuses(t *testing.T) {
	f := theFamily()
	block := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: encryptedKeyBlock, Bytes: der}) }
	salt, body := octetsDER(make([]byte, 8)), octetsDER(make([]byte, 64))
	for name, row := range map[string]struct {
		text []byte
		want error
	}{
		"nothing":        {nil, ErrFormat},
		"a clear key":    {keyPEM(t, f.key), ErrFormat},
		"2^62":           {block(sequenceDER(pbe(salt, power(62, 0)), body)), ErrLimit},
		"2^31-1":         {block(sequenceDER(pbes2(power(31, 1)), body)), ErrLimit},
		"0":              {block(sequenceDER(pbes2(integerDER(0)), body)), ErrFormat},
		"a long salt":    {block(sequenceDER(pbe(octetsDER(make([]byte, 4096)), integerDER(1)), body)), ErrLimit},
		"trailing bytes": {block(append(sequenceDER(pbe(salt, integerDER(1)), body), 0)), ErrFormat},
		"nonsense":       {block(nonsenseKey()), ErrPassword},
		"too large":      {make([]byte, 2<<20), ErrLimit},
	} {
		if _, err := DecryptKey(t.Context(), row.text, testPassword, DefaultLimits()); !errors.Is(err, row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := EncryptKey(f.key, "", 0, nil); err == nil {
		t.Error("an empty password was taken")
	}
	if _, err := EncryptKey(nil, testPassword, 0, nil); err == nil {
		t.Error("no key was taken")
	}
	if _, err := EncryptKey(f.key, testPassword, math.MaxInt, nil); err == nil {
		t.Error("endless iterations were taken")
	}
}
