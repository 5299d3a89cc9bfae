package pfx

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// A legend says what becomes of one kind of file: with go-pkcs12, and with us.
type legend struct {
	oracle   string // "C M": chain, and the key matches its first certificate; "C": chain, and it does not; "E": error
	ours     string // "leaf", "no leaf", "no key", "password", "format", an OID that the error names, "key OID" for the key's
	password string // empty: the usual one
}

const empty = "(empty)" // the empty password, where no entry means the usual one

// madeLegend has every file of scripts/pfx-fixtures.sh.
var madeLegend = map[string]legend{
	"gnutls-3des":                    {"E", "leaf", ""},
	"gnutls-default":                 {"E", "leaf", ""},
	"gnutls-rc4":                     {"E", oidPBERC4128, ""},
	"java-2-keys":                    {"E", "leaf", ""},
	"java-default":                   {"C M", "leaf", ""},
	"java-legacy":                    {"C M", "leaf", ""},
	"java-trusted-certificate":       {"C M", "leaf", ""},
	"nss-3des":                       {"E", "leaf", ""},
	"nss-default":                    {"E", "leaf", ""},
	"openssl-1-iteration":            {"C M", "leaf", ""},
	"openssl-100000-iterations":      {"C M", "leaf", ""},
	"openssl-2-key-3des":             {"E", "leaf", ""},
	"openssl-3des":                   {"C M", "leaf", ""},
	"openssl-3des-certificates-only": {"C M", "leaf", ""},
	"openssl-3des-key-only":          {"C M", "leaf", ""},
	"openssl-3des-local-machine":     {"C M", "leaf", ""},
	"openssl-3des-mac-sha256":        {"C M", "leaf", ""},
	"openssl-aes128":                 {"C M", "leaf", ""},
	"openssl-aes192":                 {"C M", "leaf", ""},
	"openssl-camellia":               {"E", oidCamellia256, ""},
	"openssl-certificates-only":      {"E", "no key", ""},
	"openssl-clear":                  {"C M", "leaf", ""},
	"openssl-clear-certificates":     {"C M", "leaf", ""},
	"openssl-clear-key":              {"C M", "leaf", ""},
	"openssl-cross-signed":           {"C M", "leaf", ""},
	"openssl-default":                {"C M", "leaf", ""},
	"openssl-duplicate":              {"C M", "leaf", ""},
	"openssl-ed25519":                {"C M", "leaf", ""},
	"openssl-key-only":               {"E", "no leaf", ""},
	"openssl-leaf-alone":             {"C M", "leaf", ""},
	"openssl-leaf-missing":           {"C", "no leaf", ""},
	"openssl-legacy":                 {"C M", "leaf", ""},
	"openssl-mac-md5":                {"E", "1.2.840.113549.2.5", ""},
	"openssl-mac-sha1":               {"C M", "leaf", ""},
	"openssl-mac-sha224":             {"E", "leaf", ""},
	"openssl-mac-sha384":             {"E", "leaf", ""},
	"openssl-mac-sha512":             {"C M", "leaf", ""},
	"openssl-md5-des":                {"E", oidPBEMD5DES, ""},
	"openssl-negative-serial":        {"C M", "leaf", ""}, // with the setting of go.mod, else E
	"openssl-no-intermediate":        {"C M", "leaf", ""},
	"openssl-no-mac":                 {"E", "leaf", ""},
	"openssl-no-mac-clear":           {"E", "leaf", ""},
	"openssl-no-mac-rc2":             {"E", "leaf", ""},
	"openssl-no-root":                {"C M", "leaf", ""},
	"openssl-order-mixed":            {"C M", "leaf", ""},
	"openssl-order-root-first":       {"C M", "leaf", ""},
	"openssl-p-256":                  {"C M", "leaf", ""},
	"openssl-password-empty":         {"C M", "leaf", empty},
	"openssl-password-unicode":       {"C M", "leaf", "pässwörd€"},
	"openssl-pbes2-3des":             {"E", "leaf", ""},
	"openssl-rc2-128":                {"C M", "leaf", ""},
	"openssl-rc2-40":                 {"C M", "leaf", ""},
	"openssl-rc4":                    {"E", oidPBERC4128, ""},
	"openssl-renewed":                {"C M", "leaf", ""},
	"openssl-rsa-1024":               {"C M", "leaf", ""},
	"openssl-rsa-4096":               {"C M", "leaf", ""},
	"openssl-rsa-pss":                {"E", "key " + oidRSAPSS, ""},
	"openssl-self-signed":            {"C M", "leaf", ""},
	"openssl-sha1-signed":            {"C M", "leaf", ""},
	"openssl-stranger":               {"C M", "leaf", ""},
	"openssl-trailing-bytes":         {"E", "leaf", ""},
	"openssl-trailing-zeros":         {"E", "leaf", ""},
}

