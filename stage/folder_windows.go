package stage

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

var errLocked = errors.New("locked")

// lockOffset lies beyond the owner's text, because a locked range cannot be read by others.
const lockOffset = 1 << 20

func lockFileHandle(f *os.File) error {
	o := &windows.Overlapped{Offset: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, o)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}

func (f *folder) Free() (int64, bool, error) {
	p, err := windows.UTF16PtrFromString(f.dir)
	if err != nil {
		return 0, false, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, false, mapped(err)
	}
	return int64(min(free, 1<<62)), true, nil
}

func isSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func isBusy(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

func isTransport(err error) bool {
	return errors.Is(err, windows.ERROR_NETNAME_DELETED) || errors.Is(err, windows.ERROR_UNEXP_NET_ERR) || errors.Is(err, windows.ERROR_BAD_NETPATH)
}
