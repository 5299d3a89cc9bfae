package psrp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Receive takes bytes of a stream, split anywhere. An error ends the pool for good and comes again on each later call.
func (c *Core) Receive(stream GUID, b []byte) error {
	if c.err != nil {
		return c.err
	}
	d := c.streams[stream]
	if d == nil {
		d = &Defragmenter{Tolerant: true}
		c.streams[stream] = d
	}
	_, err := d.Write(b)
	c.highest = max(c.highest, d.Highest)
	for o := range d.Messages() {
		if err != nil {
			break
		}
		err = c.object(o)
	}
	if err != nil {
		c.err = err
	}
	return err
}

func (c *Core) object(o Object) error {
	fresh, err := c.ids.add(o.ID)
	if err != nil || !fresh {
		return err
	}
	if c.heard += len(o.Data); c.heard > maxCommand {
		return fmt.Errorf("%w: a command said more than %d bytes", ErrLimit, maxCommand)
	}
	m, err := DecodeMessage(o.Data)
	if err != nil {
		return err
	}
	if m.Destination != ToClient {
		return errors.New("psrp: a message for the server came to the client")
	}
	if m.Pipeline.IsZero() {
		return c.poolMessage(m)
	}
	if m.Pipeline != c.active || c.waiting != nil {
		return nil // of a pipeline that has ended
	}
	return c.pipelineMessage(m)
}

// value reads a message. A server of protocol 2.2 and later never asks for a key before it sends a secret: it seals with one
// of its own, which a client may fetch (PSRemotingCryptoHelperServer in PowerShell's source). We have no use for its secrets, so
// without a key they are empty, and what stands beside them is still read.
func (c *Core) value(m Message) (any, error) {
	o := opener(c.session)
	if o == nil {
		o = blind{}
	}
	v, err := clixml.Unmarshal(m.Data, o)
	if err != nil {
		return nil, fmt.Errorf("psrp: message %#08x: %w", uint32(m.Type), err)
	}
	return v, nil
}

// blind opens every secure string as an empty one.
type blind struct{}

func (blind) Open(string) (clixml.SecureString, error) { return clixml.SecureString{}, nil }

func (c *Core) poolMessage(m Message) error {
	switch m.Type {
	case SessionCapability, ApplicationPrivateData, RunspacePoolState, EncryptedSessionKey, PoolHostCall:
	case PublicKeyRequest:
		return c.sendPublicKey()
	default:
		c.ignore(m)
		return nil
	}
	v, err := c.value(m)
	if err != nil {
		return err
	}
	o, _ := v.(*clixml.Object)
	switch m.Type {
	case SessionCapability:
		version := o.Text("protocolversion")
		if !strings.HasPrefix(version, "2.") {
			return fmt.Errorf("psrp: the server speaks protocol version %.32q, want 2.x", version)
		}
		if c.state == PoolNegotiationSent {
			c.state = PoolNegotiationSucceeded
		}
	case ApplicationPrivateData:
		c.private = o.Object("ApplicationPrivateData")
	case RunspacePoolState:
		return c.poolState(o)
	case EncryptedSessionKey:
		return c.sessionKey(o)
	case PoolHostCall:
		h, err := parseHostCall(v)
		if err != nil {
			c.ignore(m)
		}
		return c.hostCall(m, h) // refused as well as it can be
	}
	return nil
}

// mostIgnored bounds how many events a flood of unknown messages makes.
const mostIgnored = 100

func (c *Core) ignore(m Message) {
	if c.ignored++; c.ignored <= mostIgnored {
		c.events = append(c.events, Ignored{Type: m.Type, Size: len(m.Data)})
	}
}

