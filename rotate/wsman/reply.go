package wsman

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// element is a node of an answer. Answers are small trees, so they are read whole, within bounds.
type element struct {
	name     xml.Name
	attrs    []xml.Attr
	text     string
	children []*element
}

const (
	maxDepth    = 32
	maxElements = 50_000
)

var errEnvelope = errors.New("wsman: the answer is not well-formed XML")

// parseXML reads a document without a DTD. Its errors do not quote the document.
func parseXML(data []byte) (*element, error) {
	if len(data) > maxBody {
		return nil, fmt.Errorf("wsman: an answer of %d bytes, at most %d", len(data), maxBody)
	}
	xd := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	var stack []*element
	var texts []*strings.Builder
	var root *element
	count := 0
	for {
		t, err := xd.Token()
		if errors.Is(err, io.EOF) {
			if root == nil || len(stack) > 0 {
				return nil, errEnvelope
			}
			return root, nil
		}
		if err != nil {
			return nil, errEnvelope
		}
		switch t := t.(type) {
		case xml.StartElement:
			count++
			if count > maxElements || len(stack) >= maxDepth {
				return nil, errors.New("wsman: the answer has too many elements")
			}
			e := &element{name: t.Name, attrs: t.Attr}
			switch {
			case len(stack) > 0:
				parent := stack[len(stack)-1]
				parent.children = append(parent.children, e)
			case root == nil:
				root = e
			default:
				return nil, errEnvelope
			}
			stack, texts = append(stack, e), append(texts, &strings.Builder{})
		case xml.EndElement:
			stack[len(stack)-1].text = texts[len(texts)-1].String()
			stack, texts = stack[:len(stack)-1], texts[:len(texts)-1]
		case xml.CharData:
			if len(stack) > 0 {
				texts[len(texts)-1].Write(t)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, errEnvelope
			}
		case xml.Directive:
			return nil, errors.New("wsman: the answer has a document type")
		}
	}
}

// child returns the first child of that name, or nil. A nil element has no children, so look-ups chain.
func (e *element) child(space, local string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name.Space == space && c.name.Local == local {
			return c
		}
	}
	return nil
}

func (e *element) content() string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.text)
}

func (e *element) attr(local string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.attrs {
		if a.Name.Local == local && a.Name.Space == "" {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// parseReply checks that an envelope answers the request and returns its body, or the fault it carries.
func parseReply(data []byte, action, messageID string) (*element, error) {
	root, err := parseXML(data)
	if err != nil {
		return nil, err
	}
	if root.name.Space != nsSOAP || root.name.Local != "Envelope" {
		return nil, errors.New("wsman: the answer is not a SOAP 1.2 envelope")
	}
	header, body := root.child(nsSOAP, "Header"), root.child(nsSOAP, "Body")
	if body == nil {
		return nil, errors.New("wsman: the answer has no body")
	}
	relates := header.child(nsAddressing, "RelatesTo").content()
	if fault := body.child(nsSOAP, "Fault"); fault != nil {
		// A fault about the headers themselves may not know which request it answers.
		if relates != "" && !strings.EqualFold(relates, messageID) {
			return nil, errors.New("wsman: the fault answers another request")
		}
		return nil, parseFault(fault)
	}
	if !strings.EqualFold(relates, messageID) {
		return nil, errors.New("wsman: the answer belongs to another request")
	}
	if got := header.child(nsAddressing, "Action").content(); got != action+"Response" {
		return nil, fmt.Errorf("wsman: the answer's action is %.128q, want %q", got, action+"Response")
	}
	return body, nil
}

func parseFault(e *element) *Fault {
	code := e.child(nsSOAP, "Code")
	f := &Fault{
		Subcode: code.child(nsSOAP, "Subcode").child(nsSOAP, "Value").content(),
		Reason:  e.child(nsSOAP, "Reason").child(nsSOAP, "Text").content(),
	}
	if f.Subcode == "" {
		f.Subcode = code.child(nsSOAP, "Value").content()
	}
	detail := e.child(nsSOAP, "Detail").child(nsFault, "WSManFault")
	if n, err := strconv.ParseUint(detail.attr("Code"), 10, 32); err == nil {
		f.Code = uint32(n)
	}
	message := detail.child(nsFault, "Message")
	if text := message.content(); text != "" {
		f.Reason = text
	}
	provider := message.child(nsFault, "ProviderFault")
	f.Provider = provider.content()
	if inner := provider.child(nsFault, "WSManFault").child(nsFault, "Message").content(); inner != "" {
		f.Provider = inner
	}
	return f
}

// shellID returns the id under which the created shell goes on.
func shellID(body *element) string {
	id := body.child(nsShell, "Shell").child(nsShell, "ShellId").content()
	if id != "" {
		return id
	}
	created := body.child(nsTransfer, "ResourceCreated").child(nsAddressing, "ReferenceParameters").child(nsWSMan, "SelectorSet")
	if created != nil {
		for _, s := range created.children {
			if s.attr("Name") == "ShellId" {
				return s.content()
			}
		}
	}
	return ""
}

func commandID(body *element) string {
	return body.child(nsShell, "CommandResponse").child(nsShell, "CommandId").content()
}

// received is the answer to a Receive.
type received struct {
	data [][]byte
	done bool
}

// parseReceived takes the streams of one queue. Data of another command would be a mix-up of the server, not ours to guess.
func parseReceived(body *element, command string) (received, error) {
	var r received
	answer := body.child(nsShell, "ReceiveResponse")
	if answer == nil {
		return r, errors.New("wsman: a Receive was answered with something else")
	}
	for _, e := range answer.children {
		switch {
		case e.name.Space == nsShell && e.name.Local == "Stream":
			if e.attr("Name") != "stdout" {
				continue
			}
			if id := e.attr("CommandId"); !strings.EqualFold(id, command) {
				return r, errors.New("wsman: a Receive was answered with another command's output")
			}
			b, err := decode64(e.text)
			if err != nil {
				return r, err
			}
			r.data = append(r.data, b)
		case e.name.Space == nsShell && e.name.Local == "CommandState":
			if id := e.attr("CommandId"); id != "" && !strings.EqualFold(id, command) {
				return r, errors.New("wsman: a Receive was answered with another command's state")
			}
			r.done = r.done || e.attr("State") == stateDone
		}
	}
	return r, nil
}

// decode64 tolerates the white space that Windows puts into long texts.
func decode64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s))
	if err != nil {
		return nil, errors.New("wsman: a stream is not base64")
	}
	return b, nil
}
