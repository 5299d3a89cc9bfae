package validate

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/certstamp/certstamp/pfx"
)

var privateKey = Rule{
	ID: "private-key", Name: "Private Key", Severity: Error, Reads: ReadsFile, Sealed: true,
	About: "The file holds exactly one private key, of one of its certificates, marked for the local machine.",
	Check: func(s *Subject) Judgement {
		keys := s.Facts.Keys
		switch {
		case len(keys) == 0 && s.Bundle != nil:
			return fail("no private key", "one private key", "export where the request was made, with the private key")
		case len(keys) == 0:
			return skip("the keys lie inside an encrypted safe", "judge the file with its password")
		case len(keys) > 1:
			return fail(fmt.Sprintf("%d private keys", len(keys)), "one private key", "export the certificate alone, with its own key")
		}
		if s.Bundle != nil {
			if j := ownKey(s); j.Result != OK {
				return j
			}
		}
		if !keys[0].LocalMachine {
			return fail("the key is not marked for the local machine", "attribute 1.3.6.1.4.1.311.17.2 on the key",
				"export from the machine's store, or run certstamp pack --repair")
		}
		return pass(keyText(keys[0]))
	},
}

// keyText is what anybody sees of an encrypted key. Its kind is a guess by its length.
func keyText(k pfx.KeyFacts) string {
	out := []string{"one key for the local machine"}
	if k.Shrouded {
		out = append(out, "encrypted with "+algorithm(k.Cipher))
	}
	if hint := k.SizeHint(); hint != "" {
		out = append(out, hint+" by its length")
	}
	if k.CSP != "" {
		out = append(out, "provider "+quote(k.CSP))
	}
	if k.FriendlyName != "" {
		out = append(out, "friendly name "+quote(k.FriendlyName))
	}
	if len(k.LocalKeyID) > 0 {
		out = append(out, "key id "+hex.EncodeToString(k.LocalKeyID[:min(len(k.LocalKeyID), 32)]))
	}
	return strings.Join(out, ", ")
}

// ownKey judges whether the one key is usable and belongs to a leaf of the file.
func ownKey(s *Subject) Judgement {
	const wanted = "the private key of the certificate"
	if err := s.Bundle.Keys[0].Err; err != nil {
		return fail("the key is unreadable: "+quote(err.Error()), wanted, "export again where the request was made")
	}
	leaf := s.Bundle.LeafCertificate()
	switch {
	case leaf == nil:
		return fail("the key belongs to no certificate of the file", wanted, "pack the certificate with the key that its request was made with")
	case leaf.IsCA:
		return fail("the key belongs to the CA "+quote(leaf.Subject.String()), wanted,
			"a CA's key must never leave the CA: find out how it came here, and pack the endpoint's key")
	}
	return pass("")
}
