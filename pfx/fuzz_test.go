package pfx

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// smallPack is a pack of a few hundred bytes, which a fuzzer gets through quickly.
var smallPack = sync.OnceValue(func() Pack {
	seed := func(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(append(make([]byte, 31), b)) }
	key, ca := seed(1), seed(2)
	root := issue(authority("Root"), nil, ca.Public(), ca)
	leaf := issue(server("portal.east.contoso.com"), root, key.Public(), ca)
	return Pack{Key: key, Leaf: leaf, Chain: []*x509.Certificate{root}, Password: testPassword, Iterations: 1}
})

// tight keeps one execution cheap.
var tight = Limits{Size: 64 << 10, Iterations: 5000, Work: 50000}

func addSeeds(add func([]byte)) {
	p := smallPack()
	for _, encryption := range []string{TripleDESSHA1, AES256SHA256} {
		p.Encryption, p.LocalMachine, p.CSP, p.FriendlyName = encryption, !p.LocalMachine, "csp", "name"
		b := must(p.Encode())
		add(b)
		add(toBER(b, 20))
		add(append(slices.Clone(b), make([]byte, 8)...))
	}
	for _, e := range []*pkcs12.Encoder{pkcs12.LegacyRC2, pkcs12.LegacyDES, pkcs12.Modern2023, pkcs12.Modern2026} {
		add(must(e.WithIterations(1).Encode(p.Key, p.Leaf, p.Chain, testPassword)))
	}
	add(must(pkcs12.Passwordless.Encode(p.Key, p.Leaf, p.Chain, "")))
	add(sealed(hidden(shroudedKey(pbes2(power(31, 1))))))
	add(sealed(sequenceDER(oidDER(oidData), explicitDER(octetsDER(nestedContents(3))))))
	add(fileOf(sequenceDER(), pbmac1(integerDER(1), 32)))
	for _, folder := range []string{madeFiles, hostileFiles} {
		for _, path := range must(filepath.Glob(filepath.Join(folder, "*.pfx"))) {
			add(must(os.ReadFile(path)))
		}
	}
}

func clearError(t *testing.T, err error) {
	t.Helper()
	var unsupported *UnsupportedError
	if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrPassword) && !errors.As(err, &unsupported) {
		t.Fatalf("an error of no kind: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	addSeeds(func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := Read(b, tight)
		if err != nil {
			clearError(t, err)
			return
		}
		if facts.Size != len(b) || facts.Trailing > len(b) || facts.Encryption == "" || facts.EncryptionDetail == "" {
			t.Fatalf("%+v", facts)
		}
	})
}

// FuzzOpen holds ours to go-pkcs12: what it opens we open, with the same key and certificates. Left out is only what is over
// our limits, and what encoding/asn1 takes and no standard has; see strict. go-pkcs12 hangs on large iteration counts, so it
// is asked only when those in sight are small.
func FuzzOpen(f *testing.F) {
	addSeeds(func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Open(context.Background(), b, testPassword, tight)
		if err != nil {
			clearError(t, err)
		}
		if err != nil && (errors.Is(err, ErrLimit) || !strict(b)) {
			return
		}
		sameWhereOracleReads(t, b, got, err)
	})
}

// TestOracleIsAsked keeps the comparison above from becoming empty: the seeds that go-pkcs12 opens must get to it.
func TestOracleIsAsked(t *testing.T) {
	asked := 0
	addSeeds(func(b []byte) {
		if _, err := Open(context.Background(), b, testPassword, tight); errors.Is(err, ErrLimit) {
			return // there go-pkcs12 might not end
		}
		if _, _, _, err := pkcs12.DecodeChain(b, testPassword); err == nil {
			asked++
			if !strict(b) {
				t.Errorf("a file of %d bytes is not strict, yet nobody would say it is odd", len(b))
			}
		}
	})
	if asked < 35 {
		t.Errorf("go-pkcs12 opens %d seeds, want 35", asked)
	}
}

