// Command dist makes the archives of a release out of binaries that are built already: with manual pages and shell completions,
// which it writes from the tree of commands. scripts/dist.sh builds the binaries and runs it.
//
// It is a program of its own so that what it needs to write manual pages is not in certstamp. The same input gives the same
// bytes: entries are sorted, belong to nobody and have the time of the commit.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/cli"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("dist: ")
	version := flag.String("version", "", "what is released, as in v1.2.3")
	seconds := flag.Int64("time", 0, "the time of the commit, in seconds since 1970")
	dir := flag.String("dir", "dist", "where the binaries are, and where all of it goes")
	flag.Parse()
	if err := run(*version, time.Unix(*seconds, 0).UTC(), *dir); err != nil {
		log.Fatal(err)
	}
}

// names are what may stand in a version: it becomes part of file names.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+-]*$`)

// run reads DIR/certstamp-OS-ARCH[.exe] and DIR/release/*.json. It writes
//
//	DIR/VERSION, DIR/SHA256SUMS    with the binaries what scripts/action expects below dist in a release commit
//	DIR/release                    what the page of the release has: an archive and a copy of each binary, SHA256SUMS over all
func run(version string, at time.Time, dir string) error {
	if !names.MatchString(version) {
		return fmt.Errorf("-version %q: wants letters, digits, dots, plus and minus", version)
	}
	binaries, err := filepath.Glob(filepath.Join(dir, "certstamp-*-*"))
	if err != nil {
		return err
	}
	if len(binaries) == 0 {
		return fmt.Errorf("there is no %s: scripts/dist.sh builds them", filepath.Join(dir, "certstamp-OS-ARCH"))
	}
	shared, err := common(version, at)
	if err != nil {
		return err
	}
	page := filepath.Join(dir, "release")
	if err := os.MkdirAll(page, 0o755); err != nil {
		return err
	}
	bundle := map[string][]byte{"VERSION": []byte(version + "\n")}
	for _, file := range binaries {
		binary, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name := filepath.Base(file)
		system, arch, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, "certstamp-"), ".exe"), "-")
		bundle[name] = binary
		top := strings.Join([]string{"certstamp", version, system, arch}, "-")
		entries := slices.Clone(shared)
		pack, suffix, program := tarGzip, ".tar.gz", "certstamp"
		if system == "windows" {
			pack, suffix, program = zipped, ".zip", "certstamp.exe"
		}
		entries = append(entries, entry{name: program, mode: 0o755, body: binary})
		b, err := pack(top, entries, at)
		if err != nil {
			return err
		}
		for n, body := range map[string][]byte{top + suffix: b, name: binary} {
			if err := os.WriteFile(filepath.Join(page, n), body, 0o644); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "VERSION"), bundle["VERSION"], 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), sums(bundle), 0o644); err != nil {
		return err
	}
	released := map[string][]byte{}
	files, err := os.ReadDir(page)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Name() == "SHA256SUMS" {
			continue
		}
		if released[f.Name()], err = os.ReadFile(filepath.Join(page, f.Name())); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(page, "SHA256SUMS"), sums(released), 0o644)
}

// common are the files that every archive has.
func common(version string, at time.Time) ([]entry, error) {
	var out []entry
	for _, name := range []string{"CHANGELOG.md", "LICENSE", "README.md"} {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("run it from the top of the repository: %w", err)
		}
		out = append(out, entry{name: name, mode: 0o644, body: b})
	}
	root := cli.Commands(version)
	completions, err := completions(root)
	if err != nil {
		return nil, err
	}
	usage, err := os.ReadFile(filepath.Join("docs", "usage.md"))
	if err != nil {
		return nil, err
	}
	codes := exitCodes(string(usage))
	if len(codes) == 0 {
		return nil, errors.New("docs/usage.md has no table of exit codes")
	}
	root.Use = "certstamp [--format FORMAT[=FILE] ...] COMMAND" // there is nothing that it does by itself
	pages, err := manual(root, version, at, codes)
	if err != nil {
		return nil, err
	}
	return slices.Concat(out, completions, pages), nil
}

// sums is what sha256sum writes.
func sums(files map[string][]byte) []byte {
	var out []string
	for name, b := range files {
		out = append(out, fmt.Sprintf("%x  %s\n", sha256.Sum256(b), name))
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	var all bytes.Buffer
	for _, l := range out {
		all.WriteString(l)
	}
	return all.Bytes()
}
