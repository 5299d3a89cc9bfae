package stamp

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func named(name, text string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.Replace(text, "name: east", "name: "+name, 1))}
}

func TestLoadAll(t *testing.T) {
	repo := fstest.MapFS{
		"stamps/west/stamp.yaml": named("west", minimal),
		"stamps/east/stamp.yaml": named("east", minimal),
		"stamps/README.md":       {Data: []byte("x")},
		"stamps/empty/notes":     {Data: []byte("x")},
		"other/stamp.yaml":       named("west", minimal),
		"other/broken.yaml":      {Data: []byte("name: East\nregion: east\nfqdn: a\nidentity: AAD\nversion: 2301\n")},
	}
	for _, row := range []struct {
		claim string
		names []string
		want  string // names of stamps, or words of the error
		fails bool
	}{
		{"every stamp, sorted", nil, "east west", false},
		{"by directory, in the order given", []string{"stamps/west", "stamps/east/stamp.yaml"}, "west east", false},
		{"with backslashes and a slash at the end", []string{`stamps\west\`}, "west", false},
		{"named twice", []string{"stamps/west", "./stamps/west/stamp.yaml"}, "west", false},
		{"two of one name", []string{"stamps/west", "other"}, `other/stamp.yaml: name "west" is already taken by stamps/west/stamp.yaml`, true},
		{"mistakes of all", []string{"other/broken.yaml", "other/broken.yaml"}, `other/broken.yaml:1:7: name: "East"`, true},
		{"not there", []string{"stamps/north"}, "stamps/north", true},
		{"a mistake and one not there", []string{"other/broken.yaml", "stamps/north"}, "stamps/north", true},
	} {
		t.Run(row.claim, func(t *testing.T) {
			stamps, err := LoadAll(repo, row.names, Options{})
			if row.fails {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v, want an error with %q", err, row.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range stamps {
				got = append(got, s.Name)
			}
			if diff := cmp.Diff(row.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := LoadAll(fstest.MapFS{}, nil, Options{}); !errors.Is(err, ErrNone) || ErrNone.Hint() == "" {
		t.Errorf("no stamps: %v", err)
	}
}

func TestWholeFile(t *testing.T) {
	for _, row := range []struct{ claim, text, want string }{
		{"empty", "", "the file is empty"},
		{"only a comment", "# x\n", "the file is empty"},
		{"two documents", minimal + "---\n" + minimal, "one document"},
		{"a list", "- a\n", "stamp.yaml:1:1: the file must hold keys with values, found a list"},
		{"one byte too many", minimal + "#" + strings.Repeat("x", MaxSize-len(minimal)), "more than 1048576 bytes"},
		{"UTF-16", "\xff\xfen\x00a\x00", "not UTF-8"},
		{"a control character", minimal + "policy: \x01\n", "not valid YAML"},
		{"broken YAML has a position", minimal + "pep: {hosts: [\n", "stamp.yaml:7:1: not valid YAML"},
		{"deep brackets", strings.Repeat("[", 100000), "nests too deeply"},
		{"deep lists", strings.Repeat("- ", 400000), "not valid YAML"},
		{"deep question marks", strings.Repeat("? ", 400000), "not valid YAML"},
		{"deep indents", deepIndents(), "more than 8 levels"},
		{"deep keys", minimal + "pep: {a: {b: {c: {d: {e: {f: {g: {h: 1}}}}}}}}\n", "more than 8 levels"},
		{"many values", minimal + "windows: [" + strings.Repeat("a, ", maxNodes) + "a]\n", "more than 4096 values"},
		{"an unknown alias", minimal + "policy: *gone\n", "aliases are not used"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			_, err := load(t, row.text)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want %q", err, row.want)
			}
		})
	}
	if _, err := load(t, minimal+"#"+strings.Repeat("x", MaxSize-len(minimal)-1)); err != nil {
		t.Errorf("a file of exactly the largest size: %v", err)
	}
	_, err := load(t, minimal+strings.Repeat("? [a]\n: b\n", 300))
	var problems Errors
	if !errors.As(err, &problems) || len(problems) != maxProblems+1 || !strings.HasSuffix(err.Error(), "and 200 more") {
		t.Errorf("300 mistakes give %d lines", len(problems))
	}
}

func deepIndents() string {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestDigestIsTheSameOnWindows(t *testing.T) {
	unix, windows := mustLoad(t, sample), mustLoad(t, strings.ReplaceAll(sample, "\n", "\r\n"))
	if unix.Digest != windows.Digest || len(unix.Digest) != 64 {
		t.Errorf("digests %s and %s", unix.Digest, windows.Digest)
	}
	if mustLoad(t, sample+"# x\n").Digest == unix.Digest {
		t.Error("the digest covers less than the file")
	}
}

func TestDefaults(t *testing.T) {
	for _, row := range []struct{ claim, version, want string }{
		{"before 1910 someone else changes the controllers", "1908", "external"},
		{"from 1910 the privileged endpoint does", "1910", "pep"},
	} {
		s := mustLoad(t, strings.Replace(minimal, "2301", row.version, 1)+"bmc: {new-password: env:BMC_P}\n")
		if s.BMC.Update != row.want {
			t.Errorf("%s: got %q", row.claim, s.BMC.Update)
		}
	}
	s := mustLoad(t, minimal)
	if s.PreviouslyRotated != nil || s.Port != 443 || s.InstalledCA.Mode != ModeEndpoints || !s.Share.IsZero() || !s.PEP.IsZero() || !s.BMC.IsZero() || len(s.Windows) != 0 {
		t.Errorf("got %+v", s)
	}
	_, err := load(t, strings.Replace(minimal, "2301", "1908", 1)+"bmc: {update: pep, new-password: env:BMC_P}\n")
	if err == nil || !strings.Contains(err.Error(), `did you mean "external"?`) {
		t.Errorf("pep before 1910: %v", err)
	}
}

func TestOptionalEndpoints(t *testing.T) {
	repo := fstest.MapFS{"s.yaml": {Data: []byte(minimal + "optional-endpoints: [container-registri]\n")}}
	_, err := Load(repo, "s.yaml", Options{OptionalEndpoints: []string{"container-registry"}})
	if err == nil || !strings.Contains(err.Error(), "there is container-registry") {
		t.Errorf("got %v", err)
	}
}

// checkout makes a repository on disk, with a directory beside it that it must not reach.
func checkout(t *testing.T) (repo, beside string) {
	t.Helper()
	top := t.TempDir()
	repo, beside = filepath.Join(top, "repo"), filepath.Join(top, "beside")
	for name, text := range map[string]string{
		"repo/stamps/east/stamp.yaml": sample, "repo/stamps/east/note": "inside", "beside/secret": "outside", "beside/deep/file": "deep",
	} {
		p := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"repo/out": filepath.Join(beside, "secret"), "repo/up": "../beside/secret", "repo/dir": "../beside", "repo/in": "stamps/east/note",
		"beside/escape": "../repo/stamps/east/note",
	} {
		if err := os.Symlink(to, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	return repo, beside
}

func TestRepository(t *testing.T) {
	dir, beside := checkout(t)
	r, err := OpenRepository(dir, []string{filepath.Join(beside, "deep"), filepath.Join(beside, "secret")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	closed, err := OpenRepository(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	for _, row := range []struct {
		claim, path string
		allowed, ok bool
	}{
		{"a file", "stamps/east/note", false, true},
		{"by its absolute path", filepath.Join(dir, "stamps/east/note"), false, true},
		{"a link inside", "in", false, true},
		{"a link out", "out", false, false},
		{"a relative link out", "up", false, false},
		{"a link to a directory out", "dir/secret", false, false},
		{"dots", "../beside/secret", false, false},
		{"dots in the middle", "stamps/../../beside/secret", false, false},
		{"absolute", filepath.Join(beside, "secret"), false, false},
		{"a directory", "stamps", false, false},
		{"an allowed file", filepath.Join(beside, "secret"), true, true},
		{"below an allowed directory", filepath.Join(beside, "deep/file"), true, true},
		{"beside an allowed file", filepath.Join(beside, "secret2"), true, false},
		{"dots out of an allowed directory", filepath.Join(beside, "deep") + "/../escape", true, false},
	} {
		t.Run(row.claim, func(t *testing.T) {
			from := closed
			if row.allowed {
				from = r
			}
			b, err := from.ReadFile(row.path, 100)
			if (err == nil) != row.ok {
				t.Errorf("got %q, %v; want ok %v", b, err, row.ok)
			}
		})
	}
	if _, err := r.ReadFile("stamps/east/note", 5); !errors.Is(err, ErrTooLarge) {
		t.Errorf("six bytes of at most five: %v", err)
	}
	var outside *OutsideError
	if err := closed.Check(filepath.Join(beside, "secret")); !errors.As(err, &outside) || outside.Hint() == "" {
		t.Errorf("check of a path outside: %v", err)
	}
	if err := r.Check(filepath.Join(beside, "deep", "new")); err != nil {
		t.Errorf("check of an allowed path: %v", err)
	}
	if _, err := OpenRepository(dir, []string{"relative"}); err == nil {
		t.Error("a relative path was allowed: relative to what?")
	}
	sub, err := r.Sub("stamps/east")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if _, err := fs.ReadFile(sub.FS(), "note"); err != nil {
		t.Error(err)
	}
	if _, err := sub.Open("../../in"); err == nil {
		t.Error("a directory of the repository leads out of itself")
	}
	deep, err := r.Sub(filepath.Join(beside, "deep"))
	if err != nil {
		t.Fatal(err)
	}
	deep.Close()
	if _, err := closed.Sub(beside); !errors.As(err, &outside) {
		t.Errorf("a directory outside: %v", err)
	}
}

func TestLoadFromRepository(t *testing.T) {
	dir, beside := checkout(t)
	r, err := OpenRepository(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, name := range []string{"stamps/east", filepath.Join(dir, "stamps", "east"), "./stamps/east/stamp.yaml"} {
		s, err := Load(r, name, Options{})
		if err != nil || s.Dir != "stamps/east" || s.File != "stamps/east/stamp.yaml" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if all, err := LoadAll(r, nil, Options{}); err != nil || len(all) != 1 {
		t.Errorf("found %d stamps, %v", len(all), err)
	}
	if _, err := Load(r, filepath.Join(beside, "secret"), Options{}); err == nil {
		t.Error("loaded a stamp from outside")
	}
	policy := filepath.Join(beside, "policy.yaml")
	text := strings.Replace(sample, "policy.yaml", policy, 1)
	if _, problems := parse("stamps/east/stamp.yaml", []byte(text), Options{AllowPaths: []string{beside}}); len(problems) > 0 {
		t.Errorf("an allowed absolute path: %v", problems)
	}
}

func FuzzLoad(f *testing.F) {
	for _, text := range good {
		f.Add([]byte(text))
	}
	for _, row := range mistakes {
		f.Add([]byte(row.text()))
	}
	schema := resolvedSchema(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, problems := parse("stamps/east/stamp.yaml", b, Options{})
		for _, p := range problems {
			if p.Message == "" || strings.ContainsFunc(p.String(), func(r rune) bool { return r < ' ' }) {
				t.Fatalf("problem %q", p)
			}
		}
		if len(problems) > 0 {
			return
		}
		if s.Name == "" || s.Region == "" || s.FQDN == "" || s.Identity == "" || s.Version.IsZero() {
			t.Fatalf("accepted %q without what is required", b)
		}
		for line := range strings.SplitSeq(s.Target().Text(), "\n") {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("target line %q", line)
			}
		}
		s.Addresses("x", 443)
		if err := validates(t, schema, string(b)); err != nil {
			t.Fatalf("Load accepts %q, the schema refuses it: %v", b, err)
		}
	})
}

// TestNoStampIsPassedOver: a stamp that cannot be looked at must not be left out of a run over all of them.
func TestNoStampIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"east", "west", "empty", "yml", "Case"} {
		if err := os.MkdirAll(filepath.Join(dir, "stamps", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"stamps/yml/stamp.yml", "stamps/Case/Stamp.YAML", "stamps/README.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(sample), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "stamps", "east", FileName), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "..", "elsewhere"), filepath.Join(dir, "stamps", "west", FileName)); err != nil {
		t.Skip(err)
	}
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, FileName), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"out": outside, "nowhere": "gone", "readme": "README.md"} {
		if err := os.Symlink(to, filepath.Join(dir, "stamps", name)); err != nil {
			t.Skip(err)
		}
	}
	r, err := OpenRepository(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, without, err := Discover(r)
	want := []string{"stamps/east/stamp.yaml", "stamps/out/stamp.yaml", "stamps/west/stamp.yaml"}
	problems := []string{
		"stamps/Case/Stamp.YAML: nothing reads this name: rename the file to stamp.yaml",
		"stamps/nowhere: the link leads nowhere: mend or remove it",
		"stamps/yml/stamp.yml: nothing reads this name: rename the file to stamp.yaml",
	}
	if _, err := os.Stat(filepath.Join(dir, "stamps", "Case", FileName)); err == nil { // this file system knows no case
		want, problems = slices.Insert(want, 0, "stamps/Case/stamp.yaml"), problems[1:]
	}
	if err == nil || err.Error() != strings.Join(problems, "\n") || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q and %q", got, err, want, problems)
	}
	if !slices.Equal(without, []string{"stamps/empty"}) {
		t.Errorf("passed over: %q", without)
	}
	var passed []string
	_, err = LoadAll(r, nil, Options{Passed: func(folder string) { passed = append(passed, folder) }})
	for _, name := range append(problems, "stamps/west", "stamps/out") {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("nothing says %q: %v", name, err)
		}
	}
	if !slices.Equal(passed, without) {
		t.Errorf("the caller heard of %q", passed)
	}
}

// TestWhatIsLeftOutIsSaidLast: the count of further mistakes ends the list, however often it is sorted.
func TestWhatIsLeftOutIsSaidLast(t *testing.T) {
	text := "a: &a [" + strings.Repeat("*a,", 150) + "]\n"
	_, err := Load(fstest.MapFS{"stamp.yaml": {Data: []byte(text)}}, "stamp.yaml", Options{})
	var problems Errors
	if !errors.As(err, &problems) || len(problems) != maxProblems+1 || problems[maxProblems].Line != 0 {
		t.Errorf("got %d mistakes: %v", len(problems), err)
	}
}
