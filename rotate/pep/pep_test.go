package pep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// fake is a runspace that answers from a script and remembers what it was asked.
type fake struct {
	lost    []uint64 // of each answer, the last of them for all that follow
	records []psrp.Record
	err     error
	sent    []psrp.Command
	once    []bool
}

func (f *fake) Invoke(_ context.Context, cmd psrp.Command, once bool) Run {
	f.sent, f.once = append(f.sent, cmd), append(f.once, once)
	return f
}
func (f *fake) Records() iter.Seq[psrp.Record] { return slices.Values(f.records) }
func (f *fake) Result() (psrp.Result, error) {
	r := psrp.Result{Sent: true}
	if n := len(f.lost); n > 0 {
		r.Lost = f.lost[min(len(f.sent), n)-1]
	}
	return r, f.err
}
func (f *fake) Host() string                  { return "10.20.1.11:5985" }
func (f *fake) Detach(context.Context) error  { return nil }
func (f *fake) Close(context.Context) error   { return nil }
func (f *fake) Prepare(context.Context) error { return nil }

func bag(pairs ...any) *clixml.Object {
	o := &clixml.Object{}
	for i := 0; i < len(pairs); i += 2 {
		o.Extended = append(o.Extended, clixml.Property{Name: pairs[i].(string), Value: pairs[i+1]})
	}
	return o
}

func outputs(values ...any) []psrp.Record {
	var out []psrp.Record
	for _, v := range values {
		out = append(out, psrp.Output{Value: v})
	}
	return out
}

func known(ref string) (secret.Value, error) {
	if ref == "env:PEP_MISSING" {
		return secret.Value{}, fmt.Errorf("%s: %w", ref, secret.ErrNotSet)
	}
	return secret.New("value of " + ref), nil
}

func externalCall(path string) plan.Call {
	return plan.Call{Cmdlet: "Start-SecretRotation", Parameters: []plan.Parameter{
		{Name: "PfxFilesPath", Type: "String", Value: path},
		{Name: "PathAccessCredential", Type: "PSCredential", Value: `CONTOSO\share`, Secret: "env:SHARE_PASSWORD"},
		{Name: "CertificatePassword", Type: "SecureString", Secret: "env:PFX_PASSWORD"},
	}}
}

func TestStampInformation(t *testing.T) {
	f := &fake{records: outputs(bag(
		"RegionName", "east", "StampVersion", clixml.Version("1.2301.2.58"), "ExternalDomainFQDN", "east.azurestack.contoso.com.",
		"CloudID", "0c6f1b9e-1111-2222-3333-444444444444", "EmergencyConsoleIPAddresses", &clixml.Object{List: []any{"10.20.1.11", "10.20.1.12"}},
		"TenantExternalEndpoints", bag("TenantResourceManager", "https://management.east.azurestack.contoso.com/"),
		"AdminExternalEndpoints", bag("AdminResourceManager", "https://adminmanagement.east.azurestack.contoso.com/"),
		"DomainFQDN", "azurestack.local", "DomainNetBIOSName", "azurestack", "Timezone", "UTC", "DeploymentID", "d1", "AADTenantID", "t1",
		"RootCACertificates", &clixml.Object{List: []any{bag("Subject", "CN=root", "Thumbprint", "AB", "NotAfter", time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))}},
	))}
	f.records = append(outputs("a line", bag("Name", "no stamp")), f.records...)
	got, err := New(f).StampInformation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.RegionName != "east" || got.StampVersion != "1.2301.2.58" || got.ExternalDomainFQDN != "east.azurestack.contoso.com" ||
		!slices.Equal(got.EmergencyConsoleIPAddresses, []string{"10.20.1.11", "10.20.1.12"}) || got.RootCACertificates[0].NotAfter.Year() != 2030 ||
		got.TenantResourceManager == "" || got.AdminResourceManager == "" || got.RootCACertificates[0].Subject != "CN=root" || got.RootCACertificates[0].Thumbprint != "AB" ||
		got.DomainFQDN != "azurestack.local" || got.DomainNetBIOSName != "azurestack" || got.Timezone != "UTC" || got.DeploymentID != "d1" || got.AADTenantID != "t1" ||
		len(got.Names) != 13 || got.Raw == "" {
		t.Errorf("got %+v", got)
	}
	for _, name := range []string{"RegionName", "StampVersion", "ExternalDomainFQDN"} {
		if _, err := New(&fake{records: outputs(bag(name, "x"))}).StampInformation(t.Context()); err != nil {
			t.Errorf("%s alone is no answer: %v", name, err)
		}
	}
	stamp := plan.Stamp{Region: "east", FQDN: "azurestack.contoso.com", Version: "2301", CloudID: "0c6f1b9e-1111-2222-3333-444444444444"}
	if m := Guard(got, stamp, false); len(m) != 0 {
		t.Errorf("the right stamp is refused: %+v", m)
	}
	for what, change := range map[string]func(*plan.Stamp, *StampInformation){
		"stamp-region":    func(_ *plan.Stamp, i *StampInformation) { i.RegionName = "west" },
		"stamp-fqdn":      func(_ *plan.Stamp, i *StampInformation) { i.ExternalDomainFQDN = "azurestack.contoso.com" },
		"stamp-version":   func(s *plan.Stamp, _ *StampInformation) { s.Version = "1.2301.2.59" },
		"stamp-cloud-id":  func(_ *plan.Stamp, i *StampInformation) { i.CloudID = "" },
		"stamp-simulated": func(s *plan.Stamp, i *StampInformation) { s.CloudID, i.CloudID = "", "SIMULATED-1" },
	} {
		s, i := stamp, got
		change(&s, &i)
		if m := Guard(i, s, false); len(m) != 1 || m[0].ID != what || m[0].Name == "" || m[0].Found == "" || m[0].Wanted == "" || m[0].Hint == "" {
			t.Errorf("%s: got %+v", what, m)
		}
	}
	for id, marked := range map[string]bool{"SIMULATED": true, "simulated-1": true, "SIMULATE": false, "": false, "NOT-SIMULATED": false} {
		s, i := stamp, got
		s.CloudID, i.CloudID = "", id
		if real, simulated := len(Guard(i, s, false)) == 0, len(Guard(i, s, true)) == 0; real == marked || simulated != marked {
			t.Errorf("CloudID %q: a real stamp %v, a simulated one %v", id, real, simulated)
		}
	}
	if m := Guard(got, stamp, true); len(m) != 1 || m[0].ID != "stamp-simulated" {
		t.Errorf("a simulated plan on a real stamp: got %+v", m)
	}
	if _, err := New(&fake{}).StampInformation(t.Context()); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("no output: got %v", err)
	}
}

