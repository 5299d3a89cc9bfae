package pepsim

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// controlled is a rehearsal with a control endpoint.
type controlled struct {
	*rehearsal
	at, token string
}

func newControlled(t *testing.T, change func(*Config)) *controlled {
	t.Helper()
	c := &controlled{}
	c.rehearsal = newRehearsal(t, change)
	c.at, c.token = c.control, c.server.Token()
	return c
}

// ask makes one request; change may spoil it.
func (c *controlled) ask(method, path, body string, change func(*http.Request)) (int, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.at+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if change != nil {
		change(r)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

func (c *controlled) state() state {
	c.t.Helper()
	var s state
	code, body := c.ask(http.MethodGet, "/state", "", nil)
	if err := json.Unmarshal([]byte(body), &s); err != nil || code != http.StatusOK {
		c.t.Fatalf("%d %s: %v", code, body, err)
	}
	return s
}

func TestControlShowsTheStamp(t *testing.T) {
	c := newControlled(t, nil)
	before := c.state()
	if before.Mark != Mark || !strings.HasPrefix(before.CloudID, Mark) || len(before.Served) != len(folders) || before.Action != nil || len(before.Shells) != 0 {
		t.Errorf("%+v", before)
	}
	s := c.dial()
	if got := c.run(s, "Start-SecretRotation", c.order()...); got.err != nil {
		t.Fatalf("%+v", got.err)
	}
	after := c.state()
	if after.Action == nil || after.Action.Status != wordCompleted || len(after.Action.Steps) != len(externalSteps()) || after.Rotating || len(after.Shells) != 1 || after.Shells[0].Owner != admin {
		t.Errorf("%+v", after)
	}
	for i, leaf := range after.Served {
		if leaf.SHA256 == before.Served[i].SHA256 || len(leaf.SHA256) != 64 {
			t.Errorf("%s still serves %q", leaf.Folder, leaf.SHA256)
		}
	}
	code, lines := c.ask(http.MethodGet, "/history", "", nil)
	if code != http.StatusOK || lines != c.history.String() || !strings.Contains(lines, `"event":"action-completed"`) {
		t.Errorf("%d %s", code, lines)
	}
	if strings.Contains(lines, readerPass) || strings.Contains(lines, c.token) {
		t.Error("the history holds a secret")
	}
}

func TestControlTakesOrders(t *testing.T) {
	c := newControlled(t, nil)
	for path, body := range map[string]string{
		"/faults": `{"replace": true, "faults": [{"on": "Signal", "do": "close-before", "times": 2}]}`,
		"/health": `{"azsstoresummary": "fail"}`,
		"/fail":   `{"step": 2, "message": "ordered by the test"}`,
	} {
		if code, answer := c.ask(http.MethodPost, path, body, nil); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, answer)
		}
	}
	if got := c.state(); len(got.Faults) != 1 || got.Faults[0].Times != 2 || got.Health["azsstoresummary"] != "FAIL" || got.Fail.Step != 2 {
		t.Errorf("%+v", got)
	}
	s := c.dial()
	if got := c.run(s, "Test-AzureStack", param("Group", "SecretRotationReadiness")); len(got.output) == 0 || got.output[len(got.output)-1] != "false" {
		t.Errorf("health %+v", got)
	}
	if got := c.run(s, "Start-SecretRotation", c.order()...); got.err == nil || got.err.Message != "ordered by the test" {
		t.Errorf("%+v", got.err)
	}
	if code, _ := c.ask(http.MethodPost, "/faults", `{"replace": true}`, nil); code != http.StatusOK || len(c.state().Faults) != 0 {
		t.Error("the orders were not taken back")
	}
	if n := strings.Count(c.history.String(), `"event":"ordered"`); n != 4 {
		t.Errorf("%d orders are in the history", n)
	}
}

// TestControlIsClosedToPages: a browser on this machine reaches the port, under another name, without the token, or with a
// form. None of it changes or shows anything.
func TestControlIsClosedToPages(t *testing.T) {
	c := newControlled(t, nil)
	for name, tt := range map[string]struct {
		method, path, body string
		change             func(*http.Request)
		want               int
	}{
		"rebound name":    {"GET", "/state", "", func(r *http.Request) { r.Host = "evil.example:" + r.URL.Port() }, 421},
		"localhost":       {"GET", "/state", "", func(r *http.Request) { r.Host = "localhost:" + r.URL.Port() }, 421},
		"no port":         {"GET", "/state", "", func(r *http.Request) { r.Host = "127.0.0.1" }, 421},
		"no token":        {"GET", "/history", "", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"another token":   {"POST", "/faults", "{}", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+strings.Repeat("A", 26)) }, 401},
		"basic":           {"GET", "/state", "", func(r *http.Request) { r.SetBasicAuth("x", c.token) }, 401},
		"unknown path":    {"GET", "/", "", nil, 404},
		"wrong method":    {"POST", "/state", "", nil, 405},
		"a form":          {"POST", "/faults", "on=Create&do=503", nil, 400},
		"unknown key":     {"POST", "/faults", `{"fault": []}`, nil, 400},
		"unknown fault":   {"POST", "/faults", `{"faults": [{"on": "Create", "do": "explode"}]}`, nil, 400},
		"two documents":   {"POST", "/fail", `{"step": 1}{"step": 2}`, nil, 400},
		"half a document": {"POST", "/fail", `{"step": 1}]}`, nil, 400},
		"a step too many": {"POST", "/fail", `{"step": 7}`, nil, 400},
		"negative step":   {"POST", "/fail", `{"step": -1}`, nil, 400},
		"unknown health":  {"POST", "/health", `{"AzsNothing": "FAIL"}`, nil, 400},
		"a large body":    {"POST", "/faults", `{"faults": [` + strings.Repeat(" ", maxOrder) + `]}`, nil, 413},
		"too many orders": {"POST", "/faults", `{"faults": [` + strings.Repeat(`{"on":"*","do":"503"},`, maxOrders) + `{"on":"*","do":"503"}]}`, nil, 400},
	} {
		code, answer := c.ask(tt.method, tt.path, tt.body, tt.change)
		if code != tt.want {
			t.Errorf("%s: %d %s, want %d", name, code, answer, tt.want)
		}
		if strings.Contains(answer, c.token) {
			t.Errorf("%s: the answer shows the token", name)
		}
	}
	if got := c.state(); len(got.Faults) != 0 || got.Fail.Step != 0 || len(got.Health) != 0 {
		t.Errorf("%+v", got)
	}
	a, b := newToken(t), newToken(t)
	if a == b || len(a) < 20 {
		t.Errorf("tokens %q and %q", a, b)
	}
}

func newToken(t *testing.T) string {
	t.Helper()
	s, err := New(east())
	if err != nil {
		t.Fatal(err)
	}
	return s.Token()
}

func TestControlOnlyOnLoopback(t *testing.T) {
	s, err := New(east())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Serve(ctx, Listeners{Control: elsewhere{}}); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("%v", err)
	}
}

var _ net.Listener = elsewhere{}
