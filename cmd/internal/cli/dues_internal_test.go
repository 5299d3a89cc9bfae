package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// issued is a certificate of some CA, or its own when issuer is empty.
func issued(t *testing.T, name, issuer string, from, to time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to}
	parent := c
	if issuer != "" {
		parent = &x509.Certificate{Subject: pkix.Name{CommonName: issuer}}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func watching(t *testing.T, asOf time.Time) *dues {
	t.Helper()
	p, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	return newDues(p, watch{asOf: asOf})
}

// TestDaysLeft walks both sides of every edge: the days of the stamp's own alerts, and the end.
func TestDaysLeft(t *testing.T) {
	end := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	year, month := end.AddDate(-1, 0, 0), end.AddDate(0, -5, 0)
	const day = 24 * time.Hour
	for _, row := range []struct {
		left  time.Duration
		from  time.Time
		days  int
		state string
	}{
		{200 * day, year, 200, "ok"},
		{90 * day, year, 90, "ok"},
		{90*day - time.Second, year, 89, "warning"},
		{90*day - time.Second, month, 89, "ok"}, // it never had 200 days
		{30 * day, year, 30, "warning"},
		{30 * day, month, 30, "ok"},
		{30*day - time.Second, year, 29, "critical"},
		{30*day - time.Second, month, 29, "critical"},
		{time.Second, year, 0, "critical"},
		{0, year, 0, "critical"}, // the last second counts: NotAfter is inclusive (RFC 5280, section 4.1.2.5)
		{-time.Second, year, -1, "expired"},
		{-day, year, -1, "expired"},
		{-day - time.Second, year, -2, "expired"},
	} {
		d := watching(t, end.Add(-row.left))
		leaf := issued(t, "leaf", "CA", row.from, end)
		var e report.Expiry
		d.dated(&e, []*x509.Certificate{leaf})
		if got := d.state([]*x509.Certificate{leaf}); got != row.state || *e.DaysLeft != row.days {
			t.Errorf("%v before the end: %s, %d days; wanted %s, %d", row.left, got, *e.DaysLeft, row.state, row.days)
		}
	}
}

// TestEndOfChain: a leaf is of no use when what it is served with has ended. Roots are trusted from elsewhere.
func TestEndOfChain(t *testing.T) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	in := func(days int) time.Time { return now.AddDate(0, 0, days) }
	leaf := issued(t, "leaf", "issuing", in(-200), in(165))
	old, lasting := issued(t, "issuing", "root", in(-900), in(20)), issued(t, "issuing", "root", in(-900), in(900))
	root := issued(t, "root", "", in(-900), in(3))
	d := watching(t, now)
	for name, row := range map[string]struct {
		chain []*x509.Certificate
		days  int
		state string
	}{
		"leaf alone":                  {[]*x509.Certificate{leaf}, 165, "ok"},
		"chain that outlives it":      {[]*x509.Certificate{leaf, lasting, root}, 165, "ok"},
		"intermediate that ends soon": {[]*x509.Certificate{leaf, old, root}, 20, "critical"},
	} {
		var e report.Expiry
		d.dated(&e, row.chain)
		if got := d.state(row.chain); got != row.state || *e.DaysLeft != row.days || e.NotAfter != utc(leaf.NotAfter) || (e.Detail != "") != (row.days == 20) {
			t.Errorf("%s: %s, %+v", name, got, e)
		}
	}
	var e report.Expiry
	d.dated(&e, []*x509.Certificate{issued(t, "early", "CA", in(1), in(300))})
	if !strings.Contains(e.Detail, "not valid before 2026-11-30") {
		t.Errorf("not valid yet: %+v", e)
	}
}

