package csr

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
)

var asOf = time.Date(2026, 11, 20, 8, 30, 15, 0, time.UTC)

func given(t *testing.T, version string, identity policies.Identity) (*policies.Policy, Input) {
	t.Helper()
	p, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	v, err := policies.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	return p, Input{Region: "East", FQDN: "azurestack.Contoso.com", Version: v, Identity: identity, AsOf: asOf}
}

func specs(t *testing.T, p *policies.Policy, in Input) []Spec {
	t.Helper()
	list, err := Specs(p, in)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestNames holds the file names and DNS names against the readiness tools' (CSR-2204).
func TestNames(t *testing.T) {
	p, in := given(t, "2301", policies.ADFS)
	got := map[string]string{}
	for _, s := range specs(t, p, in) {
		got[s.Stem] = strings.Join(s.Names, " ")
		if len(s.Folders) != 1 || s.Subject != "CN="+s.Names[0] {
			t.Errorf("%s: folders %v, subject %s", s.Stem, s.Folders, s.Subject)
		}
	}
	const d, f, at = ".east.azurestack.contoso.com", "_east_azurestack_contoso_com", "_CertRequest_20261120083015"
	want := map[string]string{}
	for _, name := range []string{"portal", "adminportal", "management", "adminmanagement", "adfs", "graph"} {
		want[name+f+at] = name + d
	}
	for _, name := range []string{"blob", "table", "queue", "vault", "adminvault", "hosting", "adminhosting"} {
		want["wildcard_"+name+f+at] = "*." + name + d
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneForAll(t *testing.T) {
	p, in := given(t, "2301", policies.AAD)
	in.Single = true
	list := specs(t, p, in)
	if len(list) != 1 || len(list[0].Names) != 11 || len(list[0].Folders) != 11 || len(list[0].Notes) == 0 {
		t.Fatalf("%+v", list)
	}
	s := list[0]
	if s.Stem != "Deployment_east_azurestack_contoso_com_SingleCSR_CertRequest_20261120083015" || !strings.HasPrefix(s.Names[0], "*.") {
		t.Errorf("stem %s, names %v", s.Stem, s.Names)
	}
}

// TestTypes holds the certificates of resource providers: names, file names and which may be one (PKI-2508).
func TestTypes(t *testing.T) {
	const d, f, at = ".east.azurestack.contoso.com", "_east_azurestack_contoso_com", "_CertRequest_20261120083015"
	for _, c := range []struct {
		kind    policies.CertificateType
		version string
		want    map[string]string // stem, before the domain, to the labels it asks for
	}{
		{policies.AppServices, "2301", map[string]string{"wildcard_appservice": "*.appservice *.scm.appservice *.sso.appservice", "api_appservice": "api.appservice", "ftp_appservice": "ftp.appservice", "sso_appservice": "sso.appservice"}},
		{policies.DBAdapter, "1803", map[string]string{"wildcard_dbadapter": "*.dbadapter"}},
		{policies.EventHubs, "2301", map[string]string{"wildcard_eventhub": "*.eventhub"}},
		{policies.IoTHub, "2108", map[string]string{"wildcard_mgmtiothub": "*.mgmtiothub"}},
		{policies.AzureContainerRegistry, "2108", map[string]string{"wildcard_azsacr": "*.azsacr"}},
	} {
		p, in := given(t, c.version, policies.AAD)
		in.Type = c.kind
		got, want := map[string]string{}, map[string]string{}
		for _, s := range specs(t, p, in) {
			got[s.Stem] = strings.Join(s.Names, " ")
			if s.Subject != "CN="+s.Names[0] || len(s.Folders) != 1 {
				t.Errorf("%s: %s, folders %v", s.Stem, s.Subject, s.Folders)
			}
		}
		for stem, labels := range c.want {
			want[stem+f+at] = strings.ReplaceAll(labels, " ", d+" ") + d
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.kind, diff)
		}
		in.Single = true
		if _, err := Specs(p, in); (err != nil) != (len(c.want) > 1) {
			t.Errorf("%s as one request: %v", c.kind, err)
		}
	}
	for kind, version := range map[policies.CertificateType]string{policies.AzureContainerRegistry: "2102", policies.IoTHub: "2301", policies.EventHubs: "1910", "Other": "2301"} {
		p, in := given(t, version, policies.AAD)
		in.Type = kind
		if _, err := Specs(p, in); err == nil || !strings.Contains(err.Error(), "has no certificates of the type "+string(kind)) {
			t.Errorf("%s at %s: %v", kind, version, err)
		}
	}
}

// TestContainerRegistry is asked for by the stamp file, not by a flag: plan and validate must know of it too.
func TestContainerRegistry(t *testing.T) {
	for version, want := range map[string]int{"2102": 11, "2108": 12} {
		p, in := given(t, version, policies.AAD)
		in.Optional = []string{"container-registry"}
		list := specs(t, p, in)
		has := slices.ContainsFunc(list, func(s Spec) bool {
			return s.Names[0] == "*.azsacr.east.azurestack.contoso.com" && s.Folders[0] == "Container Registry"
		})
		if len(list) != want || has != (want == 12) {
			t.Errorf("%s: %d requests, the registry's among them: %v", version, len(list), has)
		}
	}
}

// TestCommonName holds the rules of the newer readiness tools: a CN that is given stands in every request, else each has
// its own first name.
func TestCommonName(t *testing.T) {
	for text, want := range map[string]string{"": "", "C=US,O=Contoso": "C=US,O=Contoso,", "CN=portal.contoso.com": "CN=portal.contoso.com", "CN=a,O=Contoso": "CN=a,O=Contoso"} {
		p, in := given(t, "2301", policies.AAD)
		var err error
		if in.Subject, err = ParseSubject(text); err != nil {
			t.Fatal(err)
		}
		for _, s := range specs(t, p, in) {
			whole := want
			if !strings.Contains(text, "CN=") {
				whole += "CN=" + s.Names[0]
			}
			if s.Subject != whole {
				t.Errorf("%q: %s has subject %s, wanted %s", text, s.Stem, s.Subject, whole)
			}
		}
	}
}

// TestOpenSSLReadsEveryRequest lets a stranger judge: the signature holds, names, usages and subject are what was asked.
func TestOpenSSLReadsEveryRequest(t *testing.T) {
	subject, err := ParseSubject(`C=DE, ST="Bayern, Süd", DC=contoso, O=Contoso\, Ltd, OU=a\+b`)
	if err != nil {
		t.Fatal(err)
	}
	p, in := given(t, "2108", policies.ADFS)
	in.Subject, in.Optional = subject, []string{"container-registry"}
	var list []Spec
	for _, in.Type = range p.Types() {
		list = append(list, specs(t, p, in)...)
	}
	in.Type, in.Single, in.Hash = "", true, "SHA512"
	list = append(list, specs(t, p, in)...)
	if len(list) != 14+8+1 {
		t.Errorf("%d requests", len(list))
	}
	for i, s := range list {
		openSSLReads(t, s, testKeys(t, 1)[0], `C=DE,ST=Bayern\, Süd,DC=contoso,O=Contoso\, Ltd,OU=a\+b,CN=`+list[i].Names[0])
	}
}

// TestOpenSSLReadsEveryLength does so for each key length, and for a request without a subject.
func TestOpenSSLReadsEveryLength(t *testing.T) {
	for _, bits := range KeySizes {
		p, in := given(t, "2301", policies.AAD)
		in.KeyBits = bits
		s := specs(t, p, in)[0]
		r, err := s.Generate(nil)
		if err != nil {
			t.Fatal(err)
		}
		openSSLReads(t, s, r.Key, "CN="+s.Names[0])
	}
	p, in := given(t, "2301", policies.AAD)
	in.FQDN = strings.Repeat("a", 60) + ".contoso.com"
	text := openSSLReads(t, specs(t, p, in)[0], testKeys(t, 1)[0], "\n")
	if !strings.Contains(text, "X509v3 Subject Alternative Name: critical") {
		t.Errorf("without a subject the names are not critical:\n%s", text)
	}
}

func openSSLReads(t *testing.T, s Spec, key crypto.Signer, subject string) string {
	t.Helper()
	r, err := s.GenerateWith(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "openssl", "req", "-verify", "-noout", "-text", "-nameopt", "RFC2253,-esc_msb,utf8,-dn_rev")
	c.Stdin = bytes.NewReader(r.PEM())
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", s.Stem, err, out)
	}
	text := string(out)
	for _, want := range []string{
		"self-signature verify OK", "Signature Algorithm: " + strings.ToLower(s.Hash) + "WithRSAEncryption",
		fmt.Sprintf("Public-Key: (%d bit)", s.KeyBits), "Subject: " + subject,
		"DNS:" + strings.Join(s.Names, ", DNS:") + "\n", "Digital Signature, Key Encipherment",
		"TLS Web Server Authentication, TLS Web Client Authentication", "X509v3 Key Usage: critical",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%s", s.Stem, want, text)
		}
	}
	return text
}

