package pfx

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// The encoder's side of the format: DER from the inside out, each function returning a whole element.

func tlv(tag byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	out := make([]byte, 0, len(body)+6)
	out = append(out, tag)
	if n := len(body); n < 0x80 {
		out = append(out, byte(n))
	} else {
		size := minimal(n)
		out = append(append(out, 0x80|byte(len(size))), size...)
	}
	return append(out, body...)
}

// minimal is n in as few bytes as hold it, at least one.
func minimal(n int) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(n)) //nolint:gosec // lengths and counts, never negative
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

func sequenceDER(parts ...[]byte) []byte { return tlv(0x30, parts...) }
func setDER(parts ...[]byte) []byte      { return tlv(0x31, parts...) }
func octetsDER(parts ...[]byte) []byte   { return tlv(0x04, parts...) }
func explicitDER(parts ...[]byte) []byte { return tlv(0xa0, parts...) }
func nullDER() []byte                    { return []byte{5, 0} }

func integerDER(n int) []byte {
	b := minimal(n)
	if b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	return tlv(0x02, b)
}

// oidDER encodes one of the constants of this package.
func oidDER(dotted string) []byte {
	var arcs []uint64
	for s := range strings.SplitSeq(dotted, ".") {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			panic("pfx: " + dotted + " is not an object identifier") // our own constant
		}
		arcs = append(arcs, n)
	}
	arcs[1] += 40 * arcs[0]
	var body []byte
	for _, n := range arcs[1:] {
		arc := []byte{byte(n & 0x7f)}
		for n >>= 7; n > 0; n >>= 7 {
			arc = append(arc, 0x80|byte(n&0x7f))
		}
		slices.Reverse(arc)
		body = append(body, arc...)
	}
	return tlv(0x06, body)
}

func bmpDER(s string) []byte {
	var body []byte
	for _, u := range utf16.Encode([]rune(s)) {
		body = append(body, byte(u>>8), byte(u))
	}
	return tlv(tagBMP, body)
}

func attributeDER(oid string, values ...[]byte) []byte {
	return sequenceDER(oidDER(oid), setDER(values...))
}

// sortedSetDER is a SET OF, which DER wants in the order of its encoded members.
func sortedSetDER(parts ...[]byte) []byte {
	slices.SortFunc(parts, func(a, b []byte) int { return strings.Compare(string(a), string(b)) })
	return setDER(parts...)
}
