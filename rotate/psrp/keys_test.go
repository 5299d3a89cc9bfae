package psrp

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// clientKey is drawn once: RSA keys are what makes these tests slow.
var clientKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, rsaBits) })

func testRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := clientKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPublicKeyVector(t *testing.T) {
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	n.Add(n, big.NewInt(0x0102))
	text := encodePublicKey(&rsa.PublicKey{N: n, E: 65537})
	if want := "BgIAAACkAABSU0ExAAgAAAEAAQACAQAAAAAA"; !strings.HasPrefix(text, want) {
		t.Errorf("got %.40s, want %s…", text, want)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != 276 {
		t.Errorf("got %d bytes, %v; want 276", len(b), err)
	}
}

func TestKeyExchangeBothWays(t *testing.T) {
	k := testRSA(t)
	public, err := decodePublicKey(encodePublicKey(&k.PublicKey))
	if err != nil || public.N.Cmp(k.N) != 0 || public.E != k.E {
		t.Fatalf("got %v, %v", public, err)
	}
	key := bytes.Repeat([]byte{7}, 32)
	text, err := sealSessionKey(rand.Reader, public, key)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := base64.StdEncoding.DecodeString(text); err != nil || len(b) != 268 {
		t.Errorf("got %d bytes, %v; want 268", len(b), err)
	}
	got, err := openSessionKey(k, text[:100]+"\r\n "+text[100:])
	if err != nil {
		t.Fatal(err)
	}
	want, err := clixml.NewSessionKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := got.Seal(clixml.NewSecureString("x"))
	b, _ := want.Seal(clixml.NewSecureString("x"))
	if a != b {
		t.Error("the keys differ")
	}
}

func TestKeyExchangeRefuses(t *testing.T) {
	k := testRSA(t)
	good := encodePublicKey(&k.PublicKey)
	even := *k.N
	changed := func(at int, to byte) string {
		b, err := base64Bytes(good)
		if err != nil {
			t.Fatal(err)
		}
		b[(at+len(b))%len(b)] = to
		return base64.StdEncoding.EncodeToString(b)
	}
	for name, text := range map[string]string{
		"nothing":             "",
		"not base64":          "!" + good[1:],
		"short":               good[:100],
		"wrong algorithm":     "Bw" + good[2:],
		"exponent 1":          encodePublicKey(&rsa.PublicKey{N: &even, E: 1}),
		"exponent 4":          encodePublicKey(&rsa.PublicKey{N: &even, E: 4}),
		"another length said": changed(len(publicKeyHeader)+1, 4), // 1024
		"highest bit missing": changed(-1, 0x7f),
		"exponent of 32 bits": changed(len(publicKeyHeader)+7, 0x80),
		"small modulus":       encodePublicKey(&rsa.PublicKey{N: new(big.Int).Rsh(k.N, 1024), E: 65537}),
	} {
		if _, err := decodePublicKey(text); err == nil {
			t.Errorf("public key, %s: was taken", name)
		}
	}
	short, err := sealSessionKey(rand.Reader, &k.PublicKey, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	right, err := sealSessionKey(rand.Reader, &k.PublicKey, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing": "", "16 bytes": short, "damaged": right[:60] + "AAAA" + right[64:], "cut": right[:len(right)-4], "not base64": "?" + right[1:],
	} {
		if _, err := openSessionKey(k, text); err == nil {
			t.Errorf("session key, %s: was taken", name)
		}
	}
}
