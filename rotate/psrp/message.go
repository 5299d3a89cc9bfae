package psrp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MessageType is MS-PSRP section 2.2.1.
type MessageType uint32

// The messages this package sends or understands.
const (
	SessionCapability      MessageType = 0x00010002
	InitRunspacePool       MessageType = 0x00010004
	PublicKey              MessageType = 0x00010005
	EncryptedSessionKey    MessageType = 0x00010006
	PublicKeyRequest       MessageType = 0x00010007
	ConnectRunspacePool    MessageType = 0x00010008
	RunspaceAvailability   MessageType = 0x00021004
	RunspacePoolState      MessageType = 0x00021005
	CreatePipeline         MessageType = 0x00021006
	UserEvent              MessageType = 0x00021008
	ApplicationPrivateData MessageType = 0x00021009
	RunspacePoolInitData   MessageType = 0x0002100B
	PoolHostCall           MessageType = 0x00021100
	PoolHostResponse       MessageType = 0x00021101
	PipelineInput          MessageType = 0x00041002
	EndOfPipelineInput     MessageType = 0x00041003
	PipelineOutput         MessageType = 0x00041004
	PipelineErrorRecord    MessageType = 0x00041005
	PipelineStateMessage   MessageType = 0x00041006
	DebugRecord            MessageType = 0x00041007
	VerboseRecord          MessageType = 0x00041008
	WarningRecord          MessageType = 0x00041009
	ProgressRecord         MessageType = 0x00041010
	InformationRecord      MessageType = 0x00041011
	PipelineHostCall       MessageType = 0x00041100
	PipelineHostResponse   MessageType = 0x00041101
)

// Destinations of a message.
const (
	ToClient uint32 = 1
	ToServer uint32 = 2
)

const messageHeader = 40

// Message is one message of the protocol. Pipeline is zero for messages of the pool.
type Message struct {
	Destination uint32
	Type        MessageType
	Pool        GUID
	Pipeline    GUID
	Data        []byte // CLIXML in UTF-8, with or without a byte order mark
}

// Encode writes the little-endian header and the data.
func (m Message) Encode() []byte {
	b := make([]byte, 0, messageHeader+len(m.Data))
	b = binary.LittleEndian.AppendUint32(b, m.Destination)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Type))
	pool, pipeline := swap(m.Pool), swap(m.Pipeline)
	b = append(b, pool[:]...)
	b = append(b, pipeline[:]...)
	return append(b, m.Data...)
}

// DecodeMessage reads a message. The data is not copied.
func DecodeMessage(b []byte) (Message, error) {
	if len(b) < messageHeader {
		return Message{}, fmt.Errorf("psrp: a message of %d bytes, want at least %d", len(b), messageHeader)
	}
	m := Message{
		Destination: binary.LittleEndian.Uint32(b),
		Type:        MessageType(binary.LittleEndian.Uint32(b[4:])),
		Pool:        swap(GUID(b[8:24])),
		Pipeline:    swap(GUID(b[24:40])),
		Data:        b[messageHeader:],
	}
	if m.Destination != ToClient && m.Destination != ToServer {
		return Message{}, errors.New("psrp: a message is neither for client nor for server")
	}
	return m, nil
}

// swap turns text order into .NET order and back: the first three groups of a GUID are little endian there.
func swap(g GUID) GUID {
	g[0], g[1], g[2], g[3] = g[3], g[2], g[1], g[0]
	g[4], g[5] = g[5], g[4]
	g[6], g[7] = g[7], g[6]
	return g
}
