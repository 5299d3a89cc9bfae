package stamp

import (
	"strings"
	"testing"
	"testing/fstest"
)

const sample = `# yaml-language-server: $schema=../../stamp.schema.json
name: east
region: east
fqdn: azurestack.contoso.com
identity: AAD
version: 1.2301.2.58
previously-rotated: false
optional-endpoints: [container-registry]
cloud-id: 6f1f3c5e-cloud
resolve: ["*:443:10.20.3.4", "portal.east.azurestack.contoso.com:443:10.20.3.5:8443"]
installed-ca: endpoints
public-roots: ../../trust/authroot.stl
enterprise-roots: roots.pem
certificates: certificates
resource-providers: providers
pfx-password: env:PFX_PASSWORD
age-identity: file:/run/age.txt
share:
  unc: \\10.20.0.5\certs
  folder: /mnt/certs
  user: CONTOSO\certstage
  password: env:SHARE_PASSWORD
pep: {hosts: [10.20.1.11, "10.20.1.12:15985"], user: AZURESTACK\CloudAdmin, password: env:PEP_PASSWORD}
bmc: {new-password: env:BMC_NEW_PASSWORD, new-user: root}
backup: file:/secure/east
windows: ["Sat 22:00-04:00 Europe/Berlin"]
policy: policy.yaml
`

func load(t *testing.T, text string) (*Stamp, error) {
	t.Helper()
	return Load(fstest.MapFS{"stamps/east/stamp.yaml": {Data: []byte(text)}}, "stamps/east", Options{})
}

func mustLoad(t *testing.T, text string) *Stamp {
	t.Helper()
	s, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoadSample(t *testing.T) {
	s := mustLoad(t, sample)
	if got, want := s.Domain(), "east.azurestack.contoso.com"; got != want {
		t.Errorf("domain is %q, want %q", got, want)
	}
	if s.PreviouslyRotated == nil || *s.PreviouslyRotated {
		t.Errorf("previously-rotated is %v, want false and given", s.PreviouslyRotated)
	}
	for what, pair := range map[string][2]string{
		"certificates":        {s.Certificates, "stamps/east/certificates"},
		"public-roots":        {s.PublicRoots, "trust/authroot.stl"},
		"enterprise-roots":    {s.EnterpriseRoots, "stamps/east/roots.pem"},
		"resource-providers":  {s.ResourceProviders, "stamps/east/providers"},
		"policy":              {s.Policy, "stamps/east/policy.yaml"},
		"access-user":         {s.Share.AccessUser, `CONTOSO\certstage`},
		"access-password":     {s.Share.AccessPassword.String(), "env:SHARE_PASSWORD"},
		"bmc.update":          {s.BMC.Update, "pep"},
		"pep.configuration":   {s.PEP.Configuration, "PrivilegedEndpoint"},
		"installed-ca":        {s.InstalledCA.Mode, ModeEndpoints},
		"backup":              {s.Backup, "/secure/east"},
		"version":             {s.Version.String(), "1.2301.2.58"},
		"file":                {s.File, "stamps/east/stamp.yaml"},
		"addresses by name":   {strings.Join(s.Addresses("Portal.east.azurestack.contoso.com", 443), " "), "10.20.3.5:8443"},
		"addresses by star":   {strings.Join(s.Addresses("x.blob.east.azurestack.contoso.com", 443), " "), "10.20.3.4:443"},
		"addresses on a port": {strings.Join(s.Addresses("x.blob.east.azurestack.contoso.com", 8080), " "), ""},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
}
