package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/certstamp/certstamp/internal/crew"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/validate"
)

// Options are what a run brings along.
type Options struct {
	Run     string                          // unique to this run: letters, digits and dashes
	Owner   string                          // shown to whoever finds the lock
	Guard   func(ctx context.Context) error // called under the lock, before the first change to what lies there; nil: no objection
	Journal func(step, state string, facts map[string]string) error
	Wait    func(ctx context.Context, d time.Duration) error // before trying a busy name again

	// Access proves that the credential the stamp will be given reads and writes here: it is called with the folder of the
	// staged set before that is swapped in. Nil: nothing is proved.
	Access func(ctx context.Context, staged string) error
}

// Outcome is what a verb did.
type Outcome string

// The outcomes.
const (
	Published Outcome = "published"
	Unchanged Outcome = "unchanged" // the share already held exactly this set
	Removed   Outcome = "removed"
	Absent    Outcome = "absent" // there was nothing to remove
)

// Result is what a verb did, for people and reports.
type Result struct {
	Outcome   Outcome
	Files     int
	Previous  map[string]string // path → SHA-256 of the set before, when there was one
	Recovered []string          // what an earlier run had left behind
	Changed   bool              // the live set was touched, even when the verb then failed
	Rights    []string          // what the server let others do with the set before and not with this one
}

// LayoutError says that the share does not look as it must. Nothing was written.
type LayoutError struct{ Findings []validate.Finding }

func (e *LayoutError) Error() string {
	if len(e.Findings) == 1 {
		return "the share's layout has a fault; nothing was written"
	}
	return fmt.Sprintf("the share's layout has %d faults; nothing was written", len(e.Findings))
}

// Hint says what to do.
func (e *LayoutError) Hint() string { return e.Findings[0].Hint }

const (
	workers     = 16 // a set in one go; many more get a client dropped by servers with few credits
	maxPFX      = 2 << 20
	slack       = 1 << 20
	busyTries   = 8
	deniedTries = 4
	shortID     = 16 // digits of a plan digest in a folder's name
)

// Publish puts exactly the planned files on the share. Open returns a planned file's bytes; they are held against the
// plan before anything is touched.
func Publish(ctx context.Context, sh Share, sec plan.StageSection, digest string, open func(plan.PlannedFile) ([]byte, error), o Options) (Result, error) {
	data, err := load(sec, open)
	if err != nil {
		return Result{}, err
	}
	t, unlock, err := begin(ctx, sh, sec, digest, o)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	seen, err := t.recoverAndInspect()
	if err != nil {
		return t.result, err
	}
	var (
		asking crew.Group
		full   error
	)
	asking.Go(func() { full = t.space(data) })
	defer asking.Wait()
	if len(seen.findings) > 0 {
		return t.result, &LayoutError{Findings: seen.findings}
	}
	old, err := t.hashes(seen)
	if err != nil {
		return t.result, err
	}
	t.result.Previous = old
	t.result.Files = len(sec.Files)
	if equal(old, sec) {
		t.result.Outcome = Unchanged
		return t.result, t.note("publish", "unchanged", nil)
	}
	if asking.Wait(); full != nil {
		return t.result, full
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"upload", func() error { return t.upload(data) }},
		{"read back", func() error {
			return t.readBack(t.staged(), true, "the share returned other bytes than were written: check the server, nothing was published")
		}},
		{"access", t.access},
		{"swap", t.swap},
		{"prove", func() error {
			return t.readBack(live(sec), false, "the set is published and does not read back as planned: check the server, and do not rotate before stage says that the share holds the planned set")
		}},
		{"keep", t.keep},
	} {
		swapped := step.name == "prove" || step.name == "keep"
		err := ctx.Err()
		if err == nil || swapped {
			err = t.note("publish", step.name, nil)
		}
		if err == nil {
			err = step.do()
		}
		if err != nil {
			if !swapped && !t.result.Changed {
				t.discard()
			}
			return t.result, err
		}
	}
	t.result.Outcome = Published
	return t.result, t.note("publish", "published", old)
}

// recoverAndInspect does both at once: most runs find nothing to recover, and each waits for its own round trips. What was seen
// while something was put right is looked at again.
func (t *transaction) recoverAndInspect() (seen *layout, err error) {
	var looking crew.Group
	looking.Go(func() { seen, err = inspect(t.sh, t.sec) })
	wrong := t.recover()
	looking.Wait()
	if wrong != nil {
		return nil, wrong
	}
	if len(t.result.Recovered) > 0 {
		return inspect(t.sh, t.sec)
	}
	return seen, err
}

