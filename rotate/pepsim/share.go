package pepsim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Share is a share as the stamp sees it with the credential it was given. One that is an io.Closer is closed after use.
type Share interface {
	fs.FS
	WriteFile(name string, b []byte) error
}

// FolderShare is a folder that plays a share.
type FolderShare struct {
	UNC      string // \\server\share
	Folder   string
	User     string
	Password string
}

// OpenFolders makes an OpenShare of folders: the path must lie on one of them, and the credential must be its own.
func OpenFolders(list []FolderShare) func(unc, user, password string) (Share, error) {
	return func(unc, user, password string) (Share, error) {
		for _, s := range list {
			rest, ok := below(unc, s.UNC)
			if !ok {
				continue
			}
			if !strings.EqualFold(user, s.User) || password != s.Password {
				return nil, errors.New("the user name or password is incorrect")
			}
			root, err := os.OpenRoot(s.Folder)
			if err != nil {
				return nil, fmt.Errorf("the network name of %q cannot be found", unc)
			}
			if rest != "" {
				sub, err := root.OpenRoot(rest)
				_ = root.Close()
				if err != nil {
					return nil, fmt.Errorf("the network path %q was not found", unc)
				}
				root = sub
			}
			return folder{root}, nil
		}
		return nil, fmt.Errorf("the network path %q was not found", unc)
	}
}

// below returns what a UNC path has below a share.
func below(unc, share string) (string, bool) {
	share = strings.TrimRight(share, `\`)
	if len(unc) < len(share) || !strings.EqualFold(unc[:len(share)], share) {
		return "", false
	}
	rest := unc[len(share):]
	if rest != "" && rest[0] != '\\' {
		return "", false
	}
	return path.Clean(strings.ReplaceAll(strings.Trim(rest, `\`), `\`, "/")), true
}

type folder struct{ root *os.Root }

// Close lets go of the folder, which could not be renamed on Windows while it is held.
func (f folder) Close() error { return f.root.Close() }

func closeShare(s Share) {
	if c, ok := s.(io.Closer); ok {
		_ = c.Close() // what was written is written
	}
}

func (f folder) Open(name string) (fs.File, error) { return f.root.FS().Open(name) }

func (f folder) WriteFile(name string, b []byte) error { return f.root.WriteFile(name, b, 0o600) }
