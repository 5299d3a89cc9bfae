package cli

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/amount"
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
	unseen                       string   // why the first endpoint that gave nothing did not
	folders                      []string // of the endpoints that the stamp has
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
	for i, l := range leaves {
		// Servers also send what leads nowhere from the leaf, such as a CA's old cross-signature: no user minds its end.
		leaves[i].Chain, _ = pfx.Walk(l.Chain[0], l.Chain[1:])
	}
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
	if e.State != report.ExpiryExpired && first.Chain[0].NotBefore.After(d.asOf) {
		e.State = report.ExpiryEarly
	}
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
	chain, note, err := read(f, open)
	if err != nil {
		e.Detail = err.Error()
		return e
	}
	d.dated(&e, chain)
	e.Detail = joined(e.Detail, note)
	switch {
	case served == nil:
		e.State = d.state(chain)
	case served.LeafSHA256 == e.LeafSHA256:
		e.State = report.ExpiryServed
	case never(chain[0]):
		e.State = report.ExpiryExpired
	case e.Ends > served.Ends: // a new leaf under an intermediate that ends as soon as before is no help
		e.State = report.ExpiryReady
	default:
		e.State = report.ExpiryOlder
	}
	return e
}

// read takes the certificates out of a file: of its public twin, if it has one. The note is what could not be checked.
func read(f dueFile, open func([]byte) ([]*x509.Certificate, error)) (chain []*x509.Certificate, note string, err error) {
	switch {
	case f.Err != nil:
		return nil, "", f.Err
	case len(f.Twin) > 0:
		if chain, err = pfx.ParseCertificates(f.Twin); err != nil {
			return nil, "", fmt.Errorf("the public twin: %w", err)
		}
		note, err = compared(chain, f.PFX, open)
	case len(f.PFX) == 0:
		return nil, "", errors.New("there is no public twin, and the file is sealed with age")
	default:
		if chain, err = open(f.PFX); errors.As(err, &closed{}) {
			err = fmt.Errorf("there is no public twin, and no password: %w", err)
		}
	}
	if err != nil {
		return nil, "", err
	}
	chain, _ = pfx.Walk(chain[0], chain[1:])
	return chain, note, nil
}

// compared holds a twin against its PFX, where that can be opened. Whoever looks without a password sees what reviewers
// saw, and validate has held the two together; a password that does not fit says nothing of when a certificate ends.
func compared(twin []*x509.Certificate, file []byte, open func([]byte) ([]*x509.Certificate, error)) (note string, err error) {
	if len(file) == 0 {
		return "", nil
	}
	held, err := open(file)
	switch {
	case errors.As(err, &closed{}):
		return "", nil
	case errors.Is(err, pfx.ErrPassword):
		return "not compared with its PFX: " + err.Error(), nil
	case err != nil:
		return "", fmt.Errorf("the PFX beside the public twin: %w", err)
	case !held[0].Equal(twin[0]):
		return "", errors.New("the public twin shows another certificate than the PFX holds")
	}
	return "", nil
}

// closed is why a PFX was not even tried.
type closed struct{ error }

func (c closed) Unwrap() error { return c.error }

// dated fills in what a chain says, its leaf first.
func (d *dues) dated(e *report.Expiry, chain []*x509.Certificate) {
	leaf, end := chain[0], within(ends(chain))
	sum := sha256.Sum256(leaf.Raw)
	// Counted in seconds: a time.Duration ends after 292 years, and a certificate may end in 9999 or in 1066.
	seconds := end.Unix() - d.asOf.Unix()
	left := int(seconds / daySeconds)
	if seconds%daySeconds < 0 {
		left-- // whole days, rounded down also below zero
	}
	e.NotBefore, e.NotAfter, e.Ends = utc(leaf.NotBefore), utc(leaf.NotAfter), utc(end)
	e.DaysLeft, e.LeafSHA256 = &left, hex.EncodeToString(sum[:])
	e.SubjectCN, e.IssuerCN, e.SerialNumber = clipped(leaf.Subject.CommonName), clipped(leaf.Issuer.CommonName), serial(leaf.SerialNumber)
	if never(leaf) {
		e.Detail = joined(e.Detail, "never valid: it ends before it begins")
	}
	if end.Before(leaf.NotAfter) {
		e.Detail = joined(e.Detail, fmt.Sprintf("a certificate of its chain ends before it; its own end is %s", utc(leaf.NotAfter)))
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
	case left < 0, never(chain[0]):
		return report.ExpiryExpired
	case left < d.critical:
		return report.ExpiryCritical
	case left < d.warning && chain[0].NotAfter.Sub(chain[0].NotBefore) >= d.shortLife:
		return report.ExpiryWarning
	}
	return report.ExpiryOK
}

