package smb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/certstamp/certstamp/stage"
)

// at is the name on the share, below the folder of the UNC. Names are checked before they leave: a server of another kind
// than Windows takes what a stamp cannot read.
func (s *mount) at(name string) (string, error) {
	if name == "." {
		return s.base, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if err := stage.CheckName(part); err != nil {
			return "", err
		}
	}
	return path.Join(s.base, name), nil
}

// on runs an operation on one name.
func (s *mount) on(what, name string, op func(at string) error) error {
	at, err := s.at(name)
	if err != nil {
		return err
	}
	return s.do(what, func() error { return op(at) })
}

func (s *mount) Mkdir(name string) error {
	return s.on("make "+name, name, func(at string) error { return s.share.Mkdir(at, 0o755) })
}

// Create writes exclusively and flushes. What a full disk leaves of the file lies in the stage, which goes with it.
func (s *mount) Create(name string, data []byte) error {
	return s.on("write "+name, name, func(at string) error {
		f, err := s.share.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if len(data) > 0 {
			_, err = f.Write(data)
		}
		if err == nil {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	})
}

func (s *mount) Append(name string, data []byte) error {
	return s.on("append to "+name, name, func(at string) error {
		f, err := s.share.OpenFile(at, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil {
			_, err = f.WriteAt(data, info.Size())
		}
		if err == nil {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	})
}

// Rename looks first: the library asks the server to replace, which Samba does with files and empty folders.
func (s *mount) Rename(from, to string) error {
	target, err := s.at(to)
	if err != nil {
		return err
	}
	return s.on("rename "+from+" to "+to, from, func(at string) error {
		if !strings.EqualFold(at, target) {
			switch _, err := s.share.Lstat(target); {
			case err == nil:
				return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
		err := s.share.Rename(at, target)
		if errors.Is(err, fs.ErrPermission) {
			// Windows, and Samba with strict rename, answer so while anybody has a file below open.
			return &stage.Error{
				Class: stage.ClassBusy, Step: "rename " + from + " to " + to,
				Err:  &fault{says: "access denied: somebody has a file in it open, or the account may not rename", is: stage.ErrBusy, err: err},
				Todo: "close what has the set open (Get-SmbOpenFile, smbstatus), or give the account the right to delete; then run again",
			}
		}
		return err
	})
}

func (s *mount) Remove(name string) error {
	return s.on("remove "+name, name, s.share.Remove)
}

// ReadDir asks once more, with nothing else under way, when the server calls the request invalid: short of credits, the
// library asks for a larger answer than it has paid for.
func (s *mount) ReadDir(name string) ([]fs.DirEntry, error) {
	var out []fs.DirEntry
	at, err := s.at(name)
	if err != nil {
		return nil, err
	}
	read := func() error {
		list, err := s.share.ReadDir(at)
		out = nil
		for _, info := range list {
			out = append(out, fs.FileInfoToDirEntry(info))
		}
		return err
	}
	err = s.look("list "+name, read)
	if answered(err, invalidParameter) {
		err = s.alone("list "+name, read)
	}
	return out, err
}

// look asks again for about a second while another run removes what is looked at. It has a folder to itself for a moment, and who
// closes such a folder last removes it, and is told if it was not empty: that may be us.
func (s *mount) look(what string, op func() error) error {
	for pause := time.Millisecond; ; pause *= 2 {
		err := s.do(what, op)
		if !errors.Is(err, stage.ErrBusy) && !answered(err, notEmpty) || pause > time.Second/2 {
			return err
		}
		time.Sleep(pause)
	}
}

func answered(err error, status uint32) bool {
	var response *smb2.ResponseError
	return errors.As(err, &response) && response.Code == status
}

// Status codes of MS-ERREF, section 2.3.1.
const (
	invalidParameter = 0xc000000d
	notEmpty         = 0xc0000101
)

// firstRead holds any PFX of a usual size with its chain: one round trip then reads the file and sees its end.
const firstRead = 64 << 10

func (s *mount) ReadFile(name string, most int64) ([]byte, error) {
	var out []byte
	err := s.on("read "+name, name, func(at string) error {
		f, err := s.share.Open(at)
		if err != nil {
			return err
		}
		out, err = readAll(f, most)
		return errors.Join(err, f.Close())
	})
	if err == nil && int64(len(out)) > most {
		return nil, fmt.Errorf("%q has more than %d bytes", name, most)
	}
	return out, err
}

// readAll reads to the end, or one byte more than most.
func readAll(f *smb2.File, most int64) ([]byte, error) {
	out := make([]byte, 0, firstRead)
	for int64(len(out)) <= most {
		room := min(cap(out), int(most)+1)
		n, err := f.ReadAt(out[len(out):room], int64(len(out)))
		out = out[:len(out)+n]
		if errors.Is(err, io.EOF) || err == nil && len(out) < room {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(out) == cap(out) {
			out = append(out, make([]byte, len(out))...)[:len(out)]
		}
	}
	return out, nil
}

func (s *mount) Stat(name string) (info fs.FileInfo, err error) {
	at, err := s.at(name)
	if err != nil {
		return nil, err
	}
	err = s.look("look at "+name, func() error {
		info, err = s.share.Lstat(at)
		return err
	})
	return info, err
}

func (s *mount) Free() (int64, bool, error) {
	var n int64
	err := s.do("ask for free space", func() error {
		info, err := s.share.Statfs(s.base)
		if err == nil {
			n = int64(info.AvailableBlockCount() * info.BlockSize())
		}
		return err
	})
	return n, err == nil, err
}

// Rights lists who may do what with a name, as the server's DACL says: one sorted entry of type, mask and trustee for each
// rule, whether inherited or not. A server that shows none gives fs.ErrPermission.
func (s *mount) Rights(name string) (rights []string, err error) {
	err = s.on("read the rights of "+name, name, func(at string) error {
		raw, err := s.share.SecurityInfoRaw(at, smb2.DACLSecurityInformation)
		if err == nil {
			rights, err = parseRights(raw)
		}
		return err
	})
	return rights, err
}
