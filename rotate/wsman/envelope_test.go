package wsman

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/heap"
	"github.com/google/go-cmp/cmp"
)

func testClient() client {
	return client{
		to: "http://10.0.0.1:5985/wsman", resource: nsPowerShell + "/PrivilegedEndpoint", session: "uuid:SSSS",
		locale: "en-US", operation: "PT60S",
	}
}

const head = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
	`xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd" ` +
	`xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><s:Header><a:To>http://10.0.0.1:5985/wsman</a:To>` +
	`<a:ReplyTo><a:Address s:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>` +
	`<a:Action s:mustUnderstand="true">ACTION</a:Action><a:MessageID>uuid:MMMM</a:MessageID>` +
	`<w:ResourceURI s:mustUnderstand="true">http://schemas.microsoft.com/powershell/PrivilegedEndpoint</w:ResourceURI>` +
	`<w:MaxEnvelopeSize s:mustUnderstand="true">153600</w:MaxEnvelopeSize><w:OperationTimeout>PT60S</w:OperationTimeout>` +
	`<w:Locale s:mustUnderstand="false" xml:lang="en-US"/><p:DataLocale s:mustUnderstand="false" xml:lang="en-US"/>` +
	`<p:SessionId s:mustUnderstand="false">uuid:SSSS</p:SessionId>`

