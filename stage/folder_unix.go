//go:build unix

package stage

import (
	"errors"

	"golang.org/x/sys/unix"
)

func (f *folder) Free() (int64, bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(f.dir, &s); err != nil {
		return 0, false, mapped(err)
	}
	return int64(s.Bavail) * int64(s.Bsize), true, nil //nolint:gosec,unconvert // sizes differ between systems
}

func isSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func isBusy(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ETXTBSY) }

func isTransport(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EHOSTDOWN) || errors.Is(err, unix.ESTALE)
}

func (f *folder) remove(name string) error { return f.root.Remove(name) }
