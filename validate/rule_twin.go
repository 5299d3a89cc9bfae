package validate

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/certstamp/certstamp/internal/amount"
)

var twin = Rule{
	ID: "twin", Name: "Twin", Severity: Error, Reads: ReadsPair,
	About: "The public .crt beside a bundle holds exactly its certificate and chain, so that reviewers see what is rotated.",
	Check: func(s *Subject) Judgement {
		const wanted, hint = "the certificate and its chain, in this order", "write the twin again with certstamp pack"
		switch {
		case s.twinErr != nil:
			return fail("unreadable: "+quote(s.twinErr.Error()), wanted, hint)
		case !s.hasTwin && s.sealed():
			return skip("no .crt beside the sealed bundle", hint)
		case !s.hasTwin:
			return pass("none")
		case s.FromTwin || s.Bundle == nil:
			return skip("the bundle is closed: nothing to compare with", "judge the file with its password")
		case s.Leaf == nil:
			return skip("the bundle holds no certificate", "fix Parse PFX first")
		case !slices.EqualFunc(s.twin, s.Chain, (*x509.Certificate).Equal):
			return fail(fmt.Sprintf("%s, where the bundle has %s", describe(s.twin), describe(s.Chain)), wanted, hint)
		}
		return pass("")
	},
}

// describe names a list of certificates by its first one, whose hash tells apart what the subject does not.
func describe(list []*x509.Certificate) string {
	if len(list) == 0 {
		return "no certificate"
	}
	return fmt.Sprintf("%s from %s sha256:%s", amount.Of(len(list), "certificate"), quote(list[0].Subject.String()), hexSHA256(list[0].Raw)[:16])
}