// TestFrontEndsDisagree: what ends first is shown, and that they disagree is a finding of its own.
func TestFrontEndsDisagree(t *testing.T) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	late, early := issued(t, "new", "CA", now.AddDate(0, 0, -1), now.AddDate(1, 0, 0)), issued(t, "old", "CA", now.AddDate(-1, 0, 0), now.AddDate(0, 0, 50))
	sample := func(c *x509.Certificate) live.Served {
		sum := sha256.Sum256(c.Raw)
		return live.Served{Chain: []*x509.Certificate{c}, LeafSHA256: hex.EncodeToString(sum[:])}
	}
	down := live.Served{Class: live.Refused, Err: errors.New("connection refused")}
	d := watching(t, now)
	e := d.live(live.Observation{Target: live.Target{Host: "a.east", Port: 443}, Samples: []live.Served{sample(late), sample(early), sample(late), down}}, "ACSBlob")
	if e.State != report.ExpiryWarning || e.Leaves != 2 || e.Samples != 4 || e.SubjectCN != "old" || !strings.Contains(e.Detail, "refused") {
		t.Errorf("got %+v", e)
	}
	d.list = append(d.list, e, d.live(live.Observation{Target: live.Target{Host: "b.east", Port: 443}, Samples: []live.Served{down}}, "ACSQueue"))
	var got []string
	for _, f := range d.findings() {
		got = append(got, f.ID+" "+string(f.Result)+" "+strings.Join(f.Folders, ","))
		if f.Result != validate.OK && (f.Found == "" || f.Wanted == "" || f.Hint == "") {
			t.Errorf("%+v", f)
		}
	}
	want := "days-left Warning ACSBlob; already-valid OK ; one-leaf Fail ACSBlob; endpoint-answers Skipped ACSQueue; file-read OK ; every-endpoint OK "
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}

// signed is a certificate for parent's key to have signed, and a key of its own; without a parent it signs itself.
func signed(t *testing.T, name string, from, to time.Time, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to}
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, key
}

func asServed(chain ...*x509.Certificate) live.Observation {
	sum := sha256.Sum256(chain[0].Raw)
	return live.Observation{Target: live.Target{Host: "a.east", Port: 443}, Samples: []live.Served{{Chain: chain, LeafSHA256: hex.EncodeToString(sum[:])}}}
}

// TestStrangeDates: whoever brings a certificate chooses its dates, and a time.Duration knows 292 years.
func TestStrangeDates(t *testing.T) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	for claim, row := range map[string]struct {
		from, to    time.Time
		days        int
		ends, state string
	}{
		"never ends":                  {now.AddDate(-1, 0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), 2912110, "9999-12-31T23:59:59Z", "ok"},
		"beyond what can be written":  {now.AddDate(-1, 0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)), 2912110, "9999-12-31T23:59:59Z", "ok"},
		"before there was a calendar": {now.AddDate(-3000, 0, 0), time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)), -740314, "0000-01-01T00:00:00Z", "expired"},
		"in 1066":                     {time.Date(1066, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1066, 10, 14, 0, 0, 0, 0, time.UTC), -350679, "1066-10-14T00:00:00Z", "expired"},
		"before 1970":                 {time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), -20787, "1969-12-31T00:00:00Z", "expired"},
		"ends before it begins":       {now.AddDate(2, 0, 0), now.AddDate(1, 0, 0), 365, "2027-11-29T00:00:00Z", "expired"},
	} {
		leaf := &x509.Certificate{Raw: []byte{1}, SerialNumber: big.NewInt(1), NotBefore: row.from, NotAfter: row.to}
		d := watching(t, now)
		e := report.Expiry{Source: "file", State: d.state([]*x509.Certificate{leaf})}
		d.dated(&e, []*x509.Certificate{leaf})
		if e.State != row.state || *e.DaysLeft != row.days || e.Ends != row.ends {
			t.Errorf("%s: %s, %d days, ends %s; wanted %+v", claim, e.State, *e.DaysLeft, e.Ends, row)
		}
		d.list = []report.Expiry{e}
		if got := d.first(); got == "" {
			t.Errorf("%s: nothing is said", claim)
		}
	}
}

