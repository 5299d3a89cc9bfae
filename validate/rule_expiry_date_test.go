package validate

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestExpiryDate(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for _, row := range []struct {
		claim         string
		before, after time.Duration // from asOf
		want          Result
		found         string
	}{
		{"a second over seven days", -week, week + time.Second, OK, ""},
		{"seven days", -week, week, OK, ""},
		{"a second under", -week, week - time.Second, Fail, "6 days left"},
		{"one day", -week, 24 * time.Hour, Fail, "1 day left"},
		{"now", -week, 0, Fail, "0 days left"},
		{"a second ago", -week, -time.Second, Fail, "expired"},
		{"valid from now", 0, 2 * week, OK, ""},
		{"valid in a second", time.Second, 2 * week, Fail, "not valid before"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = asOf.Add(row.before), asOf.Add(row.after)
			})
			check(t, expiryDate.Check(s), row.want, row.found)
		})
	}
}
