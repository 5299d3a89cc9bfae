package pepsim

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// TestEveryJEACommandIsThere, and says nothing without input.
func TestEveryJEACommandIsThere(t *testing.T) {
	r := newRehearsal(t, nil)
	s := r.dial()
	for _, name := range []string{"Get-FormatData", "Select-Object", "Measure-Object", "Out-Default", "Clear-Host", "Exit-PSSession"} {
		if got := r.run(s, name); got.err != nil || (len(got.values) != 0) != (name == "Measure-Object") {
			t.Errorf("%s: %+v", name, got)
		}
		if got := r.run(s, name, param("AsJob", true)); got.err == nil || !strings.HasPrefix(got.err.ID, "NamedParameterNotFound") {
			t.Errorf("%s -AsJob: %+v", name, got.err)
		}
	}
	if got := r.run(s, "Get-AzureStackLog", param("FilterByRole", "VirtualMachines"), param("OutputSharePath", unc),
		param("OutputShareCredential", clixml.Credential{User: reader, Password: clixml.NewSecureString(readerPass)})); got.err != nil || !strings.Contains(got.output[0], Mark) {
		t.Errorf("%+v", got)
	}
	if files, _ := filepath.Glob(filepath.Join(r.share, "SIMULATED-AzureStackLogs-*")); len(files) != 1 {
		t.Errorf("logs: %v", files)
	}
}

// TestCloudAdminsChange makes a user, changes its password and removes it. Each is what the next login sees.
func TestCloudAdminsChange(t *testing.T) {
	r := newRehearsal(t, nil)
	s := r.dial()
	logsIn := func(password string) bool {
		t.Helper()
		c := r.client()
		c.User, c.Password = `AZURESTACK\second`, secret.New(password)
		one, err := wsman.Dial(t.Context(), c)
		if err == nil {
			_ = one.Close(t.Context())
		} else if !errors.Is(err, wsman.ErrUnauthorized) {
			t.Fatal(err)
		}
		return err == nil
	}
	for _, step := range []struct {
		cmdlet string
		params map[string]string
		fails  string
		enters string // the password that logs in afterwards
	}{
		{cmdlet: "Remove-CloudAdminUser", fails: "UserNotFound"},
		{cmdlet: "New-CloudAdminUser", params: map[string]string{"Password": "one"}, enters: "one"},
		{cmdlet: "New-CloudAdminUser", params: map[string]string{"Password": "two"}, fails: "UserExists", enters: "one"},
		{cmdlet: "Set-CloudAdminUserPassword", params: map[string]string{"CurrentPassword": "no", "NewPassword": "two"}, fails: "WrongPassword", enters: "one"},
		{cmdlet: "Set-CloudAdminUserPassword", params: map[string]string{"CurrentPassword": "one", "NewPassword": "two"}, enters: "two"},
		{cmdlet: "Remove-CloudAdminUser"},
	} {
		params := []psrp.Param{param("UserName", "Second")}
		for k, v := range step.params {
			params = append(params, param(k, clixml.NewSecureString(v)))
		}
		got := r.run(s, step.cmdlet, params...)
		if step.fails == "" && got.err != nil || step.fails != "" && (got.err == nil || !strings.HasPrefix(got.err.ID, step.fails)) {
			t.Errorf("%s: %+v, want %q", step.cmdlet, got.err, step.fails)
		}
		for _, password := range []string{"one", "two"} {
			if logsIn(password) != (password == step.enters) {
				t.Errorf("after %s, %q logs in: %v", step.cmdlet, password, password != step.enters)
			}
		}
		if list := r.run(s, "Get-CloudAdminUserList").output; (len(list) == 3) != (step.enters != "") {
			t.Errorf("after %s: %v", step.cmdlet, list)
		}
	}
	if got := r.run(s, "Remove-CloudAdminUser", param("UserName", "cloudadmin")); got.err == nil || !strings.HasPrefix(got.err.ID, "OwnUser") {
		t.Errorf("somebody has removed himself: %+v", got.err)
	}
}

