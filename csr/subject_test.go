package csr

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	random "math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSubjectRefusals says of each mistake what was found and what to write instead.
func TestSubjectRefusals(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"O=a+OU=b", `O joins another attribute by +: separate the two by a comma, or write \+`},
		{`O="a"+OU=b`, `O joins another attribute by +`},
		{"O=#0c0161", `O begins with #, which announces hexadecimal: write \#`},
		{`O=Contoso "East", Ltd`, `O has a quote in the middle: write \"`},
		{`O="a"b`, `O has "b" after the closing quote`},
		{`O="a`, "O has no closing quote"},
		{`O=a\`, "O ends in a backslash"},
		{`O=C:\temp`, `O holds "\\t", which escapes nothing`},
		{"O=", "O is empty: give it a value or leave it out"},
		{"CN=a,CN=b", "CN stands in it 2 times"},
		{"C=USA", `C is "USA", wanted the two letters of a country`},
		{"C=ı", `C is "ı", wanted the two letters of a country`}, // two bytes whose upper case is an I
		{"C=ſ", `C is "ſ"`},
		{"O=" + strings.Repeat("ü", 65), "O has 65 characters, at most 64: shorten it"},
		{"ST=" + strings.Repeat("a", 129), "ST has 129 characters, at most 128"},
		{"CN=" + strings.Repeat("a", 65), "CN has 65 characters, at most 64"},
		{"DC=bücher", `DC is "bücher", wanted ASCII`},
		{"O=a\u0085b", `the character '\u0085' has no place in a name`},
		{"O=a\u2028b", `the character '\u2028' has no place in a name`},
		{"O=a\r\nKeyLength = 512", `the character '\r' has no place in a name`},
		{`O=\0D`, `the character '\r' has no place in a name`},
		{"EMAIL=a@b", `attribute "EMAIL" is not one of`},
	} {
		got, err := ParseSubject(c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, %v\nwanted %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"O=" + strings.Repeat("ü", 64), "L=" + strings.Repeat("a", 128), "CN=" + strings.Repeat("a", 64), "DC=" + strings.Repeat("a", 63), "C=us"} {
		if _, err := ParseSubject(in); err != nil {
			t.Errorf("at its bound: %v", err)
		}
	}
}

// TestSubjectStringTypes holds the types that RFC 4519 and RFC 5280 give to values.
func TestSubjectStringTypes(t *testing.T) {
	s, err := ParseSubject("DC=contoso,C=DE,O=Contoso,OU=Süd,L=a*b")
	if err != nil {
		t.Fatal(err)
	}
	der, err := s.marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1607" + hex.EncodeToString([]byte("contoso")), // IA5String
		"1302" + hex.EncodeToString([]byte("DE")),      // PrintableString
		"1307" + hex.EncodeToString([]byte("Contoso")),
		"0c04" + hex.EncodeToString([]byte("Süd")), // UTF8String
		"0c03" + hex.EncodeToString([]byte("a*b")),
	} {
		if !strings.Contains(hex.EncodeToString(der), want) {
			t.Errorf("no %s in %x", want, der)
		}
	}
}

// TestSubjectOfRefuses holds what a renewal cannot carry, in a live certificate's own bytes.
func TestSubjectOfRefuses(t *testing.T) {
	organization, unit := asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{2, 5, 4, 11}
	one := func(oid asn1.ObjectIdentifier, v any) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: oid, Value: v}}
	}
	for _, c := range []struct {
		name string
		seq  pkix.RDNSequence
		want string
	}{
		{"two in one RDN", pkix.RDNSequence{{{Type: organization, Value: "a"}, {Type: unit, Value: "b"}}}, "joins 2 attributes in one RDN (O+OU)"},
		{"one with a number only", pkix.RDNSequence{{{Type: organization, Value: "a"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: "7"}}}, "(2.5.4.5+O)"},
		{"e-mail", pkix.RDNSequence{one(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, "a@b")}, "holds the attribute 1.2.840.113549.1.9.1"},
		{"number as organization", pkix.RDNSequence{one(organization, 7)}, "holds a value of O that is no text"},
		{"line break", pkix.RDNSequence{one(organization, "a\r\nKeyLength = 512")}, `the character '\r' has no place`},
		{"too long", pkix.RDNSequence{one(organization, strings.Repeat("a", 300))}, "O has 300 characters, at most 64"},
		{"empty value", pkix.RDNSequence{one(organization, "")}, "O is empty"},
		{"two common names", pkix.RDNSequence{one(attributeTypes["CN"].oid, "a"), one(attributeTypes["CN"].oid, "b")}, "CN stands in it 2 times"},
		{"too many", slices.Repeat(pkix.RDNSequence{one(unit, "a")}, 21), "21 attributes, at most 20"},
		{"empty RDN", pkix.RDNSequence{{}}, "joins 0 attributes"},
	} {
		der, err := asn1.Marshal(c.seq)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := subjectOf(der); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v\nwanted %s", c.name, got, err, c.want)
		}
	}
	if _, err := subjectOf([]byte{0x30, 0x80}); err == nil {
		t.Error("bytes that are no name were read")
	}
}

// alphabet holds every character that means something to one of the writers and readers of names, and some that do not.
var alphabet = []rune(`abcZ019 ,,++""\\<>;;==##%&/'*@:._-äßéЖ中😀` + "\u00a0\u200d\ufeff\uffff")

func randomSubject(r *random.Rand) Subject {
	kinds := []string{"C", "ST", "L", "O", "OU", "OU", "DC", "O"}
	var s Subject
	for range 1 + r.IntN(6) {
		kind := kinds[r.IntN(len(kinds))]
		var v []rune
		for range 1 + r.IntN(12) {
			if c := alphabet[r.IntN(len(alphabet))]; kind != "DC" || c < 0x80 {
				v = append(v, c)
			}
		}
		switch {
		case kind == "C":
			v = []rune("DE")
		case len(v) == 0:
			v = []rune("x")
		}
		s = append(s, Attribute{Type: kind, Value: string(v)})
	}
	return s
}

// TestOpenSSLWritesTheSubject gives random subjects to a stranger that writes RFC 2253, once with escaped and once with
// plain letters: ParseSubject must read what was meant. The one difference in writing is =, which we escape as RFC 4514
// allows and openssl does not.
func TestOpenSSLWritesTheSubject(t *testing.T) {
	p, in := given(t, "2301", "AAD")
	key := testKeys(t, 1)[0]
	r := random.New(random.NewPCG(1, 2)) //nolint:gosec // the same subjects in every run
	for range 30 {
		s := randomSubject(r)
		if err := s.check(); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		in.Subject = s
		list := specs(t, p, in)
		made, err := list[0].GenerateWith(key, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, options := range []string{"RFC2253,-dn_rev", "RFC2253,-dn_rev,-esc_msb,utf8"} {
			c := exec.CommandContext(t.Context(), "openssl", "req", "-noout", "-subject", "-nameopt", options)
			c.Stdin = bytes.NewReader(made.PEM())
			out, err := c.Output()
			if err != nil {
				t.Fatal(err)
			}
			text := strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n")
			got, err := ParseSubject(text)
			if err != nil {
				t.Errorf("openssl wrote %s: %v", text, err)
				continue
			}
			if diff := cmp.Diff(list[0].subject, got); diff != "" {
				t.Errorf("openssl wrote %s (-meant +read):\n%s", text, diff)
			}
			if ours := strings.ReplaceAll(list[0].subject.String(), `\=`, "="); strings.HasSuffix(options, "utf8") && ours != text {
				t.Errorf("we write  %s\nopenssl   %s", ours, text)
			}
		}
	}
}

// TestSubjectsRoundTrip does the same without a stranger, for many more.
func TestSubjectsRoundTrip(t *testing.T) {
	r := random.New(random.NewPCG(3, 4)) //nolint:gosec // the same subjects in every run
	for range 3000 {
		s := randomSubject(r)
		got, err := ParseSubject(s.String())
		if err != nil || !slices.Equal(got, s) {
			t.Fatalf("%q is written %s and read as %q, %v", s, s, got, err)
		}
		der, err := s.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := subjectOf(der); err != nil || !slices.Equal(got, s) {
			t.Fatalf("%q comes back from DER as %q, %v", s, got, err)
		}
	}
}

// testKeys makes RSA keys once for all tests of the package: finding primes is what takes the time.
func testKeys(t testing.TB, n int) []*rsa.PrivateKey {
	t.Helper()
	for len(keyCache) < n {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		keyCache = append(keyCache, k)
	}
	return keyCache[:n]
}

var keyCache []*rsa.PrivateKey
