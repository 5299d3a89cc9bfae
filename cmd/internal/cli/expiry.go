package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

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
			return a.expiry(cmd.Context(), how)
		},
	}
	a.stampFlag(cmd)
	cmd.Flags().StringVar(&asOf, "as-of", "", "count from this time, RFC 3339 (default: now)")
	cmd.Flags().BoolVar(&how.offline, "offline", false, "look at files only, do not ask the endpoints")
	cmd.Flags().IntVar(&how.critical, "critical-days", 0, "fail for what has less days left (default 30)")
	cmd.Flags().IntVar(&how.warning, "warning-days", 0, "warn of what has less days left, however long it lives (default 90, for what lives 200 days or more)")
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
	if how.critical < 0 || how.warning < 0 {
		return usagef("give 0 or leave it out for the days of the stamp's own alerts", "--critical-days %d and --warning-days %d cannot be less than 0", how.critical, how.warning)
	}
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	a.doc.AsOf = how.asOf.Format(time.RFC3339)
	a.doc.Verdict = validate.Pass
	complete, unseen := true, 0
	for _, j := range jobs {
		entry, err := a.expiryOf(ctx, j, how)
		if err != nil {
			return err
		}
		for _, f := range entry.Findings {
			switch f.Result {
			case validate.Skipped:
				*entry.Complete = false
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
	if err := a.writeExpiry(how); err != nil {
		return err
	}
	switch {
	case a.doc.Verdict == validate.FailedOnce:
		return refusedf("findings", "do what the findings say, the first to end first", "certificates are due")
	case !complete:
		return environment("incomplete", fmt.Errorf("of %d certificates nothing is known", unseen), "see the skipped findings for what is missing")
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
		if err := f.write(&b, a.doc); err != nil {
			return err
		}
		if err := writeFile(a.path(f.file), b.Bytes(), 0o644); err != nil {
			return configuration(err, "")
		}
		a.doc.Files = append(a.doc.Files, f.file)
	}
	return nil
}

// expiryOf looks at one stamp.
func (a *app) expiryOf(ctx context.Context, j *job, how watch) (report.Stamp, error) {
	d := newDues(j.policy, how)
	served := map[string]*report.Expiry{}
	if !how.offline {
		targets := targetsOf(j)
		a.progress("reading what %d endpoints of %s serve", len(targets), j.stamp.Name)
		folders := map[string]string{}
		for _, e := range j.policy.Endpoints(j.stamp.Version, j.stamp.Identity, j.stamp.OptionalEndpoints) {
			folders[e.ID] = e.Folder
		}
		for _, seen := range observer(j.stamp.Simulated).Observe(ctx, targets) {
			e := d.live(seen, folders[seen.Target.Endpoint])
			if e.State != report.ExpiryUnreachable {
				served[strings.ToLower(e.Endpoint)] = &e
			}
			d.list = append(d.list, e)
		}
		if err := ctx.Err(); err != nil {
			return report.Stamp{}, err
		}
	}
	files, err := a.dueFiles(j, how)
	if err != nil {
		return report.Stamp{}, err
	}
	opens := a.opener(ctx, j)
	for _, f := range files {
		d.list = append(d.list, d.file(f, served[strings.ToLower(f.endpoint)], opens))
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
func (a *app) dueFiles(j *job, how watch) ([]dueFile, error) {
	var identity secret.Value
	if !j.stamp.AgeIdentity.IsZero() {
		identity, _ = a.secret(j.stamp.AgeIdentity, "age-identity") // without it the twins have to do
	}
	var out []dueFile
	var none noTree
	own, err := a.readTree(j.stamp, identity)
	switch {
	case err == nil:
		out = own.due("")
	case how.offline || !errors.As(err, &none):
		return nil, err
	default:
		a.progress("%s has no tree of certificates: only what its endpoints serve is looked at", j.stamp.Name)
	}
	trees, err := a.providerTrees(j, identity, "")
	if err != nil {
		return nil, err
	}
	for _, t := range trees {
		out = append(out, t.due(t.kind)...)
	}
	return out, nil
}

func (t *tree) due(kind policies.CertificateType) []dueFile {
	var out []dueFile
	for _, f := range t.files {
		endpoint, _, inFolder := strings.Cut(f.Path, "/")
		if !inFolder {
			endpoint = strings.TrimSuffix(strings.TrimSuffix(path.Base(f.Path), ".age"), path.Ext(strings.TrimSuffix(f.Path, ".age")))
		}
		out = append(out, dueFile{File: f, kind: kind, endpoint: endpoint, path: t.paths[f.Path]})
	}
	return out
}

// opener opens a PFX that has no public twin, if the password is at hand.
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
			return nil, fmt.Errorf("there is no public twin, and no password: %w", err)
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

// dues collects when certificates end, and judges it.
type dues struct {
	asOf                         time.Time
	critical, warning, shortLife time.Duration
	list                         []report.Expiry
	unseen                       string // why the first endpoint that gave nothing did not
}

func newDues(p *policies.Policy, how watch) *dues {
	const day = 24 * time.Hour
	rule := p.Rule("stamp-alerts")
	d := &dues{asOf: how.asOf, critical: rule.Days("critical-days"), warning: rule.Days("warning-days"), shortLife: rule.Days("short-life-days")}
	if how.critical > 0 {
		d.critical = time.Duration(how.critical) * day
	}
	if how.warning > 0 {
		d.warning, d.shortLife = time.Duration(how.warning)*day, 0 // whoever says a number means it
	}
	return d
}

func (d *dues) live(seen live.Observation, folder string) report.Expiry {
	e := report.Expiry{Endpoint: folder, Source: "live", Host: fmt.Sprintf("%s:%d", seen.Target.Host, seen.Target.Port), Samples: len(seen.Samples)}
	leaves := seen.Leaves()
	if len(leaves) == 0 {
		e.State = report.ExpiryUnreachable
		s := seen.Leaf()
		e.Detail = string(s.Class)
		d.unseen = cmp.Or(d.unseen, fmt.Sprintf("%s gives no certificate: %v", e.Host, s.Err))
		return e
	}
	// What ends first is what some users meet first.
	first := slices.MinFunc(leaves, func(x, y live.Served) int { return ends(x.Chain).Compare(ends(y.Chain)) })
	e.Leaves = len(leaves)
	d.dated(&e, first.Chain)
	e.State = d.state(first.Chain)
	if s, failed := seen.Failure(); failed {
		e.Detail = joined(e.Detail, fmt.Sprintf("some connections failed: %s", s.Class))
	}
	return e
}

func (d *dues) file(f dueFile, served *report.Expiry, open func([]byte) ([]*x509.Certificate, error)) report.Expiry {
	e := report.Expiry{Type: string(f.kind), Endpoint: f.endpoint, Source: "file", Path: f.path, State: report.ExpiryUnread}
	if f.kind != "" {
		served = nil
	}
	var chain []*x509.Certificate
	err := f.Err
	switch {
	case err != nil:
	case len(f.Twin) > 0:
		if chain, err = pfx.ParseCertificates(f.Twin); err != nil {
			err = fmt.Errorf("the public twin: %w", err)
		}
	case len(f.PFX) == 0:
		err = errors.New("there is no public twin, and the file is sealed with age")
	default:
		chain, err = open(f.PFX)
	}
	if err == nil && len(chain) == 0 {
		err = errors.New("it holds no certificate")
	}
	if err != nil {
		e.Detail = err.Error()
		return e
	}
	d.dated(&e, chain)
	switch {
	case served == nil:
		e.State = d.state(chain)
	case served.LeafSHA256 == e.LeafSHA256:
		e.State = report.ExpiryServed
	case e.NotAfter > served.NotAfter:
		e.State = report.ExpiryReady
	default:
		e.State = report.ExpiryOlder
	}
	return e
}

// dated fills in what a chain says, its leaf first.
func (d *dues) dated(e *report.Expiry, chain []*x509.Certificate) {
	leaf, end := chain[0], ends(chain)
	sum := sha256.Sum256(leaf.Raw)
	left := int((end.Sub(d.asOf) - (24*time.Hour - 1)) / (24 * time.Hour)) // whole days, rounded down also below zero
	if !end.Before(d.asOf) {
		left = int(end.Sub(d.asOf) / (24 * time.Hour))
	}
	e.NotBefore, e.NotAfter, e.Ends = utc(leaf.NotBefore), utc(leaf.NotAfter), utc(end)
	e.DaysLeft, e.LeafSHA256 = &left, hex.EncodeToString(sum[:])
	e.SubjectCN, e.IssuerCN, e.SerialNumber = leaf.Subject.CommonName, leaf.Issuer.CommonName, leaf.SerialNumber.String()
	if end.Before(leaf.NotAfter) {
		e.Detail = fmt.Sprintf("a certificate of its chain ends before it; its own end is %s", utc(leaf.NotAfter))
	}
	if leaf.NotBefore.After(d.asOf) {
		e.Detail = joined(e.Detail, "not valid before "+utc(leaf.NotBefore))
	}
}

// state is what time is left until the first end in a chain. The early warning says nothing of a certificate that never had
// more days than a few months.
func (d *dues) state(chain []*x509.Certificate) string {
	left := ends(chain).Sub(d.asOf)
	switch {
	case left < 0:
		return report.ExpiryExpired
	case left < d.critical:
		return report.ExpiryCritical
	case left < d.warning && chain[0].NotAfter.Sub(chain[0].NotBefore) >= d.shortLife:
		return report.ExpiryWarning
	}
	return report.ExpiryOK
}

// ends is when the first certificate of a chain ends. Roots are left out: whoever trusts one has it already.
func ends(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		if !bytes.Equal(c.RawIssuer, c.RawSubject) && c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

func (d *dues) findings() []validate.Finding {
	due := validate.Finding{ID: "days-left", Name: "Days Left", Result: validate.OK}
	leaf := validate.Finding{ID: "one-leaf", Name: "One Leaf", Result: validate.OK}
	answers := validate.Finding{ID: "endpoint-answers", Name: "Endpoint Answers", Result: validate.OK}
	read := validate.Finding{ID: "file-read", Name: "File Read", Result: validate.OK}
	early := due
	for _, e := range d.list {
		name := strings.TrimPrefix(e.Type+" "+e.Endpoint, " ")
		switch e.State {
		case report.ExpiryExpired, report.ExpiryCritical:
			d.due(&due, e, name, validate.Fail, d.critical)
		case report.ExpiryWarning:
			d.due(&early, e, name, validate.Warning, d.warning)
		case report.ExpiryUnreachable:
			answers.Result, answers.Folders = validate.Skipped, append(answers.Folders, name)
			answers.Found, answers.Wanted = d.unseen, "a certificate"
			answers.Hint = "run it where the endpoints can be reached; resolve: in stamp.yaml helps where DNS does not know them"
		case report.ExpiryUnread:
			read.Result, read.Folders = validate.Skipped, append(read.Folders, name)
			read.Found = cmp.Or(read.Found, fmt.Sprintf("%s: %s", e.Path, e.Detail))
			read.Wanted, read.Hint = "a file whose certificate can be read", "keep the public twin that certstamp pack writes beside each PFX, or set the password"
		}
		if e.Leaves > 1 {
			leaf.Result, leaf.Folders = validate.Fail, append(leaf.Folders, name)
			leaf.Found = cmp.Or(leaf.Found, fmt.Sprintf("%s serves %d different certificates in %d connections", e.Host, e.Leaves, e.Samples))
			leaf.Wanted, leaf.Hint = "the same certificate from every front end", "a rotation may be running: see certstamp status, and verify with --wait 30m"
		}
	}
	out := []validate.Finding{due}
	if early.Result != validate.OK {
		if due.Result == validate.OK {
			out = nil
		}
		out = append(out, early)
	}
	return append(out, leaf, answers, read)
}

// due adds a certificate to a finding, which tells of the first. The list is in the order of ends.
func (d *dues) due(f *validate.Finding, e report.Expiry, name string, r validate.Result, most time.Duration) {
	if f.Result == validate.OK {
		verb := "ends"
		if e.State == report.ExpiryExpired {
			verb = "ended"
		}
		f.Found = fmt.Sprintf("%s (%s) %s %s, days left %d", name, e.Source, verb, e.Ends, *e.DaysLeft)
		f.Wanted = fmt.Sprintf("%d days left or more", int(most/(24*time.Hour)))
		f.Hint = "request new certificates: certstamp csr"
		if d.ready(e) {
			f.Hint = "the tree holds a later one: plan its rotation"
		}
	}
	f.Result = r
	if !slices.Contains(f.Folders, name) {
		f.Folders = append(f.Folders, name)
	}
}

// ready reports whether the tree holds a later certificate for what an endpoint serves.
func (d *dues) ready(e report.Expiry) bool {
	return slices.ContainsFunc(d.list, func(o report.Expiry) bool {
		return o.State == report.ExpiryReady && e.Source == "live" && strings.EqualFold(o.Endpoint, e.Endpoint)
	})
}

// first says what ends first.
func (d *dues) first() string {
	for _, e := range d.list {
		switch e.State {
		case report.ExpiryOK, report.ExpiryWarning, report.ExpiryCritical, report.ExpiryExpired:
			return fmt.Sprintf("first to end: %s on %s, days left %d", strings.TrimPrefix(e.Type+" "+e.Endpoint, " "), e.Ends[:len(time.DateOnly)], *e.DaysLeft)
		}
	}
	return "no certificate was found"
}

// next is the exact next command for what is due by now: a plan when the tree has later certificates for all that a
// rotation would change, else a request. Certificates of resource providers go another way.
func (d *dues) next(folder string) string {
	waiting, ready, known := false, true, true
	for _, e := range d.list {
		switch e.State {
		case report.ExpiryUnread:
			known = known && e.Type != ""
		case report.ExpiryWarning, report.ExpiryCritical, report.ExpiryExpired:
			if e.Type == "" {
				waiting, ready = true, ready && d.ready(e)
			}
		}
	}
	switch {
	case !waiting, !ready && !known: // the file that cannot be read may be the later one
		return ""
	case ready:
		return "certstamp plan --stamp " + quoted(folder) + " --out plan.json"
	}
	return "certstamp csr --stamp " + quoted(folder)
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
