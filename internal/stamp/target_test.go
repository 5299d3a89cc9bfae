package stamp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTargetText(t *testing.T) {
	want := `age-identity: "file:/run/age.txt"
backup: "/secure/east"
bmc.new-password: "env:BMC_NEW_PASSWORD"
bmc.new-user: "root"
bmc.update: "pep"
cloud-id: "6f1f3c5e-cloud"
endpoints.port: "443"
fqdn: "azurestack.contoso.com"
pep.ca: ""
pep.configuration: "PrivilegedEndpoint"
pep.host.000: "10.20.1.11:5985"
pep.host.001: "10.20.1.12:15985"
pep.password: "env:PEP_PASSWORD"
pep.pin: ""
pep.scheme: "http, sealed"
pep.tls: "false"
pep.user: "AZURESTACK\\CloudAdmin"
pfx-password: "env:PFX_PASSWORD"
region: "east"
resolve.000: "*:443:10.20.3.4:443"
resolve.001: "portal.east.azurestack.contoso.com:443:10.20.3.5:8443"
share.access-password: "env:SHARE_PASSWORD"
share.access-user: "CONTOSO\\certstage"
share.folder: "/mnt/certs"
share.host: "10.20.0.5:445"
share.password: "env:SHARE_PASSWORD"
share.signing-only: "false"
share.unc: "\\\\10.20.0.5\\certs"
share.user: "CONTOSO\\certstage"
simulated: "false"
`
	target := mustLoad(t, sample).Target()
	if diff := cmp.Diff(want, target.Text()); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}
	if !slices.IsSorted(strings.Split(strings.TrimSuffix(target.Text(), "\n"), "\n")) {
		t.Error("the lines are not sorted")
	}
}

