package pepsim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Fault orders something to go wrong with requests of one kind.
type Fault struct {
	On          string  `yaml:"on"`          // Create, Command, Send, Receive, Signal, Delete, Disconnect, Reconnect, Get, or * for all
	Nth         []int   `yaml:"n"`           // which of them, counted from 1; none: all
	Probability float64 `yaml:"probability"` // of each; 0 means always
	Do          string  `yaml:"do"`
}

// What a fault can do.
const (
	faultCloseBefore = "close-before" // the connection dies, nothing was processed
	faultCloseAfter  = "close-after"  // the request was processed, its answer is lost
	fault503         = "503"
	fault401         = "401"
	faultDelay       = "delay"
	faultTimeout     = "timeout"            // the fault of an operation that took too long
	faultGarbage     = "garbage"            // sealed with another key
	faultSignature   = "bad-signature"      // one bit of the signature
	faultTruncate    = "truncate"           // half an answer
	faultDuplicate   = "duplicate-fragment" // every fragment twice
	faultBroken      = "pool-broken"        // the pool breaks instead of opening
	faultHostCall    = "host-call"          // the server asks a question before the cmdlet runs
	faultQuota       = "quota"
)

var (
	faultKinds = []string{"Create", "Command", "Send", "Receive", "Signal", "Delete", "Disconnect", "Reconnect", "Get", "*"}
	faultWords = []string{
		faultCloseBefore, faultCloseAfter, fault503, fault401, faultDelay, faultTimeout, faultGarbage, faultSignature,
		faultTruncate, faultDuplicate, faultBroken, faultHostCall, faultQuota,
	}
)

func (f Fault) check() error {
	switch {
	case !slices.Contains(faultKinds, f.On):
		return fmt.Errorf("fault on %q, wanted one of %v", f.On, faultKinds)
	case !slices.Contains(faultWords, f.Do):
		return fmt.Errorf("fault does %q, wanted one of %v", f.Do, faultWords)
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("fault with probability %v, wanted 0 to 1", f.Probability)
	}
	return nil
}

// faults counts requests and says which goes wrong.
type faults struct {
	mu     sync.Mutex
	orders []Fault
	seen   map[string]int
	dice   *rand.Rand
}

func newFaults(orders []Fault, seed uint64) *faults {
	return &faults{orders: orders, seen: map[string]int{}, dice: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // repeatable on purpose
}

// next returns the fault for the next request of a kind, or "".
func (f *faults) next(kind string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[kind]++
	f.seen["*"]++
	for _, o := range f.orders {
		if o.On != kind && o.On != "*" {
			continue
		}
		if len(o.Nth) > 0 && !slices.Contains(o.Nth, f.seen[o.On]) {
			continue
		}
		if o.Probability > 0 && f.dice.Float64() >= o.Probability {
			continue
		}
		return o.Do
	}
	return ""
}