// TestMadeFiles holds the committed files of four producers to their row and to the facts beside them.
func TestMadeFiles(t *testing.T) {
	holdFolder(t, madeFiles)
	facts := must(filepath.Glob(filepath.Join(madeFiles, "*.json")))
	if len(facts) != len(madeLegend) {
		t.Errorf("%d files of facts, want %d", len(facts), len(madeLegend))
	}
}

// TestMadeAgain makes the files once more with the programs at hand: other keys and salts, the same facts.
func TestMadeAgain(t *testing.T) {
	if *update {
		t.Skip("the facts come from the committed files")
	}
	dir := t.TempDir()
	run(t, "../scripts/pfx-fixtures.sh", dir)
	holdFolder(t, dir)
}

func holdFolder(t *testing.T, dir string) {
	t.Helper()
	var found []string
	for _, path := range must(filepath.Glob(filepath.Join(dir, "*.pfx"))) {
		name := strings.TrimSuffix(filepath.Base(path), ".pfx")
		found = append(found, name)
		t.Run(name, func(t *testing.T) {
			row, ok := madeLegend[name]
			if !ok {
				t.Fatal("has no row in the legend")
			}
			b := must(os.ReadFile(path))
			bundle, err := row.hold(t, b)
			k := know(b, bundle, err)
			k.Password = row.pass()
			k.compare(t, filepath.Join(madeFiles, name+".json"))
		})
	}
	slices.Sort(found) // the folder sorts with the extension
	if want := slices.Sorted(maps.Keys(madeLegend)); !slices.Equal(found, want) {
		t.Errorf("files %v\nwant  %v", found, want)
	}
}

func (l legend) pass() string {
	switch l.password {
	case "":
		return testPassword
	case empty:
		return ""
	}
	return l.password
}

// hold opens a file with us and with go-pkcs12 and compares both with the legend, and one with the other.
func (l legend) hold(t *testing.T, b []byte) (got *Bundle, err error) {
	t.Helper()
	got, err = Open(context.Background(), b, l.pass(), DefaultLimits())
	if ours := outcome(got, err); ours != l.ours {
		t.Errorf("ours: %s, want %s (%v)", ours, l.ours, err)
	}
	key, first, rest, oracleErr := pkcs12.DecodeChain(b, l.pass())
	oracle := "E"
	if oracleErr == nil {
		if oracle = "C"; samePublic(key.(crypto.Signer).Public(), first.PublicKey) {
			oracle = "C M"
		}
	}
	if oracle != l.oracle {
		t.Errorf("go-pkcs12: %s, want %s (%v)", oracle, l.oracle, oracleErr)
	}
	if oracleErr == nil && err == nil {
		agree(t, got, key, append([]*x509.Certificate{first}, rest...))
	}
	if err == nil && got.Facts.Encryption != EncryptionNone {
		_, err := Open(context.Background(), b, "another", DefaultLimits())
		if !errors.Is(err, ErrPassword) {
			t.Errorf("with another password: %v", err)
		}
	}
	return got, err
}

func outcome(b *Bundle, err error) string {
	var unsupported *UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		return unsupported.OID
	case errors.Is(err, ErrPassword):
		return "password"
	case errors.Is(err, ErrFormat):
		return "format"
	case errors.Is(err, ErrLimit):
		return "limit"
	case err != nil:
		return err.Error()
	case len(b.Keys) == 0:
		return "no key"
	case errors.As(b.Keys[0].Err, &unsupported):
		return "key " + unsupported.OID
	case b.LeafCertificate() == nil:
		return "no leaf"
	}
	return "leaf"
}

// agree fails unless b has the key and the certificates that go-pkcs12 found, in the same order.
func agree(t testing.TB, b *Bundle, key any, certs []*x509.Certificate) {
	t.Helper()
	if len(b.Keys) != 1 || b.Keys[0].Signer == nil || !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(b.Keys[0].Signer) {
		t.Error("another key than go-pkcs12's")
	}
	if !slices.EqualFunc(b.X509(), certs, (*x509.Certificate).Equal) {
		t.Errorf("%d certificates, not go-pkcs12's %d", len(b.Certificates), len(certs))
	}
}

