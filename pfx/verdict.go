package pfx

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// conclude fills in the facts about safes and keys seen so far and the verdict on them.
func (r *reader) conclude() {
	f := &r.facts
	f.BER = r.ber
	f.Safes, f.Keys, f.ClearCertificates, f.OtherBags = nil, nil, 0, nil
	clearKeys := 0
	for _, s := range r.safes {
		sf := SafeFacts{Kind: s.kind, Cipher: s.scheme.facts, Bags: len(s.bags)}
		if s.kind != "data" && s.bags == nil {
			sf.Bags = -1
		}
		f.Safes = append(f.Safes, sf)
		for _, b := range s.bags {
			switch b.oid {
			case oidCertBag:
				if s.kind == "data" {
					f.ClearCertificates++
				}
			case oidKeyBag, oidShroudedBag:
				k := b.keyFacts()
				f.Keys = append(f.Keys, k)
				if s.kind == "data" && !k.Shrouded {
					clearKeys++
				}
			default:
				f.OtherBags = append(f.OtherBags, bagName(b.oid))
			}
		}
	}
	f.Encryption, f.EncryptionDetail = verdict(f, clearKeys)
}

// bagName names a kind of bag whose contents mean nothing here.
func bagName(oid string) string {
	switch oid {
	case oidCRLBag:
		return oid + " (revocation list)"
	case oidSecretBag:
		return oid + " (secret)"
	}
	return oid
}

func (b bag) keyFacts() KeyFacts {
	return KeyFacts{
		Safe: b.safe, Shrouded: b.oid == oidShroudedBag, Cipher: b.shroud.facts, CipherLen: len(b.ciphertext),
		LocalMachine: b.localMachine, CSP: b.csp, FriendlyName: b.friendlyName, LocalKeyID: slices.Clone(b.localKeyID),
	}
}

// verdict judges every cipher and the MAC together: a file whose certificates alone are TripleDES is not TripleDES.
func verdict(f *Facts, clearKeys int) (name, detail string) {
	var safes, keys []Algorithm
	var text []string
	readable := true
	for _, s := range f.Safes {
		if s.Kind == "data" {
			continue
		}
		safes = append(safes, s.Cipher)
		text = append(text, "certificates "+s.Cipher.text())
		readable = readable && s.Kind == "encrypted" && s.Cipher.known()
	}
	for _, k := range f.Keys {
		if k.Shrouded {
			keys = append(keys, k.Cipher)
			text = append(text, "key "+k.Cipher.text())
			readable = readable && k.Cipher.known()
		}
	}
	if f.ClearCertificates > 0 {
		text = append(text, "certificates clear")
	}
	if clearKeys > 0 {
		text = append(text, "key clear")
	}
	switch f.Integrity {
	case IntegrityMAC, IntegrityPBMAC1:
		text = append(text, "MAC "+f.MAC.text())
		readable = readable && (f.MAC.known() || f.Integrity == IntegrityPBMAC1)
	case IntegritySignature:
		readable = false
		text = append(text, "signed instead of a MAC")
	default:
		text = append(text, "no MAC")
	}
	detail = strings.Join(slices.Compact(text), ", ")

	all := append(slices.Clone(safes), keys...)
	is := func(list []Algorithm, oid, prf string) bool {
		return len(list) > 0 && !slices.ContainsFunc(list, func(a Algorithm) bool { return a.OID != oid || a.PRF != prf })
	}
	mac := func(oid string) bool { return f.Integrity == IntegrityMAC && f.MAC.OID == oid }
	switch {
	case !readable:
		return EncryptionUnknown, detail
	case len(all) == 0:
		return EncryptionNone, detail
	case f.ClearCertificates > 0 || clearKeys > 0:
		return EncryptionPartClear, detail
	case is(all, oidPBE3DES, "") && mac(oidSHA1):
		return TripleDESSHA1, detail
	case is(all, oidAES256, "HMAC-SHA256") && mac(oidSHA256):
		return AES256SHA256, detail
	case is(safes, oidPBERC240, "") && (len(keys) == 0 || is(keys, oidPBE3DES, "")) && mac(oidSHA1):
		return EncryptionRC2, detail
	}
	return EncryptionMixed, detail
}

// known says that this package could decrypt or verify it.
func (a Algorithm) known() bool { return a.Iterations > 0 }

func (a Algorithm) text() string {
	s := cmp.Or(a.Name, a.OID, "unknown algorithm")
	if s == "unknown algorithm" && a.OID != "" {
		s = a.OID
	}
	if a.PRF != "" {
		s += "/" + a.PRF
	}
	if a.Iterations > 0 {
		s += fmt.Sprintf(" (%d iterations)", a.Iterations)
	}
	return s
}
