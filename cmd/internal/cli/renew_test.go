package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

// TestEndpointHost reads --stamp-endpoint in every spelling that documents have, and nothing that is not the stamp's.
func TestEndpointHost(t *testing.T) {
	const d = "east.azurestack.contoso.com"
	j := trialJob(t, "2301", policies.AAD, "")
	for _, c := range []struct {
		given string
		kind  policies.CertificateType
		want  string // empty: refused
		says  string
	}{
		{given: d, want: "portal." + d},
		{given: d, kind: policies.Deployment, want: "portal." + d},
		{given: d, kind: policies.DBAdapter, want: "portal." + d},
		{given: d, kind: policies.AppServices, want: "sso.appservice." + d},
		{given: "portal." + d, want: "portal." + d},
		{given: "portal." + d, kind: policies.AppServices, want: "portal." + d},
		{given: " Portal.EAST.azurestack.contoso.com. ", want: "portal." + d},
		{given: "adminmanagement." + d, want: "adminmanagement." + d},
		{given: "sso.appservices." + d, kind: policies.AppServices, want: "sso.appservice." + d},
		{given: "sso.appservices." + d, want: "sso.appservice." + d},
		{given: "sso.appservice." + d, want: "sso.appservice." + d},
		{given: "api.appservice." + d, want: "api.appservice." + d},
		{given: "myaccount.blob." + d, want: "myaccount.blob." + d},
		{given: "*.blob." + d, want: "azs-probe.blob." + d},
		{given: "*.scm.appservice." + d, want: "azs-probe.appservice." + d},
		{given: "portal.west.azurestack.contoso.com", says: "no name of stamp east"},
		{given: "evil.example", says: "no name of stamp east"},
		{given: "portal." + d + ".evil.example", says: "no name of stamp east"},
		{given: "evil" + d, says: "no name of stamp east"},
		{given: "evilportal." + d, says: "no name of stamp east"},
		{given: "a.b.blob." + d, says: "no name of stamp east"},
		{given: ".blob." + d, says: "no name of stamp east"},
		{given: "blob." + d, says: "no name of stamp east"},
		{given: "azurestack.contoso.com", says: "no name of stamp east"},
		{given: "adfs." + d, says: "no name of stamp east"}, // the stamp's identity is AAD
		{given: "10.20.0.5", says: "no name of stamp east"},
		{given: "https://portal." + d, says: "is no host name"},
		{given: "portal." + d + ":8443", says: "is no host name"},
		{given: "", says: "no name of stamp east"},
		{given: "portal." + d + "\n", want: "portal." + d},
		{given: "por\ntal." + d, says: `"por\ntal.`},
	} {
		got, err := endpointHost(j, c.given, c.kind)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q for %s: %q, %v, wanted %q", c.given, c.kind, got, err, c.want)
		}
		var f *failure
		if err != nil && (!errors.As(err, &f) || f.code != exitUsage || f.hint == "" || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q: %v, wanted %s", c.given, err, c.says)
		}
	}
	if got, err := endpointHost(trialJob(t, "2301", policies.ADFS, ""), "adfs."+d, ""); err != nil || got != "adfs."+d {
		t.Errorf("adfs: %q, %v", got, err)
	}
}
