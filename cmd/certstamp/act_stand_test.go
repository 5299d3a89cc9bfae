//go:build unix

package main_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/demo"
	"github.com/certstamp/certstamp/internal/samba"
	"github.com/certstamp/certstamp/policies"
)

// gitops is the committed example as a repository of its own: its files as they are, but for the ports in the stamp files, and
// for certificates that are valid today. Its stamps are simulated by processes of their own; the shares are on a real server.
type gitops struct {
	program   string // act
	exe       string // certstamp
	w         *demo.Workspace
	dir       string // the repository; every case works on a copy
	base      string // its first commit, with the example's certificates
	east      string // its second, with new ones for east
	head      string // its third, with new ones for west too
	artifacts string
	backups   string
	labels    []string          // of the runners that there are
	actions   map[string]string // what the workflows use, and the folder that has it
	secrets   map[string]string // of the environments of the stamps
	vars      map[string]string // CERTSTAMP_TARGET above all
	runs      sync.Map          // which case each run is of
}

var actPinned = regexp.MustCompile(`(?m)^ACT = v(\S+)$`)

// actProgram finds act in the version that the Makefile pins. Without it the test is skipped, loudly; in CI that is a failure.
func actProgram(t *testing.T) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join(top, ".tools", "act"))
	if err != nil {
		t.Fatal(err)
	}
	want := actPinned.FindStringSubmatch(read(t, "Makefile"))
	if want == nil {
		t.Fatal("the Makefile pins no act")
	}
	out, err := exec.Command(p, "--version").CombinedOutput()
	if err == nil && strings.TrimSpace(string(out)) == "act version "+want[1] {
		return p
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("act %s is needed, make tools installs it: %q, %v", want[1], out, err)
	}
	t.Skipf("NOT TESTED with act %s, which make tools installs: %q, %v", want[1], out, err)
	return ""
}

func newGitops(t *testing.T) *gitops {
	t.Helper()
	g := &gitops{program: actProgram(t), exe: filepath.Join(t.TempDir(), "certstamp")}
	var building sync.WaitGroup
	defer building.Wait()
	building.Go(func() { g.build(t) })
	// A week and a day ago, so that there can be a plan that has ended by now.
	w, err := demo.Prepare(t.TempDir(), time.Now().AddDate(0, 0, -8), []demo.Spec{
		{Name: "east", Region: "east", Identity: policies.AAD, Version: "1.2301.2.58", Speed: 5000, SMB: true},
		{Name: "west", Region: "west", Identity: policies.ADFS, Version: "1.2301.2.58", Speed: 5000, SMB: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := w.Serve(t.Context())
	if errors.Is(err, samba.ErrMissing) && os.Getenv("CI") == "" {
		t.Skipf("NOT TESTED with act: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	g.w = w
	g.dir, g.artifacts, g.backups = filepath.Join(w.Dir, "gitops"), filepath.Join(w.Dir, "artifacts"), filepath.Join(w.Dir, "backups")
	if err := os.Mkdir(g.backups, 0o700); err != nil { // as whoever sets a runner up does
		t.Fatal(err)
	}
	g.labels = []string{"ubuntu-latest", "paw-east", "paw-west"} // north has no runner: whatever is asked of it ends the test
	building.Wait()
	g.release(t)
	g.identity(t)
	g.repository(t)
	for _, s := range w.Stamps {
		g.simulate(t, s)
	}
	return g
}

// build makes the tool as a release has it.
func (g *gitops) build(t *testing.T) {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", g.exe, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%s", err, out)
	}
}

// release lays the action out as a release commit has it, under the name and the commit that the example uses. Its binary is a
// script that leads to the tool: act copies the whole action several times for every step.
func (g *gitops) release(t *testing.T) {
	t.Helper()
	dir := filepath.Join(g.w.Dir, "action")
	sh := "#!/bin/sh\nexec '" + g.exe + "' \"$@\"\n"
	sum := sha256.Sum256([]byte(sh))
	name := "certstamp-linux-" + runtime.GOARCH
	for file, text := range map[string]string{
		"action.yml": read(t, "action.yml"), "scripts/action/run.sh": read(t, "scripts/action/run.sh"), "dist/" + name: sh, "dist/SHA256SUMS": hex.EncodeToString(sum[:]) + "  " + name + "\n",
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(file)), text)
	}
	g.actions = map[string]string{"certstamp/certstamp@0000000000000000000000000000000000000000": dir}
	for action, commit := range map[string]string{"upload-artifact": "ea165f8d65b6e75b540449e92b4886f43607fa02", "download-artifact": "d3f86a106a0bac45b974a628896c90dbdf5c8093"} {
		p, err := filepath.Abs(filepath.Join(top, "testdata", "actions", action))
		if err != nil {
			t.Fatal(err)
		}
		g.actions["actions/"+action+"@"+commit] = p
	}
}

// identity takes the secrets that open the example's files, and the passwords of the simulated stamps.
func (g *gitops) identity(t *testing.T) {
	t.Helper()
	g.secrets = map[string]string{"GITHUB_TOKEN": "SIMULATED-" + rand.Text()}
	for _, name := range []string{"PFX_PASSWORD", "SHARE_PASSWORD", "PEP_PASSWORD"} {
		g.secrets[name] = g.w.Secrets[name]
	}
	for line := range strings.Lines(read(t, "examples/gitops/SIMULATED-age-identity.txt")) {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			g.secrets["PFX_AGE_IDENTITY"] = strings.TrimSpace(line)
		}
	}
}

