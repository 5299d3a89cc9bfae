package validate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
)

var keyLength = Rule{
	ID: "key-length", Name: "Key Length", Severity: Error, Reads: ReadsCertificates,
	About: "The key is RSA and at least as long as demanded.",
	Check: func(s *Subject) Judgement {
		least := s.params("key-length").Int("min-bits")
		wanted := fmt.Sprintf("RSA, at least %d bits", least)
		switch k := s.Leaf.PublicKey.(type) {
		case *rsa.PublicKey:
			if n := k.N.BitLen(); n < least {
				return fail(fmt.Sprintf("RSA, %d bits", n), wanted, fmt.Sprintf("make a new key of %d bits and request again", least))
			}
			return pass("")
		case *ecdsa.PublicKey:
			return notRSA("ECDSA "+k.Curve.Params().Name, wanted)
		case ed25519.PublicKey:
			return notRSA("Ed25519", wanted)
		default:
			return notRSA("an unknown kind of key", wanted)
		}
	},
}

func notRSA(found, wanted string) Judgement {
	return fail(found+": no document says that the stamp takes it (unverified)", wanted, "make an RSA key and request again")
}
