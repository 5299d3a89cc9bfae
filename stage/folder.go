package stage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"sync"

	"github.com/certstamp/certstamp/internal/flock"
)

// folder is a Share in a local or mounted directory.
type folder struct {
	root *os.Root
	dir  string

	mu    sync.Mutex
	locks map[*os.File]bool // held: they end with the share
}

// OpenFolder opens a directory as a share. Nothing leads out of it, symbolic links included.
func OpenFolder(dir string) (Share, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		todo := ""
		if errors.Is(err, fs.ErrNotExist) {
			todo = "mount the share at share.folder, or correct the path in stamp.yaml"
		}
		return nil, &Error{Class: ClassConfig, Step: "open the share's folder", Err: err, Todo: todo}
	}
	return &folder{root: root, dir: dir, locks: map[*os.File]bool{}}, nil
}

func (f *folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.locks {
		l.Close()
	}
	clear(f.locks)
	return f.root.Close()
}

// unlock closes the lock's handle, which releases it, and so does dying.
func (f *folder) unlock(l *os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.locks[l] {
		return nil
	}
	delete(f.locks, l)
	return l.Close()
}

// real finds the spelling under which a name exists, because SMB compares without case. A name that does not exist comes
// back as it is.
func (f *folder) real(name string) (string, error) {
	if name == "." {
		return name, nil
	}
	if err := checkPath(name); err != nil {
		return "", err
	}
	if _, err := f.root.Lstat(filepath.FromSlash(name)); err == nil {
		return name, nil
	}
	dir, err := f.real(path.Dir(name))
	if err != nil {
		return "", err
	}
	entries, err := fs.ReadDir(f.root.FS(), dir)
	if err != nil {
		return path.Join(dir, path.Base(name)), nil //nolint:nilerr // the caller's own operation says what is wrong
	}
	for _, e := range entries {
		if same(e.Name(), path.Base(name)) {
			return path.Join(dir, e.Name()), nil
		}
	}
	return path.Join(dir, path.Base(name)), nil
}

func (f *folder) at(name string) (string, error) {
	r, err := f.real(name)
	return filepath.FromSlash(r), err
}

func (f *folder) exists(name string) error {
	p, err := f.at(name)
	if err != nil {
		return err
	}
	if _, err := f.root.Lstat(p); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *folder) Mkdir(name string) error {
	if err := f.exists(name); err != nil {
		return err
	}
	p, err := f.at(name)
	if err != nil {
		return err
	}
	if err := f.root.Mkdir(p, 0o755); err != nil {
		return mapped(err)
	}
	return f.sync(path.Dir(name))
}

func (f *folder) Create(name string, data []byte) error {
	if err := f.exists(name); err != nil {
		return err
	}
	p, err := f.at(name)
	if err != nil {
		return err
	}
	w, err := f.root.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return mapped(err)
	}
	_, err = w.Write(data)
	if err := errors.Join(err, w.Sync(), w.Close()); err != nil {
		return mapped(err)
	}
	return f.sync(path.Dir(name))
}

func (f *folder) Append(name string, data []byte) error {
	p, err := f.at(name)
	if err != nil {
		return err
	}
	w, err := f.root.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return mapped(err)
	}
	_, err = w.Write(data)
	return mapped(errors.Join(err, w.Sync(), w.Close()))
}

func (f *folder) Rename(from, to string) error {
	src, err := f.at(from)
	if err != nil {
		return err
	}
	if !same(from, to) {
		// POSIX would replace a file or an empty folder; SMB refuses, and so do we.
		if err := f.exists(to); err != nil {
			return err
		}
	}
	dst, err := f.at(to)
	if err != nil {
		return err
	}
	if err := f.root.Rename(src, dst); err != nil {
		return mapped(err)
	}
	return errors.Join(f.sync(path.Dir(from)), f.sync(path.Dir(to)))
}

func (f *folder) Remove(name string) error {
	p, err := f.at(name)
	if err != nil {
		return err
	}
	if err := f.remove(p); err != nil {
		return mapped(err)
	}
	return f.sync(path.Dir(name))
}

func (f *folder) ReadDir(name string) ([]fs.DirEntry, error) {
	r, err := f.real(name)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(f.root.FS(), r)
	if err != nil {
		return nil, mapped(err)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	return entries, nil
}

func (f *folder) ReadFile(name string, most int64) ([]byte, error) {
	p, err := f.at(name)
	if err != nil {
		return nil, err
	}
	info, err := f.root.Stat(p)
	if err != nil {
		return nil, mapped(err)
	}
	if !info.Mode().IsRegular() { // to open a pipe would wait for a writer
		return nil, fmt.Errorf("%s is not a file", quote(name))
	}
	r, err := f.root.Open(p)
	if err != nil {
		return nil, mapped(err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", quote(name), most)
	}
	return b, mapped(err)
}

func (f *folder) Stat(name string) (fs.FileInfo, error) {
	p, err := f.at(name)
	if err != nil {
		return nil, err
	}
	info, err := f.root.Lstat(p)
	return info, mapped(err)
}

// sync makes a change of names last. A folder that cannot be flushed (Windows, some mounts) is left to its file system.
func (f *folder) sync(dir string) error {
	p, err := f.at(dir)
	if err != nil {
		return err
	}
	d, err := f.root.Open(p)
	if err != nil {
		return nil
	}
	defer d.Close()
	_ = d.Sync()
	return nil
}

func (f *folder) Lock(name, owner string) (func() error, error) {
	p, err := f.at(name)
	if err != nil {
		return nil, err
	}
	l, err := flock.Take(f.root, p, owner)
	var held *flock.HeldError
	switch {
	case errors.As(err, &held):
		return nil, &LockedError{Owner: held.Owner}
	case err != nil:
		return nil, mapped(err)
	}
	f.mu.Lock()
	f.locks[l] = true
	f.mu.Unlock()
	return func() error { return f.unlock(l) }, nil
}

// mapped gives an error of the file system the sentinel that the transaction understands.
func mapped(err error) error {
	switch {
	case err == nil:
		return nil
	case isSpace(err):
		return fmt.Errorf("%w: %w", ErrSpace, err)
	case isBusy(err):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case isTransport(err):
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	return err
}
