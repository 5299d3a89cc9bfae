package validate

import (
	"testing"

	"github.com/certstamp/certstamp/pfx"
)

func TestPFXEncryption(t *testing.T) {
	tripleDES := pfx.Algorithm{Name: "3DES", OID: "1.2.840.113549.1.12.1.3"}
	rc2 := pfx.Algorithm{Name: "RC2-40", OID: "1.2.840.113549.1.12.1.6"}
	sha1MAC := pfx.Algorithm{Name: "SHA1", OID: "1.3.14.3.2.26"}
	key := func(a pfx.Algorithm) []pfx.KeyFacts { return []pfx.KeyFacts{{Shrouded: a.OID != "", Cipher: a}} }
	for _, row := range []struct {
		claim string
		facts pfx.Facts
		want  Result
	}{
		{"TripleDES", pfx.Facts{Encryption: pfx.TripleDESSHA1, Keys: key(tripleDES)}, OK},
		{"AES", pfx.Facts{Encryption: pfx.AES256SHA256, Keys: key(tripleDES)}, Fail},
		{"RC2 certificates", pfx.Facts{Encryption: pfx.EncryptionRC2, Keys: key(tripleDES)}, Fail},
		{"mixed", pfx.Facts{Encryption: pfx.EncryptionMixed, EncryptionDetail: "key AES-256-CBC", Keys: key(tripleDES)}, Fail},
		{"unknown", pfx.Facts{Encryption: pfx.EncryptionUnknown, Keys: key(tripleDES)}, Fail},
		{"nothing encrypted", pfx.Facts{Encryption: pfx.EncryptionNone, Keys: key(pfx.Algorithm{})}, Fail},
		{"clear certificates beside a TripleDES key", pfx.Facts{
			Encryption: pfx.EncryptionPartClear, Integrity: pfx.IntegrityMAC, MAC: sha1MAC, Keys: key(tripleDES),
			Safes: []pfx.SafeFacts{{Kind: "data"}, {Kind: "data"}}, ClearCertificates: 3,
		}, OK},
		{"a clear key", pfx.Facts{
			Encryption: pfx.EncryptionPartClear, Integrity: pfx.IntegrityMAC, MAC: sha1MAC, Keys: key(pfx.Algorithm{}),
			Safes: []pfx.SafeFacts{{Kind: "data"}, {Kind: "encrypted", Cipher: tripleDES}},
		}, Fail},
		{"clear certificates beside an RC2 safe", pfx.Facts{
			Encryption: pfx.EncryptionPartClear, Integrity: pfx.IntegrityMAC, MAC: sha1MAC, Keys: key(tripleDES),
			Safes: []pfx.SafeFacts{{Kind: "data"}, {Kind: "encrypted", Cipher: rc2}},
		}, Fail},
		{"clear certificates under a SHA-256 MAC", pfx.Facts{
			Encryption: pfx.EncryptionPartClear, Integrity: pfx.IntegrityMAC, MAC: pfx.Algorithm{OID: "2.16.840.1.101.3.4.2.1"}, Keys: key(tripleDES),
		}, Fail},
		{"clear certificates without a MAC", pfx.Facts{
			Encryption: pfx.EncryptionPartClear, Integrity: pfx.IntegrityNone, Keys: key(tripleDES),
		}, Fail},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			s.Facts = &row.facts
			check(t, pfxEncryption.Check(s), row.want, row.facts.EncryptionDetail)
		})
	}
	t.Run("keys out of sight", func(t *testing.T) {
		s := subject(t, "2301", "ACSBlob", nil)
		s.Facts, s.Bundle = &pfx.Facts{Encryption: pfx.TripleDESSHA1}, nil
		check(t, pfxEncryption.Check(s), Skipped)
	})
}
