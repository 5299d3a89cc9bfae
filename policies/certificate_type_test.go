package policies_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
)

// TestResourceProviders holds every certificate of a resource provider against the tables of optional certificates
// (PKI-2508, RC-1809, ACR-2108), copied here by hand: folder, file without extension, names, whether a wildcard may
// stand in.
func TestResourceProviders(t *testing.T) {
	p := policy(t)
	want := map[policies.CertificateType][]string{
		policies.AppServices: {
			"AppServices/DefaultDomain DefaultDomain *.appservice.east.contoso.com *.scm.appservice.east.contoso.com *.sso.appservice.east.contoso.com",
			"AppServices/API API api.appservice.east.contoso.com exact",
			"AppServices/Publishing Publishing ftp.appservice.east.contoso.com exact",
			"AppServices/Identity Identity sso.appservice.east.contoso.com exact",
		},
		policies.DBAdapter:              {"DBAdapter DBAdapter *.dbadapter.east.contoso.com"},
		policies.EventHubs:              {"EventHubs EventHubs *.eventhub.east.contoso.com"},
		policies.IoTHub:                 {"IoTHub IoTHub *.mgmtiothub.east.contoso.com"},
		policies.AzureContainerRegistry: {"AzureContainerRegistry AzureContainerRegistry *.azsacr.east.contoso.com"},
	}
	got := map[policies.CertificateType][]string{}
	for _, typ := range p.Types()[1:] {
		for _, e := range p.TypeEndpoints(typ, version(t, "2108")) { // at 2108 all of them exist
			row := e.Dir() + " " + e.Stem() + " " + strings.Join(e.Names("East.Contoso.com"), " ")
			if e.Exact {
				row += " exact"
			}
			got[typ] = append(got[typ], row)
			if e.Direct != (e.Folder == string(typ)) {
				t.Errorf("%s: direct %v in a folder named %s", e.ID, e.Direct, e.Folder)
			}
			if e.Source.Doc == "" || e.Source.Read == "" || e.ID == "" || len(e.Identity) != 2 {
				t.Errorf("%s is not complete: %+v", e.Folder, e)
			}
			if strings.HasPrefix(e.Label, "*.") != (e.Probe != "") {
				t.Errorf("%s is probed at %q", e.ID, e.Probe)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("certificates (-want +got):\n%s", diff)
	}
}

// TestTypesAtTheirBoundaries says which types a stamp of a release can have.
func TestTypesAtTheirBoundaries(t *testing.T) {
	p := policy(t)
	want := []policies.CertificateType{
		policies.Deployment, policies.AppServices, policies.DBAdapter, policies.EventHubs, policies.IoTHub, policies.AzureContainerRegistry,
	}
	if got := p.Types(); !slices.Equal(got, want) {
		t.Errorf("types %v, want %v", got, want)
	}
	const always = "AppServices DBAdapter"
	for release, want := range map[string]string{
		"1803": always, "1910": always,
		"2002": always + " EventHubs IoTHub", "2102": always + " EventHubs IoTHub",
		"2108": always + " EventHubs IoTHub AzureContainerRegistry",
		"2206": always + " EventHubs AzureContainerRegistry", "2601": always + " EventHubs AzureContainerRegistry",
	} {
		var got []string
		for _, typ := range p.Types()[1:] {
			if len(p.TypeEndpoints(typ, version(t, release))) > 0 {
				got = append(got, string(typ))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", release, got, want)
		}
	}
}

// TestDeploymentStaysApart: what a rotation takes has no certificate of a resource provider in it.
func TestDeploymentStaysApart(t *testing.T) {
	p := policy(t)
	every := p.Optionals()
	for _, release := range []string{"1803", "1808", "1811", "2108", "2601"} {
		v := version(t, release)
		all := p.TypeEndpoints(policies.Deployment, v)
		for _, id := range []policies.Identity{policies.AAD, policies.ADFS} {
			for _, e := range p.Endpoints(v, id, every) {
				if e.Type != policies.Deployment || e.Direct || len(e.MoreLabels) > 0 || e.Dir() != e.Folder {
					t.Errorf("%s %s: %+v", release, id, e)
				}
				if !slices.ContainsFunc(all, func(x policies.Endpoint) bool { return x.ID == e.ID }) {
					t.Errorf("%s: %s is not among the type's", release, e.ID)
				}
				if got := e.Names("r.example"); len(got) != 1 || got[0] != e.Name("r.example") {
					t.Errorf("%s: names %v", e.ID, got)
				}
			}
		}
	}
}
