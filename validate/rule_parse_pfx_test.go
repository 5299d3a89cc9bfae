package validate

import (
	"errors"
	"fmt"
	"testing"

	"github.com/certstamp/certstamp/pfx"
)

func TestParsePFX(t *testing.T) {
	for _, row := range []struct {
		claim string
		spoil func(*Subject)
		want  Result
		found string
	}{
		{"good", func(*Subject) {}, OK, ""},
		{"not a PFX", func(s *Subject) { s.readErr = fmt.Errorf("%w: \n", pfx.ErrFormat) }, Fail, `\n`},
		{"too costly", func(s *Subject) { s.readErr = pfx.ErrLimit }, Fail, "over the limit"},
		{"wrong password", func(s *Subject) { s.openErr = pfx.ErrPassword }, Fail, "wrong password or changed file"},
		{"unsupported", func(s *Subject) { s.openErr = &pfx.UnsupportedError{What: "RC4"} }, Fail, "RC4"},
		{"no MAC", func(s *Subject) { s.Facts.Integrity = pfx.IntegrityNone }, Fail, "no MAC"},
		{"eight zero bytes", func(s *Subject) { s.Facts.Trailing, s.Facts.TrailingZeros = 8, true }, Warning, "8 zero bytes"},
		{"other bytes", func(s *Subject) { s.Facts.Trailing = 1 }, Fail, "1 byte after"},
		{"clear certificates", func(s *Subject) { s.Facts.ClearCertificates = 1 }, Warning, "lie open"},
		{"BER", func(s *Subject) { s.Facts.BER = true }, Warning, "BER"},
		{"negative serial", func(s *Subject) { s.Bundle.Certificates[1].Err = errors.New("x509: negative serial number") }, Fail, "certificate 2"},
		{"key only", func(s *Subject) { s.Bundle.Certificates = nil }, Fail, "no certificate"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			row.spoil(s)
			check(t, parsePFX.Check(s), row.want, row.found)
		})
	}
}
