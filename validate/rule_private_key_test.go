package validate

import (
	"errors"
	"testing"

	"github.com/certstamp/certstamp/pfx"
)

func TestPrivateKey(t *testing.T) {
	for _, row := range []struct {
		claim string
		spoil func(*Subject)
		want  Result
		found string
	}{
		{"one, marked, its own", func(*Subject) {}, OK, ""},
		{"none", func(s *Subject) { s.Facts.Keys, s.Bundle.Keys, s.Bundle.Leaf = nil, nil, -1 }, Fail, "no private key"},
		{"two", func(s *Subject) { s.Facts.Keys = append(s.Facts.Keys, pfx.KeyFacts{LocalMachine: true}) }, Fail, "2 private keys"},
		{"unmarked", func(s *Subject) { s.Facts.Keys[0].LocalMachine = false }, Fail, "not marked"},
		{"unreadable", func(s *Subject) { s.Bundle.Keys[0].Err = errors.New("unknown algorithm") }, Fail, "unreadable"},
		{"of no certificate", func(s *Subject) { s.Bundle.Leaf = -1 }, Fail, "no certificate of the file"},
		{"of a CA", func(s *Subject) { s.Bundle.Leaf = 1 }, Fail, "the CA"},
		{"two, seen without the password", func(s *Subject) {
			s.Bundle, s.Facts.Keys = nil, append(s.Facts.Keys, pfx.KeyFacts{LocalMachine: true})
		}, Fail, "2 private keys"},
		{"out of sight", func(s *Subject) { s.Bundle, s.Facts.Keys = nil, nil }, Skipped, "encrypted safe"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			row.spoil(s)
			check(t, privateKey.Check(s), row.want, row.found)
		})
	}
}