// TestBuiltFiles has the kinds that none of the programs makes.
func TestBuiltFiles(t *testing.T) {
	f := theFamily()
	type certs = []*x509.Certificate
	encode := func(e *pkcs12.Encoder, key crypto.Signer, list certs) []byte {
		return must(e.Encode(key, list[0], list[1:], testPassword))
	}
	des := func(list certs) []byte { return encode(pkcs12.LegacyDES, f.key, list) }
	leafOf := func(change func(*x509.Certificate)) []byte {
		c := server("portal.east.contoso.com")
		change(c)
		return des(certs{issue(c, f.issuing, f.key.Public(), f.issuingKey), f.issuing, f.root})
	}
	of := func(key crypto.Signer) []byte {
		return encode(pkcs12.LegacyDES, key, certs{issue(server("portal.east.contoso.com"), f.issuing, key.Public(), f.issuingKey), f.issuing, f.root})
	}
	whole := certs{f.leaf, f.issuing, f.root}
	windows := func(change func(*Pack)) []byte {
		p := testPack()
		p.FriendlyName, p.CSP, p.LocalMachine = "te-0c5f4f6b", "Microsoft Enhanced RSA and AES Cryptographic Provider", true
		change(&p)
		return must(p.Encode())
	}
	same := func(*Pack) {}
	secondKey := func() []byte {
		p, w := testPack(), testWriter()
		other := p
		other.Key = f.rootKey
		return sealed(
			must(p.keySafe(w, (*writer).tripleDES)), must(other.keySafe(w, (*writer).tripleDES)),
			must(p.certificateSafe(w, (*writer).tripleDES)))
	}

	for name, row := range map[string]struct {
		legend
		file []byte
	}{
		"order: leaf last":            {legend{"C", "leaf", ""}, des(certs{f.root, f.issuing, f.leaf})},
		"order: leaf in the middle":   {legend{"C", "leaf", ""}, des(certs{f.root, f.leaf, f.issuing})},
		"key of another certificate":  {legend{"C", "no leaf", ""}, encode(pkcs12.LegacyDES, must(rsa.GenerateKey(rand.Reader, 2048)), whole)},
		"key of the CA":               {legend{"C", "leaf", ""}, encode(pkcs12.LegacyDES, f.rootKey, whole)}, // its leaf is the CA: a finding of others
		"PBMAC1":                      {legend{"C M", "leaf", ""}, encode(pkcs12.Modern2026, f.key, whole)},
		"expired":                     {legend{"C M", "leaf", ""}, leafOf(func(c *x509.Certificate) { c.NotAfter = time.Unix(1, 0) })},
		"wrong name":                  {legend{"C M", "leaf", ""}, leafOf(func(c *x509.Certificate) { c.DNSNames = []string{"x"} })},
		"no SAN, usage or CRL":        {legend{"C M", "leaf", ""}, leafOf(func(c *x509.Certificate) { c.DNSNames = nil })},
		"P-384":                       {legend{"C M", "leaf", ""}, of(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)))},
		"P-521":                       {legend{"C M", "leaf", ""}, of(must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)))},
		"Ed25519":                     {legend{"C M", "leaf", ""}, of(ed25519.NewKeyFromSeed(make([]byte, 32)))},
		"RSA-8192":                    {legend{"C M", "leaf", ""}, of(hugeKey())},
		"Windows TripleDES-SHA1":      {legend{"C M", "leaf", ""}, windows(same)},
		"Windows AES256-SHA256":       {legend{"C M", "leaf", ""}, windows(func(p *Pack) { p.Encryption = AES256SHA256 })},
		"Windows, user's key":         {legend{"C M", "leaf", ""}, windows(func(p *Pack) { p.LocalMachine = false })},
		"Windows, eight zero bytes":   {legend{"E", "leaf", ""}, append(windows(same), make([]byte, 8)...)},
		"Windows, two keys":           {legend{"E", "leaf", ""}, secondKey()},
		"Windows, unprotected":        {legend{"C M", "leaf", ""}, sealed(must(testPack().keySafe(testWriter(), (*writer).tripleDES)), dataSafe(certificateBag(f.leaf), certificateBag(f.issuing)))},
		"enveloped for a public key":  {legend{"E", oidEnvelopedData, ""}, sealed(sequenceDER(oidDER(oidEnvelopedData), explicitDER(sequenceDER())))},
		"signed instead of a MAC":     {legend{"E", oidSignedData, ""}, sequenceDER(integerDER(3), sequenceDER(oidDER(oidSignedData), explicitDER(sequenceDER())))},
		"another password":            {legend{"E", "password", "another"}, des(whole)},
		"no password but one is set":  {legend{"E", "password", empty}, des(whole)},
		"passwordless":                {legend{"E", "leaf", ""}, must(pkcs12.Passwordless.Encode(f.key, f.leaf, f.chain(), ""))},
		"passwordless, asked without": {legend{"C M", "leaf", empty}, must(pkcs12.Passwordless.Encode(f.key, f.leaf, f.chain(), ""))},
	} {
		t.Run(name, func(t *testing.T) { _, _ = row.hold(t, row.file) })
	}
}

