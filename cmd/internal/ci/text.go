// Package ci owns every byte that leaves the program: terminal, log, outputs, step summary.
//
// CI systems read commands out of logs: a certificate subject with a line end and "::set-output" in it is an attack.
// So everything printed passes a Guard, which makes one harmless line out of anything and redacts known secrets, and
// only the emitter in this package writes commands, with constant names and escaped data.
package ci

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text makes one harmless line out of foreign text: no control or format characters, no line ends, nothing that a log
// parser of GitHub (v1 and v2) or Azure Pipelines reads as a command. It is idempotent, and text that needs nothing
// comes back unchanged.
func Text(s string) string {
	if plain(s) {
		return s
	}
	return disarm(visible(s, ""))
}

// Visible shows what hides in a text of several lines, for sinks that escape by themselves, such as a calendar.
func Visible(s string) string { return visible(s, "\n") }

// Markup does for a page of HTML what Text does for a line: it shows what hides, and nothing in it is a command where the page goes to
// a log. A character of each introducer becomes a reference, which a browser shows as what it was.
func Markup(page string) string {
	var b strings.Builder
	for line := range strings.Lines(Visible(page)) {
		white := len(line) - len(strings.TrimLeftFunc(line, unicode.IsSpace))
		if rest, ok := strings.CutPrefix(line[white:], "::"); ok {
			line = line[:white] + "&#58;:" + rest
		}
		for i := range len(line) {
			if line[i] == '#' && introduces(line[i+1:]) {
				b.WriteString("&#35;")
				continue
			}
			b.WriteByte(line[i])
		}
	}
	return b.String()
}

// visible escapes hidden characters but those in keep.
func visible(s, keep string) string {
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case hidden(r) && !strings.ContainsRune(keep, r):
			if r > 0xFFFF {
				fmt.Fprintf(&b, `\U%08X`, r)
			} else {
				fmt.Fprintf(&b, `\u%04X`, r)
			}
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// plain is the fast path: printable ASCII without # and not starting with a colon.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c >= 0x7f || c == '#' || c == ':' {
			return false
		}
	}
	return true
}

// hidden reports characters that change how a line is split or read without being seen, those that a culture-aware
// comparison passes over (the runners are .NET programs), and those that are none: XML forbids U+FFFE and U+FFFF. A tab is
// left alone.
func hidden(r rune) bool {
	if r == '\t' {
		return false
	}
	if r&0xFFFE == 0xFFFE { // the last two of every plane
		return true
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs,
		unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) || r == utf8.RuneError
}

// disarm breaks command introducers with a character that can be seen. Zero-width characters would not do: culture-aware
// string comparison ignores them.
func disarm(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		if s[i] == '#' && introduces(s[i+1:]) {
			b.WriteByte('_')
		}
	}
	out := b.String()
	if strings.HasPrefix(strings.TrimLeftFunc(out, unicode.IsSpace), "::") {
		out = "_" + out
	}
	return out
}

// introduces reports whether what follows a hash makes a command of it.
func introduces(rest string) bool {
	return strings.HasPrefix(rest, "[") || len(rest) >= 4 && strings.EqualFold(rest[:4], "vso[")
}
