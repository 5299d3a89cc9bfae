package validate

import (
	"testing"

	"github.com/certstamp/certstamp/pfx"
)

func TestKDFIterations(t *testing.T) {
	for _, row := range []struct {
		claim                  string
		mac, certificates, key int
		want                   Result
		found                  string
	}{
		{"as Windows writes", 2000, 2000, 2000, OK, "MAC 2000, certificates 2000, key 2000"},
		{"one MAC iteration, as older Windows", 1, 2000, 2000, OK, "MAC 1"},
		{"the most", 600000, 600000, 600000, OK, "MAC 600000"},
		{"MAC", 600001, 2000, 2000, Warning, "MAC 600001"},
		{"certificates", 2000, 600001, 2000, Warning, "certificates 600001"},
		{"key", 2000, 2000, 1000000, Warning, "key 1000000"},
		{"not encrypted", 2000, 0, 2000, OK, "MAC 2000, key 2000"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", spoilt, nil)
			s.Facts.MAC.Iterations, s.Facts.Keys[0].Cipher.Iterations = row.mac, row.key
			s.Facts.Safes = []pfx.SafeFacts{{Kind: "data"}, {Kind: "encrypted", Cipher: pfx.Algorithm{Iterations: row.certificates}}}
			check(t, kdfIterations.Check(s), row.want, row.found)
		})
	}
}
