package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
)

// Command runs one certstamp command in a directory with an environment, and returns its exit code.
type Command func(ctx context.Context, dir string, env map[string]string, args []string, stdout, stderr io.Writer) int

// Options say where the demo goes.
type Options struct {
	Out    string // output folder; replaced if it is the demo's own
	Shown  string // what a person calls it
	Now    func() time.Time
	SMB    bool // stage over SMB, to a real server
	Run    Command
	Stdout io.Writer
	Stderr io.Writer
}

// marker is the file by which the demo knows its own output folder again: it deletes no other.
const marker = ".certstamp-demo"

// player runs commands and keeps what they said for the report.
type player struct {
	Options
	w    *Workspace
	docs []*report.Document
	n    int
}

// ErrFolder is wrapped when the output folder cannot be used: then nothing was done at all.
var ErrFolder = errors.New("output folder")

// Run plays the pipeline for every made-up stamp, then three mistakes, and writes report.html.
func Run(ctx context.Context, o Options) error {
	if err := clear(o.Out); err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	started := o.Now()
	specs := slices.Clone(Specs)
	for i := range specs {
		specs[i].SMB = o.SMB
	}
	w, err := Prepare(o.Out, started, specs)
	if err != nil {
		return err
	}
	p := &player{Options: o, w: w}
	shares := "local folders for shares"
	if o.SMB {
		shares = "a real Samba server for the shares"
		server, err := w.Serve(ctx)
		if err != nil {
			return err
		}
		defer server.Close()
	}
	p.say("certstamp demo: two made-up stamps, a private CA, simulated privileged endpoints on loopback, %s", shares)
	ctx, stop := context.WithCancel(ctx)
	var simulators sync.WaitGroup
	defer simulators.Wait()
	defer stop()
	for _, s := range w.Stamps {
		if err := p.simulate(ctx, s, &simulators); err != nil {
			return err
		}
	}
	for _, s := range w.Stamps {
		if err := p.pipeline(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if err := p.refusals(ctx); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := report.HTML(&b, p.docs, "certstamp demo"); err != nil {
		return err
	}
	file := filepath.Join(w.Dir, "report.html")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return err
	}
	p.say("\ndone in %s: open %s", o.Now().Sub(started).Round(time.Second), filepath.Join(o.Shown, "report.html"))
	return nil
}

// clear empties the output folder if the demo made it.
func clear(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
			return fmt.Errorf("%q is not empty and was not made by the demo", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, marker), nil, 0o644)
}

func (p *player) say(format string, args ...any) { _, _ = fmt.Fprintf(p.Stdout, format+"\n", args...) }

// simulate starts the simulator of a stamp and waits until it listens.
func (p *player) simulate(ctx context.Context, s *Stamp, running *sync.WaitGroup) error {
	pr, pw := io.Pipe()
	running.Go(func() {
		p.Run(ctx, p.w.Dir, p.w.Secrets, []string{"simulate", "--scenario", s.Scenario}, pw, p.Stderr)
		_ = pw.Close()
	})
	// The first line says that it listens.
	line := make([]byte, 0, 256)
	one := make([]byte, 1)
	for len(line) < cap(line) {
		if _, err := pr.Read(one); err != nil {
			return fmt.Errorf("the simulator of %s did not start", s.Name)
		}
		if one[0] == '\n' {
			go func() { _, _ = io.Copy(io.Discard, pr) }()
			return nil
		}
		line = append(line, one[0])
	}
	return fmt.Errorf("the simulator of %s said %q", s.Name, line)
}

// command shows a command as a person would type it, runs it, and keeps its document.
func (p *player) command(ctx context.Context, env map[string]string, want int, args ...string) (*report.Document, error) {
	p.say("\n$ certstamp %s", typed(args))
	p.n++
	file := filepath.Join(p.w.Dir, "documents", fmt.Sprintf("%02d-%s.json", p.n, args[0]))
	all := map[string]string{}
	for k, v := range p.w.Secrets {
		all[k] = v
	}
	for k, v := range env {
		all[k] = v
	}
	code := p.Run(ctx, p.w.Repo, all, append([]string{"--format", "text", "--format", "json=" + file}, args...), p.Stdout, p.Stderr)
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certstamp %s: exit %d without a document: %w", args[0], code, err)
	}
	d := &report.Document{}
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("certstamp %s: %w", args[0], err)
	}
	p.docs = append(p.docs, d)
	if code != want {
		return d, fmt.Errorf("certstamp %s: exit %d, expected %d", args[0], code, want)
	}
	return d, nil
}

// typed is a command line as a person would type it.
func typed(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; strings.ContainsAny(a, ` \*$'`) {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// pipeline takes one stamp from request to rotation.
func (p *player) pipeline(ctx context.Context, s *Stamp) error {
	p.say("\n== %s: %s %s", s.Name, s.Identity, s.Version)
	stamp := "stamps/" + s.Name
	folder := filepath.Join(p.w.Repo, "stamps", s.Name)
	if _, err := p.command(ctx, nil, 0, "csr", "--stamp", stamp, "--subject", "C=US,O=SIMULATED Contoso", "--key-password", "env:PFX_KEY_PASSWORD"); err != nil {
		return err
	}
	p.say("   (the CA issues)")
	if err := p.w.Issue(filepath.Join(folder, "requests"), filepath.Join(folder, "issued"), ""); err != nil {
		return err
	}
	allow := []string{"--allow-path", s.Share, "--allow-path", s.Backup}
	if _, err := p.command(ctx, nil, 0, append([]string{"pack", "--stamp", stamp, "--key-password", "env:PFX_KEY_PASSWORD", "--backup"}, allow...)...); err != nil {
		return err
	}
	if _, err := p.command(ctx, nil, 0, "validate", "--stamp", stamp); err != nil {
		return err
	}
	d, err := p.command(ctx, nil, 0, "target", "--stamp", stamp)
	if err != nil {
		return err
	}
	env := map[string]string{"CERTSTAMP_TARGET": d.Stamps[0].Target.SHA256}
	file := filepath.ToSlash(filepath.Join("..", "plan-"+s.Name+".json"))
	if d, err = p.command(ctx, env, 0, "plan", "--stamp", stamp, "--out", file); err != nil {
		return err
	}
	bound := append([]string{"--plan", file, "--plan-sha256", d.Stamps[0].PlanSHA256}, allow...)
	for _, c := range []string{"stage", "rotate", "verify", "unstage"} {
		if _, err := p.command(ctx, env, 0, append([]string{c}, bound...)...); err != nil {
			return err
		}
	}
	file = filepath.ToSlash(filepath.Join("..", "plan-"+s.Name+"-bmc.json"))
	if d, err = p.command(ctx, env, 0, "plan", "--stamp", stamp, "--kind", "bmc", "--out", file); err != nil {
		return err
	}
	_, err = p.command(ctx, env, 0, append([]string{"bmc", "--plan", file, "--plan-sha256", d.Stamps[0].PlanSHA256}, allow...)...)
	return err
}
