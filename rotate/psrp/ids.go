package psrp

import (
	"fmt"
	"slices"
)

// idSet remembers which object ids of a pool have arrived, as closed intervals in order.
type idSet struct {
	spans [][2]uint64
	count uint64
	max   uint64
}

const maxSpans = 65_536

// add reports whether the id is new.
func (s *idSet) add(id uint64) (bool, error) {
	i, _ := slices.BinarySearchFunc(s.spans, id, func(span [2]uint64, id uint64) int {
		if span[1] < id {
			return -1
		}
		return 1
	}) // the first span that ends at or after id
	if i < len(s.spans) && s.spans[i][0] <= id {
		return false, nil
	}
	joinsLeft := i > 0 && s.spans[i-1][1]+1 == id
	joinsRight := i < len(s.spans) && id+1 == s.spans[i][0]
	switch {
	case joinsLeft && joinsRight:
		s.spans[i-1][1] = s.spans[i][1]
		s.spans = slices.Delete(s.spans, i, i+1)
	case joinsLeft:
		s.spans[i-1][1] = id
	case joinsRight:
		s.spans[i][0] = id
	default:
		if len(s.spans) >= maxSpans {
			return false, fmt.Errorf("%w: more than %d gaps between object ids", ErrLimit, maxSpans)
		}
		s.spans = slices.Insert(s.spans, i, [2]uint64{id, id})
	}
	s.count++
	s.max = max(s.max, id)
	return true, nil
}

// lost counts the ids up to the highest that never arrived.
func (s *idSet) lost(highest uint64) uint64 { return max(s.max, highest) - s.count }
