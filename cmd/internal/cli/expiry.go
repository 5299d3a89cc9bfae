package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// mostDays is a century: far more than any certificate lives, and far less than a time.Duration can count.
const mostDays = 36500

// watch says how to look at what ends when, and where to write it.
type watch struct {
	asOf              time.Time
	offline           bool
	critical, warning int // days left below which it is a finding; 0: as the stamp's own alerts
	metrics, calendar string
}

func (a *app) expiryCommand() *cobra.Command {
	var (
		how  watch
		asOf string
	)
	cmd := &cobra.Command{
		Use:   "expiry",
		Short: "say when what the endpoints serve and what the tree holds ends",
		Long: "Asks every endpoint what it serves, reads the public twins of the tree, and says what is due, first to end first. It needs no\n" +
			"secret; a PFX without a twin is opened where its password is at hand. Certificates with few days left are findings, by\n" +
			"default as the stamp itself begins to warn of them.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if how.asOf, err = a.asOf(asOf); err != nil {
				return err
			}
			if asOf != "" && (how.metrics != "" || how.calendar != "") {
				return usagef("leave --as-of out", "--as-of looks from another day, and what --metrics and --calendar write is read as of today")
			}
			return a.expiry(cmd.Context(), how)
		},
	}
	a.stampFlag(cmd)
	cmd.Flags().StringVar(&asOf, "as-of", "", "count from this time, RFC 3339 (default: now)")
	cmd.Flags().BoolVar(&how.offline, "offline", false, "look at files only, do not ask the endpoints")
	cmd.Flags().IntVar(&how.critical, "critical-days", 0, "fail for what has fewer days left (default 30)")
	cmd.Flags().IntVar(&how.warning, "warning-days", 0, "warn of what has fewer days left, however long it lives (default 90, for what lives 200 days or more)")
	cmd.Flags().StringVar(&how.metrics, "metrics", "", "write metrics to this file, NAME.prom, for the textfile collector of Prometheus' node_exporter")
	cmd.Flags().StringVar(&how.calendar, "calendar", "", "write a calendar to this file, NAME.ics, with a day for each certificate that is due")
	return cmd
}

func (a *app) expiry(ctx context.Context, how watch) error {
	for _, f := range []struct{ flag, file, ending, why string }{
		{"--metrics", how.metrics, ".prom", "the collector reads files of that name only"},
		{"--calendar", how.calendar, ".ics", "calendars know their files by that name"},
	} {
		if f.file != "" && path.Ext(f.file) != f.ending {
			return usagef(f.why, "%s %q does not end in %s", f.flag, f.file, f.ending)
		}
	}
	if min(how.critical, how.warning) < 0 || max(how.critical, how.warning) > mostDays {
		return usagef("give 0 or leave it out for the days of the stamp's own alerts", "--critical-days %d and --warning-days %d must be from 0 to %d", how.critical, how.warning, mostDays)
	}
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	a.doc.AsOf = how.asOf.Format(time.RFC3339)
	a.doc.Verdict = validate.Pass
	complete, unseen := true, 0
	var broken error
	for _, j := range jobs {
		entry, err := a.expiryOf(ctx, j, how)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			entry = unwatched(j, err)
			broken = cmp.Or(broken, err)
		}
		for _, f := range entry.Findings {
			switch f.Result {
			case validate.Skipped:
				*entry.Complete = false
				entry.Verdict = worse(entry.Verdict, validate.Warn) // nothing known is no pass
				unseen += len(f.Folders)
			case validate.Warning:
				entry.Verdict = worse(entry.Verdict, validate.Warn)
			case validate.Fail:
				entry.Verdict = validate.FailedOnce
			}
		}
		complete = complete && *entry.Complete
		a.doc.Verdict = worse(a.doc.Verdict, entry.Verdict)
		a.doc.Stamps = append(a.doc.Stamps, entry)
	}
	a.doc.Complete = &complete
	if broken != nil && how.calendar != "" {
		a.progress("%s is left as it was: without a stamp that could not be looked at, its days would be gone", how.calendar)
		how.calendar = ""
	}
	if err := a.writeExpiry(how); err != nil {
		return err
	}
	switch {
	case a.doc.Verdict == validate.FailedOnce:
		return refusedf("findings", "do what the findings say, the first to end first", "certificates are due")
	case broken != nil:
		return broken
	case !complete:
		return environment("incomplete", fmt.Errorf("of %s nothing is known", amount.Of(unseen, "certificate")), "see the skipped findings for what is missing")
	}
	return nil
}

func (a *app) writeExpiry(how watch) error {
	for _, f := range []struct {
		file  string
		write func(io.Writer, *report.Document) error
	}{{how.metrics, report.Metrics}, {how.calendar, report.Calendar}} {
		if f.file == "" {
			continue
		}
		var b bytes.Buffer
		w := &ci.Redacting{W: &b, Redact: a.redactor} // a subject may be anything
		if err := errors.Join(f.write(w, report.Redacted(a.doc, a.redactor.Redact)), w.Close()); err != nil {
			return err
		}
		if err := writeFile(a.path(f.file), b.Bytes(), 0o644); err != nil {
			return configuration(err, "")
		}
		a.doc.Files = append(a.doc.Files, f.file)
	}
	return nil
}

// unwatched is a stamp that could not be looked at. The others are, whatever is wrong with this one.
func unwatched(j *job, err error) report.Stamp {
	complete := false
	f := validate.Finding{ID: "stamp-read", Name: "Stamp Read", Result: validate.Skipped, Found: err.Error(), Wanted: "a stamp that can be looked at", Hint: hintOf(err)}
	var why *failure
	if errors.As(err, &why) {
		f.Hint = why.hint
	}
	return report.Stamp{
		Stamp: j.stamp.Name, File: j.stamp.File, Simulated: j.stamp.Simulated, Verdict: validate.Warn, Complete: &complete, Outcome: report.NotLookedAt,
		Findings: []validate.Finding{f},
	}
}

