package report

import (
	"slices"
	"strings"

	"github.com/certstamp/certstamp/validate"
)

// rulesPage explains every rule under its ID.
const rulesPage = "https://github.com/certstamp/certstamp/blob/main/docs/rules.md"

// rule is what a report says of a rule beside its findings.
type rule struct {
	id, name, about string
	severity        validate.Severity
}

// rules are those of package validate in their order, then those that only a finding of d names: refusals of a plan, faults
// of a share.
func rules(d *Document) []rule {
	var out []rule
	for _, r := range validate.Rules() {
		out = append(out, rule{r.ID, r.Name, r.About, r.Severity})
	}
	for _, r := range validate.SetRules() {
		out = append(out, rule{r.ID, r.Name, r.About, r.Severity})
	}
	for i := range d.Stamps {
		for _, f := range concerns(&d.Stamps[i]) {
			if !slices.ContainsFunc(out, func(r rule) bool { return r.id == f.ID }) {
				out = append(out, rule{f.ID, f.Name, f.Name, validate.Error})
			}
		}
	}
	return out
}

// concern is a finding that is not OK, with the file it is about.
type concern struct {
	validate.Finding
	stamp  *Stamp
	folder string // of a certificate's finding
	file   string
	path   string // in the repository; the stamp file's for what concerns no single certificate
}

// concerns lists what a stamp's document has to say: certificates first, then the set, then the command itself.
func concerns(s *Stamp) []concern {
	var out []concern
	for _, c := range s.Certificates {
		for _, f := range c.Tests {
			if f.Result != validate.OK {
				out = append(out, concern{Finding: f, stamp: s, folder: c.Folder, file: c.File, path: c.Path})
			}
		}
	}
	for _, f := range slices.Concat(s.Set, s.Findings) {
		if f.Result != validate.OK {
			out = append(out, concern{Finding: f, stamp: s, path: s.File})
		}
	}
	return out
}

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
