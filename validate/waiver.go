package validate

import (
	"fmt"
	"slices"
	"time"

	"github.com/certstamp/certstamp/policies"
)

// waivers turns a Fail that somebody answers for into a Warning that says so, and marks a Warning as answered for. It
// never hides one.
type waivers struct {
	list []policies.Waiver
	asOf time.Time
}

// apply finds the waiver that covers a finding at fault. A waiver without a folder covers every folder; a finding over
// several folders needs each of them covered by the same waiver.
func (w waivers) apply(f Finding, waivable bool, folders ...string) Finding {
	if f.Result != Fail && f.Result != Warning {
		return f
	}
	for _, v := range w.list {
		if v.Rule != f.ID || v.Folder != "" && (len(folders) == 0 || slices.ContainsFunc(folders, func(x string) bool { return x != v.Folder })) {
			continue
		}
		switch {
		case !waivable:
			f.Hint += "; a waiver has no effect, this rule cannot be waived"
		case w.ended(v):
			f.Hint += fmt.Sprintf("; the waiver %s ended with %s", quote(v.Reason), v.Until)
		default:
			f.Result = Warning
			f.Waived = word(v)
			return f
		}
	}
	return f
}

func (w waivers) ended(v policies.Waiver) bool { return !w.asOf.Before(v.End()) }

// word is what a report shows of a waiver.
func word(v policies.Waiver) string {
	return fmt.Sprintf("%s, until the end of %s", quote(v.Reason), v.Until)
}

// used reports whether a waiver covers one of the findings, which carry their folders.
func used(v policies.Waiver, findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool {
		return f.ID == v.Rule && f.Waived == word(v) && (v.Folder == "" || slices.Contains(f.Folders, v.Folder))
	})
}
