package plan

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// everything is an external plan with all that a stamp file, a policy and a person may say, in no order. What could be mistaken for
// one another differs.
func everything(t *testing.T) Input {
	t.Helper()
	in := given(t, "1.2301.2.58", policies.ADFS, "container-registry")
	in.Stamp.CloudID = "4ee5a7b2-0f5f-4a6b-9e4d-2f3c4d5e6f70"
	in.Share.Password, in.Share.SigningOnly = "env:SHARE_STAGE_PW", true
	in.PEP = PEP{
		Hosts: []string{"10.1.0.225", "10.1.0.224:5986"}, TLS: true, Pin: "sha256:" + sum("pin"), CA: "ca.pem",
		User: `corp\cloudadmin`, Password: "env:PEP_PW", Configuration: "PrivilegedEndpoint",
	}
	in.Port, in.Resolve = 8443, []string{"portal.east.azurestack.contoso.com:8443:10.2.0.9"}
	in.Windows = []string{"Sat 22:00-04:00 Europe/Berlin"}
	in.Transcripts = Transcripts{UNC: `\\fs02\transcripts`, User: `corp\auditor`, Password: "env:TRANSCRIPTS_PW"}
	in.AcceptHealth = []Assertion{{What: "AzsScenarios", Value: "WARN", Reason: "no tenant yet"}, {What: "AzsInfraCapacity", Value: "FAIL", Reason: "ordered"}}
	in.NoPEPCheck, in.Fresh, in.KnowIdentity = "the agent sees the share only", "support says so", "asked the operator"
	in.InstalledCA = "enterprise"
	for i := range in.Certificates {
		c := &in.Certificates[i]
		c.Path, c.BlobSHA256, c.SPKISHA256 = "prod1/"+c.Folder+"/"+c.File+".age", sum("blob %s", c.Endpoint), sum("key %s", c.Endpoint)
		c.Size += int64(i)
	}
	in.Observed[1].LeafSHA256, in.Observed[1].Error = "", "timeout"
	in.Observed[2].LeafSHA256 = in.Certificates[2].LeafSHA256
	in.Report.Certificates = []validate.CertificateReport{{Folder: "ACSBlob", Tests: []validate.Finding{
		{ID: "key-length", Name: "Key Length", Result: validate.Warning, Found: "2048 bits", Waived: "until the CA moves"},
		{ID: "expiry-date", Name: "Expiry Date", Result: validate.Warning, Found: "40 days left"},
		{ID: "parse-pfx", Name: "Parse PFX", Result: validate.OK, Found: "fine"},
	}}}
	in.Report.Set = []validate.Finding{
		{ID: "duplicate-key", Name: "Duplicate Key", Result: validate.Warning, Found: "twice", Waived: "a test stamp"},
		{ID: "ca-class", Name: "CA Class", Result: validate.Warning, Found: "unusual"},
		{ID: "same-password", Name: "Same Password", Result: validate.OK, Found: "fine"},
	}
	slices.Reverse(in.Certificates)
	slices.Reverse(in.Observed)
	slices.Reverse(in.Transitions)
	return in
}

// TestDocuments holds whole plans, as reviewers approve them: a file that is not in the section that stages it, a leaf under another
// endpoint or an acknowledgement that is not asserted shows in no single decision. Lists that the first document has are left out of
// the others.
func TestDocuments(t *testing.T) {
	external := everything(t)
	rerun := everything(t)
	rerun.Kind, rerun.Adopt, rerun.Fresh, rerun.Share.SigningOnly, rerun.Share.Folder = Rerun, "the night shift began it", "", false, "/mnt/certs"
	internal := everything(t)
	internal.Kind, internal.Reason, internal.NoPEPCheck, internal.KnowIdentity = Internal, "compromise: a laptop is gone", "", ""
	internal.Windows, internal.Resolve = nil, nil
	bmc := everything(t)
	bmc.Kind, bmc.BMC = BMC, BMCChange{Update: "external", NewUser: "root", NewPassword: "env:BMC_PW"}
	bmc.AcceptHealth, bmc.Fresh, bmc.NoPEPCheck, bmc.KnowIdentity = nil, "", "", ""
	simulated := given(t, "2301", policies.AAD)
	simulated.Simulated, simulated.PEP.Hosts = true, []string{"127.0.0.1:5985"}
	for i := range simulated.Certificates { // all that would change is there
		simulated.Observed[i].LeafSHA256 = simulated.Certificates[i].LeafSHA256
	}
	for name, row := range map[string]struct {
		in   Input
		make func(Input) (*Plan, []validate.Finding)
	}{
		"external": {external, New}, "external-intent": {external, Intend}, "rerun-adopted": {rerun, New}, "internal": {internal, New},
		"bmc": {bmc, New}, "simulated": {simulated, New},
	} {
		p, findings := row.make(row.in)
		if p == nil {
			t.Fatalf("%s: refused: %+v", name, findings)
		}
		if len(findings) > 0 {
			t.Errorf("%s: %+v", name, findings)
		}
		if name != "external" {
			if n := len(p.Certificates); n != 0 && n != len(row.in.Certificates) {
				t.Errorf("%s: %d certificates", name, n)
			}
			p.Certificates, p.Transitions, p.Observed = p.Certificates[:min(1, len(p.Certificates))], p.Transitions[:min(1, len(p.Transitions))], p.Observed[:min(1, len(p.Observed))]
		}
		got := string(bytesOf(t, p))
		file := filepath.Join("testdata", "plans", name+".json")
		if os.Getenv("CERTSTAMP_UPDATE") != "" {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
			t.Errorf("another document than %s (CERTSTAMP_UPDATE=1 writes it again) (-want +got):\n%s", file, diff)
		}
	}
}
