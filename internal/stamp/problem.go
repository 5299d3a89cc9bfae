package stamp

import (
	"fmt"
	"sort"
	"strings"
)

// Problem is one mistake in a file.
type Problem struct {
	File       string
	Line       int // from 1; 0: the file as a whole
	Column     int // from 1
	Message    string
	Suggestion string // what was probably meant; empty: no idea
}

func (p Problem) String() string {
	where := fmt.Sprintf("%q", p.File)
	if plain(p.File) {
		where = p.File
	}
	if p.Line > 0 {
		where += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	text := where + ": " + p.Message
	if p.Suggestion != "" {
		text += ", did you mean " + quoted(p.Suggestion) + "?"
	}
	return text
}

// Errors is every mistake found, in the order of files and lines. It is never empty.
type Errors []Problem

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Hint says what to do.
func (e Errors) Hint() string {
	return "correct the stamp file; certstamp init writes a schema of its keys, for editors"
}

// maxProblems bounds what one file can make us print.
const maxProblems = 100

func (e Errors) sorted() Errors {
	sort.SliceStable(e, func(i, j int) bool {
		if e[i].Line != e[j].Line {
			return e[i].Line < e[j].Line
		}
		return e[i].Column < e[j].Column
	})
	if len(e) > maxProblems {
		more := len(e) - maxProblems
		e = append(e[:maxProblems:maxProblems], Problem{File: e[0].File, Message: fmt.Sprintf("and %d more", more)})
	}
	return e
}

// quoted renders foreign text for a message: quoted and of bounded length. It writes backslashes once where %q would
// double them, because most of our values with backslashes are UNC paths that people copy.
func quoted(s string) string {
	const most = 120
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	if plain(strings.ReplaceAll(s, " ", "")) {
		return `"` + s + `"`
	}
	return fmt.Sprintf("%q", s)
}

// plain reports whether s can be printed as it is: visible ASCII or the ellipsis, and no quote.
func plain(s string) bool {
	for _, r := range s {
		if (r <= ' ' || r > '~' || r == '"') && r != '…' {
			return false
		}
	}
	return true
}

// Nearest returns the candidate within two edits (one for short words), or nothing.
func Nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, most := "", 3
	if len(word) < 5 {
		most = 2
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < most {
			best, most = c, d
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		next := make([]int, len(y)+1)
		next[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			next[j+1] = min(next[j]+1, row[j+1]+1, row[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}
