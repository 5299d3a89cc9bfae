package pepsim

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
	"github.com/certstamp/certstamp/rotate/wsman"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// certificate is a marked one for a name, with a chain of itself.
func certificate(t *testing.T, name, organization string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		Subject:   pkix.Name{CommonName: Mark + " " + name, Organization: []string{organization}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, testKey().Public(), testKey())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: testKey(), Leaf: leaf}
}

// rehearsal is a stamp with two endpoints and a share with a new set for them.
type rehearsal struct {
	t       *testing.T
	cfg     Config
	share   string
	winrm   string
	tls     string
	control string
	server  *Server
	history *lines
}

const (
	unc         = `\\fs01\certs`
	reader      = `CONTOSO\reader`
	readerPass  = "reader-pw"
	pfxPassword = "pfx-pw"
)

var folders = map[string]string{"ACSBlob": "*.blob.east.azurestack.contoso.com", "Public Portal": "portal.east.azurestack.contoso.com"}

func newRehearsal(t *testing.T, change func(*Config)) *rehearsal {
	t.Helper()
	r := &rehearsal{t: t, cfg: east(), share: t.TempDir(), history: &lines{}}
	for folder, name := range folders {
		r.cfg.Endpoints = append(r.cfg.Endpoints, Endpoint{Folder: folder, Name: name, Certificate: certificate(t, name, "old")})
		r.put(filepath.Join("Certificates", "AAD", folder), name, "new", pfxPassword)
	}
	r.cfg.OpenShare = OpenFolders([]FolderShare{{UNC: unc, Folder: r.share, User: reader, Password: readerPass}})
	r.cfg.History = r.history
	if change != nil {
		change(&r.cfg)
	}
	s, err := New(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.server = s
	var l [3]net.Listener
	for i := range l {
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	r.winrm, r.tls, r.control = l[0].Addr().String(), l[1].Addr().String(), l[2].Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, Listeners{WinRM: l[:1], TLS: l[1], Control: l[2]}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// put writes one PFX into a folder of the share, with a library that is not ours.
func (r *rehearsal) put(folder, name, organization, password string) {
	r.t.Helper()
	c := certificate(r.t, name, organization)
	b, err := pkcs12.LegacyDES.Encode(c.PrivateKey, c.Leaf, []*x509.Certificate{c.Leaf}, password)
	if err != nil {
		r.t.Fatal(err)
	}
	dir := filepath.Join(r.share, folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pfx"), b, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// client is the way to the stamp.
func (r *rehearsal) client() wsman.Config {
	r.t.Helper()
	host, port, _ := net.SplitHostPort(r.winrm)
	n, err := strconv.Atoi(port)
	if err != nil {
		r.t.Fatal(err)
	}
	return wsman.Config{
		Host: host, Port: n, User: admin, Password: secret.New(password), OperationTimeout: 2 * time.Second, RecoveryWindow: 20 * time.Second,
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func (r *rehearsal) dial() *wsman.Session {
	r.t.Helper()
	s, err := wsman.Dial(r.t.Context(), r.client())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// ran is what a cmdlet said.
type ran struct {
	output []string
	values []any
	err    *psrp.ErrorRecord
}

func (r *rehearsal) run(s *wsman.Session, cmdlet string, params ...psrp.Param) ran {
	r.t.Helper()
	run := s.Invoke(r.t.Context(), psrp.Command{Name: cmdlet, Params: params}, wsman.Options{})
	var out ran
	for record := range run.Records() {
		switch v := record.(type) {
		case psrp.Output:
			out.values = append(out.values, v.Value)
			out.output = append(out.output, fmt.Sprint(v.Value))
		case psrp.ErrorRecord:
			out.err = &v
		}
	}
	_, err := run.Result()
	var failed *psrp.PipelineError
	if errors.As(err, &failed) {
		out.err = &failed.Record
	} else if err != nil {
		r.t.Fatalf("%s: %v", cmdlet, err)
	}
	return out
}

func param(name string, v any) psrp.Param { return psrp.Param{Name: name, Value: v} }

func (r *rehearsal) order() []psrp.Param {
	return []psrp.Param{
		param("PfxFilesPath", unc+`\Certificates`),
		param("PathAccessCredential", clixml.Credential{User: reader, Password: clixml.NewSecureString(readerPass)}),
		param("CertificatePassword", clixml.NewSecureString(pfxPassword)),
	}
}

// organizations says who issued what the endpoints serve.
func (r *rehearsal) organizations() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	for folder, name := range folders {
		c, err := tls.Dial("tcp", r.tls, &tls.Config{ServerName: strings.Replace(name, "*", "probe", 1), InsecureSkipVerify: true}) //nolint:gosec // it is looked at
		if err != nil {
			r.t.Fatal(err)
		}
		out[folder] = c.ConnectionState().PeerCertificates[0].Subject.Organization[0]
		_ = c.Close()
	}
	return out
}

func (r *rehearsal) serves(want string) {
	r.t.Helper()
	for folder, got := range r.organizations() {
		if got != want {
			r.t.Errorf("%s serves the %s certificate, want the %s one", folder, got, want)
		}
	}
}

func (r *rehearsal) status(s *wsman.Session) string {
	r.t.Helper()
	got := r.run(s, "Get-ActionStatus", param("FunctionName", "Start-SecretRotation"))
	if len(got.values) == 0 {
		return ""
	}
	o, ok := got.values[0].(*clixml.Object)
	if !ok {
		r.t.Fatalf("%T is no status", got.values[0])
	}
	v, _ := o.Get("CurrentStatus")
	return fmt.Sprint(v)
}

func TestRotationSwapsTheCertificates(t *testing.T) {
	for version, want := range map[string]string{
		"1.1908.4.33": "Overall action status: Success",
		"1.2005.6.53": "CurrentStatus: Completed",
		"1.2301.2.58": "Action plan finished with status: 'Completed'",
	} {
		t.Run(version, func(t *testing.T) {
			r := newRehearsal(t, func(c *Config) { c.Version = version })
			r.serves("old")
			s := r.dial()
			got := r.run(s, "Start-SecretRotation", r.order()...)
			if got.err != nil || !strings.Contains(strings.Join(got.output, "\n"), want) {
				t.Errorf("output %q, error %+v", got.output, got.err)
			}
			r.serves("new")
			if word := r.status(s); word != "Completed" {
				t.Errorf("status %q", word)
			}
			if got := r.run(s, "Start-SecretRotation", param("ReRun", true)); got.err == nil || !strings.Contains(got.err.ID, "NothingToRerun") {
				t.Errorf("a rerun of a success: %+v", got.err)
			}
			for _, word := range []string{readerPass, pfxPassword, password} {
				if strings.Contains(r.history.String(), word) {
					t.Errorf("the history holds %q", word)
				}
			}
		})
	}
}

// TestWhatTheStampRefuses orders what operators get wrong. Nothing is swapped, and the stamp wants a rerun afterwards.
func TestWhatTheStampRefuses(t *testing.T) {
	blob, portal := filepath.Join("Certificates", "AAD", "ACSBlob"), filepath.Join("Certificates", "AAD", "Public Portal")
	for _, tt := range []struct {
		name   string
		spoil  func(*rehearsal)
		params func([]psrp.Param)
		want   string
	}{
		{"path without Certificates", nil, func(p []psrp.Param) { p[0].Value = unc }, "should end with Certificates"},
		{"no such share", nil, func(p []psrp.Param) { p[0].Value = `\\fs02\certs\Certificates` }, "was not found"},
		{"a share whose name only begins alike", nil, func(p []psrp.Param) { p[0].Value = unc + `2\Certificates` }, "was not found"},
		{"wrong credential", nil, func(p []psrp.Param) {
			p[1].Value = clixml.Credential{User: reader, Password: clixml.NewSecureString("no")}
		}, "user name or password is incorrect"},
		{"wrong PFX password", nil, func(p []psrp.Param) { p[2].Value = clixml.NewSecureString("no") }, "password for the certificate is not correct"},
		{"an empty folder", func(r *rehearsal) { _ = os.Remove(filepath.Join(r.share, blob, "cert.pfx")) }, nil, "argument to parameter 'Path' because it is null"},
		{"two files", func(r *rehearsal) { _ = os.WriteFile(filepath.Join(r.share, blob, "more.pfx"), nil, 0o600) }, nil, "More than one certificate"},
		{"another folder", func(r *rehearsal) { _ = os.Mkdir(filepath.Join(r.share, "Certificates", "AAD", "old"), 0o700) }, nil, "Invalid folder structure"},
		{"wrong name", func(r *rehearsal) { r.put(portal, "portal.west.azurestack.contoso.com", "new", pfxPassword) }, nil, "Public Portal:"},
		{"a level too deep", func(r *rehearsal) {
			_ = os.Rename(filepath.Join(r.share, "Certificates"), filepath.Join(r.share, "C"))
			_ = os.Mkdir(filepath.Join(r.share, "Certificates"), 0o700)
			_ = os.Rename(filepath.Join(r.share, "C"), filepath.Join(r.share, "Certificates", "Certificates"))
		}, nil, "argument to parameter 'Path' because it is null"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRehearsal(t, nil)
			if tt.spoil != nil {
				tt.spoil(r)
			}
			params := r.order()
			if tt.params != nil {
				tt.params(params)
			}
			s := r.dial()
			got := r.run(s, "Start-SecretRotation", params...)
			if got.err == nil || !strings.Contains(got.err.Message, tt.want) {
				t.Errorf("error %+v, want %q", got.err, tt.want)
			}
			r.serves("old")
			if word := r.status(s); word != "Failed" {
				t.Errorf("status %q", word)
			}
			if got := r.run(s, "Start-SecretRotation", r.order()...); got.err == nil || !strings.Contains(got.err.ID, "RerunRequired") {
				t.Errorf("a new start after a failure: %+v", got.err)
			}
		})
	}
}

func TestParameterSets(t *testing.T) {
	for _, tt := range []struct {
		version string
		params  []psrp.Param
		want    string
	}{
		{"1.2301.2.58", nil, "MissingMandatoryParameter"},
		{"1.2301.2.58", []psrp.Param{param("PfxFilesPath", "x")}, "MissingMandatoryParameter"},
		{"1.2301.2.58", []psrp.Param{param("Internal", true), param("PfxFilesPath", "x")}, "AmbiguousParameterSet"},
		{"1.2301.2.58", []psrp.Param{param("ReRun", true), param("PfxFilesPath", "x")}, "AmbiguousParameterSet"},
		{"1.2301.2.58", []psrp.Param{param("ReRun", true)}, "NothingToRerun"},
		{"1.2301.2.58", []psrp.Param{param("Re", true)}, "NothingToRerun"},
		{"1.1807.0.76", []psrp.Param{param("Internal", true)}, "NamedParameterNotFound"},
		{"1.1807.0.76", nil, ""}, // the internal rotation of that time
		{"1.2301.2.58", []psrp.Param{param("Internal", true)}, ""},
	} {
		r := newRehearsal(t, func(c *Config) { c.Version = tt.version })
		got := r.run(r.dial(), "Start-SecretRotation", tt.params...)
		switch {
		case tt.want == "" && got.err != nil, tt.want != "" && (got.err == nil || !strings.HasPrefix(got.err.ID, tt.want)):
			t.Errorf("%s with %v: %+v, want %q", tt.version, tt.params, got.err, tt.want)
		}
		r.serves("old")
	}
}

// TestFailureAndRerun lets the fourth step fail: the steps before it are not repeated.
func TestFailureAndRerun(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Fail = Failure{Step: 4, Message: "the gateway is away"} })
	s := r.dial()
	if got := r.run(s, "Start-SecretRotation", r.order()...); got.err == nil || got.err.Message != "the gateway is away" {
		t.Fatalf("%+v", got.err)
	}
	r.serves("old")
	if got := r.run(s, "Start-SecretRotation", param("ReRun", true)); got.err != nil {
		t.Fatalf("%+v", got.err)
	}
	r.serves("new")
	h := r.history.String()
	for _, want := range []string{"action-started", "action-failed", "action-resumed", "action-completed"} {
		if strings.Count(h, `"event":"`+want+`"`) != 1 {
			t.Errorf("%s is not in the history once\n%s", want, h)
		}
	}
}

// TestTheActionIsNotTheSession leaves while the stamp rotates: it goes on, another one cannot start, and whoever comes
// back sees it.
func TestTheActionIsNotTheSession(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Speed = 2000 }) // about 1.7 s
	s := r.dial()
	run := s.Invoke(r.t.Context(), psrp.Command{Name: "Start-SecretRotation", Params: r.order()}, wsman.Options{AtMostOnce: true})
	for range run.Records() {
		break
	}
	_ = s.Close(t.Context())
	again := r.dial()
	if word := r.status(again); word != "Running" {
		t.Fatalf("status %q", word)
	}
	if got := r.run(again, "Start-SecretRotation", r.order()...); got.err == nil || !strings.Contains(got.err.ID, "ActionPlanRunning") {
		t.Errorf("a second rotation: %+v", got.err)
	}
	for r.status(again) == "Running" {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("it never ended")
		}
	}
	if word := r.status(again); word != "Completed" {
		t.Errorf("status %q", word)
	}
	r.serves("new")
}

// TestCloseShipsEveryTranscript, also of a session that was lost: what it did is what an auditor asks for. What was moved away
// does not come again, and what could not be is kept.
func TestCloseShipsEveryTranscript(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Faults = []Fault{{On: "Command", Nth: []int{2}, Do: faultShellGone}} })
	first := r.dial()
	r.run(first, "Get-AzureStackStampInformation")
	if _, err := first.Invoke(t.Context(), psrp.Command{Name: "Get-AzureStackUpdateStatus"}, wsman.Options{}).Result(); err == nil {
		t.Fatal("the first session is not lost")
	}
	s := r.dial()
	r.run(s, "Get-ActionStatus", param("FunctionName", "x"))
	closed := func(password string) (files []string, all string) {
		t.Helper()
		cred := clixml.Credential{User: reader, Password: clixml.NewSecureString(password)}
		if got := r.run(s, "Close-PrivilegedEndpoint", param("TranscriptsPathDestination", unc), param("Credential", cred)); (got.err != nil) == (password == readerPass) {
			t.Fatalf("%+v", got.err)
		}
		files, _ = filepath.Glob(filepath.Join(r.share, "Transcripts_*.txt"))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all += string(b)
		}
		return files, all
	}
	if files, _ := closed("wrong"); len(files) != 0 {
		t.Errorf("transcripts %v", files)
	}
	files, all := closed(readerPass)
	if len(files) != 2 || !strings.Contains(all, "Get-AzureStackStampInformation") || !strings.Contains(all, "Get-ActionStatus") || strings.Contains(all, readerPass) {
		t.Errorf("%v: %q", files, all)
	}
	files, all = closed(readerPass)
	if len(files) != 3 || strings.Count(all, "Get-ActionStatus") != 1 || strings.Count(all, "Close-PrivilegedEndpoint") != 3 {
		t.Errorf("%v: %q", files, all)
	}
}

