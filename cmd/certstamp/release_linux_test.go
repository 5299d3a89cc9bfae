package main_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const releaseTime = 1700000000

// largestBinary is what the one for Linux must stay below: it is a file of every release commit.
const largestBinary = 20_000_000

// distribute makes what `make dist` makes, for the system that the test runs on and for Windows, out of a folder.
func distribute(t *testing.T, from string, env ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "dist")
	cmd := exec.Command("sh", "scripts/dist.sh")
	cmd.Dir = from
	sbom := "no"
	if tools, _ := filepath.Glob(filepath.Join(top, ".tools", "cyclonedx-gomod-*")); len(tools) > 0 || os.Getenv("CI") == "true" {
		sbom = "yes" // installing the tool takes minutes: only where that was done, or must be
	}
	cmd.Env = append(os.Environ(), "DIST="+out, "VERSION=v1.2.3", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", releaseTime), "SBOM="+sbom, "PLATFORMS=linux/"+runtime.GOARCH+" windows/amd64")
	cmd.Env = append(cmd.Env, env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return out
}

// copied is the source in another folder: what git knows and what it would take in.
func copied(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = top
	list, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "some where else")
	for f := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join(top, f))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and git does not know it yet
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tools, err := filepath.Abs(filepath.Join(top, ".tools"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tools, filepath.Join(dir, ".tools")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// files are the bytes below a folder, by path.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, pattern := range []string{"*", "*/*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if info, err := os.Stat(n); err != nil || info.IsDir() {
				continue
			}
			b, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(dir, n)
			out[filepath.ToSlash(rel)] = b
		}
	}
	return out
}

// member is what the test holds of a file in an archive.
type member struct {
	mode os.FileMode
	body []byte
}

func untar(t *testing.T, b []byte) map[string]member {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]member{}
	var order []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != releaseTime {
			t.Errorf("%s belongs to %d %d %q %q, of %v", h.Name, h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, h.Name)
		out[h.Name] = member{h.FileInfo().Mode(), body}
	}
	if !slices.IsSorted(order) {
		t.Errorf("the entries are not sorted: %q", order)
	}
	return out
}

func unzip(t *testing.T, b []byte) map[string]member {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]member{}
	for _, f := range z.File {
		if !f.Modified.Equal(time.Unix(releaseTime, 0)) {
			t.Errorf("%s is of %v", f.Name, f.Modified)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = member{f.Mode(), body}
	}
	return out
}

