package smb_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/stage/smb"
)

// set is a made-up set: folder → content of its one file.
type set map[string]string

func newSet(mark string) set {
	s := set{}
	for _, f := range []string{"ACSBlob", "ACSQueue", "ACSTable", "Admin Portal", "ARM Admin", "KeyVault", "Public Portal"} {
		s[f] = strings.Repeat(mark+" "+f+";", 400)
	}
	return s
}

var older, newer = newSet("OLDPFX"), newSet("NEWPFX")

func (s set) section() plan.StageSection {
	sec := plan.StageSection{UNC: `\\127.0.0.1\certs`, Identity: "AAD", Files: []plan.PlannedFile{}}
	for _, f := range slices.Sorted(maps.Keys(s)) {
		sum := sha256.Sum256([]byte(s[f]))
		sec.Files = append(sec.Files, plan.PlannedFile{Folder: f, Name: strings.ReplaceAll(f, " ", "") + ".pfx", Size: int64(len(s[f])), SHA256: hex.EncodeToString(sum[:])})
	}
	return sec
}

func (s set) open(f plan.PlannedFile) ([]byte, error) { return []byte(s[f.Folder]), nil }

func (s set) digest() string {
	sum := sha256.Sum256([]byte(fmt.Sprint(s)))
	return hex.EncodeToString(sum[:])
}

func publish(ctx context.Context, sh stage.Share, s set) (stage.Result, error) {
	return stage.Publish(ctx, sh, s.section(), s.digest(), s.open, stage.Options{Run: "run-1", Owner: "a test"})
}

// lies reads what the server's folder holds, without SMB: which set, or none, or a mixture.
func (s *stand) lies(t testing.TB) string {
	t.Helper()
	found := map[string]string{}
	for _, f := range older.section().Files {
		b, err := os.ReadFile(filepath.Join(s.dir, "Certificates", "AAD", f.Folder, f.Name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err == nil {
			found[f.Folder] = string(b)
		}
	}
	switch {
	case len(found) == 0:
		return "absent"
	case maps.Equal(found, older):
		return "old"
	case maps.Equal(found, newer):
		return "new"
	}
	return "mixed"
}

// inFlight lists what an interrupted run left in the work folder.
func (s *stand) inFlight(t testing.TB) (left []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, "_certstamp"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "stage-") || strings.HasPrefix(e.Name(), "undo-") {
			left = append(left, e.Name())
		}
	}
	return left
}

