// Package psrp is the PowerShell Remoting Protocol (MS-PSRP) without any input or output: bytes in, events out, bytes to
// send. Core is the client's end of a runspace pool, ServerCore the server's; both take their randomness as an
// io.Reader, and neither holds a connection, starts a goroutine or reads a clock. Package wsman carries the bytes.
//
// The protocol has three layers. A CLIXML document (package clixml) is the data of a message, which starts with a
// 40-byte little-endian header (MS-PSRP section 2.2.1):
//
//	u32 destination | u32 type | 16 bytes pool | 16 bytes pipeline | data
//
// A message is cut into fragments, whose 21-byte header is big endian (MS-PSRP section 2.2.4):
//
//	u64 object | u64 fragment | u8 flags: 1 start, 2 end | u32 length | bytes
//
// Fragments travel in streams: one for the pool and one for each pipeline. The zero GUID names the pool's stream.
package psrp

import (
	"errors"
	"fmt"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// GUID names pools and pipelines.
type GUID = clixml.GUID

// Command is one cmdlet with its parameters. There is no way to send script text.
type Command struct {
	Name   string
	Params []Param
	// Script is set by ServerCore when a client sent script text in Name. Core refuses to send such a command.
	Script bool
}

// Param is one named parameter, without the dash. Value is anything clixml.Marshal takes: true for a switch,
// clixml.SecureString and clixml.Credential for secrets. ServerCore hands out positional arguments with an empty Name.
type Param struct {
	Name  string
	Value any
}

// holdsSecret reports whether the session key is needed before the command can be written.
func (c Command) holdsSecret() bool {
	for _, p := range c.Params {
		if valueHoldsSecret(p.Value, 0) {
			return true
		}
	}
	return false
}

func valueHoldsSecret(v any, depth int) bool {
	if depth > 16 {
		return true // asking for a key too early costs one exchange; asking too late fails the command
	}
	switch x := v.(type) {
	case clixml.SecureString, clixml.Credential:
		return true
	case []any:
		for _, item := range x {
			if valueHoldsSecret(item, depth+1) {
				return true
			}
		}
	case clixml.Object:
		return objectHoldsSecret(&x, depth)
	case *clixml.Object:
		return x != nil && objectHoldsSecret(x, depth)
	}
	return false
}

func objectHoldsSecret(o *clixml.Object, depth int) bool {
	if valueHoldsSecret(o.Value, depth+1) || valueHoldsSecret(o.List, depth+1) {
		return true
	}
	for _, list := range [2][]clixml.Property{o.Adapted, o.Extended} {
		for _, p := range list {
			if valueHoldsSecret(p.Value, depth+1) {
				return true
			}
		}
	}
	for _, e := range o.Dict {
		if valueHoldsSecret(e.Key, depth+1) || valueHoldsSecret(e.Value, depth+1) {
			return true
		}
	}
	return false
}

// PipelineState is MS-PSRP section 2.2.3.5.
type PipelineState int32

// The states of a pipeline. Everything below Stopped is passing, and Disconnected is not final either.
const (
	PipelineNotStarted PipelineState = iota
	PipelineRunning
	PipelineStopping
	PipelineStopped
	PipelineCompleted
	PipelineFailed
	PipelineDisconnected
)

// Final reports whether a pipeline in that state has ended.
func (s PipelineState) Final() bool { return s >= PipelineStopped && s <= PipelineFailed }

func (s PipelineState) String() string {
	names := [...]string{"NotStarted", "Running", "Stopping", "Stopped", "Completed", "Failed", "Disconnected"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("PipelineState(%d)", int32(s))
	}
	return names[s]
}

// PoolState is MS-PSRP section 2.2.3.4.
type PoolState int32

// The states of a runspace pool.
const (
	PoolBeforeOpen PoolState = iota
	PoolOpening
	PoolOpened
	PoolClosed
	PoolClosing
	PoolBroken
	PoolNegotiationSent
	PoolNegotiationSucceeded
	PoolConnecting
	PoolDisconnected
)

func (s PoolState) String() string {
	names := [...]string{
		"BeforeOpen", "Opening", "Opened", "Closed", "Closing", "Broken",
		"NegotiationSent", "NegotiationSucceeded", "Connecting", "Disconnected",
	}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("PoolState(%d)", int32(s))
	}
	return names[s]
}

// Result is how a pipeline ended.
type Result struct {
	State  PipelineState
	Errors []ErrorRecord // non-terminating ones, in order; Completed with errors is for the caller to judge
	Lost   uint64        // messages of the pool that were sent but never arrived
	Sent   bool          // a byte of the command reached the connection
}

// PipelineError is the error of a pipeline that ended as Failed or Stopped.
type PipelineError struct {
	State  PipelineState
	Record ErrorRecord
}

func (e *PipelineError) Error() string {
	if e.Record.Message == "" && e.Record.ID == "" {
		return fmt.Sprintf("the pipeline ended as %v", e.State)
	}
	return fmt.Sprintf("the pipeline ended as %v: %q (%q)", e.State, e.Record.Message, e.Record.ID)
}

// PoolError is the error of a runspace pool that broke or closed.
type PoolError struct {
	State  PoolState
	Record ErrorRecord
}

func (e *PoolError) Error() string {
	return fmt.Sprintf("the runspace pool is %v: %q (%q)", e.State, e.Record.Message, e.Record.ID)
}

// ErrOutcomeUnknown is what errors.Is finds when a command may or may not have run, or may still be running.
var ErrOutcomeUnknown = errors.New("the outcome of the command is unknown")

// OutcomeUnknownError says why the outcome is unknown. It is ErrOutcomeUnknown to errors.Is.
type OutcomeUnknownError struct {
	Sent bool  // a byte of the command reached the connection
	Err  error // what went wrong
}

func (e *OutcomeUnknownError) Error() string {
	return fmt.Sprintf("%v: %v", ErrOutcomeUnknown, e.Err)
}

// Is makes the error match ErrOutcomeUnknown.
func (e *OutcomeUnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *OutcomeUnknownError) Hint() string {
	return "do not run it again: open a new session and ask Get-ActionStatus what became of it"
}
