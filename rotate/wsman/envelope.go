package wsman

import (
	"encoding/base64"
	"encoding/xml"
	"strings"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// The namespaces of MS-WSMV section 2.2.1.
const (
	nsSOAP       = "http://www.w3.org/2003/05/soap-envelope"
	nsAddressing = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
	nsWSMan      = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
	nsWSManMS    = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
	nsShell      = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	nsTransfer   = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
	nsFault      = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
	nsPowerShell = "http://schemas.microsoft.com/powershell"

	anonymous = nsAddressing + "/role/anonymous"

	signalTerminate = nsShell + "/signal/terminate"
	stateDone       = nsShell + "/CommandState/Done"
)

// option is a w:Option of a request.
type option struct {
	name, value string
	must        bool
}

// request is one operation without what every envelope has.
type request struct {
	name    string // for the log
	action  string
	shell   string // selector, empty for Create
	stream  string // of Receive: the CommandId, empty for the pool
	options []option
	body    string // XML
}

// client holds what all envelopes of a session share.
type client struct {
	to        string
	resource  string
	session   string // uuid:...
	locale    string
	operation string // xs:duration
	idle      string // xs:duration or empty
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

// envelope writes a request under a message id of the form uuid:....
func (c client) envelope(r request, messageID string) []byte {
	var b strings.Builder
	b.WriteString(`<s:Envelope xmlns:s="` + nsSOAP + `" xmlns:a="` + nsAddressing + `" xmlns:w="` + nsWSMan +
		`" xmlns:p="` + nsWSManMS + `" xmlns:rsp="` + nsShell + `"><s:Header>`)
	b.WriteString(`<a:To>` + escape(c.to) + `</a:To>`)
	b.WriteString(`<a:ReplyTo><a:Address s:mustUnderstand="true">` + anonymous + `</a:Address></a:ReplyTo>`)
	b.WriteString(`<a:Action s:mustUnderstand="true">` + escape(r.action) + `</a:Action>`)
	b.WriteString(`<a:MessageID>` + escape(messageID) + `</a:MessageID>`)
	b.WriteString(`<w:ResourceURI s:mustUnderstand="true">` + escape(c.resource) + `</w:ResourceURI>`)
	b.WriteString(`<w:MaxEnvelopeSize s:mustUnderstand="true">153600</w:MaxEnvelopeSize>`)
	b.WriteString(`<w:OperationTimeout>` + escape(c.operation) + `</w:OperationTimeout>`)
	b.WriteString(`<w:Locale s:mustUnderstand="false" xml:lang="` + escape(c.locale) + `"/>`)
	b.WriteString(`<p:DataLocale s:mustUnderstand="false" xml:lang="` + escape(c.locale) + `"/>`)
	b.WriteString(`<p:SessionId s:mustUnderstand="false">` + escape(c.session) + `</p:SessionId>`)
	if r.shell != "" {
		b.WriteString(`<w:SelectorSet><w:Selector Name="ShellId">` + escape(r.shell) + `</w:Selector></w:SelectorSet>`)
	}
	if len(r.options) > 0 {
		b.WriteString(`<w:OptionSet s:mustUnderstand="true">`)
		for _, o := range r.options {
			b.WriteString(`<w:Option Name="` + escape(o.name) + `"`)
			if o.must {
				b.WriteString(` MustComply="true"`)
			}
			b.WriteString(`>` + escape(o.value) + `</w:Option>`)
		}
		b.WriteString(`</w:OptionSet>`)
	}
	b.WriteString(`</s:Header><s:Body>` + r.body + `</s:Body></s:Envelope>`)
	return []byte(b.String())
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func commandAttr(id string) string {
	if id == "" {
		return ""
	}
	return ` CommandId="` + escape(id) + `"`
}

func (c client) create(shell string, fragments []byte) request {
	idle := ""
	if c.idle != "" {
		idle = `<rsp:IdleTimeOut>` + escape(c.idle) + `</rsp:IdleTimeOut>`
	}
	return request{
		name:    "Create",
		action:  nsTransfer + "/Create",
		options: []option{{"protocolversion", psrp.ProtocolVersion, true}},
		body: `<rsp:Shell ShellId="` + escape(shell) + `">` + idle +
			`<rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams>` +
			`<creationXml xmlns="` + nsPowerShell + `">` + b64(fragments) + `</creationXml></rsp:Shell>`,
	}
}

func commandRequest(shell, command string, fragment []byte) request {
	return request{
		name:    "Command",
		action:  nsShell + "/Command",
		shell:   shell,
		options: []option{{"WINRS_SKIP_CMD_SHELL", "False", false}},
		body: `<rsp:CommandLine` + commandAttr(command) + `><rsp:Command></rsp:Command><rsp:Arguments>` + b64(fragment) +
			`</rsp:Arguments></rsp:CommandLine>`,
	}
}

func sendRequest(shell, command, stream string, data []byte) request {
	return request{
		name:   "Send",
		action: nsShell + "/Send",
		shell:  shell,
		body: `<rsp:Send><rsp:Stream Name="` + escape(stream) + `"` + commandAttr(command) + `>` + b64(data) +
			`</rsp:Stream></rsp:Send>`,
	}
}

func receiveRequest(shell, command string) request {
	return request{
		name:    "Receive",
		stream:  command,
		action:  nsShell + "/Receive",
		shell:   shell,
		options: []option{{"WSMAN_CMDSHELL_OPTION_KEEPALIVE", "True", false}},
		body:    `<rsp:Receive><rsp:DesiredStream` + commandAttr(command) + `>stdout</rsp:DesiredStream></rsp:Receive>`,
	}
}

func signalRequest(shell, command, code string) request {
	return request{
		name:   "Signal",
		action: nsShell + "/Signal",
		shell:  shell,
		body:   `<rsp:Signal` + commandAttr(command) + `><rsp:Code>` + escape(code) + `</rsp:Code></rsp:Signal>`,
	}
}

func deleteRequest(shell string) request {
	return request{name: "Delete", action: nsTransfer + "/Delete", shell: shell}
}

// disconnectRequest asks the server to drop output from now on, because output that nobody fetches would block the cmdlet.
func disconnectRequest(shell string) request {
	return request{
		name:   "Disconnect",
		action: nsShell + "/Disconnect",
		shell:  shell,
		body:   `<rsp:Disconnect><rsp:BufferMode>Drop</rsp:BufferMode></rsp:Disconnect>`,
	}
}

func reconnectRequest(shell, command string) request {
	r := request{name: "Reconnect", action: nsShell + "/Reconnect", shell: shell}
	if command != "" {
		r.body = `<rsp:Reconnect` + commandAttr(command) + `/>`
	}
	return r
}
