package pfx

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// TestOpenReadsOpenSSL packs the family in every way openssl can, and holds ours to what went in. Where go-pkcs12 reads a file,
// it must agree.
func TestOpenReadsOpenSSL(t *testing.T) {
	f := theFamily()
	const aes, des, rc2 = "AES-256-CBC", "PBE-SHA1-3DES", "PBE-SHA1-RC2-40"
	for _, row := range []struct {
		name, verdict, integrity, macName string
		oracle                            bool
		args                              []string
	}{
		{"default", AES256SHA256, "mac", "SHA256", true, nil},
		{"legacy", EncryptionRC2, "mac", "SHA1", true, []string{"-legacy"}},
		{"3des", TripleDESSHA1, "mac", "SHA1", true, []string{"-certpbe", des, "-keypbe", des, "-macalg", "sha1", "-iter", "2000"}},
		{"3des under a sha256 mac", EncryptionMixed, "mac", "SHA256", true, []string{"-certpbe", des, "-keypbe", des}},
		{"one iteration", AES256SHA256, "mac", "SHA256", true, []string{"-noiter", "-nomaciter"}},
		{"aes128", EncryptionMixed, "mac", "SHA256", true, []string{"-certpbe", "AES-128-CBC", "-keypbe", "AES-128-CBC"}},
		{"aes192", EncryptionMixed, "mac", "SHA256", true, []string{"-certpbe", "AES-192-CBC", "-keypbe", "AES-192-CBC"}},
		{"only the certificates are 3des", EncryptionMixed, "mac", "SHA1", true, []string{"-certpbe", des, "-keypbe", aes, "-macalg", "sha1"}},
		{"rc2-128", EncryptionMixed, "mac", "SHA1", true, []string{"-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-RC2-128", "-macalg", "sha1"}},
		{"2-key 3des", EncryptionMixed, "mac", "SHA1", false, []string{"-certpbe", "PBE-SHA1-2DES", "-keypbe", "PBE-SHA1-2DES", "-macalg", "sha1"}},
		{"pbes2 3des", EncryptionMixed, "mac", "SHA256", false, []string{"-certpbe", "DES-EDE3-CBC", "-keypbe", "DES-EDE3-CBC"}},
		{"mac sha224", EncryptionMixed, "mac", "SHA224", false, []string{"-macalg", "sha224"}},
		{"mac sha384", EncryptionMixed, "mac", "SHA384", false, []string{"-macalg", "sha384"}},
		{"mac sha512", EncryptionMixed, "mac", "SHA512", true, []string{"-macalg", "sha512"}},
		{"clear certificates", EncryptionPartClear, "mac", "SHA256", true, []string{"-certpbe", "NONE"}},
		{"clear key", EncryptionPartClear, "mac", "SHA256", true, []string{"-keypbe", "NONE"}},
		{"all clear", EncryptionNone, "mac", "SHA256", true, []string{"-certpbe", "NONE", "-keypbe", "NONE"}},
		{"no mac", EncryptionMixed, "none", "", false, []string{"-nomac", "-certpbe", aes}},
		{"rc2 without a mac", EncryptionMixed, "none", "", false, []string{"-legacy", "-nomac", "-certpbe", rc2}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := opensslPFX(t, f.chain(), append(row.args, "-LMK", "-CSP", "Some Provider", "-name", "pörtal")...)
			seen, err := Read(b, DefaultLimits())
			if err != nil {
				t.Fatalf("Read: %v", err)
			}
			got := open(t, b)
			for _, facts := range []*Facts{seen, &got.Facts} {
				if facts.Encryption != row.verdict || facts.Integrity != row.integrity || facts.MAC.Name != row.macName {
					t.Errorf("got %s, %s, MAC %q (%s)", facts.Encryption, facts.Integrity, facts.MAC.Name, facts.EncryptionDetail)
				}
				if len(facts.Keys) != 1 || !facts.Keys[0].LocalMachine || facts.Keys[0].CSP != "Some Provider" ||
					facts.Keys[0].FriendlyName != "pörtal" || len(facts.Keys[0].LocalKeyID) != 20 {
					t.Errorf("keys %+v", facts.Keys)
				}
				if k := facts.Keys[0]; k.Shrouded && k.SizeHint() != "RSA-2048" {
					t.Errorf("%d bytes of key hint at %q", k.CipherLen, k.SizeHint())
				}
			}
			if !f.key.Equal(got.Keys[0].Signer) || got.Keys[0].Algorithm != "RSA-2048" {
				t.Errorf("key %v", got.Keys[0].Err)
			}
			if want := []*x509.Certificate{f.leaf, f.issuing, f.root}; !slices.EqualFunc(got.X509(), want, (*x509.Certificate).Equal) {
				t.Errorf("%d certificates, not the three packed", len(got.Certificates))
			}
			if row.oracle {
				sameAsOracle(t, b, testPassword, got)
			} else if _, _, _, err := pkcs12.DecodeChain(b, testPassword); err == nil {
				t.Error("go-pkcs12 reads this now: let it be the oracle")
			}

			if _, err := Open(context.Background(), b, "wrong", DefaultLimits()); row.verdict != EncryptionNone && !errors.Is(err, ErrPassword) {
				t.Errorf("wrong password: %v", err)
			}
		})
	}
}