// load takes the set into memory. No copy ever lies on this machine's disk.
func load(sec plan.StageSection, open func(plan.PlannedFile) ([]byte, error)) (map[string][]byte, error) {
	data := map[string][]byte{}
	var wrong []error
	for _, f := range sec.Files {
		for _, name := range []string{f.Folder, f.Name} {
			if err := CheckName(name); err != nil {
				wrong = append(wrong, err)
			}
		}
		b, err := open(f)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", f.Folder, err))
			continue
		}
		if got := sum(b); got != f.SHA256 {
			wrong = append(wrong, fmt.Errorf("%s/%s has SHA-256 %s, the plan says %s", f.Folder, f.Name, got, f.SHA256))
			continue
		}
		data[path.Join(f.Folder, f.Name)] = b
	}
	if len(wrong) > 0 {
		return nil, &Error{
			Class: ClassVerification, Step: "read the planned files", Err: errors.Join(wrong...),
			Todo: "the files must be exactly those of the plan: check out the plan's commit, or make a new plan",
		}
	}
	return data, nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// transaction is one run over a share.
type transaction struct {
	ctx    context.Context //nolint:containedctx // lives exactly as long as the one call that made it
	sh     Share
	sec    plan.StageSection
	digest string
	o      Options
	run    string
	result Result
}

func (t *transaction) note(step, state string, facts map[string]string) error {
	if t.o.Journal == nil {
		return nil
	}
	return t.o.Journal(step, state, facts)
}

// mkdir makes a directory unless it is there. Each question is a round trip, so none is asked before it must be.
func (t *transaction) mkdir(name string) error {
	err := t.sh.Mkdir(name)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := t.sh.Stat(name)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s %w", quote(name), errNoFolder)
	}
	return err
}

var errNoFolder = errors.New("is a file")

func (t *transaction) staged() string {
	return path.Join(work, stagePrefix+t.run, t.sec.Identity)
}

func (t *transaction) undo() string { return path.Join(work, undoPrefix+t.run) }

