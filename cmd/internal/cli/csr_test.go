package cli_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/csr"
)

// bureau is a repository with one stamp from which requests are made, and a server that plays all of its endpoints.
type bureau struct {
	t         *testing.T
	dir       string
	recipient string
	identity  string

	mu     sync.Mutex
	served tls.Certificate
	asked  []string // server names, in the order asked for
}

const bureauDomain = "east.azurestack.contoso.example"

func newBureau(t *testing.T, lines string) *bureau {
	t.Helper()
	b := &bureau{t: t, dir: t.TempDir()}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b.recipient, b.identity = id.Recipient().String(), id.String()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_ = tls.Server(c, &tls.Config{GetCertificate: b.certificate}).HandshakeContext(t.Context())
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	b.write("stamp.yaml", fmt.Sprintf(`name: east
simulated: true
region: east
fqdn: azurestack.contoso.example
identity: AAD
version: 1.2301.2.58
cloud-id: SIMULATED-east
installed-ca: enterprise
pfx-password: env:PFX_PASSWORD
resolve: ["*:443:%s"]
%s`, l.Addr(), lines))
	return b
}

func (b *bureau) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, hello.ServerName)
	return &b.served, nil
}

// names are the server names asked for since the last time.
func (b *bureau) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.asked
	b.asked = nil
	return out
}

// serve makes a certificate with this subject and key. It expired a year ago and nobody trusts its issuer.
func (b *bureau) serve(subject pkix.Name, key crypto.Signer, algorithm x509.SignatureAlgorithm) {
	b.t.Helper()
	ca, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, DNSNames: []string{"elsewhere.example"}, SignatureAlgorithm: algorithm,
		NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "nobody"}}, key.Public(), ca)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.served = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (b *bureau) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir, "stamps", "east"}, parts...)...)
}

func (b *bureau) write(name, text string) {
	b.t.Helper()
	if err := os.MkdirAll(b.path(), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// csr runs certstamp csr.
func (b *bureau) csr(env map[string]string, args ...string) answer {
	b.t.Helper()
	return b.run(env, append([]string{"csr", "--stamp", "stamps/east", "--recipient", b.recipient}, args...)...)
}

func (b *bureau) run(env map[string]string, args ...string) answer {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "document.json")
	var out, errs bytes.Buffer
	a := answer{}
	a.code = cli.Main(b.t.Context(), append([]string{"--format", "text", "--format", "json=" + file}, args...), cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: b.dir, Now: time.Now, Version: "test",
		Getenv: func(name string) string { return env[name] },
	})
	a.stdout, a.stderr = out.String(), errs.String()
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, &a.doc); err != nil {
			b.t.Errorf("%v: the document is not JSON: %v", args, err)
		}
	}
	return a
}

// requests are the requests in a folder below the stamp's, by the names they ask for.
func (b *bureau) requests(folder string) map[string]*x509.CertificateRequest {
	b.t.Helper()
	files, err := filepath.Glob(b.path(folder, "*.req"))
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]*x509.CertificateRequest{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			b.t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		r, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			b.t.Fatal(err)
		}
		out[strings.Join(r.DNSNames, " ")] = r
	}
	return out
}

func aKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestRenewFromOneEndpoint makes the whole set from one certificate, expired and untrusted as it is, and asks nobody else.
func TestRenewFromOneEndpoint(t *testing.T) {
	b := newBureau(t, "")
	b.serve(pkix.Name{Country: []string{"DE"}, Organization: []string{"Contoso, Ltd"}, CommonName: "elsewhere.example"}, aKey(t), x509.SHA384WithRSA)
	a := b.csr(nil, "--stamp-endpoint", bureauDomain, "--type", "Deployment", "--type", "appservices")
	if a.code != 0 {
		t.Fatalf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	if got, want := b.names(), []string{"portal." + bureauDomain, "sso.appservice." + bureauDomain}; !slices.Equal(got, want) {
		t.Errorf("asked %v, wanted %v", got, want)
	}
	core, apps := b.requests("requests"), b.requests("requests/AppServices")
	if len(core) != 11 || len(apps) != 4 {
		t.Errorf("%d and %d requests\n%s", len(core), len(apps), a.stdout)
	}
	for _, list := range []map[string]*x509.CertificateRequest{core, apps} {
		for names, r := range list {
			first, _, _ := strings.Cut(names, " ")
			if got, want := r.Subject.String(), `CN=`+first+`,O=Contoso\, Ltd,C=DE`; got != want || r.SignatureAlgorithm != x509.SHA384WithRSA {
				t.Errorf("%s: subject %s, wanted %s, signed with %s", names, got, want, r.SignatureAlgorithm)
			}
		}
	}
	if want := "*.appservice." + bureauDomain + " *.scm.appservice." + bureauDomain + " *.sso.appservice." + bureauDomain; apps[want] == nil {
		t.Errorf("no request for %s", want)
	}
	m, err := os.ReadFile(b.path("requests", "AppServices", csr.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	if manifest, err := csr.ReadManifest(m); err != nil || len(manifest.Requests) != 4 {
		t.Errorf("%v, %v", manifest, err)
	}
}

// TestRenewEach asks every endpoint, at the name that reaches it, and --single makes one request of what they say.
func TestRenewEach(t *testing.T) {
	b := newBureau(t, "optional-endpoints: [container-registry]\n")
	b.serve(pkix.Name{Organization: []string{"Contoso"}}, aKey(t), 0)
	at := "--as-of=2026-11-24T08:00:00Z"
	if a := b.csr(nil, "--renew", "--single", at); a.code != 0 || len(a.doc.Stamps[0].Findings) != 1 || a.doc.Stamps[0].Findings[0].ID != "one-for-all" {
		t.Fatalf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	var want []string
	for _, label := range []string{
		"adminportal", "portal", "management", "adminmanagement", "azs-probe.blob", "azs-probe.queue", "azs-probe.table", "azs-probe.vault",
		"azs-probe.adminvault", "azs-probe.hosting", "azs-probe.adminhosting", "azs-probe.azsacr",
	} {
		want = append(want, label+"."+bureauDomain)
	}
	asked := b.names()
	slices.Sort(asked)
	slices.Sort(want)
	if !slices.Equal(asked, want) {
		t.Errorf("asked %v, wanted %v", asked, want)
	}
	for names, r := range b.requests("requests") {
		if len(r.DNSNames) != 12 || r.Subject.String() != "CN="+r.DNSNames[0]+",O=Contoso" {
			t.Errorf("%s: %s", names, r.Subject)
		}
	}
	before := print(t, b.path("requests"))
	if a := b.csr(nil, "--renew", "--single", at); a.code != 2 || !strings.Contains(a.stderr, "a key is never overwritten") || print(t, b.path("requests")) != before {
		t.Errorf("the same second again: exit %d\n%s", a.code, a.stderr)
	}
}

// TestRenewalWantsThePinnedTarget dials nobody before the target is the pinned one.
func TestRenewalWantsThePinnedTarget(t *testing.T) {
	b := newBureau(t, "")
	b.serve(pkix.Name{Organization: []string{"Contoso"}}, aKey(t), 0)
	args := []string{"--stamp-endpoint", "portal." + bureauDomain, "--type", "DBAdapter"}
	for _, env := range []map[string]string{{"CI": "true"}, {"CI": "true", "CERTSTAMP_TARGET": strings.Repeat("0", 64)}} {
		if a := b.csr(env, args...); a.code != 1 || len(b.names()) != 0 || a.doc.Error == nil || a.doc.Error.Reason != "target" {
			t.Errorf("%v: exit %d\n%s", env, a.code, a.stderr)
		}
	}
	pinned := b.run(nil, "target", "--stamp", "stamps/east").doc.Stamps[0].Target.SHA256
	if a := b.csr(map[string]string{"CI": "true", "CERTSTAMP_TARGET": pinned}, args...); a.code != 0 || len(b.names()) != 1 {
		t.Errorf("exit %d\n%s", a.code, a.stderr)
	}
}

// TestWhatARenewalRefuses ends each in one clear error, and nothing is written.
func TestWhatARenewalRefuses(t *testing.T) {
	key := aKey(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fine := pkix.Name{Organization: []string{"Contoso"}}
	for _, c := range []struct {
		name    string
		subject pkix.Name
		key     crypto.Signer
		args    []string
		code    int
		says    []string
		dials   int
	}{
		{"a foreign host", fine, key, []string{"--stamp-endpoint", "portal.west.contoso.example"}, 2, []string{"is no name of stamp east", "portal." + bureauDomain}, 0},
		{"a subject", fine, key, []string{"--renew", "--subject", "O=Other"}, 2, []string{"it takes no --subject and no --key-bits", "--new"}, 0},
		{"a length", fine, key, []string{"--stamp-endpoint", bureauDomain, "--key-bits", "4096"}, 2, []string{"it takes no --subject and no --key-bits"}, 0},
		{"a curve", fine, curve, []string{"--stamp-endpoint", bureauDomain}, 1, []string{"a key of kind ECDSA", "certstamp csr --new"}, 1},
		{"a number in the subject", pkix.Name{SerialNumber: "7"}, key, []string{"--stamp-endpoint", bureauDomain}, 1, []string{"holds the attribute 2.5.4.5", "certstamp csr --new"}, 1},
		{"a line end in the subject", pkix.Name{Organization: []string{"a\n::error::forged"}}, key, []string{"--stamp-endpoint", bureauDomain}, 1, []string{`"a\n::error::forged"`}, 1},
		{"an attribute, each endpoint", pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 3}, Value: "x"}}}, key, []string{"--renew", "--type", "DBAdapter"}, 1, []string{"holds the attribute 1.2.3"}, 1},
	} {
		b := newBureau(t, "")
		b.serve(c.subject, c.key, 0)
		a := b.csr(nil, c.args...)
		for _, says := range c.says {
			if a.code != c.code || !strings.Contains(a.stderr, says) {
				t.Errorf("%s: exit %d, wanted %d and %q\n%s", c.name, a.code, c.code, says, a.stderr)
			}
		}
		if n := len(b.names()); n != c.dials {
			t.Errorf("%s: %d connections, wanted %d", c.name, n, c.dials)
		}
		if strings.Contains("\n"+a.stdout+a.stderr, "\n::error") {
			t.Errorf("%s: a workflow command was forged\n%s", c.name, a.stderr)
		}
		if _, err := os.Stat(b.path("requests")); !os.IsNotExist(err) {
			t.Errorf("%s: something was written: %v", c.name, err)
		}
	}
}

// TestRenewalWithoutANetwork is the environment's fault.
func TestRenewalWithoutANetwork(t *testing.T) {
	b := newBureau(t, "")
	text, err := os.ReadFile(b.path("stamp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte(`["*:443:`))
	b.write("stamp.yaml", string(text[:at])+"[\"*:443:127.0.0.1:9\"]\n") // discard: nobody listens there
	a := b.csr(nil, "--stamp-endpoint", bureauDomain)
	if a.code != 3 || !strings.Contains(a.stderr, "nothing to renew from") || !strings.Contains(a.stderr, "another host of the stamp") {
		t.Errorf("exit %d\n%s", a.code, a.stderr)
	}
}

// TestRequestsThatWouldFail refuses now, in the words of the rule, what certstamp validate would refuse a day later.
func TestRequestsThatWouldFail(t *testing.T) {
	b := newBureau(t, "policy: policy.yaml\n")
	b.write("policy.yaml", "tighten:\n  key-length: {min-bits: 3072}\n")
	a := b.csr(nil, "--key-bits", "2048", "--type", "DBAdapter")
	if a.code != 1 || a.doc.Error == nil || a.doc.Error.Reason != "findings" || !strings.Contains(a.stderr, "nothing was written") {
		t.Errorf("exit %d\n%s", a.code, a.stderr)
	}
	if len(a.doc.Stamps) != 1 || len(a.doc.Stamps[0].Findings) != 1 {
		t.Fatalf("%+v", a.doc.Stamps)
	}
	if f := a.doc.Stamps[0].Findings[0]; f.ID != "key-length" || f.Found != "RSA, 2048 bits" || f.Wanted != "RSA, at least 3072 bits" || !slices.Equal(f.Folders, []string{"DBAdapter"}) {
		t.Errorf("%+v", f)
	}
	if _, err := os.Stat(b.path("requests")); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
}

// TestTypesOfRequests writes each type into a folder of its own, keeps what is there, and says what a release has not.
func TestTypesOfRequests(t *testing.T) {
	b := newBureau(t, "")
	args := []string{"--type", "dbadapter", "--type", "AzureContainerRegistry", "--type", "DBAdapter", "--subject", "CN=" + bureauDomain}
	a := b.csr(nil, args...)
	if a.code != 0 {
		t.Fatalf("exit %d\n%s", a.code, a.stderr)
	}
	for folder, name := range map[string]string{"DBAdapter": "*.dbadapter." + bureauDomain, "AzureContainerRegistry": "*.azsacr." + bureauDomain} {
		if got := b.requests("requests/" + folder); len(got) != 1 || got[name] == nil || got[name].Subject.CommonName != bureauDomain {
			t.Errorf("%s: %v", folder, got)
		}
	}
	// A CN that no certificate holds is a warning of the rules, and no more.
	if len(a.doc.Stamps) != 2 || !slices.ContainsFunc(a.doc.Stamps, func(s report.Stamp) bool {
		return len(s.Findings) == 1 && s.Findings[0].ID == "subject-in-san"
	}) {
		t.Errorf("%+v", a.doc.Stamps)
	}
	if b.requests("requests")["*.blob."+bureauDomain] != nil {
		t.Error("Deployment was requested too")
	}
	before := print(t, b.path("requests"))
	if a := b.csr(nil, args...); a.code != 0 || !strings.Contains(a.stdout, "0 requests made, 1 kept") || print(t, b.path("requests")) != before {
		t.Errorf("a second run made something: exit %d\n%s", a.code, a.stdout)
	}
	for _, c := range []struct{ kind, says string }{{"IoTHub", "has no certificates of the type IoTHub"}, {"SQL", `--type "SQL" is no type`}} {
		if a := b.csr(nil, "--type", c.kind); a.code != 2 || !strings.Contains(a.stderr, c.says) {
			t.Errorf("%s: exit %d\n%s", c.kind, a.code, a.stderr)
		}
	}
	if a := b.csr(nil, "--type", "AppServices", "--single"); a.code != 2 || !strings.Contains(a.stderr, "none may stand in for another") {
		t.Errorf("exit %d\n%s", a.code, a.stderr)
	}
}

// issue answers every request below the stamp's requests as a CA would: in one folder, under names of its own.
func (b *bureau) issue(folders ...string) {
	b.t.Helper()
	key := aKey(b.t)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Contoso Root"}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	parent := root
	sign := func(file string, template *x509.Certificate, public any) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(b.path("issued", file), der, 0o600); err != nil {
			b.t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			b.t.Fatal(err)
		}
		return c
	}
	if err := os.MkdirAll(b.path("issued"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	parent = sign("root.cer", root, key.Public())
	n := int64(1)
	for _, folder := range folders {
		for _, r := range b.requests(folder) {
			n++
			sign(fmt.Sprintf("certnew (%d).cer", n), &x509.Certificate{
				SerialNumber: big.NewInt(n), RawSubject: r.RawSubject, DNSNames: r.DNSNames, BasicConstraintsValid: true,
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 6, 0), CRLDistributionPoints: []string{"http://pki.contoso.example/root.crl"},
				KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
				ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			}, r.PublicKey)
		}
	}
}

// TestTypesFromRequestToVerdict takes the stamp's own set and those of two resource providers to where validate passes
// them, every command once for all types.
func TestTypesFromRequestToVerdict(t *testing.T) {
	b := newBureau(t, "")
	env := map[string]string{"PFX_PASSWORD": "Trial7Password7Trial7", "PFX_IDENTITY": b.identity}
	if a := b.csr(nil, "--type", "Deployment", "--type", "AppServices", "--type", "DBAdapter"); a.code != 0 {
		t.Fatalf("csr: exit %d\n%s", a.code, a.stderr)
	}
	pack := []string{"pack", "--stamp", "stamps/east", "--key-identity", "env:PFX_IDENTITY"}
	b.issue("requests", "requests/DBAdapter")
	if a := b.run(env, pack...); a.code != 2 || !strings.Contains(a.stderr, "resource-providers: PATH") {
		t.Errorf("no place for them: exit %d\n%s", a.code, a.stderr)
	}
	text, err := os.ReadFile(b.path("stamp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b.write("stamp.yaml", string(text)+"resource-providers: providers\n")
	a := b.run(env, pack...)
	for _, want := range []string{"AppServices/API: no certificate for api.appservice." + bureauDomain, "AppServices/DefaultDomain: ", "AppServices/Identity: ", "AppServices/Publishing: "} {
		if a.code != 1 || !strings.Contains(a.stderr, want) {
			t.Errorf("exit %d, wanted %q\n%s", a.code, want, a.stderr)
		}
	}
	if _, err := os.Stat(b.path("certificates")); !os.IsNotExist(err) {
		t.Errorf("an incomplete set was written: %v", err)
	}
	if a := b.run(env, append(pack, "--type", "EventHubs")...); a.code != 2 || !strings.Contains(a.stderr, "no requests in stamps/east/requests/EventHubs") {
		t.Errorf("exit %d\n%s", a.code, a.stderr)
	}
	if a := b.run(env, append(pack, "--type", "DBAdapter")...); a.code != 0 || !strings.Contains(a.stdout, "1 certificate packed, 0 kept, in stamps/east/providers") {
		t.Errorf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	if err := os.RemoveAll(b.path("issued")); err != nil {
		t.Fatal(err)
	}
	b.issue("requests", "requests/DBAdapter", "requests/AppServices")
	if a := b.run(env, pack...); a.code != 0 {
		t.Fatalf("pack: exit %d\n%s", a.code, a.stderr)
	}
	for _, file := range []string{"certificates/AAD/ACSBlob/ACSBlob.pfx", "providers/DBAdapter/DBAdapter.pfx", "providers/DBAdapter/DBAdapter.crt", "providers/AppServices/DefaultDomain/DefaultDomain.pfx", "providers/AppServices/API/API.pfx"} {
		if _, err := os.Stat(b.path(filepath.FromSlash(file))); err != nil {
			t.Error(err)
		}
	}
	before := print(t, b.path())
	if a := b.run(env, pack...); a.code != 0 || strings.Count(a.stdout, "0 certificates packed") != 3 || print(t, b.path()) != before {
		t.Errorf("a second run wrote something: exit %d\n%s", a.code, a.stdout)
	}
	a = b.run(env, "validate", "--stamp", "stamps/east", "--offline")
	var verdicts []string
	for _, s := range a.doc.Stamps {
		verdicts = append(verdicts, string(s.Verdict))
	}
	// Of an enterprise root that nothing but the file vouches for, the rules warn.
	if want := []string{"warn", "pass", "pass"}; a.code != 0 || !slices.Equal(verdicts, want) {
		t.Errorf("validate: exit %d, verdicts %v, wanted %v\n%s%s", a.code, verdicts, want, a.stdout, a.stderr)
	}
}
