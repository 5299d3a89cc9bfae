package clixml

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// primitive reads the text of an element into its Go value. Errors name the kind only: the text may be a secret.
func primitive(name, text string) (any, error) {
	switch name {
	case "S":
		return unescape(text), nil
	case "SBK":
		return ScriptBlock(unescape(text)), nil
	case "XD":
		return XML(unescape(text)), nil
	case "URI":
		return URI(unescape(text)), nil
	}
	text = strings.TrimSpace(text)
	switch name {
	case "B":
		switch strings.ToLower(text) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
		return nil, errValue
	case "C":
		n, err := strconv.ParseUint(text, 10, 16)
		return Char(n), orValue(err)
	case "By":
		n, err := strconv.ParseUint(text, 10, 8)
		return uint8(n), orValue(err)
	case "U16":
		n, err := strconv.ParseUint(text, 10, 16)
		return uint16(n), orValue(err)
	case "U32":
		n, err := strconv.ParseUint(text, 10, 32)
		return uint32(n), orValue(err)
	case "U64":
		n, err := strconv.ParseUint(text, 10, 64)
		return n, orValue(err)
	case "SB":
		n, err := strconv.ParseInt(text, 10, 8)
		return int8(n), orValue(err)
	case "I16":
		n, err := strconv.ParseInt(text, 10, 16)
		return int16(n), orValue(err)
	case "I32":
		n, err := strconv.ParseInt(text, 10, 32)
		return int32(n), orValue(err)
	case "I64":
		n, err := strconv.ParseInt(text, 10, 64)
		return n, orValue(err)
	case "Sg":
		f, err := parseFloat(text, 32)
		return float32(f), err
	case "Db":
		return parseFloat(text, 64)
	case "D":
		return match(decimalText(), text, Decimal(text))
	case "Version":
		return match(versionText(), text, Version(text))
	case "BA":
		b, err := decodeBase64(text)
		return b, orValue(err)
	case "G":
		g, err := ParseGUID(text)
		return g, orValue(err)
	case "DT":
		return parseTime(text)
	case "TS":
		return parseDuration(text)
	}
	return nil, errors.New("unknown element")
}

var (
	errValue     = errors.New("the text is not a value of its type")
	decimalText  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[+-]?[0-9]{1,64}(\.[0-9]{1,64})?$`) })
	versionText  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]{1,10}(\.[0-9]{1,10}){1,3}$`) })
	durationText = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(-?)P(?:([0-9]{1,9})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})(?:\.([0-9]{1,9}))?S)?)?$`)
	})
)

func orValue(err error) error {
	if err != nil {
		return errValue
	}
	return nil
}

func match[T any](re *regexp.Regexp, text string, v T) (any, error) {
	if !re.MatchString(text) {
		return nil, errValue
	}
	return v, nil
}

func parseFloat(text string, bits int) (float64, error) {
	switch text {
	case "INF":
		return math.Inf(1), nil
	case "-INF":
		return math.Inf(-1), nil
	case "NaN":
		return math.NaN(), nil
	}
	// strconv also takes hexadecimal, underscores and words; XML Schema does not.
	if text == "" || strings.Trim(text, "0123456789.+-eE") != "" {
		return 0, errValue
	}
	f, err := strconv.ParseFloat(text, bits)
	return f, orValue(err)
}

func formatFloat(f float64, bits int) string {
	switch {
	case math.IsInf(f, 1):
		return "INF"
	case math.IsInf(f, -1):
		return "-INF"
	case math.IsNaN(f):
		return "NaN"
	}
	return strconv.FormatFloat(f, 'G', -1, bits)
}

const timeLayout = "2006-01-02T15:04:05.9999999"

func parseTime(text string) (any, error) {
	if t, err := time.Parse(timeLayout+"Z07:00", text); err == nil {
		return t, nil
	}
	t, err := time.Parse(timeLayout, text)
	if err != nil {
		return nil, errValue
	}
	return Unzoned(t), nil
}

func formatTime(t time.Time) string {
	if IsUnzoned(t) {
		return t.Format(timeLayout)
	}
	return t.Format(timeLayout + "Z07:00")
}

// parseDuration reads the days, hours, minutes and seconds of an xs:duration, all that .NET writes for a TimeSpan. A span
// beyond Go's 292 years, such as TimeSpan.MaxValue, saturates.
func parseDuration(text string) (any, error) {
	m := durationText().FindStringSubmatch(text)
	if m == nil || strings.HasSuffix(text, "P") || strings.HasSuffix(text, "T") {
		return nil, errValue
	}
	seconds := 0.0
	var whole int64
	for i, unit := range []int64{86400, 3600, 60, 1} {
		if m[i+2] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+2], 10, 64)
		if err != nil {
			return nil, errValue
		}
		whole += n * unit
		seconds += float64(n * unit)
	}
	d := time.Duration(math.MaxInt64)
	if seconds < float64(math.MaxInt64/int64(time.Second)) {
		d = time.Duration(whole) * time.Second
		if m[6] != "" {
			nanos, err := strconv.ParseInt((m[6] + "000000000")[:9], 10, 64)
			if err != nil {
				return nil, errValue
			}
			d += time.Duration(nanos)
		}
	}
	if d < 0 { // the fraction carried it over the edge
		d = math.MaxInt64
	}
	if m[1] == "-" {
		d = -d
	}
	return d, nil
}

func formatDuration(d time.Duration) string {
	if d == 0 {
		return "PT0S"
	}
	sign := ""
	if d < 0 {
		sign = "-"
	}
	seconds, nanos := int64(d/time.Second), int64(d%time.Second)
	if d < 0 {
		seconds, nanos = -seconds, -nanos
	}
	out := sign + "P"
	if days := seconds / 86400; days > 0 {
		out += strconv.FormatInt(days, 10) + "D"
		seconds %= 86400
		if seconds == 0 && nanos == 0 {
			return out
		}
	}
	out += "T"
	if h := seconds / 3600; h > 0 {
		out += strconv.FormatInt(h, 10) + "H"
	}
	if m := seconds % 3600 / 60; m > 0 {
		out += strconv.FormatInt(m, 10) + "M"
	}
	if s := seconds % 60; s > 0 || nanos > 0 {
		out += strconv.FormatInt(s, 10)
		if nanos > 0 {
			frac := strconv.FormatInt(1e9+nanos, 10)[1:]
			out += "." + strings.TrimRight(frac, "0")
		}
		out += "S"
	}
	return out
}
