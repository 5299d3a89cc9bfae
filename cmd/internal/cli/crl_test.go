package cli_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	nethttp "net/http" // http is a double of this package's tests
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/validate"
)

// revocable puts a file into the set whose issuer, serial and CRL address the test knows.
type revocable struct {
	ca  *x509.Certificate
	key *rsa.PrivateKey
}

func newRevocable(t *testing.T) *revocable {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "SIMULATED Revoking Root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: timeNow().AddDate(-1, 0, 0), NotAfter: timeNow().AddDate(5, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	r := &revocable{key: key}
	r.ca = r.sign(t, template, template)
	return r
}

func (r *revocable) sign(t *testing.T, template, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, r.key.Public(), r.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *revocable) file(t *testing.T, serial int64, point, password string) []byte {
	t.Helper()
	leaf := r.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "SIMULATED"}, CRLDistributionPoints: []string{point},
		NotBefore: timeNow().AddDate(0, -1, 0), NotAfter: timeNow().AddDate(0, 6, 0),
	}, r.ca)
	b, err := pfx.Pack{Key: r.key, Leaf: leaf, Chain: []*x509.Certificate{r.ca}, Password: password, LocalMachine: true, Rand: rand.Reader}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *revocable) list(t *testing.T, serial int64) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: timeNow().Add(-time.Hour), NextUpdate: timeNow().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(serial), RevocationTime: timeNow().Add(-time.Hour), ReasonCode: 4}},
	}, r.ca, r.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// crlOf is the finding over a folder.
func crlOf(t *testing.T, s report.Stamp, folder string) validate.Finding {
	t.Helper()
	for _, c := range s.Certificates {
		for _, f := range c.Tests {
			if c.Folder == folder && f.ID == "http-crl" {
				return f
			}
		}
	}
	t.Fatalf("no http-crl of %s", folder)
	return validate.Finding{}
}

// TestCheckCRL asks for CRLs when told to, once for all stamps, and only for the pinned one.
func TestCheckCRL(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.pack()
	ca := newRevocable(t)
	var hits atomic.Int64
	list := ca.list(t, 77)
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		hits.Add(1)
		_, _ = w.Write(list)
	}))
	defer server.Close()
	for folder, serial := range map[string]int64{"ACSBlob": 76, "ACSTable": 77} {
		b := ca.file(t, serial, server.URL+"/ca.crl", s.w.Secrets["PFX_PASSWORD"])
		if err := os.WriteFile(s.path("certificates", "AAD", folder, folder+".pfx"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		// With a twin of the file before it nothing would be fetched.
		if err := os.Remove(s.path("certificates", "AAD", folder, folder+".crt")); err != nil {
			t.Fatal(err)
		}
	}
	// A second stamp of the same files.
	west := filepath.Join(s.w.Repo, "stamps", "west")
	if err := os.CopyFS(west, os.DirFS(s.path())); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(west, "stamp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(west, "stamp.yaml"), []byte(strings.Replace(string(text), "name: east", "name: west", 1)), 0o600); err != nil {
		t.Fatal(err)
	}

	if a := s.run(nil, "validate"); hits.Load() != 0 || !strings.Contains(crlOf(t, a.doc.Stamps[0], "ACSBlob").Found, "(not fetched)") {
		t.Errorf("nobody asked, and %d fetches were made", hits.Load())
	}
	a := s.run(nil, "validate", "--check-crl")
	if a.code != 1 || len(a.doc.Stamps) != 2 || hits.Load() != 1 {
		t.Fatalf("exit %d, %d stamps, %d fetches\n%s", a.code, len(a.doc.Stamps), hits.Load(), a.stderr)
	}
	for _, x := range a.doc.Stamps {
		for folder, want := range map[string]struct {
			result validate.Result
			says   string
		}{
			"ACSBlob":  {validate.OK, "current until"},
			"ACSTable": {validate.Fail, "(superseded)"},
			"ACSQueue": {validate.Fail, "unreachable"}, // the demo's CA is at a name that leads nowhere
		} {
			f := crlOf(t, x, folder)
			if f.Result != want.result || !strings.Contains(f.Found, want.says) || !strings.Contains(f.Found, "from this runner, not from the stamp") {
				t.Errorf("%s, %s: %+v, want %s with %q", x.Stamp, folder, f, want.result, want.says)
			}
		}
	}

	hits.Store(0)
	target := s.must(nil, "target", "--stamp", s.name()).doc.Stamps[0].Target.SHA256
	for _, row := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		says string
		hits int64
	}{
		{"another target is pinned", map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, nil, 1, "is pinned", 0},
		{"none is pinned in CI", map[string]string{"CI": "true"}, nil, 1, "no target is pinned", 0},
		{"this one is pinned", map[string]string{"CI": "true", "CERTSTAMP_TARGET": target}, nil, 1, "do not pass", 1},
		{"offline", nil, []string{"--offline"}, 2, "--check-crl asks the network", 0},
		{"without a password", nil, []string{"--no-password"}, 2, "--check-crl asks the network", 0},
	} {
		hits.Store(0)
		a := s.run(row.env, append([]string{"validate", "--check-crl", "--stamp", s.name()}, row.args...)...)
		if a.code != row.code || !strings.Contains(a.stderr, row.says) || hits.Load() != row.hits {
			t.Errorf("%s: exit %d after %d fetches, want %d after %d with %q\n%s", row.name, a.code, hits.Load(), row.code, row.hits, row.says, a.stderr)
		}
	}
	if s.run(nil, "plan", "--stamp", s.name(), "--out", "../plan.json"); hits.Load() != 0 {
		t.Error("a plan fetched a CRL")
	}
}
