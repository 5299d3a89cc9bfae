package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/validate"
)

// onlyIntent refuses the flags of plan that decide something: an intent decides nothing.
func onlyIntent(cmd *cobra.Command) error {
	var err error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		switch f.Name {
		case "intent", "stamp", "as-of", "base":
		default:
			if f.Changed && err == nil {
				err = usagef("leave out one of them", "--%s and --intent: an intent writes no plan and decides nothing", f.Name)
			}
		}
	})
	return err
}

// intents says for each stamp what its certificates would make of it, without a secret and without the network.
func (a *app) intents(ctx context.Context, asOf time.Time, base string) error {
	s, err := a.span(base, "")
	if err != nil {
		return err
	}
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	a.doc.AsOf = asOf.Format(time.RFC3339)
	before, from, err := a.before(ctx, s)
	if err != nil {
		return err
	}
	var refused []string
	for _, j := range jobs {
		in, found, err := a.planInput(ctx, j, wanted{kind: plan.External, asOf: asOf, intent: true})
		if err != nil {
			return err
		}
		entry := report.Stamp{Stamp: j.stamp.Name, File: j.stamp.File, Simulated: j.stamp.Simulated, Outcome: "intended"}
		if entry.Intent, entry.Findings = plan.Intend(in); entry.Intent == nil {
			entry.Outcome = "refused"
			if found.outcome.Report.Verdict != validate.Pass {
				r := judged(j, found)
				entry.Verdict, entry.Certificates, entry.Set = r.Verdict, failedOnly(r.Certificates), r.Set
			}
			refused = append(refused, j.stamp.Name)
		} else {
			entry.Facts = []report.Fact{{Name: "compared with", Value: from}}
			if entry.Compared, err = replaced(entry.Intent, before); err != nil {
				return err
			}
		}
		a.doc.Stamps = append(a.doc.Stamps, entry)
	}
	if len(refused) > 0 {
		return refusedf("plan-refused", "mend what the findings name", "no plan could be made for %s", strings.Join(refused, ", "))
	}
	return nil
}

// before is the commit that a change begins with, and its name; nil and why not, where nothing is compared.
func (a *app) before(ctx context.Context, s span) (*snapshot, string, error) {
	if s.base == "" {
		return nil, "nothing: " + s.everything + s.nothing, nil
	}
	repo, err := a.repository()
	if err != nil {
		return nil, "", err
	}
	h := history{dir: repo.Dir(), getenv: a.env.Getenv}
	commit, err := h.from(ctx, s)
	if err != nil {
		return nil, "", configuration(err, wholeHistory(err))
	}
	tree, err := h.snapshot(ctx, commit)
	if err != nil {
		return nil, "", environment("git", err, "")
	}
	return tree, commit, nil
}

// replaced holds the leaf of each twin against that of the twin in its place before.
func replaced(p *plan.Plan, before *snapshot) ([]report.Comparison, error) {
	var out []report.Comparison
	for _, c := range p.Certificates {
		line := report.Comparison{Fact: c.Folder, Before: "not compared", After: "not known: there is no public twin"}
		if c.LeafSHA256 != "" {
			line.After = leafText(c.Thumbprint, c.Subject, c.Issuer, c.NotAfter)
		}
		if before != nil {
			leaf, err := leafAt(before, twinPath(c.Path))
			switch {
			case before.ctx.Err() != nil:
				return nil, before.ctx.Err()
			case errors.Is(err, fs.ErrNotExist):
				leaf = "none"
			case err != nil: // this change may mend it
				leaf = "unreadable: " + err.Error()
			}
			line.Before = leaf
		}
		out = append(out, line)
	}
	return out, nil
}

// twinPath is where the public twin of a file of the set lies.
func twinPath(p string) string {
	if strings.HasSuffix(strings.ToLower(p), ".age") {
		p = p[:len(p)-len(".age")]
	}
	return strings.TrimSuffix(p, path.Ext(p)) + ".crt"
}

// leafAt describes the first certificate of a twin of a commit, which is the leaf as the rule for twins wants it.
func leafAt(tree *snapshot, twin string) (string, error) {
	b, err := readBounded(tree, twin, maxFile)
	if err != nil {
		return "", err
	}
	list, err := pfx.ParseCertificates(b)
	if err != nil {
		return "", err
	}
	leaf := list[0]
	s := validate.Subject{Leaf: leaf}
	return leafText(s.Thumbprint(), leaf.Subject.String(), leaf.Issuer.String(), leaf.NotAfter.UTC().Format(time.RFC3339)), nil
}

func leafText(thumbprint, subject, issuer, notAfter string) string {
	return fmt.Sprintf("%s, %s, issued by %s, until %s", thumbprint, subject, issuer, notAfter)
}
