package ci

import (
	"regexp"
	"strings"
	"unicode"
)

// What follows are ports of the parsers that read a log, by their behaviour: the GitHub runner's two (ActionCommand), the
// Azure agent's (Command), act's, and the runner's reader of file commands (SetOutputFileCommand). They are a little more
// eager than the originals: a command is one whatever its name, because a runner may learn a new one tomorrow.

// command is what a parser read.
type command struct {
	name       string
	properties map[string]string
	data       string
}

// logLines splits as .NET's stream reader does, which is how both runners split: at LF, CR and CRLF. NEL and the line and
// paragraph separators do not end a line there; they are white space, though.
func logLines(s string) []string { return regexp.MustCompile("\r\n|\r|\n").Split(s, -1) }

// unescape replaces in the order of the list, as the originals do.
func unescape(s string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		s = strings.ReplaceAll(s, pairs[i], pairs[i+1])
	}
	return s
}

// head splits "name key=value;key=value".
func head(info, separator string, un func(string) string) (string, map[string]string) {
	name, rest, _ := strings.Cut(info, " ")
	properties := map[string]string{}
	for p := range strings.SplitSeq(strings.TrimSpace(rest), separator) {
		if k, v, ok := strings.Cut(p, "="); ok && k != "" && v != "" {
			properties[strings.ToLower(k)] = un(v)
		}
	}
	return name, properties
}

// ignorable are characters that a culture-aware comparison passes over.
func withoutIgnorable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) || r == 0 || r == 0xFFFE {
			return -1
		}
		return r
	}, s)
}

// githubV2 reads "::name props::data" after any white space.
func githubV2(line string) (command, bool) {
	line = strings.TrimLeftFunc(line, unicode.IsSpace)
	rest, ok := strings.CutPrefix(line, "::")
	if !ok {
		return command{}, false
	}
	info, data, ok := strings.Cut(rest, "::")
	if !ok {
		return command{}, false
	}
	name, properties := head(info, ",", func(s string) string {
		return unescape(s, "%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
	})
	return command{name, properties, unescape(data, "%0D", "\r", "%0A", "\n", "%25", "%")}, true
}

// githubV1 reads "##[name props]data" anywhere in the line.
func githubV1(line string) (command, bool) {
	_, rest, ok := strings.Cut(line, "##[")
	if !ok {
		return command{}, false
	}
	info, data, ok := strings.Cut(rest, "]")
	if !ok {
		return command{}, false
	}
	un := func(s string) string {
		return unescape(s, "%3B", ";", "%0D", "\r", "%0A", "\n", "%5D", "]", "%25", "%")
	}
	name, properties := head(info, ";", un)
	return command{name, properties, un(data)}, true
}

// azureAgent reads "##vso[area.event props]data" anywhere in the line, in any case.
func azureAgent(line string) (command, bool) {
	const prefix = "##vso["
	at := strings.Index(strings.ToLower(line), prefix)
	if at < 0 || at+len(prefix) > len(line) {
		return command{}, false
	}
	info, data, ok := strings.Cut(line[at+len(prefix):], "]")
	if !ok {
		return command{}, false
	}
	un := func(s string) string {
		return unescape(s, "%3B", ";", "%0D", "\r", "%0A", "\n", "%5D", "]", "%AZP25", "%")
	}
	name, properties := head(info, ";", un)
	return command{name, properties, un(data)}, true
}

// actRunner reads both GitHub forms, at the first column only.
func actRunner(line string) (command, bool) {
	if strings.HasPrefix(line, "::") {
		return githubV2(line)
	}
	if strings.HasPrefix(line, "##[") {
		return githubV1(line)
	}
	return command{}, false
}

// parsers are all of them.
var parsers = map[string]func(string) (command, bool){
	"GitHub v2": githubV2, "GitHub v1": githubV1, "Azure": azureAgent, "act": actRunner,
}

// triggered reports whether a parser so much as begins to read a command: a warning about one that does not parse is
// something an attacker should not get either.
func triggered(line string) bool {
	for _, l := range []string{line, withoutIgnorable(line)} {
		if strings.HasPrefix(strings.TrimLeftFunc(l, unicode.IsSpace), "::") || strings.Contains(l, "##[") || strings.Contains(strings.ToLower(l), "##vso[") {
			return true
		}
	}
	return false
}

// commandsIn is everything that any parser reads in a log.
func commandsIn(log string) map[string][]command {
	out := map[string][]command{}
	for _, line := range logLines(log) {
		for name, parse := range parsers {
			if c, ok := parse(line); ok {
				out[name] = append(out[name], c)
			}
		}
	}
	return out
}

// fileCommands reads the file of outputs as the runner does: name=value, or name<<delimiter and lines up to the delimiter.
// On Windows a line may also end with CRLF.
func fileCommands(text string, windows bool) ([][2]string, bool) {
	if windows {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	lines := strings.Split(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	var out [][2]string
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == "" {
			continue
		}
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case equals >= 0 && (heredoc < 0 || equals < heredoc):
			out = append(out, [2]string{line[:equals], line[equals+1:]})
		case heredoc > 0 && line[heredoc+2:] != "":
			var value []string
			end := line[heredoc+2:]
			for i++; ; i++ {
				if i >= len(lines) {
					return out, false
				}
				if lines[i] == end {
					break
				}
				value = append(value, lines[i])
			}
			out = append(out, [2]string{line[:heredoc], strings.Join(value, "\n")})
		default:
			return out, false
		}
	}
	return out, true
}
