package pepsim

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/certstamp/certstamp/internal/secret"
)

const (
	admin    = `AZURESTACK\cloudadmin`
	password = "P@ssw0rd!é"
)

// lines is a history that several goroutines write.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func east() Config {
	return Config{
		Region: "east", FQDN: "azurestack.contoso.com", Identity: "AAD", Version: "1.2301.2.58", CloudID: Mark + "-1",
		Domain: "AZURESTACK", ERCS: []string{"10.1.0.224"}, Speed: 100_000,
		Users: []User{{Name: admin, Password: secret.New(password)}, {Name: `AZURESTACK\guest`, Password: secret.New("guest"), NoAccess: true}},
	}
}

// served runs a stamp until the test ends and returns where it listens.
func served(t *testing.T, cfg Config) (address string, history *lines) {
	t.Helper()
	history = &lines{}
	cfg.History = history
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, Listeners{WinRM: []net.Listener{l}}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), history
}

// TestAgainstAStranger lets python3-winrm log in and seal, with remoting messages packed by a script of its own: what the
// simulator understands and says is not only what our client thinks.
func TestAgainstAStranger(t *testing.T) {
	address, history := served(t, east())
	ask := func(user, password, configuration string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "/usr/bin/python3",
			append([]string{"testdata/stranger.py", "http://" + address + "/wsman", user, configuration}, args...)...)
		c.Env = append(os.Environ(), "OPENSSL_CONF=testdata/openssl.cnf")
		c.Stdin = strings.NewReader(password)
		var errs bytes.Buffer
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, errs.String())
		}
		return string(out)
	}
	for _, tt := range []struct {
		name, user, password, configuration string
		args                                []string
		want                                []string
	}{
		{
			"information", admin, password, "PrivilegedEndpoint",
			[]string{"Get-AzureStackStampInformation"},
			[]string{
				"00010002 <Obj", "00021009 <Obj", `00021005 <Obj RefId="0"><MS><I32 N="RunspaceState">2</I32>`,
				`00041004 <Obj`, `<S N="CloudID">SIMULATED-1</S>`, `<S N="RegionName">east</S>`, `<S N="StampVersion">1.2301.2.58</S>`,
				`<I32 N="PipelineState">4</I32>`,
			},
		},
		{
			"health as information records", admin, password, "PrivilegedEndpoint",
			[]string{"Test-AzureStack", "Group=SecretRotationReadiness"},
			[]string{"00041011 <Obj", "[PASS] AzsAcsSummary", "PSHOST", "00041004 <B>true</B>", `<I32 N="PipelineState">4</I32>`},
		},
		{
			"abbreviated parameter, other case", admin, password, "privilegedendpoint",
			[]string{"get-command", "na=Start-SecretRotation"},
			[]string{`<S N="Name">Start-SecretRotation</S>`},
		},
		{
			"script", admin, password, "PrivilegedEndpoint",
			[]string{"Get-Process | Stop-Process", "--script"},
			[]string{`<I32 N="PipelineState">5</I32>`, "ScriptsNotAllowed", `<I32 N="ErrorCategory_Category">17</I32>`, "no-language mode"},
		},
		{
			"hidden command", admin, password, "PrivilegedEndpoint",
			[]string{"Get-ChildItem"},
			[]string{`<I32 N="PipelineState">5</I32>`, "CommandNotFoundException", `<I32 N="ErrorCategory_Category">13</I32>`, "&apos;Get-ChildItem&apos;|'Get-ChildItem'"},
		},
		{
			"unknown parameter", admin, password, "PrivilegedEndpoint",
			[]string{"Get-ActionStatus", "Nonsense=1"},
			[]string{`<I32 N="PipelineState">5</I32>`, "NamedParameterNotFound,Get-ActionStatus", `<I32 N="ErrorCategory_Category">5</I32>`},
		},
		{
			"missing parameters", admin, password, "PrivilegedEndpoint",
			[]string{"Start-SecretRotation"},
			[]string{`<I32 N="PipelineState">5</I32>`, "MissingMandatoryParameter,Start-SecretRotation"},
		},
		{
			"a password in clear", admin, password, "PrivilegedEndpoint",
			[]string{"Set-BmcCredential", "BmcPassword=oops"},
			[]string{`<I32 N="PipelineState">5</I32>`, "CannotConvertArgumentNoMessage,Set-BmcCredential"},
		},
		{"other configuration", admin, password, "Microsoft.PowerShell", []string{"Get-Date"}, []string{"fault 2150858811"}},
		{"cmd shell", admin, password, "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd", []string{"dir"}, []string{"fault 2150858811"}},
		{"no access", `AZURESTACK\guest`, "guest", "PrivilegedEndpoint", []string{"Get-Command"}, []string{"fault 5"}},
		{"wrong password", admin, "P@ssw0rd!e", "PrivilegedEndpoint", []string{"Get-Command"}, []string{"refused login"}},
		{"unknown user", `AZURESTACK\nobody`, password, "PrivilegedEndpoint", []string{"Get-Command"}, []string{"refused login"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(tt.user, tt.password, tt.configuration, tt.args...)
			for _, want := range tt.want {
				found := false
				for one := range strings.SplitSeq(want, "|") {
					found = found || strings.Contains(got, one)
				}
				if !found {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
		})
	}
	h := history.String()
	for want, n := range map[string]int{
		`"event":"login-refused"`: 2, `"event":"refused"`: 4, `"cmdlet":"(script)"`: 1, `"reason":"script text`: 1, `"event":"invoke"`: 3,
	} {
		if got := strings.Count(h, want); got < n {
			t.Errorf("%d of %s in the history, want %d or more\n%s", got, want, n, h)
		}
	}
	if strings.Contains(h, password) || strings.Contains(h, "oops") {
		t.Error("the history holds a secret")
	}
}