// TestRelease makes a release twice, in two folders and with other time zones, languages and permissions, and wants the same
// bytes; then it uses what came out, as the action does and as somebody who unpacks it.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("builds certstamp for two systems")
	}
	dir := distribute(t, top)
	one, two := files(t, dir), files(t, distribute(t, copied(t), "TZ=Asia/Kathmandu", "LANG=tr_TR.UTF-8", "GOFLAGS=-buildvcs=true", "HOSTNAME=other"))
	if a, b := slices.Sorted(maps.Keys(one)), slices.Sorted(maps.Keys(two)); !slices.Equal(a, b) {
		t.Fatalf("made %q, then %q", a, b)
	}
	for name := range one {
		if !bytes.Equal(one[name], two[name]) {
			t.Errorf("%s came out in two ways", name)
		}
	}

	native := "certstamp-linux-" + runtime.GOARCH
	if n := len(one[native]); n == 0 || n >= largestBinary {
		t.Errorf("%s has %d bytes, the limit is %d", native, n, largestBinary)
	}
	t.Run("sums", func(t *testing.T) {
		for folder, leaves := range map[string][]string{"": {"SHA256SUMS", "release"}, "release/": {"release/SHA256SUMS"}} {
			listed := map[string]bool{}
			for l := range strings.Lines(string(one[folder+"SHA256SUMS"])) {
				want, name, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "  ")
				listed[folder+name] = true
				if got := fmt.Sprintf("%x", sha256.Sum256(one[folder+name])); got != want {
					t.Errorf("%s%s has %s, listed is %s", folder, name, got, want)
				}
			}
			for name := range one {
				if strings.HasPrefix(name, folder) && !listed[name] && !slices.ContainsFunc(leaves, func(l string) bool { return strings.HasPrefix(name, l) }) {
					t.Errorf("%s is not listed", name)
				}
			}
		}
		if got := string(one["VERSION"]); got != "v1.2.3\n" {
			t.Errorf("VERSION says %q", got)
		}
	})

	t.Run("archives", func(t *testing.T) {
		tree := untar(t, one["release/certstamp-v1.2.3-linux-"+runtime.GOARCH+".tar.gz"])
		zipTree := unzip(t, one["release/certstamp-v1.2.3-windows-amd64.zip"])
		for _, name := range []string{
			"certstamp", "LICENSE", "README.md", "CHANGELOG.md", "completions/certstamp.bash", "completions/_certstamp", "completions/certstamp.fish",
			"completions/certstamp.ps1", "man/man1/certstamp.1", "man/man1/certstamp-plan.1",
		} {
			m, ok := tree["certstamp-v1.2.3-linux-"+runtime.GOARCH+"/"+name]
			want := os.FileMode(0o644)
			if name == "certstamp" {
				want = 0o755
			}
			if !ok || m.mode.Perm() != want || len(m.body) == 0 {
				t.Errorf("the archive's %s: %t %v, %d bytes", name, ok, m.mode, len(m.body))
			}
			inZip := name
			if name == "certstamp" {
				inZip = "certstamp.exe"
			}
			if m, ok := zipTree["certstamp-v1.2.3-windows-amd64/"+inZip]; !ok || m.mode.Perm() != want || len(m.body) == 0 {
				t.Errorf("the zip's %s: %t %v, %d bytes", inZip, ok, m.mode, len(m.body))
			}
		}
		if len(tree) != len(zipTree) {
			t.Errorf("%d entries for Linux, %d for Windows", len(tree), len(zipTree))
		}
		prefix := "certstamp-v1.2.3-linux-" + runtime.GOARCH + "/"
		page := string(tree[prefix+"man/man1/certstamp.1"].body)
		for _, want := range []string{`.TH "CERTSTAMP" "1" "Nov 2023" "certstamp v1.2.3"`, ".SH COMMANDS", ".SH EXIT STATUS", `\fB130\fP`} {
			if !strings.Contains(page, want) {
				t.Errorf("the manual page has no %s", want)
			}
		}
		script := exec.Command("bash", "-c", `source /dev/stdin && complete -p certstamp`)
		script.Stdin = bytes.NewReader(tree[prefix+"completions/certstamp.bash"].body)
		if b, err := script.CombinedOutput(); err != nil || !strings.Contains(string(b), "certstamp") {
			t.Errorf("bash and its completion: %v %s", err, b)
		}
		if !bytes.Equal(tree[prefix+"certstamp"].body, one[native]) {
			t.Error("the archive has another binary")
		}
	})

	t.Run("parts", func(t *testing.T) {
		info, err := buildinfo.ReadFile(filepath.Join(dir, native))
		if err != nil {
			t.Fatal(err)
		}
		bom := one["release/certstamp-v1.2.3-linux-"+runtime.GOARCH+".cdx.json"]
		var parsed struct {
			BomFormat  string
			Components []struct{ Name, Version string }
		}
		listed := map[string]string{}
		if bom != nil {
			if err := json.Unmarshal(bom, &parsed); err != nil || parsed.BomFormat != "CycloneDX" {
				t.Fatalf("the SBOM: %v, format %q", err, parsed.BomFormat)
			}
			for _, c := range parsed.Components {
				listed[c.Name] = c.Version
			}
		}
		for _, d := range info.Deps {
			if strings.Contains(d.Path, "md2man") || strings.Contains(d.Path, "blackfriday") {
				t.Errorf("%s is in the binary: it is there for manual pages only", d.Path)
			}
			if bom != nil && listed[d.Path] != d.Version {
				t.Errorf("the SBOM has %s %q, the binary %q", d.Path, listed[d.Path], d.Version)
			}
		}
	})

	t.Run("action", func(t *testing.T) {
		eachShell(t, func(t *testing.T, s *scripted) {
			for name, b := range one {
				if !strings.Contains(name, "/") {
					s.put(filepath.Join(s.action, "dist", name), string(b), 0o644)
				}
			}
			if code, said, _ := s.run(map[string]string{"COMMAND": "version"}); code != 0 || said != "certstamp v1.2.3\n" {
				t.Errorf("the action: exit %d, said %q", code, said)
			}
			s.put(filepath.Join(s.action, "dist", native), string(one[native])+"\n", 0o644)
			if code, said, _ := s.run(map[string]string{"COMMAND": "version"}); code != 2 || !strings.Contains(said, "is not the released file") {
				t.Errorf("a changed binary: exit %d, said %q", code, said)
			}
		})
	})
}

