package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/rotate/pep"
)

// mostSessions bounds the search for a free name.
const mostSessions = 1000

// recordFlag adds the flag of the commands that talk to the endpoint at length.
func (a *app) recordFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.tape, "record", "", "folder for a recording of each session with the endpoint, without ids and secrets, for a report of a defect")
}

// recorded makes every session with the endpoint write a file of its own, if that was asked for.
func (a *app) recorded(cfg *pep.Config) error {
	if a.tape == "" {
		return nil
	}
	if err := makeFolder(a.path(a.tape), 0o700); err != nil {
		return configuration(fmt.Errorf("--record: %w", err), "")
	}
	var sessions atomic.Int32
	cfg.Hide = a.redactor.Known()
	cfg.Record = func(host string) io.WriteCloser {
		var name string
		var f *os.File
		var err error
		for range mostSessions { // another run may record into the same folder
			name = fmt.Sprintf("%s-%s-%d.jsonl", a.env.Now().UTC().Format("20060102T150405Z"), fileWord(host), sessions.Add(1))
			f, err = os.OpenFile(a.path(filepath.Join(a.tape, name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if !errors.Is(err, fs.ErrExist) {
				break
			}
		}
		if err != nil {
			a.progress("this session is not recorded: %v", err)
			return nil
		}
		a.progress("recording the session with %s in %s", host, filepath.Join(a.tape, name))
		return f
	}
	return nil
}

// fileWord makes a host and port a part of a file name.
func fileWord(host string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`:/\[]%`, r) {
			return '_'
		}
		return r
	}, host)
}

// warnings are what the layers below say that a person should see: a message of a type that nobody knows, a recording that
// ended early. The handler quotes whatever is foreign in them.
func (a *app) warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: untimed}))
}

func untimed(_ []string, at slog.Attr) slog.Attr {
	if at.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return at
}
