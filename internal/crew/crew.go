// Package crew runs functions side by side and hands their panics to whoever waits for them.
//
// The runtime ends the process for a panic that no deferred call of its own goroutine recovers, and prints it as it is: text of
// a certificate or of a server would reach a log that runs commands. A panic that comes out of Wait is the command's own, and
// is told and escaped like any other.
package crew

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// Group is a sync.WaitGroup whose functions may panic. The zero value is ready.
type Group struct {
	wait  sync.WaitGroup
	mu    sync.Mutex
	first *Panic
}

// Panic is what a function of a Group panicked with.
type Panic struct {
	Value any
	Stack []byte // of its own goroutine
}

func (p *Panic) Error() string { return fmt.Sprint(p.Value) }

// Go runs f beside its caller.
func (g *Group) Go(f func()) {
	g.wait.Go(func() {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			p, ok := v.(*Panic) // of a group within
			if !ok {
				p = &Panic{Value: v, Stack: debug.Stack()}
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.first == nil {
				g.first = p
			}
		}()
		f()
	})
}

// Wait waits until all have returned, and panics with the *Panic of the first that did.
func (g *Group) Wait() {
	g.wait.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first != nil {
		panic(g.first)
	}
}