// sameAsOracle fails unless go-pkcs12 reads b with the same key and certificates.
func sameAsOracle(t testing.TB, b []byte, password string, got *Bundle) {
	t.Helper()
	key, first, rest, err := pkcs12.DecodeChain(b, password)
	if err != nil {
		t.Fatalf("go-pkcs12: %v", err)
	}
	if len(got.Keys) != 1 || got.Keys[0].Signer == nil || !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(got.Keys[0].Signer) {
		t.Error("another key than go-pkcs12's")
	}
	if want := append([]*x509.Certificate{first}, rest...); !slices.EqualFunc(got.X509(), want, (*x509.Certificate).Equal) {
		t.Errorf("%d certificates, not go-pkcs12's %d", len(got.Certificates), len(want))
	}
}

func TestOpenKeepsFileOrderAndFindsTheLeaf(t *testing.T) {
	f := theFamily()
	all := []*x509.Certificate{f.root, f.stranger, f.leaf, f.issuing}
	b, err := pkcs12.LegacyDES.Encode(f.key, all[0], all[1:], testPassword)
	if err != nil {
		t.Fatal(err)
	}
	got := open(t, b)
	if !slices.EqualFunc(got.X509(), all, (*x509.Certificate).Equal) || got.Leaf != 2 {
		t.Errorf("leaf %d of %d", got.Leaf, len(got.Certificates))
	}

	t.Run("no match", func(t *testing.T) {
		b, err := pkcs12.LegacyDES.Encode(f.rootKey, f.leaf, nil, testPassword)
		if err != nil {
			t.Fatal(err)
		}
		if got := open(t, b); got.Leaf != -1 || got.LeafCertificate() != nil {
			t.Errorf("leaf %d", got.Leaf)
		}
	})
	t.Run("localKeyId breaks the tie of a renewal", func(t *testing.T) {
		// openssl gives its id to the certificate of -in, which it writes first; reverse the bags by hand.
		got := &Bundle{Keys: []Key{{Signer: f.key, Facts: KeyFacts{LocalKeyID: []byte{7}}}}, Leaf: -1, Certificates: []Certificate{
			{X509: f.renewd}, {X509: f.leaf, LocalKeyID: []byte{7}},
		}}
		got.findLeaf()
		if got.Leaf != 1 || !slices.Equal(got.LeafMatches, []int{0, 1}) {
			t.Errorf("leaf %d of %v", got.Leaf, got.LeafMatches)
		}
	})
}

