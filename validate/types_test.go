package validate

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
)

// TestGoodSetsOfResourceProviders: every type's tree, as the readiness tools have it, is judged without a finding.
func TestGoodSetsOfResourceProviders(t *testing.T) {
	for typ, want := range map[policies.CertificateType][]string{
		policies.AppServices:            {"DefaultDomain/DefaultDomain.pfx", "API/API.pfx", "Publishing/Publishing.pfx", "Identity/Identity.pfx"},
		policies.DBAdapter:              {"DBAdapter/DBAdapter.pfx"},
		policies.EventHubs:              {"EventHubs/EventHubs.pfx"},
		policies.IoTHub:                 {"IoTHub/IoTHub.pfx"},
		policies.AzureContainerRegistry: {"AzureContainerRegistry/AzureContainerRegistry.pfx"},
	} {
		t.Run(string(typ), func(t *testing.T) {
			in, items := goodSetOf(t, typ, "2108", policies.ADFS)
			fill(t, &in, items)
			out := testRun(t, in)
			if got := said(out.Report); len(got) != 0 {
				t.Errorf("a good set: %v", got)
			}
			if out.Report.Verdict != Pass || !out.Report.Complete || out.Report.Type != string(typ) {
				t.Errorf("verdict %s, complete %t, type %q", out.Report.Verdict, out.Report.Complete, out.Report.Type)
			}
			var got []string
			for _, s := range out.Subjects {
				got = append(got, s.Path)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if len(out.Transitions) != 0 {
				t.Errorf("%d transitions: a resource provider's certificates are not rotated", len(out.Transitions))
			}
		})
	}
}

// TestDeploymentHasNoType: what other tools read of a set that is rotated has not changed.
func TestDeploymentHasNoType(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	if got := testRun(t, in).Report.Type; got != "" {
		t.Errorf("type %q", got)
	}
}

// TestRulesOfASet: what concerns a rotation is not asked of a resource provider, and the other way round.
func TestRulesOfASet(t *testing.T) {
	in, items := goodSetOf(t, policies.DBAdapter, "2301", policies.AAD)
	fill(t, &in, items)
	var got []string
	for _, f := range findings(testRun(t, in).Report) {
		got = append(got, f.ID)
	}
	for _, id := range []string{"password-policy", "same-password", "ca-transition"} {
		if slices.Contains(got, id) {
			t.Errorf("%s is asked of a resource provider", id)
		}
	}
	if !slices.Contains(got, "paas-root") {
		t.Error("paas-root is not asked of a resource provider")
	}
	in, items = goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	for _, f := range findings(testRun(t, in).Report) {
		if f.ID == "paas-root" {
			t.Error("paas-root is asked of the set that is rotated")
		}
	}
}

func TestLayoutOfResourceProviders(t *testing.T) {
	for _, row := range []struct {
		claim, release string
		typ            policies.CertificateType
		list           string
		want           Result
		hint           string
	}{
		{"App Service", "2301", policies.AppServices, "DefaultDomain/a.pfx API/a.pfx Publishing/a.pfx Identity/a.pfx", OK, ""},
		{"one missing", "2301", policies.AppServices, "DefaultDomain/a.pfx API/a.pfx Publishing/a.pfx", Fail, "add AppServices/Identity/Identity.pfx"},
		{"another spelling", "2301", policies.AzureContainerRegistry, "Acr/a.pfx", Fail, `rename it to "AzureContainerRegistry"`},
		{"an endpoint of the stamp", "2301", policies.AppServices, "DefaultDomain/a.pfx API/a.pfx Publishing/a.pfx Identity/a.pfx ACSBlob/a.pfx", Fail, "into the certificates directory"},
		{"directly in the folder", "2301", policies.DBAdapter, "DBAdapter/a.pfx.age DBAdapter/a.crt", OK, ""},
		{"in a folder below", "2301", policies.DBAdapter, "DBAdapter/SSL/a.pfx", Fail, "move the PFX up"},
		{"two", "2301", policies.EventHubs, "EventHubs/a.pfx EventHubs/b.pfx", Fail, "keep the one"},
		{"IoT Hub before it was withdrawn", "2108", policies.IoTHub, "IoTHub/a.pfx", OK, ""},
		{"IoT Hub afterwards", "2301", policies.IoTHub, "IoTHub/a.pfx", Warning, "no document names IoTHub at release 2301"},
		{"registry before 2108", "2102", policies.AzureContainerRegistry, "AzureContainerRegistry/a.pfx", Warning, "at release 2102"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			in := Input{Type: row.typ, Policy: policy(t), Version: version(t, row.release), Identity: policies.AAD, Listing: strings.Fields(row.list)}
			worst, hints := OK, ""
			for _, j := range folderLayout.Check(&Set{run: newRun(in)}) {
				worst, hints = worse(worst, j.Result), hints+j.Hint+"\n"
			}
			if worst != row.want || !strings.Contains(hints, row.hint) {
				t.Errorf("%s, hints %q, want %s with %q", worst, hints, row.want, row.hint)
			}
		})
	}
}

// TestNamesOfResourceProviders holds spec against certificate: all three wildcards in one, none for a single host.
func TestNamesOfResourceProviders(t *testing.T) {
	const app = "appservice." + domain
	for _, row := range []struct {
		claim, id string
		names     []string
		want      Result
	}{
		{"three wildcards", "appservice-default-domain", []string{"*.sso." + app, "*." + app, "*.scm." + app}, OK},
		{"two of three", "appservice-default-domain", []string{"*." + app, "*.scm." + app}, Fail},
		{"one wildcard does not reach below another", "appservice-default-domain", []string{"*." + app}, Fail},
		{"the host itself", "appservice-api", []string{"api." + app}, OK},
		{"the host among others", "appservice-api", []string{"*." + app, "API." + app}, OK},
		{"a wildcard for the host", "appservice-api", []string{"*." + app}, Fail},
		{"a wildcard for the publishing host", "appservice-publishing", []string{"*." + app}, Fail},
		{"a wildcard for the identity host", "appservice-identity", []string{"*." + app, "*.sso." + app}, Fail},
		{"the database's wildcard", "dbadapter", []string{"*.dbadapter." + domain}, OK},
		{"the stamp's wildcard", "dbadapter", []string{"*." + domain}, Fail},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			s.Leaf.DNSNames = row.names
			for _, typ := range s.run.Policy.Types() {
				for _, e := range s.run.Policy.TypeCatalogue(typ) {
					if e.ID == row.id {
						s.Endpoint = e
					}
				}
			}
			check(t, dnsNames.Check(s), row.want)
		})
	}
}

// TestSubjectIsIgnoredByIoTHub: it says itself that only the alternative names count.
func TestSubjectIsIgnoredByIoTHub(t *testing.T) {
	for typ, want := range map[policies.CertificateType]Result{policies.IoTHub: OK, policies.EventHubs: Warning} {
		in, items := goodSetOf(t, typ, "2108", policies.AAD)
		items[0].template.Subject.CommonName = "hub"
		fill(t, &in, items)
		got := said(testRun(t, in).Report)[string(typ)+": subject-in-san"]
		if got != want && (want != OK || got != "") {
			t.Errorf("%s: %q, want %s", typ, got, want)
		}
	}
}

func TestRootsWithoutTheCore(t *testing.T) {
	in, items := goodSetOf(t, policies.DBAdapter, "2301", policies.AAD)
	fill(t, &in, items)
	in.Core = nil
	if got := said(testRun(t, in).Report); got["set: paas-root"] != Skipped {
		t.Errorf("%v, want it skipped: nothing was there to compare with", got)
	}
}
