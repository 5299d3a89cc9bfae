package pepsim

import (
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// hand is a client whose operations a test makes one by one, without connection and seal.
type hand struct {
	t     *testing.T
	s     *Server
	c     *conn
	core  *psrp.Core
	shell string

	created string // the answer to Create
}

// nowhere is a connection that has addresses only.
type nowhere struct{ net.Conn }

func (nowhere) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5985} }
func (nowhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv6loopback, Port: 50123} }

// newHand opens a pool of a stamp that runs in this bubble.
func newHand(t *testing.T, cfg Config) *hand {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.life = t.Context()
	h := &hand{t: t, s: s, c: &conn{net: nowhere{}, login: &authenticated{user: admin}}, shell: "0B0A54D4-0000-4000-8000-00000000000A"}
	pool, err := clixml.ParseGUID(h.shell)
	if err != nil {
		t.Fatal(err)
	}
	if h.core, err = psrp.NewCore(psrp.Config{Pool: pool}); err != nil {
		t.Fatal(err)
	}
	if err := h.core.Open(); err != nil {
		t.Fatal(err)
	}
	op, _ := h.core.Outgoing()
	h.created = h.operate(actTrans+"Create", "", fmt.Sprintf(`<rsp:Shell ShellId="%s"><creationXml xmlns="http://schemas.microsoft.com/powershell">%s</creationXml></rsp:Shell>`,
		h.shell, base64.StdEncoding.EncodeToString(op.Data)))
	if !strings.Contains(h.created, "CreateResponse") {
		t.Fatal(h.created)
	}
	t.Cleanup(func() {
		for _, sh := range s.shells {
			s.remove(sh)
		}
		s.running.Wait()
	})
	h.receive(psrp.GUID{})
	return h
}

// operate makes one operation, spoilt by a fault if one is named, and returns the answer.
func (h *hand) operate(action, fault, body string) string {
	h.t.Helper()
	_, out := h.s.operate(h.t.Context(), h.c, []byte(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" `+
		`xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="`+nsShell+`"><s:Header><a:Action>`+action+`</a:Action><a:MessageID>uuid:1</a:MessageID>`+
		`<w:ResourceURI>`+configBase+`PrivilegedEndpoint</w:ResourceURI><w:Locale xml:lang="de-DE"/><p:DataLocale xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd" xml:lang="fr-FR"/><w:OperationTimeout>PT60S</w:OperationTimeout><w:SelectorSet><w:Selector Name="ShellId">`+h.shell+`</w:Selector></w:SelectorSet>`+
		`<w:OptionSet><w:Option Name="protocolversion">2.3</w:Option></w:OptionSet></s:Header><s:Body>`+body+`</s:Body></s:Envelope>`), Fault{Do: fault})
	return string(out)
}

// receive fetches what a stream has.
func (h *hand) receive(stream psrp.GUID) string {
	h.t.Helper()
	attribute := ""
	if !stream.IsZero() {
		attribute = fmt.Sprintf(` CommandId="%s"`, stream)
	}
	out := h.operate(actShell+"Receive", "", `<rsp:Receive><rsp:DesiredStream`+attribute+`>stdout</rsp:DesiredStream></rsp:Receive>`)
	for _, part := range strings.Split(out, `<rsp:Stream Name="stdout"`)[1:] {
		_, text, _ := strings.Cut(part, ">")
		text, _, _ = strings.Cut(text, "<")
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			h.t.Fatal(err)
		}
		if err := h.core.Receive(stream, b); err != nil {
			h.t.Fatal(err)
		}
	}
	return out
}

// command starts a cmdlet.
func (h *hand) command(id psrp.GUID, fault string, cmd psrp.Command) {
	h.t.Helper()
	if err := h.core.Invoke(id, cmd); err != nil {
		h.t.Fatal(err)
	}
	op, _ := h.core.Outgoing()
	out := h.operate(actShell+"Command", fault, fmt.Sprintf(`<rsp:CommandLine CommandId="%s"><rsp:Command/><rsp:Arguments>%s</rsp:Arguments></rsp:CommandLine>`, id, base64.StdEncoding.EncodeToString(op.Data)))
	if !strings.Contains(out, "CommandResponse") {
		h.t.Fatal(out)
	}
}

