package smb

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/certstamp/certstamp/internal/crew"
	"github.com/certstamp/certstamp/stage"
)

const (
	// lockPatience is about how long a run waits for others that ask at the same moment. Who holds the lock is not waited for.
	lockPatience = 3 * time.Second
	// mostRivals bounds what somebody who may write on the share can make us look at.
	mostRivals = 100
)

// Lock makes a file of its own beside name and keeps it open. The library opens without sharing deletion, so others read the
// owner but cannot remove the file; when our connection ends, however it ends, the server closes it, and a file that can be
// removed is stale. The lock is ours once a list that was made after our file shows it and nobody else's: of two runs, the
// later list shows both files.
//
// One file for all is no lock with Samba. It opens a file that another client removes meanwhile, and says so to nobody, as
// was seen with 4.17: hence ours must be in the list. And where it removes by name what it has opened, the slower of two runs
// that remove the same stale file takes away what a third made in its place, and holds open: hence no name is used twice.
func (s *mount) Lock(name, owner string) (func() error, error) {
	var (
		mine   string
		f      *smb2.File
		holder string
		others rival
		err    error
		until  = time.Now().Add(lockPatience)
		fail   = func(err error) (func() error, error) { _ = s.leave(mine, f); return nil, err }
	)
	for pause := time.Millisecond; ; pause = min(2*pause, lockPatience/64) {
		if f == nil && others == none {
			mine = name + "-" + strings.ToLower(rand.Text())
			switch f, err = s.createLock(mine); {
			case errors.Is(err, stage.ErrBusy): // a rival took it for stale while it was made
				mine, f = "", nil
			case err != nil:
				return nil, err
			}
		}
		holder, others, err = s.rivals(name, mine)
		switch {
		case err != nil:
			return fail(err)
		case holder != "":
			return fail(&stage.LockedError{Owner: holder})
		case others == none && f != nil:
			l := s.sign(f, mine, owner)
			s.mu.Lock()
			s.lock = l
			s.mu.Unlock()
			return func() error { return s.unlock(mine, l) }, nil
		case others == gone || others == ahead: // a rival took it for stale, or waits for us to leave
			if err := s.leave(mine, f); err != nil {
				return nil, err
			}
			mine, f = "", nil
		}
		if time.Now().After(until) {
			return fail(&stage.LockedError{})
		}
		time.Sleep(pause)
	}
}

// rival is where the others stand that ask for the lock and do not have it: the one whose file comes first by name waits
// for the rest to leave, so that of any number one gets it.
type rival int

const (
	none   rival = iota
	behind       // all of them
	ahead        // one of them at least
	gone         // our own file is not there
)

// rivals removes what dead runs left, and says who holds the lock or, if nobody does, who asks for it beside us.
func (s *mount) rivals(name, mine string) (holder string, others rival, err error) {
	entries, err := s.ReadDir(path.Dir(name))
	if err != nil {
		return "", none, err
	}
	if mine != "" && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == path.Base(mine) }) {
		return "", gone, nil
	}
	seen := 0
	for _, e := range entries {
		at := path.Join(path.Dir(name), e.Name())
		if !strings.HasPrefix(at, name+"-") || at == mine {
			continue
		}
		if seen++; seen > mostRivals {
			return "", none, fmt.Errorf("%s holds more than %d lock files", path.Dir(name), mostRivals)
		}
		err := s.Remove(at)
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			continue
		case !errors.Is(err, stage.ErrBusy):
			return "", none, err
		}
		if owner := s.owner(at); owner != "" {
			return owner, none, nil
		}
		if at < mine {
			others = ahead
		} else {
			others = max(others, behind)
		}
	}
	return "", others, nil
}

func (s *mount) createLock(name string) (f *smb2.File, err error) {
	err = s.on("lock "+name, name, func(at string) (err error) {
		f, err = s.share.OpenFile(at, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	return f, err
}

// held is the lock while it is ours.
type held struct {
	f       *smb2.File
	signing crew.Group
}

// sign writes who holds the lock, while its holder goes on: until then whoever reads it takes its run for one that asks, and
// waits. That nothing can be written is said by what the lock was taken for.
func (s *mount) sign(f *smb2.File, name, owner string) *held {
	l := &held{f: f}
	l.signing.Go(func() {
		_ = s.do("lock "+name, func() error {
			_, err := f.WriteAt([]byte(owner+"\n"), 0)
			return err
		})
	})
	return l
}

// unlock gives the lock up. A second time it does nothing.
func (s *mount) unlock(name string, l *held) error {
	s.mu.Lock()
	mine := s.lock == l
	if mine {
		s.lock = nil
	}
	s.mu.Unlock()
	if !mine {
		return nil
	}
	l.signing.Wait()
	return s.leave(name, l.f)
}

// leave closes the file, which is what lets the others go on, and removes it unless one of them has or just does.
func (s *mount) leave(name string, f *smb2.File) error {
	if f == nil {
		return nil
	}
	if err := s.do("unlock", f.Close); err != nil {
		return err
	}
	if err := s.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, stage.ErrBusy) {
		return err
	}
	return nil
}

// owner reads who holds the lock, and since when; empty when the file says nothing yet or is gone.
func (s *mount) owner(name string) string {
	b, err := s.ReadFile(name, 512)
	text := strings.TrimSpace(string(b))
	if err != nil || text == "" {
		return ""
	}
	if info, err := s.Stat(name); err == nil {
		text += ", since " + info.ModTime().UTC().Format(time.RFC3339)
	}
	return text
}
