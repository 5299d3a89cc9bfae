package pfx

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// sameAsOracle fails unless go-pkcs12 reads b with the same key and certificates.
func sameAsOracle(t testing.TB, b []byte, password string, got *Bundle) {
	t.Helper()
	key, first, rest, err := pkcs12.DecodeChain(b, password)
	if err != nil {
		t.Fatalf("go-pkcs12: %v", err)
	}
	agree(t, got, key, append([]*x509.Certificate{first}, rest...))
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
