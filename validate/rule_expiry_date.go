package validate

import (
	"fmt"
	"time"

	"github.com/certstamp/certstamp/internal/amount"
)

var expiryDate = Rule{
	ID: "expiry-date", Name: "Expiry Date", Severity: Error, Reads: ReadsCertificates,
	About: "The certificate is valid now and has at least the demanded days left.",
	Check: func(s *Subject) Judgement {
		least := s.params("expiry-date").Days("min-days")
		wanted := fmt.Sprintf("at least %s left on %s", days(least), instant(s.asOf()))
		switch left := s.Leaf.NotAfter.Sub(s.asOf()); {
		case s.Leaf.NotBefore.After(s.asOf()):
			return fail("not valid before "+instant(s.Leaf.NotBefore), "a certificate that is valid on "+instant(s.asOf()),
				"wait until then, or check the CA's clock and ask for a new certificate")
		case left < 0:
			return fail("expired "+instant(s.Leaf.NotAfter), wanted, "request a new certificate")
		case left < least:
			return fail(fmt.Sprintf("%s left, until %s", days(left), instant(s.Leaf.NotAfter)), wanted, "request a longer-lived certificate")
		default:
			return pass("")
		}
	},
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// days counts whole days: six days and 23 hours are 6 days.
func days(d time.Duration) string {
	return amount.Of(int(d/(24*time.Hour)), "day")
}