// sameWhereOracleReads fails when go-pkcs12 opens b and ours did not, or with another key or other certificates.
func sameWhereOracleReads(t *testing.T, b []byte, got *Bundle, err error) {
	t.Helper()
	key, first, rest, oracle := pkcs12.DecodeChain(b, testPassword)
	if oracle != nil {
		return
	}
	if _, signs := key.(crypto.Signer); !signs {
		return // X25519, which no certificate of a server holds
	}
	if err != nil {
		t.Fatalf("go-pkcs12 opens it, ours says: %v", err)
	}
	agree(t, got, key, append([]*x509.Certificate{first}, rest...))
}

// strict says whether b is what encoding/asn1 would write for what it reads, with plausible iterations. That package drops
// surplus members and takes a damaged MacData for an absent one; there we mean to be stricter than go-pkcs12.
func strict(b []byte) bool {
	var pfx struct {
		Version  int
		AuthSafe struct {
			Type    asn1.ObjectIdentifier
			Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
		}
		MAC struct {
			Info struct {
				Algorithm struct {
					OID    asn1.ObjectIdentifier
					Params asn1.RawValue `asn1:"optional"`
				}
				Digest []byte
			}
			Salt       []byte
			Iterations asn1.RawValue `asn1:"optional"` // some write the default, 1
		} `asn1:"optional"`
	}
	rest, err := asn1.Unmarshal(b, &pfx)
	if err != nil || len(rest) > 0 {
		return false
	}
	again, err := asn1.Marshal(pfx)
	if err != nil || string(again) != string(b) {
		return false
	}
	if pfx.MAC.Info.Algorithm.OID.String() == oidPBMAC1 {
		_, err = Read(b, tight) // its iterations are parameters; Read is strict about them
		return err == nil
	}
	iterations := 1
	if der := pfx.MAC.Iterations.FullBytes; len(der) > 0 {
		_, err = asn1.Unmarshal(der, &iterations)
	}
	return err == nil && iterations >= 1 && iterations <= 5000
}

