// Package flock keeps runs apart on one machine, or on one file system: a run that wants to be alone locks a file. The
// system lets go of the lock when the process ends, however it ends, so nothing is ever left to be cleaned up.
package flock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// HeldError says that another run holds the lock.
type HeldError struct{ Owner string }

func (e *HeldError) Error() string { return fmt.Sprintf("another run holds the lock: %q", e.Owner) }

var errHeld = errors.New("held")

// Take locks the file of that name, which is made if need be, and writes into it whose it is. While another run holds it the
// error is a *HeldError. Closing the file lets go of it. Only who holds it may remove it.
func Take(root *os.Root, name, owner string) (*os.File, error) {
	for {
		l, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		mine, err := take(root, name, owner, l)
		if err != nil || !mine {
			_ = l.Close()
		}
		if err != nil || mine {
			return l, err
		}
	}
}

// take is false when the file that was locked is no longer the one of that name: the holder before us may have removed it
// after we opened it, and a lock on it keeps nobody away.
func take(root *os.Root, name, owner string, l *os.File) (bool, error) {
	opened, err := l.Stat()
	if err != nil {
		return false, err
	}
	if !opened.Mode().IsRegular() { // a pipe could be locked, and never be read
		return false, &fs.PathError{Op: "lock", Path: name, Err: errors.New("not a regular file")}
	}
	if err := lock(l); err != nil {
		if !errors.Is(err, errHeld) {
			return false, err
		}
		text, _ := io.ReadAll(io.LimitReader(l, 512))
		return false, &HeldError{Owner: strings.TrimSpace(string(text))}
	}
	there, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !there.Mode().IsRegular(): // what a link leads to is not ours to write into
		return false, &fs.PathError{Op: "lock", Path: name, Err: errors.New("not a regular file")}
	case !os.SameFile(opened, there):
		return false, nil
	}
	if err := l.Truncate(0); err != nil {
		return false, err
	}
	_, err = l.WriteAt([]byte(owner+"\n"), 0)
	return err == nil, err
}