// hashes reads every file of the live set. Size and time prove nothing.
func (t *transaction) hashes(l *layout) (map[string]string, error) {
	var (
		mu    sync.Mutex
		out   = map[string]string{}
		names = map[string]string{} // path on the share → Folder/File
	)
	for folder, files := range l.sets[t.sec.Identity] {
		for _, f := range files {
			names[f] = path.Join(folder, path.Base(f))
		}
	}
	err := parallel(slices.Sorted(maps.Keys(names)), func(f string) error {
		b, err := t.sh.ReadFile(f, maxPFX)
		if err != nil {
			return wrap("read "+f, err)
		}
		mu.Lock()
		defer mu.Unlock()
		out[names[f]] = sum(b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func equal(have map[string]string, sec plan.StageSection) bool {
	if len(have) != len(sec.Files) {
		return false
	}
	for _, f := range sec.Files {
		if have[path.Join(f.Folder, f.Name)] != f.SHA256 {
			return false
		}
	}
	return true
}

func (t *transaction) space(data map[string][]byte) error {
	var need int64 = slack
	for _, b := range data {
		need += 2 * int64(len(b))
	}
	free, ok, err := t.sh.Free()
	if err != nil {
		return wrap("ask for free space", err)
	}
	if ok && free < need {
		return &Error{Class: ClassSpace, Step: "ask for free space", Err: fmt.Errorf("%d bytes free, %d wanted", free, need)}
	}
	return nil
}

// upload writes the set aside.
func (t *transaction) upload(data map[string][]byte) error {
	dirs := []string{path.Join(work, stagePrefix+t.run), t.staged()}
	var folders, names []string
	for name := range data {
		names = append(names, name)
		folders = append(folders, path.Join(t.staged(), path.Dir(name)))
	}
	sort.Strings(names)
	for _, d := range dirs {
		if err := t.sh.Mkdir(d); err != nil {
			return wrap("make "+d, err)
		}
	}
	if err := parallel(folders, func(d string) error { return wrap("make "+d, t.sh.Mkdir(d)) }); err != nil {
		return err
	}
	return parallel(names, func(name string) error {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		return wrap("write "+name, t.sh.Create(path.Join(t.staged(), name), data[name]))
	})
}

// parallel does one thing for each name, several at a time, and returns the first error.
func parallel(names []string, do func(string) error) error {
	var (
		wait  crew.Group
		mu    sync.Mutex
		first error
		slots = make(chan struct{}, workers)
	)
	for _, n := range names {
		mu.Lock()
		stop := first != nil
		mu.Unlock()
		if stop {
			break
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if err := do(n); err != nil {
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return first
}

// readBack holds what lies in dir against the plan, byte for byte, and with whole also that nothing else lies in its folders,
// which move as they are. Todo is for whoever reads that it is not so. Listings and files are asked for side by side: over a network the round trips are the time.
func (t *transaction) readBack(dir string, whole bool, todo string) error {
	files := map[string]string{}   // path → SHA-256
	holds := map[string][]string{} // folder → what must lie in it, and nothing else
	for _, f := range t.sec.Files {
		folder := path.Join(dir, f.Folder)
		if holds[folder] == nil {
			holds[dir] = append(holds[dir], f.Folder)
		}
		holds[folder] = append(holds[folder], f.Name)
		files[path.Join(folder, f.Name)] = f.SHA256
	}
	jobs := append([]string{dir}, slices.Sorted(maps.Keys(files))...)
	if whole {
		jobs = append(slices.Sorted(maps.Keys(holds)), jobs[1:]...)
	}
	return parallel(jobs, func(at string) error {
		if want, isFile := files[at]; isFile {
			b, err := t.sh.ReadFile(at, maxPFX)
			if err != nil {
				return wrap("read "+at, err)
			}
			if got := sum(b); got != want {
				return &Error{Class: ClassVerification, Step: "read back " + quote(at), Err: fmt.Errorf("SHA-256 %s, wanted %s", got, want), Todo: todo}
			}
			return nil
		}
		entries, err := list(t.sh, at)
		if err != nil {
			return wrap("list "+at, err)
		}
		for _, e := range entries {
			if !slices.Contains(holds[at], e.Name()) {
				return &Error{Class: ClassVerification, Step: "read back " + quote(at), Err: fmt.Errorf("%s lies there and is not of the set", quote(e.Name())), Todo: todo}
			}
		}
		return nil
	})
}

// access asks what the stamp will be able to do with the staged set.
func (t *transaction) access() error {
	t.result.Rights = t.lostRights()
	if t.o.Access == nil {
		return nil
	}
	return wrap("use the staged set with the credential that the stamp is given", t.o.Access(t.ctx, t.staged()))
}

// lostRights compares what the server says about the set that lies there, or the folder it would lie in, with the staged one.
// A folder that is moved keeps the rights it was made with: what was granted on Certificates alone does not reach it.
func (t *transaction) lostRights() (lost []string) {
	shows, ok := t.sh.(interface {
		Rights(name string) ([]string, error)
	})
	if !ok {
		return nil
	}
	for _, at := range []string{live(t.sec), certificates} {
		before, err := shows.Rights(at)
		if err != nil {
			continue
		}
		have, err := shows.Rights(t.staged())
		if err != nil {
			return nil // a server that shows nothing leaves it to the proof
		}
		for _, r := range before {
			if !slices.Contains(have, r) {
				lost = append(lost, r)
			}
		}
		return lost
	}
	return nil
}

// discard removes the stage of a run that did not come to its swap: a full disk is not left fuller. What it cannot remove the
// next run does.
func (t *transaction) discard() {
	_ = t.removeTree(path.Join(work, stagePrefix+t.run))
	_ = t.sh.Remove(t.undo()) // empty, or it stays
}

// Access reads the set that lies in staged and writes, reads and removes a file beside it, which is all a stamp ever does. The
// share is opened with the credential that the stamp will be given.
func Access(sh Share, sec plan.StageSection, staged string) error {
	for _, f := range sec.Files {
		b, err := sh.ReadFile(path.Join(staged, f.Folder, f.Name), maxPFX)
		if err != nil {
			return wrap("read "+f.Name, err)
		}
		if got := sum(b); got != f.SHA256 {
			return &Error{Class: ClassVerification, Step: "read " + f.Name, Err: fmt.Errorf("SHA-256 %s, wanted %s", got, f.SHA256)}
		}
	}
	probe := path.Join(path.Dir(staged), "probe")
	if err := sh.Create(probe, []byte("probe\n")); err != nil {
		return wrap("write a file", err)
	}
	_, err := sh.ReadFile(probe, 16)
	return wrap("read and remove a file", errors.Join(err, sh.Remove(probe)))
}

// swap moves the old set aside and the new one in: two renames. Between them the live folder is absent, so a rotation
// started then fails at once and cleanly.
func (t *transaction) swap() error {
	target := live(t.sec)
	if err := t.mkdir(certificates); err != nil {
		return wrap("make "+certificates, err)
	}
	_, err := t.sh.Stat(target)
	there := err == nil
	if err != nil && !missing(err) {
		return wrap("look at "+target, err)
	}
	if there {
		if err := t.sh.Mkdir(t.undo()); err != nil {
			return wrap("make "+t.undo(), err)
		}
		if err := t.rename(target, path.Join(t.undo(), t.sec.Identity)); err != nil {
			_, gone := t.sh.Stat(target) // an answer that was lost says nothing about the change
			t.result.Changed = gone != nil
			return err
		}
		t.result.Changed = true
	}
	if err := t.rename(t.staged(), target); err != nil {
		if there {
			// When this fails too, recovery does the same once more at the next run.
			t.result.Changed = t.rename(path.Join(t.undo(), t.sec.Identity), target) != nil
		} else {
			_, none := t.sh.Stat(target)
			t.result.Changed = !missing(none)
		}
		return err
	}
	t.result.Changed = true
	return nil
}

// rename retries while somebody has a file below open: Windows then refuses.
func (t *transaction) rename(from, to string) error {
	// The wait does not end with the run: a swap that was begun is finished or undone.
	err := t.again(context.WithoutCancel(t.ctx), busyTries, func() error { return t.sh.Rename(from, to) }, ErrBusy)
	return wrap("rename "+from+" to "+to, err)
}

// again tries an operation again while it fails with one error, each time after twice the wait before.
func (t *transaction) again(ctx context.Context, tries int, do func() error, while error) error {
	delay := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if err == nil || !errors.Is(err, while) || try == tries {
			return err
		}
		if werr := t.o.Wait(ctx, delay); werr != nil {
			return err
		}
		delay *= 2
	}
}

// keep removes the stage and keeps the old set under the plan's name, until the new one is proved live.
func (t *transaction) keep() error {
	var (
		clearing crew.Group
		left     error
	)
	clearing.Go(func() {
		stage := path.Join(work, stagePrefix+t.run)
		if t.sh.Remove(stage) != nil { // empty since the swap, unless somebody put something there
			left = t.removeTree(stage)
		}
	})
	err := t.retire(t.undo(), t.run)
	if clearing.Wait(); left != nil {
		return left
	}
	return err
}

// retire moves an undo folder to the name under which it is kept: the plan's, or the run's where the plan has kept a set
// already. Nothing that another plan may have published is dropped before unstage, which comes after the proof.
func (t *transaction) retire(undo, run string) error {
	id, _, _ := strings.Cut(run, "-")
	previous := path.Join(work, previousPrefix+id)
	if _, err := t.sh.Stat(undo); missing(err) {
		return nil
	} else if err != nil {
		return wrap("look at "+undo, err)
	}
	if _, err := t.sh.Stat(previous); err == nil {
		previous = path.Join(work, previousPrefix+run)
	} else if !missing(err) {
		return wrap("look at "+previous, err)
	}
	return t.rename(undo, previous)
}

// BackupEquals holds a backup against the plan: stage refuses until it has the same set.
func BackupEquals(sec plan.StageSection, open func(plan.PlannedFile) ([]byte, error)) error {
	var wrong []string
	for _, f := range sec.Files {
		b, err := open(f)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("%s/%s: %v", f.Folder, f.Name, err))
		case sum(b) != f.SHA256:
			wrong = append(wrong, fmt.Sprintf("%s/%s has SHA-256 %s, the plan says %s", f.Folder, f.Name, sum(b), f.SHA256))
		}
	}
	if len(wrong) > 0 {
		return &Error{
			Class: ClassVerification, Step: "compare the backup", Err: errors.New(strings.Join(wrong, "\n")),
			Todo: "run certstamp pack --backup: after a failed rotation the files on the share may not be intact, and a rerun needs exactly these",
		}
	}
	return nil
}
