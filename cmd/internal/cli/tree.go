package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"unicode/utf8"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/validate"
)

// Bounds of a certificate tree. A set has at most fourteen folders; ten times that is a mistake worth naming, and
// everything beyond is a way to keep us busy.
const (
	maxEntries = 1000
	maxDepth   = 6
	maxFile    = 2 << 20
)

// tree is the certificates directory of a stamp, read once.
type tree struct {
	files   []validate.File
	listing []string
	paths   map[string]string // validate path → path in the repository
	places  []treePlace       // of the files, in their order
}

// treePlace is where a file lies in the repository, and whether that is beside the level of the identity system: there it may
// have the same path as one below it.
type treePlace struct {
	path   string
	beside bool
}

// noTree says that there is no certificates directory at all.
type noTree struct{ error }

func (e noTree) Unwrap() error { return e.error }

// readTree reads the certificates of a stamp. Sealed files are opened when there is an unsealer.
func (a *app) readTree(s *stamp.Stamp, open unsealer) (*tree, error) {
	repo, err := a.repository()
	if err != nil {
		return nil, err
	}
	root, err := repo.Sub(s.Certificates)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = noTree{err}
		}
		return nil, configuration(fmt.Errorf("stamp %s: certificates: %w", s.Name, err), "run certstamp pack first, or name the folder in stamp.yaml: certificates: PATH")
	}
	defer root.Close()
	level, err := identityLevel(root.FS(), string(s.Identity))
	if err != nil {
		return nil, configuration(fmt.Errorf("stamp %s: certificates: %w", s.Name, err), "")
	}
	t, err := collect(root.FS(), ".", level, s.Certificates, open)
	if err != nil {
		hint := hintOf(err)
		if hint == "" {
			hint = "the tree holds certificates as regular files, and no link leads out of it"
		}
		return nil, configuration(fmt.Errorf("stamp %s: certificates: %w", s.Name, err), hint)
	}
	return t, nil
}

// collect reads what lies at start and below. Level is left out of the paths, dir is where fsys lies in the repository.
func collect(fsys fs.FS, start, level, dir string, open unsealer) (*tree, error) {
	t := &tree{paths: map[string]string{}}
	return t, fs.WalkDir(fsys, start, func(real string, d fs.DirEntry, err error) error {
		if !utf8.ValidString(real) {
			return nameError{real} // nothing below could be opened, and nothing would say why
		}
		if err != nil {
			return err
		}
		p := strings.TrimPrefix(real, level)
		if real == "." || p == "" || real+"/" == level {
			return nil
		}
		if len(t.listing) >= maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		if strings.Count(real, "/") >= maxDepth {
			return fmt.Errorf("%q lies more than %d folders deep", p, maxDepth)
		}
		if d.IsDir() {
			t.listing = append(t.listing, p+"/")
			return nil
		}
		t.listing = append(t.listing, p)
		lower := strings.ToLower(p)
		if !strings.HasSuffix(lower, ".pfx") && !strings.HasSuffix(lower, ".pfx.age") {
			return nil
		}
		f, err := readEntry(fsys, real, open)
		var cause *fs.PathError
		switch {
		case err == nil:
		case hintOf(err) != "": // how the tree was checked out, or the identity, is wrong: that is so for every file
			return fmt.Errorf("%q: %w", real, err)
		case errors.As(err, &cause):
			f = validate.File{Err: cause.Err} // the name is beside it already
		default:
			f = validate.File{Err: err} // what is wrong with one file hides nothing of the others
		}
		f.Path = p
		t.files = append(t.files, f)
		t.paths[p] = path.Join(dir, real)
		t.places = append(t.places, treePlace{path.Join(dir, real), !strings.HasPrefix(real, level)})
		return nil
	})
}

// identityLevel is the prefix of the folder that is named after the identity system, as the share has it and pack writes
// it. A tree without that level is fine too: then ADFS holds a file, the certificate of the endpoint with that name.
// Whatever lies beside the level stays in the listing and is judged as what it is, a stray.
func identityLevel(fsys fs.FS, identity string) (string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.EqualFold(e.Name(), identity) {
			continue
		}
		below, err := fs.ReadDir(fsys, e.Name())
		if err != nil {
			return "", err
		}
		for _, b := range below {
			if b.IsDir() {
				return e.Name() + "/", nil
			}
		}
	}
	return "", nil
}

