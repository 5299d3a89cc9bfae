// Package samba runs a real Samba server on loopback: the stranger that the SMB client is proved against, and the share of a
// rehearsal. It needs smbd and root, because smbd changes its user for each session; nothing is installed or configured
// on the machine, every file lies in one folder of the caller's.
package samba

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/certstamp/certstamp/internal/loopback"
)

// ErrMissing says that no server can be run here.
var ErrMissing = errors.New("no Samba server can be run here")

// User is the account that every server has: an SMB account needs a Unix account of its name, and this one is everywhere.
const User = "root"

// Share is one share of a server.
type Share struct {
	Name    string
	Path    string   // folder that is served; made if need be
	Options []string // further lines of smb.conf, such as "read only = yes"
}

// Options say what to serve.
type Options struct {
	Dir      string // for the server's state; its own, and short: it holds sockets
	Password string // of User
	Also     string // another name that User answers to, without its domain; empty: none
	Addr     string // 127.0.0.1:port; a free one when empty
	Global   []string
	Shares   []Share
}

// Server is a running server.
type Server struct {
	Addr string // 127.0.0.1:port
	Conf string // smb.conf, for smbstatus and its like

	cmd   *exec.Cmd
	stdin io.Closer
	log   lockedBuffer
	ended chan struct{}
}

// Start starts a server and returns once it accepts connections. Encryption is required unless Global or a share says
// otherwise.
func Start(ctx context.Context, o Options) (*Server, error) {
	smbd, err := find("smbd")
	if err != nil {
		return nil, err
	}
	passwd, err := find("smbpasswd")
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: smbd needs root", ErrMissing)
	}
	addr := o.Addr
	if addr == "" {
		free, err := loopback.Addresses(1)
		if err != nil {
			return nil, err
		}
		addr = free[0]
	}
	s := &Server{Addr: addr, Conf: filepath.Join(o.Dir, "smb.conf"), ended: make(chan struct{})}
	if err := o.write(s.Conf, addr); err != nil {
		return nil, err
	}
	add := exec.CommandContext(ctx, passwd, "-c", s.Conf, "-s", "-a", User)
	add.Stdin = strings.NewReader(o.Password + "\n" + o.Password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("smbpasswd: %w: %q", err, out)
	}
	// It leads a process group of its own, and ends when the pipe does: a caller that dies leaves no server behind.
	s.cmd = exec.Command(smbd, "--foreground", "--debug-stdout", "-s", s.Conf)
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	if err := s.ready(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("%w\n%s", err, s.Log())
	}
	return s, nil
}

// Pid is the main process. Each connection has a child of its own.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Log is what the server has said so far.
func (s *Server) Log() string { return s.log.String() }

// Close ends the server with all its children, stopped ones included: smbd leads a process group of its own.
func (s *Server) Close() {
	_ = exec.Command("kill", "-KILL", "--", "-"+strconv.Itoa(s.Pid())).Run()
	_ = s.cmd.Process.Kill() // before it has made its group
	<-s.ended
	_ = s.stdin.Close()
}

func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.accepts(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("smbd ended at once")
		case <-ctx.Done():
			return fmt.Errorf("smbd does not accept connections: %w", err)
		case <-tick.C:
		}
	}
}

// accepts asks for a connection, and for the daemon without which smbd refuses to mount a share: it registers a moment later.
func (s *Server) accepts(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	_ = conn.Close()
	names, err := os.ReadFile(filepath.Join(filepath.Dir(s.Conf), "lock", "names.tdb"))
	if err != nil {
		return err
	}
	if !bytes.Contains(names, []byte("notify-daemon")) {
		return errors.New("its notify daemon is not there yet")
	}
	return nil
}

func find(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin"} {
		if p := filepath.Join(dir, name); isFile(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: %s is not installed (Debian: apt-get install samba)", ErrMissing, name)
}

func isFile(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular()
}

func (o Options) write(conf, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	sub := func(name string) string { return filepath.Join(o.Dir, name) }
	for _, d := range []string{"private", "state", "cache", "lock", "pid", "ncalrpc", "log"} {
		if err := os.MkdirAll(sub(d), 0o755); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	line := func(format string, a ...any) { _, _ = fmt.Fprintf(&b, format+"\n", a...) }
	line("[global]")
	for _, l := range []string{
		"server role = standalone server", "interfaces = 127.0.0.1", "bind interfaces only = yes", "smb ports = " + port,
		"disable netbios = yes", "server min protocol = SMB3", "server signing = mandatory", "server smb encrypt = required", "map to guest = never",
		"passdb backend = tdbsam:" + sub("private/passdb.tdb"), "private dir = " + sub("private"), "state directory = " + sub("state"),
		"cache directory = " + sub("cache"), "lock directory = " + sub("lock"), "pid directory = " + sub("pid"), "ncalrpc dir = " + sub("ncalrpc"),
		"log file = " + sub("log/smbd.log"), "log level = 1 auth_audit:3", "load printers = no", "printcap name = /dev/null", "disable spoolss = yes",
	} {
		line("  %s", l)
	}
	if o.Also != "" {
		if err := os.WriteFile(sub("users"), []byte(User+" = "+o.Also+"\n"), 0o600); err != nil {
			return err
		}
		line("  username map = %s", sub("users"))
	}
	for _, l := range o.Global {
		line("  %s", l) // of two lines for one thing Samba takes the later
	}
	for _, s := range o.Shares {
		if err := os.MkdirAll(s.Path, 0o755); err != nil {
			return err
		}
		line("[%s]\n  path = %s\n  read only = no\n  valid users = %s\n  create mask = 0600\n  directory mask = 0700", s.Name, s.Path, User)
		for _, l := range s.Options {
			line("  %s", l)
		}
	}
	return os.WriteFile(conf, b.Bytes(), 0o600)
}

// lockedBuffer takes a process's output while somebody reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
