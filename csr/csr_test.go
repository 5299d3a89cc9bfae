package csr

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
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

// TestOpenSSLReadsTheRequest lets a stranger judge: the signature holds, names, usages and subject are what was asked.
func TestOpenSSLReadsTheRequest(t *testing.T) {
	subject, err := ParseSubject(`C=DE, ST="Bayern, Süd", O=Contoso\, Ltd, OU=a\+b`)
	if err != nil {
		t.Fatal(err)
	}
	for _, bits := range KeySizes {
		p, in := given(t, "2301", policies.AAD)
		in.KeyBits, in.Subject = bits, subject
		s := specs(t, p, in)[0]
		r, err := s.Generate(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), "openssl", "req", "-verify", "-noout", "-text", "-nameopt", "RFC2253,-esc_msb,utf8,-dn_rev")
		c.Stdin = bytes.NewReader(r.PEM())
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text := string(out)
		for _, want := range []string{
			"self-signature verify OK", "Signature Algorithm: sha256WithRSAEncryption",
			"Public-Key: (" + map[int]string{2048: "2048", 3072: "3072", 4096: "4096"}[bits] + " bit)",
			`C=DE,ST=Bayern\, Süd,O=Contoso\, Ltd,OU=a\+b,CN=` + s.Names[0],
			"DNS:" + s.Names[0], "Digital Signature, Key Encipherment", "TLS Web Server Authentication, TLS Web Client Authentication",
			"X509v3 Key Usage: critical",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%d bits: no %q in\n%s", bits, want, text)
			}
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	p, in := given(t, "2301", policies.AAD)
	for _, bits := range []int{512, 1024, 2047, 8192, -1} {
		in.KeyBits = bits
		if _, err := Specs(p, in); err == nil {
			t.Errorf("a key of %d bits", bits)
		}
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