// TestVariants walks what servers are like. The old set lies there throughout, and stays wherever the new one is not taken.
func TestVariants(t *testing.T) {
	for _, row := range []struct {
		name    string
		global  []string
		share   []string
		with    func(*smb.Config)
		spoil   func(t *testing.T, s *stand) // after the old set was published
		class   stage.Class                  // empty: it works
		says    string
		hint    string
		logins  int  // attempts in the server's log while the new set was published; 0: not counted
		nothing bool // nothing may be written, not even aside
		// again is how often a lost connection is followed by another run. With a handful of credits the library's count of
		// them comes out one too high now and then, and the server then drops the connection.
		again int
	}{
		{name: "encryption for all"},
		{name: "encryption for the share", global: []string{"server smb encrypt = desired"}, share: []string{"server smb encrypt = required"}},
		{name: "signing only, encryption demanded", global: []string{"server smb encrypt = off"}, class: stage.ClassConfig, says: "does not encrypt", hint: "signing-only", nothing: true},
		{name: "signing only, accepted", global: []string{"server smb encrypt = off"}, with: func(c *smb.Config) { c.SigningOnly = true }},
		{
			name: "AES-256 only", global: []string{"server smb3 encryption algorithms = AES-256-GCM"},
			class: stage.ClassConfig, says: "no cipher of ours", hint: "AES-128-GCM", nothing: true,
		},
		{name: "no NTLM", global: []string{"ntlm auth = disabled"}, class: stage.ClassAuth, says: "refuses NTLM", hint: "Kerberos", nothing: true},
		{
			name: "wrong password", with: func(c *smb.Config) { c.Password = secret.New("Wrong+Password1") },
			class: stage.ClassAuth, says: "wrong user name or password", hint: "not locked", logins: 1, nothing: true,
		},
		{name: "unknown user", with: func(c *smb.Config) { c.User = `SIM\nobody-here` }, class: stage.ClassAuth, says: "wrong user", hint: "DOMAIN", logins: 1, nothing: true},
		{name: "domain and user", with: func(c *smb.Config) { c.User = `WORKGROUP\root` }},
		{name: "no such share", with: func(c *smb.Config) { c.UNC = `\\127.0.0.1\nothing` }, class: stage.ClassConfig, says: "no such share", hint: "share.unc", nothing: true},
		{name: "user not permitted", share: []string{"valid users = daemon"}, class: stage.ClassPermission, says: "access denied", hint: "read, write and delete", nothing: true},
		{name: "read-only share", share: []string{"read only = yes"}, class: stage.ClassPermission, says: "denied", hint: "read, write and delete", nothing: true},
		{
			name: "too little space reported", share: []string{"dfree command = /bin/sh -c 'echo 1024 3'"},
			class: stage.ClassSpace, says: "wanted", hint: "twice the set", nothing: true,
		},
		{name: "an older dialect", global: []string{"server max protocol = SMB3_02"}, class: stage.ClassConfig, says: "SMB 3.1.1", hint: "dialect", nothing: true},
		{name: "few credits", global: []string{"smb2 max credits = 16"}, again: 9},
		{
			name: "a Windows-like rename, a reader lets go in time", share: []string{"strict rename = yes"},
			spoil: func(t *testing.T, s *stand) { s.holdOpen(t, 700*time.Millisecond) },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, row.global, row.share)
			quiet(t)
			s.put(t, older)
			if row.spoil != nil {
				row.spoil(t, s)
			}
			if row.with != nil {
				row.with(&s.cfg)
			}
			before, print := logins(s.Log()), s.print(t)
			err := s.publishOnce(t, newer)
			for range row.again {
				if !errors.Is(err, stage.ErrTransport) {
					break
				}
				if got := s.lies(t); got != "old" && got != "new" {
					t.Fatalf("after a lost connection the share holds the %s set", got)
				}
				err = s.publishOnce(t, newer)
			}
			if row.class == "" {
				if err != nil || s.lies(t) != "new" {
					t.Fatalf("%v, the share holds the %s set\n%s", err, s.lies(t), tail(s.Log()))
				}
			} else {
				var e *stage.Error
				if !errors.As(err, &e) || e.Class != row.class || !strings.Contains(err.Error(), row.says) || !strings.Contains(e.Hint(), row.hint) {
					t.Errorf("%v (%#v), wanted %s saying %q, hint %q\n%s", err, e, row.class, row.says, row.hint, tail(s.Log()))
				}
				if got := s.lies(t); got != "old" {
					t.Errorf("the share holds the %s set", got)
				}
				if row.nothing && s.print(t) != print {
					t.Errorf("something was written:\n%s\nbefore:\n%s", s.print(t), print)
				}
			}
			if got := s.settled(before+row.logins) - before; row.logins != 0 && got != row.logins {
				t.Errorf("%d login attempts, wanted %d\n%s", got, row.logins, s.Log())
			}
			if strings.Contains(s.Log(), password) || err != nil && strings.Contains(err.Error(), password) {
				t.Error("a password was shown")
			}
		})
	}
}

