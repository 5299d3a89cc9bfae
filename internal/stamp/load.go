package stamp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Opener opens files by slash-separated path, relative to the repository's root: a *Repository, or any fs.FS in a test.
type Opener = fs.FS

// Options say what a file may refer to.
type Options struct {
	// AllowPaths are absolute paths outside the repository that a file may name, itself or anything below.
	AllowPaths []string
	// OptionalEndpoints are the names the policy knows; nil accepts any well-formed name.
	OptionalEndpoints []string
	// Passed hears of each folder of stamps/ that holds nothing like a stamp file; nil: nobody does.
	Passed func(folder string)
}

// Load reads one stamp: path is the file, or the directory that holds stamp.yaml. The error is Errors when the file can
// be read, and then holds every mistake.
func Load(fsys Opener, name string, o Options) (*Stamp, error) {
	if r, ok := fsys.(*Repository); ok {
		if rel, err := r.Rel(name); err == nil {
			name = rel
		}
	}
	name = path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if info, err := fs.Stat(fsys, name); err == nil && info.IsDir() {
		name = path.Join(name, FileName)
	}
	b, err := readFile(fsys, name, MaxSize)
	var cause *fs.PathError
	switch {
	case errors.As(err, &cause): // its operation is a system call's name
		return nil, fmt.Errorf("stamp file %q: %w", name, cause.Err)
	case err != nil:
		return nil, fmt.Errorf("stamp file %q: %w", name, err)
	}
	s, problems := parse(name, b, o)
	if len(problems) == 0 {
		problems = s.readFiles(fsys, name)
	}
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return s, nil
}

// parse is Load without a disk.
func parse(name string, b []byte, o Options) (*Stamp, Errors) {
	root, problems := parseTree(name, b)
	if len(problems) > 0 {
		return nil, problems
	}
	s := &Stamp{File: name, Dir: path.Dir(name)}
	sum := sha256.Sum256(normalise(b))
	s.Digest = hex.EncodeToString(sum[:])
	r := reader{file: name, at: map[string]*yaml.Node{}}
	r.mapping(root, "", fields(s, o))
	s.fillIn(r.given)
	s.crossCheck(&r)
	return s, r.problems
}

// readFiles reads what the target depends on besides the stamp file: a CA that a pull request may replace decides who
// can pose as the endpoint, just as a host does.
func (s *Stamp) readFiles(fsys Opener, name string) Errors {
	if s.PEP.CA == "" {
		return nil
	}
	b, err := readFile(fsys, s.PEP.CA, MaxSize)
	if err == nil {
		s.caSHA256, err = certificatesDigest(b)
	}
	if err != nil {
		return Errors{{File: name, Message: fmt.Sprintf("pep.ca: %s", err)}}
	}
	return nil
}

// ErrTooLarge is wrapped when a file exceeds its limit.
var ErrTooLarge = errors.New("file is too large")

// readFile reads a regular file of at most most bytes.
func readFile(fsys fs.FS, name string, most int64) ([]byte, error) {
	// Before it is opened: to open a pipe waits for a writer, and no signal ends that.
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing is lost
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)}
	}
	return b, nil
}

// Discover lists the stamp files of a repository, stamps/*/stamp.yaml, sorted, and the folders beside them that hold none.
// The error is Errors for a folder whose stamp would be left out by mistake; the lists are complete then.
func Discover(fsys Opener) (found, without []string, err error) {
	entries, err := fs.ReadDir(fsys, "stamps")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look for stamps: %w", err)
	}
	var problems Errors
	for _, e := range entries {
		folder := path.Join("stamps", e.Name())
		link := e.Type()&fs.ModeSymlink != 0
		if !e.IsDir() && !link {
			continue
		}
		// What cannot be looked at, such as a link that leads out, is found too: loading it says why. Silence would be a pass.
		if _, err := fs.Stat(fsys, path.Join(folder, FileName)); !errors.Is(err, fs.ErrNotExist) {
			if info, err := fs.Stat(fsys, folder); err != nil || info.IsDir() {
				found = append(found, path.Join(folder, FileName))
			}
			continue
		}
		inside, err := fs.ReadDir(fsys, folder)
		near := slices.IndexFunc(inside, func(f fs.DirEntry) bool {
			return strings.EqualFold(f.Name(), FileName) || strings.EqualFold(f.Name(), "stamp.yml")
		})
		switch {
		case link && errors.Is(err, fs.ErrNotExist):
			problems = append(problems, Problem{File: folder, Message: "the link leads nowhere: mend or remove it"})
		case err != nil:
			found = append(found, path.Join(folder, FileName))
		case near >= 0:
			problems = append(problems, Problem{File: path.Join(folder, inside[near].Name()), Message: "nothing reads this name: rename the file to " + FileName})
		default:
			without = append(without, folder)
		}
	}
	if len(problems) > 0 {
		return found, without, problems
	}
	return found, without, nil
}

// ErrNone is returned when there is no stamp to load.
var ErrNone = &NoStampError{}

// NoStampError says that a repository has no stamp file.
type NoStampError struct{}

func (*NoStampError) Error() string { return "no stamp file: stamps/*/stamp.yaml matches nothing" }

// Hint says what to do.
func (*NoStampError) Hint() string {
	return "run it in the repository that holds stamps/NAME/stamp.yaml, or name a file with --stamp FILE"
}

// LoadAll reads the named stamps, or every stamp of the repository when none is named, in the order given. The error
// holds the mistakes of all files.
func LoadAll(fsys Opener, names []string, o Options) ([]*Stamp, error) {
	var (
		stamps   []*Stamp
		problems Errors
		others   []error
	)
	if len(names) == 0 {
		found, without, err := Discover(fsys)
		if err != nil && !errors.As(err, &problems) {
			return nil, err
		}
		for _, folder := range without {
			if o.Passed != nil {
				o.Passed(folder)
			}
		}
		if len(found) == 0 && len(problems) == 0 {
			return nil, ErrNone
		}
		names = found
	}
	for _, name := range names {
		s, err := Load(fsys, name, o)
		var p Errors
		switch {
		case errors.As(err, &p):
			problems = append(problems, p...)
			continue
		case err != nil:
			others = append(others, err)
			continue
		}
		if i := slices.IndexFunc(stamps, func(t *Stamp) bool { return t.File == s.File }); i >= 0 {
			continue // named twice
		}
		if i := slices.IndexFunc(stamps, func(t *Stamp) bool { return t.Name == s.Name }); i >= 0 {
			problems = append(problems, Problem{File: s.File, Message: fmt.Sprintf("name %s is already taken by %s", quoted(s.Name), stamps[i].File)})
			continue
		}
		stamps = append(stamps, s)
	}
	switch {
	case len(others) > 0 && len(problems) > 0:
		return nil, errors.Join(append(others, problems)...)
	case len(others) > 0:
		return nil, errors.Join(others...)
	case len(problems) > 0:
		return nil, problems
	}
	return stamps, nil
}
