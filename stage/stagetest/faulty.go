package stagetest

import (
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/certstamp/certstamp/stage"
)

// Faulty is a share of which one call fails with Err, once, as a server's does: the call has not happened, unless Half is set.
type Faulty struct {
	stage.Share
	At   string // the call, as [Faulty.Calls] has it; empty: none fails
	Err  error
	Half bool // the call happens, and its answer is lost

	mu     sync.Mutex
	times  map[string]int // of each operation and name
	calls  []string
	struck bool
}

// Calls are those that came so far: each as its count among those of its operation and name, and both. Counted like that a call is the
// same in the next run, whatever goes on beside it.
func (f *Faulty) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Struck reports whether the fault has come.
func (f *Faulty) Struck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.struck
}

func (f *Faulty) call(what, name string, do func() error) error {
	f.mu.Lock()
	if f.times == nil {
		f.times = map[string]int{}
	}
	at := what + " " + name
	f.times[at]++
	at = fmt.Sprintf("%d: %s", f.times[at], at)
	f.calls = append(f.calls, at)
	fails := at == f.At
	f.struck = f.struck || fails
	f.mu.Unlock()
	if !fails {
		return do()
	}
	if f.Half {
		_ = do()
	}
	return f.Err
}

// Mkdir makes a directory, or fails.
func (f *Faulty) Mkdir(name string) error {
	return f.call("make", name, func() error { return f.Share.Mkdir(name) })
}

// Create writes a file, or fails.
func (f *Faulty) Create(name string, b []byte) error {
	return f.call("write", name, func() error { return f.Share.Create(name, b) })
}

// Append adds to a file, or fails.
func (f *Faulty) Append(name string, b []byte) error {
	return f.call("append to", name, func() error { return f.Share.Append(name, b) })
}

// Rename moves, or fails.
func (f *Faulty) Rename(from, to string) error {
	return f.call("rename", from, func() error { return f.Share.Rename(from, to) })
}

// Remove removes, or fails.
func (f *Faulty) Remove(name string) error {
	return f.call("remove", name, func() error { return f.Share.Remove(name) })
}

// ReadDir lists, or fails.
func (f *Faulty) ReadDir(name string) (out []fs.DirEntry, err error) {
	err = f.call("list", name, func() error { out, err = f.Share.ReadDir(name); return err })
	return out, err
}

// ReadFile reads, or fails.
func (f *Faulty) ReadFile(name string, most int64) (out []byte, err error) {
	err = f.call("read", name, func() error { out, err = f.Share.ReadFile(name, most); return err })
	return out, err
}

// Stat looks, or fails.
func (f *Faulty) Stat(name string) (out fs.FileInfo, err error) {
	err = f.call("look at", name, func() error { out, err = f.Share.Stat(name); return err })
	return out, err
}

// Free asks for space, or fails.
func (f *Faulty) Free() (n int64, ok bool, err error) {
	err = f.call("ask for", "space", func() error { n, ok, err = f.Share.Free(); return err })
	return n, ok, err
}

// Lock locks, or fails, and so does what gives the lock up.
func (f *Faulty) Lock(name, owner string) (func() error, error) {
	var unlock func() error
	err := f.call("lock", name, func() (err error) { unlock, err = f.Share.Lock(name, owner); return err })
	if err != nil {
		return nil, err
	}
	return func() error { return f.call("unlock", name, unlock) }, nil
}
