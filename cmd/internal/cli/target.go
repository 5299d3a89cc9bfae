package cli

import (
	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
)

func (a *app) targetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "target",
		Short: "print what a run may reach, and the digest to pin",
		Long: "Prints every host, port, user, pin, relaxing flag and secret name that a run of the stamp may use, and the SHA-256 of that text.\n" +
			"Set CERTSTAMP_TARGET to it on the protected environment: a pull request cannot change it there.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			jobs, err := a.jobs()
			if err != nil {
				return err
			}
			for _, j := range jobs {
				t := j.stamp.Target()
				a.doc.Stamps = append(a.doc.Stamps, report.Stamp{
					Stamp: j.stamp.Name, Simulated: j.stamp.Simulated,
					Target: &report.Target{SHA256: t.Digest(), Text: t.Text()},
				})
			}
			return nil
		},
	}
	a.stampFlag(cmd)
	return cmd
}
