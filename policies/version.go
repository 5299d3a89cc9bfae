package policies

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Version is an Azure Stack Hub build, as precise as it was written: 2301, azs-2301, 1.2301 or 1.2301.2.58.
// Source: release notes and stamp information (1.YYMM.minor.build); see SVC-2407.
type Version struct {
	text  string
	parts []int // major, release, minor, build; at least the first two
}

var versionForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:azs-)?(\d{4})$|^(\d{1,3})\.(\d{4})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?$`)
})

// ParseVersion accepts 1811, azs-1811, 1.1811 and 1.1811.0.101. The release's month must be 01 to 12.
func ParseVersion(s string) (Version, error) {
	m := versionForm().FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return Version{}, fmt.Errorf("version %q is not of the form 2301, azs-2301 or 1.2301.2.58", s)
	}
	v := Version{text: strings.TrimSpace(s)}
	fields := m[2:]
	if m[1] != "" {
		fields = []string{"1", m[1]}
	}
	for _, f := range fields {
		if f == "" {
			break
		}
		n, err := strconv.Atoi(f)
		if err != nil {
			return Version{}, fmt.Errorf("version %q: %w", s, err)
		}
		v.parts = append(v.parts, n)
	}
	if month := v.parts[1] % 100; month < 1 || month > 12 {
		return Version{}, fmt.Errorf("version %q: %04d is not a release: its last two digits are a month", s, v.parts[1])
	}
	return v, nil
}

// Release is the YYMM number every gate is decided on, for example 1811.
func (v Version) Release() int {
	if len(v.parts) < 2 {
		return 0
	}
	return v.parts[1]
}

// IsZero reports whether no version was given.
func (v Version) IsZero() bool { return len(v.parts) == 0 }

// String returns the version as it was written.
func (v Version) String() string { return v.text }

// Matches reports whether a reported build agrees with this version to the precision in which this one was written.
func (v Version) Matches(reported Version) bool {
	if v.IsZero() || len(reported.parts) < len(v.parts) {
		return false
	}
	for i, n := range v.parts {
		if reported.parts[i] != n {
			return false
		}
	}
	return true
}
