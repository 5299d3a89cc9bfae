package stage

import (
	"errors"
	"io/fs"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

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

// remove asks for POSIX deletion first, as os.Root does. A file system that has never heard of it answers in one of several
// ways; os.Root knows three of them, and Wine and some redirectors have another: then the classic way, by a handle that no
// link leads away from.
func (f *folder) remove(name string) error {
	err := f.root.Remove(name)
	if !errors.Is(err, windows.ERROR_INVALID_FUNCTION) && !errors.Is(err, windows.ERROR_CALL_NOT_IMPLEMENTED) {
		return err
	}
	parent, perr := f.root.Open(filepath.Dir(name))
	if perr != nil {
		return perr
	}
	defer parent.Close()
	base, perr := windows.NewNTUnicodeString(filepath.Base(name))
	if perr != nil {
		return perr
	}
	oa := &windows.OBJECT_ATTRIBUTES{RootDirectory: windows.Handle(parent.Fd()), ObjectName: base, Attributes: windows.OBJ_CASE_INSENSITIVE}
	oa.Length = uint32(unsafe.Sizeof(*oa))
	var h windows.Handle
	const all = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	status := windows.NtCreateFile(&h, windows.DELETE|windows.SYNCHRONIZE, oa, &windows.IO_STATUS_BLOCK{}, nil, 0, all, windows.FILE_OPEN,
		windows.FILE_OPEN_REPARSE_POINT|windows.FILE_OPEN_FOR_BACKUP_INTENT|windows.FILE_SYNCHRONOUS_IO_NONALERT, 0, 0)
	if status == nil {
		remove := byte(1) // FILE_DISPOSITION_INFORMATION: it goes when the handle does
		status = windows.NtSetInformationFile(h, &windows.IO_STATUS_BLOCK{}, &remove, 1, windows.FileDispositionInformation)
		_ = windows.CloseHandle(h)
	}
	var nt windows.NTStatus
	if errors.As(status, &nt) {
		status = nt.Errno()
	}
	if status != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: status}
	}
	return nil
}