// FuzzWriteRead writes a pack and wants it back, from our reader and from go-pkcs12.
func FuzzWriteRead(f *testing.F) {
	f.Add("pw", "name", "csp", true, false, uint16(1))
	f.Add("pässwörd€", "😀", "", false, true, uint16(300))
	f.Add("\x00", "\xff", "\u2028", true, true, uint16(0))
	f.Fuzz(func(t *testing.T, password, name, csp string, machine, aes bool, iterations uint16) {
		p := smallPack()
		p.Password, p.FriendlyName, p.CSP, p.LocalMachine, p.Iterations = password, name, csp, machine, int(iterations)
		if p.Encryption = TripleDESSHA1; aes {
			p.Encryption = AES256SHA256
		}
		b, err := p.Encode()
		if password == "" {
			if err == nil {
				t.Fatal("an empty password was taken")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(context.Background(), b, password, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		k := got.Keys[0]
		if !p.Key.(ed25519.PrivateKey).Equal(k.Signer) || got.Leaf != 0 || !slices.EqualFunc(got.X509(), []*x509.Certificate{p.Leaf, p.Chain[0]}, (*x509.Certificate).Equal) {
			t.Fatal("another key or other certificates")
		}
		if k.Facts.FriendlyName != string([]rune(name)) || k.Facts.CSP != string([]rune(csp)) || k.Facts.LocalMachine != machine || got.Facts.Encryption != p.Encryption {
			t.Fatalf("%+v", k.Facts)
		}
		if seen, err := Read(b, Limits{}); err != nil || seen.Encryption != p.Encryption || seen.BER || seen.Trailing != 0 {
			t.Fatalf("Read: %+v, %v", seen, err)
		}
		if strings.IndexFunc(password, func(r rune) bool { return r > 0xffff || r == 0xfffd }) < 0 {
			sameAsOracle(t, b, password, got)
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	p := smallPack()
	f.Add(p.Leaf.Raw)
	f.Add(pemOf(p.Leaf, p.Chain[0]))
	f.Add(sequenceDER(oidDER(oidSignedData), explicitDER(sequenceDER(integerDER(1), setDER(), sequenceDER(oidDER(oidData)), tlv(0xa0, p.Leaf.Raw)))))
	f.Fuzz(func(t *testing.T, b []byte) {
		certs, err := ParseCertificates(b)
		if err == nil && len(certs) == 0 {
			t.Fatal("neither certificates nor an error")
		}
	})
}

// strictBags says whether b is what encoding/asn1 would write for the safe contents it reads, without encrypted keys.
func strictBags(b []byte) bool {
	var bags []struct {
		Type       asn1.ObjectIdentifier
		Value      asn1.RawValue `asn1:"tag:0,explicit"`
		Attributes []struct {
			Type   asn1.ObjectIdentifier
			Values asn1.RawValue `asn1:"set"`
		} `asn1:"set,optional"`
	}
	if rest, err := asn1.Unmarshal(b, &bags); err != nil || len(rest) > 0 {
		return false
	}
	for _, one := range bags {
		if one.Type.String() == oidShroudedBag {
			return false
		}
		var certificate struct {
			Type asn1.ObjectIdentifier
			Data []byte `asn1:"tag:0,explicit"`
		}
		if one.Type.String() != oidCertBag {
			continue
		}
		if rest, err := asn1.Unmarshal(one.Value.Bytes, &certificate); err != nil || len(rest) > 0 {
			return false
		}
		if again, err := asn1.Marshal(certificate); err != nil || !bytes.Equal(again, one.Value.Bytes) {
			return false
		}
	}
	again, err := asn1.Marshal(bags)
	return err == nil && bytes.Equal(again, b)
}

// FuzzHidden puts the input where only the password leads: into an encrypted safe under a right MAC. An author who knows the
// password is as little trusted as one who does not.
func FuzzHidden(f *testing.F) {
	p := smallPack()
	f.Add(sequenceDER(certificateBag(p.Leaf, setDER(localKeyID())), certificateBag(p.Chain[0])))
	f.Add(sequenceDER(bagOf(oidKeyBag, must(x509.MarshalPKCS8PrivateKey(p.Key)))))
	clearKey := bagOf(oidKeyBag, must(x509.MarshalPKCS8PrivateKey(p.Key)))
	f.Add(sequenceDER(clearKey, certificateBag(p.Leaf, setDER(localKeyID())), certificateBag(p.Chain[0])))
	f.Add(sequenceDER(certificateBag(p.Chain[0]), clearKey, certificateBag(p.Leaf)))
	f.Add(sequenceDER(clearKey, clearKey, certificateBag(p.Leaf)))
	w := testWriter()
	s, algorithm, err := w.pbes2()
	if err != nil {
		f.Fatal(err)
	}
	shrouded := sequenceDER(algorithm, octetsDER(must(s.encrypt(context.Background(), w.password, must(x509.MarshalPKCS8PrivateKey(p.Key))))))
	f.Add(sequenceDER(bagOf(oidShroudedBag, shrouded), certificateBag(p.Leaf)))
	f.Add(sequenceDER(shroudedKey(pbe(octetsDER(make([]byte, 8)), power(62, 0)))))
	f.Add(sequenceDER(shroudedKey(pbes2(integerDER(1)))))
	f.Add(nestedContents(3))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := testWriter()
		s, algorithm, err := w.tripleDES()
		if err != nil {
			t.Fatal(err)
		}
		safe := encryptedSafe(algorithm, must(s.encrypt(context.Background(), w.password, b)))
		file := sealed(safe)
		got, err := Open(context.Background(), file, testPassword, tight)
		if err != nil {
			clearError(t, err)
			// Hidden iterations may be any, hence only keys that have none.
			if !errors.Is(err, ErrLimit) && strictBags(b) {
				sameWhereOracleReads(t, file, nil, err)
			}
			return
		}
		if !bytes.Contains(b, oidDER(oidNestedBag)) { // whose contents go-pkcs12 skips
			sameWhereOracleReads(t, file, got, nil)
		}
		if got.Leaf >= len(got.Certificates) || len(got.Keys) != len(got.Facts.Keys) || got.Facts.Safes[0].Bags < len(got.Keys)+len(got.Certificates) {
			t.Fatalf("%+v", got.Facts)
		}
		if _, _, err := Repair(got, nil, Pack{}); err == nil && got.LeafCertificate() == nil {
			t.Fatal("repaired without a leaf")
		}
	})
}