func TestHealth(t *testing.T) {
	host := func(lines ...string) (out []psrp.Record) {
		for _, l := range lines {
			out = append(out, psrp.Information{Text: l})
		}
		return out
	}
	for name, row := range map[string]struct {
		records        []psrp.Record
		known, healthy bool
		bad            int // with warnings
	}{
		"true":                         {outputs(true), true, true, 0},
		"false":                        {outputs(false), true, false, 0},
		"a false stays false":          {outputs(false, true), true, false, 0},
		"nothing":                      {nil, false, false, 0},
		"prose only":                   {host("everything will PASS in time, we hope"), false, false, 0},
		"console lines":                {append(host("Azure Stack Infra Role Summary : PASS", "AzsStampBMCSummary    WARN"), outputs(true)...), true, true, 1},
		"console in brackets":          {host("[PASS] AzsInfraCapacity", "[FAIL] AzsControlPlane"), true, false, 1},
		"a failure outweighs true":     {append(host("AzsControlPlane FAIL"), outputs(true)...), true, false, 1},
		"detailed objects":             {outputs(bag("Name", "AzsDefenderSummary", "Result", "Failed", "Message", "off")), true, false, 1},
		"a list of objects":            {outputs(&clixml.Object{List: []any{bag("TestName", "A", "Status", "PASS"), bag("TestName", "B", "Status", "WARN")}}), true, true, 1},
		"the worst of repeated counts": {host("AzsX PASS", "AzsX FAIL", "AzsX PASS"), true, false, 1},
		"a warning outweighs a pass":   {host("AzsX PASS", "AzsX WARN"), true, true, 1},
		"the worst of any case":        {host("AzsX PASS", "azsx FAIL"), true, false, 1},
		"a true becomes false":         {outputs(true, false), true, false, 0},
		"wrapped words":                {outputs(&clixml.Object{Value: true}, &clixml.Object{Value: false}), true, false, 0},
		"text for a console":           {outputs("AzsX PASS\r\nAzsY FAIL\r\n"), true, false, 1},
		"warnings and more":            {[]psrp.Record{psrp.Warning{Text: "AzsX WARN"}, psrp.Verbose{Text: "AzsY FAIL"}}, true, false, 2},
		"a list of tests within":       {outputs(bag("Name", "Group", "TestResults", &clixml.Object{List: []any{bag("Name", "A", "Result", "Failed")}})), true, false, 1},
		"lists as deep as are read":    {outputs(nested(8, bag("Name", "A", "Result", "PASS"))), true, true, 0},
		"lists deeper than are read":   {append(host("AzsX PASS"), outputs(nested(9, bag("Name", "A", "Result", "FAIL")))...), false, false, 0},
		"as many objects as are read":  {outputs(many(maxHealthObjects-1, "PASS", "PASS")), true, true, 0},
		"more objects than are read":   {outputs(many(maxHealthObjects, "PASS", "FAIL")), false, false, 0},
		"as many tests as are kept":    {host(numbered(maxTests)...), true, true, 0},
		"more tests than are kept":     {host(append(numbered(maxTests), "AzsX FAIL")...), false, false, 0},
		"an object that names no test": {outputs(bag("Result", "FAIL"), bag("Name", "A")), false, false, 0},
		"a result that nobody knows":   {outputs(bag("Name", "A", "Result", "Maybe")), false, false, 0},
		"an object told twice is one":  {outputs(knot()), true, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := New(&fake{records: row.records}).TestAzureStack(t.Context(), plan.HealthCheck{Call: plan.Call{Cmdlet: "Test-AzureStack"}}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if h.Known != row.known || h.Healthy != row.healthy || len(h.Bad(true)) != row.bad {
				t.Errorf("got %+v, want known %v, healthy %v, %d bad", h, row.known, row.healthy, row.bad)
			}
		})
	}
}

// nested is a value below so many lists.
func nested(depth int, v any) any {
	for range depth {
		v = &clixml.Object{List: []any{v}}
	}
	return v
}

// many is a list of n results of one test, the last of them another.
func many(n int, result, last string) any {
	o := &clixml.Object{}
	for range n - 1 {
		o.List = append(o.List, bag("Name", "A", "Result", result))
	}
	o.List = append(o.List, bag("Name", "A", "Result", last))
	return o
}

func numbered(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("Azs%d PASS", i))
	}
	return lines
}