func TestWhatIsRefused(t *testing.T) {
	p, in := given(t, "2301", policies.AAD)
	for _, bits := range []int{512, 1024, 2047, 8192, -1} {
		in.KeyBits = bits
		if _, err := Specs(p, in); err == nil {
			t.Errorf("a key of %d bits", bits)
		}
	}
	in.KeyBits, in.Hash = 0, "SHA1"
	if _, err := Specs(p, in); err == nil {
		t.Error("a request with SHA-1")
	}
	in.Hash, in.Region = "", "öst"
	if _, err := specs(t, p, in)[0].GenerateWith(testKeys(t, 1)[0], nil); err == nil || !strings.Contains(err.Error(), "xn--") {
		t.Errorf("a name beyond ASCII: %v", err)
	}
}

// TestLongNames leaves the CN out where it would break X.520's bound: the name stands in the SAN, and a note says so.
func TestLongNames(t *testing.T) {
	p, in := given(t, "2301", policies.AAD)
	in.FQDN = strings.Repeat("a", 50) + ".contoso.com"
	for _, s := range specs(t, p, in) {
		if strings.Contains(s.Subject, "CN=") != (len(s.Names[0]) <= 64) || (len(s.Names[0]) > 64) != (len(s.Notes) > 0) {
			t.Errorf("%s: subject %q, notes %v", s.Names[0], s.Subject, s.Notes)
		}
		r, err := s.GenerateWith(testKeys(t, 1)[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := x509.ParseCertificateRequest(r.DER); err != nil || !slices.Equal(c.DNSNames, s.Names) {
			t.Errorf("%v, %v", c, err)
		}
	}
}

func TestParseSubject(t *testing.T) {
	for in, want := range map[string]Subject{
		"":                            nil,
		"  ":                          nil,
		"C=US":                        {{"C", "US"}},
		"c=US, s=WA ,L=Redmond":       {{"C", "US"}, {"ST", "WA"}, {"L", "Redmond"}},
		`O=Contoso\, Ltd`:             {{"O", "Contoso, Ltd"}},
		`O="Contoso, Ltd"`:            {{"O", "Contoso, Ltd"}},
		`O="a ""`:                     nil,
		`O=\C3\BC`:                    {{"O", "ü"}},
		`O=a\20`:                      {{"O", "a "}},
		`O=\ a\ `:                     {{"O", " a "}},
		`O=\#x`:                       {{"O", "#x"}},
		`O=a;OU=b`:                    {{"O", "a"}, {"OU", "b"}},
		`DC=contoso,DC=com`:           {{"DC", "contoso"}, {"DC", "com"}},
		`O=a\=b`:                      {{"O", "a=b"}},
		`O=a=b`:                       {{"O", "a=b"}},
		`O=` + strings.Repeat("ü", 9): {{"O", strings.Repeat("ü", 9)}},
	} {
		got, err := ParseSubject(in)
		if in == `O="a ""` {
			if err == nil {
				t.Errorf("%s: read as %v", in, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
		if again, err := ParseSubject(got.String()); err != nil || !slices.Equal(again, got) {
			t.Errorf("%s: written as %s, read again as %v, %v", in, got, again, err)
		}
	}
	for _, in := range []string{
		"x", "=", "O=", "O= ", "C=USA", "C=Ü", "EMAIL=a@b", "O=a+OU=b", `O=a\`, `O=a\q`, `O=\0a`, "O=a\nb", "O=a\x7f", `O="a`, `O="a" b`, "O=a,", "O=a,,OU=b",
		"O=\xff", "O=" + strings.Repeat("a", 257), strings.Repeat("O=a,", 20) + "O=a", "O=" + strings.Repeat("a", 3000), `O=\FF`, `O=\C3`,
	} {
		if got, err := ParseSubject(in); err == nil {
			t.Errorf("%.40q was read as %v", in, got)
		}
	}
}

// FuzzParseSubject feeds anything: what is read can be written, read again, and stands in a request that parses.
func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{"C=US,O=Contoso\\, Ltd", `O="a, b"`, `O=\C3\BC`, `O=\ a\ ,OU=#`, "S=x;L=y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSubject(text)
		if err != nil {
			return
		}
		again, err := ParseSubject(s.String())
		if err != nil || !slices.Equal(again, s) {
			t.Fatalf("%q: %v, written %q, read again %v, %v", text, s, s.String(), again, err)
		}
		der, err := s.marshal()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if back, err := subjectOf(der); err != nil || !slices.Equal(back, s) {
			t.Fatalf("%q: back from DER as %v, %v", text, back, err)
		}
		if got := onWindows(t, Spec{subject: s, Names: []string{"a"}}); !slices.Equal(got, s) {
			t.Fatalf("%q: Windows reads %q", text, got)
		}
	})
}

func TestSealAndOpen(t *testing.T) {
	p, in := given(t, "2301", policies.AAD)
	r, err := specs(t, p, in)[0].Generate(nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := SealAge(r.Key, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(sealed); block == nil || block.Type != "AGE ENCRYPTED FILE" || bytes.Contains(sealed, []byte("PRIVATE KEY")) {
		t.Errorf("sealed as %.60s", sealed)
	}
	back, err := OpenAge(sealed, id)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := back.Public().(interface{ Equal(x any) bool }); ok && !k.Equal(r.Key.Public()) {
		t.Error("another key came back")
	}
	again, err := specs(t, p, in)[0].GenerateWith(back, nil)
	if err != nil || again.SPKI != r.SPKI {
		t.Errorf("the key of before has SPKI %s, now %s, %v", r.SPKI, again.SPKI, err)
	}
	if _, err := OpenAge(sealed, other); err == nil {
		t.Error("opened by another identity")
	}
	for n := 0; n < len(sealed); n += 37 {
		if _, err := OpenAge(sealed[:n], id); err == nil {
			t.Errorf("%d bytes of it were opened", n)
		}
	}
	if _, err := SealAge(r.Key); err == nil {
		t.Error("sealed to nobody")
	}
}

func TestManifestIsStrict(t *testing.T) {
	good, err := json.Marshal(Manifest{SchemaVersion: 1, Domain: "east.contoso.com", Requests: []Entry{{Folders: []string{"ACSBlob"}, SPKI: "00"}}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ReadManifest(good); err != nil || m.Requests[0].Folders[0] != "ACSBlob" {
		t.Errorf("%v, %v", m, err)
	}
	for name, text := range map[string]string{
		"empty": "", "two": string(good) + "{}", "unknown key": `{"schemaVersion":1,"key":"x"}`, "later": `{"schemaVersion":2}`,
		"no object": "[]", "too large": string(good) + strings.Repeat(" ", 1<<20),
	} {
		if _, err := ReadManifest([]byte(text)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

func TestStemsAreFileNames(t *testing.T) {
	p, in := given(t, "2301", policies.ADFS)
	for _, s := range specs(t, p, in) {
		if filepath.Base(s.Stem) != s.Stem || !filepath.IsLocal(s.Stem) || strings.ContainsAny(s.Stem, `*?:"<>|`) {
			t.Errorf("%q is no file name on Windows", s.Stem)
		}
	}
}
