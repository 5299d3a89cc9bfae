package validate

import (
	"fmt"
	"slices"
	"time"

	"github.com/certstamp/certstamp/policies"
)

// waivers turns a Fail that somebody answers for into a Warning that says so. It never hides one.
type waivers struct {
	list []policies.Waiver
	asOf time.Time
}

// apply finds the waiver that covers a failed finding. A waiver without a folder covers every folder; a finding over
// several folders needs each of them covered by the same waiver.
func (w waivers) apply(f Finding, waivable bool, folders ...string) Finding {
	if f.Result != Fail {
		return f
	}
	for _, v := range w.list {
		if v.Rule != f.ID || v.Folder != "" && (len(folders) == 0 || slices.ContainsFunc(folders, func(x string) bool { return x != v.Folder })) {
			continue
		}
		switch {
		case !waivable:
			f.Hint += "; a waiver has no effect, this rule cannot be waived"
		case !w.asOf.Before(v.End()):
			f.Hint += fmt.Sprintf("; the waiver %s ended with %s", quote(v.Reason), v.Until)
		default:
			f.Result = Warning
			f.Waived = fmt.Sprintf("%s, until the end of %s", quote(v.Reason), v.Until)
			return f
		}
	}
	return f
}
