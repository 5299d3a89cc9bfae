package authroot

import (
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"slices"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// readContent reads the list itself:
//
//	CertificateTrustList ::= SEQUENCE {
//	    version INTEGER OPTIONAL, subjectUsage SEQUENCE OF OID, listIdentifier OCTET STRING OPTIONAL,
//	    sequenceNumber INTEGER OPTIONAL, thisUpdate Time, nextUpdate Time OPTIONAL, subjectAlgorithm AlgorithmIdentifier,
//	    trustedSubjects SEQUENCE OF SEQUENCE { OCTET STRING, SET OF SEQUENCE { OID, SET { OCTET STRING } } } OPTIONAL,
//	    extensions [0] EXPLICIT OPTIONAL }
//
// Microsoft puts the SEQUENCE where CMS has an OCTET STRING, and the signature covers what is inside it: then the outer
// header is already gone. Other signers wrap the whole.
func readContent(b []byte) (*List, error) {
	s := cryptobyte.String(b)
	var whole cryptobyte.String
	if probe := s; probe.ReadASN1(&whole, tags.SEQUENCE) && probe.Empty() {
		s = whole
	}
	l := &List{}
	s.SkipOptionalASN1(tags.INTEGER)
	usages, ok := readOIDs(&s)
	if !ok {
		return nil, malformed("the list does not say what it is for")
	}
	if !slices.Contains(usages, oidRootList.String()) {
		return nil, malformed("the list is for %v, not for trusted roots", usages)
	}
	s.SkipOptionalASN1(tags.OCTET_STRING)
	if s.PeekASN1Tag(tags.INTEGER) {
		n := new(big.Int)
		if !s.ReadASN1Integer(n) {
			return nil, malformed("a bad sequence number")
		}
		if n.BitLen() > 512 {
			return nil, malformed("a sequence number of %d bits", n.BitLen())
		}
		l.Sequence = n.Text(16)
	}
	if l.ThisUpdate, ok = readTime(&s); !ok {
		return nil, malformed("the list has no date")
	}
	if s.PeekASN1Tag(tags.UTCTime) || s.PeekASN1Tag(tags.GeneralizedTime) {
		if l.NextUpdate, ok = readTime(&s); !ok {
			return nil, malformed("a bad date of the next list")
		}
	}
	var algorithm cryptobyte.String
	var hash asn1.ObjectIdentifier
	if !s.ReadASN1(&algorithm, tags.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&hash) || !hash.Equal(oidSHA1) && !hash.Equal(oidSHA256) {
		return nil, malformed("the list does not count by SHA-1 or SHA-256")
	}
	var subjects cryptobyte.String
	if s.PeekASN1Tag(tags.SEQUENCE) && !s.ReadASN1(&subjects, tags.SEQUENCE) {
		return nil, malformed("bad entries")
	}
	for !subjects.Empty() {
		if len(l.Entries) == maxEntries {
			return nil, malformed("more than %d entries", maxEntries)
		}
		e, ok := readEntry(&subjects, hash.Equal(oidSHA256))
		if !ok {
			return nil, malformed("entry %d cannot be read", len(l.Entries)+1)
		}
		l.Entries = append(l.Entries, e)
	}
	if s.SkipOptionalASN1(tags.Tag(0).ContextSpecific().Constructed()); !s.Empty() {
		return nil, malformed("something follows the entries")
	}
	if len(l.Entries) == 0 {
		return nil, malformed("the list has no entries")
	}
	return l, nil
}

func readEntry(s *cryptobyte.String, bySHA256 bool) (e Entry, ok bool) {
	var entry, id, properties cryptobyte.String
	if !s.ReadASN1(&entry, tags.SEQUENCE) || !entry.ReadASN1(&id, tags.OCTET_STRING) {
		return e, false
	}
	into := e.SHA1[:]
	if bySHA256 {
		into = e.SHA256[:]
	}
	if !fill(into, id) {
		return e, false
	}
	if !entry.Empty() && (!entry.ReadASN1(&properties, tags.SET) || !entry.Empty()) {
		return e, false
	}
	seen := map[int]bool{}
	for !properties.Empty() {
		var one, values cryptobyte.String
		var kind asn1.ObjectIdentifier
		if !properties.ReadASN1(&one, tags.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&kind) || !one.ReadASN1(&values, tags.SET) || !one.Empty() {
			return e, false
		}
		if len(kind) != len(oidProperty)+1 || !kind[:len(oidProperty)].Equal(oidProperty) {
			continue
		}
		n := kind[len(kind)-1]
		if seen[n] || !e.take(n, values) {
			return e, false
		}
		seen[n] = true
	}
	return e, true
}

// take reads one property. Those that say nothing about server authentication are not looked into.
func (e *Entry) take(property int, values cryptobyte.String) bool {
	if !slices.Contains([]int{9, 11, 20, 98, 104, 122, 126, 127}, property) {
		return true
	}
	var v cryptobyte.String
	if !values.ReadASN1(&v, tags.OCTET_STRING) || !values.Empty() {
		return false
	}
	ok := true
	switch property {
	case 9:
		e.Usages, ok = usagesOf(v)
	case 11:
		e.Name, ok = wide(v)
	case 20:
		e.KeyID = hex.EncodeToString(v)
	case 98:
		if e.SHA256 != ([32]byte{}) && string(e.SHA256[:]) != string(v) {
			return false // the entry contradicts itself
		}
		ok = fill(e.SHA256[:], v)
	case 104:
		e.Disabled, ok = filetime(v)
	case 122:
		e.DisabledUsages, ok = usagesOf(v)
	case 126:
		e.NotBefore, ok = filetime(v)
	case 127:
		e.NotBeforeUsages, ok = usagesOf(v)
	}
	return ok
}

func fill(into []byte, from cryptobyte.String) bool {
	return len(from) == len(into) && copy(into, from) == len(into)
}

// usagesOf reads a SEQUENCE OF OID inside a property. It is never nil: an empty list grants nothing, an absent one all.
func usagesOf(v cryptobyte.String) ([]string, bool) {
	out, ok := readOIDs(&v)
	return out, ok && v.Empty()
}

func readOIDs(s *cryptobyte.String) ([]string, bool) {
	var list cryptobyte.String
	if !s.ReadASN1(&list, tags.SEQUENCE) {
		return nil, false
	}
	out := []string{}
	for !list.Empty() {
		var oid asn1.ObjectIdentifier
		if !list.ReadASN1ObjectIdentifier(&oid) {
			return nil, false
		}
		out = append(out, oid.String())
	}
	return out, true
}

func readTime(s *cryptobyte.String) (t time.Time, ok bool) {
	if s.PeekASN1Tag(tags.UTCTime) {
		ok = s.ReadASN1UTCTime(&t)
	} else {
		ok = s.ReadASN1GeneralizedTime(&t)
	}
	return t.UTC(), ok
}

// wide reads a name in UTF-16LE with its final zero.
func wide(v cryptobyte.String) (string, bool) {
	if len(v)%2 != 0 {
		return "", false
	}
	units := make([]uint16, 0, len(v)/2)
	for i := 0; i < len(v); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(v[i:]))
	}
	for len(units) > 0 && units[len(units)-1] == 0 {
		units = units[:len(units)-1]
	}
	return string(utf16.Decode(units)), true
}

// filetime reads a FILETIME: little-endian, 100 nanoseconds since 1601. Times no calendar holds count as the last second of
// 9999, which is as far away.
func filetime(v cryptobyte.String) (*time.Time, bool) {
	if len(v) != 8 {
		return nil, false
	}
	const to1970 = 11_644_473_600
	n := binary.LittleEndian.Uint64(v)
	t := time.Unix(int64(n/1e7)-to1970, int64(n%1e7)*100).UTC()
	if last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC); t.After(last) {
		t = last
	}
	return &t, true
}

// Hex is the SHA-256 of an entry's certificate in lower-case hex.
func (e Entry) Hex() string { return hex.EncodeToString(e.SHA256[:]) }
