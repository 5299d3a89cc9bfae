// Package cli is the command line: one file per subcommand, and the only place where rooms are composed.
//
// A command fills a report.Document and returns an error or nil. Main renders the document in every format that was
// asked for, prints the one error and its hint, and returns the exit code. Results go to stdout, progress and hints to
// stderr, everything through the guard of package ci.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/crew"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// Env is everything a run takes from outside.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	Now    func() time.Time
	// Dir is the working directory: relative paths of the command line begin there. Empty is the process's own.
	Dir string
	// Version is what the binary calls itself: it is part of every plan.
	Version string
}

// app is one run.
type app struct {
	env      Env
	redactor *ci.Redactor
	emitter  *ci.Emitter
	out      *ci.Guard // results in text
	err      *ci.Guard // progress, errors, hints

	formats []string
	stamps  []string
	allowed []string
	tape    string   // a folder for recordings of sessions with the endpoint
	short   []string // references to secrets that were warned of
	ci      string

	repo  *stamp.Repository
	shown string // the target that a person was shown, because none is pinned
	doc   *report.Document
	made  []output // by the command, besides what the document says
}

// Main runs one command and returns its exit code.
func Main(ctx context.Context, args []string, env Env) (code int) {
	a := newApp(env)
	defer func() {
		if p := recover(); p != nil {
			a.bug(p)
			code = exitBug
			a.ended(code)
		}
		_ = a.out.Flush()
		_ = a.err.Flush()
		if a.repo != nil {
			_ = a.repo.Close()
		}
	}()

	root := a.root()
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err != nil && a.doc.Command == "" {
		// It ended on the command line itself, perhaps before the flag that says how to say it.
		a.formats = formatsIn(args)
	}
	return a.finish(ctx, err)
}

// bug tells of a panic, here or beside us.
func (a *app) bug(p any) {
	stack := debug.Stack()
	if beside, ok := p.(*crew.Panic); ok {
		stack = beside.Stack
	}
	a.progress("certstamp: bug: %v", p)
	for l := range strings.Lines(string(stack)) {
		a.progress("  %s", strings.TrimRight(l, "\n"))
	}
	a.hint("please report this with the lines above; nothing after this point was done")
}

// Commands is the tree of commands, for what is generated out of it. It is there to be read, not to be run.
func Commands(version string) *cobra.Command {
	return newApp(Env{Version: version, Getenv: func(string) string { return "" }}).root()
}

func newApp(env Env) *app {
	r := &ci.Redactor{}
	a := &app{
		env: env, redactor: r,
		out: ci.NewGuard(env.Stdout, r), err: ci.NewGuard(env.Stderr, r),
		doc: &report.Document{SchemaVersion: report.SchemaVersion, Tool: env.Version},
	}
	// The runners read commands from both streams. Stdout belongs to the document: a mask in it would be no JSON, and would
	// carry the secret into a file that somebody redirected it to.
	a.emitter = &ci.Emitter{Platform: ci.Detect(env.Getenv), Getenv: env.Getenv, Log: a.err, Redact: r}
	return a
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "certstamp",
		Short:         "External certificates of Azure Stack Hub stamps, from request to rotation",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       a.env.Version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.doc.Command = strings.TrimPrefix(cmd.CommandPath(), "certstamp ")
			platform, err := ci.Choose(a.ci, a.env.Getenv)
			if err != nil {
				return usagef("use --ci "+strings.Join(ci.Platforms, "|"), "%w", err)
			}
			a.emitter.Platform = platform
			return a.checkFormats()
		},
	}
	flags := root.PersistentFlags()
	a.formats = []string{"text"}
	flags.Var(list(&a.formats), "format", "how to say it: "+strings.Join(report.Formats, ", ")+", each also as FORMAT=FILE; repeatable")
	flags.Var(list(&a.allowed), "allow-path", "a path outside the repository that may be opened; repeatable")
	flags.StringVar(&a.ci, "ci", ci.Auto, "whose commands to write for masks, annotations and outputs: "+strings.Join(ci.Platforms, ", "))
	root.SetVersionTemplate("certstamp {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("run "+cmd.CommandPath()+" --help", "%w", err)
	})
	root.SetHelpCommand(helpCommand())
	root.AddCommand(
		a.initCommand(), a.csrCommand(), a.packCommand(), a.discoverCommand(), a.validateCommand(), a.explainCommand(), a.targetCommand(), a.planCommand(),
		a.stageCommand(), a.rotateCommand(), a.verifyCommand(), a.unstageCommand(), a.bmcCommand(),
		a.statusCommand(), a.expiryCommand(), a.supportCommand(), a.pepCommand(), a.simulateCommand(), a.demoCommand(), a.versionCommand(),
	)
	return root
}

