// Package stage publishes a set of certificates to a share as one transaction: readers see the old set, the new set, or
// for a moment none, but never a mixture.
//
// Publish stages aside, reads back, swaps by renaming, and keeps the previous set until it is no longer needed; every
// verb recovers first from whatever an earlier run left behind. Check looks without touching. Unstage removes what the
// plan names and proves that nothing is left.
//
// Everything happens through the small Share interface. The folder backend here is deliberately as strict as SMB, so that
// what passes on a folder passes on a share; SMB itself is package stage/smb.
package stage

import (
	"errors"
	"io/fs"
)

// Share is the root of a share. Paths are slash-separated and relative to it; names are compared without case. A Share
// is used by one run at a time, by several goroutines of it.
type Share interface {
	// Mkdir makes one directory; it fails if the name exists.
	Mkdir(name string) error
	// Create writes a new file and returns when it is on disk; it fails if the name exists, in any case.
	Create(name string, data []byte) error
	// Rename moves a file or directory; it fails if the target exists in any form.
	Rename(from, to string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// ReadFile reads a file of at most most bytes.
	ReadFile(name string, most int64) ([]byte, error)
	// Stat looks at a name without following links.
	Stat(name string) (fs.FileInfo, error)
	// Append adds to a file, making it if need be, and returns when it is on disk. It is called under the lock: over a network, what
	// two runs append at once lies one over the other.
	Append(name string, data []byte) error
	// Free is the free space in bytes; ok is false when the share doesn't say.
	Free() (n int64, ok bool, err error)
	// Lock takes the share's lock, held until the returned function is called, the share is closed or the process ends. While another holds
	// it the error is a *LockedError. Owner is text for whoever finds it. What the file is called below name is the share's business.
	Lock(name, owner string) (unlock func() error, err error)
	// Close ends the use of the share.
	Close() error
}

// Class says what kind of thing went wrong with a share, and so whether trying again can help.
type Class string

// The classes. Only Transport is worth a whole new run by itself; Busy is retried inside a step.
const (
	ClassConfig       Class = "config"
	ClassAuth         Class = "auth"
	ClassPermission   Class = "permission"
	ClassSpace        Class = "space"
	ClassBusy         Class = "busy"
	ClassLocked       Class = "locked"
	ClassTransport    Class = "transport"
	ClassVerification Class = "verification"
	ClassLayout       Class = "layout"
	ClassInternal     Class = "internal"
)

// Error is a failure of one step, with its class.
type Error struct {
	Class Class
	Step  string // what was being done
	Err   error
	Todo  string
}

func (e *Error) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string {
	if e.Todo != "" {
		return e.Todo
	}
	switch e.Class {
	case ClassPermission:
		return "the account needs to read, write and delete at the share's root"
	case ClassSpace:
		return "free space on the share: twice the set is needed"
	case ClassBusy:
		return "somebody has a file of the set open: close it and run again"
	case ClassTransport:
		return "run again: whatever was half done is put right first"
	case ClassVerification:
		return "the share returned other bytes than were written: check the server"
	}
	return ""
}

// LockedError says that another run holds the share.
type LockedError struct{ Owner string }

func (e *LockedError) Error() string { return "another run holds the share's lock" + owned(e.Owner) }

// Hint says what to do.
func (e *LockedError) Hint() string {
	return "wait for that run; the lock ends with its process and needs no cleaning up"
}

func owned(owner string) string {
	if owner == "" {
		return ""
	}
	return ": " + quote(owner)
}

// Sentinels a Share wraps, so that the transaction can tell classes apart without knowing the backend.
var (
	ErrBusy      = errors.New("in use by somebody else")
	ErrSpace     = errors.New("no space left")
	ErrTransport = errors.New("connection lost") // nothing works on this share any more
	ErrName      = errors.New("a name Windows does not take")
)

// wrap gives an error of a Share its class.
func wrap(step string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	class := ClassInternal
	var locked *LockedError
	switch {
	case errors.As(err, &locked):
		class = ClassLocked
	case errors.Is(err, ErrBusy):
		class = ClassBusy
	case errors.Is(err, ErrSpace):
		class = ClassSpace
	case errors.Is(err, ErrTransport):
		class = ClassTransport
	case errors.Is(err, ErrName):
		class = ClassConfig
	case errors.Is(err, fs.ErrPermission):
		class = ClassPermission
	}
	return &Error{Class: class, Step: step, Err: err, Todo: hintOf(err)}
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
