package validate

import (
	"crypto/x509"
	"slices"
	"strings"
)

var keyUsage = Rule{
	ID: "key-usage", Name: "Key Usage", Severity: Error, Reads: ReadsCertificates,
	About: "The certificate may sign and encipher keys, for server and, as the release demands, client authentication.",
	Check: func(s *Subject) Judgement {
		var have, lack []string
		for _, u := range []struct {
			bit  x509.KeyUsage
			name string
		}{{x509.KeyUsageDigitalSignature, "Digital Signature"}, {x509.KeyUsageKeyEncipherment, "Key Encipherment"}} {
			if s.Leaf.KeyUsage&u.bit != 0 {
				have = append(have, u.name)
			} else {
				lack = append(lack, u.name)
			}
		}
		has := func(u x509.ExtKeyUsage) bool { return slices.Contains(s.Leaf.ExtKeyUsage, u) }
		if has(x509.ExtKeyUsageServerAuth) {
			have = append(have, "Server Authentication")
		} else {
			lack = append(lack, "Server Authentication")
		}
		client := s.clientAuth()
		result := OK
		if len(lack) > 0 {
			result = Fail
		}
		if has(x509.ExtKeyUsageClientAuth) {
			have = append(have, "Client Authentication")
		} else if client != OK {
			lack = append(lack, "Client Authentication")
			result = worse(result, client)
		}
		if result == OK {
			return pass("")
		}
		found := "no usage"
		if len(have) > 0 {
			found = strings.Join(have, ", ")
		}
		j := Judgement{
			Result: result, Found: found, Wanted: "also " + strings.Join(lack, ", "),
			Hint: "request it with these usages and check that the CA's template does not drop them",
		}
		if slices.Contains(lack, "Client Authentication") {
			j.Wanted += "; documents until 2021 demand Client Authentication, the one of 2025-08 no longer names it"
		}
		return j
	},
}

// clientAuth is what a missing Client Authentication counts as.
func (s *Subject) clientAuth() Result {
	p := s.params("key-usage")
	switch p.String("client-auth") {
	case "require":
		return Fail
	case "ignore":
		return OK
	}
	if s.run.Version.Release() >= p.Int("client-auth-warns-from") {
		return Warning
	}
	return Fail
}
