package cli

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/stage"
)

// A backup is laid out like the share: AAD/FOLDER/FILE.pfx. The sets that lay there before are kept below it, because the set
// that a rerun needs is the one that a rotation was started with, and that need not be the last that somebody packed or staged.
const (
	keptSets  = ".kept"
	newSet    = ".new"
	mostKept  = 8
	setsTotal = 64 // looked into, whoever put them there
)

// backupSet is a set to be kept, by its paths below the level of the identity system.
type backupSet map[string][]byte

// keepSet makes a set the backup's, whole or not at all, and keeps the one before under a name that begins with the time. It does
// nothing if the backup has exactly these files. Stage holds the stamp's lock meanwhile, and pack does not: so one is alone there.
func keepSet(root *os.Root, identity, name string, set backupSet) (changed bool, err error) {
	if len(set) == 0 || holds(root, identity, set) {
		return false, nil
	}
	release, err := aloneIn(root, "backup", name)
	if err != nil {
		return false, err
	}
	defer release()
	name += "-" + rand.Text()[:6]
	if err := root.RemoveAll(newSet); err != nil {
		return false, unwritable(name, err)
	}
	for p, b := range set {
		if err := replaceIn(root, path.Join(newSet, identity, p), b, 0o600); err != nil {
			return false, err
		}
	}
	if _, err = root.Stat(identity); err == nil {
		if err = root.MkdirAll(path.Join(keptSets, name), 0o755); err == nil {
			err = root.Rename(identity, path.Join(keptSets, name, identity))
		}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = root.Rename(path.Join(newSet, identity), identity)
	}
	if err != nil {
		return false, unwritable(name, err)
	}
	_ = root.RemoveAll(newSet)
	names := setNames(root)
	for len(names) > mostKept {
		_ = root.RemoveAll(path.Join(keptSets, names[0])) // one too many does no harm
		names = names[1:]
	}
	return true, nil
}

// notKept gives an error of keepSet its exit code.
func notKept(err error, hint string) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return configuration(err, hint)
}

func holds(root *os.Root, identity string, set backupSet) bool {
	for p, b := range set {
		if have, err := readBounded(root.FS(), path.Join(identity, p), maxFile); err != nil || !bytes.Equal(have, b) {
			return false
		}
	}
	return true
}

// setNames are the sets that were kept, oldest first: their names begin with the time.
func setNames(root *os.Root) []string {
	entries, err := fs.ReadDir(root.FS(), keptSets)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names[max(0, len(names)-setsTotal):]
}

// backupFile opens a planned file in the backup: in the set that lies there, or in the youngest of those before that has it.
func (a *app) backupFile(sec plan.StageSection) func(plan.PlannedFile) ([]byte, error) {
	return func(f plan.PlannedFile) ([]byte, error) {
		repo, err := a.repository()
		if err != nil {
			return nil, err
		}
		root, err := repo.Sub(sec.Backup)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		name := path.Join(sec.Identity, f.Folder, f.Name)
		last, err := readBounded(root.FS(), name, maxFile)
		if err == nil && fileSum(last) == f.SHA256 {
			return last, nil
		}
		names := setNames(root)
		slices.Reverse(names)
		for _, n := range names {
			if b, err := readBounded(root.FS(), path.Join(keptSets, n, name), maxFile); err == nil && fileSum(b) == f.SHA256 {
				return b, nil
			}
		}
		return last, err
	}
}

func fileSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// keepPlanned copies the planned set to the stamp's backup where none has it.
func (a *app) keepPlanned(b *bound, open func(plan.PlannedFile) ([]byte, error)) error {
	sec := *b.plan.Stage
	if stage.BackupEquals(sec, a.backupFile(sec)) == nil {
		return nil
	}
	repo, err := a.repository()
	if err != nil {
		return err
	}
	if _, err := repo.Rel(sec.Backup); err == nil {
		return configuration(fmt.Errorf("backup %q lies in the checkout, which does not outlive the job", sec.Backup), "name a folder outside, and allow it with --allow-path; or fill this one with certstamp pack --backup")
	}
	root, err := repo.Make(sec.Backup)
	if err != nil {
		return configuration(fmt.Errorf("backup: %w", err), "make the folder for backups on this machine, let this user write there, and allow it with --allow-path")
	}
	defer root.Close()
	set := backupSet{}
	for _, f := range sec.Files {
		if set[path.Join(f.Folder, f.Name)], err = open(f); err != nil {
			return err
		}
	}
	if _, err := keepSet(root, sec.Identity, b.run, set); err != nil {
		return notKept(fmt.Errorf("backup: %w", err), "let this user write in the backup folder")
	}
	b.entry.Facts = append(b.entry.Facts, report.Fact{Name: "backup", Value: fmt.Sprintf("%s kept in %s", amount.Of(len(sec.Files), "file"), sec.Backup)})
	return nil
}
