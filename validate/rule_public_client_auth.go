package validate

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/certstamp/certstamp/policies"
)

var publicClientAuth = SetRule{
	ID: "public-client-auth", Name: "Public Client Auth", Severity: Caution,
	About: "Where Client Authentication is demanded, the certificates do not depend on a public CA, which will stop issuing it.",
	Check: func(s *Set) []Judgement {
		p := s.params("public-client-auth")
		var depends, has []string
		for i, f := range s.Subjects {
			if !s.chained(i) || f.Class.Class != policies.Public || !slices.Contains(f.Leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
				continue
			}
			has = append(has, f.Folder)
			if f.clientAuth() == Fail {
				depends = append(depends, f.Folder)
			}
		}
		until := fmt.Sprintf("public CAs end it between %s and %s", p.String("first"), p.String("last"))
		switch {
		case len(depends) > 0:
			return one(warn("Client Authentication from a public CA; "+until, "certificates that can be renewed with the usages they have",
				"request from an enterprise CA, or set client-auth of key-usage once the stamp takes certificates without it").in(depends...))
		case len(has) > 0:
			return one(pass("Client Authentication from a public CA, which nothing demands; " + until))
		}
		return one(pass(""))
	},
}
