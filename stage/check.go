package stage

import (
	"context"
	"path"
	"strings"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

// State is what the share holds, held against the plan.
type State string

// The states of a share.
const (
	StateAbsent  State = "absent"  // no set
	StatePlanned State = "planned" // exactly the planned set
	StateOther   State = "other"   // another complete set
	StateDamaged State = "damaged" // a layout no rotation would survive
)

// Check looks at a share without touching it. A leftover of an interrupted run is no fault: the next run puts it right.
func Check(_ context.Context, sh Share, sec plan.StageSection) ([]validate.Finding, State, error) {
	seen, err := inspect(sh, sec)
	if err != nil {
		return nil, "", err
	}
	if len(seen.findings) > 0 {
		return seen.findings, StateDamaged, nil
	}
	t := &transaction{sh: sh, sec: sec}
	have, err := t.hashes(seen)
	switch {
	case err != nil:
		return nil, "", err
	case len(have) == 0:
		return nil, StateAbsent, nil
	case equal(have, sec):
		return nil, StatePlanned, nil
	}
	return nil, StateOther, nil
}

// Holds reports whether a share holds any set at all. It is what can be asked without a plan.
func Holds(sh Share) (bool, error) {
	entries, err := list(sh, certificates)
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, wrap("list "+certificates, err)
	}
	for _, e := range entries {
		if !e.IsDir() || link(e) {
			return true, nil
		}
		below, err := list(sh, path.Join(certificates, e.Name()))
		if err != nil {
			return false, wrap("list "+path.Join(certificates, e.Name()), err)
		}
		if len(below) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// Leftovers are the folders of interrupted runs and kept sets in the work folder.
func Leftovers(sh Share) ([]string, error) {
	entries, err := list(sh, work)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list "+work, err)
	}
	var out []string
	for _, e := range entries {
		for _, prefix := range []string{stagePrefix, undoPrefix, previousPrefix} {
			if strings.HasPrefix(e.Name(), prefix) {
				out = append(out, path.Join(work, e.Name()))
			}
		}
	}
	return out, nil
}
