package pepsim

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman"
)

// TestAShellThatIsWaitedForIsInUse: a cmdlet that says nothing for longer than the idle time is no reason to end the shell
// of a client that waits for it.
func TestAShellThatIsWaitedForIsInUse(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Idle, c.Speed = time.Second, 8 }) // it thinks for 20 s
	if got := r.run(r.dial(), "Get-AzureStackStampInformation"); len(got.values) != 1 {
		t.Errorf("%+v", got)
	}
	if h := r.history.String(); strings.Contains(h, "shell-expired") {
		t.Errorf("history\n%s", h)
	}
}

// TestADisconnectEndsWhatWaits: a Receive that waits does not take what is kept for the client that comes back.
func TestADisconnectEndsWhatWaits(t *testing.T) {
	sh := &shell{id: "S", connected: true, pool: newQueue(), ctx: t.Context(), timer: time.NewTimer(time.Hour)}
	s := &Server{cfg: Config{MaxEnvelope: maxRequest}}
	ask := func(body string) *request {
		r, err := parseRequest([]byte(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:rsp="` + nsShell + `"><s:Body>` + body + `</s:Body></s:Envelope>`))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	heard := make(chan *soapFault)
	go func() {
		_, f := s.receive(t.Context(), sh, ask("<rsp:Receive><rsp:DesiredStream>stdout</rsp:DesiredStream></rsp:Receive>"), "")
		heard <- f
	}()
	if f := sh.disconnect(ask("<rsp:Disconnect/>")); f != nil {
		t.Fatal(f)
	}
	select {
	case f := <-heard:
		if f == nil || f.code != faultAborted.code {
			t.Errorf("%v, want %v", f, faultAborted)
		}
	case <-time.After(20 * time.Second):
		t.Error("the Receive waits on")
	}
}

type tape struct{ bytes.Buffer }

func (*tape) Close() error { return nil }

// TestAnswersFitTheEnvelope: a message that is larger than the service's envelopes comes in several.
func TestAnswersFitTheEnvelope(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.MaxEnvelope = 12_000 })
	cfg, kept := r.client(), &tape{}
	cfg.Record = kept
	s, err := wsman.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	run := s.Invoke(t.Context(), psrp.Command{Name: "Get-ActionStatus", Params: []psrp.Param{param("FunctionName", strings.Repeat("x", 5000))}}, wsman.Options{})
	if result, err := run.Result(); err != nil || len(result.Errors) != 1 || !strings.Contains(result.Errors[0].Message, strings.Repeat("x", 5000)) {
		t.Errorf("%d errors, %v", len(result.Errors), err)
	}
	_ = s.Close(t.Context())
	most := 0
	for line := range bytes.Lines(kept.Bytes()) {
		var f struct{ In string }
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(f.In))
	}
	if most > 12_000 || most < 8_000 {
		t.Errorf("the largest answer has %d bytes, at most 12000", most)
	}
}
