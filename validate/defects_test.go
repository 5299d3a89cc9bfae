package validate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

// defect is one thing wrong with an otherwise good set, and everything the report may say about it.
type defect struct {
	rule    string // the rule it is wrong by
	name    string
	release string                   // 2301 when empty
	typ     policies.CertificateType // Deployment when empty
	spoil   func([]*item)
	input   func(*Input)
	said    map[string]Result
}

// spoilt is the folder the file defects are made in.
const spoilt = "ACSBlob"

func oneFile(f func(*item)) func([]*item) {
	return func(items []*item) { f(find(items, spoilt)) }
}

func fails(rule string) map[string]Result { return map[string]Result{spoilt + ": " + rule: Fail} }

func warns(rule string) map[string]Result    { return map[string]Result{spoilt + ": " + rule: Warning} }
func setFails(rule string) map[string]Result { return map[string]Result{"set: " + rule: Fail} }
func setWarns(rule string) map[string]Result { return map[string]Result{"set: " + rule: Warning} }

// skipsOther is what follows from a name or chain at fault.
func skipsOther(m map[string]Result) map[string]Result {
	m[spoilt+": other-certificates"] = Skipped
	return m
}

var defects = []defect{
	{
		rule: "pfx-encryption", name: "AES",
		spoil: oneFile(func(it *item) { it.pack.Encryption = pfx.AES256SHA256 }), said: fails("pfx-encryption"),
	},
	{
		rule: "expiry-date", name: "a second under seven days",
		spoil: oneFile(func(it *item) { it.template.NotAfter = asOf.Add(7*24*time.Hour - time.Second) }), said: fails("expiry-date"),
	},
	{
		rule: "expiry-date", name: "expired",
		spoil: oneFile(func(it *item) { it.template.NotAfter = asOf.Add(-time.Second) }), said: fails("expiry-date"),
	},
	{
		rule: "expiry-date", name: "not yet valid",
		spoil: oneFile(func(it *item) { it.template.NotBefore = asOf.Add(time.Second) }), said: fails("expiry-date"),
	},
	{
		rule: "signature-algorithm", name: "SHA-1 leaf",
		spoil: oneFile(func(it *item) { it.template.SignatureAlgorithm = x509.SHA1WithRSA }), said: fails("signature-algorithm"),
	},
	{
		rule: "dns-names", name: "another name",
		spoil: oneFile(func(it *item) {
			it.template.DNSNames, it.template.Subject.CommonName = []string{"*." + domain}, "*."+domain
		}),
		said: skipsOther(fails("dns-names")),
	},
	{
		rule: "key-usage", name: "no key encipherment",
		spoil: oneFile(func(it *item) { it.template.KeyUsage = x509.KeyUsageDigitalSignature }), said: fails("key-usage"),
	},
	{
		rule: "key-usage", name: "no Server Authentication",
		spoil: oneFile(func(it *item) { it.template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), said: fails("key-usage"),
	},
	{
		rule: "key-usage", name: "no Client Authentication before 2501",
		spoil: oneFile(func(it *item) { it.template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), said: fails("key-usage"),
	},
	{
		rule: "key-usage", name: "no Client Authentication from 2501 on", release: "2501",
		spoil: oneFile(func(it *item) { it.template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), said: warns("key-usage"),
	},
	{
		rule: "key-length", name: "1024 bits",
		spoil: oneFile(func(it *item) { it.key = shortKey() }), said: fails("key-length"),
	},
	{
		rule: "key-length", name: "an elliptic curve",
		spoil: oneFile(func(it *item) {
			key := curveKey()
			it.pack.Key, it.leaf = key, issue(it.template, it.issuer.cert, key.Public(), it.issuer.key)
		}),
		said: fails("key-length"),
	},
	{
		rule: "parse-pfx", name: "appended bytes",
		spoil: oneFile(func(it *item) { it.spoil = func(b []byte) []byte { return append(b, "extra"...) } }), said: fails("parse-pfx"),
	},
	{
		rule: "private-key", name: "not marked for the local machine",
		spoil: oneFile(func(it *item) { it.pack.LocalMachine = false }), said: fails("private-key"),
	},
	{
		rule: "private-key", name: "no key",
		spoil: oneFile(func(it *item) { it.spoil = func([]byte) []byte { return withoutKey(it) } }), said: fails("private-key"),
	},
	{
		rule: "cert-chain", name: "no root",
		spoil: oneFile(func(it *item) { it.chain = it.chain[:1] }), said: skipsOther(fails("cert-chain")),
	},
	{
		rule: "cert-chain", name: "self-signed",
		spoil: oneFile(func(it *item) {
			it.leaf = issue(it.template, it.template, it.key.Public(), it.key)
			it.chain = nil
		}),
		said: skipsOther(fails("cert-chain")),
	},
	{
		rule: "chain-order", name: "root before the issuing CA",
		spoil: oneFile(func(it *item) {
			slices.Reverse(it.chain)
			it.disorder = true
			it.twin = func(leaf *x509.Certificate, chain []*x509.Certificate) []byte {
				chain = slices.Clone(chain)
				slices.Reverse(chain)
				return twinFile(leaf, chain)
			}
		}),
		said: fails("chain-order"),
	},
	{
		rule: "other-certificates", name: "a stranger",
		spoil: oneFile(func(it *item) {
			it.chain = append(it.chain, cas().otherRoot.cert)
			it.disorder = true
			it.twin = func(leaf *x509.Certificate, chain []*x509.Certificate) []byte { return twinFile(leaf, chain[:2]) }
		}),
		said: fails("other-certificates"),
	},
	{
		rule: "http-crl", name: "ldap only",
		spoil: oneFile(func(it *item) { it.template.CRLDistributionPoints = []string{"ldap:///CN=Contoso"} }), said: warns("http-crl"),
	},
	{
		rule: "subject-in-san", name: "another common name",
		spoil: oneFile(func(it *item) { it.template.Subject.CommonName = "blob" }), said: warns("subject-in-san"),
	},
	{
		rule: "serial-number", name: "negative",
		spoil: oneFile(func(it *item) { it.leaf = withSerial(it, 0xfb) }), said: warns("serial-number"),
	},
	{
		rule: "kdf-iterations", name: "one more than .NET takes",
		spoil: oneFile(func(it *item) { it.pack.Iterations = 600001 }), said: warns("kdf-iterations"),
	},
	{
		rule: "twin", name: "of another certificate",
		spoil: oneFile(func(it *item) {
			it.twin = func(*x509.Certificate, []*x509.Certificate) []byte { return twinFile(cas().issuing.cert, nil) }
		}),
		said: fails("twin"),
	},
	{
		rule: "encrypted-at-rest", name: "bare PFX in a pull request",
		input: func(in *Input) { in.NoPassword, in.Password = true, "" },
		said:  nil, // looked at in its own test: without a password much is skipped
	},
	{
		rule: "folder-layout", name: "a folder too many",
		input: func(in *Input) { in.Listing = append(in.Listing, "AppServices/") }, said: setFails("folder-layout"),
	},
	{
		rule: "folder-layout", name: "a folder missing",
		input: func(in *Input) {
			in.Files = slices.DeleteFunc(in.Files, func(f File) bool { return f.Path == "ACSBlob/ACSBlob.pfx" })
			in.Listing = slices.DeleteFunc(in.Listing, func(p string) bool { return len(p) > 8 && p[:8] == "ACSBlob/" || p == "ACSBlob/" })
		},
		said: setFails("folder-layout"),
	},
	{
		rule: "password-policy", name: "lower case only",
		spoil: func(items []*item) {
			for _, it := range items {
				it.pack.Password = "alllowercase"
			}
		},
		input: func(in *Input) { in.Password = "alllowercase" },
		said:  setFails("password-policy"),
	},
	{
		rule: "password-policy", name: "a character that the stamp does not take",
		spoil: func(items []*item) {
			for _, it := range items {
				it.pack.Password = "Fine4Length#"
			}
		},
		input: func(in *Input) { in.Password = "Fine4Length#" },
		said:  setFails("password-policy"),
	},
	{
		// A file that another password protects cannot be opened either: the two go together, and hide the rest of the file.
		rule: "same-password", name: "another password",
		spoil: oneFile(func(it *item) { it.pack.Password = "Another7Password7" }),
		said:  nil,
	},
	{
		rule: "one-for-all", name: "one certificate in every folder",
		spoil: oneCertificate, said: setWarns("one-for-all"),
	},
	{
		rule: "public-client-auth", name: "a public CA where Client Authentication is demanded",
		spoil: func(items []*item) {
			for _, it := range items {
				it.template.Policies = []x509.OID{organisationValidated()}
			}
		},
		input: func(in *Input) { in.Anchors = Anchors{Public: []*x509.Certificate{cas().root.cert}} },
		said:  setWarns("public-client-auth"),
	},
	{
		rule: "stamp-alerts", name: "60 days left of a year",
		spoil: oneFile(func(it *item) {
			it.template.NotBefore, it.template.NotAfter = asOf.AddDate(-1, 0, 0), asOf.AddDate(0, 0, 60)
		}),
		said: setWarns("stamp-alerts"),
	},
	{
		rule: "plan-window", name: "ten days left",
		spoil: oneFile(func(it *item) { it.template.NotAfter = asOf.AddDate(0, 0, 10) }), said: setWarns("plan-window"),
	},
	{
		rule: "acr-alignment", name: "a year after the others", typ: policies.AzureContainerRegistry,
		spoil: func(items []*item) { items[0].template.NotAfter = asOf.AddDate(1, 6, 0) }, said: setWarns("acr-alignment"),
	},
	{
		rule: "duplicate-key", name: "one key for two endpoints",
		spoil: oneFile(func(it *item) { it.key = keys()[leafKeys] }), said: setWarns("duplicate-key"),
	},
	{
		rule: "mixed-issuers", name: "one certificate from another root",
		spoil: oneFile(fromOther),
		input: func(in *Input) { in.Anchors.Enterprise = append(in.Anchors.Enterprise, cas().otherRoot.cert) },
		said:  setWarns("mixed-issuers"),
	},
	{
		rule: "ca-class", name: "a root that only the files vouch for",
		input: func(in *Input) { in.Anchors, in.Installed = Anchors{}, nil }, said: setWarns("ca-class"),
	},
	{
		rule: "ca-transition", name: "another enterprise CA before 1903", release: "1811",
		input: func(in *Input) {
			in.Installed = []Installed{{Chain: []*x509.Certificate{installedLeaf(cas().otherCA), cas().otherCA.cert, cas().otherRoot.cert}}}
		},
		said: setFails("ca-transition"),
	},
	{
		rule: "waivers", name: "one that ended, of a rule that passes",
		input: func(in *Input) {
			in.Policy = overlaid(in.Policy, "waivers:\n- {rule: key-usage, folder: ACSTable, reason: waiting for the CA, until: \"2026-11-22\"}\n")
		},
		said: setFails("waivers"),
	},
	{
		rule: "paas-root", name: "another root than the stamp's own", typ: policies.DBAdapter,
		spoil: func(items []*item) { fromOther(items[0]) },
		input: func(in *Input) { in.Anchors.Enterprise = append(in.Anchors.Enterprise, cas().otherRoot.cert) },
		said:  setWarns("paas-root"),
	},
}

var curveKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

// withoutKey is a file of the certificates alone, by another hand: our own encoder writes none.
func withoutKey(it *item) []byte {
	entries := []pkcs12.TrustStoreEntry{{Cert: it.leaf}}
	for _, c := range it.chain {
		entries = append(entries, pkcs12.TrustStoreEntry{Cert: c})
	}
	b, err := pkcs12.LegacyDES.WithIterations(1000).EncodeTrustStoreEntries(entries, it.pack.Password)
	if err != nil {
		panic(err)
	}
	return b
}

// oneCertificate puts the certificate of the first endpoint, with every name in it, into all folders.
func oneCertificate(items []*item) {
	first := items[0]
	first.template.DNSNames = nil
	for _, it := range items {
		first.template.DNSNames = append(first.template.DNSNames, it.endpoint.Names(domain)...)
	}
	for _, it := range items[1:] {
		it.key, it.leaf = first.key, first.certificate()
	}
}

func fromOther(it *item) {
	it.issuer, it.chain = cas().otherCA, []*x509.Certificate{cas().otherCA.cert, cas().otherRoot.cert}
}

func (d defect) build(t *testing.T) Input {
	t.Helper()
	release := d.release
	if release == "" {
		release = "2301"
	}
	typ := d.typ
	if typ == "" {
		typ = policies.Deployment
	}
	in, items := goodSetOf(t, typ, release, policies.AAD)
	if d.spoil != nil {
		d.spoil(items)
	}
	fill(t, &in, items)
	if d.input != nil {
		d.input(&in)
	}
	return in
}

func TestGoodSetsPass(t *testing.T) {
	for _, row := range []struct {
		release string
		id      policies.Identity
		files   int
	}{
		{"2301", policies.AAD, 11}, {"2301", policies.ADFS, 13}, {"1811", policies.AAD, 11}, {"1902", policies.ADFS, 13}, {"1904", policies.AAD, 11},
	} {
		t.Run(row.release+" "+string(row.id), func(t *testing.T) {
			in, items := goodSet(t, row.release, row.id)
			fill(t, &in, items)
			out := testRun(t, in)
			if got := said(out.Report); len(got) != 0 {
				t.Errorf("a good set: %v", got)
			}
			if out.Report.Verdict != Pass || !out.Report.Complete {
				t.Errorf("verdict %s, complete %t, want pass and complete", out.Report.Verdict, out.Report.Complete)
			}
			if n := len(out.Report.Certificates); n != row.files || len(out.Subjects) != n || len(out.Transitions) != n {
				t.Errorf("%d certificates, %d subjects, %d transitions, want %d each", n, len(out.Subjects), len(out.Transitions), row.files)
			}
		})
	}
}

// One defect is one finding: whoever mends it wants no echo of it elsewhere.
func TestOneDefectOneFinding(t *testing.T) {
	for _, d := range defects {
		if d.said == nil {
			continue
		}
		t.Run(d.rule+" "+d.name, func(t *testing.T) {
			out := testRun(t, d.build(t))
			if diff := cmp.Diff(d.said, said(out.Report)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			for _, f := range findings(out.Report) {
				if f.Result != OK && (f.Found == "" || f.Wanted == "" || f.Hint == "" || f.Source == "") {
					t.Errorf("%s says too little: %+v", f.ID, f)
				}
			}
			worst := Warning
			for r := range maps.Values(d.said) {
				if r == Fail {
					worst = Fail
				}
			}
			if want := worseVerdict(Pass, worst); out.Report.Verdict != want {
				t.Errorf("verdict %s, want %s", out.Report.Verdict, want)
			}
		})
	}
}

func findings(r StampReport) []Finding {
	out := slices.Clone(r.Set)
	for _, c := range r.Certificates {
		out = append(out, c.Tests...)
	}
	return out
}

func TestAnotherPassword(t *testing.T) {
	i := slices.IndexFunc(defects, func(d defect) bool { return d.rule == "same-password" })
	got := said(testRun(t, defects[i].build(t)).Report)
	failed := make(map[string]Result)
	for k, r := range got {
		if r != Skipped {
			failed[k] = r
		}
	}
	want := map[string]Result{spoilt + ": parse-pfx": Fail, "set: same-password": Fail}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	for _, r := range Rules() {
		// The encryption and its iterations show without the password; everything else of a closed file is unknown, its key's owner too.
		want := Skipped
		if failed[spoilt+": "+r.ID] == Fail || r.ID == "pfx-encryption" || r.ID == "kdf-iterations" || r.ID == "encrypted-at-rest" {
			continue
		}
		if k := spoilt + ": " + r.ID; got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
}

// The same set judged twice is the same document, whatever order the files came in.
func TestSameInputSameReport(t *testing.T) {
	in, items := goodSet(t, "2301", policies.ADFS)
	find(items, spoilt).template.DNSNames = nil
	fill(t, &in, items)
	first, err := json.Marshal(testRun(t, in).Report)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		slices.Reverse(in.Files)
		slices.Reverse(in.Listing)
		again, err := json.Marshal(testRun(t, in).Report)
		if err != nil {
			t.Fatal(err)
		}
		if string(first) != string(again) {
			t.Fatalf("two reports over one set:\n%s\n%s", first, again)
		}
	}
}
