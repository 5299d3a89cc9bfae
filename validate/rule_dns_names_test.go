package validate

import (
	"crypto/x509"
	"testing"
)

func TestCovers(t *testing.T) {
	for _, row := range []struct {
		claim     string
		san, want string
		ok        bool
	}{
		{"the name itself", "portal.east.contoso.com", "portal.east.contoso.com", true},
		{"case does not matter", "Portal.EAST.contoso.com", "portal.east.contoso.com", true},
		{"a trailing dot does not matter", "portal.east.contoso.com.", "portal.east.contoso.com", true},
		{"one trailing dot only", "portal.east.contoso.com..", "portal.east.contoso.com", false},
		{"a wildcard covers its left-most label", "*.east.contoso.com", "portal.east.contoso.com", true},
		{"a wildcard covers one label only", "*.contoso.com", "portal.east.contoso.com", false},
		{"a wildcard does not cover its parent", "*.portal.east.contoso.com", "portal.east.contoso.com", false},
		{"a wildcard in a label is none", "port*.east.contoso.com", "portal.east.contoso.com", false},
		{"a bare star covers nothing", "*", "portal.east.contoso.com", false},
		{"a required wildcard is covered by itself", "*.blob.east.contoso.com", "*.blob.east.contoso.com", true},
		{"a required wildcard in another case", "*.BLOB.east.contoso.com", "*.blob.east.contoso.com", true},
		{"not by a wildcard above", "*.east.contoso.com", "*.blob.east.contoso.com", false},
		{"not by two stars", "*.*.east.contoso.com", "*.blob.east.contoso.com", false},
		{"not by its parent", "blob.east.contoso.com", "*.blob.east.contoso.com", false},
		{"not by a host below", "a.blob.east.contoso.com", "*.blob.east.contoso.com", false},
		{"IDN by its A-label", "portal.XN--MNCHEN-3YA.contoso.com", "portal.xn--mnchen-3ya.contoso.com", true},
		{"Unicode does not fold into ASCII", "portal.\u212Aontoso.com", "portal.kontoso.com", false},
		{"an empty name covers nothing", "", "", false},
		{"a dot covers nothing", ".", "", false},
	} {
		t.Run(row.claim, func(t *testing.T) {
			if got := covers(row.san, row.want); got != row.ok {
				t.Errorf("covers(%q, %q) = %t, want %t", row.san, row.want, got, row.ok)
			}
		})
	}
}

func TestDNSNames(t *testing.T) {
	names := func(list ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames = list }
	}
	for _, row := range []struct {
		claim  string
		folder string
		names  []string
		want   Result
		found  string
	}{
		{"a wildcard for a host", "Public Portal", []string{"*." + domain}, OK, ""},
		{"the same wildcard is not enough for a sub-domain", "ACSBlob", []string{"*." + domain}, Fail, `"*.east.azurestack.contoso.com"`},
		{"extra names are told", "ACSBlob", []string{"*.table." + domain, "*.blob." + domain}, OK, `also holds "*.table.`},
		{"no names: the common name does not count", "ACSBlob", nil, Fail, "no DNS name"},
		{"a hostile name is quoted", "ACSBlob", []string{"a\n::error::b"}, Fail, `\n`},
	} {
		t.Run(row.claim, func(t *testing.T) {
			check(t, dnsNames.Check(subject(t, "2301", row.folder, names(row.names...))), row.want, row.found)
		})
	}
	t.Run("a domain outside ASCII", func(t *testing.T) {
		s := subject(t, "2301", "ACSBlob", nil)
		s.run.Domain = "münchen.contoso.com"
		check(t, dnsNames.Check(s), Fail, "münchen")
	})
	t.Run("no endpoint", func(t *testing.T) {
		s := subject(t, "2301", "ACSBlob", nil)
		s.Endpoint.ID = ""
		check(t, dnsNames.Check(s), Skipped)
	})
}
