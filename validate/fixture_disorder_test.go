package validate

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the MAC of TripleDES-SHA1
	"encoding/asn1"
	"testing"
	"unicode/utf16"

	"software.sslmate.com/src/go-pkcs12"
)

// The shapes of RFC 7292, as far as encoding/asn1 must see them.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	safeBag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue   `asn1:"tag:0,explicit"`
		Attributes []asn1.RawValue `asn1:"set,optional"`
	}
	macData struct {
		Digest     struct{ Algorithm, Sum asn1.RawValue }
		Salt       []byte
		Iterations int
	}
	pfxFile struct {
		Version int
		Safe    contentInfo
		MAC     macData
	}
)

// disordered packs the certificates of an item in any order and with any strangers, which our own packer refuses: the
// stranger's packer writes the file, and the mark for the local machine is patched in.
func disordered(t testing.TB, it *item) []byte {
	t.Helper()
	b, err := pkcs12.LegacyDES.WithIterations(1000).Encode(it.key, it.certificate(), it.chain, it.pack.Password)
	if err != nil {
		t.Fatal(err)
	}
	var f pfxFile
	unmarshal(t, b, &f)
	safe := mapOctets(t, f.Safe, func(safe []byte) []byte {
		var infos []contentInfo
		unmarshal(t, safe, &infos)
		for i := range infos {
			if infos[i].Type.Equal(f.Safe.Type) { // data: the key's safe
				infos[i] = mapOctets(t, infos[i], func(bags []byte) []byte { return mark(t, bags) })
			}
		}
		return marshal(t, infos)
	})
	f.Safe = safe
	var octets []byte
	unmarshal(t, safe.Content.Bytes, &octets)
	mac := hmac.New(sha1.New, macKey(it.pack.Password, f.MAC.Salt, f.MAC.Iterations))
	mac.Write(octets)
	f.MAC.Digest.Sum = asn1.RawValue{FullBytes: marshal(t, mac.Sum(nil))}
	return marshal(t, f)
}

// mark adds the local machine attribute, an empty set, to every bag.
func mark(t testing.TB, b []byte) []byte {
	var bags []safeBag
	unmarshal(t, b, &bags)
	attribute := append([]byte{0x30, 0x0d}, marshal(t, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 17, 2})...)
	for i := range bags {
		bags[i].Attributes = append(bags[i].Attributes, asn1.RawValue{FullBytes: append(attribute, 0x31, 0x00)})
	}
	return marshal(t, bags)
}

func mapOctets(t testing.TB, c contentInfo, f func([]byte) []byte) contentInfo {
	var octets []byte
	unmarshal(t, c.Content.Bytes, &octets)
	inner := marshal(t, f(octets))
	return contentInfo{Type: c.Type, Content: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}}
}

// macKey is the key derivation of RFC 7292, appendix B.2, with ID 3 for MACs. One block of SHA-1 is enough.
func macKey(password string, salt []byte, iterations int) []byte {
	var p []byte
	for _, u := range append(utf16.Encode([]rune(password)), 0) {
		p = append(p, byte(u>>8), byte(u))
	}
	fill := func(b []byte) []byte {
		n := (len(b) + 63) / 64 * 64
		return bytes.Repeat(b, n/len(b)+1)[:n]
	}
	sum := sha1.Sum(append(append(bytes.Repeat([]byte{3}, 64), fill(salt)...), fill(p)...)) //nolint:gosec // see the import
	for range iterations - 1 {
		sum = sha1.Sum(sum[:]) //nolint:gosec // see the import
	}
	return sum[:]
}

func unmarshal(t testing.TB, b []byte, to any) {
	t.Helper()
	if rest, err := asn1.Unmarshal(b, to); err != nil || len(rest) > 0 {
		t.Fatalf("unmarshal: %v, %d bytes left", err, len(rest))
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
