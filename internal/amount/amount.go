// Package amount says how many of something there are, the one place that knows when a word takes its plural.
package amount

import "strconv"

// Of is a number with what it counts, a word whose plural has an s: 1 file, 2 files.
func Of[N int | int64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.FormatInt(int64(n), 10) + " " + what
}
