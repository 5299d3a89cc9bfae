package psrp

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Config describes the client's end of a pool.
type Config struct {
	Pool           GUID            // also the ShellId
	Rand           io.Reader       // crypto/rand when nil
	FragmentSize   int             // bytes of one fragment with its header; 32 KiB when zero
	InvocationInfo bool            // ask the server to echo bound parameters into records; it is off because they tell paths and users
	Key            *rsa.PrivateKey // of the key exchange; drawn when first needed if nil
}

// OpKind says how an Op travels.
type OpKind uint8

// The operations of WS-Man that carry fragments.
const (
	OpCreate  OpKind = iota + 1 // creationXml
	OpCommand                   // the arguments of a command line; Pipeline is the CommandId
	OpSend                      // a stream of the pool or of a pipeline
)

// Op is something the caller must now send. Ops go out in order, each after the one before was answered.
type Op struct {
	Kind     OpKind
	Pipeline GUID   // zero: the pool
	Stream   string // of OpSend: stdin or pr
	Data     []byte
}

// Event is what a Core tells its caller: Opened, Said or Ended.
type Event interface{ event() }

// Opened says that the pool is ready.
type Opened struct{}

// Said is one record of a pipeline.
type Said struct {
	Pipeline GUID
	Record   Record
}

// Ended says that a pipeline has reached a final state. Err is nil when it completed.
type Ended struct {
	Pipeline GUID
	Result   Result
	Err      *PipelineError
}

// Ignored says that a message came whose type nobody here knows, or knows what to do with: a newer server may have more to
// say. Its content is nobody's business.
type Ignored struct {
	Type MessageType
	Size int // of its data, in bytes
}

func (Opened) event()  {}
func (Said) event()    {}
func (Ended) event()   {}
func (Ignored) event() {}

// maxKeptErrors and maxKeptErrorBytes bound Result.Errors; every error also comes as a record.
const (
	maxKeptErrors     = 1000
	maxKeptErrorBytes = 16 << 20
)

// maxCommand bounds what one command may say; it is the bound of PowerShell itself. An hour of a rotation says a hundredth of it.
const maxCommand = 50 << 20

// Core is the client's end of a runspace pool. It is not safe for concurrent use.
type Core struct {
	cfg     Config
	out     Fragmenter
	state   PoolState
	streams map[GUID]*Defragmenter
	ids     idSet
	highest uint64
	ops     []Op
	events  []Event
	private *clixml.Object
	err     error

	private2048 *rsa.PrivateKey
	keySent     bool
	session     *clixml.SessionKey

	active   GUID
	waiting  *Command // for the session key
	errors   []ErrorRecord
	errBytes int
	heard    int // bytes of the pipeline so far
	ignored  int
	lostAt   uint64
	broken   bool // a connection was lost while the command ran
}

// NewCore makes the client's end of a pool that is not open yet.
func NewCore(cfg Config) (*Core, error) {
	if cfg.Pool.IsZero() {
		return nil, errors.New("psrp: a pool needs an id")
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	return &Core{cfg: cfg, out: Fragmenter{Max: cfg.FragmentSize}, streams: map[GUID]*Defragmenter{}, private2048: cfg.Key}, nil
}

// State returns the state of the pool.
func (c *Core) State() PoolState { return c.state }

// Private returns what the server said about itself when the pool opened, or nil.
func (c *Core) Private() *clixml.Object { return c.private }

// Lost counts the gaps between the ids of the pool's objects: messages that were sent but have not arrived, and, on a server
// that counts what it says to others as well, messages that were never for us.
func (c *Core) Lost() uint64 { return c.ids.lost(c.highest) }

// lost counts what is missing since the command began. A message of the pool that waited in its own stream until then may
// have come since, and made good for one that was missing before. Windows numbers objects per process (SerializedDataStream
// in PowerShell's source), so a cmdlet that itself speaks to another machine leaves gaps: while no connection broke, an
// answer comes whole, and a gap is no loss.
func (c *Core) lost() uint64 {
	if !c.broken {
		return 0
	}
	now := c.Lost()
	return now - min(now, c.lostAt)
}

// Open asks for the pool.
func (c *Core) Open() error {
	if c.state != PoolBeforeOpen {
		return fmt.Errorf("psrp: open: the pool is %v", c.state)
	}
	var data []byte
	for _, m := range []struct {
		t MessageType
		v any
	}{{SessionCapability, capability()}, {InitRunspacePool, initPool()}} {
		fragments, err := c.encode(m.t, GUID{}, m.v)
		if err != nil {
			return err
		}
		for _, f := range fragments {
			data = append(data, f...)
		}
	}
	c.state = PoolNegotiationSent
	c.ops = append(c.ops, Op{Kind: OpCreate, Data: data})
	return nil
}

// Invoke asks for a pipeline of one command. A pool runs one pipeline at a time. When the command holds a secret and the
// session key is not there yet, the exchange comes first.
func (c *Core) Invoke(pipeline GUID, cmd Command) error {
	switch {
	case c.err != nil:
		return c.err
	case c.state != PoolOpened:
		return fmt.Errorf("psrp: invoke: the pool is %v", c.state)
	case !c.active.IsZero():
		return errors.New("psrp: invoke: another pipeline is running")
	case pipeline.IsZero():
		return errors.New("psrp: invoke: a pipeline needs an id")
	}
	if err := cmd.check(); err != nil {
		return err
	}
	c.errors, c.errBytes, c.heard, c.lostAt, c.broken = nil, 0, 0, c.Lost(), false
	if c.session == nil && cmd.holdsSecret() {
		if err := c.sendPublicKey(); err != nil {
			return err
		}
		c.active, c.waiting = pipeline, &cmd
		return nil
	}
	if err := c.start(pipeline, cmd); err != nil {
		return err
	}
	c.active = pipeline
	return nil
}

// ExchangeKeys begins the key exchange that a command with a secret needs, ahead of the command. HasKey tells when it is
// done.
func (c *Core) ExchangeKeys() error {
	switch {
	case c.err != nil:
		return c.err
	case c.state != PoolOpened:
		return fmt.Errorf("psrp: key exchange: the pool is %v", c.state)
	case !c.active.IsZero():
		return errors.New("psrp: key exchange: a pipeline is running")
	case c.session != nil:
		return nil
	}
	return c.sendPublicKey()
}

// HasKey reports whether keys have been exchanged.
func (c *Core) HasKey() bool { return c.session != nil }

// check refuses what a no-language endpoint would refuse, and what could turn a name into something else.
func (c Command) check() error {
	if c.Script {
		return errors.New("psrp: script text is not sent, only cmdlets with named parameters")
	}
	if !isName(c.Name) {
		return fmt.Errorf("psrp: %.64q is not the name of a cmdlet", c.Name)
	}
	for _, p := range c.Params {
		if !isName(p.Name) || strings.HasPrefix(p.Name, "-") {
			return fmt.Errorf("psrp: %s: %.64q is not the name of a parameter", c.Name, p.Name)
		}
	}
	return nil
}

func isName(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for _, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && r != '-' && r != '_' && r != '\\' && r != '.' {
			return false
		}
	}
	return true
}

