package cli_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/report"
)

// TestPEP asks a simulated endpoint by hand: what there is, what it takes, and what is refused however it is asked.
func TestPEP(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	at := []string{"--stamp", s.name()}
	with := func(list ...string) []string { return append([]string{"pep"}, append(list, at...)...) }
	find := func(a answer, name string) report.Cmdlet {
		i := slices.IndexFunc(a.doc.Cmdlets, func(c report.Cmdlet) bool { return c.Name == name })
		if i < 0 {
			t.Errorf("%s is not listed", name)
			return report.Cmdlet{}
		}
		return a.doc.Cmdlets[i]
	}

	a := s.must(map[string]string{"PEP_PASSWORD": ""}, "pep", "--list") // asks nobody
	for name, use := range map[string]string{
		"Get-ActionStatus": "read-only", "Get-AzureStackLog": "needs --unplanned", "Start-SecretRotation": "refused", "Unlock-SupportSession": "refused",
	} {
		if c := find(a, name); c.Use != use || c.There != "" || c.Source == "" || !strings.Contains(a.stdout, name) {
			t.Errorf("%s: %+v, wanted %s", name, c, use)
		}
	}
	a = s.must(nil, with("--list")...)
	for name, there := range map[string]string{"Get-ActionStatus": "yes", "Remove-CloudAdminUser": "yes", "Unlock-SupportSession": "no"} {
		if c := find(a, name); c.There != there {
			t.Errorf("%s: %+v, wanted %s", name, c, there)
		}
	}
	var unlisted []string // each with its reason in policies/cmdlets.yaml
	for _, c := range a.doc.Cmdlets {
		if c.Use == "not in certstamp's table" {
			unlisted = append(unlisted, c.Name)
		}
	}
	if want := []string{
		"Clear-Host", "Exit-PSSession", "Get-FormatData", "Import-AdminHostingServiceCert", "Import-UserHostingServiceCert", "Measure-Object", "Out-Default",
		"Select-Object", "Set-GraphApplication",
	}; !slices.Equal(slices.Sorted(slices.Values(unlisted)), want) {
		t.Errorf("the simulator has %q, which the table does not, wanted %q", unlisted, want)
	}
	s.check(s.run(nil, with("--list", "Get-Help")...), 2, "--list takes no cmdlet")

	s.check(s.run(nil, with("Start-SecretRotation", "--syntax")...), 0, "[-PfxFilesPath] <Object>", "[-ReRun]")
	s.check(s.run(nil, with("Get-Nothing", "--syntax")...), 1, "describes no cmdlet", "pep --list")
	s.check(s.run(nil, with("--syntax")...), 2, "takes one cmdlet")
	for _, name := range []string{"Unlock-SupportSession", "get-supportsessiontoken", "Get-SupportSessionInfo"} {
		for _, more := range [][]string{nil, {"--unplanned", "because"}, {"--syntax"}} {
			s.check(s.run(nil, with(append([]string{name}, more...)...)...), 1, "not even with a reason")
		}
	}

	for _, row := range [][]string{
		{"Include=", "an empty item"},
		{"Include=AzsStore,,AzsInfraCapacity", "an empty item"},
		{"TimeoutSeconds=five", "not a number"},
		{"TimeoutSeconds=99999999999", "not a number"},
		{"List=no", "is a switch"},
		{"Group=\xff", "UTF-8"},
		{"Nothing=1", "has no parameter"},
		{"ServiceAdminCredentials=me", "credential:USER,env:PEP_X"},
		{"ServiceAdminCredentials=credential:me,env:PFX_PASSWORD", "ServiceAdminCredentials"},
	} {
		s.check(s.run(nil, with("Test-AzureStack", row[0])...), 2, row[1])
	}
	s.check(s.run(nil, with("Test-AzureStack", "Group=A", "group=B")...), 2, "given twice")

	// An error record that did not end the cmdlet is an answer that nobody should take for one.
	a = s.run(nil, with("Get-ActionStatus", "Start-SecretRotation")...)
	s.check(a, 1, "completed with 1 error record,", "No action plan was found")
	if a.doc.Error == nil || a.doc.Error.Reason != "error-records" || len(a.doc.Records) != 1 || !strings.Contains(a.doc.Records[0].Detail, "NoActionFound") {
		t.Errorf("document: %+v, %+v", a.doc.Error, a.doc.Records)
	}
	a = s.must(nil, with("Test-AzureStack", "Include=AzsInfraCapacity")...)
	var streams []string
	for _, r := range a.doc.Records {
		streams = append(streams, r.Stream)
	}
	if strings.Join(streams, " ") != "information output" {
		t.Errorf("streams: %v", streams)
	}
	if said := a.doc.Records[len(a.doc.Records)-1]; said.Object != true || said.Value != "True" {
		t.Errorf("an output that is a truth value: %+v", said)
	}
	// An object stays one for tools, beside its text for people.
	a = s.must(nil, with("Get-AzureStackStampInformation")...)
	if o, ok := a.doc.Records[0].Object.(map[string]any); !ok || o["RegionName"] != "east" {
		t.Errorf("the stamp information is %+v", a.doc.Records)
	}
}

