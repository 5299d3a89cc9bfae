package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

const layoutSource = "ROT-2210, rotate external secrets"

// maxListed bounds what one folder of a share may hold before we stop looking.
const maxListed = 2000

// layout is what the doctor saw.
type layout struct {
	findings []validate.Finding
	sets     map[string]map[string][]string // identity → endpoint folder → files
}

// inspect names every wrong nesting and every stray, the way a rotation would trip over them an hour later.
func inspect(sh Share, sec plan.StageSection) (*layout, error) {
	l := &layout{sets: map[string]map[string][]string{}}
	root, err := list(sh, ".")
	if err != nil {
		return nil, wrap("list the share", err)
	}
	for _, e := range root {
		switch name := e.Name(); {
		case same(name, "AAD") || same(name, "ADFS"):
			l.bad(name, fmt.Sprintf("%s directly at the share's root", name), fmt.Sprintf(`%s\%s`, certificates, strings.ToUpper(name)),
				fmt.Sprintf(`move it into %s, so that the path ends in \%s`, certificates, certificates))
		case same(name, certificates):
			if name != certificates {
				l.bad(name, "a folder "+quote(name), certificates, "rename it to "+certificates)
			}
			if !e.IsDir() {
				l.bad(name, "a file named "+quote(name), "a folder", "remove the file")
				continue
			}
			if err := l.certificates(sh, name, sec); err != nil {
				return nil, err
			}
		}
	}
	sort.SliceStable(l.findings, func(i, j int) bool { return l.findings[i].Found < l.findings[j].Found })
	return l, nil
}

func (l *layout) bad(folder, found, wanted, hint string) {
	l.findings = append(l.findings, validate.Finding{
		ID: "share-layout", Name: "Share Layout", Result: validate.Fail, Found: found, Wanted: wanted, Hint: hint,
		Source: layoutSource, Folders: []string{folder},
	})
}

func (l *layout) certificates(sh Share, dir string, sec plan.StageSection) error {
	entries, err := list(sh, dir)
	if err != nil {
		return wrap("list "+dir, err)
	}
	wanted := fmt.Sprintf(`only %s\%s`, certificates, sec.Identity)
	for _, e := range entries {
		name := e.Name()
		at := path.Join(dir, name)
		switch {
		case link(e):
			l.bad(at, "a link "+quote(at), wanted, "remove it: the stamp does not follow it safely")
		case !e.IsDir():
			l.bad(at, "a file "+quote(at), wanted, "move it out of "+certificates)
		case same(name, certificates):
			l.bad(at, "a second "+certificates+" inside the first", wanted, "move its content one level up")
		case same(name, sec.Identity):
			if err := l.identity(sh, at, sec); err != nil {
				return err
			}
		case same(name, "AAD") || same(name, "ADFS"):
			l.bad(at, "a folder "+quote(at), wanted, fmt.Sprintf("the stamp's identity system is %s: remove the other one", sec.Identity))
		default:
			l.bad(at, "a folder "+quote(at), wanted, fmt.Sprintf(`endpoint folders belong into %s\%s, everything else out of it`, certificates, sec.Identity))
		}
	}
	return nil
}

func (l *layout) identity(sh Share, dir string, sec plan.StageSection) error {
	set := map[string][]string{}
	l.sets[sec.Identity] = set
	entries, err := list(sh, dir)
	if err != nil {
		return wrap("list "+dir, err)
	}
	known := map[string]string{}
	for _, f := range sec.Files {
		known[strings.ToLower(f.Folder)] = f.Folder
	}
	within, err := listAll(sh, dir, entries)
	if err != nil {
		return err
	}
	seen := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		at := path.Join(dir, name)
		folder, planned := known[strings.ToLower(name)]
		switch {
		case link(e):
			l.bad(at, "a link "+quote(at), "a folder", "remove it: the stamp does not follow it safely")
			continue
		case !e.IsDir():
			l.bad(at, "a file "+quote(at), "only endpoint folders", "move it out, or into the folder of its endpoint")
			continue
		case !planned && same(name, sec.Identity):
			// Certificates\ADFS\ADFS is the ADFS endpoint's own folder and planned; Certificates\AAD\AAD is a slip.
			l.bad(at, "a second "+sec.Identity+" inside the first", "endpoint folders", "move its content one level up")
			continue
		case !planned:
			l.bad(at, "a folder "+quote(at), "only endpoints of this stamp", "remove it: only planned folders may be there")
			continue
		}
		if other, twice := seen[folder]; twice {
			l.bad(at, fmt.Sprintf("folders %s and %s", quote(other), quote(name)), "one folder per endpoint", "remove one: Windows takes them for the same")
			continue
		}
		seen[folder] = name
		l.folder(at, folder, within[at], set)
	}
	return nil
}

// listAll lists the folders in dir side by side.
func listAll(sh Share, dir string, entries []fs.DirEntry) (map[string][]fs.DirEntry, error) {
	var (
		mu      sync.Mutex
		out     = map[string][]fs.DirEntry{}
		folders []string
	)
	for _, e := range entries {
		if e.IsDir() && !link(e) {
			folders = append(folders, path.Join(dir, e.Name()))
		}
	}
	return out, parallel(folders, func(at string) error {
		found, err := list(sh, at)
		if err != nil {
			return wrap("list "+at, err)
		}
		mu.Lock()
		defer mu.Unlock()
		out[at] = found
		return nil
	})
}

func (l *layout) folder(dir, folder string, entries []fs.DirEntry, set map[string][]string) {
	var bundles []string
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		switch {
		case e.IsDir() || link(e):
			l.bad(at, "a folder or link "+quote(at), "one PFX", "remove it")
		case !strings.HasSuffix(strings.ToLower(e.Name()), ".pfx"):
			l.bad(at, "a file "+quote(at), "one PFX and nothing else", "remove it")
		default:
			bundles = append(bundles, at)
		}
	}
	if len(bundles) > 1 {
		l.bad(dir, fmt.Sprintf("%d PFX files in %s", len(bundles), quote(dir)), "exactly one", "remove all but the one")
	}
	set[folder] = bundles
}

func link(e fs.DirEntry) bool { return e.Type()&(fs.ModeSymlink|fs.ModeIrregular) != 0 }

func list(sh Share, dir string) ([]fs.DirEntry, error) {
	entries, err := sh.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > maxListed {
		return nil, fmt.Errorf("%s has more than %d entries", quote(dir), maxListed)
	}
	return entries, nil
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