// hugeKey is an RSA key of 8192 bits made of two primes found once: searching them takes half a minute.
func hugeKey() *rsa.PrivateKey {
	block, _ := pem.Decode(must(os.ReadFile("testdata/rsa-8192.pem")))
	return must(x509.ParsePKCS8PrivateKey(block.Bytes)).(*rsa.PrivateKey)
}

// TestFilesOfThePeer reads what go-pkcs12 is tested with: files that Windows exported, and the vectors of RFC 9579. They
// stay in that module; we only look.
func TestFilesOfThePeer(t *testing.T) {
	dir := strings.TrimSpace(run(t, "go", "list", "-m", "-f", "{{.Dir}}", "software.sslmate.com/src/go-pkcs12"))
	files := peerFiles(t, filepath.Join(dir, "pkcs12_test.go"))
	const ksp = "Microsoft Software Key Storage Provider"
	for _, row := range []struct{ name, password, encryption, csp, from string }{
		{"Windows Azure Tools", "", EncryptionRC2, ksp, "Windows"},
		{"TestPBES2_AES256CBC", "password", AES256SHA256, ksp, "Windows"},
		{"TestPBES2_AES128CBC", "rHyQTJsubhfxcpH5JttyilHE6BBsNoZp", EncryptionMixed, "", "another"},
		{"TestPBES2_AES192CBC", "password", EncryptionMixed, "", "another"},
		{"testing@example.com", "", EncryptionRC2, "", "another"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := files[row.name]
			if b == nil {
				t.Fatal("go-pkcs12 no longer has it")
			}
			got, err := Open(context.Background(), b, row.password, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			sameAsOracle(t, b, row.password, got)
			f, k := got.Facts, got.Facts.Keys[0]
			if f.Encryption != row.encryption || k.CSP != row.csp || got.LeafCertificate() == nil {
				t.Errorf("%s, %q: %s", f.Encryption, k.CSP, f.EncryptionDetail)
			}
			if row.from == "Windows" && (string(k.LocalKeyID) != "\x01\x00\x00\x00" || f.Safes[0].Kind != "data" || k.Cipher.Iterations != windowsIterations) {
				t.Errorf("not what Windows writes, of which our writer is a copy: %+v", f)
			}
		})
	}
	for name, row := range map[string]struct{ ours, mac string }{
		"a1": {"leaf", "PBMAC1-SHA256"}, "a2": {"leaf", "PBMAC1-SHA256"}, "a3": {"leaf", "PBMAC1-SHA512"},
		"a4": {"password", ""}, "a5": {"password", ""}, "a6": {"format", ""},
	} {
		t.Run("RFC 9579 "+name, func(t *testing.T) {
			b := must(base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(must(os.ReadFile(filepath.Join(dir, "testdata", "rfc9579-"+name+".txt"))))), "")))
			got, err := Open(context.Background(), b, "1234", DefaultLimits())
			if ours := outcome(got, err); ours != row.ours || err == nil && got.Facts.MAC.Name != row.mac {
				t.Errorf("%s, %v", ours, err)
			}
		})
	}
}

// peerFiles collects the files in a Go file: base64 texts, by the function they are in or by their key in a map.
func peerFiles(t *testing.T, path string) map[string][]byte {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, d := range file.Decls {
		var name string
		if f, ok := d.(*ast.FuncDecl); ok {
			name = f.Name.Name
		}
		ast.Inspect(d, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text := must(strconv.Unquote(lit.Value))
			if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) > 1000 {
				out[name] = b
			} else if name == "" || out[name] != nil {
				name = text // the key of a map comes before its value
			}
			return true
		})
	}
	return out
}
