package policies_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

// The tables here are written by hand from the documents, release by release, so that a slip in the YAML meets a second
// reading and not itself.

func version(t *testing.T, s string) policies.Version {
	t.Helper()
	v, err := policies.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func policy(t *testing.T) *policies.Policy {
	t.Helper()
	p, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	core  = "Admin Portal, ACSBlob, ACSQueue, ACSTable, ARM Admin, ARM Public, KeyVault, KeyVaultInternal, Public Portal"
	hosts = "Admin Extension Host, Public Extension Host"
	adfs  = "ADFS, Graph"
	acr   = "Container Registry"
)

// TestCatalogueAtEveryBoundary walks the folders that a stamp must have (PKI-2508, EXT-1808, ACR-2108) on both sides of every
// release at which a document changes something.
func TestCatalogueAtEveryBoundary(t *testing.T) {
	p := policy(t)
	every := []string{"extension-host", "container-registry"}
	for _, row := range []struct {
		release  string
		optional []string
		want     string
	}{
		{"1802", nil, core},
		{"1803", nil, core},
		{"1807", every, core},
		{"1807", nil, core},
		{"1808", nil, core},
		{"1808", every, core + ", " + hosts},
		{"1809", []string{"extension-host"}, core + ", " + hosts},
		{"1810", nil, core},
		{"1810", []string{"extension-host"}, core + ", " + hosts},
		{"1811", nil, core + ", " + hosts},
		{"1811", every, core + ", " + hosts},
		{"1902", nil, core + ", " + hosts},
		{"1903", nil, core + ", " + hosts},
		{"1904", nil, core + ", " + hosts},
		{"1909", nil, core + ", " + hosts},
		{"1910", nil, core + ", " + hosts},
		{"2107", every, core + ", " + hosts},
		{"2108", nil, core + ", " + hosts},
		{"2108", every, core + ", " + hosts + ", " + acr},
		{"2412", []string{"container-registry"}, core + ", " + hosts + ", " + acr},
		{"2501", nil, core + ", " + hosts},
		{"2601", every, core + ", " + hosts + ", " + acr},
	} {
		for id, more := range map[policies.Identity]string{policies.AAD: "", policies.ADFS: ", " + adfs} {
			var got []string
			for _, e := range p.Endpoints(version(t, row.release), id, row.optional) {
				got = append(got, e.Folder)
			}
			want := strings.Split(row.want+more, ", ")
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s %s %v:\n got %v\nwant %v", row.release, id, row.optional, got, want)
			}
		}
	}
}