// Each envelope against one written by hand from MS-WSMV.
func TestEnvelopes(t *testing.T) {
	const (
		selector = `<w:SelectorSet><w:Selector Name="ShellId">SH</w:Selector></w:SelectorSet>`
		transfer = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
		shell    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/"
	)
	options := func(o string) string {
		return `<w:OptionSet s:mustUnderstand="true">` + o + `</w:OptionSet>`
	}
	idle := testClient()
	idle.idle = "PT7200S"
	rows := []struct {
		r                      request
		action, headers, inner string
	}{
		{
			idle.create("SH", []byte("abc")), transfer + "Create",
			options(`<w:Option Name="protocolversion" MustComply="true">2.3</w:Option>`),
			`<rsp:Shell ShellId="SH"><rsp:IdleTimeOut>PT7200S</rsp:IdleTimeOut><rsp:InputStreams>stdin pr</rsp:InputStreams>` +
				`<rsp:OutputStreams>stdout</rsp:OutputStreams><creationXml xmlns="http://schemas.microsoft.com/powershell">YWJj</creationXml></rsp:Shell>`,
		},
		{
			commandRequest("SH", "CM", []byte("abc")), shell + "Command",
			selector + options(`<w:Option Name="WINRS_SKIP_CMD_SHELL">False</w:Option>`),
			`<rsp:CommandLine CommandId="CM"><rsp:Command></rsp:Command><rsp:Arguments>YWJj</rsp:Arguments></rsp:CommandLine>`,
		},
		{sendRequest("SH", "", "stdin", []byte("abc")), shell + "Send", selector, `<rsp:Send><rsp:Stream Name="stdin">YWJj</rsp:Stream></rsp:Send>`},
		{sendRequest("SH", "CM", "pr", []byte("abc")), shell + "Send", selector, `<rsp:Send><rsp:Stream Name="pr" CommandId="CM">YWJj</rsp:Stream></rsp:Send>`},
		{
			receiveRequest("SH", ""), shell + "Receive",
			selector + options(`<w:Option Name="WSMAN_CMDSHELL_OPTION_KEEPALIVE">True</w:Option>`),
			`<rsp:Receive><rsp:DesiredStream>stdout</rsp:DesiredStream></rsp:Receive>`,
		},
		{
			receiveRequest("SH", "CM"), shell + "Receive",
			selector + options(`<w:Option Name="WSMAN_CMDSHELL_OPTION_KEEPALIVE">True</w:Option>`),
			`<rsp:Receive><rsp:DesiredStream CommandId="CM">stdout</rsp:DesiredStream></rsp:Receive>`,
		},
		{deleteRequest("SH"), transfer + "Delete", selector, ``},
		{disconnectRequest("SH"), shell + "Disconnect", selector, `<rsp:Disconnect><rsp:BufferMode>Drop</rsp:BufferMode></rsp:Disconnect>`},
		{reconnectRequest("SH", ""), shell + "Reconnect", selector, ``},
		{reconnectRequest("SH", "CM"), shell + "Reconnect", selector, `<rsp:Reconnect CommandId="CM"/>`},
	}
	for _, r := range rows {
		t.Run(r.r.name, func(t *testing.T) {
			got := string(testClient().envelope(r.r, "uuid:MMMM"))
			want := strings.Replace(head, "ACTION", r.action, 1) + r.headers + `</s:Header><s:Body>` + r.inner + `</s:Body></s:Envelope>`
			if diff := cmp.Diff(strings.ReplaceAll(want, "><", ">\n<"), strings.ReplaceAll(got, "><", ">\n<")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnvelopesEscape(t *testing.T) {
	const evil = `"><s:Body>&'` + "\x00"
	c := testClient()
	c.to, c.locale, c.session = evil, evil, evil
	b := c.envelope(sendRequest(evil, evil, evil, nil), evil)
	var depth int
	d := xml.NewDecoder(strings.NewReader(string(b)))
	for {
		tok, err := d.Token()
		if err != nil {
			break
		}
		if s, ok := tok.(xml.StartElement); ok && s.Name.Local == "Body" {
			depth++
		}
	}
	if depth != 1 {
		t.Errorf("%d bodies in %s", depth, b)
	}
}

func answerXML(action, relates, body string) string {
	return `<s:Envelope xmlns:s="` + nsSOAP + `" xmlns:a="` + nsAddressing + `" xmlns:w="` + nsWSMan + `" xmlns:rsp="` + nsShell +
		`" xmlns:x="` + nsTransfer + `"><s:Header><a:Action>` + action + `</a:Action><a:RelatesTo>` + relates + `</a:RelatesTo></s:Header><s:Body>` +
		body + `</s:Body></s:Envelope>`
}

func faultXML(relates string, code string, text string) string {
	return answerXML("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", relates,
		`<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code>`+
			`<s:Reason><s:Text xml:lang="en-US">reason</s:Text></s:Reason><s:Detail><f:WSManFault xmlns:f="`+nsFault+`" Code="`+code+`" Machine="m">`+
			`<f:Message>`+text+`</f:Message></f:WSManFault></s:Detail></s:Fault>`)
}

func TestReplies(t *testing.T) {
	body, err := parseReply([]byte("\xef\xbb\xbf"+answerXML("urn:xResponse", "UUID:aa", `<rsp:Shell><rsp:ShellId>ID</rsp:ShellId></rsp:Shell>`)), "urn:x", "uuid:AA")
	if err != nil || shellID(body) != "ID" {
		t.Errorf("got %v, %v", shellID(body), err)
	}
	body, err = parseReply([]byte(answerXML("urn:xResponse", "uuid:AA", `<x:ResourceCreated><a:ReferenceParameters><w:SelectorSet><w:Selector Name="ShellId">ID2</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>`)), "urn:x", "uuid:AA")
	if err != nil || shellID(body) != "ID2" {
		t.Errorf("got %v, %v", shellID(body), err)
	}
	for name, text := range map[string]string{
		"another request":  answerXML("urn:xResponse", "uuid:BB", ""),
		"no relation":      answerXML("urn:xResponse", "", ""),
		"another action":   answerXML("urn:yResponse", "uuid:AA", ""),
		"fault of another": faultXML("uuid:BB", "5", ""),
		"no envelope":      `<html/>`,
		"SOAP 1.1":         `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body/></s:Envelope>`,
		"no body":          `<s:Envelope xmlns:s="` + nsSOAP + `"/>`,
		"document type":    `<!DOCTYPE a><s:Envelope xmlns:s="` + nsSOAP + `"/>`,
		"cut":              answerXML("urn:xResponse", "uuid:AA", "")[:300],
		"two roots":        answerXML("urn:xResponse", "uuid:AA", "") + "<a/>",
		"text after":       answerXML("urn:xResponse", "uuid:AA", "") + "x",
		"deep":             answerXML("urn:xResponse", "uuid:AA", strings.Repeat("<a>", 100)+strings.Repeat("</a>", 100)),
		"wide":             answerXML("urn:xResponse", "uuid:AA", strings.Repeat("<a/>", maxElements)),
		"nothing":          "",
	} {
		var f *Fault
		if _, err := parseReply([]byte(text), "urn:x", "uuid:AA"); err == nil || errors.As(err, &f) {
			t.Errorf("%s: was taken: %v", name, err) // for what a fault says somebody decides, too
		}
	}
}

// TestRepliesInOtherWords: prefixes are free, and XML has several ways to say one thing.
func TestRepliesInOtherWords(t *testing.T) {
	const text = `<?xml version="1.0" encoding="utf-8"?><!-- a -->
<Envelope xmlns="http://www.w3.org/2003/05/soap-envelope" xmlns:q1="http://schemas.xmlsoap.org/ws/2004/08/addressing"><Header>
<q1:Action><![CDATA[urn:x]]>Resp<!-- b -->onse</q1:Action><q1:RelatesTo>&#x75;uid:aa</q1:RelatesTo><other xmlns="urn:o"><q1:RelatesTo>uuid:bb</q1:RelatesTo></other></Header>
<Body><ReceiveResponse xmlns="http://schemas.microsoft.com/wbem/wsman/1/windows/shell" xmlns:rsp="urn:not-the-shell">
<rsp:Stream Name="stdout" CommandId="CM">eA==</rsp:Stream>
<Stream CommandId="CM" Name='stdout'>YW<!-- c --><![CDATA[Jj]]></Stream><CommandState State="http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done"/></ReceiveResponse></Body></Envelope>`
	body, err := parseReply([]byte(text), "urn:x", "uuid:AA")
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseReceived(body, "CM")
	if err != nil || !r.done || len(r.data) != 1 || string(r.data[0]) != "abc" {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestFaults(t *testing.T) {
	_, err := parseReply([]byte(faultXML("uuid:AA", "2150858793", "text")), "urn:x", "uuid:AA")
	var f *Fault
	if !errors.As(err, &f) || f.Code != FaultTimedOut || f.Subcode != "w:TimedOut" || f.Reason != "text" || !errors.Is(err, &Fault{Code: FaultTimedOut}) {
		t.Fatalf("got %+v", err)
	}
	_, err = parseReply([]byte(faultXML("", "2152992672", `<f:ProviderFault provider="microsoft.powershell"><f:WSManFault Code="1"><f:Message>inner `+"&#x1b;"+`</f:Message></f:WSManFault></f:ProviderFault>`)), "urn:x", "uuid:AA")
	if err == nil {
		t.Fatal("no error")
	}
	_, err = parseReply([]byte(faultXML("", "2152992672", `<f:ProviderFault provider="microsoft.powershell"><f:WSManFault Code="1"><f:Message>inner</f:Message></f:WSManFault></f:ProviderFault>`)), "urn:x", "uuid:AA")
	if !errors.As(err, &f) || f.Code != FaultPowerShellPlugin || f.Provider != "inner" || !strings.Contains(f.Error(), "inner") {
		t.Errorf("got %+v", err)
	}
	if !(&Fault{Code: 2150859240}).Quota() || (&Fault{Code: 5}).Quota() || (&Fault{Code: 5}).Hint() == "" {
		t.Error("quota or hint")
	}
}

func TestReceived(t *testing.T) {
	parse := func(inner, command string) (received, error) {
		body, err := parseReply([]byte(answerXML("urn:xResponse", "uuid:AA", inner)), "urn:x", "uuid:AA")
		if err != nil {
			t.Fatal(err)
		}
		return parseReceived(body, command)
	}
	r, err := parse(`<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="cm">YW`+"\r\n "+`Jj</rsp:Stream><rsp:Stream Name="stderr" CommandId="cm">eA==</rsp:Stream>`+
		`<rsp:Stream Name="stdout" CommandId="CM">ZA==</rsp:Stream><rsp:CommandState CommandId="CM" State="`+stateDone+`"><rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>`, "CM")
	if err != nil || !r.done || len(r.data) != 2 || string(r.data[0]) != "abc" || string(r.data[1]) != "d" {
		t.Errorf("got %v, %v", r, err)
	}
	r, err = parse(`<rsp:ReceiveResponse><rsp:Stream Name="stdout">YQ==</rsp:Stream><rsp:CommandState State="`+nsShell+`/CommandState/Pending"/></rsp:ReceiveResponse>`, "")
	if err != nil || r.done || len(r.data) != 1 {
		t.Errorf("pool: got %v, %v", r, err)
	}
	for name, inner := range map[string]string{
		"another command": `<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="OTHER">YQ==</rsp:Stream></rsp:ReceiveResponse>`,
		"another's end":   `<rsp:ReceiveResponse><rsp:CommandState CommandId="OTHER" State="` + stateDone + `"/></rsp:ReceiveResponse>`,
		"not base64":      `<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="CM">?</rsp:Stream></rsp:ReceiveResponse>`,
		"no answer":       ``,
	} {
		if _, err := parse(inner, "CM"); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT60S": time.Minute, "PT20.000S": 20 * time.Second, "P0DT0H1M0.5S": time.Minute + 500*time.Millisecond,
		"PT7200.000S": 2 * time.Hour, "PT2147483.647S": 2147483647 * time.Millisecond, "P1D": 24 * time.Hour, "PT0S": 0,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "P", "PT", "P1DT", "60S", "PT1", "P1Y", "-PT1S", "PT-1S", "PT.5S", "P999999DT999999999H999999999M999999999S", "PT1S "} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: read as %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{time.Minute: "PT60S", 1500 * time.Millisecond: "PT1.500S"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

// most is what may be allocated for bytes of a server: in proportion to their length, beside what the process does meanwhile.
func most(in []byte) uint64 { return 2<<20 + 256*uint64(len(in)) }

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(answerXML("urn:xResponse", "uuid:AA", `<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="CM">YWJj</rsp:Stream></rsp:ReceiveResponse>`)), "PT60S")
	f.Add([]byte(faultXML("uuid:AA", "5", "t")), "P1DT2H")
	f.Add([]byte(answerXML("urn:xResponse", "uuid:AA", `<rsp:CommandResponse><rsp:CommandId>CM</rsp:CommandId></rsp:CommandResponse>`)), "")
	f.Fuzz(func(t *testing.T, b []byte, duration string) {
		if spent := heap.Spent(func() {
			body, err := parseReply(b, "urn:x", "uuid:AA")
			if err != nil {
				_ = err.Error()
				body = nil
			}
			_, _, _ = shellID(body), commandID(body), body
			_, _ = parseReceived(body, "CM")
		}); spent > most(b) {
			t.Errorf("%d bytes allocated for %d", spent, len(b))
		}
		if d, err := ParseDuration(duration); err == nil && d < 0 {
			t.Fatalf("%q is %v", duration, d)
		}
	})
}
