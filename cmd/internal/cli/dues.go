package cli

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

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
