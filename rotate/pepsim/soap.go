package pepsim

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// XML names of WS-Man. The simulator has its own parser and templates: shared ones would share their mistakes with the
// client.
const (
	nsShell    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	actTrans   = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
	actShell   = nsShell + "/"
	actFault   = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
	stateDone  = actShell + "CommandState/Done"
	configBase = "http://schemas.microsoft.com/powershell/"
)

type request struct {
	Header struct {
		Action           string `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing Action"`
		MessageID        string `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing MessageID"`
		ResourceURI      string `xml:"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd ResourceURI"`
		MaxEnvelopeSize  string `xml:"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd MaxEnvelopeSize"`
		OperationTimeout string `xml:"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd OperationTimeout"`
		Locale           struct {
			Lang string `xml:"http://www.w3.org/XML/1998/namespace lang,attr"`
		} `xml:"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd Locale"`
		DataLocale struct {
			Lang string `xml:"http://www.w3.org/XML/1998/namespace lang,attr"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd DataLocale"`
		SessionID string `xml:"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd SessionId"`
		Selectors []struct {
			Name  string `xml:"Name,attr"`
			Value string `xml:",chardata"`
		} `xml:"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd SelectorSet>Selector"`
		Options []struct {
			Name  string `xml:"Name,attr"`
			Value string `xml:",chardata"`
		} `xml:"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd OptionSet>Option"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Header"`
	Body struct {
		Shell *struct {
			ShellID     string `xml:"ShellId,attr"`
			IdleTimeOut string `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell IdleTimeOut"`
			CreationXML string `xml:"http://schemas.microsoft.com/powershell creationXml"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Shell"`
		CommandLine *struct {
			CommandID string   `xml:"CommandId,attr"`
			Arguments []string `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Arguments"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell CommandLine"`
		Send *struct {
			Streams []struct {
				Name      string `xml:"Name,attr"`
				CommandID string `xml:"CommandId,attr"`
				Data      string `xml:",chardata"`
			} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Stream"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Send"`
		Receive *struct {
			Desired struct {
				CommandID string `xml:"CommandId,attr"`
			} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell DesiredStream"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Receive"`
		Signal *struct {
			CommandID string `xml:"CommandId,attr"`
			Code      string `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Code"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Signal"`
		Disconnect *struct {
			IdleTimeOut string `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell IdleTimeOut"`
			BufferMode  string `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell BufferMode"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Disconnect"`
		Reconnect *struct {
			CommandID string `xml:"CommandId,attr"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Reconnect"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Body"`
}

// commandID is the command that a request is about, empty when it is about the shell.
func (r *request) commandID() string {
	switch b := r.Body; {
	case b.CommandLine != nil:
		return b.CommandLine.CommandID
	case b.Send != nil && len(b.Send.Streams) > 0:
		return b.Send.Streams[0].CommandID
	case b.Receive != nil:
		return b.Receive.Desired.CommandID
	case b.Signal != nil:
		return b.Signal.CommandID
	case b.Reconnect != nil:
		return b.Reconnect.CommandID
	}
	return ""
}

func (r *request) option(name string) string {
	for _, o := range r.Header.Options {
		if strings.EqualFold(o.Name, name) {
			return strings.TrimSpace(o.Value)
		}
	}
	return ""
}

func (r *request) shellID() string {
	for _, s := range r.Header.Selectors {
		if strings.EqualFold(s.Name, "ShellId") {
			return strings.TrimSpace(s.Value)
		}
	}
	return ""
}

// budget is how many bytes of stream data fit the client's envelope and the service's.
func (r *request) budget(most int) int {
	n, err := strconv.Atoi(strings.TrimSpace(r.Header.MaxEnvelopeSize))
	if err != nil || n <= 0 {
		n = 153600
	}
	return max((min(n, most)-4096)/4*3, 1024)
}

func (r *request) timeout() time.Duration {
	d, err := parseDuration(r.Header.OperationTimeout)
	if err != nil || d <= 0 {
		return 60 * time.Second
	}
	return min(d, 10*time.Minute)
}

var actionOf = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`<[A-Za-z0-9_]*:?Action\b[^>]*>\s*([^<\s]+)\s*<`)
})

// operationOf names the operation of an envelope, before it is parsed.
func operationOf(soap []byte) string {
	m := actionOf().FindSubmatch(soap)
	if m == nil {
		return ""
	}
	a := string(m[1])
	return a[strings.LastIndexByte(a, '/')+1:]
}

func parseRequest(soap []byte) (*request, error) {
	r := &request{}
	if err := xml.Unmarshal(soap, r); err != nil {
		return nil, err
	}
	r.Header.Action, r.Header.MessageID = strings.TrimSpace(r.Header.Action), strings.TrimSpace(r.Header.MessageID)
	r.Header.ResourceURI = strings.TrimSpace(r.Header.ResourceURI)
	return r, nil
}

// soapFault is a WS-Man fault: the number decides, text and subcode are for people.
type soapFault struct {
	code    uint32
	subcode string
	text    string
	sender  bool
	why     string // for the log, never for the client
}

// because says in the log what the client is not told.
func (f *soapFault) because(format string, args ...any) *soapFault {
	out := *f
	out.why = fmt.Sprintf(format, args...)
	return &out
}

func (f *soapFault) Error() string { return fmt.Sprintf("fault %d: %s", f.code, f.text) }

// The faults of a WinRM service that a client of the endpoint can meet.
var (
	faultTimedOut       = &soapFault{code: 2150858793, subcode: "w:TimedOut", text: "The WS-Management service cannot complete the operation within the time specified in OperationTimeout."}
	faultUnknownShell   = &soapFault{code: 2150858843, subcode: "w:InvalidSelectors", text: "The request for the Windows Remote Shell with ShellId failed because the shell was not found on the server.", sender: true}
	faultUnknownConfig  = &soapFault{code: 2150858811, subcode: "w:InvalidResourceURI", text: "The WS-Management service cannot process the request. It cannot find the resource with that resource URI.", sender: true}
	faultDenied         = &soapFault{code: 5, subcode: "w:AccessDenied", text: "Access is denied.", sender: true}
	faultTooLarge       = &soapFault{code: 2150858805, subcode: "w:EncodingLimit", text: "The size of the request exceeded the configured MaxEnvelopeSize quota.", sender: true}
	faultBadHeader      = &soapFault{code: 2150858767, subcode: "a:InvalidMessageInformationHeader", text: "A header of the request is missing or invalid.", sender: true}
	faultNoAction       = &soapFault{code: 2150858771, subcode: "a:ActionNotSupported", text: "The action is not supported.", sender: true}
	faultShellQuota     = &soapFault{code: 2150859173, subcode: "w:QuotaLimit", text: "The maximum number of concurrent shells for this user has been exceeded."}
	faultDisconnected   = &soapFault{code: 2150859204, subcode: "w:InvalidOptions", text: "The shell is disconnected."}
	faultOtherSession   = &soapFault{code: 2150859206, subcode: "w:InvalidOptions", text: "The SessionId does not fit the shell.", sender: true}
	faultTerminated     = &soapFault{code: 2150859212, subcode: "w:InternalError", text: "The command was terminated."}
	faultKnownCommand   = &soapFault{code: 2150859222, subcode: "w:InvalidSelectors", text: "A command with this CommandId already exists.", sender: true}
	faultKnownShell     = &soapFault{code: 2150859223, subcode: "w:InvalidSelectors", text: "A shell with this ShellId already exists.", sender: true}
	faultAborted        = &soapFault{code: 995, subcode: "w:InternalError", text: "The I/O operation has been aborted because of either a thread exit or an application request."}
	faultWrongVersion   = &soapFault{code: 2152991685, subcode: "w:InternalError", text: "The protocolversion option does not match."}
	faultMissingVersion = &soapFault{code: 2152991687, subcode: "w:InternalError", text: "The protocolversion option is missing."}
	faultPlugin         = &soapFault{code: 2152992672, subcode: "w:InternalError", text: "The Windows PowerShell plug-in failed to process the message."}
)

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

const envelopeHead = `<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
	`xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" ` +
	`xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell" xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd">`

func (s *Server) envelope(r *request, action, body string) []byte {
	relates := ""
	if r != nil {
		relates = escape(r.Header.MessageID)
	}
	return fmt.Appendf(nil, `%s<s:Header><a:Action>%s</a:Action><a:MessageID>uuid:%s</a:MessageID>`+
		`<a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To><a:RelatesTo>%s</a:RelatesTo></s:Header><s:Body>%s</s:Body></s:Envelope>`,
		envelopeHead, escape(action), s.guid(), relates, body)
}

func (s *Server) faultEnvelope(r *request, f *soapFault) (int, []byte) {
	code := "s:Receiver"
	if f.sender {
		code = "s:Sender"
	}
	body := fmt.Sprintf(`<s:Fault><s:Code><s:Value>%s</s:Value><s:Subcode><s:Value>%s</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">%s</s:Text></s:Reason>`+
		`<s:Detail><f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="%d" Machine="%s"><f:Message>%s</f:Message></f:WSManFault></s:Detail></s:Fault>`,
		code, f.subcode, escape(f.text), f.code, escape(s.cfg.Machine), escape(f.text))
	return http.StatusInternalServerError, s.envelope(r, actFault, body)
}

var durationForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^P(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,8}(?:\.\d{1,9})?)S)?)?$`)
})

// parseDuration reads an xs:duration of days and smaller parts.
func parseDuration(text string) (time.Duration, error) {
	m := durationForm().FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	var d time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.ParseFloat(m[i+1], 64)
		if err != nil {
			return 0, err
		}
		d += time.Duration(n * float64(unit))
	}
	return d, nil
}
