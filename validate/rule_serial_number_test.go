//go:debug x509negativeserial=1

package validate

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
)

// withSerial issues the certificate of an item with a serial number of these octets, which crypto/x509 refuses to write.
func withSerial(it *item, octets ...byte) *x509.Certificate {
	type certificate struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var c certificate
	_, err := asn1.Unmarshal(it.certificate().Raw, &c)
	must(err)
	var version, serial asn1.RawValue
	rest, err := asn1.Unmarshal(c.TBS.Bytes, &version)
	must(err)
	rest, err = asn1.Unmarshal(rest, &serial)
	must(err)
	body := slices.Concat(version.FullBytes, []byte{2, byte(len(octets))}, octets)
	tbs, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(body, rest...)})
	must(err)
	sum := sha256.Sum256(tbs)
	signature, err := rsa.SignPKCS1v15(rand.Reader, it.issuer.key, crypto.SHA256, sum[:])
	must(err)
	c.TBS, c.Signature = asn1.RawValue{FullBytes: tbs}, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	der, err := asn1.Marshal(c)
	must(err)
	out, err := x509.ParseCertificate(der)
	must(err)
	return out
}

func TestOddSerial(t *testing.T) {
	one := big.NewInt(1)
	for _, row := range []struct {
		claim string
		n     *big.Int
		want  string
	}{
		{"the smallest", one, ""},
		{"20 octets", new(big.Int).Sub(new(big.Int).Lsh(one, 159), one), ""},
		{"one more", new(big.Int).Lsh(one, 159), "a serial number of 21 octets"},
		{"zero", big.NewInt(0), "serial number 0"},
		{"negative", big.NewInt(-5), "a negative serial number"},
	} {
		if got := oddSerial(row.n); got != row.want {
			t.Errorf("%s: %q, want %q", row.claim, got, row.want)
		}
	}
	s := subject(t, "2301", spoilt, nil)
	s.Chain[1] = newItem(s.Endpoint, 0).certificate()
	s.Chain[1].SerialNumber = big.NewInt(-1)
	check(t, serialNumber.Check(s), Warning, "a negative serial number in", "blob")
}