// knot is a test that holds itself.
func knot() any {
	o := bag("Name", "A", "Result", "PASS")
	o.List = []any{o}
	return o
}

// TestHealthWords: a word of an object that is not known is no result, and one that is has one meaning.
func TestHealthWords(t *testing.T) {
	for want, words := range map[string][]string{
		TestPass: {"PASS", "Passed", "Success", "Succeeded", " ok ", "Healthy", "True"},
		TestWarn: {"WARN", "Warning"},
		TestFail: {"FAIL", "Failed", "Failure", "Error", "Critical", "Unhealthy", "False"},
		"":       {"", "Skipped", "Passing"},
	} {
		for _, w := range words {
			if got := testWord(w); got != want {
				t.Errorf("%q is %q, want %q", w, got, want)
			}
		}
	}
	h := healthOf(Reply{outputs: []any{"[FAIL] Azs One\nAzs Two : WARN"}})
	if !slices.Equal(h.Tests, []HealthTest{{Name: "Azs One", Result: TestFail}, {Name: "Azs Two", Result: TestWarn}}) {
		t.Errorf("lines are %+v", h.Tests) // a plan accepts them by name
	}
	h = healthOf(Reply{outputs: []any{bag("Name", "A", "Result", "WARN"), bag("Name", "a", "Result", "FAIL", "Detail", "no disk"), bag("Name", "A", "Result", "PASS", "Detail", "late")}})
	if len(h.Tests) != 1 || h.Tests[0] != (HealthTest{Name: "A", Result: TestFail, Detail: "no disk"}) {
		t.Errorf("got %+v", h.Tests)
	}
}

const progress = `<?xml version="1.0" encoding="utf-16"?>
<Action Name="SecretRotation" Status="Running" StartTimeUtc="2026-01-02T22:00:00Z"><Steps>
 <Step Name="Validate" Status="Success" StartTimeUtc="2026-01-02T22:00:00Z" EndTimeUtc="2026-01-02T22:01:00Z"/>
 <Step Name="Rotate" Status="InProgress"><Task Status="Error" Name="Gateway"><Exception><Message>certificate &lt;x&gt;</Message></Exception></Task></Step>
</Steps></Action>`

