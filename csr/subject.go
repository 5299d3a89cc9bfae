package csr

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Attribute is one relative distinguished name with a single value.
type Attribute struct{ Type, Value string }

// Subject is a distinguished name in the operator's order, which is the order it is written in (C first, CN last).
type Subject []Attribute

// attributeTypes are the names of RFC 4514, section 3, that occur in server certificates. STREET and UID are left out:
// no CA asks for them here.
var attributeTypes = map[string]asn1.ObjectIdentifier{
	"CN": {2, 5, 4, 3},
	"C":  {2, 5, 4, 6},
	"L":  {2, 5, 4, 7},
	"ST": {2, 5, 4, 8},
	"O":  {2, 5, 4, 10},
	"OU": {2, 5, 4, 11},
	"DC": {0, 9, 2342, 19200300, 100, 1, 25},
}

// Bounds of a subject.
const (
	maxSubject    = 2048
	maxAttributes = 20
	maxValue      = 256
)

// ParseSubject reads C=US,O=Contoso\, Ltd,OU="a, b" as RFC 4514 and its older form with quotes write it. Spaces around
// separators are dropped; S is taken for ST, as Windows writes it.
func ParseSubject(s string) (Subject, error) {
	if len(s) > maxSubject {
		return nil, fmt.Errorf("subject of %d bytes, at most %d", len(s), maxSubject)
	}
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("subject is not UTF-8")
	}
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var out Subject
	rest := s
	for {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, fmt.Errorf("subject: %q has no =", rest)
		}
		kind := strings.ToUpper(strings.TrimSpace(name))
		if kind == "S" {
			kind = "ST"
		}
		if _, known := attributeTypes[kind]; !known {
			return nil, fmt.Errorf("subject: attribute %q is not one of CN, C, L, ST, O, OU, DC", strings.TrimSpace(name))
		}
		value, remaining, more, err := attributeValue(after)
		if err != nil {
			return nil, fmt.Errorf("subject: %s: %w", kind, err)
		}
		switch {
		case value == "":
			return nil, fmt.Errorf("subject: %s is empty", kind)
		case utf8.RuneCountInString(value) > maxValue:
			return nil, fmt.Errorf("subject: %s has more than %d characters", kind, maxValue)
		case kind == "C" && !isCountry(value):
			return nil, fmt.Errorf("subject: C is %q, wanted the two letters of a country", value)
		}
		out = append(out, Attribute{Type: kind, Value: value})
		if len(out) > maxAttributes {
			return nil, fmt.Errorf("subject: more than %d attributes", maxAttributes)
		}
		if !more {
			return out, nil
		}
		rest = remaining
	}
}

// isCountry reports the two letters of ISO 3166; X.520 6.3.1 leaves them no other form.
func isCountry(s string) bool {
	return len(s) == 2 && strings.Trim(strings.ToUpper(s), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// attributeValue reads one value up to the next unescaped comma.
func attributeValue(s string) (value, rest string, more bool, err error) {
	s = strings.TrimLeft(s, " ")
	var b strings.Builder
	if strings.HasPrefix(s, `"`) {
		return quotedValue(s[1:])
	}
	keep := 0 // length up to which trailing spaces were escaped
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			n, r, err := escaped(s[i+1:])
			if err != nil {
				return "", "", false, err
			}
			b.WriteString(r)
			i += n
			keep = b.Len()
		case ',', ';':
			return trimTail(b.String(), keep), s[i+1:], true, nil
		case '+':
			return "", "", false, fmt.Errorf("an unescaped + would join two attributes: write \\+")
		default:
			if c < 0x20 || c == 0x7f {
				return "", "", false, fmt.Errorf("control character %q", c)
			}
			b.WriteByte(c)
		}
	}
	return trimTail(b.String(), keep), "", false, nil
}

func quotedValue(s string) (value, rest string, more bool, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			n, r, err := escaped(s[i+1:])
			if err != nil {
				return "", "", false, err
			}
			b.WriteString(r)
			i += n
		case '"':
			tail := strings.TrimLeft(s[i+1:], " ")
			if tail == "" {
				return b.String(), "", false, nil
			}
			if tail[0] != ',' && tail[0] != ';' {
				return "", "", false, fmt.Errorf("%q after the closing quote", tail)
			}
			return b.String(), tail[1:], true, nil
		default:
			if c < 0x20 || c == 0x7f {
				return "", "", false, fmt.Errorf("control character %q", c)
			}
			b.WriteByte(c)
		}
	}
	return "", "", false, fmt.Errorf("the closing quote is missing")
}

// escaped reads what follows a backslash: a special character, or pairs of hex digits that form UTF-8.
func escaped(s string) (n int, text string, err error) {
	if s == "" {
		return 0, "", fmt.Errorf("a backslash at the end")
	}
	if strings.ContainsRune(` ",#+;<=>\`, rune(s[0])) {
		return 1, s[:1], nil
	}
	var raw []byte
	for len(s) >= n+2 && (n == 0 || len(s) >= n+3 && s[n] == '\\') {
		at := n
		if n > 0 {
			at++
		}
		if len(s) < at+2 {
			break
		}
		d, err := hex.DecodeString(s[at : at+2])
		if err != nil {
			break
		}
		raw = append(raw, d...)
		n = at + 2
		if utf8.Valid(raw) {
			r, _ := utf8.DecodeRune(raw)
			if r < 0x20 || r == 0x7f {
				return 0, "", fmt.Errorf("control character %q", r)
			}
			return n, string(raw), nil
		}
	}
	return 0, "", fmt.Errorf("%q is no escape", `\`+firstRune(s))
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

func trimTail(s string, keep int) string {
	for len(s) > keep && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return s
}

func (s Subject) has(kind string) bool {
	for _, a := range s {
		if a.Type == kind {
			return true
		}
	}
	return false
}

// String writes the subject so that ParseSubject reads the same.
func (s Subject) String() string {
	parts := make([]string, len(s))
	for i, a := range s {
		parts[i] = a.Type + "=" + escape(a.Value)
	}
	return strings.Join(parts, ",")
}

func escape(v string) string {
	var b strings.Builder
	for i, r := range v {
		if strings.ContainsRune(`",+;<>\=`, r) || i == 0 && (r == '#' || r == ' ') || i == len(v)-1 && r == ' ' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// marshal keeps the operator's order: pkix.Name has an order of its own.
func (s Subject) marshal() ([]byte, error) {
	seq := make(pkix.RDNSequence, len(s))
	for i, a := range s {
		seq[i] = pkix.RelativeDistinguishedNameSET{{Type: attributeTypes[a.Type], Value: a.Value}}
	}
	return asn1.Marshal(seq)
}

// subjectOf reads a subject back from a certificate. Attributes that a new request could not carry are an error: a
// renewal that silently drops one is not a renewal.
func subjectOf(raw []byte) (Subject, error) {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("it is no distinguished name")
	}
	var out Subject
	for _, set := range seq {
		for _, v := range set {
			kind := ""
			for name, oid := range attributeTypes {
				if oid.Equal(v.Type) {
					kind = name
				}
			}
			text, ok := v.Value.(string)
			if kind == "" || !ok {
				return nil, fmt.Errorf("attribute %s cannot be carried over", v.Type)
			}
			out = append(out, Attribute{Type: kind, Value: text})
		}
	}
	if len(out) > maxAttributes {
		return nil, fmt.Errorf("more than %d attributes", maxAttributes)
	}
	return out, nil
}
