package pfx

import (
	"crypto/x509"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repaired opens a file, mends it and returns both sides of the comparison, by fact.
func repaired(t *testing.T, b []byte, extra ...*x509.Certificate) (before, after map[string]string) {
	t.Helper()
	was := open(t, b)
	p, _, err := Repair(was, extra, Pack{Password: testPassword, LocalMachine: true})
	if err != nil {
		t.Fatal(err)
	}
	before, after = map[string]string{}, map[string]string{}
	for _, c := range Compare(was, open(t, must(p.Encode()))) {
		before[c.Fact], after[c.Fact] = c.Before, c.After
	}
	return before, after
}

func made(name string) []byte { return must(os.ReadFile(filepath.Join(madeFiles, name+".pfx"))) }

const wholeChain = `"CN=portal.east.contoso.com" < "CN=Made Issuing" < "CN=Made Intermediate" < "CN=Made Root"`

// good is what every file of the made family looks like afterwards.
func good(but map[string]string) map[string]string {
	out := map[string]string{
		"encryption": TripleDESSHA1, "ciphers": "certificates 3DES, key 3DES", "mac": "SHA1", "iterations": "certificates 2000, key 2000, mac 2000",
		"encoding": "DER", "trailing": "none", "keys": "RSA-2048", "certificates": "4", "leaf-position": "1 of 4", "chain": wholeChain,
		"strangers": "none", "other-bags": "none", "unreadable": "none", "negative-serial": "none", "local-machine": "yes", "csp": "none", "friendly-name": "none",
	}
	maps.Copy(out, but)
	return out
}

func TestCompare(t *testing.T) {
	for name, row := range map[string]struct{ before, after map[string]string }{ // what is not good before, and what stays so
		"nss-default": {map[string]string{
			"encryption": "mixed", "ciphers": "certificates AES-128-CBC, key AES-256-CBC", "mac": "SHA256",
			"iterations": "certificates 600000, key 600000, mac 600000", "encoding": "BER", "leaf-position": "4 of 4",
			"chain": wholeChain + " (not in this order)", "local-machine": "no", "friendly-name": "portal",
		}, map[string]string{"friendly-name": "portal"}},
		"openssl-stranger": {map[string]string{
			"encryption": AES256SHA256, "ciphers": "certificates AES-256-CBC, key AES-256-CBC", "mac": "SHA256", "iterations": "certificates 2048, key 2048, mac 2048",
			"certificates": "5", "leaf-position": "1 of 5", "strangers": `"CN=Made Stranger"`, "local-machine": "no",
		}, nil},
		"openssl-clear-certificates": {map[string]string{
			"encryption": "partly clear", "ciphers": "certificates clear, key AES-256-CBC", "mac": "SHA256", "iterations": "certificates 0, key 2048, mac 2048", "local-machine": "no",
		}, nil},
		"openssl-no-mac-clear": {map[string]string{
			"encryption": "none", "ciphers": "certificates clear, key clear", "mac": "none", "iterations": "certificates 0, key 0, mac 0", "local-machine": "no",
		}, nil},
		"openssl-no-intermediate": {map[string]string{
			"encryption": AES256SHA256, "ciphers": "certificates AES-256-CBC, key AES-256-CBC", "mac": "SHA256", "iterations": "certificates 2048, key 2048, mac 2048",
			"certificates": "3", "leaf-position": "1 of 3", "local-machine": "no", "strangers": `"CN=Made Root"`,
			"chain": `"CN=portal.east.contoso.com" < "CN=Made Issuing" < "CN=Made Intermediate", which is missing`,
		}, nil},
		"openssl-trailing-zeros": {map[string]string{
			"iterations": "certificates 2048, key 2048, mac 2048", "trailing": "8 zero bytes", "local-machine": "no",
		}, nil},
		"openssl-negative-serial": {map[string]string{
			"encryption": AES256SHA256, "ciphers": "certificates AES-256-CBC, key AES-256-CBC", "mac": "SHA256", "iterations": "certificates 2048, key 2048, mac 2048",
			"negative-serial": "certificate 1", "local-machine": "no",
		}, map[string]string{"negative-serial": "certificate 1"}},
		"openssl-3des-local-machine": {map[string]string{
			"csp": "Microsoft Enhanced RSA and AES Cryptographic Provider", "friendly-name": "pörtal",
		}, map[string]string{
			"csp": "Microsoft Enhanced RSA and AES Cryptographic Provider", "friendly-name": "pörtal",
		}},
		"java-2-keys": {map[string]string{
			"encryption": AES256SHA256, "ciphers": "certificates AES-256-CBC, key AES-256-CBC", "mac": "SHA256", "iterations": "certificates 10000, key 10000, mac 10000",
			"keys": "RSA-2048, ECDSA-P-256", "certificates": "8", "leaf-position": "1 of 8", "local-machine": "no", "friendly-name": "portal",
			"strangers": `"CN=portal.east.contoso.com", "CN=Made Issuing", "CN=Made Intermediate", "CN=Made Root"`,
		}, map[string]string{"friendly-name": "portal"}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := repaired(t, made(name), open(t, made("openssl-default")).X509()...)
			if diff := cmp.Diff(good(row.before), before); diff != "" {
				t.Errorf("before (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(good(row.after), after); diff != "" {
				t.Errorf("after (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCompareTellsWhatItCannot puts a file without anything beside itself.
func TestCompareTellsWhatItCannot(t *testing.T) {
	b := open(t, made("openssl-certificates-only"))
	var odd []string
	for _, c := range Compare(b, b) {
		if c.Before != c.After {
			t.Errorf("%s: %q and %q of one file", c.Fact, c.Before, c.After)
		}
		if c.Before == "none" {
			odd = append(odd, c.Fact)
		}
	}
	if want := []string{"trailing", "keys", "leaf-position", "chain", "other-bags", "unreadable", "negative-serial", "local-machine", "csp", "friendly-name"}; !slices.Equal(odd, want) {
		t.Errorf("none: %q, want %q", odd, want)
	}
}

// TestRepairSaysWhatItCannotMend has a sentence for each file that needs a new request.
func TestRepairSaysWhatItCannotMend(t *testing.T) {
	for name, want := range map[string]string{
		"openssl-certificates-only": "repair: the file holds no private key",
		"openssl-key-only":          "repair: no certificate in the file belongs to its key",
		"openssl-leaf-missing":      "repair: no certificate in the file belongs to its key",
		"openssl-rsa-pss":           "repair: unsupported private key: RSA-PSS (1.2.840.113549.1.1.10)",
	} {
		if _, _, err := Repair(open(t, made(name)), nil, Pack{Password: testPassword}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
