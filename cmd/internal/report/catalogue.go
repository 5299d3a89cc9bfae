package report

import (
	"slices"
	"strings"

	"github.com/certstamp/certstamp/validate"
)

// part is one line of a finding's details.
type part struct{ name, text string }

// parts are the details of a finding that are not empty, in the order people want them.
func parts(f validate.Finding) []part {
	return slices.DeleteFunc([]part{
		{"found", f.Found},
		{"wanted", f.Wanted},
		{"folders", strings.Join(f.Folders, ", ")},
		{"waived", f.Waived},
		{"hint", f.Hint},
		{"source", f.Source},
	}, func(p part) bool { return p.text == "" })
}