// TestServedTooEarly: users are refused by what is not valid yet, however many days it has left.
func TestServedTooEarly(t *testing.T) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	leaf, _ := signed(t, "early", now.AddDate(0, 0, 1), now.AddDate(1, 0, 0), nil, nil)
	d := watching(t, now)
	e := d.live(asServed(leaf), "ACSBlob")
	d.list = append(d.list, e)
	for _, f := range d.findings() {
		if f.ID == "already-valid" && (e.State != report.ExpiryEarly || f.Result != validate.Fail || !strings.Contains(f.Found, "2026-11-30")) {
			t.Errorf("%s: %+v", e.State, f)
		}
	}
}

// TestChainsThatCount: what leads nowhere from the leaf is nobody's end, and a later leaf under the same old intermediate is
// no help against that one's.
func TestChainsThatCount(t *testing.T) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	in := func(days int) time.Time { return now.AddDate(0, 0, days) }
	root, rootKey := signed(t, "root", in(-900), in(900), nil, nil)
	issuing, key := signed(t, "issuing", in(-900), in(20), root, rootKey)
	leaf, _ := signed(t, "leaf", in(-200), in(150), issuing, key)
	later, _ := signed(t, "leaf", in(-1), in(364), issuing, key)
	other, _ := signed(t, "leaf", in(-1), in(364), root, rootKey)
	never, _ := signed(t, "leaf", in(500), in(400), root, rootKey)
	stranger, _ := signed(t, "stranger", in(-900), in(-5), root, rootKey)

	d := watching(t, now)
	d.folders = []string{"ACSBlob"}
	if e := d.live(asServed(other, stranger), "ACSBlob"); e.State != report.ExpiryOK {
		t.Errorf("beside a stranger: %+v", e)
	}
	served := d.live(asServed(leaf, issuing), "ACSBlob")
	if served.State != report.ExpiryCritical {
		t.Errorf("under an old intermediate: %+v", served)
	}
	for claim, row := range map[string]struct {
		chain       []*x509.Certificate
		state, next string
	}{
		"the same old intermediate": {[]*x509.Certificate{later, issuing}, report.ExpiryOlder, "certstamp csr --stamp east"},
		"another chain":             {[]*x509.Certificate{other, root}, report.ExpiryReady, "certstamp plan --stamp east --out plan.json"},
		"never valid":               {[]*x509.Certificate{never}, report.ExpiryExpired, "certstamp csr --stamp east"},
	} {
		open := func([]byte) ([]*x509.Certificate, error) { return row.chain, nil }
		e := d.file(dueFile{File: validate.File{PFX: []byte{1}}, endpoint: "ACSBlob"}, &served, open)
		stray := report.Expiry{Endpoint: "old/x.pfx", Source: "file", State: report.ExpiryExpired, DaysLeft: new(-9)}
		d.list = []report.Expiry{stray, served, e}
		if got := d.next("east"); e.State != row.state || got != row.next {
			t.Errorf("%s: %s, next %q", claim, e.State, got)
		}
	}
}

// TestLongTexts: nothing bounds a name or a serial number but the size of the file.
func TestLongTexts(t *testing.T) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		digits int
		want   string
	}{{100, "1" + strings.Repeat("0", 99)}, {1_000_000, "of 3321925 bits"}} {
		n := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(row.digits-1)), nil)
		leaf := &x509.Certificate{SerialNumber: n, NotBefore: now, NotAfter: now, Subject: pkix.Name{CommonName: strings.Repeat("ä", row.digits)}}
		var e report.Expiry
		watching(t, now).dated(&e, []*x509.Certificate{leaf})
		if e.SerialNumber != row.want || len(e.SubjectCN) > 300 || !strings.HasPrefix(e.SubjectCN, "ää") {
			t.Errorf("%d digits: serial %.40q, name of %d bytes", row.digits, e.SerialNumber, len(e.SubjectCN))
		}
	}
}
