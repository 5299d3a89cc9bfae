// Package authroot reads lists of trusted roots that an operator puts in the place of the built-in one.
//
// Microsoft distributes its root programme as authroot.stl, a signed certificate trust list: hashes and properties of
// roots, no certificates. Read verifies who signed it before anything in it counts, and List.Trusts answers as Windows
// would: is this root listed for server authentication, is it disabled by now, was the certificate issued after the last
// day the programme accepts. The other forms hold the certificates themselves: PEM, DER, P7B, and the serialized store
// (.sst) that certutil -generateSSTFromWU writes.
//
// The bytes may come from anybody. They are measured before any library sees them: size, depth, number of elements,
// entries and certificates. Nothing here reads a clock, a disk or a network.
package authroot

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/certstamp/certstamp/pfx"
)

// MaxSize bounds a file of roots, in bytes. Microsoft's list of 2026 has 200 kB for 562 entries, a store with every
// certificate of it 1 MB.
const MaxSize = 4 << 20

const (
	maxDepth        = 24
	maxElements     = 500_000
	maxEntries      = 8192
	maxCertificates = 4096
	maxSigners      = 32 // certificates inside a list: its signer and the authorities above
	maxKeyBits      = 16 << 10
)

// Roots is what a file holds: a List, or certificates.
type Roots struct {
	Form         string // what it was read as: "certificate trust list", "serialized store" or "certificates"
	List         *List
	Certificates []*x509.Certificate
}

// ErrFormat is wrapped when a file is none of the known forms, or breaks its own.
var ErrFormat = errors.New("not a list of trusted roots")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Read reads a file of trusted roots in any form. Signers are the roots a certificate trust list must lead to; the other
// forms carry no signature worth anything, and the repository that holds them vouches for them.
func Read(b []byte, signers []*x509.Certificate) (Roots, error) {
	switch {
	case len(b) > MaxSize:
		return Roots{}, malformed("%d bytes, at most %d are read", len(b), MaxSize)
	case bytes.HasPrefix(b, storeMagic):
		list, err := readStore(b)
		return Roots{Form: "serialized store", Certificates: list}, err
	case isTrustList(b):
		list, err := ReadList(b, signers)
		return Roots{Form: "certificate trust list", List: list}, err
	}
	list, err := pfx.ParseCertificates(b)
	if err != nil {
		return Roots{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return Roots{Form: "certificates", Certificates: list}, nil
}

// isTrustList tells a signed trust list from a P7B, which is the same envelope around nothing.
func isTrustList(b []byte) bool {
	kind, _, err := contentType(b)
	return err == nil && kind.Equal(oidTrustList)
}

// contentType opens the envelope far enough to say what is in it (RFC 5652 sections 3 and 5.1).
func contentType(b []byte) (kind asn1.ObjectIdentifier, signed bool, err error) {
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	if _, err := asn1.Unmarshal(b, &info); err != nil {
		return nil, false, err
	}
	if !info.Type.Equal(oidSignedData) {
		return info.Type, false, nil
	}
	var data struct {
		Version int
		Digests asn1.RawValue
		Content struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue `asn1:"explicit,optional,tag:0"`
		}
	}
	if _, err := asn1.Unmarshal(info.Content.Bytes, &data); err != nil {
		return nil, true, err
	}
	return data.Content.Type, true, nil
}

// measure walks every element once and refuses what is not plain DER framing, nests too deeply or has too many parts. It
// comes before any library: those recurse, and allocate for what a length claims.
func measure(b []byte) error {
	type level struct{ end int }
	var open []level
	elements := 0
	for at := 0; at < len(b); {
		for len(open) > 0 && at == open[len(open)-1].end {
			open = open[:len(open)-1]
		}
		if len(open) == 0 && elements > 0 {
			return malformed("something follows the end")
		}
		end := len(b)
		if len(open) > 0 {
			end = open[len(open)-1].end
		}
		if elements++; elements > maxElements {
			return malformed("more than %d elements", maxElements)
		}
		constructed, body, length, err := header(b[at:end])
		if err != nil {
			return err
		}
		at += body
		if !constructed {
			at += length
			continue
		}
		if len(open) == maxDepth {
			return malformed("nested more than %d deep", maxDepth)
		}
		open = append(open, level{at + length})
	}
	for len(open) > 0 && open[len(open)-1].end == len(b) {
		open = open[:len(open)-1]
	}
	if elements == 0 || len(open) > 0 {
		return malformed("it ends too early")
	}
	return nil
}

// header reads tag and length of the element b begins with: body is where its contents begin.
func header(b []byte) (constructed bool, body, length int, err error) {
	if len(b) < 2 {
		return false, 0, 0, malformed("it ends too early")
	}
	if b[0]&0x1f == 0x1f {
		return false, 0, 0, malformed("a tag of several bytes")
	}
	constructed, body, length = b[0]&0x20 != 0, 2, int(b[1])
	if b[1] >= 0x80 {
		n := int(b[1] & 0x7f)
		if n == 0 {
			return false, 0, 0, malformed("an indefinite length")
		}
		if n > 4 || len(b) < 2+n || b[2] == 0 || n == 1 && b[2] < 0x80 {
			return false, 0, 0, malformed("a length that is not DER")
		}
		length = 0
		for _, c := range b[2 : 2+n] {
			length = length<<8 | int(c)
		}
		body += n
	}
	if length < 0 || length > len(b)-body {
		return false, 0, 0, malformed("it ends too early")
	}
	return constructed, body, length, nil
}
