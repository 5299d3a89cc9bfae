package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/pepsim"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/stage/smb"
)

// overSMB opens the shares that a scenario gives an address, as a stamp would: at the path and with the credential that
// came over the wire. Every other path is for next.
func overSMB(shares []pepsim.ScenarioShare, next func(unc, user, password string) (pepsim.Share, error)) func(unc, user, password string) (pepsim.Share, error) {
	return func(unc, user, password string) (pepsim.Share, error) {
		for _, s := range shares {
			root := strings.ToLower(strings.TrimRight(s.UNC, `\`))
			if lower := strings.ToLower(unc); s.Address == "" || lower != root && !strings.HasPrefix(lower, root+`\`) {
				continue
			}
			// A simulated stamp reads nothing that is not on this machine.
			sh, err := smb.Open(context.Background(), smb.Config{
				UNC: strings.TrimRight(unc, `\`), User: user, Password: secret.New(password), Addresses: []string{s.Address}, Dial: live.OnlyLoopback.Dialer(&net.Dialer{}),
			})
			if err != nil {
				return nil, err
			}
			return shareFiles{sh}, nil
		}
		return next(unc, user, password)
	}
}

// shareFiles is a share as a file system, which is all a stamp knows of it.
type shareFiles struct{ sh stage.Share }

// maxShared bounds one file that the simulator reads.
const maxShared = 4 << 20

func (f shareFiles) Close() error { return f.sh.Close() }

func (f shareFiles) WriteFile(name string, b []byte) error { return f.sh.Create(name, b) }

func (f shareFiles) Open(name string) (fs.File, error) {
	info, err := f.Stat(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if info.IsDir() {
		entries, err := f.sh.ReadDir(name)
		return &sharedFile{Reader: bytes.NewReader(nil), info: info, entries: entries}, err
	}
	b, err := f.sh.ReadFile(name, maxShared)
	return &sharedFile{Reader: bytes.NewReader(b), info: info}, err
}

func (f shareFiles) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%q: %w", name, fs.ErrInvalid)
	}
	return f.sh.Stat(name)
}

// sharedFile is a file or folder that was read whole.
type sharedFile struct {
	*bytes.Reader
	info    fs.FileInfo
	entries []fs.DirEntry
}

func (f *sharedFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *sharedFile) Close() error { return nil }

// ReadDir hands the entries out as fs.ReadDirFile says: all of them for n <= 0, else the next n and io.EOF at the end.
func (f *sharedFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(f.entries) {
		if n > 0 && len(f.entries) == 0 {
			return nil, io.EOF
		}
		n = len(f.entries)
	}
	out := f.entries[:n]
	f.entries = f.entries[n:]
	return out, nil
}
