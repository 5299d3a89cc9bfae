package stamp

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Repository is a checkout, opened so that no path and no symbolic link leads out of it. Absolute paths work only below
// the allowed ones. It is an Opener.
type Repository struct {
	root  *os.Root
	dir   string // absolute
	allow []string
}

// OpenRepository opens the checkout at dir. Allow holds absolute paths outside it that may be opened as well, themselves
// or anything below. Close it after use.
func OpenRepository(dir string, allow []string) (*Repository, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", dir, err)
	}
	for _, a := range allow {
		if !filepath.IsAbs(a) {
			return nil, fmt.Errorf("allowed path %q: an absolute path is wanted", a)
		}
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	return &Repository{root: root, dir: abs, allow: slices.Clone(allow)}, nil
}

// Close releases the directory.
func (r *Repository) Close() error { return r.root.Close() }

// Dir is the checkout's absolute path.
func (r *Repository) Dir() string { return r.dir }

// OutsideError is returned for a path that leads out of the repository.
type OutsideError struct{ Path string }

func (e *OutsideError) Error() string {
	return fmt.Sprintf("%s is outside the repository", quoted(e.Path))
}

// Hint says what to do.
func (e *OutsideError) Hint() string {
	return "allow it with --allow-path PATH, given by the pipeline and not by the repository"
}

// Rel turns a path as a person types it, absolute or relative to the repository, into the slash-separated form every
// method here takes.
func (r *Repository) Rel(name string) (string, error) {
	if !filepath.IsAbs(name) {
		clean := filepath.ToSlash(filepath.Clean(name))
		if !filepath.IsLocal(filepath.FromSlash(clean)) {
			return "", &OutsideError{Path: name}
		}
		return clean, nil
	}
	rel, err := filepath.Rel(r.dir, filepath.Clean(name))
	if err != nil || !filepath.IsLocal(rel) {
		return "", &OutsideError{Path: name}
	}
	return filepath.ToSlash(rel), nil
}

// Check reports whether name may be opened: inside the repository, or allowed. It reads nothing.
func (r *Repository) Check(name string) error {
	if _, err := r.Rel(name); err == nil {
		return nil
	}
	if _, _, ok := r.allowed(name); ok {
		return nil
	}
	return &OutsideError{Path: name}
}

// allowed finds the allowed directory name lies in, and the rest of the path.
func (r *Repository) allowed(name string) (base, rest string, ok bool) {
	if !filepath.IsAbs(name) {
		return "", "", false
	}
	name = filepath.Clean(name)
	for _, a := range r.allow {
		a = filepath.Clean(a)
		rel, err := filepath.Rel(a, name)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		if rel == "." {
			return filepath.Dir(a), filepath.Base(a), true
		}
		return a, rel, true
	}
	return "", "", false
}

// in calls do with the directory that name lies in, which nothing leads out of, and the rest of the path. What do opens
// outlives that directory.
func (r *Repository) in(name string, do func(root *os.Root, rest string) error) error {
	if rel, err := r.Rel(name); err == nil {
		return do(r.root, filepath.FromSlash(rel))
	}
	base, rest, ok := r.allowed(name)
	if !ok {
		return &OutsideError{Path: name}
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return err
	}
	defer root.Close()
	return do(root, rest)
}

// Open opens a file for reading.
func (r *Repository) Open(name string) (f fs.File, err error) {
	err = r.in(name, func(root *os.Root, rest string) error {
		f, err = outside(root.Open(rest))
		return err
	})
	return f, err
}

// Stat looks at a file without opening it, which for a pipe would wait for a writer.
func (r *Repository) Stat(name string) (info fs.FileInfo, err error) {
	err = r.in(name, func(root *os.Root, rest string) error {
		info, err = root.Stat(rest)
		return err
	})
	return info, err
}

// outside keeps a nil *os.File from becoming a non-nil fs.File.
func outside(f *os.File, err error) (fs.File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ReadFile reads a regular file of at most most bytes.
func (r *Repository) ReadFile(name string, most int64) ([]byte, error) {
	return readFile(r, name, most)
}

// Sub is a directory of the repository as a file system that nothing leads out of. Close the returned root after use.
func (r *Repository) Sub(name string) (sub *os.Root, err error) {
	err = r.in(name, func(root *os.Root, rest string) error {
		sub, err = root.OpenRoot(rest)
		return err
	})
	return sub, err
}

// Make is Sub for a directory that may not exist yet: it is made, with the folders above it.
func (r *Repository) Make(name string) (sub *os.Root, err error) {
	err = r.in(name, func(root *os.Root, rest string) error {
		if err := root.MkdirAll(rest, 0o755); err != nil {
			return err
		}
		sub, err = root.OpenRoot(rest)
		return err
	})
	return sub, err
}

// absolute knows the absolute paths of every system, because a stamp file is read on Linux and applied on Windows.
func absolute(p string) bool {
	drive := len(p) >= 2 && p[1] == ':' && (p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z')
	return drive || strings.HasPrefix(p, "/") || strings.HasPrefix(p, `\`)
}

// allows reports whether an absolute path lies below an allowed one.
func (o Options) allows(p string) bool {
	r := Repository{allow: o.AllowPaths}
	_, _, ok := r.allowed(p)
	return ok
}