func TestActionStatus(t *testing.T) {
	ask := func(t *testing.T, records ...psrp.Record) Status {
		t.Helper()
		s, err := New(&fake{records: records}).ActionStatus(t.Context(), "Start-SecretRotation")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("nothing was ever run", func(t *testing.T) {
		if s := ask(t); s.Known {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("progress", func(t *testing.T) {
		s := ask(t, outputs(bag("ProgressAsXml", clixml.XML(progress), "ActionPlanInstanceID", "11111111-2222-3333-4444-555555555555"))...)
		failed := s.FailedSteps()
		if s.State != Running || s.Started.Hour() != 22 || len(s.Steps) != 2 || len(failed) != 1 ||
			failed[0].Name != "Rotate / Gateway" || failed[0].Message != "certificate <x>" || s.InstanceID == "" {
			t.Errorf("got %+v, failed %+v", s, failed)
		}
	})
	for word, want := range map[string]State{"Completed": Completed, "Failed": Failed, "Waiting": Waiting, "Rebalancing": Unseen} {
		t.Run(word, func(t *testing.T) {
			s := ask(t, outputs(bag("Status", word))...)
			if s.State != want || s.Running() == want.Final() {
				t.Errorf("got %+v, want %s", s, want)
			}
		})
	}
	for name, list := range map[string][]any{
		"without times, the one that runs last":         {bag("Status", "Completed"), bag("Status", "Running")},
		"without times, the one that runs first":        {bag("Status", "Running"), bag("Status", "Completed")},
		"the one that runs has no time":                 {bag("Status", "Completed", "StartTimeUtc", "2026-01-02T00:00:00Z"), bag("Status", "Running")},
		"the one that ended has none, and comes last":   {bag("Status", "Running", "StartTimeUtc", "2026-01-02T00:00:00Z"), bag("Status", "Completed")},
		"the one that runs began last":                  {bag("Status", "Completed", "StartTimeUtc", "2026-01-02T00:00:00Z"), bag("Status", "Running", "StartTimeUtc", "2026-01-03T00:00:00Z")},
		"what hung years ago is not the latest, though": {bag("Status", "Completed", "StartTimeUtc", "2026-01-02T00:00:00Z"), bag("Status", "Running", "StartTimeUtc", "2020-01-03T00:00:00Z")},
	} {
		t.Run(name, func(t *testing.T) {
			if s := ask(t, outputs(list...)...); s.Running() == strings.HasPrefix(name, "what hung") {
				t.Errorf("got %+v", s)
			}
		})
	}
	t.Run("an answer about nothing readable is not none", func(t *testing.T) {
		_, err := New(&fake{records: outputs("<Other/>")}).ActionStatus(t.Context(), "x")
		if !errors.Is(err, ErrNoAnswer) {
			t.Errorf("got %v, want ErrNoAnswer", err)
		}
	})
}

// TestALostPartIsNoAnswer: what is missing may be all that the stamp had to say, so it is asked again, and not for ever.
func TestALostPartIsNoAnswer(t *testing.T) {
	for name, ask := range questions() {
		answer := outputs(bag("RegionName", "east", "Status", "Completed", "Name", "Get-X"))
		f := &fake{records: answer, lost: []uint64{1}}
		if err := ask(t.Context(), New(f)); !errors.Is(err, ErrNoAnswer) || len(f.sent) != mostAsked {
			t.Errorf("%s: %v after %d questions, want no answer", name, err, len(f.sent))
		}
		f = &fake{records: answer, lost: []uint64{1, 0}}
		if err := ask(t.Context(), New(f)); err != nil || len(f.sent) != 2 {
			t.Errorf("%s, lost once: %v after %d questions", name, err, len(f.sent))
		}
	}
}

// TestAnUnreadPartIsNoAnswer: that no action, update or failed test is among what can be read says nothing about the rest.
func TestAnUnreadPartIsNoAnswer(t *testing.T) {
	many := make([]any, maxOutputs+1)
	for i := range many {
		many[i] = true
	}
	for what, records := range map[string][]psrp.Record{
		"an output that does not decode":    {psrp.Unreadable{Type: psrp.PipelineOutput}},
		"an error that does not decode":     {psrp.Output{Value: true}, psrp.Unreadable{Type: psrp.PipelineErrorRecord}},
		"a host line that does not decode":  {psrp.Output{Value: true}, psrp.Unreadable{Type: psrp.InformationRecord}},
		"more outputs than anybody reads":   outputs(many...),
		"larger outputs than anybody reads": {psrp.Output{Value: true, Size: maxAnswer}, psrp.Output{Value: true, Size: 1}},
		"more lines than anybody remembers": append(slices.Repeat([]psrp.Record{psrp.Verbose{Text: "AzsX FAIL"}}, maxRecords+1), psrp.Output{Value: true}),
	} {
		for name, ask := range questions() {
			f := &fake{records: records}
			if err := ask(t.Context(), New(f)); !errors.Is(err, ErrNoAnswer) || len(f.sent) != 1 {
				t.Errorf("%s, %s: %v after %d questions, want no answer", name, what, err, len(f.sent))
			}
		}
	}
	harmless := append(outputs(bag("RegionName", "east", "Status", "Completed", "Name", "Get-X")), psrp.Unreadable{Type: psrp.ProgressRecord}, psrp.Unreadable{Type: psrp.DebugRecord})
	for name, ask := range questions() {
		if err := ask(t.Context(), New(&fake{records: harmless})); err != nil {
			t.Errorf("%s, progress that does not decode: %v", name, err)
		}
	}
}

// questions are those whose answer is read.
func questions() map[string]func(context.Context, *Session) error {
	return map[string]func(context.Context, *Session) error{
		"action":      func(ctx context.Context, s *Session) error { _, err := s.ActionStatus(ctx, "x"); return err },
		"update":      func(ctx context.Context, s *Session) error { _, err := s.UpdateStatus(ctx); return err },
		"syntax":      func(ctx context.Context, s *Session) error { _, err := s.CommandSyntax(ctx, "Get-X"); return err },
		"commands":    func(ctx context.Context, s *Session) error { _, err := s.Commands(ctx); return err },
		"information": func(ctx context.Context, s *Session) error { _, err := s.StampInformation(ctx); return err },
		"health": func(ctx context.Context, s *Session) error {
			_, err := s.TestAzureStack(ctx, plan.HealthCheck{Call: plan.Call{Cmdlet: "Test-AzureStack"}}, nil, nil)
			return err
		},
	}
}

func TestLater(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 1, 2, h, 0, 0, 0, time.UTC) }
	old := Status{Known: true, State: Completed, InstanceID: "a", Started: at(1), Ended: at(2)}
	for name, row := range map[string]struct {
		now, before Status
		want        bool
	}{
		"none":                                   {Status{}, old, false},
		"the first ever":                         {old, Status{}, true},
		"the same":                               {old, old, false},
		"another instance, later":                {Status{Known: true, State: Completed, InstanceID: "b", Started: at(3)}, old, true},
		"another instance, but older":            {Status{Known: true, State: Completed, InstanceID: "b", Started: at(0)}, old, false},
		"the same instance, ended later":         {Status{Known: true, State: Completed, InstanceID: "a", Started: at(1), Ended: at(5)}, old, true},
		"a failed one taken up":                  {Status{Known: true, State: Running, InstanceID: "a"}, Status{Known: true, State: Failed, InstanceID: "a"}, true},
		"nothing to tell them apart":             {Status{Known: true, State: Completed}, Status{Known: true, State: Completed}, false},
		"a running one that completed by itself": {Status{Known: true, State: Completed}, Status{Known: true, State: Running}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := row.now.Later(row.before); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
			back, ok := StatusOf(row.before.Facts())
			if !ok || row.now.Later(back) != row.want {
				t.Errorf("through the journal's facts: %+v", back)
			}
		})
	}
}

func TestRead(t *testing.T) {
	success := []string{"Overall action status: Success", "DONE", "Action plan finished with status: 'Completed'"}
	for name, row := range map[string]struct {
		text            string
		success, failed bool
	}{
		"2018":                 {"VERBOSE: Step 3\nOverall action status: Success", true, false},
		"2020":                 {"ActionPlanInstanceID : 11111111-2222-3333-4444-555555555555\nCurrentStatus: Completed\nDONE", true, false},
		"2022":                 {"CurrentStatus : Completed\nAction plan finished with status: 'Completed'", true, false},
		"failed":               {"CurrentStatus: Failed\nDONE", false, true},
		"failed in the end":    {"Overall action status: Success\nAction plan finished with status: 'Failed'", false, true},
		"done in prose":        {"step 1 is DONE, 4 to go", false, false},
		"still running":        {"CurrentStatus: Running", false, false},
		"ran, then completed":  {"CurrentStatus: Running\nCurrentStatus: Completed", true, false},
		"nothing":              {"", false, false},
		"carriage returns too": {"CurrentStatus: Completed\r\nDONE\r\n", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := Read([]Record{{Kind: OutputRecord, Text: row.text}}, success)
			if got.Success != row.success || got.Failed != row.failed {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestStartIsSentAtMostOnceAndTyped(t *testing.T) {
	f := &fake{}
	if _, err := New(f).StartSecretRotation(t.Context(), externalCall(`\\10.20.0.5\certs\Certificates`), known, nil); err != nil {
		t.Fatal(err)
	}
	if !f.once[0] {
		t.Error("a rotation was sent without at-most-once")
	}
	c, ok := f.sent[0].Params[1].Value.(clixml.Credential)
	if !ok || c.User != `CONTOSO\share` || c.Password.Reveal() != "value of env:SHARE_PASSWORD" {
		t.Errorf("the credential went out as %#v", f.sent[0].Params[1].Value)
	}
}

// TestEveryChangeIsSentAtMostOnce, and a question may be asked again.
func TestEveryChangeIsSentAtMostOnce(t *testing.T) {
	bmc := plan.Call{Cmdlet: "Set-BmcCredential", Parameters: []plan.Parameter{{Name: "BmcPassword", Type: "SecureString", Secret: "env:BMC_PASSWORD"}}}
	transcripts := plan.Call{Cmdlet: "Close-PrivilegedEndpoint", Parameters: []plan.Parameter{
		{Name: "TranscriptsPathDestination", Type: "String", Value: `\\fs\share`}, {Name: "Credential", Type: "PSCredential", Value: "u", Secret: "env:SHARE_PASSWORD"},
	}}
	for name, row := range map[string]struct {
		run  func(s *Session) error
		once bool
	}{
		"unplanned": {func(s *Session) error {
			_, err := s.Unplanned(t.Context(), plan.Call{Cmdlet: "Get-AzureStackLog"}, known, nil)
			return err
		}, true},
		"BMC":         {func(s *Session) error { _, err := s.SetBMC(t.Context(), bmc, known, nil); return err }, true},
		"transcripts": {func(s *Session) error { return s.ArchiveTranscripts(t.Context(), transcripts, known) }, true},
		"a question": {func(s *Session) error {
			_, err := s.Invoke(t.Context(), plan.Call{Cmdlet: "Get-CloudAdminUserList"}, known, nil)
			return err
		}, false},
	} {
		f := &fake{}
		if err := row.run(New(f)); err != nil || len(f.once) != 1 || f.once[0] != row.once {
			t.Errorf("%s: %v, at most once %v", name, err, f.once)
		}
	}
}

// TestPathsOfARotation: the path goes into a cmdlet of the stamp, and into records of it.
func TestPathsOfARotation(t *testing.T) {
	for _, path := range []string{
		"\\\\fs\\share\n\\Certificates", "\\\\fs\\share\r\\Certificates", "\\\\fs\\sh\x00are\\Certificates", `\\fs\a/b\Certificates`, `\\fs\a"b\Certificates`,
		`\\fs\Certificates`, `fs\share\Certificates`, `\\fs\share\Certificates\AAD`, `\\fs\share\certificates`, "",
	} {
		if err := CheckRotation(externalCall(path)); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
	if err := CheckRotation(externalCall(`\\fs\share\Certificates`)); err != nil {
		t.Error(err)
	}
}

func TestCallsThatAreRefused(t *testing.T) {
	bad := func(change func(*plan.Call)) plan.Call {
		c := externalCall(`\\10.20.0.5\certs\Certificates`)
		change(&c)
		return c
	}
	for name, call := range map[string]plan.Call{
		"the path ends in AAD":       externalCall(`\\10.20.0.5\certs\Certificates\AAD`),
		"the path is the share root": externalCall(`\\10.20.0.5\certs`),
		"no share":                   externalCall(`\\10.20.0.5\Certificates`),
		"mixed with -Internal": bad(func(c *plan.Call) {
			c.Parameters = append(c.Parameters, plan.Parameter{Name: "Internal", Type: "Switch"})
		}),
		"without the password":     bad(func(c *plan.Call) { c.Parameters = c.Parameters[:2] }),
		"the password in clear":    bad(func(c *plan.Call) { c.Parameters[2].Type = "String" }),
		"an unknown parameter":     bad(func(c *plan.Call) { c.Parameters[0].Name = "Path" }),
		"another cmdlet":           {Cmdlet: "Set-BmcCredential"},
		"the same parameter twice": {Cmdlet: "Start-SecretRotation", Parameters: []plan.Parameter{{Name: "ReRun", Type: "Switch"}, {Name: "rerun", Type: "Switch"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			_, err := New(f).StartSecretRotation(t.Context(), call, known, nil)
			var r *RefusedError
			if !errors.As(err, &r) || len(f.sent) != 0 || !NotTaken(err) {
				t.Errorf("got %v, sent %d, want a refusal and nothing sent", err, len(f.sent))
			}
		})
	}
	f := &fake{}
	for _, call := range []plan.Call{
		{Cmdlet: "Start-SecretRotation"},
		{Cmdlet: "Restart-Computer"},
		{Cmdlet: "Get-Thing; Remove-Item"},
		{Cmdlet: "Get-SupportSessionToken"},
		{Cmdlet: "Test-AzureStack", Parameters: []plan.Parameter{{Name: "repair", Type: "Switch"}}},
		{Cmdlet: "Test-AzureStack", Parameters: []plan.Parameter{{Name: "Rep", Type: "Switch"}}}, // PowerShell completes it
	} {
		if _, err := New(f).Invoke(t.Context(), call, nil, nil); err == nil {
			t.Errorf("%q was sent as a cmdlet that only reads", call.Cmdlet)
		}
	}
	for _, cmdlet := range []string{"start-secretrotation", "Set-BmcCredential", "Set-BmcPassword", "unlock-supportsession", "Get-SupportSessionToken"} {
		if _, err := New(f).Unplanned(t.Context(), plan.Call{Cmdlet: cmdlet}, nil, nil); err == nil {
			t.Errorf("%q was sent without a plan", cmdlet)
		}
	}
	if len(f.sent) != 0 {
		t.Errorf("%d commands were sent", len(f.sent))
	}
}

func TestMissingSecretIsNamedNotSent(t *testing.T) {
	call := externalCall(`\\10.20.0.5\certs\Certificates`)
	call.Parameters[2].Secret = "env:PEP_MISSING"
	err := Resolvable(call, known)
	if !errors.Is(err, secret.ErrNotSet) || !strings.Contains(err.Error(), "PEP_MISSING") {
		t.Errorf("got %v", err)
	}
}

// TestWhatIsNotTextIsNotSent: nothing that cannot be written is found out only after the login.
func TestWhatIsNotTextIsNotSent(t *testing.T) {
	bad := func(string) (secret.Value, error) { return secret.New("hunter\xff2"), nil }
	for _, p := range []plan.Parameter{
		{Name: "A", Type: "String", Value: "\xff"},
		{Name: "A", Type: "StringList", Values: []string{"a", "\xc3"}},
		{Name: "A", Type: "PSCredential", Value: "u\xff", Secret: "env:PEP_X"},
		{Name: "A", Type: "SecureString", Secret: "env:PEP_X"},
		{Name: "A", Type: "PSCredential", Value: "u", Secret: "env:PEP_X"},
	} {
		secrets := known
		if p.Type != "String" && p.Value == "u" || p.Type == "SecureString" {
			secrets = bad
		}
		f := &fake{}
		call := plan.Call{Cmdlet: "Get-Xy", Parameters: []plan.Parameter{p}}
		_, err := New(f).Invoke(t.Context(), call, secrets, nil)
		if early := Resolvable(call, secrets); err == nil || early == nil || len(f.sent) != 0 || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%s: %v, %v, %d sent", p.Type, err, early, len(f.sent))
		}
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	null := psrp.ErrorRecord{Message: "Cannot bind argument to parameter 'Path' because it is null.", ID: "ParameterArgumentValidationErrorNullNotAllowed,Test-Certificate"}
	for name, row := range map[string]struct {
		err               error
		unknown, notTaken bool
		hint              string
	}{
		"it failed on the stamp":   {&psrp.PipelineError{State: psrp.PipelineFailed, Record: null}, false, false, "folders on the share"},
		"the connection was lost":  {&psrp.OutcomeUnknownError{Sent: true, Err: errors.New("reset")}, true, false, "Get-ActionStatus"},
		"nothing was sent":         {&wsman.ConnectError{Host: "a", Err: errors.New("refused")}, false, true, ""},
		"the endpoint declined it": {&wsman.Fault{Code: wsman.FaultAccessDenied}, false, true, "group membership"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(&fake{err: row.err}).StartSecretRotation(t.Context(), plan.Call{Cmdlet: "Start-SecretRotation"}, nil, nil)
			if Unknown(err) != row.unknown || NotTaken(err) != row.notTaken {
				t.Errorf("unknown %v, not taken %v: %v", Unknown(err), NotTaken(err), err)
			}
			var h interface{ Hint() string }
			if row.hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint(), row.hint)) {
				t.Errorf("no hint %q in %v", row.hint, err)
			}
		})
	}
}

// TestCompare: names are compared without case, and what every cmdlet takes is a difference on neither side.
func TestCompare(t *testing.T) {
	y := Syntax{Known: true, Parameters: []string{"group", "Shiny", "AsJob", "Verbose"}}
	lacks, more := y.Compare(plan.Call{Parameters: []plan.Parameter{{Name: "Group"}, {Name: "Include"}, {Name: "Debug"}}})
	if !slices.Equal(lacks, []string{"Include"}) || !slices.Equal(more, []string{"Shiny"}) {
		t.Errorf("lacks %v, more %v", lacks, more)
	}
}

// failing is an endpoint on which a cmdlet ends with an error, and one on which it writes that and ends well.
func failing(id string) map[string]*fake {
	e := psrp.ErrorRecord{ID: id, Category: psrp.ObjectNotFound, Message: "no"}
	if id == "AccessDenied" {
		e.Category = psrp.PermissionDenied
	}
	return map[string]*fake{
		"it ends with it":     {err: &psrp.PipelineError{State: psrp.PipelineFailed, Record: e}},
		"it goes on after it": {records: []psrp.Record{e}},
	}
}

func TestUpdate(t *testing.T) {
	for name, row := range map[string]struct {
		records []psrp.Record
		known   bool
		state   State
	}{
		"an enum":                    {outputs(clixml.NewEnum("UpdateState", "Running", 1)), true, Running},
		"a word":                     {outputs("Completed"), true, Completed},
		"an object":                  {outputs(bag("Status", "Failed")), true, Failed},
		"a word that nobody knows":   {outputs("Rebalancing"), true, Unseen},
		"the last of several counts": {outputs("Completed", "Running"), true, Running},
		"and that of those that say": {outputs("Running", " "), true, Running},
		"nothing":                    {nil, false, ""},
	} {
		f := &fake{records: row.records}
		u, err := New(f).UpdateStatus(t.Context())
		if err != nil || u.Known != row.known || u.State != row.state || (u.Word != "") != row.known {
			t.Errorf("%s: got %+v, %v", name, u, err)
		}
		if c := f.sent[0]; c.Name != "Get-AzureStackUpdateStatus" || len(c.Params) != 1 || c.Params[0].Name != "StatusOnly" {
			t.Errorf("%s: sent %+v", name, c)
		}
	}
	for id, none := range map[string]bool{"CommandNotFoundException": true, "NamedParameterNotFound,X": true, "NoUpdateFound": true, "AccessDenied": false} {
		for how, f := range failing(id) {
			u, err := New(f).UpdateStatus(t.Context())
			var c *CommandError
			if (err == nil) != none || u.Known || !none && (!errors.As(err, &c) || c.Record.ID != id) {
				t.Errorf("%s, %s: got %+v, %v", id, how, u, err)
			}
		}
	}
}

func TestSyntax(t *testing.T) {
	f := &fake{records: outputs("\r\nStart-SecretRotation [[-PfxFilesPath] <Object>] [-Internal] [-ReRun] [<CommonParameters>]\r\n", "start-secretrotation [-Internal]")}
	y, err := New(f).CommandSyntax(t.Context(), "Start-SecretRotation")
	if err != nil || !y.Known || !slices.Equal(y.Parameters, []string{"PfxFilesPath", "Internal", "ReRun"}) {
		t.Errorf("got %+v, %v", y, err)
	}
	if p := f.sent[0].Params; len(p) != 2 || p[0].Name != "Name" || p[0].Value != "Start-SecretRotation" || p[1].Name != "Syntax" {
		t.Errorf("sent %+v", p)
	}
	if got := y.Missing(externalCall("x")); !slices.Equal(got, []string{"PathAccessCredential", "CertificatePassword"}) {
		t.Errorf("missing: %v", got)
	}
	other := &fake{records: outputs("Get-Weather [-Tomorrow]")}
	if y, err := New(other).CommandSyntax(t.Context(), "Start-SecretRotation"); err != nil || y.Known || len(y.Parameters) > 0 || y.Text == "" {
		t.Errorf("another cmdlet's: got %+v, %v", y, err)
	}
	for id, none := range map[string]bool{"CommandNotFoundException": true, "NothingFound": true, "AccessDenied": false} {
		for how, f := range failing(id) {
			y, err := New(f).CommandSyntax(t.Context(), "Start-SecretRotation")
			var c *CommandError
			if (err == nil) != none || y.Known || !none && (!errors.As(err, &c) || c.Record.ID != id) {
				t.Errorf("%s, %s: got %+v, %v", id, how, y, err)
			}
		}
	}
	both := &fake{records: append(outputs("Get-X [-A <Object>]"), psrp.ErrorRecord{ID: "AccessDenied", Category: psrp.PermissionDenied, Message: "no"})}
	if y, err := New(both).CommandSyntax(t.Context(), "Get-X"); err != nil || !y.Has("A") {
		t.Errorf("described beside an error: got %+v, %v", y, err)
	}
	long := &fake{records: outputs(slices.Repeat([]any{"Get-X " + strings.Repeat("x", maxText)}, 3)...)}
	if y, err := New(long).CommandSyntax(t.Context(), "Get-X"); err != nil || !y.Known || len(y.Text) > maxText+len("…") {
		t.Errorf("%d bytes are kept, %v", len(y.Text), err)
	}
}

func TestCommands(t *testing.T) {
	many := &clixml.Object{Container: clixml.List}
	for i := range maxOutputs + 10 {
		many.List = append(many.List, fmt.Sprint("Get-", i))
	}
	for name, row := range map[string]struct {
		records []psrp.Record
		want    []string
		err     error
	}{
		"objects": {outputs(bag("Name", "Get-A"), bag("Name", "Get-B")), []string{"Get-A", "Get-B"}, nil},
		"text":    {outputs(" Get-A ", "", "Get-A", "Get-B"), []string{"Get-A", "Get-B"}, nil},
		"a list":  {outputs(&clixml.Object{List: []any{bag("Name", "Get-A"), "Get-B"}}), []string{"Get-A", "Get-B"}, nil},
		"nothing": {outputs(""), nil, ErrNoAnswer},
	} {
		if got, err := New(&fake{records: row.records}).Commands(t.Context()); !slices.Equal(got, row.want) || !errors.Is(err, row.err) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, err := New(&fake{records: outputs(many)}).Commands(t.Context()); len(got) != 0 || !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a list that is too long: %d names are kept, %v", len(got), err)
	}
	many.List = many.List[:maxOutputs]
	if got, err := New(&fake{records: outputs(many)}).Commands(t.Context()); err != nil || len(got) != maxOutputs {
		t.Errorf("a list that is just not: %d names are kept, %v", len(got), err)
	}
}

// TestDialOrder: the next host is tried after a failure to connect and after nothing else.
func TestDialOrder(t *testing.T) {
	var dialled []string
	cfg := Config{
		Hosts: []string{"10.20.1.11", "10.20.1.12:5990"}, User: `E\CloudAdmin`, Password: secret.New("p"),
		Wait: func(context.Context, time.Duration) error { return nil },
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return nil, errors.New("no route")
		},
	}
	_, err := Dial(t.Context(), cfg)
	var c *ConnectError
	if !errors.As(err, &c) || !strings.Contains(err.Error(), "no route") || c.Hint() == "" {
		t.Errorf("got %v", err)
	}
	if got := slices.Compact(dialled); !slices.Equal(got, []string{"10.20.1.11:5985", "10.20.1.12:5990"}) {
		t.Errorf("dialled %v", dialled)
	}
}

// TestHintOfACrowdedHost: where to connect from is no help to who was let in and got no session.
func TestHintOfACrowdedHost(t *testing.T) {
	crowded := &wsman.ConnectError{Host: "a", Err: &wsman.Fault{Code: 2150859173}}
	for _, err := range []error{crowded, errors.Join(errors.New("no route"), fmt.Errorf("create: %w", crowded))} {
		if h := (&ConnectError{Hosts: []string{"a"}, Err: err}).Hint(); !strings.Contains(h, "too many sessions") {
			t.Errorf("%v: %q", err, h)
		}
	}
	if h := (&ConnectError{Hosts: []string{"a"}, Err: &wsman.Fault{Code: wsman.FaultTimedOut}}).Hint(); !strings.Contains(h, "workstation") {
		t.Errorf("got %q", h)
	}
}

// TestWrongCertificateEndsIt: whoever shows another certificate is no failure to connect, and no reason to go on trying.
func TestWrongCertificateEndsIt(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	address := server.Listener.Addr().String()
	dialled := 0
	_, err := Dial(t.Context(), Config{
		Hosts: []string{address, address}, TLS: true, Pin: strings.Repeat("ab", 32), User: "u", Password: secret.New("p"), Simulated: true,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled++
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	})
	var c *ConnectError
	if !errors.Is(err, wsman.ErrCertificate) || errors.As(err, &c) || dialled != 1 {
		t.Errorf("%d connections, got %v", dialled, err)
	}
}

// TestPeer: a login never reaches the wrong world, whatever the name resolves to.
func TestPeer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan int, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := c.Read(make([]byte, 1))
			got <- n
			c.Close()
		}
	}()
	_, err = Dial(t.Context(), Config{Hosts: []string{l.Addr().String()}, User: "u", Password: secret.New("p")})
	if !errors.Is(err, ErrPeer) {
		t.Errorf("a real plan on loopback: got %v", err)
	}
	if n := <-got; n != 0 {
		t.Error("something was said to the wrong peer")
	}
}

