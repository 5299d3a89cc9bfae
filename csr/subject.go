package csr

import (
	"cmp"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Attribute is one relative distinguished name with a single value.
type Attribute struct{ Type, Value string }

// Subject is a distinguished name in the operator's order, which is the order it is written in (C first, CN last).
type Subject []Attribute

// attributeTypes are the names of RFC 4514, section 3, that occur in server certificates, with the upper bounds of
// RFC 5280, appendix A.1: Active Directory Certificate Services denies a request that exceeds them. STREET and UID are
// left out: no CA asks for them here. DC has no bound of its own; a label of a name has 63.
var attributeTypes = map[string]struct {
	oid asn1.ObjectIdentifier
	max int // characters
}{
	"CN": {asn1.ObjectIdentifier{2, 5, 4, 3}, maxCN},
	"C":  {asn1.ObjectIdentifier{2, 5, 4, 6}, 2},
	"L":  {asn1.ObjectIdentifier{2, 5, 4, 7}, 128},
	"ST": {asn1.ObjectIdentifier{2, 5, 4, 8}, 128},
	"O":  {asn1.ObjectIdentifier{2, 5, 4, 10}, 64},
	"OU": {asn1.ObjectIdentifier{2, 5, 4, 11}, 64},
	"DC": {asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, 63},
}

// Bounds of a subject.
const (
	maxSubject    = 2048
	maxAttributes = 20
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
			return nil, fmt.Errorf("subject: %s %w", kind, err)
		}
		out = append(out, Attribute{Type: kind, Value: value})
		if more {
			rest = remaining
			continue
		}
		if err := out.check(); err != nil {
			return nil, fmt.Errorf("subject: %w", err)
		}
		return out, nil
	}
}

// check holds what every subject must keep to, whether a person wrote it or a live certificate holds it: the second is
// foreign text on its way into a request and an .inf file.
func (s Subject) check() error {
	if len(s) > maxAttributes {
		return fmt.Errorf("%d attributes, at most %d", len(s), maxAttributes)
	}
	names := 0
	for _, a := range s {
		if err := a.check(); err != nil {
			return fmt.Errorf("%s %w", a.Type, err)
		}
		if a.Type == "CN" {
			names++
		}
	}
	if names > 1 {
		return fmt.Errorf("CN stands in it %d times, wanted once: the other names belong into the SAN", names)
	}
	return nil
}

func (a Attribute) check() error {
	most := attributeTypes[a.Type].max
	n := utf8.RuneCountInString(a.Value)
	switch i := strings.IndexFunc(a.Value, breaksLines); {
	case a.Value == "":
		return errors.New("is empty: give it a value or leave it out")
	case !utf8.ValidString(a.Value):
		return fmt.Errorf("is %q, which is not UTF-8", a.Value)
	case i >= 0:
		r, _ := utf8.DecodeRuneInString(a.Value[i:])
		return fmt.Errorf("is %q: the character %q has no place in a name", a.Value, r)
	case a.Type == "C" && !isCountry(a.Value):
		return fmt.Errorf("is %q, wanted the two letters of a country", a.Value)
	case n > most:
		return fmt.Errorf("has %d characters, at most %d: shorten it", n, most)
	case a.Type == "DC" && strings.ContainsFunc(a.Value, func(r rune) bool { return r > unicode.MaxASCII }):
		return fmt.Errorf("is %q, wanted ASCII: write the label in its xn-- form", a.Value)
	}
	return nil
}