// helpCommand is cobra's, but for a command that there is not: that is a mistake, and exits as one.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || about == nil || len(rest) > 0 {
				return usagef("certstamp help lists the commands", "there is no command %q", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if slices.Contains(a.formats, "text") {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "certstamp %s\n", a.env.Version)
			}
			return nil
		},
	}
}

// stampFlag adds --stamp to a reading command.
func (a *app) stampFlag(cmd *cobra.Command) {
	cmd.Flags().Var(list(&a.stamps), "stamp", "a stamp file or its directory; repeatable (default: every stamps/*/stamp.yaml)")
}

// noArgs refuses arguments that no command takes, instead of ignoring a forgotten dash.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("run "+cmd.CommandPath()+" --help", "%s takes no arguments, got %q", cmd.CommandPath(), args)
	}
	return nil
}

func (a *app) checkFormats() error {
	toStdout := 0
	for _, f := range a.formats {
		name, file, ok := strings.Cut(f, "=")
		if !slices.Contains(report.Formats, name) || ok && file == "" {
			a.formats = usable(a.formats)
			return usagef("use --format "+strings.Join(report.Formats, "|")+"[=FILE]", "format %q is not one of %v", f, report.Formats)
		}
		if !ok {
			toStdout++
		}
	}
	if toStdout > 1 {
		a.formats = usable(a.formats)
		return usagef("give all but one of them a file: --format json=report.json", "%d formats want the standard output", toStdout)
	}
	return nil
}

// usable keeps the formats in which a mistake about formats can be told: those there are, and one for the standard output.
func usable(formats []string) []string {
	var out []string
	plain := false
	for _, f := range formats {
		name, file, toFile := strings.Cut(f, "=")
		if !slices.Contains(report.Formats, name) || toFile && file == "" || !toFile && plain {
			continue
		}
		plain = plain || !toFile
		out = append(out, f)
	}
	return out
}

// formatsIn finds the formats on a command line that could not be read whole.
func formatsIn(args []string) []string {
	var formats []string
	for i, arg := range args {
		if f, ok := strings.CutPrefix(arg, "--format="); ok {
			formats = append(formats, f)
		}
		if arg == "--format" && i+1 < len(args) {
			formats = append(formats, args[i+1])
		}
	}
	return usable(formats)
}

// finish renders the document and the error, and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	code := exitDone
	if err != nil {
		f := classify(ctx, err)
		code = f.code
		if f.hint == "" && code == exitUsage {
			f.hint = strings.TrimSpace("run certstamp "+a.doc.Command) + " --help"
		}
		a.doc.Error = &report.Error{Code: f.code, Reason: f.reason, Message: a.redactor.Redact(f.Error()), Hint: f.hint}
	}
	if oerr := a.outputs(); oerr != nil && a.doc.Error == nil {
		code = exitUsage
		a.doc.Error = &report.Error{Code: code, Reason: "output", Message: a.redactor.Redact(oerr.Error()), Hint: "the command itself was done; take what it made from its report"}
	}
	a.sourced()
	for _, f := range a.formats {
		werr := a.render(f)
		switch {
		case werr == nil:
		case a.doc.Error == nil:
			// Everything else was done, and says so; only the file is missing.
			code = exitUsage
			a.doc.Error = &report.Error{Code: code, Reason: "format", Message: a.redactor.Redact(fmt.Sprintf("write %s: %v", f, werr)), Hint: "the command itself was done; name a file that can be written with --format"}
		default:
			a.progress("certstamp: write %s: %v", f, werr)
		}
	}
	if e := a.doc.Error; e != nil {
		_ = a.out.Flush()
		for i, l := range strings.Split(strings.TrimRight(e.Message, "\n"), "\n") {
			if i == 0 {
				a.progress("certstamp: error: %s", l)
				continue
			}
			a.progress("  %s", l)
		}
		if e.Hint != "" {
			a.hint(e.Hint)
		}
	}
	a.tell(code)
	return code
}