// TestOtherEndpoint asks a JEA endpoint that is no stamp's, whose cmdlets no table has.
func TestOtherEndpoint(t *testing.T) {
	spec := east
	spec.Extra = "configuration: Maintenance\n"
	s := newStand(t, spec)
	s.simulate()
	at := []string{"--host", s.s.Hosts[0], "--user", `SIMULATED\CloudAdmin`, "--password", "env:PEP_PASSWORD", "--configuration", "Maintenance"}
	with := func(list ...string) []string { return append([]string{"pep"}, append(list, at...)...) }
	s.check(s.run(nil, with("--list")...), 0, "Test-AzureStack", "yes")
	_, port, _ := strings.Cut(s.s.Hosts[0], ":")
	for _, host := range []string{"LocalHost:" + port, "[::ffff:127.0.0.1]:" + port} { // other ways to write the same simulator
		s.check(s.run(nil, append([]string{"pep", "--list", "--host", host}, at[2:]...)...), 0, "yes")
	}
	s.check(s.run(nil, with("Get-ActionStatus", "--syntax")...), 0, "FunctionName")
	s.check(s.run(nil, with("Get-Weather", "Where=list:here,there", "Days=int:3", "Wind")...), 1, "Get-Weather", "not recognized")
	s.check(s.run(nil, with("Set-Weather", "Sun")...), 1, "--unplanned")
	s.check(s.run(nil, with("Set-Weather", "Key=secret:env:OTHER")...), 2, "Key")
	s.check(s.run(nil, with("Set-BmcAnything", "--unplanned", "because")...), 1, "make a plan")
	s.check(s.run(nil, with("Unlock-SupportSession")...), 1, "not even with a reason")
	s.check(s.run(map[string]string{"CI": "true"}, with("--list")...), 1, "--host is not for CI")
	s.check(s.run(map[string]string{"CI": "true"}, with("Get-Help", "--syntax")...), 1, "--host is not for CI")
	for _, host := range []string{"http://" + s.s.Hosts[0], "ercs01/wsman", "ercs01:0", "a:b:c"} {
		a := s.run(nil, "pep", "Get-ActionStatus", "Start-SecretRotation", "--host", host, "--user", "x", "--password", "env:PEP_PASSWORD")
		s.check(a, 2, "certstamp: error: --host: ", "certstamp: hint: write a name or an address")
	}
	for _, more := range [][]string{{"Get-ActionStatus", "Start-SecretRotation"}, {"--list"}, {"Get-ActionStatus", "--syntax"}} {
		s.check(s.run(nil, with(append(more, "--stamp", s.name())...)...), 2, "one of them has to go", "leave out --stamp to ask the host "+s.s.Hosts[0])
	}
	// At a stamp's own endpoint the table is the limit.
	s.check(s.run(nil, "pep", "Get-Weather", "--host", s.s.Hosts[0], "--user", `SIMULATED\CloudAdmin`, "--password", "env:PEP_PASSWORD"), 2, "not a cmdlet of the privileged endpoint")
}

// TestInterruptedPEP: what only reads is over when it is interrupted; what may change something may do so still.
func TestInterruptedPEP(t *testing.T) {
	for _, row := range []struct {
		cmdlet []string
		code   int
		says   []string
	}{
		{[]string{"Test-AzureStack"}, 130, []string{"interrupted"}},
		{[]string{"Get-AzureStackLog", "--unplanned", "a case"}, 5, []string{"outcome of the command is unknown", "find out what it did"}},
	} {
		spec := east
		spec.Speed, spec.Extra = 300, "streams: "+row.cmdlet[0]+"\n" // it speaks, and then takes seconds
		s := newStand(t, spec)
		s.simulate()
		ctx, leave := context.WithCancel(t.Context())
		var said lines
		said.on = func(line string) {
			if strings.HasPrefix(line, "warning: ") {
				leave()
			}
		}
		code := cli.Main(ctx, append([]string{"pep", "--stamp", s.name()}, row.cmdlet...), cli.Env{
			Stdin: strings.NewReader(""), Stdout: &said, Stderr: &said, Dir: s.w.Repo, Now: time.Now, Version: "test",
			Getenv: func(name string) string { return s.w.Secrets[name] },
		})
		leave()
		s.check(answer{code: code, stdout: said.String()}, row.code, row.says...)
	}
}
