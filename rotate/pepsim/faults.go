package pepsim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Fault orders something to go wrong with requests of one kind.
type Fault struct {
	On          string  `yaml:"on"          json:"on"`                    // an operation (Create, Command, …), Login for the second message of a login, or * for every operation
	Nth         []int   `yaml:"n"           json:"n,omitempty"`           // which of them, counted from 1 since the order was given; none: all
	Probability float64 `yaml:"probability" json:"probability,omitempty"` // of each; 0 means always
	Times       int     `yaml:"times"       json:"times,omitempty"`       // how often at most; 0: no limit
	Millis      int     `yaml:"ms"          json:"ms,omitempty"`          // how long a delay or a freeze lasts; 0: fault-delay-ms, a freeze for as long as the client waits
	Code        uint32  `yaml:"code"        json:"code,omitempty"`        // of a quota, see quotaCodes; 0: that of shells
	Do          string  `yaml:"do"          json:"do"`
}

// What a fault can do. Before means that nothing was processed, after that the answer alone is lost.
const (
	faultCloseBefore = "close-before" // the connection dies, nothing was processed
	faultCloseAfter  = "close-after"  // the request was processed, its answer is lost
	faultFreeze      = "freeze"       // nothing was processed and no answer comes, on a connection that stays open
	faultFreezeAfter = "freeze-after" // the same, but the request was processed
	faultNoise       = "noise"        // processed; random bytes instead of HTTP
	faultPlainText   = "plain-text"   // not processed; HTTP 200 with text, as something in between would answer
	faultUnsealed    = "unsealed"     // processed; the true answer, in clear
	fault503         = "503"
	fault401         = "401"
	faultDelay       = "delay"
	faultTimeout     = "timeout"            // the fault of an operation that took too long
	faultGarbage     = "garbage"            // sealed with another key
	faultSignature   = "bad-signature"      // one bit of the signature
	faultTruncate    = "truncate"           // half an answer
	faultDuplicate   = "duplicate-fragment" // every fragment twice
	faultDuplicateID = "duplicate-id"       // the shell or command is said to exist, and was not made
	faultBroken      = "pool-broken"        // the pool breaks instead of opening, or while it is listened to
	faultHostCall    = "host-call"          // the server asks a question, and the cmdlet waits for the answer
	faultQuota       = "quota"
	faultShellGone   = "shell-gone" // the shell vanishes with what it runs
	faultTerminate   = "terminated" // the command vanishes, the shell stays
	faultDisconnect  = "disconnected"
	faultAbort       = "aborted" // the shell vanishes under a request that waits
	faultLose        = "lose"    // a message is lost with the connection, the rest of the answer comes
)

// quotaCodes are the quotas of a service: shells, operations, users, and so on (WSMan.h of the Windows SDK).
var quotaCodes = []uint32{
	2150859173, 2150859174, 2150859175, 2150859176, 2150859179,
	2150859236, 2150859237, 2150859238, 2150859239, 2150859240, 2150859241, 2150859242,
}

const onLogin = "Login"

var (
	faultKinds = []string{"Create", "Command", "Send", "Receive", "Signal", "Delete", "Disconnect", "Reconnect", "Get", onLogin, "*"}
	faultWords = []string{
		faultCloseBefore, faultCloseAfter, faultFreeze, faultFreezeAfter, faultNoise, faultPlainText, faultUnsealed, fault503, fault401, faultDelay,
		faultTimeout, faultGarbage, faultSignature, faultTruncate, faultDuplicate, faultDuplicateID, faultBroken, faultHostCall, faultQuota,
		faultShellGone, faultTerminate, faultDisconnect, faultAbort, faultLose,
	}
	// What happens to a session that is there.
	sessionFaults = []string{faultShellGone, faultTerminate, faultDisconnect, faultAbort}
	// A login has no SOAP and no seal yet, so only these can happen to it.
	loginFaults = []string{faultCloseBefore, faultCloseAfter, faultFreeze, faultFreezeAfter, faultNoise, faultPlainText, fault503, fault401, faultDelay}
)

func (f Fault) check() error {
	switch {
	case !slices.Contains(faultKinds, f.On):
		return fmt.Errorf("fault on %q, wanted one of %v", f.On, faultKinds)
	case !slices.Contains(faultWords, f.Do):
		return fmt.Errorf("fault does %q, wanted one of %v", f.Do, faultWords)
	case f.On == onLogin && !slices.Contains(loginFaults, f.Do):
		return fmt.Errorf("fault does %q to a login, wanted one of %v", f.Do, loginFaults)
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("fault with probability %v, wanted 0 to 1", f.Probability)
	case f.On == "Create" && slices.Contains(sessionFaults, f.Do):
		return fmt.Errorf("fault does %q to a Create, which has no session yet", f.Do)
	case f.Code != 0 && (f.Do != faultQuota || !slices.Contains(quotaCodes, f.Code)):
		return fmt.Errorf("fault %q with code %d, wanted a quota with one of %v", f.Do, f.Code, quotaCodes)
	case f.Times < 0 || f.Millis < 0:
		return fmt.Errorf("fault with times %d and ms %d, wanted 0 or more", f.Times, f.Millis)
	}
	for _, n := range f.Nth {
		if n < 1 {
			return fmt.Errorf("fault on number %d, wanted 1 or more", n)
		}
	}
	return nil
}

// lasts is how long a delay or freeze takes, 0 for as long as the client stays.
func (f Fault) lasts() time.Duration { return time.Duration(f.Millis) * time.Millisecond }

// quota is the fault that a quota order asks for.
func (f Fault) quota() *soapFault {
	out := *faultShellQuota
	if f.Code != 0 && f.Code != out.code {
		out.code, out.text = f.Code, "A quota of the service has been exceeded."
	}
	return &out
}

// faults counts requests and says which goes wrong.
type faults struct {
	mu     sync.Mutex
	orders []*faultOrder
	dice   *rand.Rand
}

// faultOrder is an order with what it has seen since it was given.
type faultOrder struct {
	Fault
	seen, fired int
}

func newFaults(orders []Fault, seed uint64) *faults {
	f := &faults{dice: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // repeatable on purpose
	f.add(orders)
	return f
}

func (f *faults) add(orders []Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range orders {
		f.orders = append(f.orders, &faultOrder{Fault: o})
	}
}

// replace forgets every order and takes new ones.
func (f *faults) replace(orders []Fault) {
	f.mu.Lock()
	f.orders = nil
	f.mu.Unlock()
	f.add(orders)
}

// pending are the orders that can still fire.
func (f *faults) pending() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Fault{}
	for _, o := range f.orders {
		if !o.spent() {
			out = append(out, o.Fault)
		}
	}
	return out
}

func (o *faultOrder) spent() bool {
	return o.Times > 0 && o.fired >= o.Times || len(o.Nth) > 0 && o.seen >= slices.Max(o.Nth)
}

// next returns the fault for the next request of a kind, or a zero one. Every order counts every request of its kind,
// also those that an earlier order spoils.
func (f *faults) next(kind string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out Fault
	for _, o := range f.orders {
		if o.On != kind && (o.On != "*" || kind == onLogin) {
			continue
		}
		was := o.spent()
		o.seen++
		switch {
		case was, len(o.Nth) > 0 && !slices.Contains(o.Nth, o.seen), o.Probability > 0 && f.dice.Float64() >= o.Probability, out.Do != "":
			continue
		}
		o.fired++
		out = o.Fault
	}
	return out
}
