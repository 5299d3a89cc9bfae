package pfx

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

func TestEncodeIsReadByOthersAndUs(t *testing.T) {
	f := theFamily()
	for _, row := range []struct {
		encryption string
		iterations int
		want       string // openssl's words for both ciphers
	}{
		{"", 0, "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2000"},
		{TripleDESSHA1, 1, "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 1\n"},
		{AES256SHA256, 0, "PBES2, PBKDF2, AES-256-CBC, Iteration 2000, PRF hmacWithSHA256"},
	} {
		t.Run(row.encryption, func(t *testing.T) {
			p := testPack()
			p.Encryption, p.Iterations = row.encryption, row.iterations
			p.LocalMachine, p.CSP, p.FriendlyName = true, "Microsoft Enhanced RSA and AES Cryptographic Provider", "portal – east"
			b, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if want, _ := hex.DecodeString("300D06092B060104018237110231" + "00"); bytes.Count(b, want) != 1 {
				t.Errorf("the local-machine attribute is not there once in Windows' bytes")
			}

			out := run(t, "openssl", "pkcs12", "-in", writeFile(t, t.TempDir(), "a.pfx", b), "-legacy", "-info", "-nodes", "-passin", "pass:"+testPassword)
			if n := strings.Count(out+"\n", row.want); n != 2 {
				t.Errorf("openssl shows %q %d times, want 2:\n%s", row.want, n, out[:600])
			}
			if !strings.Contains(out, "Microsoft Local Key set") || !strings.Contains(out, p.CSP) {
				t.Errorf("openssl shows no local key set or CSP:\n%s", out[:600])
			}
			leaf, issuing := strings.Index(out, "subject=CN = "+f.leaf.Subject.CommonName), strings.Index(out, "subject=CN = Test Issuing")
			if leaf < 0 || issuing < leaf {
				t.Errorf("openssl sees the leaf at %d and its issuer at %d", leaf, issuing)
			}

			key, first, rest, err := pkcs12.DecodeChain(b, testPassword)
			if err != nil {
				t.Fatalf("go-pkcs12: %v", err)
			}
			if !f.key.Equal(key.(crypto.PrivateKey)) {
				t.Error("go-pkcs12 reads another key")
			}
			if !first.Equal(f.leaf) || len(rest) != 2 || !rest[0].Equal(f.issuing) || !rest[1].Equal(f.root) {
				t.Error("go-pkcs12 reads other certificates")
			}

			got := open(t, b)
			k := got.Keys[0].Facts
			if got.Facts.Encryption != cmp.Or(row.encryption, TripleDESSHA1) || !k.LocalMachine || k.CSP != p.CSP || k.FriendlyName != p.FriendlyName {
				t.Errorf("read back: %+v", got.Facts)
			}
			if got.Leaf != 0 || !got.LeafCertificate().Equal(f.leaf) {
				t.Errorf("leaf %d", got.Leaf)
			}
		})
	}
}

func TestKeytoolReadsWhatWeWrite(t *testing.T) {
	for _, encryption := range []string{TripleDESSHA1, AES256SHA256} {
		p := testPack()
		p.Encryption, p.LocalMachine, p.FriendlyName = encryption, true, "portal"
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		path := writeFile(t, t.TempDir(), "a.pfx", b)
		out := run(t, "keytool", "-list", "-v", "-keystore", path, "-storetype", "PKCS12", "-storepass", testPassword)
		if !strings.Contains(out, "PrivateKeyEntry") || !strings.Contains(out, "chain length: 3") {
			t.Errorf("%s: keytool in %s says:\n%s", encryption, filepath.Base(path), out)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	f := theFamily()
	namesake := issue(authority("Issuing"), f.root, f.key.Public(), f.rootKey)
	for name, row := range map[string]struct {
		change func(*Pack)
		want   string
	}{
		"no key":             {func(p *Pack) { p.Key = nil }, "no private key"},
		"no leaf":            {func(p *Pack) { p.Leaf = nil }, "no leaf"},
		"another key":        {func(p *Pack) { p.Key = f.rootKey }, "does not belong"},
		"chain upside down":  {func(p *Pack) { p.Chain = []*x509.Certificate{f.root, f.issuing} }, "out of order"},
		"a gap":              {func(p *Pack) { p.Chain = []*x509.Certificate{f.root} }, "out of order"},
		"a stranger":         {func(p *Pack) { p.Chain = append(p.Chain, f.stranger) }, "out of order"},
		"a namesake":         {func(p *Pack) { p.Chain = []*x509.Certificate{namesake} }, "did not sign"},
		"the root twice":     {func(p *Pack) { p.Chain = append(p.Chain, f.root) }, "signed itself"},
		"nil in the chain":   {func(p *Pack) { p.Chain = []*x509.Certificate{nil} }, "missing"},
		"empty password":     {func(p *Pack) { p.Password = "" }, "password is empty"},
		"unknown encryption": {func(p *Pack) { p.Encryption = "RC4" }, `encryption "RC4"`},
		"iterations":         {func(p *Pack) { p.Iterations = -1 }, "iterations"},
		"short randomness":   {func(p *Pack) { p.Rand = strings.NewReader("few") }, "randomness"},
	} {
		t.Run(name, func(t *testing.T) {
			p := testPack()
			row.change(&p)
			if _, err := p.Encode(); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

// TestEncodeUsesNothingButItsInputs holds that equal randomness gives equal bytes.
func TestEncodeUsesNothingButItsInputs(t *testing.T) {
	for _, encryption := range []string{TripleDESSHA1, AES256SHA256} {
		p := testPack()
		p.Encryption = encryption
		var files [2][]byte
		for i := range files {
			p.Rand = bytes.NewReader(bytes.Repeat([]byte{7}, 200))
			files[i] = must(p.Encode())
		}
		if !bytes.Equal(files[0], files[1]) {
			t.Errorf("%s: the same pack gave two files", encryption)
		}
		p.Rand = nil
		if bytes.Equal(must(p.Encode()), must(p.Encode())) {
			t.Errorf("%s: salts repeat", encryption)
		}
	}
}
