package psrp

import (
	"errors"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// HostMethod is MS-PSRP section 2.2.3.17.
type HostMethod int32

// Some methods of a host.
const (
	HostGetName                HostMethod = 1
	HostSetShouldExit          HostMethod = 6
	HostReadLine               HostMethod = 11
	HostReadLineAsSecureString HostMethod = 12
	HostWriteLine2             HostMethod = 16
	HostPrompt                 HostMethod = 23
	HostPromptForChoice        HostMethod = 26
)

// voidCall is the call id of methods that nobody answers.
const voidCall int64 = -100

// HostCall is a question of the server to the person at the keyboard. Void calls have the id -100.
type HostCall struct {
	Pipeline GUID // zero: the pool asks
	ID       int64
	Method   HostMethod
	Name     string // of the method
	Args     []any
}

// Void reports whether no answer is expected.
func (h HostCall) Void() bool { return h.ID == voidCall }

// HostResponse is the answer to a HostCall: a value or an error.
type HostResponse struct {
	Pipeline GUID
	ID       int64
	Method   HostMethod
	Value    any
	Err      *ErrorRecord
}

const methodType = "System.Management.Automation.Remoting.RemoteHostMethodId"

func (h HostCall) object() *clixml.Object {
	return ms(
		clixml.Property{Name: "ci", Value: h.ID},
		clixml.Property{Name: "mi", Value: clixml.NewEnum(methodType, h.Name, int32(h.Method))},
		clixml.Property{Name: "mp", Value: &clixml.Object{
			Types:     []string{"System.Collections.ArrayList", "System.Object"},
			Container: clixml.List,
			List:      h.Args,
		}},
	)
}

// parseHostCall returns the id of a call also when the rest is malformed, so that it can be refused.
func parseHostCall(v any) (HostCall, error) {
	o, _ := v.(*clixml.Object)
	id, ok := o.Int("ci")
	if !ok {
		return HostCall{ID: voidCall}, errors.New("psrp: a host call without an id")
	}
	method, ok := o.Int("mi")
	if !ok || method != int64(int32(method)) {
		return HostCall{ID: id}, errors.New("psrp: a host call without a method")
	}
	h := HostCall{ID: id, Method: HostMethod(method)}
	if mi := o.Object("mi"); mi != nil {
		h.Name = mi.ToString
	}
	if mp := o.Object("mp"); mp != nil {
		h.Args = mp.List
	}
	return h, nil
}

// refusal answers a call that nobody can answer. Without an answer the cmdlet would wait for ever.
func (h HostCall) refusal() *clixml.Object {
	e := ErrorRecord{
		Message:   "no person is there to answer: the session is not interactive",
		ID:        "NotImplemented",
		Category:  NotImplemented,
		Exception: "System.NotImplementedException",
		Reason:    "NotImplementedException",
	}
	return ms(
		clixml.Property{Name: "ci", Value: h.ID},
		clixml.Property{Name: "mi", Value: clixml.NewEnum(methodType, h.Name, int32(h.Method))},
		clixml.Property{Name: "me", Value: e.object()},
	)
}

func parseHostResponse(v any) (HostResponse, error) {
	o, _ := v.(*clixml.Object)
	id, ok1 := o.Int("ci")
	method, ok2 := o.Int("mi")
	if !ok1 || !ok2 || method != int64(int32(method)) {
		return HostResponse{}, errors.New("psrp: a host response without id or method")
	}
	h := HostResponse{ID: id, Method: HostMethod(method)}
	h.Value, _ = o.Get("mr")
	if me, ok := o.Get("me"); ok && me != nil {
		e := parseError(me)
		h.Err = &e
	}
	return h, nil
}