// put lays a set into the server's folder without SMB, owned as smbd would.
func (s *stand) put(t testing.TB, what set) {
	t.Helper()
	for _, f := range what.section().Files {
		dir := filepath.Join(s.dir, "Certificates", "AAD", f.Folder)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, f.Name), []byte(what[f.Folder]), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// publishOnce is one run, from login to the end.
func (s *stand) publishOnce(t testing.TB, what set) error {
	t.Helper()
	sh, err := smb.Open(t.Context(), s.cfg)
	if err != nil {
		return err
	}
	defer func() { _ = sh.Close() }()
	_, err = publish(t.Context(), sh, what)
	return err
}

// print is every name and content on the share but the lock and the empty work folder.
func (s *stand) print(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(s.dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || p == s.dir || d.Name() == "_certstamp" || strings.HasPrefix(d.Name(), "lock-") {
			return err
		}
		rel, _ := filepath.Rel(s.dir, p)
		_, _ = fmt.Fprintln(&b, rel)
		if !d.IsDir() {
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(&b, "  %x\n", sha256.Sum256(content))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var audit = regexp.MustCompile(`(?m)^\s*Auth: \[SMB2`)

// settled counts the attempts once the server has written down as many as are expected, and what may follow them.
func (s *stand) settled(expected int) int {
	for range 100 {
		if logins(s.Log()) >= expected {
			break
		}
		time.Sleep(20 * time.Millisecond) // the server writes its log when it likes
	}
	time.Sleep(200 * time.Millisecond) // a second attempt would come at once
	return logins(s.Log())
}

// logins counts authentication attempts in the server's audit log.
func logins(log string) int { return len(audit.FindAllString(log, -1)) }

// smbclient is a client of another maker.
func (s *stand) smbclient(t testing.TB, command string) *exec.Cmd {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.Addr)
	auth := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(auth, []byte("username = root\npassword = "+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command("smbclient", "//127.0.0.1/certs", "-p", port, "-A", auth, "-m", "SMB3", "--client-protection=encrypt", "-s", s.Conf, "-c", command)
}

// holdOpen keeps a file of the live set open for a while, by the bare library: without sharing deletion, as a careless reader
// does.
func (s *stand) holdOpen(t *testing.T, long time.Duration) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &smb2.Dialer{Negotiator: smb2.Negotiator{RequireMessageSigning: true}, Initiator: &smb2.NTLMInitiator{User: "root", Password: password}}
	session, err := d.DialConn(t.Context(), conn, s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	share, err := session.Mount("certs")
	if err != nil {
		t.Fatal(err)
	}
	f, err := share.Open("Certificates/AAD/ACSBlob/ACSBlob.pfx")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(long, func() {
		_ = f.Close()
		_ = conn.Close()
	})
}

// wire keeps every byte of a connection, in both directions.
type wire struct {
	net.Conn
	mu  *sync.Mutex
	log *bytes.Buffer
}

func (w wire) note(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log.Write(p)
}

func (w wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.note(p[:n])
	return n, err
}

func (w wire) Write(p []byte) (int, error) {
	w.note(p)
	return w.Conn.Write(p)
}

// TestNothingInClear captures a whole stage: no name and no byte of a file crosses the wire, and the server itself says
// how the session is protected.
func TestNothingInClear(t *testing.T) {
	s := serve(t, nil, nil)
	w := wire{mu: &sync.Mutex{}, log: &bytes.Buffer{}}
	s.cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		w.Conn = conn
		return w, err
	}
	sh := s.open(t)
	release, err := stage.Hold(sh, "a test")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("smbstatus", "-s", s.Conf).CombinedOutput()
	if err != nil {
		t.Fatalf("smbstatus: %v\n%s", err, out)
	}
	for _, want := range []string{"SMB3_11", "AES-128-GCM", "AES-128-CMAC"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := publish(t.Context(), sh, newer); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.log.Len() < 10000 {
		t.Fatalf("only %d bytes were seen", w.log.Len())
	}
	for _, never := range []string{"NEWPFX", "ACSBlob", "Certificates", "_certstamp", ".pfx", password, "a test"} {
		for form, b := range map[string][]byte{"as it is": []byte(never), "in UTF-16": wide(never)} {
			if bytes.Contains(w.log.Bytes(), b) {
				t.Errorf("%q crossed the wire %s", never, form)
			}
		}
	}
}

func wide(s string) []byte {
	var b []byte
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return b
}

// TestSmbclientSeesTheSame lets a stranger list and fetch what was published.
func TestSmbclientSeesTheSame(t *testing.T) {
	s := serve(t, nil, nil)
	if err := s.publishOnce(t, newer); err != nil {
		t.Fatal(err)
	}
	cmd := s.smbclient(t, `prompt off; recurse on; cd Certificates\AAD; mget *`)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("smbclient: %v\n%s", err, out)
	}
	for _, f := range newer.section().Files {
		b, err := os.ReadFile(filepath.Join(cmd.Dir, f.Folder, f.Name))
		if err != nil || string(b) != newer[f.Folder] {
			t.Errorf("%s: %d bytes, %v", f.Name, len(b), err)
		}
	}
}

// TestDiskFull: a partial file stays on a full disk, so the stage must go.
func TestDiskFull(t *testing.T) {
	s := serve(t, nil, []string{"dfree command = /bin/sh -c 'echo 1000000 1000000'"}) // so that only writing finds out
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", s.dir).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("NOT TESTED: a small disk cannot be mounted here: %v %s", err, out) // as in a container
		}
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", s.dir).Run() })
	small := newSet("OLD")
	for f := range small {
		small[f] = "old " + f
	}
	s.put(t, small)
	err := s.publishOnce(t, newer)
	var e *stage.Error
	if !errors.As(err, &e) || e.Class != stage.ClassSpace || !strings.Contains(e.Hint(), "twice the set") {
		t.Errorf("%v\n%s", err, tail(s.Log()))
	}
	if left := s.inFlight(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for f, want := range small {
		if b, err := os.ReadFile(filepath.Join(s.dir, "Certificates", "AAD", f, strings.ReplaceAll(f, " ", "")+".pfx")); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", f, b, err)
		}
	}
}

// TestFrozen stops the server's child in the middle. The run ends within its budget, and the next one succeeds.
func TestFrozen(t *testing.T) {
	s := serve(t, nil, nil)
	quiet(t)
	s.put(t, older)
	s.cfg.OperationBudget = 500 * time.Millisecond
	sh := s.open(t)
	if _, err := sh.Stat("."); err != nil {
		t.Fatal(err)
	}
	frozen := children(t, s)
	signal(frozen, "-STOP")
	_, err := publish(t.Context(), sh, newer)
	var e *stage.Error
	if !errors.As(err, &e) || e.Class != stage.ClassTransport || !strings.Contains(err.Error(), "in time") {
		t.Errorf("%v", err)
	}
	if _, again := sh.ReadDir("."); !errors.Is(again, stage.ErrTransport) {
		t.Errorf("a session that was lost went on: %v", again)
	}
	signal(frozen, "-KILL")
	s.cfg.OperationBudget = 0
	if err := s.publishOnce(t, newer); err != nil || s.lies(t) != "new" {
		t.Errorf("%v, the share holds the %s set", err, s.lies(t))
	}
}

// TestCancelled: Ctrl-C ends a run that waits for a frozen server, after a short grace.
func TestCancelled(t *testing.T) {
	s := serve(t, nil, nil)
	quiet(t)
	ctx, cancel := context.WithCancel(t.Context())
	sh, err := smb.Open(ctx, s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sh.Close() }()
	frozen := children(t, s)
	signal(frozen, "-STOP")
	defer signal(frozen, "-KILL")
	time.AfterFunc(50*time.Millisecond, cancel)
	started := time.Now()
	if _, err := sh.ReadDir("."); !errors.Is(err, stage.ErrTransport) {
		t.Errorf("%v", err)
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}

// children are the server's processes that serve a connection.
func children(t testing.TB, s *stand) (pids []string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.Addr)
	out, err := exec.Command("ss", "-Htnp", "state", "established", "sport = :"+port).CombinedOutput()
	if err != nil {
		t.Fatalf("ss: %v %s", err, out)
	}
	for _, m := range regexp.MustCompile(`pid=(\d+)`).FindAllStringSubmatch(string(out), -1) {
		if !slices.Contains(pids, m[1]) {
			pids = append(pids, m[1])
		}
	}
	return pids
}

func signal(pids []string, sig string) {
	for _, pid := range pids {
		_ = exec.Command("kill", sig, pid).Run()
	}
}

// TestNoServer dials what is no server: each ends in one error within the login's budget.
func TestNoServer(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer func(net.Conn)
		class  stage.Class
	}{
		{"silent", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, stage.ClassTransport},
		{"closes at once", func(net.Conn) {}, stage.ClassTransport},
		{"speaks HTTP", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = io.Copy(io.Discard, c)
		}, stage.ClassConfig},
		{"a malformed frame for everything", func(c net.Conn) {
			buf := make([]byte, 4096)
			for {
				if _, err := c.Read(buf); err != nil {
					return
				}
				if _, err := c.Write([]byte{0, 0, 0, 6, 0xfe, 'S', 'M', 'B', 1, 2}); err != nil {
					return
				}
			}
		}, stage.ClassTransport},
		{"an empty frame", func(c net.Conn) {
			_, _ = c.Write([]byte{0, 0, 0, 0})
			_, _ = io.Copy(io.Discard, c)
		}, stage.ClassTransport},
		{"a frame of 16 MiB that never comes", func(c net.Conn) {
			_, _ = c.Write([]byte{0, 0xff, 0xff, 0xff})
			_, _ = io.Copy(io.Discard, c)
		}, stage.ClassTransport},
		{"zeros for ever", func(c net.Conn) {
			zeros := make([]byte, 64<<10)
			for {
				if _, err := c.Write(zeros); err != nil {
					return
				}
			}
		}, stage.ClassTransport},
	} {
		t.Run(row.name, func(t *testing.T) {
			quiet(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var serving sync.WaitGroup
			serving.Go(func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				row.answer(c)
			})
			defer serving.Wait()
			defer l.Close()
			_, err = smb.Open(t.Context(), smb.Config{
				UNC: `\\files\certs`, Addresses: []string{l.Addr().String()}, User: "root", Password: secret.New(password), LoginBudget: 700 * time.Millisecond,
			})
			var e *stage.Error
			if !errors.As(err, &e) || e.Class != row.class {
				t.Errorf("%v (%#v), wanted %s", err, e, row.class)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		_, err := smb.Open(t.Context(), smb.Config{UNC: `\\files\certs`, Addresses: []string{"127.0.0.1:9", "127.0.0.1:10"}, User: "root", Password: secret.New(password)})
		var e *stage.Error
		if !errors.As(err, &e) || e.Class != stage.ClassTransport || !strings.Contains(e.Hint(), "445") {
			t.Errorf("%v", err)
		}
	})
}

// TestThroughDFS: a path that leads through a DFS link names the way out. The stamp's own access by DFS is documented nowhere.
func TestThroughDFS(t *testing.T) {
	s := serve(t, []string{"host msdfs = yes"}, []string{"msdfs root = yes"})
	if err := os.Symlink(`msdfs:elsewhere.contoso.com\certs`, filepath.Join(s.dir, "east")); err != nil {
		t.Fatal(err)
	}
	s.cfg.UNC += `\east`
	err := s.publishOnce(t, newer)
	var e *stage.Error
	if !errors.As(err, &e) || e.Class != stage.ClassConfig || !strings.Contains(err.Error(), "DFS") || !strings.Contains(e.Hint(), "real server") {
		t.Errorf("%v\n%s", err, tail(s.Log()))
	}
}

// TestTwoAtOnce starts two runs over connections of their own: whichever comes second is told who holds the lock.
func TestTwoAtOnce(t *testing.T) {
	s := serve(t, nil, nil)
	s.put(t, older)
	var (
		wait sync.WaitGroup
		errs [4]error
	)
	for i := range errs {
		wait.Go(func() {
			sh, err := smb.Open(t.Context(), s.cfg)
			if err == nil {
				_, err = stage.Publish(t.Context(), sh, newer.section(), newer.digest(), newer.open, stage.Options{Run: fmt.Sprintf("run-%d", i), Owner: fmt.Sprintf("run %d of this test", i)})
				_ = sh.Close()
			}
			errs[i] = err
		})
	}
	wait.Wait()
	done := 0
	for _, err := range errs {
		var locked *stage.LockedError
		switch {
		case err == nil:
			done++
		case !errors.As(err, &locked) || !strings.Contains(locked.Owner, "of this test"):
			t.Errorf("%v", err)
		}
	}
	if done == 0 || s.lies(t) != "new" || len(s.inFlight(t)) > 0 {
		t.Errorf("%d runs were through, the share holds the %s set, left %v", done, s.lies(t), s.inFlight(t))
	}
}

// TestLinesOfTwo writes lines over two connections at once, each under the lock. Without it the server puts about one in eight of them
// over another, also where the client asks for nothing but to append.
func TestLinesOfTwo(t *testing.T) {
	s := serve(t, nil, nil)
	if err := os.Mkdir(filepath.Join(s.dir, "_certstamp"), 0o700); err != nil {
		t.Fatal(err)
	}
	const lines = 40
	var wait sync.WaitGroup
	for who := range 2 {
		sh := s.open(t)
		wait.Go(func() {
			for n := 0; n < lines; {
				line := fmt.Sprintf("%d %2d %s\n", who, n, strings.Repeat("x", n))
				err := stage.While(sh, "somebody", func() error { return sh.Append(stage.JournalFile, []byte(line)) })
				switch {
				case err == nil:
					n++
				case !errors.As(err, new(*stage.LockedError)):
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(stage.JournalFile)))
	if err != nil {
		t.Fatal(err)
	}
	var next [2]int
	for line := range strings.Lines(string(b)) {
		var who, n int
		if _, err := fmt.Sscanf(line, "%d %d ", &who, &n); err != nil || who < 0 || who > 1 || n != next[who] {
			t.Fatalf("after %v comes %q, %v", next, line, err)
		}
		next[who]++
	}
	if next != [2]int{lines, lines} {
		t.Errorf("%v lines are there, of %d each", next, lines)
	}
}

// TestStageBesideUnstage: runs that publish and remove at once are done or told who was first. The one that ends takes the work
// folder away, in which the other is about to look.
func TestStageBesideUnstage(t *testing.T) {
	s := serve(t, nil, nil)
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for n := range 15 {
				sh, err := smb.Open(t.Context(), s.cfg)
				if err != nil {
					t.Error(err)
					return
				}
				o := stage.Options{Run: fmt.Sprintf("run-%d-%d", i, n), Owner: "a run of this test"}
				if i%2 == 0 {
					_, err = stage.Publish(t.Context(), sh, newer.section(), newer.digest(), newer.open, o)
				} else {
					_, err = stage.Unstage(t.Context(), sh, newer.section(), newer.digest(), o)
				}
				if err = errors.Join(err, sh.Close()); err != nil && !errors.As(err, new(*stage.LockedError)) {
					t.Errorf("run %d-%d: %v", i, n, err)
				}
			}
		})
	}
	wait.Wait()
	if lies := s.lies(t); lies != "new" && lies != "absent" || len(s.inFlight(t)) > 0 {
		t.Errorf("the share holds the %s set, left %v", lies, s.inFlight(t))
	}
}

// TestLockIsRefusedUnseen: whoever has not seen all who may ask for the lock does not get it, and leaves nothing behind. What dead
// runs left is no reason, up to a bound.
func TestLockIsRefusedUnseen(t *testing.T) {
	s := serve(t, nil, nil)
	sh := s.open(t)
	left := func() int {
		names, err := filepath.Glob(filepath.Join(s.dir, "certstamp.lock-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for _, dead := range []int{100, 101} {
		ok := dead <= 100
		for n := range dead {
			if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("certstamp.lock-%03d", n)), []byte("a dead run\n"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		release, err := sh.Lock("certstamp.lock", "a test")
		if (err == nil) != ok || errors.As(err, new(*stage.LockedError)) {
			t.Errorf("beside %d files of dead runs: %v", dead, err)
		}
		if err == nil {
			if err := release(); err != nil {
				t.Error(err)
			}
		}
		if n := left(); ok && n != 0 || !ok && n != 1 { // the one that was too many
			t.Errorf("%d of %d files are left", n, dead)
		}
	}
	if _, err := sh.Lock("cert?stamp.lock", "a test"); !errors.Is(err, stage.ErrName) {
		t.Errorf("a lock that cannot be made: %v", err)
	}
}

// TestLockNamesItsHolder takes and leaves the lock over many connections at once. Whoever is refused reads who was first, also
// in the moments in which the file is just made or just removed; and no two ever have it.
func TestLockNamesItsHolder(t *testing.T) {
	s := serve(t, nil, nil)
	var (
		wait    sync.WaitGroup
		holders atomic.Int32
		taken   atomic.Int32
	)
	for i := range 5 {
		wait.Go(func() {
			sh, err := smb.Open(t.Context(), s.cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer sh.Close()
			for range 50 {
				release, err := sh.Lock("certstamp.lock", fmt.Sprintf("run %d of this test", i))
				var locked *stage.LockedError
				switch {
				case err == nil:
					taken.Add(1)
					if n := holders.Add(1); n != 1 {
						t.Errorf("%d runs have the lock", n)
					}
					if _, _, err := sh.Free(); err != nil { // a round trip in which another may come in
						t.Error(err)
					}
					holders.Add(-1)
					if err := release(); err != nil {
						t.Error(err)
					}
				case !errors.As(err, &locked) || !strings.Contains(locked.Owner, "of this test"):
					t.Errorf("%v", err)
				}
			}
		})
	}
	wait.Wait()
	if taken.Load() == 0 {
		t.Error("nobody ever had the lock")
	}
}
