package pfx

import (
	"context"
	"fmt"
)

// A budget is what one file may still cost. Key derivations are charged when their parameters are read, so that a file
// asking for too much is refused before the first hash.
type budget struct {
	ctx    context.Context
	limits Limits
	work   int // what is left
}

func newBudget(ctx context.Context, l Limits) *budget {
	l = l.orDefault()
	return &budget{ctx: ctx, limits: l, work: l.Work}
}

// charge accepts one key derivation: iterations as found in the file, cost in hashes per iteration.
func (b *budget) charge(what string, iterations int64, fits bool, cost int) (int, error) {
	if !fits {
		return 0, fmt.Errorf("%w: %s: iterations beyond 64 bits, at most %d", ErrLimit, what, b.limits.Iterations)
	}
	if iterations < 1 {
		return 0, malformed("%s: %d iterations, want at least 1", what, iterations)
	}
	if iterations > int64(b.limits.Iterations) {
		return 0, overLimit(what+": iterations", iterations, b.limits.Iterations)
	}
	n := int(iterations)
	return n, b.spend(n, cost)
}

func (b *budget) spend(n, cost int) error {
	if n > b.work/cost {
		return overLimit("work of all key derivations: hashes", int64(b.limits.Work-b.work)+int64(n)*int64(cost), b.limits.Work)
	}
	b.work -= n * cost
	return nil
}

func (b *budget) salt(what string, salt []byte) error {
	if len(salt) > b.limits.Salt {
		return overLimit(what+": bytes of salt", int64(len(salt)), b.limits.Salt)
	}
	return nil
}
