package cli_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/validate"
)

// maker is a CA that issues a resource provider's bundles.
type maker struct {
	t    *testing.T
	key  *rsa.PrivateKey
	root *x509.Certificate
	now  time.Time
}

func newMaker(t *testing.T, now time.Time) *maker {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	m := &maker{t: t, key: key, now: now}
	m.root = m.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "SIMULATED Providers"}, IsCA: true, BasicConstraintsValid: true}, nil)
	return m
}

func (m *maker) issue(c, parent *x509.Certificate) *x509.Certificate {
	m.t.Helper()
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(m.now.UnixNano()), m.now.Add(-time.Hour), m.now.AddDate(1, 0, 0)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, m.key.Public(), m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// bundle writes a PFX with these names. The CA's key serves as its own: no rule here asks.
func (m *maker) bundle(file, password string, names ...string) {
	m.t.Helper()
	m.named(file, password, pkix.Name{CommonName: names[0]}, names...)
}

// named is bundle with any subject.
func (m *maker) named(file, password string, subject pkix.Name, names ...string) {
	m.t.Helper()
	leaf := m.issue(&x509.Certificate{
		Subject: subject, DNSNames: names, BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		CRLDistributionPoints: []string{"http://crl.simulated.example/providers.crl"},
	}, m.root)
	b, err := pfx.Pack{Key: m.key, Leaf: leaf, Chain: []*x509.Certificate{m.root}, Password: password, LocalMachine: true, Iterations: 1000}.Encode()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// TestResourceProviders judges what lies in the directory of resource providers beside the set that is rotated.
func TestResourceProviders(t *testing.T) {
	s := newStand(t, east)
	s.pack()
	stamp, err := os.ReadFile(s.path("stamp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path("stamp.yaml"), append(stamp, "resource-providers: providers\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	password := s.w.Secrets["PFX_PASSWORD"]
	m := newMaker(t, time.Now())
	base := "." + domainOf(t, string(stamp))
	m.bundle(s.path("providers", "AppServices", "API", "API.pfx"), password, "*.appservice"+base)
	m.bundle(s.path("providers", "DBAdapter", "DBAdapter.pfx"), password, "*.dbadapter"+base)

	// keyed is every stamp of a document by its type.
	keyed := func(a answer) map[string]report.Stamp {
		out := map[string]report.Stamp{}
		for _, x := range a.doc.Stamps {
			if x.Stamp != "east" {
				t.Errorf("stamp %q", x.Stamp)
			}
			out[x.Type] = x
		}
		return out
	}
	all := s.run(nil, "validate", "--offline", "--stamp", s.name())
	s.check(all, 1, "certstamp validate test: east AppServices (SIMULATED)")
	got := keyed(all)
	if want := []string{"", "AppServices", "DBAdapter"}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Fatalf("types %v, want %v", slices.Sorted(maps.Keys(got)), want)
	}
	if got[""].Verdict == validate.FailedOnce || got["AppServices"].Verdict != validate.FailedOnce {
		t.Errorf("verdicts: own %s, AppServices %s", got[""].Verdict, got["AppServices"].Verdict)
	}
	api := got["AppServices"].Certificates[0]
	if dns := finding(api.Tests, "dns-names"); api.Folder != "API" || dns.Result != validate.Fail || !strings.Contains(dns.Wanted, "no wildcard") {
		t.Errorf("%s: %+v, want the wildcard refused", api.Folder, dns)
	}
	if layout := finding(got["AppServices"].Set, "folder-layout"); layout.Result != validate.Fail {
		t.Errorf("three of four folders are missing: %+v", layout)
	}
	db := got["DBAdapter"]
	if len(db.Certificates) != 1 || db.Verdict != validate.Warn || finding(db.Set, "paas-root").Result != validate.Warning {
		t.Errorf("DBAdapter: verdict %s, %+v", db.Verdict, db.Set)
	}

	for typ, want := range map[string][]string{"Deployment": {""}, "dbadapter": {"DBAdapter"}} {
		a := s.run(nil, "validate", "--offline", "--stamp", s.name(), "--type", typ)
		s.check(a, 0, "verdict")
		if got := slices.Sorted(maps.Keys(keyed(a))); !slices.Equal(got, want) {
			t.Errorf("--type %s: %v, want %v", typ, got, want)
		}
	}
	s.check(s.run(nil, "validate", "--offline", "--stamp", s.name(), "--type", "IoTHub"), 2, "no stamp has certificates of the type IoTHub")
	s.check(s.run(nil, "validate", "--offline", "--stamp", s.name(), "--type", "AppService"), 2, `"AppService" is no type`)

	for _, name := range []string{"AppService", "Deployment"} {
		if err := os.Mkdir(s.path("providers", name), 0o755); err != nil {
			t.Fatal(err)
		}
		s.check(s.run(nil, "validate", "--offline", "--stamp", s.name()), 2, "is no type of a resource provider's certificates")
		if err := os.Remove(s.path("providers", name)); err != nil {
			t.Fatal(err)
		}
	}
}

func finding(list []validate.Finding, id string) validate.Finding {
	for _, f := range list {
		if f.ID == id {
			return f
		}
	}
	return validate.Finding{}
}

// domainOf reads region and FQDN out of a stamp file.
func domainOf(t *testing.T, text string) string {
	t.Helper()
	value := func(key string) string {
		for l := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(l, key+": "); ok {
				return strings.TrimSpace(rest)
			}
		}
		t.Fatalf("no %s in the stamp file", key)
		return ""
	}
	return value("region") + "." + value("fqdn")
}
