package smb

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
)

// Frames of direct TCP (MS-SMB2, section 2.1): a zero byte, three bytes of length, then one message. It begins with FD 'S'
// 'M' 'B' when it is encrypted, with FE 'S' 'M' 'B' when it is not.
const (
	frameHeader   = 4
	maxFrame      = 16 << 20
	protocolPlain = 0x424d53fe
	protocolSeal  = 0x424d53fd
	commandAt     = 12 // little-endian uint16 (MS-SMB2, section 2.2.1.2)
	nextCommandAt = 20 // little-endian uint32: offset of the next message of a compound, 0 for the last
	plainHeader   = 64

	commandNegotiate    = 0
	commandSessionSetup = 1
	commandLogoff       = 2
	commandTreeConnect  = 3
)

// errPlain is what a write ends in that would have shown a name or a byte of a file.
var errPlain = errors.New("refusing to send in clear: the server does not encrypt")

// guard lets only those frames out that are encrypted, or that make up the login. Neither library can demand encryption by
// itself; they do what the server announces. It also sends header and message as one write, where the library uses two.
//
// The library writes from one goroutine at a time.
type guard struct {
	net.Conn
	plain   bool // signing alone is accepted
	buf     []byte
	refused atomic.Bool
}

// Write collects until a frame is whole. A frame that may not leave ends the connection: half of a stream is no stream.
func (g *guard) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		want := frameHeader
		if len(g.buf) >= frameHeader {
			want = frameHeader + int(binary.BigEndian.Uint32(g.buf))
		}
		take := min(want-len(g.buf), len(p))
		if len(g.buf) == frameHeader && take == want-frameHeader {
			// The usual case: a header, then the message whole. No copy is made.
			if err := g.send(p[:take]); err != nil {
				return 0, err
			}
			p = p[take:]
			continue
		}
		g.buf = append(g.buf, p[:take]...)
		p = p[take:]
		if len(g.buf) < frameHeader {
			continue
		}
		switch size := binary.BigEndian.Uint32(g.buf); {
		case size > maxFrame:
			return 0, errors.New("frame too large")
		case len(g.buf) == frameHeader+int(size):
			message := append([]byte(nil), g.buf[frameHeader:]...)
			g.buf = g.buf[:frameHeader]
			if err := g.send(message); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// send writes the collected header and the message, if the message may leave.
func (g *guard) send(message []byte) error {
	if !g.plain && !mayLeave(message) {
		g.refused.Store(true)
		return errPlain
	}
	frame := net.Buffers{g.buf, message}
	_, err := frame.WriteTo(g.Conn)
	g.buf = nil // WriteTo has consumed it, and the connection may still refer to it
	return err
}

// mayLeave reports whether a message shows nothing but who logs in where.
func mayLeave(m []byte) bool {
	if len(m) >= 4 && binary.LittleEndian.Uint32(m) == protocolSeal {
		return true
	}
	for {
		if len(m) < plainHeader || binary.LittleEndian.Uint32(m) != protocolPlain {
			return false
		}
		switch binary.LittleEndian.Uint16(m[commandAt:]) {
		case commandNegotiate, commandSessionSetup, commandLogoff, commandTreeConnect:
		default:
			return false
		}
		next := binary.LittleEndian.Uint32(m[nextCommandAt:])
		if next == 0 {
			return true
		}
		if next < plainHeader || uint64(next) > uint64(len(m)) {
			return false
		}
		m = m[next:]
	}
}
