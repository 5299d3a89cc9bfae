package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/validate"
)

func (a *app) validateCommand() *cobra.Command {
	var (
		how        judging
		asOf, kind string
		checkCRL   bool
	)
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "judge the PFX tree against the policy",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if how.asOf, err = a.asOf(asOf); err != nil {
				return err
			}
			if checkCRL {
				if how.offline || how.noPassword {
					return usagef("leave one of them out", "--check-crl asks the network, --offline and --no-password do not")
				}
				how.crl = a.crlChecker()
			}
			only, err := a.onlyType(kind)
			if err != nil {
				return err
			}
			jobs, err := a.jobs()
			if err != nil {
				return err
			}
			a.doc.AsOf = how.asOf.Format(time.RFC3339)
			complete := true
			a.doc.Verdict = validate.Pass
			for _, j := range jobs {
				sets, err := a.sets(cmd.Context(), j, how, only)
				if err != nil {
					return err
				}
				for _, set := range sets {
					r := set.outcome.Report
					a.doc.Stamps = append(a.doc.Stamps, judged(j, set))
					complete = complete && r.Complete
					a.doc.Verdict = worse(a.doc.Verdict, r.Verdict)
				}
			}
			if len(a.doc.Stamps) == 0 {
				a.doc.Verdict = ""
				return usagef("name the directory that holds them in stamp.yaml: resource-providers: PATH", "no stamp has certificates of the type %s", only)
			}
			a.doc.Complete = &complete
			switch {
			case a.doc.Verdict == validate.FailedOnce:
				return refusedf("findings", "mend what the findings name, then validate again", "the certificates do not pass")
			case !complete && !how.noPassword:
				return refusedf("incomplete", "see the skipped tests for what is missing", "a required test was skipped: this is not a pass")
			}
			return nil
		},
	}
	a.stampFlag(cmd)
	cmd.Flags().StringVar(&kind, "type", "", "judge the certificates of this type only: Deployment, AppServices, DBAdapter, EventHubs, IoTHub or AzureContainerRegistry")
	cmd.Flags().StringVar(&asOf, "as-of", "", "judge as of this time, RFC 3339 (default: now)")
	cmd.Flags().BoolVar(&how.noPassword, "no-password", false, "judge only what can be seen without secrets; implies --offline")
	cmd.Flags().BoolVar(&how.offline, "offline", false, "do not ask the endpoints what they serve")
	cmd.Flags().BoolVar(&checkCRL, "check-crl", false, "fetch the CRLs of leaves and intermediates from here, through HTTP_PROXY where it is set")
	return cmd
}

// judged is the part of a document that other tools build on.
func judged(j *job, out *judgement) report.Stamp {
	r := out.outcome.Report
	complete := r.Complete
	entry := report.Stamp{Stamp: r.Stamp, Type: r.Type, File: j.stamp.File, Simulated: r.Simulated, Verdict: r.Verdict, Complete: &complete, Set: r.Set}
	for i, c := range r.Certificates {
		entry.Certificates = append(entry.Certificates, report.Certificate{CertificateReport: c, Path: out.tree.paths[out.outcome.Subjects[i].Path]})
	}
	return entry
}

func worse(a, b validate.Verdict) validate.Verdict {
	rank := map[validate.Verdict]int{validate.Pass: 0, validate.Warn: 1, validate.FailedOnce: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// asOf reads --as-of, or the clock to the second.
func (a *app) asOf(s string) (time.Time, error) {
	if s == "" {
		return a.env.Now().UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, usagef("write it as 2026-11-23T08:00:00Z", "--as-of %q is not a time in RFC 3339", s)
	}
	return t.UTC().Truncate(time.Second), nil
}