func FuzzAction(f *testing.F) {
	f.Add(progress)
	f.Add("<Action>" + strings.Repeat("<Step>", 100))
	f.Fuzz(func(t *testing.T, raw string) {
		s := statusOf(raw)
		s.FailedSteps()
		if s.Known && s.State == "" {
			t.Errorf("a known action without a state: %+v", s)
		}
	})
}

func FuzzHealthLines(f *testing.F) {
	f.Add("Azs PASS\n[FAIL] x")
	f.Fuzz(func(t *testing.T, raw string) {
		h := healthOf(Reply{outputs: []any{raw}})
		if h.Healthy && len(h.Bad(false)) > 0 {
			t.Errorf("healthy with failures: %+v", h)
		}
	})
}

// TestPeerFits: a simulated plan stays on this machine, and a real one leaves it, whatever kind of address a dialer gives.
func TestPeerFits(t *testing.T) {
	for _, row := range []struct {
		addr            net.Addr
		simulated, fits bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, true, true},
		{&net.TCPAddr{IP: net.IPv6loopback}, true, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1")}, true, true},
		{&net.TCPAddr{IP: net.IPv4(10, 20, 1, 11)}, true, false},
		{&net.TCPAddr{IP: net.ParseIP("fd00::1")}, true, false},
		{&net.UnixAddr{Name: "/tmp/s"}, true, false},
		{nil, true, false},
		{&net.TCPAddr{IP: net.IPv4(10, 20, 1, 11)}, false, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1")}, false, false},
		{&net.TCPAddr{IP: net.IPv6loopback}, false, false},
	} {
		if err := peerFits(row.addr, row.simulated); (err == nil) != row.fits || err != nil && !errors.Is(err, ErrPeer) {
			t.Errorf("%v, simulated %v: %v", row.addr, row.simulated, err)
		}
	}
}

// TestAMissingCmdletIsNoAnswer: a stamp without Get-ActionStatus has not said that it never rotated anything.
func TestAMissingCmdletIsNoAnswer(t *testing.T) {
	for id, none := range map[string]bool{"CommandNotFoundException": false, "NamedParameterNotFound,Get-ActionStatus": false, "NoActionFound": true} {
		e := psrp.ErrorRecord{ID: id, Category: psrp.ObjectNotFound, Message: "not found"}
		for how, f := range map[string]*fake{
			"it ends with it":     {err: &psrp.PipelineError{State: psrp.PipelineFailed, Record: e}},
			"it goes on after it": {records: []psrp.Record{e}},
		} {
			st, err := New(f).ActionStatus(t.Context(), "Start-SecretRotation")
			if (err == nil) != none || st.Known {
				t.Errorf("%s, %s: %+v, %v", id, how, st, err)
			}
		}
	}
}

// TestABMCPasswordIsNeeded: without one the endpoint would ask for it, and nobody is there to answer.
func TestABMCPasswordIsNeeded(t *testing.T) {
	for _, cmdlet := range []string{"Set-BmcCredential", "Set-BmcPassword"} {
		if err := CheckBMC(plan.Call{Cmdlet: cmdlet}); err == nil {
			t.Errorf("%s without a password was taken", cmdlet)
		}
	}
	if err := CheckBMC(plan.Call{Cmdlet: "Set-BmcCredential", Parameters: []plan.Parameter{{Name: "BmcUser", Type: "String", Value: "root"}}}); err == nil {
		t.Error("a user alone was taken")
	}
}
