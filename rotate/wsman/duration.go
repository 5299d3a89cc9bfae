package wsman

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"
)

var durationText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^P(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})(?:\.([0-9]{1,9}))?S)?)?$`)
})

// ParseDuration reads the days, hours, minutes and seconds of an xs:duration. Windows writes PT60S as well as
// P0DT0H1M0.000S, and PT2147483.647S for "no limit".
func ParseDuration(s string) (time.Duration, error) {
	m := durationText().FindStringSubmatch(s)
	if m == nil || s[len(s)-1] == 'P' || s[len(s)-1] == 'T' {
		return 0, errors.New("wsman: not a duration")
	}
	var total time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+1], 10, 64)
		if err != nil || n > int64((1<<63-1-total)/unit) {
			return 0, errors.New("wsman: a duration beyond 292 years")
		}
		total += time.Duration(n) * unit
	}
	if m[5] != "" {
		n, err := strconv.ParseInt((m[5] + "000000000")[:9], 10, 64)
		if err != nil || total > 1<<63-1-time.Duration(n) {
			return 0, errors.New("wsman: a duration beyond 292 years")
		}
		total += time.Duration(n)
	}
	return total, nil
}

// FormatDuration writes seconds, which every Windows reads.
func FormatDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("PT%dS", d/time.Second)
	}
	return fmt.Sprintf("PT%.3fS", d.Seconds())
}