// expiryOf looks at one stamp.
func (a *app) expiryOf(ctx context.Context, j *job, how watch) (report.Stamp, error) {
	d := newDues(j.policy, how)
	served := map[string]*report.Expiry{}
	folders := map[string]string{}
	for _, e := range j.policy.Endpoints(j.stamp.Version, j.stamp.Identity, j.stamp.OptionalEndpoints) {
		folders[e.ID] = e.Folder
		d.folders = append(d.folders, e.Folder)
	}
	if !how.offline {
		if a.env.Getenv("CERTSTAMP_TARGET") != "" { // as plan: where a target is pinned, no name of another one is looked up
			if err := a.checkTarget(j.stamp); err != nil {
				return report.Stamp{}, err
			}
		}
		targets := targetsOf(j)
		a.progress("reading what %s of %s serve", amount.Of(len(targets), "endpoint"), j.stamp.Name)
		for _, seen := range observer(j.stamp.Simulated).Observe(ctx, targets) {
			e := d.live(seen, folders[seen.Target.Endpoint])
			if e.State != report.ExpiryUnreachable {
				served[e.Endpoint] = &e
			}
			d.list = append(d.list, e)
		}
		if err := ctx.Err(); err != nil {
			return report.Stamp{}, err
		}
	}
	files, err := a.dueFiles(j, how, d.folders)
	if err != nil {
		return report.Stamp{}, err
	}
	opens := a.opener(ctx, j)
	for _, f := range files {
		d.list = append(d.list, d.file(f, served[f.endpoint], opens))
	}
	slices.SortStableFunc(d.list, func(x, y report.Expiry) int {
		return cmp.Or(cmp.Compare(x.Ends, y.Ends), cmp.Compare(x.Type, y.Type), cmp.Compare(x.Endpoint, y.Endpoint), -cmp.Compare(x.Source, y.Source))
	})
	complete := true
	entry := report.Stamp{
		Stamp: j.stamp.Name, File: j.stamp.File, Simulated: j.stamp.Simulated, Verdict: validate.Pass, Complete: &complete,
		Expiries: d.list, Findings: d.findings(),
	}
	entry.Message, entry.Next = d.first(), d.next(path.Dir(j.stamp.File))
	return entry, ctx.Err()
}

// dueFile is a file of a tree whose certificate ends some day.
type dueFile struct {
	validate.File
	kind           policies.CertificateType // empty: of those that a rotation takes
	endpoint, path string
}

// dueFiles are the files of a stamp's own tree and of its resource providers'. A stamp that is only watched may have none.
func (a *app) dueFiles(j *job, how watch, folders []string) ([]dueFile, error) {
	open := a.unsealer(j.stamp)
	out, err := a.dueFilesWith(j, how, folders, open)
	if err == nil || open == nil {
		return out, err
	}
	// An identity that is not at hand, or opens nothing, must not hide what the twins say.
	out, closed := a.dueFilesWith(j, how, folders, nil)
	if closed != nil {
		return nil, err
	}
	a.progress("%s: the sealed files stay closed: %v", j.stamp.Name, err)
	return out, nil
}

func (a *app) dueFilesWith(j *job, how watch, folders []string, open unsealer) ([]dueFile, error) {
	var out []dueFile
	var none noTree
	own, err := a.readTree(j.stamp, open)
	switch {
	case err == nil:
		out = own.due("", folders)
	case how.offline || !errors.As(err, &none):
		return nil, err
	default:
		a.progress("%s has no tree of certificates: only what its endpoints serve is looked at", j.stamp.Name)
	}
	trees, err := a.providerTrees(j, open, "")
	if err != nil {
		return nil, err
	}
	for _, t := range trees {
		out = append(out, t.due(t.kind, nil)...)
	}
	return out, nil
}

// due names files by the folders of their endpoints. One that lies anywhere else is named by its path: it must not pass for
// the certificate of an endpoint.
func (t *tree) due(kind policies.CertificateType, folders []string) []dueFile {
	var out []dueFile
	for i, f := range t.files {
		at := t.places[i]
		endpoint := f.Path
		if at.beside {
			endpoint = at.path
		}
		folder, name, _ := strings.Cut(f.Path, "/")
		if name != "" && !strings.Contains(name, "/") && !at.beside {
			known := slices.IndexFunc(folders, func(s string) bool { return strings.EqualFold(s, folder) })
			switch {
			case known >= 0:
				endpoint = folders[known]
			case kind != "":
				endpoint = folder
			}
		}
		out = append(out, dueFile{File: f, kind: kind, endpoint: endpoint, path: at.path})
	}
	return out
}

// opener opens a PFX, if the password is at hand.
func (a *app) opener(ctx context.Context, j *job) func([]byte) ([]*x509.Certificate, error) {
	var password secret.Value
	var err error
	asked := false
	return func(b []byte) ([]*x509.Certificate, error) {
		if !asked {
			asked = true
			password, err = a.secret(j.stamp.PFXPassword, "pfx-password")
		}
		if err != nil {
			return nil, closed{err}
		}
		bundle, err := pfx.Open(ctx, b, password.Reveal(), pfx.DefaultLimits())
		if err != nil {
			return nil, err
		}
		leaf := bundle.LeafCertificate()
		if leaf == nil {
			return nil, errors.New("the PFX holds no certificate for its key")
		}
		chain, _ := pfx.Walk(leaf, bundle.X509())
		return chain, nil
	}
}
