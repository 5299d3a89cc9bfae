package csr

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// live is what an endpoint serves: changed by a test, signed by a CA of its own.
type live struct {
	subject   pkix.RDNSequence
	public    any
	algorithm x509.SignatureAlgorithm
}

func (l live) certificate(t *testing.T, ca crypto.Signer) *x509.Certificate {
	t.Helper()
	raw, err := asn1.Marshal(l.subject)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: raw, SignatureAlgorithm: l.algorithm,
		NotBefore: asOf.AddDate(-3, 0, 0), NotAfter: asOf.AddDate(-2, 0, 0), // long expired: it is only read
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}, l.public, ca)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rdn(oid asn1.ObjectIdentifier, v any) pkix.RelativeDistinguishedNameSET {
	return pkix.RelativeDistinguishedNameSET{{Type: oid, Value: v}}
}

var (
	country      = rdn(attributeTypes["C"].oid, "DE")
	organization = rdn(attributeTypes["O"].oid, "Contoso, Ltd")
	commonName   = rdn(attributeTypes["CN"].oid, "portal.east.contoso.com")
)

// public is a public key of any length that a certificate can hold; nobody needs its private half.
func public(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

// TestFromLive takes over subject, key length and hash of a live certificate, but never its CN.
func TestFromLive(t *testing.T) {
	ca := testKeys(t, 1)[0]
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.RDNSequence{country, organization, commonName}
	for _, c := range []struct {
		name string
		live live
		ca   crypto.Signer
		bits int
		hash string
		note string
	}{
		{"SHA256, 2048", live{subject, public(2048), x509.SHA256WithRSA}, ca, 2048, "SHA256", ""},
		{"SHA384, 3072", live{subject, public(3072), x509.SHA384WithRSA}, ca, 3072, "SHA384", ""},
		{"SHA512, 4096", live{subject, public(4096), x509.SHA512WithRSA}, ca, 4096, "SHA512", ""},
		{"a CA with a curve", live{subject, public(2048), x509.ECDSAWithSHA384}, curve, 2048, "SHA384", ""},
		{"PSS", live{subject, public(2048), x509.SHA512WithRSAPSS}, ca, 2048, "SHA512", "signed with SHA512-RSAPSS: the request with SHA512 and RSA"},
		{"SHA-1", live{subject, public(2048), x509.SHA1WithRSA}, ca, 2048, "SHA256", "signed with SHA1-RSA: the request with SHA256"},
		{"a short key", live{subject, public(1024), x509.SHA256WithRSA}, ca, 2048, "SHA256", "a key of 1024 bits: raised to 2048"},
	} {
		given := Input{KeyBits: 4096, Notes: make([]string, 0, 4)}
		got, err := FromLive(c.live.certificate(t, c.ca), given)
		if err != nil || got.Subject.String() != `C=DE,O=Contoso\, Ltd` || got.KeyBits != c.bits || got.Hash != c.hash {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if notes := strings.Join(got.Notes, "\n"); (notes != "") != (c.note != "") || !strings.Contains(notes, c.note) {
			t.Errorf("%s: notes %q, wanted %q", c.name, notes, c.note)
		}
	}
}

// TestFromLiveRefuses names everything that a renewal cannot carry, at once.
func TestFromLiveRefuses(t *testing.T) {
	ca := testKeys(t, 1)[0]
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial := rdn(asn1.ObjectIdentifier{2, 5, 4, 5}, "7")
	for _, c := range []struct {
		name string
		live live
		want []string
	}{
		{"an attribute", live{pkix.RDNSequence{organization, serial}, public(2048), 0}, []string{"the subject of the live certificate holds the attribute 2.5.4.5"}},
		{"two in one", live{pkix.RDNSequence{append(slices.Clone(organization), country...)}, public(2048), 0}, []string{"joins 2 attributes in one RDN"}},
		{"ECDSA", live{pkix.RDNSequence{organization}, curve.Public(), 0}, []string{"a key of kind ECDSA"}},
		{"Ed25519", live{pkix.RDNSequence{organization}, edwards, 0}, []string{"a key of kind Ed25519"}},
		{"a long key", live{pkix.RDNSequence{organization}, public(8192), 0}, []string{"an RSA key of 8192 bits, and a request here has 2048, 3072 or 4096 bits"}},
		{"an odd key", live{pkix.RDNSequence{organization}, public(2432), 0}, []string{"an RSA key of 2432 bits"}},
		{"both", live{pkix.RDNSequence{serial}, curve.Public(), 0}, []string{"holds the attribute", "a key of kind ECDSA"}},
	} {
		_, err := FromLive(c.live.certificate(t, ca), Input{})
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\nwanted %s", c.name, err, want)
			}
		}
	}
}

// TestRenewedRequest makes the request that a live certificate leads to and finds its subject, length and hash in it.
func TestRenewedRequest(t *testing.T) {
	ca := testKeys(t, 1)[0]
	c := live{pkix.RDNSequence{country, organization, commonName}, ca.Public(), x509.SHA384WithRSA}.certificate(t, ca)
	p, in := given(t, "2301", "AAD")
	in, err := FromLive(c, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs(t, p, in) {
		r, err := s.GenerateWith(ca, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x509.ParseCertificateRequest(r.DER)
		if err != nil {
			t.Fatal(err)
		}
		if got.SignatureAlgorithm != x509.SHA384WithRSA || s.Subject != `C=DE,O=Contoso\, Ltd,CN=`+s.Names[0] || !slices.Equal(got.DNSNames, s.Names) || s.KeyBits != 2048 {
			t.Errorf("%s: %s, %v, %v, %d bits", s.Stem, got.SignatureAlgorithm, got.Subject, got.DNSNames, s.KeyBits)
		}
	}
}
