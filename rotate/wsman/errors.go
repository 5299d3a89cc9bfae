package wsman

import (
	"context"
	"errors"
	"fmt"
)

// ErrUnauthorized means that the host refused the login. It ends the run: the account may be locked after a few of them,
// so the same password must be tried nowhere else, on no other host and not again on this one.
var ErrUnauthorized = &hinted{
	text: "the login was refused",
	hint: "check user and password of the endpoint before the next run; every further attempt counts towards a lockout",
}

// ErrUnanswered means that several logins in a row were sent and got no answer. Each may have been refused all the same, so
// it ends the run like ErrUnauthorized does.
var ErrUnanswered = &hinted{
	text: fmt.Sprintf("%d logins in a row got no answer, and no further one is tried", mostUnanswered),
	hint: "check that the endpoint's account is not locked and its password still right before the next run; then look for what drops the connection",
}

// ErrUnsealed means that a body came back in clear, or did not open with the keys of the login. It is not looked at.
var ErrUnsealed = &hinted{
	text: "the answer is not sealed as the login agreed",
	hint: "something between here and the endpoint changes the traffic: connect directly",
}

// ErrNoNTLM means that the host does not offer the login this package can make. No credential was sent.
var ErrNoNTLM = &hinted{
	text: "the host offers no Negotiate login",
	hint: "check that the address is a privileged endpoint; Basic and unsealed logins are never used",
}

// ErrCertificate means that the host's certificate is not the pinned one or not issued by the named authority.
var ErrCertificate = &hinted{
	text: "the host's certificate is not the one expected",
	hint: "compare the certificate with the pin or authority of the target before you change either",
}

type hinted struct{ text, hint string }

func (h *hinted) Error() string { return h.text }
func (h *hinted) Hint() string  { return h.hint }

// ConnectError means that nothing was sent that could start anything: another host may be tried.
type ConnectError struct {
	Host string // host and port
	Err  error
}

func (e *ConnectError) Error() string { return fmt.Sprintf("%s: %v", e.Host, e.Err) }
func (e *ConnectError) Unwrap() error { return e.Err }

// Hint says what to do, unless the cause knows better.
func (e *ConnectError) Hint() string {
	var h interface{ Hint() string }
	if errors.As(e.Err, &h) && h.Hint() != "" {
		return h.Hint()
	}
	return "check that the host runs and that this agent may reach it on that port"
}

// StatusError is an HTTP status that carries no SOAP.
type StatusError struct {
	Code        int
	ContentType string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("HTTP status %d (%.64q), want a SOAP answer", e.Code, e.ContentType)
}

// Fault is a SOAP fault. Decide on Code, the unsigned form of the HRESULT.
type Fault struct {
	Code     uint32
	Subcode  string
	Reason   string
	Provider string // what the plug-in behind the endpoint says
}

func (e *Fault) Error() string {
	text := e.Reason
	if e.Provider != "" {
		text = e.Provider
	}
	return fmt.Sprintf("fault %d (%.64q): %.2048q", e.Code, e.Subcode, text)
}

// Is matches another Fault by its code.
func (e *Fault) Is(target error) bool {
	var t *Fault
	return errors.As(target, &t) && t.Code == e.Code
}

// Hint says what to do about the faults a person can do something about.
func (e *Fault) Hint() string {
	switch e.Code {
	case FaultAccessDenied:
		return "the account may not use this endpoint: check its group membership"
	case FaultConfiguration:
		return "the host has no such session configuration: check that it is a privileged endpoint"
	}
	if e.Quota() {
		return "the endpoint has too many sessions: close some, or wait until idle ones expire"
	}
	return ""
}

// Fault codes that somebody decides on (MS-WSMV section 2.2.4.44 and WSMan.h of the Windows SDK).
const (
	FaultAccessDenied     uint32 = 5
	FaultAborted          uint32 = 995
	FaultTimedOut         uint32 = 2150858793
	FaultUnknownShell     uint32 = 2150858843
	FaultConfiguration    uint32 = 2150858811
	FaultTooLarge         uint32 = 2150858805
	FaultHeader           uint32 = 2150858767
	FaultAction           uint32 = 2150858771
	FaultDisconnected     uint32 = 2150859204
	FaultTerminated       uint32 = 2150859212
	FaultCommandExists    uint32 = 2150859222
	FaultShellExists      uint32 = 2150859223
	FaultPowerShellPlugin uint32 = 2152992672
)

// Quota reports whether the fault is one of the quotas, which pass with time.
func (e *Fault) Quota() bool {
	return e.Code >= 2150859173 && e.Code <= 2150859176 || e.Code == 2150859179 ||
		e.Code >= 2150859236 && e.Code <= 2150859242
}

func faultCode(err error) uint32 {
	var f *Fault
	if errors.As(err, &f) {
		return f.Code
	}
	return 0
}

// transient reports whether a new connection may do better.
func transient(err error) bool {
	var f *Fault
	var s *StatusError
	switch {
	case errors.Is(err, ErrUnauthorized), errors.Is(err, ErrUnanswered), errors.Is(err, ErrCertificate), errors.Is(err, context.Canceled), errors.As(err, &f):
		return false
	case errors.Is(err, ErrUnsealed):
		return true // whatever came between may go away, and a new login proves the host again
	case errors.As(err, &s):
		return s.Code >= 500 || s.Code == 408 || s.Code == 429
	}
	return true
}