// Whatever a pull request changes about where a credential goes must change the digest; what it may change freely, such
// as the version after an update, must not.
func TestTargetDigest(t *testing.T) {
	before := mustLoad(t, sample).Target().Digest()
	for claim, edit := range map[string][2]string{
		"a host":              {"10.20.1.11", "10.20.1.99"},
		"the hosts' order":    {`[10.20.1.11, "10.20.1.12:15985"]`, `["10.20.1.12:15985", 10.20.1.11]`},
		"a port":              {"15985", "25985"},
		"tls":                 {"pep: {", "pep: {tls: true, "},
		"a configuration":     {"pep: {", "pep: {configuration: Other, "},
		"the transcripts":     {"pep: {", `pep: {transcripts: '\\10.20.0.5\logs', `},
		"the PEP user":        {"CloudAdmin", "Mallory"},
		"a PEP secret":        {"env:PEP_PASSWORD", "env:PEP_OTHER"},
		"a file for a secret": {"env:PEP_PASSWORD", "file:/etc/passwd"},
		"the share":           {`\\10.20.0.5\certs`, `\\10.20.0.6\certs`},
		"the share's folder":  {"/mnt/certs", "/mnt/other"},
		"the share's user":    {`CONTOSO\certstage`, `CONTOSO\mallory`},
		"the access account":  {"  user:", "  access-user: x\n  access-password: env:SHARE_X\n  user:"},
		"a share secret":      {"env:SHARE_PASSWORD", "env:SHARE_OTHER"},
		"the PFX password":    {"env:PFX_PASSWORD", "env:PFX_OTHER"},
		"the age identity":    {"file:/run/age.txt", "file:/run/other"},
		"the BMC password":    {"env:BMC_NEW_PASSWORD", "env:BMC_OTHER"},
		"the BMC user":        {"new-user: root", "new-user: admin"},
		"who updates BMCs":    {"bmc: {", "bmc: {update: external, "},
		"the region":          {"region: east", "region: west"},
		"the FQDN":            {"fqdn: azurestack", "fqdn: other"},
		"the CloudID":         {"6f1f3c5e", "00000000"},
		"an answer":           {"10.20.3.4", "10.20.3.9"},
		"an answer's port":    {":8443", ":9443"},
		"the endpoints' port": {"certificates: certificates", "port: 8443"},
		"the backup":          {"/secure/east", "/secure/west"},
	} {
		text := strings.ReplaceAll(sample, edit[0], edit[1])
		if mustLoad(t, text).Target().Digest() == before {
			t.Errorf("%s changes and the target does not", claim)
		}
	}
	for claim, edit := range map[string][2]string{
		"the version":    {"1.2301.2.58", "1.2306.0.1"},
		"the name":       {"name: east", "name: orient"},
		"a default port": {"10.20.1.11", "10.20.1.11:5985"},
		"a window":       {"22:00", "21:00"},
		"a comment":      {"identity: AAD", "identity: AAD # Entra"},
		"a backslash":    {`\\10.20.0.5\certs`, `\\10.20.0.5\certs\`},
	} {
		edited := strings.Replace(sample, edit[0], edit[1], 1)
		if claim == "a default port" {
			edited = strings.Replace(sample, edit[0], `"`+edit[1]+`"`, 1)
		}
		if mustLoad(t, edited).Target().Digest() != before {
			t.Errorf("%s changes and so does the target", claim)
		}
	}
}

func testCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Whoever replaces the CA can pose as the endpoint, so its content is part of the target and not only its path.
func TestTargetHoldsTheCA(t *testing.T) {
	text := strings.ReplaceAll(sample, "pep: {", "pep: {tls: true, ca: pep-ca.pem, ")
	target := func(ca []byte) (string, error) {
		s, err := Load(fstest.MapFS{"stamps/east/stamp.yaml": {Data: []byte(text)}, "stamps/east/pep-ca.pem": {Data: ca}}, "stamps/east", Options{})
		if err != nil {
			return "", err
		}
		return s.Target().Digest(), nil
	}
	one, two := testCertificate(t), testCertificate(t)
	a, err := target(one)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := target(two); err != nil || a == b {
		t.Errorf("another CA gives the same target (%v)", err)
	}
	if b, err := target([]byte("a comment\r\n" + strings.ReplaceAll(string(one), "\n", "\r\n"))); err != nil || a != b {
		t.Errorf("line ends and comments change the target (%v)", err)
	}
	for claim, bad := range map[string][]byte{
		"empty": nil, "no PEM": []byte("x"), "a key": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"no certificate inside": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	} {
		var problems Errors
		if _, err := target(bad); !errors.As(err, &problems) || !strings.Contains(err.Error(), "pep.ca: ") {
			t.Errorf("%s: got %v", claim, err)
		}
	}
}

func TestCheckTarget(t *testing.T) {
	s := mustLoad(t, sample)
	digest, other := s.Target().Digest(), strings.Repeat("0", 64)
	for _, row := range []struct {
		claim, want string
		ci, ok      bool
	}{
		{"equal", digest, true, true},
		{"equal, with the algorithm", "sha256:" + digest, true, true},
		{"equal, with a line end", digest + "\n", true, true},
		{"another, in CI", strings.Repeat("0", 64), true, false},
		{"another, at a terminal", strings.Repeat("0", 64), false, false},
		{"the beginning only", digest[:12], true, false},
		{"unset in CI", "", true, false},
		{"spaces in CI", "  ", true, false},
		{"undefined in Azure Pipelines", "$(CERTSTAMP_TARGET)", true, false},
		{"unset at a terminal", "", false, true},
		{"of its name", "west=" + other + " east=" + digest, true, true},
		{"of its name, one per line", "east=sha256:" + digest + "\nwest=" + other + "\n", true, true},
		{"of its name, with commas", "west=" + other + ", east=" + digest, true, true},
		{"another of its name", "east=" + other + " west=" + digest, true, false},
		{"of another name", "west=" + digest, true, false},
		{"of another name, at a terminal", "west=" + digest, false, false},
		{"of a name that ends alike", "north-east=" + digest, true, false},
		{"of its name twice", "east=" + digest + " east=" + other, true, false},
		{"of its name, empty", "east=", false, false},
		{"beside a list", digest + " west=" + other, true, false},
	} {
		t.Run(row.claim, func(t *testing.T) {
			err := s.CheckTarget(row.want, row.ci)
			if (err == nil) != row.ok {
				t.Fatalf("got %v, want ok %v", err, row.ok)
			}
			var te *TargetError
			if err != nil && (!errors.As(err, &te) || te.Hint() == "" || te.Digest != digest) {
				t.Errorf("got %#v, want a hint and the digest", err)
			}
		})
	}
}
