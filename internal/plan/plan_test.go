package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

var asOf = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// sum is a digest that stands for a file or a certificate.
func sum(format string, args ...any) string { return Digest(fmt.Appendf(nil, format, args...)) }

func yes(b bool) *bool { return &b }

// given is everything a good external plan is made from; each test spoils one thing.
func given(t *testing.T, version string, identity policies.Identity, optional ...string) Input {
	t.Helper()
	p, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	v, err := policies.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	in := Input{
		Kind: External, Tool: "v1", Repository: "git.example/ops", Commit: "0123", AsOf: asOf,
		Stamp: Stamp{
			Name: "prod1", File: "prod1/stamp.yaml", Region: "east", FQDN: "azurestack.contoso.com", Identity: string(identity),
			Version: version, Optional: optional, StampDigest: sum("stamp"), PolicyDigest: sum("policy"), TargetDigest: sum("target"),
		},
		Version: v, Identity: identity, Policy: p,
		Report: validate.StampReport{Stamp: "prod1", Verdict: validate.Pass, Complete: true},
		Share: Share{
			UNC: `\\fs01\certs`, User: `corp\stager`, AccessUser: `corp\reader`, AccessPassword: "env:SHARE_PW", Backup: "file:backup",
		},
		PFXPassword: "env:PFX_PW",
		PEP:         PEP{Hosts: []string{"10.1.0.224"}, User: `corp\cloudadmin`, Password: "env:PEP_PW", Configuration: "PrivilegedEndpoint"},
		BMC:         BMCChange{Update: "pep", NewPassword: "env:BMC_PW"},
		Port:        443,
	}
	for _, e := range p.Endpoints(v, identity, optional) {
		in.Certificates = append(in.Certificates, Certificate{
			Endpoint: e.ID, Folder: e.Folder, File: strings.ReplaceAll(e.Folder, " ", "") + ".pfx", Size: 4000,
			BlobSHA256: sum("pfx %s", e.ID), PFXSHA256: sum("pfx %s", e.ID), LeafSHA256: sum("new %s", e.ID),
			NotAfter: "2027-11-01T00:00:00Z", Subject: "CN=" + e.Name("east.azurestack.contoso.com"),
		})
		in.Observed = append(in.Observed, Observed{
			Endpoint: e.ID, Host: e.ProbeHost("east.azurestack.contoso.com"), LeafSHA256: sum("old %s", e.ID),
			NotAfter: "2026-12-20T00:00:00Z", Chain: []string{},
		})
		in.Transitions = append(in.Transitions, Transition{Endpoint: e.ID, From: "enterprise", To: "enterprise", Decision: "ok"})
	}
	return in
}

func made(t *testing.T, in Input) *Plan {
	t.Helper()
	p, findings := New(in)
	if p == nil {
		t.Fatalf("refused: %v", reasons(findings))
	}
	return p
}

