package demo

import (
	"context"
	"os"

	"github.com/certstamp/certstamp/internal/samba"
)

// Server is the real server behind the shares of a workspace, with its own folder.
type Server struct {
	*samba.Server
	dir string
}

// Serve starts a real server for the shares that are reached over SMB. Its state lies in a folder of its own that goes with
// it, because the paths of sockets must be short.
func (w *Workspace) Serve(ctx context.Context) (*Server, error) {
	dir, err := os.MkdirTemp("", "smb")
	if err != nil {
		return nil, err
	}
	o := samba.Options{Dir: dir, Addr: w.SMBAddr, Password: w.Secrets["SHARE_PASSWORD"], Also: "certstage"}
	for _, s := range w.Stamps {
		o.Shares = append(o.Shares, samba.Share{Name: "certs-" + s.Name, Path: s.Share})
	}
	server, err := samba.Start(ctx, o)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return &Server{server, dir}, nil
}

// Close ends the server and removes its folder.
func (s *Server) Close() {
	s.Server.Close()
	_ = os.RemoveAll(s.dir)
}
