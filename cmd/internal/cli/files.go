package cli

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/certstamp/certstamp/internal/stamp"
)

// writeFile replaces a file that the command line named: a killed run leaves the old one or the new one.
func writeFile(name string, b []byte, mode os.FileMode) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return unwritable(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return unwritable(err)
	}
	defer root.Close()
	return replaceIn(root, filepath.Base(name), b, mode)
}

// replaceIn does the same inside a directory that nothing leads out of. Name is slash-separated.
func replaceIn(root *os.Root, name string, b []byte, mode os.FileMode) error {
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return unwritable(err)
	}
	aside := filepath.Join(filepath.Dir(name), ".certstamp-"+rand.Text()[:12])
	if err := createIn(root, aside, b, mode); err != nil {
		return err
	}
	if err := root.Rename(aside, name); err != nil {
		_ = root.Remove(aside)
		return unwritable(err)
	}
	return nil
}

// notWritten is a file that could not be written where it was wanted.
type notWritten struct{ error }

func (e notWritten) Unwrap() error { return e.error }
func (e notWritten) Hint() string {
	return "name another place with --out, or let this user write there; a folder by the file's name, or a file by a folder's, must go first"
}

func unwritable(err error) error {
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err // that something is there already is said by whoever minds
	}
	return notWritten{err}
}

// createIn writes a file that must not exist yet, and returns when it is on the disk.
func createIn(root *os.Root, name string, b []byte, mode os.FileMode) error {
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return unwritable(err)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return unwritable(err)
	}
	_, werr := f.Write(b)
	if err := errors.Join(werr, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		_ = root.Remove(name)
		return unwritable(err)
	}
	return nil
}

// besideStamp is the folder a command uses for a stamp: the one named on the command line, else one beside stamp.yaml.
// The first is opened wherever it lies, the second only inside the repository.
func (a *app) besideStamp(s *stamp.Stamp, flag, name string) (root *os.Root, shown string, err error) {
	if flag != "" {
		dir := a.path(flag)
		if err := os.MkdirAll(dir, 0o755); err != nil {
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
