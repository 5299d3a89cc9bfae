package clixml

import (
	"encoding/hex"
	"errors"
	"io"
	"strings"
)

// GUID is a globally unique identifier in the order of its text form. The .NET byte order is a matter of the messages
// of package psrp.
type GUID [16]byte

// NewGUID draws a version 4 GUID (RFC 9562 section 5.4).
func NewGUID(rand io.Reader) (GUID, error) {
	var g GUID
	if _, err := io.ReadFull(rand, g[:]); err != nil {
		return GUID{}, err
	}
	g[6] = g[6]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g, nil
}

// IsZero reports whether g is the empty GUID, which stands for "no pipeline".
func (g GUID) IsZero() bool { return g == GUID{} }

// String returns the upper-case form with hyphens, as WS-Man uses it.
func (g GUID) String() string {
	s := strings.ToUpper(hex.EncodeToString(g[:]))
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// ParseGUID reads the form with hyphens, in any case.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return GUID{}, errors.New("clixml: a GUID has the form 8-4-4-4-12")
	}
	if _, err := hex.Decode(g[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:])); err != nil {
		return GUID{}, errors.New("clixml: a GUID is made of hexadecimal digits")
	}
	return g, nil
}