func (c *Core) poolState(o *clixml.Object) error {
	n, ok := o.Int("RunspaceState")
	if !ok {
		return errors.New("psrp: a pool state without a number")
	}
	switch state := PoolState(n); state {
	case PoolOpened:
		if c.state != PoolOpened {
			c.state = PoolOpened
			c.events = append(c.events, Opened{})
		}
	case PoolBroken, PoolClosed:
		c.state = state
		e := &PoolError{State: state}
		if x, ok := o.Get("ExceptionAsErrorRecord"); ok && x != nil {
			e.Record = parseError(x)
		}
		return e
	}
	return nil
}

func (c *Core) sessionKey(o *clixml.Object) error {
	if c.session != nil {
		return nil
	}
	if !c.keySent {
		return errors.New("psrp: a session key came unasked")
	}
	k, err := openSessionKey(c.private2048, o.Text("EncryptedSessionKey"))
	if err != nil {
		return err
	}
	c.session = k
	if c.waiting != nil {
		cmd := *c.waiting
		c.waiting = nil
		return c.start(c.active, cmd)
	}
	return nil
}

// hostCall answers what waits for an answer; nobody is there to see the rest.
func (c *Core) hostCall(m Message, h HostCall) error {
	if h.Void() {
		return nil
	}
	t := PipelineHostResponse
	if m.Type == PoolHostCall {
		t = PoolHostResponse
	}
	fragments, err := c.encode(t, m.Pipeline, h.refusal())
	if err != nil {
		return err
	}
	if len(c.ops) > 1000 {
		return fmt.Errorf("%w: a flood of host calls", ErrLimit)
	}
	c.sendAll(m.Pipeline, "pr", fragments)
	return nil
}

func (c *Core) pipelineMessage(m Message) error {
	switch m.Type {
	case PipelineOutput, PipelineErrorRecord, PipelineStateMessage, DebugRecord, VerboseRecord, WarningRecord,
		ProgressRecord, InformationRecord, PipelineHostCall:
	default:
		c.ignore(m)
		return nil
	}
	v, err := c.value(m)
	if err != nil {
		// One unreadable record must not cost a running rotation its witness.
		c.say(Unreadable{Type: m.Type, Err: err})
		return nil //nolint:nilerr // the record carries the error
	}
	switch m.Type {
	case PipelineStateMessage:
		c.pipelineState(v)
		return nil
	case PipelineHostCall:
		h, err := parseHostCall(v)
		if err != nil {
			c.say(Unreadable{Type: m.Type, Err: err})
		}
		return c.hostCall(m, h) // refused as well as it can be
	}
	r, _, err := decodeRecord(m.Type, v)
	if err != nil {
		c.say(Unreadable{Type: m.Type, Err: err})
		return nil //nolint:nilerr // the record carries the error
	}
	if o, isOutput := r.(Output); isOutput {
		o.Size = len(m.Data)
		r = o
	}
	if e, isError := r.(ErrorRecord); isError && len(c.errors) < maxKeptErrors && c.errBytes+len(m.Data) <= maxKeptErrorBytes {
		c.errors = append(c.errors, e)
		c.errBytes += len(m.Data)
	}
	c.say(r)
	return nil
}

func (c *Core) say(r Record) { c.events = append(c.events, Said{Pipeline: c.active, Record: r}) }

func (c *Core) pipelineState(v any) {
	o, _ := v.(*clixml.Object)
	n, ok := o.Int("PipelineState")
	state := PipelineState(n)
	if !ok || !state.Final() {
		return // Running and the like are passing, and other servers send them
	}
	e := Ended{Pipeline: c.active, Result: Result{State: state, Errors: c.errors, Lost: c.lost(), Sent: true}}
	if state != PipelineCompleted {
		e.Err = &PipelineError{State: state}
		if x, ok := o.Get("ExceptionAsErrorRecord"); ok && x != nil {
			e.Err.Record = parseError(x)
		}
	}
	delete(c.streams, c.active)
	// What was still to be sent to it, such as the answer to a question it no longer waits for, has nobody to go to.
	c.ops = slices.DeleteFunc(c.ops, func(op Op) bool { return op.Pipeline == c.active })
	c.active, c.errors = GUID{}, nil
	c.events = append(c.events, e)
}
