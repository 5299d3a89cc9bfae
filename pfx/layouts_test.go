package pfx

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"testing"
)

// TestWindowsLayout builds what Windows exports beyond what our writer does: extended properties on the certificates, an
// order of its own, eight zero bytes at the end.
func TestWindowsLayout(t *testing.T) {
	p := testPack()
	f := theFamily()
	w := testWriter()
	p.LocalMachine, p.FriendlyName = true, "te-0c5f4f6b"
	key := must(p.keySafe(w, (*writer).tripleDES))
	property := attributeDER("1.3.6.1.4.1.311.17.3.20", octetsDER(make([]byte, 20)))
	b := sealed(key, hidden(
		certificateBag(f.leaf, setDER(localKeyID(), property)),
		certificateBag(f.root, setDER(property, attributeDER("1.3.6.1.4.1.311.17.3.75", octetsDER([]byte("x"))))),
		certificateBag(f.issuing)))
	got := open(t, append(b, make([]byte, 8)...))
	if got.Facts.Encryption != TripleDESSHA1 || got.Facts.Trailing != 8 || !got.Facts.TrailingZeros {
		t.Errorf("%+v", got.Facts)
	}
	if want := []*x509.Certificate{f.leaf, f.root, f.issuing}; !slices.EqualFunc(got.X509(), want, (*x509.Certificate).Equal) {
		t.Errorf("order %v", names(got.X509()))
	}
	if c := got.Certificates[0]; string(c.LocalKeyID) != "\x01\x00\x00\x00" || string(got.Keys[0].Facts.LocalKeyID) != string(c.LocalKeyID) {
		t.Errorf("localKeyId %x and %x", c.LocalKeyID, got.Keys[0].Facts.LocalKeyID)
	}
}

// TestManySafes builds GnuTLS' layout, a safe for each certificate and the key last, and nested contents.
func TestManySafes(t *testing.T) {
	p := testPack()
	f := theFamily()
	key := must(p.keySafe(testWriter(), (*writer).tripleDES))
	nested := hidden(bagOf(oidNestedBag, sequenceDER(certificateBag(f.root), certificateBag(f.stranger))))
	got := open(t, sealed(hidden(certificateBag(f.leaf)), hidden(certificateBag(f.issuing)), nested, key))
	if want := []*x509.Certificate{f.leaf, f.issuing, f.root, f.stranger}; !slices.EqualFunc(got.X509(), want, (*x509.Certificate).Equal) {
		t.Errorf("order %v", names(got.X509()))
	}
	for i, want := range []int{0, 1, 2, 2} {
		if got.Certificates[i].Safe != want {
			t.Errorf("certificate %d is in safe %d, want %d", i, got.Certificates[i].Safe, want)
		}
	}
	if got.Keys[0].Facts.Safe != 3 || len(got.Facts.Safes) != 4 || got.Facts.Encryption != TripleDESSHA1 {
		t.Errorf("%+v", got.Facts)
	}
}

// TestOtherBagsAreNamed puts beside key and certificate what a PKCS#12 file may also hold.
func TestOtherBagsAreNamed(t *testing.T) {
	f := theFamily()
	b := sealed(
		must(testPack().keySafe(testWriter(), (*writer).tripleDES)),
		hidden(certificateBag(f.leaf), bagOf(oidCRLBag, sequenceDER()), certificateBag(f.issuing), certificateBag(f.root)),
		dataSafe(bagOf(oidSecretBag, sequenceDER()), bagOf("1.2.3.4", nullDER())))
	got := open(t, b)
	if want := []string{oidCRLBag + " (revocation list)", oidSecretBag + " (secret)", "1.2.3.4"}; !slices.Equal(got.Facts.OtherBags, want) {
		t.Errorf("%q, want %q", got.Facts.OtherBags, want)
	}
	seen, err := Read(b, DefaultLimits())
	if err != nil || len(seen.OtherBags) != 2 {
		t.Errorf("without the password %q, %v", seen.OtherBags, err)
	}
	p, changes, err := Repair(got, nil, Pack{Password: testPassword})
	if want := []string{"drop what holds neither key nor certificate: 3 bags"}; err != nil || !slices.Equal(changes, want) {
		t.Errorf("changes %q, want %q, %v", changes, want, err)
	}
	if again := open(t, must(p.Encode())); len(again.Facts.OtherBags) != 0 || len(again.Certificates) != 3 {
		t.Errorf("%+v", again.Facts)
	}
}

// TestReadSeesOnlyWhatIsClear holds Read to the outside: bags of encrypted safes are unknown, not none.
func TestReadSeesOnlyWhatIsClear(t *testing.T) {
	b := must(testPack().Encode())
	facts, err := Read(b, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if facts.Safes[0].Bags != 1 || facts.Safes[1].Bags != -1 || facts.ClearCertificates != 0 {
		t.Errorf("%+v", facts.Safes)
	}
	if c := facts.Safes[1].Cipher; c.Name != "3DES" || c.OID != oidPBE3DES || c.Iterations != 2000 || c.Salt != 8 {
		t.Errorf("%+v", c)
	}
	if got := open(t, b); got.Facts.Safes[1].Bags != 3 {
		t.Errorf("opened: %+v", got.Facts.Safes)
	}
}

// TestHugeRSAKey keeps out a certificate whose key would make every later verification take minutes.
func TestHugeRSAKey(t *testing.T) {
	f := theFamily()
	n := new(big.Int).Lsh(big.NewInt(1), maxRSABits)
	n.SetBit(n, 0, 1)
	huge := issue(authority("Issuing"), f.root, &rsa.PublicKey{N: n, E: 65537}, f.rootKey)
	if _, err := ParseCertificates(pemOf(huge)); !errors.Is(err, ErrLimit) {
		t.Errorf("ParseCertificates: %v", err)
	}
	p := testPack()
	got := open(t, sealed(must(p.keySafe(testWriter(), (*writer).tripleDES)), hidden(certificateBag(f.leaf), certificateBag(huge))))
	if c := got.Certificates[1]; c.X509 != nil || !errors.Is(c.Err, ErrLimit) {
		t.Errorf("Open: %v", c.Err)
	}
	if chain, _ := Walk(f.leaf, []*x509.Certificate{huge}); len(chain) != 1 {
		t.Error("Walk took it for the issuer")
	}
}
