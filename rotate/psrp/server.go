package psrp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// ServerConfig describes the server's end of a pool. The zero value is a healthy Windows.
type ServerConfig struct {
	Rand         io.Reader      // crypto/rand when nil
	FragmentSize int            // bytes of one fragment with its header; 32 KiB when zero
	NoBOM        bool           // Windows starts each document with a byte order mark
	Private      *clixml.Object // a dictionary; the PSVersionTable of Windows Server 2016 when nil
	Broken       *ErrorRecord   // break the pool instead of opening it
}

// Packet is one fragment for a stream of the client.
type Packet struct {
	Pipeline GUID // zero: the pool's stream
	Type     MessageType
	Object   uint64
	Last     bool // of its message
	Data     []byte
}

// ServerEvent is what a ServerCore tells its caller: PoolRequested, KeyExchanged, PipelineRequested or HostAnswered.
type ServerEvent interface{ serverEvent() }

// PoolRequested says that a client has asked for the pool; the answer is already under way.
type PoolRequested struct {
	Pool     GUID
	Min, Max int32
}

// KeyExchanged says that secure strings can now be read.
type KeyExchanged struct{}

// PipelineRequested asks for a pipeline. Secret parameters are clixml.SecureString and clixml.Credential.
type PipelineRequested struct {
	ID       GUID
	Commands []Command
}

// HostAnswered is the client's answer to a host call.
type HostAnswered struct{ HostResponse }

func (PoolRequested) serverEvent()     {}
func (KeyExchanged) serverEvent()      {}
func (PipelineRequested) serverEvent() {}
func (HostAnswered) serverEvent()      {}

// ServerCore is the server's end of a runspace pool. It is not safe for concurrent use.
type ServerCore struct {
	cfg     ServerConfig
	out     Fragmenter
	pool    GUID
	state   PoolState
	streams map[GUID]*Defragmenter
	packets []Packet
	events  []ServerEvent
	session *clixml.SessionKey
	invoked map[GUID]invocation
}

// NewServerCore makes the server's end of a pool that nobody has asked for yet.
func NewServerCore(cfg ServerConfig) *ServerCore {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	return &ServerCore{cfg: cfg, out: Fragmenter{Max: cfg.FragmentSize}, streams: map[GUID]*Defragmenter{}, invoked: map[GUID]invocation{}}
}

// State returns the state of the pool.
func (s *ServerCore) State() PoolState { return s.state }

// HasKey reports whether keys have been exchanged.
func (s *ServerCore) HasKey() bool { return s.session != nil }

// Outgoing returns the next fragment for the client.
func (s *ServerCore) Outgoing() (Packet, bool) {
	if len(s.packets) == 0 {
		return Packet{}, false
	}
	p := s.packets[0]
	s.packets = s.packets[1:]
	return p, true
}

// Next returns the next event.
func (s *ServerCore) Next() (ServerEvent, bool) {
	if len(s.events) == 0 {
		return nil, false
	}
	e := s.events[0]
	s.events = s.events[1:]
	return e, true
}

// Receive takes bytes that came with Create (stream zero), Command or Send, split anywhere. An error that wraps
// clixml.ErrNoKey means that a command held a secret before the key exchange; Windows then fails the Command.
func (s *ServerCore) Receive(stream GUID, b []byte) error {
	d := s.streams[stream]
	if d == nil {
		d = &Defragmenter{}
		s.streams[stream] = d
	}
	if _, err := d.Write(b); err != nil {
		return err
	}
	for o := range d.Messages() {
		m, err := DecodeMessage(o.Data)
		if err != nil {
			return err
		}
		if m.Destination != ToServer {
			return errors.New("psrp: a message for the client came to the server")
		}
		if err := s.message(m); err != nil {
			return err
		}
	}
	return nil
}

// Forget drops what is held of a stream, when its pipeline has ended.
func (s *ServerCore) Forget(pipeline GUID) {
	delete(s.streams, pipeline)
	delete(s.invoked, pipeline)
}

func (s *ServerCore) message(m Message) error {
	v, err := clixml.Unmarshal(m.Data, opener(s.session))
	if err != nil {
		return fmt.Errorf("psrp: message %#08x: %w", uint32(m.Type), err)
	}
	o, _ := v.(*clixml.Object)
	switch m.Type {
	case SessionCapability:
		if s.state != PoolBeforeOpen {
			return fmt.Errorf("psrp: SESSION_CAPABILITY while the pool is %v", s.state)
		}
		s.state = PoolNegotiationSucceeded
		return nil
	case InitRunspacePool:
		return s.open(m.Pool, o)
	case PublicKey:
		return s.exchange(o.Text("PublicKey"))
	case CreatePipeline:
		if s.state != PoolOpened {
			return fmt.Errorf("psrp: CREATE_PIPELINE while the pool is %v", s.state)
		}
		commands, err := parsePipeline(v)
		if err != nil {
			return err
		}
		s.invoked[m.Pipeline] = invocation{options: parseStreamOptions(v), command: commands[0]}
		s.events = append(s.events, PipelineRequested{ID: m.Pipeline, Commands: commands})
		return nil
	case PipelineHostResponse, PoolHostResponse:
		h, err := parseHostResponse(v)
		if err != nil {
			return err
		}
		h.Pipeline = m.Pipeline
		s.events = append(s.events, HostAnswered{h})
	}
	return nil
}