// TestOrderedFaults makes every fault happen to a reading command. The client ends with the right answer, or with an
// error where the fault lost records; it never hangs and never invents an answer.
func TestOrderedFaults(t *testing.T) {
	for _, do := range faultWords {
		for _, on := range []string{"Command", "Receive"} {
			t.Run(do+" on "+on, func(t *testing.T) {
				nth := 1
				if on == "Receive" {
					nth = 2 // the first opens the pool
				}
				r := newRehearsal(t, func(c *Config) {
					c.Faults, c.FaultDelay = []Fault{{On: on, Nth: []int{nth}, Do: do}}, 10*time.Millisecond
					if strings.HasPrefix(do, faultFreeze) {
						c.Faults[0].Millis = 50 // a client waits for a minute and a half
					}
				})
				run := r.dial().Invoke(t.Context(), psrp.Command{Name: "Get-AzureStackStampInformation"}, wsman.Options{})
				var got []any
				for record := range run.Records() {
					if o, ok := record.(psrp.Output); ok {
						got = append(got, o.Value)
					}
				}
				result, err := run.Result()
				if err == nil && result.Lost == 0 && len(got) != 1 || len(got) > 1 {
					t.Errorf("%d answers, %d lost, %v", len(got), result.Lost, err)
				}
			})
		}
	}
}

