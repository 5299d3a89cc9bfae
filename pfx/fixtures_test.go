package pfx

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const testPassword = "Correct1Horse"

// family is one chain leaf → issuing → root, with strangers, made once per test binary.
type family struct {
	key                                   *rsa.PrivateKey
	issuingKey                            *ecdsa.PrivateKey
	rootKey                               *rsa.PrivateKey
	leaf, issuing, root, stranger, renewd *x509.Certificate
}

func (f family) chain() []*x509.Certificate { return []*x509.Certificate{f.issuing, f.root} }

var theFamily = sync.OnceValue(func() family {
	var f family
	f.key, f.rootKey = must(rsa.GenerateKey(rand.Reader, 2048)), must(rsa.GenerateKey(rand.Reader, 2048))
	f.issuingKey = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	f.root = issue(authority("Root"), nil, f.rootKey.Public(), f.rootKey)
	f.issuing = issue(authority("Issuing"), f.root, f.issuingKey.Public(), f.rootKey)
	f.leaf = issue(server("portal.east.contoso.com"), f.issuing, f.key.Public(), f.issuingKey)
	f.renewd = issue(server("portal.east.contoso.com"), f.issuing, f.key.Public(), f.issuingKey)
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	f.stranger = issue(authority("Stranger"), nil, other.Public(), other)
	return f
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: "Test " + name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

func server(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}
}

// issue signs template; parent nil means with itself.
func issue(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	template.SerialNumber = must(rand.Int(rand.Reader, big.NewInt(1<<62)))
	template.NotBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	template.NotAfter = time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
	if parent == nil {
		parent = template
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, public, signer))))
}

func pemOf(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func keyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func writeFile(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program and returns both of its streams.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// opensslPFX packs the family with openssl; chain is its -certfile.
func opensslPFX(t testing.TB, chain []*x509.Certificate, args ...string) []byte {
	t.Helper()
	f, dir := theFamily(), t.TempDir()
	out := filepath.Join(dir, "out.pfx")
	run(t, "openssl", append([]string{
		"pkcs12", "-export", "-out", out, "-passout", "pass:" + testPassword,
		"-inkey", writeFile(t, dir, "key.pem", keyPEM(t, f.key)),
		"-in", writeFile(t, dir, "leaf.pem", pemOf(f.leaf)),
		"-certfile", writeFile(t, dir, "chain.pem", pemOf(chain...)),
	}, args...)...)
	return must(os.ReadFile(out))
}

func open(t testing.TB, b []byte) *Bundle {
	t.Helper()
	out, err := Open(context.Background(), b, testPassword, DefaultLimits())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return out
}

// testPack is a whole pack of the family.
func testPack() Pack {
	f := theFamily()
	return Pack{Key: f.key, Leaf: f.leaf, Chain: f.chain(), Password: testPassword}
}
