package validate

import (
	"slices"
	"strings"

	"github.com/certstamp/certstamp/pfx"
)

var pfxEncryption = Rule{
	ID: "pfx-encryption", Name: "PFX Encryption", Severity: Error, Reads: ReadsFile,
	About: "Every key, certificate safe and MAC of the file uses TripleDES-SHA1.",
	Check: func(s *Subject) Judgement {
		accepted := s.params("pfx-encryption").Strings("accept")
		wanted := strings.Join(accepted, " or ")
		f := s.Facts
		if s.Bundle == nil && len(f.Keys) == 0 {
			return skip("the keys lie inside an encrypted safe", "judge the file with its password")
		}
		if slices.Contains(accepted, f.Encryption) {
			return pass(f.Encryption)
		}
		if f.Encryption == pfx.EncryptionPartClear && slices.Contains(accepted, pfx.TripleDESSHA1) && clearOnlyCertificates(f) {
			// Unprotected certificates are a warning of Parse PFX; what is encrypted is encrypted as it should be.
			return pass(pfx.TripleDESSHA1 + ", certificates unprotected")
		}
		found := f.Encryption
		if f.EncryptionDetail != "" {
			found += ": " + f.EncryptionDetail
		}
		return fail(found, wanted, "export again with "+accepted[0]+", or run certstamp pack --repair")
	},
}

// clearOnlyCertificates reports whether everything but the certificates is 3DES with a SHA-1 MAC, as Windows writes it
// without "certificate privacy".
func clearOnlyCertificates(f *pfx.Facts) bool {
	const oid3DES, oidSHA1 = "1.2.840.113549.1.12.1.3", "1.3.14.3.2.26"
	if f.Integrity != pfx.IntegrityMAC || f.MAC.OID != oidSHA1 {
		return false
	}
	for _, k := range f.Keys {
		if !k.Shrouded || k.Cipher.OID != oid3DES {
			return false
		}
	}
	for _, safe := range f.Safes {
		if safe.Kind == "encrypted" && safe.Cipher.OID != oid3DES || safe.Kind == "enveloped" {
			return false
		}
	}
	return true
}
