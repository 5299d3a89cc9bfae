package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// recover puts right what an earlier run left half done. It touches only in-flight folders.
func (t *transaction) recover() error {
	entries, err := list(t.sh, work)
	if err != nil {
		return wrap("list "+work, err)
	}
	for _, e := range entries {
		name := e.Name()
		at := path.Join(work, name)
		switch {
		case strings.HasPrefix(name, undoPrefix):
			if err := t.recoverUndo(at, strings.TrimPrefix(name, undoPrefix)); err != nil {
				return err
			}
		case strings.HasPrefix(name, stagePrefix):
			if err := t.removeTree(at); err != nil {
				return err
			}
		default:
			continue
		}
		t.result.Recovered = append(t.result.Recovered, name)
		if err := t.note("recover", name, nil); err != nil {
			return err
		}
	}
	return nil
}

// recoverUndo moves the old set back when the live one is missing, and keeps it as the previous one otherwise: folders
// move as a whole, so whichever is there is complete.
func (t *transaction) recoverUndo(at, run string) error {
	for _, id := range []string{"AAD", "ADFS"} {
		from, to := path.Join(at, id), path.Join(certificates, id)
		if _, err := t.sh.Stat(from); missing(err) {
			continue
		} else if err != nil {
			return wrap("look at "+from, err)
		}
		_, err := t.sh.Stat(to)
		if missing(err) {
			if err := t.mkdir(certificates); err != nil {
				return wrap("make "+certificates, err)
			}
			if err := t.rename(from, to); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return wrap("look at "+to, err)
		}
		return t.retire(at, run)
	}
	return t.removeTree(at)
}

// removeTree removes a folder of the work folder with everything in it. A missing one is no error.
func (t *transaction) removeTree(dir string) error {
	if !strings.HasPrefix(dir, work+"/") {
		return &Error{Class: ClassInternal, Step: "remove " + dir, Err: errors.New("outside the work folder")}
	}
	return wrap("remove "+dir, t.removeAll(dir, 0))
}

func (t *transaction) removeAll(dir string, depth int) error {
	if depth > 4 {
		return fmt.Errorf("%s nests too deeply for a set", quote(dir))
	}
	entries, err := list(t.sh, dir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		if e.IsDir() && !link(e) {
			err = t.removeAll(at, depth+1)
		} else {
			err = t.remove(at)
		}
		if err != nil && !missing(err) {
			return err
		}
	}
	if err := t.remove(dir); err != nil && !missing(err) {
		return err
	}
	return nil
}

// remove retries while somebody has the name open. A server that has not yet noticed that the last client died may say that
// as "access denied", and so it gets a moment; an account that may not remove is told so all the same.
func (t *transaction) remove(name string) error {
	return t.again(t.ctx, busyTries, func() error {
		return t.again(t.ctx, deniedTries, func() error { return t.sh.Remove(name) }, fs.ErrPermission)
	}, ErrBusy)
}