func TestOpenReadsOtherWriters(t *testing.T) {
	f := theFamily()
	for name, encoder := range map[string]*pkcs12.Encoder{
		"LegacyRC2": pkcs12.LegacyRC2, "LegacyDES": pkcs12.LegacyDES, "Modern2023": pkcs12.Modern2023, "Modern2026": pkcs12.Modern2026,
	} {
		for _, password := range []string{testPassword, "", "pässwörd€", strings.Repeat("long", 75)} {
			t.Run(name+" "+password[:min(len(password), 8)], func(t *testing.T) {
				b, err := encoder.Encode(f.key, f.leaf, f.chain(), password)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Open(context.Background(), b, password, DefaultLimits())
				if err != nil {
					t.Fatal(err)
				}
				sameAsOracle(t, b, password, got)
				if name == "Modern2026" && (got.Facts.Integrity != IntegrityPBMAC1 || got.Facts.MAC.Name != "PBMAC1-SHA256") {
					t.Errorf("%+v", got.Facts.MAC)
				}
			})
		}
	}
	t.Run("passwordless", func(t *testing.T) {
		b, err := pkcs12.Passwordless.Encode(f.key, f.leaf, f.chain(), "")
		if err != nil {
			t.Fatal(err)
		}
		got := open(t, b)
		sameAsOracle(t, b, "", got)
		if got.Facts.Encryption != EncryptionNone || got.Facts.Integrity != IntegrityNone {
			t.Errorf("%+v", got.Facts)
		}
	})
	t.Run("trailing zeros", func(t *testing.T) {
		b, err := pkcs12.LegacyDES.Encode(f.key, f.leaf, f.chain(), testPassword)
		if err != nil {
			t.Fatal(err)
		}
		if got := open(t, append(b, make([]byte, 8)...)); got.Facts.Trailing != 8 || !got.Facts.TrailingZeros {
			t.Errorf("%+v", got.Facts)
		}
		if got := open(t, append(b, 0, 1)); got.Facts.Trailing != 2 || got.Facts.TrailingZeros {
			t.Errorf("%+v", got.Facts)
		}
	})
}

func TestOpenReadsKeytool(t *testing.T) {
	f, dir := theFamily(), t.TempDir()
	b, err := testPack().Encode()
	if err != nil {
		t.Fatal(err)
	}
	in := writeFile(t, dir, "in.pfx", b)
	for _, row := range []struct {
		name, verdict string
		args          []string
	}{
		{"modern", AES256SHA256, nil},
		{"legacy", EncryptionRC2, []string{"-J-Dkeystore.pkcs12.legacy"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := filepath.Join(dir, row.name+".p12")
			run(t, "keytool", append(row.args, "-importkeystore", "-noprompt", "-srckeystore", in, "-srcstoretype", "PKCS12",
				"-srcstorepass", testPassword, "-destkeystore", out, "-deststoretype", "PKCS12", "-deststorepass", testPassword)...)
			b := must(os.ReadFile(out))
			got := open(t, b)
			if got.Facts.Encryption != row.verdict || !got.LeafCertificate().Equal(f.leaf) {
				t.Errorf("%s: %s", got.Facts.Encryption, got.Facts.EncryptionDetail)
			}
			sameAsOracle(t, b, testPassword, got)
		})
	}
	t.Run("two keys", func(t *testing.T) {
		out := filepath.Join(dir, "two.p12")
		for _, alias := range []string{"one", "two"} {
			run(t, "keytool", "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-alias", alias, "-dname", "CN="+alias,
				"-keystore", out, "-storetype", "PKCS12", "-storepass", testPassword)
		}
		got := open(t, must(os.ReadFile(out)))
		if len(got.Keys) != 2 || got.Keys[1].Algorithm != "ECDSA-P-256" || got.LeafCertificate() == nil {
			t.Errorf("%d keys", len(got.Keys))
		}
		if seen := got.Facts.Keys[1].SizeHint(); seen != "P-256" {
			t.Errorf("%d bytes hint at %q", got.Facts.Keys[1].CipherLen, seen)
		}
	})
}
