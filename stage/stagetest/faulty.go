package stagetest

import (
	"io/fs"
	"sync"

	"github.com/certstamp/certstamp/stage"
)

// Faulty is a share whose N-th call fails with Err, once, as a server's does: the call has not happened, unless Half is set.
type Faulty struct {
	stage.Share
	N    int // counts from 1; 0: no call fails
	Err  error
	Half bool // the call happens, and its answer is lost

	mu    sync.Mutex
	calls int
}

// Struck reports whether the fault has come.
func (f *Faulty) Struck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.N > 0 && f.calls >= f.N
}

func (f *Faulty) call(do func() error) error {
	f.mu.Lock()
	f.calls++
	fails := f.calls == f.N
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
	return f.call(func() error { return f.Share.Mkdir(name) })
}

// Create writes a file, or fails.
func (f *Faulty) Create(name string, b []byte) error {
	return f.call(func() error { return f.Share.Create(name, b) })
}

// Append adds to a file, or fails.
func (f *Faulty) Append(name string, b []byte) error {
	return f.call(func() error { return f.Share.Append(name, b) })
}

// Rename moves, or fails.
func (f *Faulty) Rename(from, to string) error {
	return f.call(func() error { return f.Share.Rename(from, to) })
}

// Remove removes, or fails.
func (f *Faulty) Remove(name string) error {
	return f.call(func() error { return f.Share.Remove(name) })
}

// ReadDir lists, or fails.
func (f *Faulty) ReadDir(name string) (out []fs.DirEntry, err error) {
	err = f.call(func() error { out, err = f.Share.ReadDir(name); return err })
	return out, err
}

// ReadFile reads, or fails.
func (f *Faulty) ReadFile(name string, most int64) (out []byte, err error) {
	err = f.call(func() error { out, err = f.Share.ReadFile(name, most); return err })
	return out, err
}

// Stat looks, or fails.
func (f *Faulty) Stat(name string) (out fs.FileInfo, err error) {
	err = f.call(func() error { out, err = f.Share.Stat(name); return err })
	return out, err
}