// TestNames holds every name against the table of mandatory certificates.
func TestNames(t *testing.T) {
	want := map[string][2]string{ // folder: file without extension, name
		"Admin Extension Host":  {"AdminExtensionHost", "*.adminhosting.east.contoso.com"},
		"Admin Portal":          {"AdminPortal", "adminportal.east.contoso.com"},
		"ACSBlob":               {"ACSBlob", "*.blob.east.contoso.com"},
		"ACSQueue":              {"ACSQueue", "*.queue.east.contoso.com"},
		"ACSTable":              {"ACSTable", "*.table.east.contoso.com"},
		"ADFS":                  {"ADFS", "adfs.east.contoso.com"},
		"ARM Admin":             {"ARMAdmin", "adminmanagement.east.contoso.com"},
		"ARM Public":            {"ARMPublic", "management.east.contoso.com"},
		"Container Registry":    {"ContainerRegistry", "*.azsacr.east.contoso.com"},
		"Graph":                 {"Graph", "graph.east.contoso.com"},
		"KeyVault":              {"KeyVault", "*.vault.east.contoso.com"},
		"KeyVaultInternal":      {"KeyVaultInternal", "*.adminvault.east.contoso.com"},
		"Public Extension Host": {"PublicExtensionHost", "*.hosting.east.contoso.com"},
		"Public Portal":         {"PublicPortal", "portal.east.contoso.com"},
	}
	seen := map[string]bool{}
	for _, e := range policy(t).Catalogue() {
		seen[e.Folder] = true
		if got := [2]string{e.Stem(), e.Name("east.contoso.com")}; got != want[e.Folder] {
			t.Errorf("%s: %v, wanted %v", e.Folder, got, want[e.Folder])
		}
		probe := e.ProbeHost("east.contoso.com")
		if _, base, _ := strings.Cut(e.Name("east.contoso.com"), "*."); base != "" {
			if label, rest, _ := strings.Cut(probe, "."); rest != base || strings.Contains(label, "*") {
				t.Errorf("%s is probed at %s, which %s does not cover", e.Folder, probe, e.Name("east.contoso.com"))
			}
		} else if probe != e.Name("east.contoso.com") {
			t.Errorf("%s is probed at %s", e.Folder, probe)
		}
		if e.Source.Doc == "" || e.Source.Read == "" {
			t.Errorf("%s has no source", e.Folder)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d folders, wanted %d", len(seen), len(want))
	}
}

// TestTransitionMatrix is the whole matrix of the rotation page, with the doubt about 1903 as the requirements page has it.
// Columns: self-signed to enterprise, self-signed to public, enterprise to the same, enterprise to another, enterprise to
// public, public to enterprise, public to public, anything to self-signed. R refuse, o ok, w warning.
func TestTransitionMatrix(t *testing.T) {
	p := policy(t)
	words := map[byte]policies.Decision{'R': policies.Refused, 'o': policies.Allowed, 'w': policies.AllowedWarning}
	columns := []struct {
		from, to policies.Class
		same     bool
	}{
		{policies.SelfSigned, policies.Enterprise, false},
		{policies.SelfSigned, policies.Public, false},
		{policies.Enterprise, policies.Enterprise, true},
		{policies.Enterprise, policies.Enterprise, false},
		{policies.Enterprise, policies.Public, false},
		{policies.Public, policies.Enterprise, false},
		{policies.Public, policies.Public, false},
	}
	for release, row := range map[string]string{
		"1712": "RRRRRRR", "1802": "RRRRRRR",
		"1803": "RooRoRo", "1807": "RooRoRo", "1808": "RooRoRo", "1810": "RooRoRo", "1811": "RooRoRo", "1902": "RooRoRo",
		"1903": "ooowooo",
		"1904": "ooooooo", "1909": "ooooooo", "1910": "ooooooo", "2107": "ooooooo", "2108": "ooooooo", "2412": "ooooooo", "2501": "ooooooo", "2601": "ooooooo",
	} {
		v := version(t, release)
		for i, c := range columns {
			got := p.Transition(v, c.from, c.to, c.same)
			if got.Decision != words[row[i]] || got.Why == "" || got.Source.Doc == "" {
				t.Errorf("%s: %s to %s (same %v): %+v, wanted %s", release, c.from, c.to, c.same, got, words[row[i]])
			}
			if c.from == policies.Enterprise { // what cannot be classified counts as enterprise
				if u := p.Transition(v, policies.Unknown, c.to, c.same); u.Decision != got.Decision {
					t.Errorf("%s: unknown to %s: %s, wanted %s", release, c.to, u.Decision, got.Decision)
				}
			}
		}
		for _, from := range []policies.Class{policies.SelfSigned, policies.Enterprise, policies.Public, policies.Unknown} {
			for _, same := range []bool{true, false} {
				if got := p.Transition(v, from, policies.SelfSigned, same); got.Decision != policies.Refused {
					t.Errorf("%s: %s to self-signed: %s", release, from, got.Decision)
				}
			}
		}
	}
}

// TestGatesAtTheirBoundaries says of each gate the last release without it and the first with it.
func TestGatesAtTheirBoundaries(t *testing.T) {
	p := policy(t)
	want := map[string][2]string{
		"rotation-supported":        {"1802", "1803"},
		"extension-host-importable": {"1807", "1808"},
		"split-rotation":            {"1810", "1811"},
		"readiness-group":           {"1901", "1902"},
		"any-enterprise-ca":         {"1903", "1904"},
		"bmc-by-pep":                {"1909", "1910"},
		"bmc-password-16":           {"1909", "1910"},
		"container-registry":        {"2107", "2108"},
		"internal-root":             {"2107", "2108"},
		"client-auth-dropped":       {"2412", "2501"},
	}
	if n := len(p.Gates()); n != len(want) {
		t.Errorf("%d gates, %d in the table", n, len(want))
	}
	for id, edge := range want {
		g := p.Gate(id)
		if g.Has(version(t, edge[0])) || !g.Has(version(t, edge[1])) {
			t.Errorf("%s: open at %s: %v, at %s: %v", id, edge[0], g.Has(version(t, edge[0])), edge[1], g.Has(version(t, edge[1])))
		}
	}
}

// TestCallsAtTheirBoundaries says which cmdlet is sent with which parameters, for every kind of plan.
func TestCallsAtTheirBoundaries(t *testing.T) {
	p := policy(t)
	const pfx = "Start-SecretRotation PfxFilesPath PathAccessCredential CertificatePassword"
	for _, row := range []struct{ release, kind, want string }{
		{"1802", "external", "none"},
		{"1803", "external", pfx + " combined"},
		{"1810", "external", pfx + " combined"},
		{"1811", "external", pfx},
		{"2501", "external", pfx},
		{"1802", "internal", "none"},
		{"1803", "internal", "Start-SecretRotation"},
		{"1810", "internal", "Start-SecretRotation"},
		{"1811", "internal", "Start-SecretRotation Internal"},
		{"2601", "internal", "Start-SecretRotation Internal"},
		{"1803", "rerun", "Start-SecretRotation ReRun"},
		{"1811", "rerun", "Start-SecretRotation ReRun"},
		{"1810", "rerun-internal", "Start-SecretRotation ReRun"},
		{"1811", "rerun-internal", "Start-SecretRotation Internal ReRun"},
		{"1802", "bmc", "none"},
		{"1803", "bmc", "Set-BmcPassword BmcPassword"},
		{"1810", "bmc", "Set-BmcPassword BmcPassword"},
		{"1811", "bmc", "Set-BmcCredential BmcPassword BmcUser?"},
		{"1909", "bmc", "Set-BmcCredential BmcPassword BmcUser?"},
		{"1910", "bmc", "Set-BmcCredential BmcPassword BmcUser? BypassBMCUpdate?"},
	} {
		got := "none"
		if c, ok := p.Rotation(version(t, row.release), row.kind); ok {
			got = c.Cmdlet
			for _, q := range c.Parameters {
				got += " " + q.Name
				if q.Optional != "" {
					got += "?"
				}
			}
			if c.Combined {
				got += " combined"
			}
		}
		if got != row.want {
			t.Errorf("%s %s: %s, wanted %s", row.release, row.kind, got, row.want)
		}
	}
}

// TestHealthAtItsBoundary: the group that counts warnings as errors exists from 1902; before, the plain test is asked.
func TestHealthAtItsBoundary(t *testing.T) {
	p := policy(t)
	for release, group := range map[string]bool{"1811": false, "1901": false, "1902": true, "2301": true} {
		calls := p.Health(version(t, release), "external")
		if len(calls) == 0 {
			t.Errorf("%s: no health check", release)
			continue
		}
		has := slices.ContainsFunc(calls[0].Parameters, func(q policies.CallParameter) bool {
			return q.Name == "Group" && q.Value == "SecretRotationReadiness"
		})
		if has != group || calls[0].WarningsBlock != group || calls[0].Cmdlet != "Test-AzureStack" {
			t.Errorf("%s: %+v", release, calls[0])
		}
	}
}

func TestVersions(t *testing.T) {
	for text, release := range map[string]int{"2301": 2301, "azs-2301": 2301, "1.2301": 2301, "1.2301.2.58": 2301, "1.1811.0.101": 1811} {
		if v := version(t, text); v.Release() != release || v.String() != text {
			t.Errorf("%s: %d %s", text, v.Release(), v)
		}
	}
	for _, text := range []string{"", "1.2", "1.2313", "2313", "2300", "v2301", "1.2301.2.58.1", "1.2301.-1", "９９01", "1.02301"} {
		if v, err := policies.ParseVersion(text); err == nil {
			t.Errorf("%q is taken for %d", text, v.Release())
		}
	}
	for _, row := range []struct {
		planned, reported string
		want              bool
	}{
		{"2301", "1.2301.2.58", true},
		{"azs-2301", "1.2301.0.1", true},
		{"2301", "1.2306.2.58", false},
		{"1.2301.2", "1.2301.2.58", true},
		{"1.2301.2", "1.2301.3.58", false},
		{"1.2301.2.58", "1.2301.2.58", true},
		{"1.2301.2.58", "1.2301.2.59", false},
		{"1.2301.2.58", "1.2301", false}, // less precise than what is asked proves nothing
	} {
		if got := version(t, row.planned).Matches(version(t, row.reported)); got != row.want {
			t.Errorf("%s against %s: %v", row.planned, row.reported, got)
		}
	}
}

// TestOverlay tightens or waives with a reason and an end, and reports every mistake at once.
func TestOverlay(t *testing.T) {
	p := policy(t)
	good := "waivers:\n- {rule: subject-in-san, folder: ACSBlob, reason: the CA writes its own names, until: 2027-01-31}\n"
	o, err := p.WithOverlay([]byte(good), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if o.Digest() == p.Digest() || len(o.Waivers()) != 1 || len(p.Waivers()) != 0 {
		t.Errorf("digest %s, waivers %v, before %v", o.Digest(), o.Waivers(), p.Waivers())
	}
	if end := o.Waivers()[0].End().Format("2006-01-02T15:04:05Z"); end != "2027-02-01T00:00:00Z" {
		t.Errorf("the waiver ends %s: its last day counts", end)
	}
	_, err = p.WithOverlay([]byte("waivers:\n- {rule: private-key, reason: x, until: 2027-01-31}\n- {rule: no-such-rule, reason: x, until: 2027-01-31}\n- {rule: subject-in-san, until: 2027-01-31}\n- {rule: subject-in-san, reason: x, until: tomorrow}\n"), "policy.yaml")
	if err == nil {
		t.Fatal("four mistakes pass")
	}
	for _, want := range []string{"private-key", "no-such-rule", "reason", "tomorrow"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing is said about %s: %v", want, err)
		}
	}
	for _, bad := range []string{"nonsense: 1\n", "a: [", "- x\n", strings.Repeat("#", 1<<21)} {
		if _, err := p.WithOverlay([]byte(bad), "policy.yaml"); err == nil {
			t.Errorf("%.20q passes", bad)
		}
	}
}
