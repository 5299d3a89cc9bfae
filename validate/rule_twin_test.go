package validate

import (
	"crypto/x509"
	"errors"
	"slices"
	"testing"
)

func TestTwin(t *testing.T) {
	for _, row := range []struct {
		claim string
		set   func(*Subject)
		want  Result
	}{
		{"none", func(s *Subject) { s.hasTwin = false }, OK},
		{"the chain", func(*Subject) {}, OK},
		{"leaf only", func(s *Subject) { s.twin = s.twin[:1] }, Fail},
		{"another order", func(s *Subject) { slices.Reverse(s.twin) }, Fail},
		{"one more", func(s *Subject) { s.twin = append(s.twin, cas().otherRoot.cert) }, Fail},
		{"empty", func(s *Subject) { s.twin = nil }, Fail},
		{"unreadable", func(s *Subject) { s.twinErr = errors.New("no certificate") }, Fail},
		{"unreadable beside a closed file", func(s *Subject) { s.twinErr, s.Bundle = errors.New("no certificate"), nil }, Fail},
		{"nothing to compare with", func(s *Subject) { s.Bundle = nil }, Skipped},
		{"none beside a sealed file", func(s *Subject) { s.hasTwin, s.Bundle, s.PFXSHA256 = false, nil, "" }, Skipped},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			s.hasTwin, s.twin = true, append([]*x509.Certificate(nil), s.Chain...)
			row.set(s)
			check(t, twin.Check(s), row.want)
		})
	}
}