func TestNewIsStrict(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		"identity":              func(c *Config) { c.Identity = "aad" },
		"must begin with SIMUL": func(c *Config) { c.CloudID = "3f2b" },
		"a user is needed":      func(c *Config) { c.Users = []User{} },
		"a name and a password": func(c *Config) { c.Users[0].Password = secret.Value{} },
		"a build such as":       func(c *Config) { c.Version = "latest" },
		"fault on":              func(c *Config) { c.Faults = []Fault{{On: "Sleep", Do: "503"}} },
		"fault does":            func(c *Config) { c.Faults = []Fault{{On: "*", Do: "explode"}} },
		"probability":           func(c *Config) { c.Faults = []Fault{{On: "*", Do: "503", Probability: 2}} },
		"to a login":            func(c *Config) { c.Faults = []Fault{{On: "Login", Do: "host-call"}} },
		"no session yet":        func(c *Config) { c.Faults = []Fault{{On: "Create", Do: "shell-gone"}} },
		"wanted a quota":        func(c *Config) { c.Faults = []Fault{{On: "Create", Do: "503", Code: 2150859240}} },
		"code 5":                func(c *Config) { c.Faults = []Fault{{On: "Create", Do: "quota", Code: 5}} },
		"times -1":              func(c *Config) { c.Faults = []Fault{{On: "*", Do: "503", Times: -1}} },
		"on number 0":           func(c *Config) { c.Faults = []Fault{{On: "*", Do: "503", Nth: []int{0}}} },
		"not a test":            func(c *Config) { c.Health = map[string]string{"AzsStoreSumary": "FAIL"} },
		"not a result":          func(c *Config) { c.Health = map[string]string{"AzsStoreSummary": "GREEN"} },
		"max-shells":            func(c *Config) { c.MaxShells = -1 },
		"fault-delay-ms":        func(c *Config) { c.FaultDelay = -1 },
		"update \"running\"":    func(c *Config) { c.Update = "running" },
		"fail: step 7":          func(c *Config) { c.Fail.Step = 7 }, // a rotation has six
		"nothing fails":         func(c *Config) { c.Fail.Message = "the gateway is away" },
		"slow: step 7":          func(c *Config) { c.Slow = Slowness{Step: 7, Minutes: 1} },
		"slow: step 0":          func(c *Config) { c.Slow.Minutes = 1 },
		"negative":              func(c *Config) { c.Speed = -1 },
		"streams":               func(c *Config) { c.Streams = "Get-Nothing" },
		"output-style":          func(c *Config) { c.Style = "1999" },
		"minutes -1":            func(c *Config) { c.Slow.Minutes = -1 },
		"fail: step -1":         func(c *Config) { c.Fail.Step = -1 },
		"buffer must not":       func(c *Config) { c.Buffer = -1 },
		"max-envelope":          func(c *Config) { c.MaxEnvelope = 100 },
		"information \"Color\"": func(c *Config) { c.Information = map[string]string{"Color": "blue"} },
		"CloudID \"real\"":      func(c *Config) { c.Information = map[string]string{"CloudID": "real"} },
		"last-action: word":     func(c *Config) { c.LastAction = PastAction{Word: "Done", Started: time.Now(), Ended: time.Now()} },
		"last-action: it needs": func(c *Config) { c.LastAction = PastAction{Word: "Failed"} },
	} {
		cfg := east()
		spoil(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	cfg := east()
	cfg.CloudID, cfg.Identity, cfg.Version = "x", "x", "x"
	if _, err := New(cfg); err == nil || strings.Count(err.Error(), "\n") < 2 {
		t.Errorf("not every mistake at once: %v", err)
	}
}

func TestOnlyOnLoopback(t *testing.T) {
	s, err := New(east())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), Listeners{WinRM: []net.Listener{elsewhere{}}}); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("%v", err)
	}
}