// repository makes the two commits of main.
func (g *gitops) repository(t *testing.T) {
	t.Helper()
	if err := os.CopyFS(g.dir, os.DirFS(filepath.Join(top, "examples", "gitops"))); err != nil {
		t.Fatal(err)
	}
	for i, s := range g.w.Stamps {
		at := 15001 + 20*i // as the example has them
		places := []string{"127.0.0.1:1445", s.SMBAddr, "file:/var/lib/certstamp/", "file:" + g.backups + "/"}
		for j, a := range append(s.Hosts, s.TLS) {
			places = append(places, fmt.Sprintf("127.0.0.1:%d", at+j), a)
		}
		edit(t, filepath.Join(g.dir, s.File), strings.NewReplacer(places...).Replace)
	}
	g.git(t, g.dir, "init", "-q", "-b", "main", "--template=")
	write(t, filepath.Join(g.dir, ".git", "info", "exclude"), "issued/\n")
	// Keys take longest of all that is made. They stay in this folder, ignored by git.
	var making sync.WaitGroup
	for _, s := range g.w.Stamps {
		making.Go(func() {
			g.command(t, g.dir, "csr", "--stamp", "stamps/"+s.Name, "--subject", "O=SIMULATED Contoso", "--recipient", g.recipient(t))
		})
	}
	making.Wait()
	for _, s := range g.w.Stamps {
		g.answer(t, g.dir, s.Name, "")
	}
	root, err := os.ReadFile(filepath.Join(g.dir, "stamps", "east", "issued", "root.cer"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(g.dir, "roots", "enterprise.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})))
	g.base = g.commit(t, g.dir, "the example")
	g.pack(t, g.dir, "east")
	g.east = g.commit(t, g.dir, "new certificates for east")
	g.pack(t, g.dir, "west")
	g.head = g.commit(t, g.dir, "new certificates for west")
	g.git(t, g.dir, "repack", "-a", "-d", "-q") // act copies every file of a clone for every job
	var pins []string
	for _, s := range g.w.Stamps {
		pins = append(pins, s.Name+"="+g.target(t, g.dir, s.Name))
	}
	g.vars = map[string]string{"CERTSTAMP_TARGET": strings.Join(pins, " "), "CERTSTAMP_BACKUP_FOLDER": g.backups}
}

func (g *gitops) recipient(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(read(t, "examples/gitops/recipients.txt")) {
		if strings.HasPrefix(line, "age1") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatal("recipients.txt names no recipient")
	return ""
}

// answer lets the CA answer the requests of a stamp. wrong is the endpoint whose name it forgets.
func (g *gitops) answer(t *testing.T, repo, stamp, wrong string) {
	t.Helper()
	if err := g.w.Issue(filepath.Join(g.dir, "stamps", stamp, "requests"), filepath.Join(repo, "stamps", stamp, "issued"), wrong); err != nil {
		t.Fatal(err)
	}
}

func (g *gitops) pack(t *testing.T, repo, stamp string) {
	t.Helper()
	g.command(t, repo, "pack", "--stamp", "stamps/"+stamp, "--requests", filepath.Join(g.dir, "stamps", stamp, "requests"), "--key-identity", "env:PFX_AGE_IDENTITY", "--recipient", g.recipient(t))
}

// target is the digest that an administrator would pin.
func (g *gitops) target(t *testing.T, repo, stamp string) string {
	t.Helper()
	var d struct {
		Stamps []struct{ Target struct{ SHA256 string } }
	}
	if err := json.Unmarshal([]byte(g.command(t, repo, "--format", "json", "target", "--stamp", "stamps/"+stamp)), &d); err != nil {
		t.Fatal(err)
	}
	return d.Stamps[0].Target.SHA256
}

// command runs certstamp as an operator would, with what opens the files.
func (g *gitops) command(t *testing.T, repo string, args ...string) string {
	t.Helper()
	return g.commandIn(t, repo, nil, args...)
}

func (g *gitops) commandIn(t *testing.T, repo string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(g.exe, args...)
	cmd.Dir, cmd.Env = repo, append(g.home(g.w.Dir), env...)
	for k, v := range g.secrets {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("certstamp %s: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

func (g *gitops) git(t *testing.T, repo string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = repo, g.home(g.w.Dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (g *gitops) commit(t *testing.T, repo, message string) string {
	t.Helper()
	g.git(t, repo, "add", "-A")
	g.git(t, repo, "commit", "-q", "-m", message)
	return g.git(t, repo, "rev-parse", "HEAD")
}

// clone is main for one case, as of a commit.
func (g *gitops) clone(t *testing.T, commit string) string {
	t.Helper()
	repo := filepath.Join(t.TempDir(), "stamps")
	g.git(t, g.dir, "clone", "-q", "--template=", ".", repo)
	g.git(t, repo, "reset", "-q", "--hard", commit)
	write(t, filepath.Join(repo, ".git", "info", "exclude"), "issued/\n")
	return repo
}

// simulate starts one stamp, which plays until the test ends.
func (g *gitops) simulate(t *testing.T, s *demo.Stamp) {
	t.Helper()
	cmd := exec.Command(g.exe, "simulate", "--scenario", s.Scenario)
	cmd.Env = environment(g.w)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("simulator of %s: %s", s.Name, log.String())
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("simulator of %s: %v, %q", s.Name, err, line)
	}
}

// touched is everything that a stamp and its share have seen: each line that the simulator wrote down, and each file.
func (g *gitops) touched(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, s := range g.w.Stamps {
		h, err := os.ReadFile(s.History)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(h)
		err = filepath.WalkDir(s.Share, func(p string, d fs.DirEntry, err error) error {
			if err == nil && p != s.Share {
				fmt.Fprintln(&b, p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// edit changes a file, and fails when there is nothing to change.
func edit(t *testing.T, file string, change func(string) string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	after := change(string(b))
	if after == string(b) {
		t.Fatalf("%s: nothing was changed", file)
	}
	write(t, file, after)
}
