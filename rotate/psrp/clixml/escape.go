package clixml

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// appendText writes s with the string escaping of MS-PSRP section 2.2.5.3.2 and the escaping of XML on top. Go's own XML
// escaping would turn control characters into U+FFFD without a word.
func appendText(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errors.New("clixml: a text is not valid UTF-8")
	}
	for i, r := range s {
		switch {
		case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0xfffe, r == 0xffff:
			b = fmt.Appendf(b, "_x%04X_", r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			b = fmt.Appendf(b, "_x%04X__x%04X_", hi, lo)
		case r == '_' && i+1 < len(s) && (s[i+1] == 'x' || s[i+1] == 'X'):
			b = append(b, "_x005F_"...)
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '"':
			b = append(b, "&quot;"...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b, nil
}

// unescape is the way back. It works on UTF-16 units, because a surrogate pair comes as two escapes.
func unescape(s string) string {
	if !strings.Contains(s, "_x") && !strings.Contains(s, "_X") {
		return s
	}
	units := make([]uint16, 0, len(s))
	rest := s
	for len(rest) > 0 {
		i := strings.IndexByte(rest, '_')
		if i < 0 {
			i = len(rest)
		}
		units = appendUnits(units, rest[:i])
		rest = rest[i:]
		if rest == "" {
			break
		}
		if u, ok := escapeAt(rest); ok {
			units, rest = append(units, u), rest[7:]
			continue
		}
		units, rest = append(units, '_'), rest[1:]
	}
	return string(utf16.Decode(units))
}

func appendUnits(units []uint16, s string) []uint16 {
	for _, r := range s {
		units = utf16.AppendRune(units, r)
	}
	return units
}

// escapeAt reads _xHHHH_ at the start of s.
func escapeAt(s string) (uint16, bool) {
	if len(s) < 7 || s[0] != '_' || s[1]|0x20 != 'x' || s[6] != '_' {
		return 0, false
	}
	var u uint16
	for _, c := range []byte(s[2:6]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		u = u<<4 | uint16(c)
	}
	return u, true
}

// decodeBase64 tolerates the white space that Windows puts into long values.
func decodeBase64(s string) ([]byte, error) {
	s = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("not base64")
	}
	return b, nil
}
