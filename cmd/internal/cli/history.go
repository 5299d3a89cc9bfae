package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what git is asked for. A repository of stamps has a few hundred files.
const (
	maxGitOutput = 32 << 20
	maxGitTime   = time.Minute
)

// history reads commits of the checkout through git. The work tree plays no part: what a step before us left there is not
// what was reviewed. All paths are relative to the repository of stamps, which may be a folder of a larger one.
type history struct {
	dir    string
	getenv func(string) string
}

var objectName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`) })

// run asks git for bytes. The arguments are fixed words and object names; nothing of the repository becomes an option, the
// child sees none of our secrets, fetches nothing, and is killed when it has more to say than we are ready to hear.
func (h history) run(ctx context.Context, most int64, args ...string) ([]byte, error) {
	ctx, stop := context.WithTimeout(ctx, maxGitTime)
	defer stop()
	cmd := exec.CommandContext(ctx, "git", append([]string{"--no-pager", "--no-replace-objects", "--literal-pathspecs", "-C", h.dir}, args...)...)
	cmd.Env = []string{
		"PATH=" + h.getenv("PATH"), "HOME=" + h.getenv("HOME"), "SystemRoot=" + h.getenv("SystemRoot"),
		"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0",
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said := &firstBytes{most: 400}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		return nil, noHistory{fmt.Errorf("git: %w", err), "install git: the history of the stamps is read through it"}
	}
	b, rerr := io.ReadAll(io.LimitReader(out, most+1))
	if int64(len(b)) > most {
		stop()
		_ = cmd.Wait() // it was killed
		return nil, fmt.Errorf("git %s: more than %d bytes", args[0], most)
	}
	switch err := cmd.Wait(); {
	case err == nil:
	case bytes.Contains(said.b, []byte("not a git repository")): // in the words that LC_ALL=C asks for
		return nil, noHistory{fmt.Errorf("%q lies in no Git work tree", h.dir), "run it in a clone of the repository of stamps; in a pipeline, check out first"}
	case bytes.Contains(said.b, []byte("dubious ownership")):
		return nil, noHistory{fmt.Errorf("git does not read %q, which belongs to another user", h.dir), "if you trust it: git config --global --add safe.directory " + filepath.ToSlash(h.dir)}
	default:
		return nil, fmt.Errorf("git %s: %w: %q", args[0], err, bytes.TrimSpace(said.b))
	}
	return b, rerr
}

// firstBytes keeps the beginning of what a child says and lets it talk on.
type firstBytes struct {
	b    []byte
	most int
}

func (f *firstBytes) Write(p []byte) (int, error) {
	f.b = append(f.b, p[:min(len(p), f.most-len(f.b))]...)
	return len(p), nil
}

// commit resolves what somebody typed or an event says.
func (h history) commit(ctx context.Context, name string) (string, error) {
	b, err := h.run(ctx, 1<<10, "rev-parse", "--verify", "--end-of-options", name+"^{commit}")
	if err != nil {
		return "", err
	}
	id := string(bytes.TrimSpace(b))
	if !objectName().MatchString(id) {
		return "", fmt.Errorf("git rev-parse answers %q for %q", id, name)
	}
	return id, nil
}

// fork is the commit from which two lines of work went apart.
func (h history) fork(ctx context.Context, base, head string) (string, error) {
	b, err := h.run(ctx, 1<<10, "merge-base", base, head)
	if err != nil {
		return "", err
	}
	id := string(bytes.TrimSpace(b))
	if !objectName().MatchString(id) {
		return "", fmt.Errorf("git merge-base answers %q", id)
	}
	return id, nil
}

// noHistory means that no commit at all can be read here: another one is no way out.
type noHistory struct {
	error
	hint string
}

func (e noHistory) Unwrap() error { return e.error }
func (e noHistory) Hint() string  { return e.hint }

// wholeHistory is what to do when a commit is not here.
func wholeHistory(err error) string { return cmp.Or(hintOf(err), fetchAll) }

const fetchAll = "check out with the whole history: fetch-depth: 0"

// from is the commit that a span begins with.
func (h history) from(ctx context.Context, s span) (string, error) {
	base, err := h.commit(ctx, s.base)
	if err == nil && s.fork {
		return h.fork(ctx, base, s.head)
	}
	return base, err
}

// change is a path that differs between two commits. A rename is two of them: both places changed.
type change struct {
	status byte // A, D, M or T
	path   string
}

// changes lists what differs between two commits. A name may hold anything but NUL, so that is what separates them.
func (h history) changes(ctx context.Context, from, to string) ([]change, error) {
	b, err := h.run(ctx, maxGitOutput, "diff", "-z", "--name-status", "--no-renames", "--no-ext-diff", "--no-textconv", "--relative", from, to, "--")
	if err != nil {
		return nil, err
	}
	return parseChanges(b)
}

// parseChanges reads STATUS NUL PATH NUL, again and again.
func parseChanges(b []byte) ([]change, error) {
	var out []change
	for len(b) > 0 {
		status, rest, ok := bytes.Cut(b, []byte{0})
		name, rest, also := bytes.Cut(rest, []byte{0})
		if !ok || !also || len(status) != 1 || !strings.ContainsRune("ADMT", rune(status[0])) || len(name) == 0 {
			return nil, fmt.Errorf("git diff answers %.80q, which is no list of changes", b)
		}
		out = append(out, change{status[0], string(name)})
		b = rest
	}
	return out, nil
}

// blob is a file of a commit.
type blob struct {
	mode string
	id   string
	size int64
}

// snapshot is the files of one commit. It is a file system as far as package stamp needs one: files, and the folders
// that their paths imply.
type snapshot struct {
	ctx   context.Context //nolint:containedctx // fs.FS has no other way
	h     history
	blobs map[string]blob
	// outside opens what lies in no commit: an absolute path that --allow-path allows, such as a CA on the runner.
	outside fs.FS
}

// snapshot lists the files of a commit.
func (h history) snapshot(ctx context.Context, commit string) (*snapshot, error) {
	b, err := h.run(ctx, maxGitOutput, "ls-tree", "-r", "-z", "-l", commit)
	if err != nil {
		return nil, err
	}
	s := &snapshot{ctx: ctx, h: h, blobs: map[string]blob{}}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(b), "\x00"), "\x00") {
		if entry == "" {
			continue
		}
		facts, name, ok := strings.Cut(entry, "\t")
		f := strings.Fields(facts)
		if !ok || len(f) != 4 || !objectName().MatchString(f[2]) {
			return nil, fmt.Errorf("git ls-tree answers %.80q, which is no entry", entry)
		}
		size, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			size = -1 // a submodule has none
		}
		s.blobs[name] = blob{mode: f[0], id: f[2], size: size}
	}
	return s, nil
}

// Open implements fs.FS. A symbolic link is not followed: what it leads to is not in the commit's listing under this name.
func (s *snapshot) Open(name string) (fs.File, error) {
	bad := func(err error) error { return &fs.PathError{Op: "open", Path: name, Err: err} }
	if !fs.ValidPath(name) {
		if s.outside != nil && filepath.IsAbs(name) {
			return s.outside.Open(name)
		}
		return nil, bad(fs.ErrInvalid)
	}
	b, ok := s.blobs[name]
	if !ok {
		prefix := name + "/"
		for p := range s.blobs {
			if name == "." || strings.HasPrefix(p, prefix) {
				return &committed{info: info{name: path.Base(name), mode: fs.ModeDir | 0o755}}, nil
			}
		}
		return nil, bad(fs.ErrNotExist)
	}
	i := info{name: path.Base(name), size: b.size, mode: 0o644}
	switch b.mode {
	case "100644", "100755", "100664":
	case "120000":
		i.mode |= fs.ModeSymlink
	default:
		i.mode |= fs.ModeIrregular
	}
	return &committed{s: s, blob: b, info: i}, nil
}

// committed is an open file of a commit, fetched when it is read first.
type committed struct {
	s    *snapshot
	blob blob
	info info
	r    io.Reader
}

func (c *committed) Stat() (fs.FileInfo, error) { return c.info, nil }
func (c *committed) Close() error               { return nil }

func (c *committed) Read(p []byte) (int, error) {
	if !c.info.mode.IsRegular() {
		return 0, errors.New("not a regular file")
	}
	if c.r == nil {
		if c.blob.size > maxFile {
			return 0, fmt.Errorf("larger than %d bytes", maxFile)
		}
		b, err := c.s.h.run(c.s.ctx, maxFile, "cat-file", "blob", c.blob.id)
		if err != nil {
			return 0, err
		}
		c.r = bytes.NewReader(b)
	}
	return c.r.Read(p)
}

type info struct {
	name string
	size int64
	mode fs.FileMode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

// stampFiles lists stamps/*/stamp.yaml of the commit, sorted. The name of a folder is not yet one that may be used for anything.
func (s *snapshot) stampFiles() []string {
	var out []string
	for p := range s.blobs {
		if ok, err := path.Match("stamps/*/stamp.yaml", p); ok && err == nil {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}