// TestPublish publishes a release to a repository beside it, and uses the commit that an action would be pinned to.
func TestPublish(t *testing.T) {
	binary := "certstamp-linux-" + runtime.GOARCH
	line := func(name, text string) string { return digest(text) + "  " + name + "\n" }
	for _, row := range []struct {
		name, tag string
		spoil     func(dir string) error
		says      string
	}{
		{name: "as built", tag: "v1.2.3"},
		{name: "a candidate", tag: "v1.2.3-rc.1"},
		{name: "other sums than the build reported", tag: "v1.2.3", says: "FAILED", spoil: func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "dist/release/SHA256SUMS"), []byte(line(binary, recorder)+"\n"), 0o644)
		}},
		{name: "another binary for the action", tag: "v1.2.3", says: "differ", spoil: func(dir string) error {
			if err := os.WriteFile(filepath.Join(dir, "dist", binary), []byte("evil"), 0o644); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "dist/SHA256SUMS"), []byte(line(binary, "evil")+line("VERSION", "v1.2.3\n")), 0o644)
		}},
		{name: "a file that nobody vouched for", tag: "v1.2.3", says: "dist/release/evil has no sum", spoil: func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "dist/release/evil"), []byte("evil"), 0o644)
		}},
		{name: "a binary that nobody vouched for", tag: "v1.2.3", says: "dist/certstamp-evil has no sum", spoil: func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "dist/certstamp-evil"), []byte("evil"), 0o644)
		}},
		{name: "a dist of another tag", tag: "v1.2.3", says: "dist is of v9.9.9", spoil: func(dir string) error {
			if err := os.WriteFile(filepath.Join(dir, "dist/VERSION"), []byte("v9.9.9\n"), 0o644); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "dist/SHA256SUMS"), []byte(line(binary, recorder)+line("VERSION", "v9.9.9\n")), 0o644)
		}},
		{name: "a checkout that moved on", tag: "v1.2.3", says: "is not the commit of v1.2.3", spoil: func(dir string) error {
			return exec.Command("git", "-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "more").Run()
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScripted(t, "dash")
			base := filepath.Dir(s.action)
			remote, bin, called := filepath.Join(base, "remote.git"), filepath.Join(base, "bin"), filepath.Join(base, "called")
			git := func(dir string, args ...string) string {
				t.Helper()
				cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
				b, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("git %q: %v\n%s", args, err, b)
				}
				return strings.TrimSpace(string(b))
			}
			if err := os.MkdirAll(filepath.Join(s.action, "dist", "release"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(bin, 0o755); err != nil {
				t.Fatal(err)
			}
			made, released := filepath.Join(base, "made"), filepath.Join(base, "released")
			s.put(filepath.Join(bin, "gh"), `#!/bin/sh
case $2 in
view) cat '`+made+`' 2>/dev/null; exit ;;
download) cp '`+released+`'/* "$5"; exit ;;
create) echo true >'`+made+`' ;;
edit) echo false >'`+made+`' ;;
esac
printf '%s\n' "$@" >>'`+called+`'
[ "$2" = create ] || exit 0
while [ "$1" != --notes-file ]; do shift; done
cat "$2" >>'`+called+`'
`, 0o755)
			s.put(filepath.Join(s.action, ".gitignore"), "/dist/\n", 0o644)
			s.put(filepath.Join(s.action, "scripts", "publish.sh"), read(t, "scripts/publish.sh"), 0o755)
			git(base, "init", "-q", "--bare", remote)
			git(s.action, "init", "-q")
			git(s.action, "add", "-A")
			git(s.action, "commit", "-q", "-m", "source")
			git(s.action, "tag", "-a", "-m", "signed by a maintainer", row.tag)
			git(s.action, "remote", "add", "origin", remote)
			git(s.action, "push", "-q", "origin", row.tag)
			source := git(s.action, "rev-parse", "HEAD")

			all := line(binary, recorder) + line("page.json", "{}")
			s.put(filepath.Join(s.action, "dist", binary), recorder, 0o644)
			s.put(filepath.Join(s.action, "dist", "VERSION"), row.tag+"\n", 0o644)
			s.put(filepath.Join(s.action, "dist", "SHA256SUMS"), line(binary, recorder)+line("VERSION", row.tag+"\n"), 0o644)
			s.put(filepath.Join(s.action, "dist", "release", binary), recorder, 0o644)
			s.put(filepath.Join(s.action, "dist", "release", "page.json"), "{}", 0o644)
			s.put(filepath.Join(s.action, "dist", "release", "SHA256SUMS"), all, 0o644)
			if row.spoil != nil {
				if err := row.spoil(s.action); err != nil {
					t.Fatal(err)
				}
			}

			publish := func() ([]byte, error) {
				cmd := exec.Command("sh", filepath.Join(s.action, "scripts", "publish.sh"), row.tag, digest(all))
				cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GITHUB_REPOSITORY=someone/certstamp")
				return cmd.CombinedOutput()
			}
			b, err := publish()
			gh, _ := os.ReadFile(called)
			tags := git(remote, "tag")
			if row.says != "" {
				if err == nil || !strings.Contains(string(b), row.says) || len(gh) > 0 || tags != row.tag {
					t.Errorf("%v, said %q, tags %q, gh %q", err, b, tags, gh)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			commit := git(remote, "rev-parse", "action-"+row.tag)
			if got := git(remote, "rev-parse", row.tag+"^{commit}"); got != source || git(remote, "rev-parse", commit+"^") != source {
				t.Errorf("the tag is at %s, the commit of binaries on %s, the source is %s", got, git(remote, "rev-parse", commit+"^"), source)
			}
			for _, want := range []string{"release\ncreate\n" + row.tag + "\n--verify-tag\n", "/page.json\n", "uses: someone/certstamp@" + commit + " # action-" + row.tag, digest(all)} {
				if !strings.Contains(strings.ReplaceAll(string(gh), "dist/release", ""), want) {
					t.Errorf("gh was called without %q: %s", want, gh)
				}
			}
			if strings.Contains(string(gh), "--prerelease\n") != strings.Contains(row.tag, "-") {
				t.Errorf("gh was called with %s", gh)
			}

			// A run that ended half-way left a draft. It is repeated: the same commit, the files once more, and then they are published.
			again := func(want string, ok bool) {
				t.Helper()
				_ = os.Remove(called)
				git(s.action, "reset", "-q", source)
				b, err := publish()
				if (err == nil) != ok || git(remote, "rev-parse", "action-"+row.tag) != commit {
					t.Errorf("again: %v\n%s", err, b)
				}
				if gh, _ := os.ReadFile(called); !regexp.MustCompile(want).MatchString(string(gh)) {
					t.Errorf("again gh was called with %s", gh)
				}
			}
			again(`\Arelease\nupload\n`+row.tag+`\n--clobber\n(?s:.*)\nrelease\nedit\n`+row.tag+`\n--draft=false\n\z`, true)
			// What is published may be immutable, so it is only compared.
			if err := os.CopyFS(released, os.DirFS(filepath.Join(s.action, "dist", "release"))); err != nil {
				t.Fatal(err)
			}
			again(`\A\z`, true)
			s.put(filepath.Join(released, "page.json"), "{ }", 0o644)
			again(`\A\z`, false)

			pinned := filepath.Join(base, "pinned")
			git(base, "clone", "-q", remote, pinned)
			git(pinned, "checkout", "-q", commit)
			if list := git(pinned, "ls-files", "dist"); list != "dist/SHA256SUMS\ndist/VERSION\ndist/"+binary {
				t.Errorf("the commit has %q", list)
			}
			s.action = pinned
			if code, said, record := s.run(map[string]string{"COMMAND": "version"}); code != 5 || said != "" || !strings.Contains(record, "<version>") {
				t.Errorf("the action at that commit: exit %d, said %q, ran %q", code, said, record)
			}
		})
	}
}