// never reports whether there is no moment at which c is valid.
func never(c *x509.Certificate) bool { return c.NotAfter.Before(c.NotBefore) }

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
	begun := validate.Finding{ID: "already-valid", Name: "Already Valid", Result: validate.OK}
	early := due
	for _, e := range d.list {
		name := strings.TrimPrefix(e.Type+" "+e.Endpoint, " ")
		switch e.State {
		case report.ExpiryExpired, report.ExpiryCritical:
			d.due(&due, e, name, validate.Fail, d.critical)
		case report.ExpiryEarly:
			begun.Result, begun.Folders = validate.Fail, append(begun.Folders, name)
			begun.Found = cmp.Or(begun.Found, fmt.Sprintf("%s serves a certificate that is not valid before %s", e.Host, e.NotBefore))
			begun.Wanted, begun.Hint = "a certificate that is valid now", "look at the clock of this machine first; if it is right, users are refused until then"
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
	return append(out, begun, leaf, answers, read, d.everyEndpoint())
}

// everyEndpoint says of which endpoints there is nothing at all, neither an answer nor a file: to look at half a set and
// find nothing due is no good news.
func (d *dues) everyEndpoint() validate.Finding {
	f := validate.Finding{ID: "every-endpoint", Name: "Every Endpoint", Result: validate.OK}
	for _, folder := range d.folders {
		if slices.ContainsFunc(d.list, func(e report.Expiry) bool { return e.Type == "" && e.Endpoint == folder }) {
			continue
		}
		f.Result, f.Folders = validate.Skipped, append(f.Folders, folder)
		f.Found, f.Wanted = "no file in the tree, and nobody was asked", "a certificate for each endpoint of the stamp"
		f.Hint = "run it without --offline where the endpoints can be reached, or keep the whole set in the tree"
	}
	return f
}

// due adds a certificate to a finding, which tells of the first. The list is in the order of ends.
func (d *dues) due(f *validate.Finding, e report.Expiry, name string, r validate.Result, most time.Duration) {
	if f.Result == validate.OK {
		verb := "ends"
		switch {
		case e.State == report.ExpiryExpired && *e.DaysLeft >= 0:
			verb = "is never valid and ends"
		case e.State == report.ExpiryExpired:
			verb = "ended"
		}
		f.Found = fmt.Sprintf("%s (%s) %s %s, days left %d", name, e.Source, verb, e.Ends, *e.DaysLeft)
		f.Wanted = amount.Of(int(most/(24*time.Hour)), "day") + " left or more"
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
		case report.ExpiryOK, report.ExpiryWarning, report.ExpiryCritical, report.ExpiryExpired, report.ExpiryEarly:
			return fmt.Sprintf("first to end: %s on %s, days left %d", strings.TrimPrefix(e.Type+" "+e.Endpoint, " "), e.Ends[:len(time.DateOnly)], *e.DaysLeft)
		}
	}
	return "no certificate was found"
}

// next is the exact next command for what is due by now: a plan when the tree has later certificates for all that a
// rotation would change, else a request. Certificates of resource providers go another way, and no command brings a file
// that lies in no endpoint's folder.
func (d *dues) next(folder string) string {
	waiting, ready, known := false, true, true
	for _, e := range d.list {
		if e.Type != "" || !slices.Contains(d.folders, e.Endpoint) {
			continue
		}
		switch e.State {
		case report.ExpiryUnread:
			known = false
		case report.ExpiryWarning, report.ExpiryCritical, report.ExpiryExpired:
			waiting, ready = true, ready && d.ready(e)
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

func utc(t time.Time) string { return within(t).Format(time.RFC3339) }

// within keeps a time in the years that RFC 3339 can write. A certificate may name one with an offset that leads out of them.
func within(t time.Time) time.Time {
	t = t.UTC()
	switch {
	case t.Year() > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	case t.Year() < 0:
		return time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t
}

const daySeconds = 24 * 60 * 60

// mostName is more than a common name may have (64, RFC 5280 appendix A.1), and mostSerial than a serial number (20 octets,
// section 4.1.2.2). Whoever writes a certificate may exceed both by a million.
const (
	mostName   = 128
	mostSerial = 512 // bits
)

func clipped(name string) string {
	n := 0
	for i := range name {
		if n == mostName {
			return name[:i] + "…"
		}
		n++
	}
	return name
}

func serial(n *big.Int) string {
	if n.BitLen() > mostSerial {
		return fmt.Sprintf("of %d bits", n.BitLen())
	}
	return n.String()
}

func joined(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "; " + b
}