func readEntry(fsys fs.FS, p string, open unsealer) (validate.File, error) {
	blob, err := readBounded(fsys, p, maxFile)
	if err != nil {
		return validate.File{}, err
	}
	if bytes.HasPrefix(blob, []byte("version https://git-lfs.github.com/spec/")) {
		return validate.File{}, pointerError{}
	}
	f := validate.File{Path: p, Blob: blob, PFX: blob}
	if isSealed(p) {
		ids, err := open.identities()
		if err != nil {
			return f, err
		}
		f.PFX = nil
		if len(ids) > 0 {
			if f.PFX, err = unseal(blob, ids); err != nil {
				return f, err
			}
		}
	}
	stem := p[:len(p)-len(path.Ext(strings.TrimSuffix(strings.ToLower(p), ".age")))]
	if isSealed(p) {
		stem = stem[:len(stem)-len(".age")]
	}
	twin, err := readBounded(fsys, stem+".crt", maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f.Twin = twin
	return f, nil
}

func readBounded(fsys fs.FS, p string, most int64) ([]byte, error) {
	if err := regular(fs.Stat(fsys, p)); err != nil {
		return nil, err
	}
	f, err := fsys.Open(p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readStream(f, most)
}

// regular is asked before a file is opened: to open a pipe waits for a writer, and no signal ends that.
func regular(info fs.FileInfo, err error) error {
	if err == nil && !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	return err
}

func readStream(f fs.File, most int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%w than %d bytes", errTooLarge, most)
	}
	return b, err
}

var errTooLarge = errors.New("larger")

// unsealer yields the identities that open a stamp's sealed files. It is asked at the first of them: a tree without any needs no
// identity. Nil: nobody has one, and sealed files stay closed.
type unsealer func() ([]age.Identity, error)

func (a *app) unsealer(s *stamp.Stamp) unsealer {
	if s.AgeIdentity.IsZero() {
		return nil
	}
	return sync.OnceValues(func() ([]age.Identity, error) {
		v, err := a.secret(s.AgeIdentity, "age-identity")
		if err != nil {
			var f *failure
			if errors.As(err, &f) {
				return nil, noIdentity{f}
			}
			return nil, err
		}
		ids, err := ageIdentities(v)
		if err != nil {
			return nil, noIdentity{configuration(fmt.Errorf("age-identity: %w", err), "the reference must lead to an age identity, AGE-SECRET-KEY-…")}
		}
		return ids, nil
	})
}

func (u unsealer) identities() ([]age.Identity, error) {
	if u == nil {
		return nil, nil
	}
	return u()
}

func (u unsealer) unseal(b []byte) ([]byte, error) {
	ids, err := u.identities()
	if err != nil {
		return nil, err
	}
	return unseal(b, ids)
}

// noIdentity says why sealed files cannot be opened. It is so for every file, and its hint survives what is said around it.
type noIdentity struct{ *failure }

func (e noIdentity) Hint() string { return e.hint }

func isSealed(p string) bool { return strings.HasSuffix(strings.ToLower(p), ".age") }

// ageIdentities parses an age identity file. No secret, no identities.
func ageIdentities(v secret.Value) ([]age.Identity, error) {
	if v.IsZero() {
		return nil, nil
	}
	ids, err := age.ParseIdentities(strings.NewReader(v.Reveal()))
	if err != nil {
		// The library's error may repeat what it could not read.
		return nil, errors.New("not an age identity")
	}
	return ids, nil
}

// nameError says that a name is no text.
type nameError struct{ name string }

func (e nameError) Error() string { return fmt.Sprintf("%q: the name is not UTF-8", e.name) }
func (nameError) Hint() string    { return "rename it" }

// pointerError says that Git LFS keeps the file, and the checkout only its name.
type pointerError struct{}

func (pointerError) Error() string { return "a pointer of Git LFS, not the file" }

// Hint says what to do.
func (pointerError) Hint() string {
	return "check out with LFS (actions/checkout: lfs: true), or commit the file itself: it is small"
}

// sealedError says why an age file stays closed.
type sealedError struct{ err error }

func (e *sealedError) Error() string { return "open the age file: " + e.err.Error() }
func (e *sealedError) Unwrap() error { return e.err }

// Hint says what to do.
func (e *sealedError) Hint() string {
	var other *age.NoIdentityMatchError
	if errors.As(e.err, &other) {
		return "it is sealed for others: seal it for the recipient of the stamp's age-identity, as age-keygen -y prints it"
	}
	return "the file is damaged or no age file: seal it again with age -R recipients.txt"
}

// unseal opens an age file in memory, armoured or not.
func unseal(b []byte, identities []age.Identity) ([]byte, error) {
	var src io.Reader = bytes.NewReader(b)
	if bytes.HasPrefix(b, []byte(armor.Header)) {
		src = armor.NewReader(src)
	}
	r, err := age.Decrypt(src, identities...)
	if err != nil {
		return nil, &sealedError{err}
	}
	most := int64(pfx.DefaultLimits().Size)
	out, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(out)) > most {
		err = fmt.Errorf("it holds more than %d bytes", most)
	}
	if err != nil {
		return nil, &sealedError{err}
	}
	return out, nil
}
