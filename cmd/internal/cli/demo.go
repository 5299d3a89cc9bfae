package cli

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var (
		out     string
		overSMB bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "play the whole pipeline on two made-up stamps",
		Long: "Makes a private CA and two simulated stamps, and takes their certificates from request to rotation with the commands of this program,\n" +
			"then shows three refusals. No network beyond loopback, nothing left behind but the output folder.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			formats := a.formats
			a.formats = nil // the commands speak for themselves
			err := demo.Run(cmd.Context(), demo.Options{
				Out: a.path(out), Shown: out, SMB: overSMB, Now: a.env.Now, Run: a.again, Stdout: a.env.Stdout, Stderr: a.env.Stderr,
			})
			if errors.Is(err, demo.ErrFolder) {
				a.formats = formats
				return configuration(err, "name an empty folder, or one that a demo made, with --out")
			}
			if err != nil {
				return fail(exitPartly, "demo", err, "the output folder holds everything that was done")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&overSMB, "smb", false, "stage over SMB, to a Samba server that is started for it; needs smbd and root")
	cmd.Flags().StringVar(&out, "out", "certstamp-demo", "output folder; replaced if a demo made it")
	return cmd
}

// again runs another command of this program as a process of its own would: nothing is shared but version and clock.
func (a *app) again(ctx context.Context, dir string, env map[string]string, args []string, stdout, stderr io.Writer) int {
	return Main(ctx, args, Env{
		Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr, Dir: dir, Now: a.env.Now, Version: a.env.Version,
		Getenv: func(name string) string { return env[name] },
	})
}