func (c *Core) start(pipeline GUID, cmd Command) error {
	fragments, err := c.encode(CreatePipeline, pipeline, createPipeline(cmd, c.cfg.InvocationInfo))
	if err != nil {
		return fmt.Errorf("psrp: %s: %w", cmd.Name, err)
	}
	for i, f := range fragments {
		op := Op{Kind: OpSend, Pipeline: pipeline, Stream: "stdin", Data: f}
		if i == 0 {
			op.Kind, op.Stream = OpCommand, ""
		}
		c.ops = append(c.ops, op)
	}
	return nil
}

func (c *Core) sendPublicKey() error {
	if c.keySent {
		return nil
	}
	if c.private2048 == nil {
		k, err := rsa.GenerateKey(c.cfg.Rand, rsaBits)
		if err != nil {
			return fmt.Errorf("psrp: key exchange: %w", err)
		}
		c.private2048 = k
	}
	v := ms(clixml.Property{Name: "PublicKey", Value: encodePublicKey(&c.private2048.PublicKey)})
	fragments, err := c.encode(PublicKey, GUID{}, v)
	if err != nil {
		return err
	}
	c.keySent = true
	c.sendAll(GUID{}, "stdin", fragments)
	return nil
}

func (c *Core) sendAll(pipeline GUID, stream string, fragments [][]byte) {
	for _, f := range fragments {
		c.ops = append(c.ops, Op{Kind: OpSend, Pipeline: pipeline, Stream: stream, Data: f})
	}
}

func (c *Core) encode(t MessageType, pipeline GUID, v any) ([][]byte, error) {
	data, err := clixml.Marshal(v, sealer(c.session))
	if err != nil {
		return nil, err
	}
	return c.out.Fragments(Message{Destination: ToServer, Type: t, Pool: c.cfg.Pool, Pipeline: pipeline, Data: data}), nil
}

// sealer and opener keep a nil key from becoming an interface that is not nil.
func sealer(k *clixml.SessionKey) clixml.Sealer {
	if k == nil {
		return nil
	}
	return k
}

func opener(k *clixml.SessionKey) clixml.Opener {
	if k == nil {
		return nil
	}
	return k
}

// Outgoing returns the next thing to send.
func (c *Core) Outgoing() (Op, bool) {
	if len(c.ops) == 0 {
		return Op{}, false
	}
	op := c.ops[0]
	c.ops = c.ops[1:]
	return op, true
}

// Listen names the stream to receive from next; ok is false when nothing is to come.
func (c *Core) Listen() (stream GUID, ok bool) {
	switch {
	case c.err != nil:
		return GUID{}, false
	case c.state == PoolNegotiationSent || c.state == PoolNegotiationSucceeded || c.state == PoolOpening, c.waiting != nil, c.keySent && c.session == nil:
		return GUID{}, true
	case !c.active.IsZero():
		return c.active, true
	}
	return GUID{}, false
}

// Interrupted says that a connection was lost while the stream was being received: bytes of a fragment whose rest went
// with it are dropped, and so are objects whose next fragment never came.
func (c *Core) Interrupted(stream GUID) {
	c.broken = true
	if d := c.streams[stream]; d != nil {
		d.Resync()
	}
}

// Abandon gives up a pipeline that the server has not taken, and everything that was to be sent for it.
func (c *Core) Abandon() {
	c.active, c.waiting, c.ops = GUID{}, nil, nil
}

// Next returns the next event.
func (c *Core) Next() (Event, bool) {
	if len(c.events) == 0 {
		return nil, false
	}
	e := c.events[0]
	c.events = c.events[1:]
	return e, true
}
