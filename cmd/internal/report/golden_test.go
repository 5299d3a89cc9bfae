package report

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/validate"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// judgement is what validate says of a small set: a certificate that passes, one with every result, one in an odd place.
func judgement() *Document {
	no := false
	ok := func(id, name string) validate.Finding {
		return validate.Finding{ID: id, Name: name, Result: validate.OK}
	}
	return &Document{
		SchemaVersion: 1, Command: "validate", Tool: "v1.2.3", PolicyDigest: "5eed", AsOf: "2026-11-23T08:00:00Z", Verdict: validate.FailedOnce, Complete: &no,
		Stamps: []Stamp{
			{
				Stamp: "east", File: "stamps/east/stamp.yaml", Verdict: validate.FailedOnce, Complete: &no,
				Certificates: []Certificate{
					{Path: "stamps/east/certificates/AAD/ACSBlob/ACSBlob.pfx", CertificateReport: validate.CertificateReport{
						Folder: "ACSBlob", File: "ACSBlob.pfx", Thumbprint: "0123456789ABCDEF0123456789ABCDEF01234567", FileSHA256: "aa", LeafSHA256: "bb",
						NotAfter: "2027-06-11T08:00:00Z", Verdict: validate.Pass, Tests: []validate.Finding{ok("pfx-encryption", "PFX Encryption"), ok("expiry-date", "Expiry Date")},
					}},
					{Path: "stamps/east/certificates/AAD/Public Portal/Public Portal.pfx", CertificateReport: validate.CertificateReport{
						Folder: "Public Portal", File: "Public Portal.pfx", Thumbprint: "89ABCDEF0123456789ABCDEF0123456789ABCDEF", FileSHA256: "cc", LeafSHA256: "dd",
						NotAfter: "2026-12-04T08:00:00Z", Verdict: validate.FailedOnce, Tests: []validate.Finding{
							{ID: "pfx-encryption", Name: "PFX Encryption", Result: validate.Warning, Found: "AES256-SHA256", Wanted: "TripleDES-SHA1", Hint: "pack it again", Source: "PKI-2508", Waived: `"the HSM can do no other", until the end of 2027-01-01`},
							{ID: "expiry-date", Name: "Expiry Date", Result: validate.Fail, Found: "11 days left", Wanted: "at least 30 days left", Hint: "request a certificate that lives longer", Source: "PKI-2508, Certificate requirements"},
							{ID: "http-crl", Name: "HTTP CRL", Result: validate.Skipped, Found: "the run was interrupted", Wanted: "a CRL distribution point on HTTP", Hint: "run it again", Source: "PKI-2508"},
						},
					}},
				},
				Set: []validate.Finding{
					ok("folder-layout", "Folder Layout"),
					{ID: "duplicate-key", Name: "Duplicate Key", Result: validate.Warning, Found: `2 files share "the key"`, Wanted: "a key of its own for each", Hint: "make new requests", Source: "PKI-2508", Folders: []string{"ACSBlob", "Public Portal"}},
				},
			},
			{
				Stamp: "west", File: "stamps/west/stamp.yaml", Simulated: true, Verdict: validate.Pass,
				Certificates: []Certificate{{Path: "stamps/west/certificates/KeyVault/KeyVault.pfx", CertificateReport: validate.CertificateReport{
					Folder: "KeyVault", File: "KeyVault.pfx", FileSHA256: "ee", NotAfter: "2027-11-01T00:00:00Z", Verdict: validate.Pass, Tests: []validate.Finding{ok("expiry-date", "Expiry Date")},
				}}},
				Set: []validate.Finding{ok("folder-layout", "Folder Layout")},
			},
		},
		Error: &Error{Code: 1, Reason: "findings", Message: "the certificates do not pass", Hint: "mend what the findings name, then validate again"},
	}
}

// catalogue is where a SARIF report lists the rules. They have tests of their own, and a new one is no change of the format.
var catalogue = regexp.MustCompile(`(?s)("rules": \[).*?(\n {10}\])|("ruleIndex": )\d+`)

// TestGolden holds every format but HTML, whose page is judged by what it may not hold.
func TestGolden(t *testing.T) {
	for format, file := range map[string]string{
		"text": "validate.txt", "json": "validate.json", "junit": "validate.junit.xml", "sarif": "validate.sarif", "markdown": "validate.md",
	} {
		got, golden := write(t, format, judgement()), filepath.Join("testdata", file)
		if format == "sarif" {
			got = catalogue.ReplaceAllString(got, "$1$2$3")
		}
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden, diff)
		}
	}
}
