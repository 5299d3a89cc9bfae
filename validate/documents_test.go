package validate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// covering says which rules answer a demand of the documents. Without rules it says why none can.
type covering struct {
	id    string
	about string
	level string // E blocks, W warns, I informs
	rules string
	why   string
}

// requirements are the demands of Microsoft's pages on certificates, numbered in the order in which our reading of them
// lists them, copied by hand.
var requirements = []covering{
	{"PKI-01", "issued by an enterprise CA or one of the Microsoft Trusted Root Program", "E", "cert-chain ca-class ca-transition", ""},
	{"PKI-02", "not self-signed", "E", "cert-chain", ""},
	{"PKI-03", "before 1903 the enterprise CA of the deployment, or a public one", "E", "ca-transition", ""},
	{"PKI-04", "a CRL distribution point with http", "W", "http-crl", ""},
	{"PKI-05", "that CRL can be fetched", "E", "", "needs the network: package validate/crl fetches it on demand"},
	{"PKI-06", "disconnected stamps do not use public CAs whose CRL they cannot reach", "E", "", "needs the network: package validate/crl fetches it on demand"},
	{"PKI-07", "RSA, 2048 bits or more", "E", "key-length", ""},
	{"PKI-08", "digital signature and key encipherment", "E", "key-usage", ""},
	{"PKI-09", "server authentication", "E", "key-usage", ""},
	{"PKI-10", "client authentication, dropped in 2025", "E", "key-usage public-client-auth", ""},
	{"PKI-11", "no SHA-1", "E", "signature-algorithm", ""},
	{"PKI-12", "alternative names cover the endpoint", "E", "dns-names", ""},
	{"PKI-13", "subject among the alternative names", "W", "subject-in-san", ""},
	{"PKI-14", "one certificate for all names is for development", "W", "one-for-all duplicate-key", ""},
	{"PKI-15", "PKCS#12, readable, right password", "E", "parse-pfx", ""},
	{"PKI-16", "private key inside", "E", "private-key", ""},
	{"PKI-17", "local machine attribute", "E", "private-key", ""},
	{"PKI-18", "TripleDES-SHA1", "E", "pfx-encryption", ""},
	{"PKI-19", "public part protected too", "W", "parse-pfx", ""},
	{"PKI-20", "whole chain", "E", "cert-chain", ""},
	{"PKI-21", "chain in order", "E", "chain-order", ""},
	{"PKI-22", "no other certificate", "E", "other-certificates", ""},
	{"PKI-23", "seven days left", "E", "expiry-date", ""},
	{"PKI-24", "one password", "E", "same-password", ""},
	{"PKI-25", "complex password", "E", "password-policy", ""},
	{"PKI-26", "no character that breaks the rotation", "E", "password-policy", ""},
	{"PKI-27", "loads without a user profile (No Profile)", "E", "", "asks Windows to load the file as a service would: nothing in its bytes tells, and newer checkers no longer ask"},
	{"PKI-28", "extended properties exported; no rule on the friendly name", "I", "private-key", ""},
	{"PKI-29", "container registry aligned in expiry and password", "W", "acr-alignment same-password", ""},
	{"PKI-30", "resource providers share the root", "W", "paas-root", ""},
	{"PKI-31", "one PFX per folder, expected folders only", "E", "folder-layout", ""},
}

// readinessTests are the tests of Microsoft's ReadinessChecker, newest names.
var readinessTests = []covering{
	{"PFX Encryption", "", "E", "pfx-encryption", ""},
	{"Expiry Date", "", "E", "expiry-date", ""},
	{"Signature Algorithm", "", "E", "signature-algorithm", ""},
	{"DNS Names", "", "E", "dns-names", ""},
	{"Key Usage", "", "E", "key-usage", ""},
	{"Key Length", "", "E", "key-length", ""},
	{"Parse PFX", "", "E", "parse-pfx", ""},
	{"Private Key", "", "E", "private-key", ""},
	{"Cert Chain", "", "E", "cert-chain", ""},
	{"Chain Order", "", "E", "chain-order", ""},
	{"Other Certificates", "", "E", "other-certificates", ""},
	{"HTTP CRL", "", "W", "http-crl", ""},
	{"No profile", "", "E", "", "asks Windows to load the file as a service would: nothing in its bytes tells, and newer checkers no longer ask"},
}

// TestEveryRequirementIsARule: what the documents demand is judged by a rule, or it is said why it cannot be.
func TestEveryRequirementIsARule(t *testing.T) {
	severity := make(map[string]Severity)
	for _, e := range Explain(policy(t)) {
		severity[e.ID] = e.Severity
	}
	blocks := make(map[string]bool)
	for i, r := range requirements {
		if want := fmt.Sprintf("PKI-%02d", i+1); r.id != want {
			t.Errorf("place %d is %s, want %s", i, r.id, want)
		}
		if (r.rules == "") == (r.why == "") {
			t.Errorf("%s: either rules or a reason", r.id)
		}
		has := false
		for id := range strings.FieldsSeq(r.rules) {
			s, ok := severity[id]
			if !ok {
				t.Errorf("%s names %s, which is no rule", r.id, id)
			}
			has = has || s == Error
			if r.level == "E" {
				blocks[id] = true
			}
		}
		if r.rules != "" && r.level == "E" && !has {
			t.Errorf("%s blocks a stamp, and no rule of its fails: %s", r.id, r.rules)
		}
	}
	if len(requirements) != 31 {
		t.Errorf("%d requirements, want 31", len(requirements))
	}
	// Only what the documents say blocks may fail; the rest are our own promises about the files and the waivers.
	own := []string{"twin", "waivers"}
	for id, s := range severity {
		if s == Error && !blocks[id] && !slices.Contains(own, id) {
			t.Errorf("%s fails, and no document says that a stamp refuses it", id)
		}
	}
}

// TestEveryReadinessTestIsARule: operators find each test of the checker under its name, in its order.
func TestEveryReadinessTestIsARule(t *testing.T) {
	rules := Rules()
	var names []string
	for _, r := range rules {
		names = append(names, r.Name)
	}
	var want []string
	for _, r := range readinessTests {
		if r.rules == "" {
			if r.id != "No profile" || r.why == "" {
				t.Errorf("%s is missing", r.id)
			}
			continue
		}
		want = append(want, r.id)
		i := slices.Index(names, r.id)
		if i < 0 || rules[i].ID != r.rules {
			t.Errorf("%s is not the name of %s", r.id, r.rules)
			continue
		}
		if (rules[i].Severity == Error) != (r.level == "E") {
			t.Errorf("%s: severity %s, level %s", r.id, rules[i].Severity, r.level)
		}
	}
	if !slices.Equal(names[:len(want)], want) {
		t.Errorf("order %v, want %v", names[:len(want)], want)
	}
}
