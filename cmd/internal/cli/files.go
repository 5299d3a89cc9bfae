package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/certstamp/certstamp/internal/flock"
	"github.com/certstamp/certstamp/internal/stamp"
)

// writeFile replaces a file that the command line named: a killed run leaves the old one or the new one. A link is followed,
// and what is no file (a pipe, a device) is written into: neither is ours to replace.
func writeFile(name string, b []byte, mode os.FileMode) error {
	at, err := followed(name)
	if err != nil {
		return unwritable(name, err)
	}
	if info, err := os.Lstat(at); err == nil && !info.Mode().IsRegular() {
		return unwritable(name, writeInto(at, b))
	}
	dir := filepath.Dir(at)
	if err := makeFolder(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return unwritable(dir, err)
	}
	defer root.Close()
	return unwritable(name, replaceIn(root, filepath.Base(at), b, mode))
}

// mostLinks is how many links lead to a file at most, as in Linux.
const mostLinks = 40

// followed is the place that a name leads to, which need not be there yet.
func followed(name string) (string, error) {
	for range mostLinks {
		to, err := os.Readlink(name)
		if err != nil {
			return name, nil //nolint:nilerr // no link, or nothing there
		}
		if !filepath.IsAbs(to) {
			to = filepath.Dir(name) + string(filepath.Separator) + to
		}
		parent, last := filepath.Split(to)
		dir, err := filepath.EvalSymlinks(parent) // before it is cleaned: .. leads up from where a folder really lies
		if err != nil {
			return "", err
		}
		name = filepath.Join(dir, last)
	}
	return "", errors.New("too many links")
}

func writeInto(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, werr := f.Write(b)
	return errors.Join(werr, f.Close())
}

// makeFolder makes a folder that the command line named. The one above must be there: who mistypes the middle of a path
// does not wish for new folders.
func makeFolder(dir string, mode os.FileMode) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	err := os.Mkdir(dir, mode)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return noParent{dir}
	case errors.Is(err, fs.ErrExist):
		return unwritable(dir, errors.New("is no folder"))
	}
	return unwritable(dir, err)
}

// noParent is a folder that is not made, because the one above it is missing.
type noParent struct{ dir string }

func (e noParent) Error() string {
	return fmt.Sprintf("%s: there is no folder %s", e.dir, filepath.Dir(e.dir))
}

func (e noParent) Hint() string {
	return "make that folder first, or correct the path: only its last folder is made"
}

// replaceIn does the same inside a directory that nothing leads out of. Name is slash-separated.
func replaceIn(root *os.Root, name string, b []byte, mode os.FileMode) error {
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return unwritable(name, err)
	}
	aside := filepath.Join(filepath.Dir(name), ".certstamp-"+rand.Text()[:12])
	if err := createIn(root, aside, b, mode); err != nil {
		return unwritable(name, err)
	}
	if err := root.Rename(aside, name); err != nil {
		_ = root.Remove(aside)
		return unwritable(name, err)
	}
	return nil
}

// notWritten is a file that could not be written where it was wanted.
type notWritten struct {
	name string
	err  error
}

func (e notWritten) Error() string { return fmt.Sprintf("%s: %v", e.name, e.err) }
func (e notWritten) Unwrap() error { return e.err }
func (e notWritten) Hint() string {
	return "name another place, or let this user write there; a folder by the file's name, or a file by a folder's, must go first"
}

// unwritable says it by the name that was asked for, not by that of the file aside.
func unwritable(name string, err error) error {
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err // that something is there already is said by whoever minds
	}
	var (
		inner notWritten
		at    *fs.PathError
		moved *os.LinkError
	)
	switch {
	case errors.As(err, &inner):
		err = inner.err
	case errors.As(err, &at):
		err = at.Err
	case errors.As(err, &moved):
		err = moved.Err
	}
	return notWritten{name, err}
}

// createIn writes a file that must not exist yet, and returns when it is on the disk.
func createIn(root *os.Root, name string, b []byte, mode os.FileMode) error {
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return unwritable(name, err)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return unwritable(name, err)
	}
	_, werr := f.Write(b)
	if err := errors.Join(werr, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		_ = root.Remove(name)
		return unwritable(name, err)
	}
	return nil
}

// lockName is the file by which runs keep apart that write into one folder. It goes with its holder, unless that is killed.
const lockName = ".certstamp-lock"

// aloneIn takes a folder's lock for a command that writes into it.
func aloneIn(root *os.Root, shown, command string) (release func(), err error) {
	l, err := flock.Take(root, lockName, fmt.Sprintf("%s, process %d", command, os.Getpid()))
	switch {
	case errors.As(err, new(*flock.HeldError)):
		return nil, environment("locked", fmt.Errorf("%s: %w", shown, err), "wait for the run that is named, then run the same command again")
	case err != nil:
		return nil, configuration(fmt.Errorf("%s: %w", shown, unwritable(lockName, err)), "")
	}
	return func() {
		_ = root.Remove(lockName) // while it is ours
		_ = l.Close()
	}, nil
}

// besideStamp is the folder a command uses for a stamp: the one named on the command line, else one beside stamp.yaml.
// The first is opened wherever it lies, the second only inside the repository.
func (a *app) besideStamp(s *stamp.Stamp, flag, name string) (root *os.Root, shown string, err error) {
	if flag != "" {
		dir := a.path(flag)
		if err := makeFolder(dir, 0o755); err != nil {
			return nil, flag, err
		}
		root, err := os.OpenRoot(dir)
		return root, filepath.ToSlash(flag), err
	}
	repo, err := a.repository()
	if err != nil {
		return nil, "", err
	}
	shown = path.Join(s.Dir, name)
	root, err = repo.Make(shown)
	return root, shown, err
}

// regularAt is regular for a file of ours, and names it.
func regularAt(name string) error {
	info, err := os.Stat(name)
	if err == nil && regular(info, nil) != nil {
		err = &fs.PathError{Op: "open", Path: name, Err: regular(info, nil)}
	}
	return err
}

// readRegular reads a file that the pipeline or the command line named, wherever it lies.
func readRegular(name string, most int64) ([]byte, error) {
	if err := regular(os.Stat(name)); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readStream(f, most)
}