func reasons(list []validate.Finding) []string {
	var out []string
	for _, f := range list {
		if f.Result == validate.Fail {
			out = append(out, f.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func bytesOf(t *testing.T, p *Plan) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKinds(t *testing.T) {
	type kind struct {
		name, version string
		set           func(*Input)
		call          string
		steps         string
	}
	health := "rotate.health-1 "
	for _, k := range []kind{
		{
			"external", "2301", nil,
			`Start-SecretRotation -PfxFilesPath \\fs01\certs\Certificates -PathAccessCredential <corp\reader, env:SHARE_PW> -CertificatePassword <env:PFX_PW>`,
			"guard stage.publish " + health + "rotate.start verify.live stage.remove",
		},
		{
			"first and combined", "1807", func(in *Input) { in.PreviouslyRotated, in.Combined = yes(false), "known" },
			`Start-SecretRotation -PfxFilesPath \\fs01\certs\Certificates -PathAccessCredential <corp\reader, env:SHARE_PW> -CertificatePassword <env:PFX_PW>`,
			"guard stage.publish " + health + "rotate.start verify.live stage.remove",
		},
		{
			"internal, transcripts kept", "2301", func(in *Input) {
				in.Kind, in.Reason = Internal, "compromise: a laptop is gone"
				in.Transcripts = Transcripts{UNC: `\\fs01\transcripts`, User: `corp\auditor`, Password: "env:SHARE_PW"}
			}, `Start-SecretRotation -Internal`, "guard " + health + "rotate.start rotate.transcripts",
		},
		{"rerun", "2301", func(in *Input) { in.Kind = Rerun }, `Start-SecretRotation -ReRun`, "guard stage.publish " + health + "rotate.start verify.live stage.remove"},
		{"internal", "2301", func(in *Input) { in.Kind, in.Reason = Internal, "compromise: a laptop is gone" }, `Start-SecretRotation -Internal`, "guard " + health + "rotate.start"},
		{
			"internal below 1811", "1807", func(in *Input) {
				in.Kind, in.Reason, in.PreviouslyRotated = Internal, "compromise: a laptop is gone", yes(false)
			},
			`Start-SecretRotation`, "guard " + health + "rotate.start",
		},
		{
			"internal rerun", "2301", func(in *Input) { in.Kind, in.RerunOf, in.Reason = Rerun, Internal, "alert: expiring" },
			`Start-SecretRotation -Internal -ReRun`, "guard " + health + "rotate.start",
		},
		{"bmc", "2301", func(in *Input) { in.Kind = BMC }, `Set-BmcCredential -BmcPassword <env:BMC_PW>`, "guard bmc.set bmc.health"},
		{
			"bmc done before", "2301", func(in *Input) { in.Kind, in.BMC.Update, in.BMC.NewUser = BMC, "external", "root" },
			`Set-BmcCredential -BmcPassword <env:BMC_PW> -BmcUser root -BypassBMCUpdate`, "guard bmc.set bmc.health",
		},
		{"bmc of old", "1809", func(in *Input) { in.Kind, in.BMC.Update = BMC, "external" }, `Set-BmcPassword -BmcPassword <env:BMC_PW>`, "guard bmc.set bmc.health"},
		{
			"internal rerun below 1811, whatever was rotated before", "1807",
			func(in *Input) {
				in.Kind, in.RerunOf, in.Reason, in.PreviouslyRotated = Rerun, Internal, "alert: expiring", yes(true)
			},
			`Start-SecretRotation -ReRun`, "guard " + health + "rotate.start",
		},
	} {
		t.Run(k.name, func(t *testing.T) {
			in := given(t, k.version, policies.AAD)
			if k.set != nil {
				k.set(&in)
			}
			p := made(t, in)
			call := ""
			switch {
			case p.Rotate != nil:
				call = p.Rotate.Start.Text()
			case p.BMC != nil:
				call = p.BMC.Call.Text()
			}
			if call != k.call {
				t.Errorf("call\n got %s\nwant %s", call, k.call)
			}
			again := in.Kind == Rerun
			if p.Rotate != nil && p.Rotate.Rerun != again || p.Stage != nil && p.Stage.Restore != again {
				t.Errorf("%s: rotate %+v, stage %+v", in.Kind, p.Rotate, p.Stage)
			}
			var steps []string
			for _, s := range p.Steps {
				steps = append(steps, s.ID)
				if s.Action == "" || s.Reason == "" || s.Before == "" || s.After == "" {
					t.Errorf("step %s does not say what, why, before and after", s.ID)
				}
			}
			if got := strings.Join(steps, " "); got != k.steps {
				t.Errorf("steps\n got %s\nwant %s", got, k.steps)
			}
			if p.ValidUntil != "2026-11-27T08:00:00Z" {
				t.Errorf("valid until %s", p.ValidUntil)
			}
			if again, err := Parse(bytesOf(t, p)); err != nil {
				t.Error(err)
			} else if diff := cmp.Diff(p, again); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefusals spoils one thing at a time: exactly that reason, with what to do, and no plan.
func TestRefusals(t *testing.T) {
	type spoil func(*Input)
	for _, tt := range []struct {
		name, version string
		spoil         spoil
		want          string
	}{
		{"1802", "1802", func(*Input) {}, "release-supported"},
		{"no endpoint", "2301", func(in *Input) { in.PEP.Hosts = nil }, "pep"},
		{"this machine", "2301", func(in *Input) { in.PEP.Hosts = []string{"127.0.0.1:5985"} }, "simulated-peer"},
		{"this machine by name", "2301", func(in *Input) { in.PEP.Hosts = []string{"LocalHost"} }, "simulated-peer"},
		{"this machine as IPv6", "2301", func(in *Input) { in.PEP.Hosts = []string{"[::1]:5985"} }, "simulated-peer"},
		{"this machine as mapped IPv6", "2301", func(in *Input) { in.PEP.Hosts = []string{"::ffff:127.0.0.1"} }, "simulated-peer"},
		{"simulated elsewhere", "2301", func(in *Input) { in.Simulated = true }, "simulated-peer"},
		{"a failing set", "2301", func(in *Input) { in.Report.Verdict = validate.FailedOnce }, "certificates"},
		{"an incomplete set", "2301", func(in *Input) { in.Report.Complete = false }, "certificates"},
		{"a file missing", "2301", func(in *Input) { in.Certificates = in.Certificates[1:] }, "one-file-per-endpoint"},
		{"a file twice", "2301", func(in *Input) { in.Certificates = append(in.Certificates, in.Certificates[0]) }, "one-file-per-endpoint"},
		{"a file too much", "2301", func(in *Input) {
			in.Certificates = append(in.Certificates, Certificate{Endpoint: "adfs", Folder: "ADFS"})
		}, "one-file-per-endpoint"},
		{"no share", "2301", func(in *Input) { in.Share.UNC = "" }, "share"},
		{"no backup", "2301", func(in *Input) { in.Share.Backup = "" }, "backup"},
		{"no PFX password", "2301", func(in *Input) { in.PFXPassword = "" }, "pfx-password"},
		{"no access", "2301", func(in *Input) { in.Share.AccessPassword = "" }, "share-access"},
		{"rerun anew", "2301", func(in *Input) { in.Kind, in.Fresh = Rerun, "why not" }, "no-effect"},
		{"adopt anew", "2301", func(in *Input) { in.Adopt = "it is ours" }, "no-effect"},
		{"combined, not said", "1807", func(in *Input) { in.PreviouslyRotated = yes(false) }, "combined-rotation"},
		{"second rotation below 1811", "1807", func(in *Input) { in.PreviouslyRotated, in.Combined = yes(true), "known" }, "previously-rotated"},
		{"unknown rotation below 1811", "1807", func(in *Input) { in.Combined = "known" }, "previously-rotated"},
		{"installed CA unseen", "1903", func(in *Input) { in.Observed[0].LeafSHA256 = "" }, "installed-ca"},
		{"internal without reason", "2301", func(in *Input) { in.Kind = Internal }, "internal-reason"},
		{"internal for fun", "2301", func(in *Input) { in.Kind, in.Reason = Internal, "because: I can" }, "internal-reason"},
		{"internal, half a reason", "2301", func(in *Input) { in.Kind, in.Reason = Internal, "alert: " }, "internal-reason"},
		{"bmc unsaid", "2301", func(in *Input) { in.Kind, in.BMC = BMC, BMCChange{} }, "bmc-update"},
		{"bmc by PEP too early", "1909", func(in *Input) { in.Kind = BMC }, "bmc-update"},
		{"bmc over Redfish", "2301", func(in *Input) { in.Kind, in.BMC.Update = BMC, "redfish" }, "bmc-update"},
		{"bmc without password", "2301", func(in *Input) { in.Kind, in.BMC.NewPassword = BMC, "" }, "bmc-password"},
		{"bmc with a long user", "2301", func(in *Input) { in.Kind, in.BMC.NewUser = BMC, strings.Repeat("u", 17) }, "bmc-user"},
		{"bmc user of old", "1809", func(in *Input) { in.Kind, in.BMC.Update, in.BMC.NewUser = BMC, "external", "root" }, "bmc-user"},
		{"no kind", "2301", func(in *Input) { in.Kind = "everything" }, "plan-kind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := given(t, tt.version, policies.AAD)
			tt.spoil(&in)
			p, findings := New(in)
			got := reasons(findings)
			if tt.version == "1802" {
				got = slices.DeleteFunc(got, func(s string) bool { return s == "previously-rotated" }) // holds below 1803 as well
			}
			if p != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("plan %v, reasons %v, want only %s", p != nil, got, tt.want)
			}
			for _, f := range findings {
				if f.Result == validate.Fail && (f.Found == "" || f.Wanted == "" || f.Hint == "" || f.Name == "") {
					t.Errorf("%+v lacks found, wanted or what to do", f)
				}
			}
		})
	}
}

// TestNoEffect holds every acknowledgement against every kind of plan, on a release that rotates everything at once and on a
// later one.
func TestNoEffect(t *testing.T) {
	say := map[string]func(*Input, string){
		"--reason":         func(in *Input, s string) { in.Reason = s },
		"--combined":       func(in *Input, s string) { in.Combined = s },
		"--no-pep-check":   func(in *Input, s string) { in.NoPEPCheck = s },
		"--identity-known": func(in *Input, s string) { in.KnowIdentity = s },
		"--fresh":          func(in *Input, s string) { in.Fresh = s },
		"--adopt":          func(in *Input, s string) { in.Adopt = s },
		"--accept-health":  func(in *Input, s string) { in.AcceptHealth = []Assertion{{What: "AzsFoo", Reason: s}} },
	}
	if len(say)+1 != len(acknowledgements) { // and --rerun-of
		t.Errorf("%d acknowledgements are known, and %d tried", len(acknowledgements), len(say)+1)
	}
	for _, row := range []struct {
		version string
		kind    Kind
		of      Kind
		take    string
	}{
		{"2301", External, "", "--accept-health --fresh --identity-known --no-pep-check"},
		{"1807", External, "", "--accept-health --combined --fresh --identity-known --no-pep-check"},
		{"2301", Internal, "", "--accept-health --fresh --reason"},
		{"1807", Internal, "", "--accept-health --fresh --reason"},
		{"2301", Rerun, "", "--accept-health --adopt --identity-known --no-pep-check"},
		{"1807", Rerun, External, "--accept-health --adopt --combined --identity-known --no-pep-check"},
		{"2301", Rerun, Internal, "--accept-health --adopt --reason"},
		{"2301", BMC, "", ""},
	} {
		var took []string
		for flag, set := range say {
			in := given(t, row.version, policies.AAD)
			in.Kind, in.RerunOf = row.kind, row.of
			set(&in, "why")
			if got := NoEffect(in); len(got) == 0 {
				took = append(took, flag)
			} else if len(got) != 1 || !strings.HasPrefix(got[0], flag+" has no effect") {
				t.Errorf("%s of %s: %q", flag, row.kind, got)
			}
			if set(&in, " \t"); !slices.Equal(NoEffect(in), []string{flag + " gives no reason"}) {
				t.Errorf("blank %s of %s: %q", flag, row.kind, NoEffect(in))
			}
		}
		slices.Sort(took)
		if got := strings.Join(took, " "); got != row.take {
			t.Errorf("%s %s of %q takes\n%s, want\n%s", row.version, row.kind, row.of, got, row.take)
		}
	}
	in := given(t, "2301", policies.AAD)
	in.RerunOf, in.Adopt = Internal, "ours"
	in.AcceptHealth = []Assertion{{What: "AzsFoo", Reason: "x"}, {What: "azsfoo", Reason: "y"}}
	want := []string{
		"--adopt has no effect here: it goes with --kind rerun", "--rerun-of has no effect here: it goes with --kind rerun", "--accept-health azsfoo is given twice",
	}
	if diff := cmp.Diff(want, NoEffect(in)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	in = given(t, "2301", policies.AAD)
	in.Kind, in.RerunOf = Rerun, "banana"
	if got := NoEffect(in); !slices.Equal(got, []string{`--rerun-of "banana" is neither external nor internal`}) {
		t.Errorf("got %q", got)
	}
}

func TestEveryReasonAtOnce(t *testing.T) {
	in := given(t, "1807", policies.ADFS)
	in.PEP.Hosts, in.Share, in.PFXPassword, in.Report.Verdict = nil, Share{}, "", validate.FailedOnce
	in.Certificates = in.Certificates[2:]
	_, findings := New(in)
	want := []string{"backup", "certificates", "combined-rotation", "one-file-per-endpoint", "pep", "pfx-password", "previously-rotated", "share"}
	if diff := cmp.Diff(want, reasons(findings)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEdges(t *testing.T) {
	// A first rotation may begin below 1811; the word for it comes first in the plan.
	in := given(t, "1810", policies.ADFS)
	in.PreviouslyRotated, in.Combined = yes(false), "all services may restart"
	p := made(t, in)
	want := []Assertion{
		{AssertCombined, "internal secrets rotate too", "all services may restart"},
		{AssertPreviouslyRotated, "false", "stated in the stamp file"},
	}
	if diff := cmp.Diff(want, p.Asserted); diff != "" || !p.Rotate.Combined {
		t.Errorf("combined %v, asserted (-want +got):\n%s", p.Rotate.Combined, diff)
	}
	// Where the class of the installed CA cannot change the verdict, an unseen endpoint is only a notice.
	in = given(t, "1904", policies.AAD)
	in.Observed[0].LeafSHA256, in.Observed[0].Error = "", "timeout"
	if p := made(t, in); !slices.ContainsFunc(p.Notices, func(s string) bool { return strings.Contains(s, "could not be read: timeout") }) {
		t.Errorf("notices %q", p.Notices)
	}
	// A person can say what was not seen; that stands among the assertions.
	in = given(t, "1903", policies.AAD)
	in.Observed[0].LeafSHA256, in.InstalledCA = "", "self-signed"
	if p := made(t, in); !slices.ContainsFunc(p.Asserted, func(a Assertion) bool { return a.What == AssertInstalledCA && a.Value == "self-signed" }) {
		t.Errorf("asserted %v", p.Asserted)
	}
	// A waiver is an assertion, an admitted warning a notice.
	in = given(t, "2301", policies.AAD)
	in.Report.Certificates = []validate.CertificateReport{{Folder: "ACSBlob", Tests: []validate.Finding{
		{ID: "key-length", Name: "Key Length", Result: validate.Warning, Waived: "until the CA moves, 2026-12-01"},
		{ID: "expiry-date", Name: "Expiry Date", Result: validate.Warning, Found: "40 days left"},
	}}}
	p = made(t, in)
	if !slices.Contains(p.Asserted, Assertion{AssertWaiver, "ACSBlob/key-length", "until the CA moves, 2026-12-01"}) ||
		!slices.Contains(p.Notices, "ACSBlob: Expiry Date: 40 days left") {
		t.Errorf("asserted %v, notices %q", p.Asserted, p.Notices)
	}
	if !slices.ContainsFunc(p.Notices, func(s string) bool {
		return strings.HasPrefix(s, "users: public addresses") && strings.Contains(s, "2-5 minutes")
	}) {
		t.Errorf("no notice for users in %q", p.Notices)
	}
}

// TestSameInputSameBytes makes the plan again from the same facts in other orders. Endpoints that could not be read are in
// the notices, one by one.
func TestSameInputSameBytes(t *testing.T) {
	facts := func() Input {
		in := given(t, "2301", policies.ADFS)
		in.AcceptHealth = []Assertion{{What: "AzsB", Reason: "b"}, {What: "AzsA", Reason: "a"}}
		for i := range 3 {
			in.Observed[i].LeafSHA256, in.Observed[i].Error = "", fmt.Sprintf("timeout %d", i)
		}
		return in
	}
	one := facts()
	order := slices.Clone(one.Observed)
	want := string(bytesOf(t, made(t, one)))
	if !slices.EqualFunc(order, one.Observed, func(a, b Observed) bool { return a.Endpoint == b.Endpoint }) {
		t.Error("the caller's list is in another order than before")
	}
	for name, another := range map[string]func(*Input){
		"as a plan has it": func(in *Input) { in.Observed = made(t, facts()).Observed },
		"turned round": func(in *Input) {
			slices.Reverse(in.AcceptHealth)
			slices.Reverse(in.Certificates)
			slices.Reverse(in.Observed)
			slices.Reverse(in.Transitions)
		},
		"two exchanged": func(in *Input) { in.Observed[0], in.Observed[2] = in.Observed[2], in.Observed[0] },
	} {
		in := facts()
		another(&in)
		if diff := cmp.Diff(want, string(bytesOf(t, made(t, in)))); diff != "" {
			t.Errorf("%s (-one +another):\n%s", name, diff)
		}
	}
}

// TestEveryEditIsSeen changes, removes and doubles bytes: each byte of a small plan, some of a large one. Whatever Parse
// still takes is in canonical form and has another digest than the plan that was reviewed.
func TestEveryEditIsSeen(t *testing.T) {
	small := given(t, "2301", policies.AAD)
	small.Kind = BMC
	for _, tt := range []struct {
		in     Input
		stride int
	}{{small, 1}, {given(t, "2301", policies.AAD), 23}} {
		b := bytesOf(t, made(t, tt.in))
		digest, tried, taken := Digest(b), 0, 0
		try := func(edited []byte) {
			tried++
			if Digest(edited) == digest {
				t.Fatalf("the same digest after an edit")
			}
			if p, err := Parse(edited); err == nil {
				taken++
				if again := bytesOf(t, p); !bytes.Equal(again, edited) {
					t.Fatalf("Parse took bytes that Marshal would not write:\n%s", edited)
				}
			}
		}
		for i := 0; i < len(b); i += tt.stride {
			try(slices.Concat(b[:i], []byte{b[i] ^ 1}, b[i+1:]))
			try(slices.Concat(b[:i], b[i+1:]))
			try(slices.Concat(b[:i], []byte{b[i]}, b[i:]))
		}
		if taken == 0 || taken > tried*9/10 {
			t.Errorf("%d of %d edits were readable plans: the test does not see what it should", taken, tried)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	good := string(bytesOf(t, made(t, given(t, "2301", policies.AAD))))
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"empty":             "",
		"null":              "null\n",
		"truncated":         good[:len(good)/2],
		"two":               good + good,
		"trailing":          good + " ",
		"no newline":        strings.TrimSuffix(good, "\n"),
		"CRLF":              strings.ReplaceAll(good, "\n", "\r\n"),
		"BOM":               "\ufeff" + good,
		"unknown key":       strings.Replace(good, `"kind"`, `"extra": 1, "kind"`, 1),
		"doubled key":       strings.Replace(good, `"kind": "external",`, `"kind": "internal", "kind": "external",`, 1),
		"other case":        strings.Replace(good, `"kind"`, `"Kind"`, 1),
		"other escape":      strings.Replace(good, `"external"`, `"\u0065xternal"`, 1),
		"schema of later":   strings.Replace(good, `"schemaVersion": 1`, `"schemaVersion": 2`, 1),
		"a number for text": strings.Replace(good, `"name": "prod1"`, `"name": 1`, 1),
		"too large":         good + strings.Repeat(" ", MaxSize),
		"deep":              strings.Repeat("[", 100000),
	} {
		if p, err := Parse([]byte(s)); err == nil || p != nil {
			t.Errorf("%s: read", name)
		}
	}
	if _, err := Parse([]byte(good + "\n")); !errors.Is(err, ErrEdited) {
		t.Errorf("an edit is called %v", err)
	}
	for n, edited := range map[int]bool{MaxSize: true, MaxSize + 1: false} { // a larger one is not even read
		if _, err := Parse([]byte(good + strings.Repeat(" ", n-len(good)))); err == nil || errors.Is(err, ErrEdited) != edited {
			t.Errorf("%d bytes are called %v", n, err)
		}
	}
	if _, err := Parse([]byte(strings.Replace(good, `"schemaVersion": 1`, `"schemaVersion": 2`, 1))); err == nil || errors.Is(err, ErrEdited) {
		t.Errorf("a plan of another certstamp is called %v", err)
	}
}

// TestNoSecretHasAPlace keeps the document free of fields that could hold a secret's value.
func TestNoSecretHasAPlace(t *testing.T) {
	b := bytesOf(t, made(t, given(t, "2301", policies.AAD)))
	var doc struct {
		Rotate struct{ Start Call }
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range doc.Rotate.Start.Parameters {
		switch p.Type {
		case "SecureString":
			if p.Value != "" || p.Secret != "env:PFX_PW" {
				t.Errorf("%+v", p)
			}
		case "PSCredential":
			if p.Value != `corp\reader` || p.Secret != "env:SHARE_PW" {
				t.Errorf("%+v", p)
			}
		}
	}
}

func TestExpired(t *testing.T) {
	p := made(t, given(t, "2301", policies.AAD))
	until := asOf.AddDate(0, 0, 7)
	for _, tt := range []struct {
		now  time.Time
		want bool
	}{{asOf, false}, {until.Add(-time.Second), false}, {until, true}, {until.Add(time.Hour), true}} {
		if got := p.Expired(tt.now); got != tt.want {
			t.Errorf("at %s: %v", tt.now, got)
		}
	}
	if !(&Plan{ValidUntil: "soon"}).Expired(asOf) {
		t.Error("a plan without a date never expires")
	}
}

func TestCompare(t *testing.T) {
	v := VerifySection{Endpoints: []VerifyEndpoint{
		{Endpoint: "a", Previous: "old", Planned: "new"},
		{Endpoint: "b", Previous: "old", Planned: "new"},
		{Endpoint: "c", Previous: "old", Planned: "new"},
		{Endpoint: "d", Previous: "old", Planned: "new"},
		{Endpoint: "e", Planned: "new"},
		{Endpoint: "f", Planned: "new"},
		{Endpoint: "g", Planned: "new"},
		{Endpoint: "h", Previous: "new", Planned: "new"},
	}}
	leaves := map[string]string{"a": "new", "b": "old", "c": "other", "e": "whatever", "f": "new", "h": "new"}
	var got []State
	for i, s := range Compare(v, leaves) {
		if s.VerifyEndpoint != v.Endpoints[i] || s.Leaf != leaves[s.Endpoint] {
			t.Errorf("endpoint %d is %+v", i, s)
		}
		got = append(got, s.State)
	}
	want := []State{StatePlanned, StatePrevious, StateForeign, StateUnreachable, StatePrevious, StatePlanned, StateUnreachable, StatePlanned}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRuns(t *testing.T) {
	for _, tt := range []struct {
		planned, reported string
		want              bool
	}{
		{"2301", "1.2301.2.58", true},
		{"1.2301.2.58", "1.2301.2.58", true},
		{"1.2301.2.58", "1.2301.2.59", false},
		{"2301", "1.2206.2.58", false},
	} {
		if got, err := (Stamp{Version: tt.planned}).Runs(tt.reported); err != nil || got != tt.want {
			t.Errorf("planned %s, runs %s: %v, %v", tt.planned, tt.reported, got, err)
		}
	}
	for _, tt := range [][2]string{{"2301", ""}, {"2301", "soon"}, {"", "1.2301.2.58"}, {"soon", "1.2301.2.58"}} {
		if got, err := (Stamp{Version: tt[0]}).Runs(tt[1]); err == nil || got {
			t.Errorf("planned %q, runs %q: %v, %v", tt[0], tt[1], got, err)
		}
	}
	if _, err := (Stamp{Version: "2301"}).Runs("new"); err == nil {
		t.Error("a version that is none was compared")
	}
}

// FuzzParse feeds anything: no panic, and what is taken is exactly what would be written.
func FuzzParse(f *testing.F) {
	p, _ := policies.Default()
	v, _ := policies.ParseVersion("2301")
	in := Input{Kind: Internal, Reason: "alert: x", AsOf: asOf, Policy: p, Version: v, PEP: PEP{Hosts: []string{"h"}}}
	seed, _ := New(in)
	b, err := seed.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schemaVersion":1}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again, err := p.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("taken, but written otherwise: %v", err)
		}
	})
}
