package pepsim

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// TestSealedBodiesAreChecked changes what a sealed body is protected by, one thing at a time. Each is refused for its own
// reason, and the body that follows in order is still read.
func TestSealedBodiesAreChecked(t *testing.T) {
	key := bytes.Repeat([]byte{0x55}, 16)
	pair := func() (client, server *sealing) {
		server, err := newSealing(key)
		if err != nil {
			t.Fatal(err)
		}
		mirror, err := newSealing(key)
		if err != nil {
			t.Fatal(err)
		}
		return &sealing{in: mirror.out, out: mirror.in}, server
	}
	for want, spoil := range map[string]func(sealed, signature []byte){
		"":                            func([]byte, []byte) {},
		"version 2":                   func(_, s []byte) { s[0] = 2 },
		"checksum":                    func(_, s []byte) { s[5] ^= 1 },
		"sequence number 7, wanted 1": func(_, s []byte) { binary.LittleEndian.PutUint32(s[12:], 7) },
		"the checksum does not fit":   func(b, _ []byte) { b[0] ^= 1 },
	} {
		client, server := pair()
		sealed, signature := client.seal([]byte("<first/>"))
		if _, err := server.unseal(sealed, signature); err != nil {
			t.Fatal(err)
		}
		sealed, signature = client.seal([]byte("<second/>"))
		spoil(sealed, signature)
		got, err := server.unseal(sealed, signature)
		if want == "" && string(got) != "<second/>" || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	client, server := pair()
	sealed, signature := client.seal([]byte("<once/>"))
	_, _ = server.unseal(sealed, signature)
	if got, err := server.unseal(sealed, signature); err == nil {
		t.Errorf("a repeated body was read: %q", got)
	}
}

// TestSealedBodiesThatLie: the header of a sealed body is not sealed, so its length may be anything.
func TestSealedBodiesThatLie(t *testing.T) {
	s, err := newSealing(bytes.Repeat([]byte{0x55}, 16))
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []string{"9", "9223372036854775807", "9223372036854775800", "-1", "99999999999999999999", ""} {
		b := bytes.Replace(sealedBody(8, make([]byte, 8), make([]byte, 16)), []byte("Length=8"), []byte("Length="+length), 1)
		if length == "9" {
			b = b[:len(b)-len(boundaryLine)-4]
		}
		if _, err := openBody(s, b); err == nil {
			t.Errorf("length %q was taken", length)
		}
	}
}

// TestRefusalsSayWhy: the client hears a fault, log and history the reason.
func TestRefusalsSayWhy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		do     func(*rehearsal)
		want   string
	}{
		{"a wrong password", nil, func(r *rehearsal) {
			c := r.client()
			c.Password = secret.New("no")
			_, _ = wsman.Dial(t.Context(), c)
		}, "the password of \\\"AZURESTACK\\\\\\\\cloudadmin\\\" is another"},
		{"an unknown user", nil, func(r *rehearsal) {
			c := r.client()
			c.User = `AZURESTACK\nobody`
			_, _ = wsman.Dial(t.Context(), c)
		}, "there is no user \\\"nobody\\\""},
		{"a user without access", nil, func(r *rehearsal) {
			c := r.client()
			c.User, c.Password = `AZURESTACK\guest`, secret.New("guest")
			_, _ = wsman.Dial(t.Context(), c)
		}, "may log in and not open the endpoint"},
		{"another configuration", nil, func(r *rehearsal) {
			c := r.client()
			c.Configuration = "Microsoft.PowerShell"
			_, _ = wsman.Dial(t.Context(), c)
		}, "the only configuration here is"},
		{"a shell too many", func(c *Config) { c.MaxShells = 1 }, func(r *rehearsal) {
			r.dial()
			_, _ = wsman.Dial(t.Context(), r.client())
		}, "1 shells are open"},
		{"a large envelope", func(c *Config) { c.MaxEnvelope = 32 << 10 }, func(r *rehearsal) {
			run := r.dial().Invoke(t.Context(), psrp.Command{Name: "Get-Help", Params: []psrp.Param{param("Name", strings.Repeat("x", 40_000))}}, wsman.Options{})
			_, _ = run.Result()
		}, "at most 32768"},
		{"a command that is not shown", nil, func(r *rehearsal) {
			_, _ = r.dial().Invoke(t.Context(), psrp.Command{Name: "Get-ChildItem"}, wsman.Options{}).Result()
		}, "the endpoint shows no such command"},
		{"a parameter that is not there", nil, func(r *rehearsal) {
			r.run(r.dial(), "Get-ActionStatus", param("Nonsense", "x"))
		}, "matches parameter name 'Nonsense'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRehearsal(t, tt.change)
			tt.do(r)
			if h := r.history.String(); !strings.Contains(h, tt.want) {
				t.Errorf("no %s in\n%s", tt.want, h)
			}
		})
	}
}