// ended returns how the pipeline ended, or nil.
func (h *hand) ended() *psrp.Ended {
	for {
		e, ok := h.core.Next()
		if !ok {
			return nil
		}
		if end, ok := e.(psrp.Ended); ok {
			return &end
		}
	}
}

var oneCommand = clixml.GUID{0x11, 15: 0x42}

// TestAHostCallWaitsForItsAnswer: the cmdlet of a client that does not answer never ends, and goes on with the answer that
// has the call's id. Our client answers that nobody is there.
func TestAHostCallWaitsForItsAnswer(t *testing.T) {
	for name, row := range map[string]struct {
		answer bool
		ci     string // instead of 1
		signal bool
		want   psrp.PipelineState // 0: no end
	}{
		"no answer":             {},
		"an answer to another":  {answer: true, ci: "2"},
		"the answer":            {answer: true, want: psrp.PipelineCompleted},
		"stopped while waiting": {signal: true, want: psrp.PipelineStopped},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &lines{}
				cfg := east()
				cfg.History = log
				h := newHand(t, cfg)
				h.command(oneCommand, faultHostCall, psrp.Command{Name: "Get-CloudAdminUserList"})
				if out := h.receive(oneCommand); strings.Contains(out, stateDone) {
					t.Fatalf("it ended before an answer: %s", out)
				}
				op, ok := h.core.Outgoing()
				if !ok || op.Stream != "pr" {
					t.Fatalf("the client wants to send %+v", op)
				}
				if row.answer {
					data := op.Data
					if row.ci != "" {
						data = []byte(strings.Replace(string(data), `N="ci">1<`, `N="ci">`+row.ci+`<`, 1))
					}
					h.operate(actShell+"Send", "", fmt.Sprintf(`<rsp:Send><rsp:Stream Name="pr" CommandId="%s">%s</rsp:Stream></rsp:Send>`, oneCommand, base64.StdEncoding.EncodeToString(data)))
				}
				if row.signal {
					h.operate(actShell+"Signal", "", fmt.Sprintf(`<rsp:Signal CommandId="%s"><rsp:Code>powershell/signal/crtl_c</rsp:Code></rsp:Signal>`, oneCommand))
				}
				out := ""
				for range 10 { // each waits for a minute if there is nothing
					if out = h.receive(oneCommand); strings.Contains(out, stateDone) {
						break
					}
				}
				end := h.ended()
				switch {
				case row.want == 0 && (end != nil || !strings.Contains(out, `Code="2150858793"`)):
					t.Errorf("it ended: %+v\n%s", end, out)
				case row.want != 0 && (end == nil || end.Result.State != row.want):
					t.Errorf("got %+v, want %v\n%s", end, row.want, out)
				}
				if got := strings.Count(log.String(), `"event":"host-answered"`); (got == 1) != (row.want == psrp.PipelineCompleted) {
					t.Errorf("%d answers in\n%s", got, log)
				}
			})
		})
	}
}

// TestOurClientAnswersAHostCall over the wire, with an error, and the cmdlet goes on.
func TestOurClientAnswersAHostCall(t *testing.T) {
	r := newRehearsal(t, func(c *Config) { c.Faults = []Fault{{On: "Command", Nth: []int{1}, Do: faultHostCall}} })
	if got := r.run(r.dial(), "Get-AzureStackStampInformation"); len(got.values) != 1 || got.err != nil {
		t.Errorf("%+v", got)
	}
	if h := r.history.String(); strings.Count(h, `"event":"host-answered"`) != 1 || !strings.Contains(h, `"answer":"error"`) {
		t.Errorf("no answer in\n%s", h)
	}
}
