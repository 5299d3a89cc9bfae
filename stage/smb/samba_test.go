package smb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/samba"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/stage/smb"
	"github.com/certstamp/certstamp/stage/stagetest"
)

const password = "Sw0rdfish+Samba"

// stand is a real server with one share, and how to reach it.
type stand struct {
	*samba.Server
	dir      string // the folder the share serves
	cfg      smb.Config
	options  samba.Options
	restarts int
}

// serve starts Samba for one test. Without it the test is skipped, loudly; in CI that is a failure.
func serve(t testing.TB, global, share []string) *stand {
	t.Helper()
	// Unix sockets take short paths only, and a share below /tmp must be open to whom smbd becomes.
	dir, err := os.MkdirTemp("", "smb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stand{dir: filepath.Join(dir, "share")}
	s.options = samba.Options{
		Dir: filepath.Join(dir, "smbd"), Password: password, Global: global,
		Shares: []samba.Share{{Name: "certs", Path: s.dir, Options: share}},
	}
	s.Server, err = samba.Start(context.Background(), s.options)
	if errors.Is(err, samba.ErrMissing) && os.Getenv("CI") == "" {
		t.Skipf("NOT TESTED against a real server: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) // the one that runs then
	s.cfg = smb.Config{UNC: `\\127.0.0.1\certs`, Addresses: []string{s.Addr}, User: samba.User, Password: secret.New(password)}
	return s
}

// restart ends the server and starts it again on the same port, as whoever keeps it would.
func (s *stand) restart(t testing.TB) {
	t.Helper()
	s.options.Addr = s.Addr
	s.Close()
	var err error
	if s.Server, err = samba.Start(context.Background(), s.options); err != nil {
		t.Fatal(err)
	}
}

func (s *stand) open(t testing.TB) stage.Share {
	t.Helper()
	sh, err := smb.Open(t.Context(), s.cfg)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(s.Log()))
	}
	t.Cleanup(func() { _ = sh.Close() })
	return sh
}

func tail(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// quiet holds that a test leaves no goroutine behind.
func quiet(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 200 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond) // the library's goroutines end after their connection
		}
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
	})
}

func TestConforms(t *testing.T) {
	s := serve(t, nil, nil)
	quiet(t)
	stagetest.Conform(t, func(t *testing.T) stage.Share {
		t.Helper()
		sh, err := smb.Open(context.Background(), s.cfg)
		if err != nil {
			t.Fatalf("%v\n%s", err, tail(s.Log()))
		}
		return sh
	})
}

// TestConformsBelowAFolder: the UNC may name a folder of the share.
func TestConformsBelowAFolder(t *testing.T) {
	s := serve(t, nil, nil)
	if err := os.MkdirAll(filepath.Join(s.dir, "stamps", "east"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.cfg.UNC += `\stamps\east`
	stagetest.Conform(t, func(t *testing.T) stage.Share { return s.open(t) })
}
