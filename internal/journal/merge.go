package journal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Merge unites copies of one journal, such as the local file, the share's and a CI artifact. An entry that several copies
// hold is kept once. Runs follow each other in the order of their first entries' times, because a lock keeps runs apart
// while their clocks may not agree to the second; within a run the numbers decide. Copies that disagree about an entry
// are a Problem, and the first copy's word is kept.
func Merge(logs ...Log) Log {
	type key struct {
		plan, run string
		seq       int
	}
	type run struct {
		first   string // Time of its first entry; RFC 3339 in UTC sorts as text
		entries []Entry
	}
	var out Log
	seen := map[key]Entry{}
	runs := map[[2]string]*run{}
	var order []*run
	for _, l := range logs {
		out.Problems = append(out.Problems, l.Problems...)
		for _, e := range l.Entries {
			k := key{e.Plan, e.Run, e.Seq}
			if before, twice := seen[k]; twice {
				if !same(before, e) {
					out.problem(0, fmt.Sprintf("copies disagree about number %d of run %q", e.Seq, e.Run))
				}
				continue
			}
			seen[k] = e
			of := [2]string{e.Plan, e.Run}
			if runs[of] == nil {
				runs[of] = &run{}
				order = append(order, runs[of])
			}
			e.Facts = maps.Clone(e.Facts)
			runs[of].entries = append(runs[of].entries, e)
		}
	}
	for _, r := range order {
		slices.SortStableFunc(r.entries, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
		r.first = r.entries[0].Time
	}
	slices.SortStableFunc(order, func(a, b *run) int { return cmp.Compare(a.first, b.first) })
	for _, r := range order {
		out.Entries = append(out.Entries, r.entries...)
	}
	return out
}

func same(a, b Entry) bool {
	return a.Time == b.Time && a.Room == b.Room && a.Step == b.Step && a.State == b.State && maps.Equal(a.Facts, b.Facts)
}