type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 5985} }
func (elsewhere) Close() error   { return nil }

func TestReadScenarioIsStrict(t *testing.T) {
	if s, err := ReadScenario([]byte("region: east\nusers: [{name: u, password: 'env:P'}]\nfail: {step: 2}\n")); err != nil || s.Region != "east" || s.Fail.Step != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	for name, text := range map[string]string{
		"empty": "", "unknown key": "regoin: east\n", "two documents": "region: a\n---\nregion: b\n", "no map": "- a\n",
		"doubled key": "region: a\nregion: b\n", "too large": "region: " + strings.Repeat("a", maxScenario),
	} {
		if s, err := ReadScenario([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, s)
		}
	}
}

// TestSharesAreClosed: a folder that is held open cannot be renamed on Windows, and publishing is renaming.
func TestSharesAreClosed(t *testing.T) {
	var mu sync.Mutex
	var opened []folder
	r := newRehearsal(t, func(c *Config) {
		open := c.OpenShare
		c.OpenShare = func(unc, user, password string) (Share, error) {
			s, err := open(unc, user, password)
			if f, ok := s.(folder); ok {
				mu.Lock()
				defer mu.Unlock()
				opened = append(opened, f)
			}
			return s, err
		}
	})
	s := r.dial()
	r.run(s, "Start-SecretRotation", r.order()...)
	cred := clixml.Credential{User: reader, Password: clixml.NewSecureString(readerPass)}
	r.run(s, "Close-PrivilegedEndpoint", param("TranscriptsPathDestination", unc), param("Credential", cred))
	mu.Lock()
	defer mu.Unlock()
	for i, f := range opened {
		if _, err := f.root.Stat("."); !errors.Is(err, os.ErrClosed) {
			t.Errorf("share %d of %d is still open: %v", i+1, len(opened), err)
		}
	}
	if len(opened) < 3 {
		t.Errorf("%d shares were opened", len(opened))
	}
}

