package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
)

// begin makes the work folder, takes the lock and asks the guard: what it looks at cannot change until the verb ends.
func begin(ctx context.Context, sh Share, sec plan.StageSection, digest string, o Options) (*transaction, func(), error) {
	if sec.Identity != "AAD" && sec.Identity != "ADFS" {
		return nil, nil, &Error{Class: ClassConfig, Step: "read the plan", Err: fmt.Errorf("identity %s is none", quote(sec.Identity))}
	}
	if len(digest) < shortID || o.Run == "" {
		return nil, nil, &Error{Class: ClassInternal, Step: "begin", Err: errors.New("no plan digest or run id")}
	}
	if o.Wait == nil {
		o.Wait = func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		}
	}
	t := &transaction{ctx: ctx, sh: sh, sec: sec, digest: digest, o: o, run: digest[:shortID] + "-" + o.Run}
	release, err := t.lock(o.Owner)
	if err != nil {
		return nil, nil, err
	}
	if o.Guard != nil {
		if err := o.Guard(ctx); err != nil {
			_ = release()
			return nil, nil, err
		}
	}
	return t, func() { _ = release() }, nil
}

// Hold takes the share's lock for as long as something else works on the stamp: a rotation reads the share for an hour, and
// nobody may publish meanwhile. Owner is shown to whoever finds it held.
func Hold(sh Share, owner string) (release func() error, err error) {
	return (&transaction{sh: sh}).lock(owner)
}

// While does one thing under the share's lock, for a run that does not keep it. Where there is no work folder it makes none.
func While(sh Share, owner string, do func() error) error {
	release, err := sh.Lock(lockFile, owner)
	if err != nil {
		return wrap("lock the share", err)
	}
	defer func() { _ = release() }() // it ends with the share at the latest, and what was done is done
	return do()
}

// lock makes the work folder for the lock to lie in, and makes it again if an unstage that just ends took it away in between. Of a
// folder that just goes Samba says for a moment that it is a file.
func (t *transaction) lock(owner string) (release func() error, err error) {
	const tries = 3
	for try := 1; ; try++ {
		step := "make the work folder"
		if err = t.mkdir(work); err == nil {
			step = "lock the share"
			release, err = t.sh.Lock(lockFile, owner)
		}
		if try == tries || !missing(err) && !errors.Is(err, errNoFolder) {
			return release, wrap(step, err)
		}
	}
}