// TestAShellBelongsToItsOwner puts requests of another user, and requests for what is gone, to the service directly.
func TestAShellBelongsToItsOwner(t *testing.T) {
	log := &lines{}
	cfg := east()
	cfg.Logger, cfg.History = slog.New(slog.NewTextHandler(log, nil)), &lines{}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	const id = "0B0A54D4-0000-4000-8000-000000000001"
	s.shells[id] = &shell{id: id, owner: admin, connected: true}
	s.gone["0B0A54D4-0000-4000-8000-000000000002"] = true
	ask := func(user, shell, action, body string) string {
		t.Helper()
		soap := `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="` + nsShell + `"><s:Header>` +
			`<a:Action>` + action + `</a:Action><a:MessageID>uuid:1</a:MessageID><w:SelectorSet><w:Selector Name="ShellId">` + shell + `</w:Selector></w:SelectorSet></s:Header><s:Body>` + body + `</s:Body></s:Envelope>`
		code, out := s.operate(t.Context(), &conn{login: &authenticated{user: user}}, []byte(soap), Fault{})
		if code != 500 {
			t.Errorf("%s by %s: HTTP %d", action, user, code)
		}
		return string(out)
	}
	for _, tt := range []struct{ user, shell, action, fault, why string }{
		{`AZURESTACK\guest`, id, actShell + "Receive", "2150858843", "belongs to"},
		{`AZURESTACK\guest`, id, actTrans + "Delete", "2150858843", "belongs to"},
		{admin, "0B0A54D4-0000-4000-8000-000000000002", actShell + "Receive", "2150858843", "has ended"},
		{admin, "0B0A54D4-0000-4000-8000-000000000003", actShell + "Receive", "2150858843", "there was never a shell"},
	} {
		if out := ask(tt.user, tt.shell, tt.action, "<rsp:Receive/>"); !strings.Contains(out, `Code="`+tt.fault+`"`) || strings.Contains(out, tt.why) {
			t.Errorf("%+v: %s", tt, out)
		}
		if !strings.Contains(log.String(), tt.why) {
			t.Errorf("%q is not in the log\n%s", tt.why, log)
		}
	}
	if s.shells[id] == nil {
		t.Error("a stranger has deleted the shell")
	}
	if out, why := ask(admin, id, "", "<rsp:Receive/>"), "neither may be missing"; !strings.Contains(out, "2150858767") || !strings.Contains(log.String(), why) {
		t.Errorf("%s\n%s", out, log)
	}
	code, _ := s.operate(t.Context(), &conn{login: &authenticated{user: admin}}, []byte("<s:Envelope"), Fault{})
	if code != 500 || !strings.Contains(log.String(), "cannot be parsed") {
		t.Errorf("%d\n%s", code, log)
	}
}

// TestAChangedHandshakeSaysWhy: the MIC covers all three messages of a login.
func TestAChangedHandshakeSaysWhy(t *testing.T) {
	m := fromBase64(t, recordedT3)
	m[72] ^= 1
	if _, err := recorded(t).accept(m, []ntlmUser{{admin, password}}, nil); err == nil || !strings.Contains(err.Error(), "the MIC does not fit") {
		t.Errorf("%v", err)
	}
}

// TestRefusalsOfHTTPSayWhy: somebody else's client fails here first, for instance because its HTTP library takes another
// connection for the third message of a login.
func TestRefusalsOfHTTPSayWhy(t *testing.T) {
	s, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const secretText = "c2VjcmV0OnNlY3JldA=="
	for _, tt := range []struct {
		method, path, authorization, contentType string
		status                                   int
		why                                      string
	}{
		{"POST", "/wsman", "Negotiate " + recordedT3, "", 401, "has not seen the first"},
		{"POST", "/wsman", "Negotiate " + secretText, "", 401, "no first or third message"},
		{"POST", "/wsman", "Negotiate !", "", 401, `scheme \"Negotiate\", wanted Negotiate and base64`},
		{"POST", "/wsman", "Basic " + secretText, "", 401, `scheme \"Basic\"`},
		{"POST", "/wsman", secretText, "", 401, `scheme \"\"`},
		{"POST", "/wsman", "", sealedType, 401, "has not logged in"},
		{"POST", "/WSMAN2", "", "", 404, `the path \"/WSMAN2\"`},
		{"GET", "/wsman", "", "", 405, `the method \"GET\"`},
		{"POST", "/wsman", "", "", 401, ""}, // an empty request asks how to log in
	} {
		before := len(s.History())
		q, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+s.WinRM+tt.path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", tt.contentType)
		if tt.authorization != "" {
			q.Header.Set("Authorization", tt.authorization)
		}
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		said := string(s.History()[before:])
		if res.StatusCode != tt.status || !strings.Contains(said, tt.why) || (said == "") != (tt.why == "") {
			t.Errorf("%+v: HTTP %d, history %q", tt, res.StatusCode, said)
		}
		if strings.Contains(said, secretText) {
			t.Errorf("%+v: the history holds what may be a password", tt)
		}
	}
}