// TestAsJobAnswersAtOnce with a job, and the rotation that it has started outlives the session.
func TestAsJobAnswersAtOnce(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Speed = 5000 }) // about 0.7 s
	s := r.dial()
	got := r.run(s, "Start-SecretRotation", append(r.order(), param("AsJob", true))...)
	job, ok := got.values[0].(*clixml.Object)
	if len(got.values) != 1 || !ok || job.Text("State") != "Running" || job.Text("Command") != "Start-SecretRotation" {
		t.Fatalf("%+v", got)
	}
	for word := ""; word == ""; {
		word = r.status(s) // the session is free for it
	}
	_ = s.Close(t.Context())
	r.becomes("Completed")
	r.serves("new")
	if h := r.history.String(); strings.Count(h, `"event":"job-ended"`) != 1 {
		t.Errorf("the end of the job is not there once\n%s", h)
	}
}

// TestCertificatesOfTheExtensionHost: the documents give the two values without a name, so the endpoint's own names stay unknown.
func TestCertificatesOfTheExtensionHost(t *testing.T) {
	r := newRehearsal(t, nil)
	s := r.dial()
	password := param("", clixml.NewSecureString("made up"))
	apart := &clixml.Object{Types: []string{"System.Byte[]"}, Container: clixml.List, List: []any{uint8(48), uint8(130)}}
	for name, c := range map[string]struct {
		params []psrp.Param
		fails  string
	}{
		"as the documents do":         {[]psrp.Param{param("", []byte("0")), password}, ""},
		"bytes taken apart":           {[]psrp.Param{param("", apart), password}, ""},
		"no password":                 {[]psrp.Param{param("", []byte("0"))}, "MissingMandatoryParameter"},
		"a password in clear":         {[]psrp.Param{param("", []byte("0")), param("", "made up")}, "CannotConvertArgument"},
		"a path in place of the file": {[]psrp.Param{param("", `C:\cert.pfx`), password}, "CannotConvertArgument"},
		"a list of something else":    {[]psrp.Param{param("", &clixml.Object{Container: clixml.List, List: []any{"0"}}), password}, "CannotConvertArgument"},
		"a name that nobody knows":    {[]psrp.Param{param("PFX", []byte("0")), password}, "NamedParameterNotFound"},
		"one value too many":          {[]psrp.Param{param("", []byte("0")), password, password}, "PositionalParameterNotFound"},
	} {
		for _, cmdlet := range []string{"Import-AdminHostingServiceCert", "Import-UserHostingServiceCert"} {
			_, err := r.server.bind(r.server.find(cmdlet), c.params) // our own client sends no parameter without its name
			var refused *terminating
			if errors.As(err, &refused); (refused == nil) != (c.fails == "") || refused != nil && !strings.HasPrefix(refused.ID, c.fails) {
				t.Errorf("%s, %s: %v", cmdlet, name, err)
			}
		}
	}
	if got := r.run(s, "Get-Command", param("Name", "Import-UserHostingServiceCert"), param("Syntax", true)); len(got.output) != 1 || strings.Contains(got.output[0], "PFX") {
		t.Errorf("%+v", got)
	}
	if got := r.run(s, "Set-GraphApplication", param("ApplicationIdentifier", "S-1-5-21"), param("ClientCertificates", apart)); got.err != nil || !strings.HasPrefix(got.output[0], Mark) {
		t.Errorf("%+v", got)
	}

	old := newRehearsal(t, func(c *Config) { c.Version = "1.1807.0.76" })
	if d := old.server.find("Import-AdminHostingServiceCert"); d != nil {
		t.Errorf("1807: %+v", d)
	}
}

// TestTheEndpointShowsWhatIsDocumented: the cmdlets that the documents of the endpoint name (PEPREF, PEP-2012, ROT-2210, APP-2410,
// EXT-1808), but for those of support sessions, and none that is not documented.
func TestTheEndpointShowsWhatIsDocumented(t *testing.T) {
	want := strings.Fields(`Start-SecretRotation Get-ActionStatus Test-AzureStack Get-AzureStackStampInformation Get-AzureStackLog Set-BmcCredential
		New-CloudAdminUser Set-CloudAdminUserPassword Remove-CloudAdminUser Get-CloudAdminUserList Close-PrivilegedEndpoint Set-GraphApplication
		Import-AdminHostingServiceCert Import-UserHostingServiceCert Get-AzureStackUpdateStatus
		Get-Command Get-Help Get-FormatData Select-Object Measure-Object Out-Default Clear-Host Exit-PSSession`)
	r := newRehearsal(t, nil)
	var got []string
	for _, v := range r.run(r.dial(), "Get-Command").values {
		o, _ := v.(*clixml.Object)
		got = append(got, o.Text("Name"))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