// sourced gives each finding that is not OK the place where its demand stands. Rules have named theirs.
func (a *app) sourced() {
	for i := range a.doc.Stamps {
		for _, list := range [][]validate.Finding{a.doc.Stamps[i].Findings, a.doc.Stamps[i].Set} {
			for j, f := range list {
				if f.Result == validate.OK || f.Source != "" {
					continue
				}
				if s, ok := policies.FindingSource(f.ID); ok {
					list[j].Source = s.String()
				}
			}
		}
	}
}

func (a *app) render(format string) error {
	name, file, toFile := strings.Cut(format, "=")
	doc := report.Redacted(a.doc, a.redactor.Redact)
	if !toFile {
		if name == "text" {
			return report.Text(a.out, doc)
		}
		_ = a.out.Flush()
		w := &ci.Redacting{W: a.env.Stdout, Redact: a.redactor}
		if err := report.Write(w, name, doc); err != nil {
			return err
		}
		return w.Close()
	}
	var b strings.Builder
	w := &ci.Redacting{W: &b, Redact: a.redactor}
	if err := report.Write(w, name, doc); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return writeFile(a.path(file), []byte(b.String()), 0o644)
}

// progress writes one line to stderr.
func (a *app) progress(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format+"\n", args...) }

func (a *app) hint(text string) { a.progress("certstamp: hint: %s", text) }

// secret resolves a reference once it is needed, and sees to it that the value is masked before its first use.
func (a *app) secret(r secret.Ref, field string) (secret.Value, error) {
	if r.IsZero() {
		return secret.Value{}, configuration(fmt.Errorf("%s is not set in the stamp file", field), fmt.Sprintf("add %s: env:%s_… to stamp.yaml", field, r.Role()))
	}
	v, err := r.Resolve(secret.Source{Getenv: a.env.Getenv, ReadFile: readSecretFile})
	if err != nil {
		hint := "set the variable in the environment of this step"
		if _, ok := r.Path(); ok {
			hint = "write the secret into that file, readable for this user only"
		} else if !errors.Is(err, secret.ErrNotSet) {
			hint = "store the secret again, as it is typed and without a line end"
		}
		return secret.Value{}, configuration(fmt.Errorf("%s: %w", field, err), hint)
	}
	a.redactor.Add(v)
	if !a.emitter.Maskable(v) {
		return secret.Value{}, configuration(fmt.Errorf("%s has fewer than 8 characters: a log cannot hide it", field), "take 16 or more random characters")
	}
	a.emitter.Mask(v)
	if a.emitter.Short(v) && !slices.Contains(a.short, r.String()) {
		a.short = append(a.short, r.String())
		a.progress("warning: %s is shorter than 12 characters: the log hides them wherever they occur, and outputs that hold them are lost", field)
		a.hint("take 16 or more random characters")
	}
	return v, nil
}

// maxSecret bounds a secret file: an age identity or a password, never more.
const maxSecret = 64 << 10

func readSecretFile(path string) ([]byte, error) {
	b, err := readRegular(path, maxSecret)
	if errors.Is(err, errTooLarge) {
		err = fmt.Errorf("more than %d bytes: this is not a secret", maxSecret)
	}
	return b, err
}
