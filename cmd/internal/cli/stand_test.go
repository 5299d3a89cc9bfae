package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/demo"
	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/policies"
)

// stand is a made-up stamp with its simulator, and everything the tool ever said to it.
type stand struct {
	t   *testing.T
	w   *demo.Workspace
	s   *demo.Stamp
	now func() time.Time

	mu   sync.Mutex
	said bytes.Buffer
}

func newStand(t *testing.T, spec demo.Spec) *stand {
	t.Helper()
	w, err := demo.Prepare(filepath.Join(t.TempDir(), "work"), time.Now(), []demo.Spec{spec})
	if err != nil {
		t.Fatal(err)
	}
	return &stand{t: t, w: w, s: w.Stamps[0], now: time.Now}
}

var east = demo.Spec{Name: "east", Region: "east", Identity: policies.AAD, Version: "1.2301.2.58", Speed: 5000, BMC: "pep"}

// answer is what one run left behind.
type answer struct {
	code           int
	stdout, stderr string
	doc            report.Document
}

// keep is a writer into which the simulator and the tool may write at the same time.
func (s *stand) keep(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said.Write(b)
}

// run runs a command in the repository, with the workspace's secrets and further variables.
func (s *stand) run(env map[string]string, args ...string) answer {
	s.t.Helper()
	all := maps.Clone(s.w.Secrets)
	maps.Copy(all, env)
	file := filepath.Join(s.t.TempDir(), "document.json")
	var out, errs bytes.Buffer
	a := answer{}
	a.code = cli.Main(s.t.Context(), append([]string{"--format", "text", "--format", "json=" + file}, args...), cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: s.w.Repo, Now: s.now, Version: "test",
		Getenv: func(name string) string { return all[name] },
	})
	a.stdout, a.stderr = out.String(), errs.String()
	s.keep(out.Bytes())
	s.keep(errs.Bytes())
	if b, err := os.ReadFile(file); err == nil {
		s.keep(b)
		if err := json.Unmarshal(b, &a.doc); err != nil {
			s.t.Errorf("%v: the document is not JSON: %v", args, err)
		}
	}
	for _, st := range a.doc.Stamps {
		for _, f := range slices.Concat(st.Findings, st.Set) {
			if f.Result != "OK" && f.Source == "" {
				s.t.Errorf("%v: finding %q names no source", args, f.ID)
			}
		}
	}
	return a
}

// must is run for what has to succeed.
func (s *stand) must(env map[string]string, args ...string) answer {
	s.t.Helper()
	a := s.run(env, args...)
	if a.code != 0 {
		s.t.Fatalf("certstamp %s: exit %d\n%s%s", strings.Join(args, " "), a.code, a.stdout, a.stderr)
	}
	return a
}

// simulate serves the stamp until the test ends.
func (s *stand) simulate() {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	done := make(chan struct{})
	var errs bytes.Buffer
	go func() {
		defer close(done)
		code := cli.Main(ctx, []string{"simulate", "--verbose", "--scenario", s.s.Scenario}, cli.Env{
			Stdin: strings.NewReader(""), Stdout: pw, Stderr: &errs, Dir: s.w.Dir, Now: time.Now, Version: "test",
			Getenv: func(name string) string { return s.w.Secrets[name] },
		})
		_ = pw.Close()
		if code != 0 {
			s.t.Errorf("simulate: exit %d\n%s", code, errs.String())
		}
	}()
	s.t.Cleanup(func() {
		stop()
		<-done
	})
	r := bufio.NewReader(pr)
	line, err := r.ReadString('\n')
	if err != nil {
		s.t.Fatalf("the simulator did not start: %v %s", err, errs.String())
	}
	s.keep([]byte(line))
	go func() { _, _ = io.Copy(io.Discard, r) }()
	s.t.Cleanup(func() { s.keep(errs.Bytes()) }) // after it has ended
}

// pack takes the workspace from nothing to a packed set.
func (s *stand) pack() {
	s.t.Helper()
	requested.Lock()
	defer requested.Unlock()
	what := fmt.Sprint(s.s.Region, s.s.Identity, s.s.Version)
	made, ok := requested.made[what]
	if !ok {
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			s.t.Fatal(err)
		}
		s.must(nil, "csr", "--stamp", s.name(), "--subject", "O=SIMULATED Contoso", "--recipient", identity.Recipient().String())
		made = requests{identity: identity.String(), files: map[string][]byte{}}
		entries, err := os.ReadDir(s.path("requests"))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range entries {
			if made.files[e.Name()], err = os.ReadFile(s.path("requests", e.Name())); err != nil {
				s.t.Fatal(err)
			}
		}
		requested.made[what] = made
	}
	if err := os.MkdirAll(s.path("requests"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	for name, b := range made.files {
		if err := os.WriteFile(s.path("requests", name), b, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	s.w.Secrets["PFX_IDENTITY"] = made.identity
	s.issue()
	s.must(nil, append([]string{"pack", "--stamp", s.name(), "--key-identity", "env:PFX_IDENTITY", "--backup"}, s.allow()...)...)
}

// requests are what csr wrote for one kind of stamp, with the identity that opens the keys.
type requests struct {
	identity string
	files    map[string][]byte
}

// requested keeps them: RSA keys take longest of all that a stand needs, and any stand may have the same.
var requested = struct {
	sync.Mutex
	made map[string]requests
}{made: map[string]requests{}}

// packWithPassword makes keys of its own, under a password.
func (s *stand) packWithPassword() {
	s.t.Helper()
	s.must(nil, "csr", "--stamp", s.name(), "--subject", "O=SIMULATED Contoso", "--key-password", "env:PFX_KEY_PASSWORD")
	s.issue()
	s.must(nil, append([]string{"pack", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD", "--backup"}, s.allow()...)...)
}

func (s *stand) issue() {
	s.t.Helper()
	if err := s.w.Issue(s.path("requests"), s.path("issued"), ""); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) name() string { return "stamps/" + s.s.Name }

func (s *stand) path(parts ...string) string {
	return filepath.Join(append([]string{s.w.Repo, "stamps", s.s.Name}, parts...)...)
}

func (s *stand) allow() []string {
	return []string{"--allow-path", s.s.Share, "--allow-path", s.s.Backup}
}

// plan makes a plan and returns the arguments that bind a command to it.
func (s *stand) plan(file string, args ...string) []string {
	s.t.Helper()
	a := s.must(nil, append([]string{"plan", "--stamp", s.name(), "--out", "../" + file}, args...)...)
	return append([]string{"--plan", "../" + file, "--plan-sha256", a.doc.Stamps[0].PlanSHA256}, s.allow()...)
}

// starts counts the rotations that the simulator was asked for.
func (s *stand) starts() int {
	s.t.Helper()
	return s.invoked("Start-SecretRotation")
}

// invoked counts how often the simulator was asked for a cmdlet.
func (s *stand) invoked(cmdlet string) int {
	s.t.Helper()
	b, err := os.ReadFile(s.s.History)
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		var e struct{ Event, Cmdlet string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Event == "invoke" && e.Cmdlet == cmdlet {
			n++
		}
	}
	return n
}

// edit changes a file of the stamp.
func (s *stand) edit(name string, change func(string) string) {
	s.t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	after := change(string(b))
	if after == string(b) {
		s.t.Fatalf("%s: nothing was changed", name)
	}
	if err := os.WriteFile(s.path(name), []byte(after), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// print is the state of a folder: every name and every byte of it.
func print(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		h.Write([]byte(p + "\x00"))
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			h.Write(b)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