// breaksLines reports what could end a line in one of the places a subject is shown or written to.
func breaksLines(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// isCountry reports the two letters of ISO 3166; X.520 6.3.1 leaves them no other form.
// The letters are compared as bytes: Unicode's upper case of a dotless i is an I too.
func isCountry(s string) bool {
	letter := func(c byte) bool { return 'A' <= c&^0x20 && c&^0x20 <= 'Z' }
	return len(s) == 2 && letter(s[0]) && letter(s[1])
}

// errPlus is a multi-valued RDN (RFC 4514, section 2.2). Nothing here needs one, and CAs differ over their order.
var errPlus = errors.New(`joins another attribute by +: separate the two by a comma, or write \+ when the value holds a plus`)

// attributeValue reads one value up to the next unescaped comma.
func attributeValue(s string) (value, rest string, more bool, err error) {
	s = strings.TrimLeft(s, " ")
	var b strings.Builder
	switch {
	case strings.HasPrefix(s, `"`):
		return quotedValue(s[1:])
	case strings.HasPrefix(s, "#"):
		// RFC 4514, section 2.4: the value's BER in hexadecimal. Nobody writes that here by intention.
		return "", "", false, errors.New(`begins with #, which announces hexadecimal: write \#`)
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
			return "", "", false, errPlus
		case '"':
			return "", "", false, errors.New(`has a quote in the middle: write \", or put the whole value in quotes`)
		default:
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
			switch tail[0] {
			case ',', ';':
			case '+':
				return "", "", false, errPlus
			default:
				return "", "", false, fmt.Errorf("has %q after the closing quote, wanted a comma: write a quote inside the value as \\\"", tail)
			}
			return b.String(), tail[1:], true, nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false, errors.New("has no closing quote")
}

// escaped reads what follows a backslash: a special character, or pairs of hex digits that form UTF-8.
func escaped(s string) (n int, text string, err error) {
	if s == "" {
		return 0, "", errors.New(`ends in a backslash: write \\ for one`)
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
			return n, string(raw), nil
		}
	}
	return 0, "", fmt.Errorf(`holds %q, which escapes nothing: write \\ for a backslash`, `\`+firstRune(s))
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

// marshal keeps the operator's order: pkix.Name has an order of its own. A DC is an IA5String (RFC 4519, section 2.4),
// the rest what encoding/asn1 chooses for a string: PrintableString where it suffices, else UTF8String.
func (s Subject) marshal() ([]byte, error) {
	seq := make(pkix.RDNSequence, len(s))
	for i, a := range s {
		var v any = a.Value
		if a.Type == "DC" {
			v = asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(a.Value)}
		}
		seq[i] = pkix.RelativeDistinguishedNameSET{{Type: attributeTypes[a.Type].oid, Value: v}}
	}
	return asn1.Marshal(seq)
}

// subjectOf reads a subject back from a certificate. What a new request could not carry is an error: a renewal that
// silently drops something is not a renewal.
func subjectOf(raw []byte) (Subject, error) {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return nil, errors.New("is no distinguished name")
	}
	var out Subject
	for _, set := range seq {
		if len(set) != 1 {
			return nil, fmt.Errorf("joins %d attributes in one RDN (%s), and a request here has one in each", len(set), typeNames(set))
		}
		kind := attributeName(set[0].Type)
		if kind == "" {
			return nil, fmt.Errorf("holds the attribute %s, and a request here has only CN, C, L, ST, O, OU, DC", set[0].Type)
		}
		text, ok := set[0].Value.(string)
		if !ok {
			return nil, fmt.Errorf("holds a value of %s that is no text", kind)
		}
		out = append(out, Attribute{Type: kind, Value: text})
	}
	if err := out.check(); err != nil {
		return nil, fmt.Errorf("cannot be carried over: %w", err)
	}
	return out, nil
}

// attributeName is the name of an attribute type that a request can hold, or empty.
func attributeName(oid asn1.ObjectIdentifier) string {
	for name, t := range attributeTypes {
		if t.oid.Equal(oid) {
			return name
		}
	}
	return ""
}

// typeNames lists the types of a multi-valued RDN: O+OU, with numbers for what has no name here.
func typeNames(set pkix.RelativeDistinguishedNameSET) string {
	var out []string
	for _, v := range set {
		out = append(out, cmp.Or(attributeName(v.Type), v.Type.String()))
	}
	return strings.Join(out, "+")
}
