package pfx

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

func TestRepair(t *testing.T) {
	f := theFamily()
	type certs = []*x509.Certificate
	want := Pack{Password: testPassword, LocalMachine: true}
	for name, row := range map[string]struct {
		file    certs // as written with the old default of go-pkcs12
		extra   certs
		chain   certs
		changes []string // beginnings, in order, besides encryption and attribute
	}{
		"only its wrapping":  {certs{f.leaf, f.issuing, f.root}, nil, certs{f.issuing, f.root}, nil},
		"disordered":         {certs{f.root, f.issuing, f.leaf}, nil, certs{f.issuing, f.root}, []string{"put the certificates in order"}},
		"a stranger":         {certs{f.leaf, f.stranger, f.issuing, f.root}, nil, certs{f.issuing, f.root}, []string{`drop "CN=Test Stranger"`}},
		"a duplicate":        {certs{f.leaf, f.issuing, f.issuing, f.root}, nil, certs{f.issuing, f.root}, []string{`drop a duplicate of "CN=Test Issuing"`}},
		"incomplete":         {certs{f.leaf, f.root}, certs{f.stranger, f.issuing}, certs{f.issuing, f.root}, []string{`add "CN=Test Issuing"`}},
		"stays incomplete":   {certs{f.leaf, f.root}, nil, nil, []string{`drop "CN=Test Root"`}},
		"leaf alone, helped": {certs{f.leaf}, certs{f.root, f.issuing}, certs{f.issuing, f.root}, []string{`add "CN=Test Issuing"`, `add "CN=Test Root"`}},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := pkcs12.LegacyRC2.Encode(f.key, row.file[0], row.file[1:], testPassword)
			if err != nil {
				t.Fatal(err)
			}
			p, changes, err := Repair(open(t, b), row.extra, want)
			if err != nil {
				t.Fatal(err)
			}
			wanted := append(slices.Clone(row.changes), "encrypt with TripleDES-SHA1 instead of RC2-40/3DES", "set the local-machine attribute")
			if !slices.EqualFunc(changes, wanted, strings.HasPrefix) {
				t.Errorf("changes\n%q, want\n%q", changes, wanted)
			}
			if !slices.EqualFunc(p.Chain, row.chain, (*x509.Certificate).Equal) || !p.Leaf.Equal(f.leaf) {
				t.Errorf("chain %v", names(p.Chain))
			}
			repaired, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, changes, err := Repair(open(t, repaired), row.extra, want)
			if err != nil || len(changes) != 0 {
				t.Errorf("a repaired file needs %q, %v", changes, err)
			}
			if !again.Leaf.Equal(f.leaf) {
				t.Error("another leaf")
			}
		})
	}

	t.Run("names are kept", func(t *testing.T) {
		b := opensslPFX(t, f.chain(), "-CSP", "Some Provider", "-name", "portal", "-LMK")
		p, changes, err := Repair(open(t, append(b, 0, 0)), nil, Pack{Password: testPassword, LocalMachine: true, Encryption: AES256SHA256})
		if err != nil || p.CSP != "Some Provider" || p.FriendlyName != "portal" {
			t.Errorf("%q, %q, %v", p.CSP, p.FriendlyName, err)
		}
		if want := []string{"drop 2 bytes after the end of the file"}; !slices.Equal(changes, want) {
			t.Errorf("changes %q, want %q", changes, want)
		}
	})
	t.Run("BER", func(t *testing.T) {
		p := testPack()
		_, changes, err := Repair(open(t, toBER(must(p.Encode()), 20)), nil, Pack{Password: testPassword})
		if want := []string{"encode in DER instead of BER"}; err != nil || !slices.Equal(changes, want) {
			t.Errorf("changes %q, want %q, %v", changes, want, err)
		}
	})
	t.Run("no leaf", func(t *testing.T) {
		b, err := pkcs12.LegacyDES.Encode(f.rootKey, f.leaf, nil, testPassword)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Repair(open(t, b), nil, want); err == nil || !strings.Contains(err.Error(), "no certificate in the file belongs to its key") {
			t.Errorf("got %v", err)
		}
	})
}