// TestSeventeenResetsDuringARotation breaks the connection under seventeen Receives of one rotation. When nothing had
// been taken from the queue, no record is missing; when the answer died with the connection, the gap is reported.
func TestSeventeenResetsDuringARotation(t *testing.T) {
	for _, do := range []string{faultCloseBefore, faultCloseAfter} {
		t.Run(do, func(t *testing.T) {
			var nth []int
			for i := range 17 {
				nth = append(nth, 4+i) // the first three open the pool, exchange keys and begin
			}
			r := newRehearsal(t, func(c *Config) {
				c.Speed = 2000 // about 1.7 s
				c.Faults = []Fault{{On: "Receive", Nth: nth, Do: do}}
			})
			s := r.dial()
			before := s.Dials()
			run := s.Invoke(t.Context(), psrp.Command{Name: "Start-SecretRotation", Params: r.order()}, wsman.Options{AtMostOnce: true})
			heard := map[string]int{}
			for record := range run.Records() {
				if v, ok := record.(psrp.Verbose); ok {
					heard[v.Text]++
				}
			}
			result, err := run.Result()
			if dials := s.Dials() - before; dials < 17 {
				t.Errorf("%d connections, want one for each reset", dials)
			}
			for text, n := range heard {
				if n != 1 {
					t.Errorf("%q came %d times", text, n)
				}
			}
			complete := err == nil && result.Lost == 0
			want := 2 * len(externalSteps()) // begun and ended
			switch {
			case do == faultCloseBefore && (!complete || len(heard) != want):
				t.Errorf("%d of %d lines, %d lost, %v", len(heard), want, result.Lost, err)
			case do == faultCloseAfter && complete && len(heard) != want:
				t.Errorf("%d of %d lines and no gap was reported", len(heard), want)
			case do == faultCloseAfter && err != nil && !errors.Is(err, psrp.ErrOutcomeUnknown):
				t.Error(err)
			}
			if n := strings.Count(r.history.String(), `"event":"action-started"`); n != 1 {
				t.Errorf("%d rotations were started", n)
			}
		})
	}
}

// TestLostAnswerToTheStart: the stamp has taken the command and its answer is lost. Nothing is sent again, the outcome is
// unknown, and a new session sees what became of it.
func TestLostAnswerToTheStart(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Faults = []Fault{{On: "Command", Nth: []int{1}, Do: faultCloseAfter}} })
	s := r.dial()
	run := s.Invoke(t.Context(), psrp.Command{Name: "Start-SecretRotation", Params: r.order()}, wsman.Options{AtMostOnce: true})
	_, err := run.Result()
	var unknown *psrp.OutcomeUnknownError
	if !errors.As(err, &unknown) || !unknown.Sent || unknown.Hint() == "" {
		t.Errorf("got %v, want an unknown outcome", err)
	}
	_ = s.Close(t.Context())
	again := r.dial()
	for r.status(again) == "" || r.status(again) == "Running" {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("it never ended")
		}
	}
	r.serves("new")
	h := r.history.String()
	if n := strings.Count(h, `"cmdlet":"Start-SecretRotation"`); n != 1 || strings.Count(h, `"event":"action-started"`) != 1 {
		t.Errorf("the stamp was asked %d times\n%s", n, h)
	}
}
