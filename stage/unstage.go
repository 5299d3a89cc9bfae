package stage

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

// Unstage removes the planned files, what was kept of the set before, and the work folder. It removes nothing the plan
// does not name: with any other file among them it stops before the first removal. At the end it proves that no PFX is
// left.
//
// Deleting on a server does not shred: shadow copies and backups may keep what was there.
func Unstage(ctx context.Context, sh Share, sec plan.StageSection, digest string, o Options) (Result, error) {
	if done, err := nothing(sh); err != nil || done {
		return Result{Outcome: Absent}, err
	}
	t, unlock, err := begin(ctx, sh, sec, digest, o)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if err := t.recover(); err != nil {
		return t.result, err
	}
	seen, err := inspect(sh, sec)
	if err != nil {
		return t.result, err
	}
	have, err := t.hashes(seen)
	if err != nil {
		return t.result, err
	}
	findings := slices.Concat(seen.findings, strangers(have, sec))
	if len(findings) > 0 {
		return t.result, &LayoutError{Findings: findings}
	}
	if err := t.note("unstage", "remove", nil); err != nil {
		return t.result, err
	}
	var names []string
	for name := range have {
		names = append(names, path.Join(live(sec), name))
	}
	sort.Strings(names)
	for _, n := range names {
		t.result.Changed = true
		if err := sh.Remove(n); err != nil && !missing(err) {
			return t.result, wrap("remove "+n, err)
		}
	}
	t.result.Files = len(names)
	for _, f := range sec.Files {
		if err := t.removeEmpty(path.Join(live(sec), f.Folder)); err != nil {
			return t.result, err
		}
	}
	for _, d := range []string{live(sec), certificates} {
		if err := t.removeEmpty(d); err != nil {
			return t.result, err
		}
	}
	kept, err := Leftovers(sh)
	if err != nil {
		return t.result, err
	}
	for _, d := range kept {
		if err := t.removeTree(d); err != nil {
			return t.result, err
		}
	}
	if err := prove(sh); err != nil {
		return t.result, err
	}
	if err := t.note("unstage", "removed", nil); err != nil {
		return t.result, err
	}
	t.result.Outcome = Removed
	// The journal on the share has done its work; its copies are elsewhere.
	if err := sh.Remove(journalFile); err != nil && !missing(err) {
		return t.result, wrap("remove "+journalFile, err)
	}
	// While it is ours: once it is let go, the file of that name may be the next run's. Over SMB there is none of that name, and
	// the run's own goes with the lock.
	if err := sh.Remove(lockFile); err != nil && !missing(err) && !errors.Is(err, ErrBusy) {
		return t.result, wrap("remove "+lockFile, err)
	}
	unlock()
	err = t.removeEmpty(work)
	if err != nil { // the next run may have come between its two looks
		err = t.removeEmpty(work)
	}
	if errors.Is(err, ErrBusy) {
		err = nil // that run is about to take the lock
	}
	return t.result, err
}

// nothing reports whether neither a set nor a work folder is there.
func nothing(sh Share) (bool, error) {
	for _, d := range []string{certificates, work} {
		if _, err := sh.Stat(d); err == nil {
			return false, nil
		} else if !missing(err) {
			return false, wrap("look at "+d, err)
		}
	}
	return true, nil
}

// strangers are files in planned folders that are not the planned ones. A missing one is none: an interrupted removal
// goes on.
func strangers(have map[string]string, sec plan.StageSection) []validate.Finding {
	want := map[string]string{}
	for _, f := range sec.Files {
		want[path.Join(f.Folder, f.Name)] = f.SHA256
	}
	var names []string
	for name := range have {
		names = append(names, name)
	}
	sort.Strings(names)
	var out []validate.Finding
	for _, name := range names {
		if want[name] == have[name] {
			continue
		}
		out = append(out, validate.Finding{
			ID: "foreign-file", Name: "Foreign File", Result: validate.Fail,
			Found: fmt.Sprintf("%s with SHA-256 %s", quote(name), have[name]), Wanted: "only files of this plan",
			Hint: "this set belongs to another plan: unstage with that plan, or remove the file by hand", Source: layoutSource,
		})
	}
	return out
}

func (t *transaction) removeEmpty(dir string) error {
	entries, err := list(t.sh, dir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return wrap("list "+dir, err)
	}
	if len(entries) > 0 {
		return nil
	}
	if err := t.sh.Remove(dir); err != nil && !missing(err) {
		return wrap("remove "+dir, err)
	}
	return nil
}

// prove looks for any PFX that is left in the two folders that are ours.
func prove(sh Share) error {
	const deepest = 8
	var left []string
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		entries, err := list(sh, dir)
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			at := path.Join(dir, e.Name())
			switch {
			case e.IsDir() && depth == deepest:
				return fmt.Errorf("%s nests too deeply to be looked through", quote(at))
			case e.IsDir():
				if err := walk(at, depth+1); err != nil {
					return err
				}
			case strings.HasSuffix(strings.ToLower(e.Name()), ".pfx"):
				left = append(left, at)
			}
		}
		return nil
	}
	for _, d := range []string{certificates, work} {
		if err := walk(d, 0); err != nil {
			return wrap("look for what is left", err)
		}
	}
	if len(left) > 0 {
		return &Error{
			Class: ClassVerification, Step: "look for what is left", Err: fmt.Errorf("still there: %s: %s", amount.Of(len(left), "PFX file"), strings.Join(left, ", ")),
			Todo: "remove them by hand: private keys must not stay on the share",
		}
	}
	return nil
}