func (s *ServerCore) open(pool GUID, o *clixml.Object) error {
	lo, ok1 := o.Int("MinRunspaces")
	hi, ok2 := o.Int("MaxRunspaces")
	if s.state != PoolNegotiationSucceeded || !ok1 || !ok2 || lo < 1 || hi < lo || hi > 1<<31-1 {
		return errors.New("psrp: INIT_RUNSPACEPOOL out of order or without runspaces")
	}
	s.pool = pool
	s.events = append(s.events, PoolRequested{Pool: pool, Min: int32(lo), Max: int32(hi)})
	if err := s.send(SessionCapability, GUID{}, GUID{}, capability()); err != nil { // with a zero pool id, as Windows does
		return err
	}
	if s.cfg.Broken != nil {
		return s.SetPoolState(PoolBroken, s.cfg.Broken)
	}
	private := s.cfg.Private
	if private == nil {
		private = privateData()
	}
	v := ms(clixml.Property{Name: "ApplicationPrivateData", Value: private})
	if err := s.send(ApplicationPrivateData, pool, GUID{}, v); err != nil {
		return err
	}
	return s.SetPoolState(PoolOpened, nil)
}

func (s *ServerCore) exchange(text string) error {
	public, err := decodePublicKey(text)
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	if _, err := io.ReadFull(s.cfg.Rand, key); err != nil {
		return fmt.Errorf("psrp: key exchange: %w", err)
	}
	sealed, err := sealSessionKey(s.cfg.Rand, public, key)
	if err != nil {
		return fmt.Errorf("psrp: key exchange: %w", err)
	}
	if s.session, err = clixml.NewSessionKey(key); err != nil {
		return err
	}
	s.events = append(s.events, KeyExchanged{})
	v := ms(clixml.Property{Name: "EncryptedSessionKey", Value: sealed})
	return s.send(EncryptedSessionKey, GUID{}, GUID{}, v) // with a zero pool id, as Windows does
}

// Emit sends a record of a pipeline, with its invocation where the client has asked for that.
func (s *ServerCore) Emit(pipeline GUID, r Record) error {
	t, v, err := encodeRecord(r)
	if err != nil {
		return err
	}
	s.invoked[pipeline].addTo(t, r, v)
	return s.send(t, s.pool, pipeline, v)
}

// SetPipelineState tells the client about a pipeline. Windows sends final states only.
func (s *ServerCore) SetPipelineState(pipeline GUID, state PipelineState, e *ErrorRecord) error {
	members := []clixml.Property{{Name: "PipelineState", Value: int32(state)}}
	if e != nil {
		members = append(members, clixml.Property{Name: "ExceptionAsErrorRecord", Value: e.object()})
	}
	return s.send(PipelineStateMessage, s.pool, pipeline, ms(members...))
}

// SetPoolState tells the client about the pool.
func (s *ServerCore) SetPoolState(state PoolState, e *ErrorRecord) error {
	s.state = state
	members := []clixml.Property{{Name: "RunspaceState", Value: int32(state)}}
	if e != nil {
		members = append(members, clixml.Property{Name: "ExceptionAsErrorRecord", Value: e.object()})
	}
	return s.send(RunspacePoolState, s.pool, GUID{}, ms(members...))
}

// Ask sends a host call.
func (s *ServerCore) Ask(h HostCall) error {
	t := PipelineHostCall
	if h.Pipeline.IsZero() {
		t = PoolHostCall
	}
	return s.send(t, s.pool, h.Pipeline, h.object())
}

// RequestKey asks the client to start a key exchange.
func (s *ServerCore) RequestKey() error { return s.send(PublicKeyRequest, s.pool, GUID{}, "") }

func (s *ServerCore) send(t MessageType, pool, pipeline GUID, v any) error {
	data, err := clixml.Marshal(v, sealer(s.session))
	if err != nil {
		return fmt.Errorf("psrp: message %#08x: %w", uint32(t), err)
	}
	if !s.cfg.NoBOM {
		data = append([]byte("\xef\xbb\xbf"), data...)
	}
	fragments := s.out.Fragments(Message{Destination: ToClient, Type: t, Pool: pool, Pipeline: pipeline, Data: data})
	for i, f := range fragments {
		s.packets = append(s.packets, Packet{
			Pipeline: pipeline, Type: t, Object: s.out.object, Last: i == len(fragments)-1, Data: f,
		})
	}
	return nil
}

func privateData() *clixml.Object {
	dictionary := func(entries ...clixml.Entry) *clixml.Object {
		return &clixml.Object{
			Types:     []string{automation + "PSPrimitiveDictionary", "System.Collections.Hashtable", "System.Object"},
			Container: clixml.Dictionary,
			Dict:      entries,
		}
	}
	return dictionary(clixml.Entry{Key: "PSVersionTable", Value: dictionary(
		clixml.Entry{Key: "PSVersion", Value: clixml.Version("5.1.14393.2248")},
		clixml.Entry{Key: "PSEdition", Value: "Desktop"},
		clixml.Entry{Key: "PSRemotingProtocolVersion", Value: clixml.Version(ProtocolVersion)},
		clixml.Entry{Key: "SerializationVersion", Value: clixml.Version(serializationVersion)},
	)})
}
