package wsman

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// A secret may lie across two fragments, and they in two envelopes. So a recorder holds envelopes back until the messages
// in them are whole, scrubs those, and puts the bytes back where they came from.

// cut finds the fragments in an envelope. What is not well-formed is withheld, because nobody can say what is in it.
func cut(envelope []byte) []piece {
	if len(envelope) == 0 {
		return nil
	}
	d := xml.NewDecoder(bytes.NewReader(envelope))
	var out []piece
	done := 0 // bytes of the envelope that are in out
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return append(out, piece{text: bytes.Clone(envelope[done:])})
		}
		if err != nil {
			return withheld(envelope)
		}
		start, ok := t.(xml.StartElement)
		if !ok || !carriesFragments(start.Name.Local) {
			continue
		}
		from := int(d.InputOffset())
		text, to, err := charData(d, start.Name)
		if err != nil {
			return withheld(envelope)
		}
		blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			blob = bytes.Repeat([]byte("x"), len(text))
		}
		out = append(out, piece{text: bytes.Clone(envelope[done:from])}, piece{blob: append([]byte{}, blob...)})
		done = to
	}
}

func withheld(envelope []byte) []piece {
	return []piece{{text: fmt.Appendf(nil, "<withheld bytes=%q/>", fmt.Sprint(len(envelope)))}}
}

func carriesFragments(element string) bool {
	switch element {
	case "Stream", "Arguments", "creationXml", "connectXml", "connectResponseXml":
		return true
	}
	return false
}

// charData reads the text of an element and says where its end tag stands. Anything else within is an error: who reads the
// answer may join what stands around it, and then other bytes are in it than here.
func charData(d *xml.Decoder, name xml.Name) (text string, end int, err error) {
	var b strings.Builder
	for {
		end = int(d.InputOffset())
		t, err := d.RawToken()
		if err != nil {
			return "", 0, err
		}
		switch t := t.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.EndElement:
			if t.Name != name {
				return "", 0, errEnvelope
			}
			return b.String(), end, nil
		default:
			return "", 0, errEnvelope
		}
	}
}

func joined(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.Write(p.text)
		if p.blob != nil {
			b.WriteString(base64.StdEncoding.EncodeToString(p.blob))
		}
	}
	return b.String()
}

// reel is one stream of fragments.
type reel struct {
	buf    []byte // of blobs in a row
	blobs  []span // what buf came from
	parsed int
	open   map[uint64]*strand
	torn   bool // the stream cannot be followed any more: everything in it is filled
}

type span struct {
	take *take
	blob []byte
	from int
}

// strand is one message under way: where in buf its bytes stand.
type strand struct {
	parts [][2]int
	bytes int
}

func newReel() *reel { return &reel{open: map[uint64]*strand{}} }

const fragmentHeader = 21

func (r *reel) add(t *take, blob []byte, scrub *psrp.Scrubber) {
	if r.torn {
		psrp.Wipe(blob)
		return
	}
	r.blobs = append(r.blobs, span{take: t, blob: blob, from: len(r.buf)})
	r.buf = append(r.buf, blob...)
	t.pending++
	for !r.torn && len(r.buf)-r.parsed >= fragmentHeader {
		h := r.buf[r.parsed:]
		object, id, flags, length := binary.BigEndian.Uint64(h), binary.BigEndian.Uint64(h[8:]), h[16], binary.BigEndian.Uint32(h[17:])
		if length > maxBody*2 || object == 0 || flags > 3 {
			r.wipe()
			r.torn = true
			return
		}
		from := r.parsed + fragmentHeader
		to := from + int(length)
		if to > len(r.buf) {
			break
		}
		r.parsed = to
		r.fragment(t, object, id, flags, [2]int{from, to}, scrub)
	}
	if r.parsed == len(r.buf) && len(r.open) == 0 {
		r.settle()
	}
}

func (r *reel) fragment(t *take, object, id uint64, flags byte, at [2]int, scrub *psrp.Scrubber) {
	if flags&1 != 0 {
		r.drop(object)
		r.open[object] = &strand{}
	}
	s := r.open[object]
	switch {
	case s != nil && id > uint64(len(s.parts)): // the rest was lost, and it will never be whole
		r.drop(object)
		fallthrough
	case s == nil, id < uint64(len(s.parts)):
		psrp.Wipe(r.buf[at[0]:at[1]])
		return
	}
	s.parts = append(s.parts, at)
	s.bytes += at[1] - at[0]
	if flags&2 == 0 {
		return
	}
	delete(r.open, object)
	data := make([]byte, 0, s.bytes)
	for _, p := range s.parts {
		data = append(data, r.buf[p[0]:p[1]]...)
	}
	m, ok := scrub.Object(data)
	if ok {
		t.frame.Says = append(t.frame.Says, Message{Type: fmt.Sprintf("%#08x", uint32(m.Type)), Data: strings.ToValidUTF8(string(m.Data), "?")})
	}
	for _, p := range s.parts {
		data = data[copy(r.buf[p[0]:p[1]], data):]
	}
}

// drop fills what there is of a message that will never be whole.
func (r *reel) drop(object uint64) {
	if s := r.open[object]; s != nil {
		for _, p := range s.parts {
			psrp.Wipe(r.buf[p[0]:p[1]])
		}
		delete(r.open, object)
	}
}

// interrupted says that an answer may be missing from here on. A fragment that was cut in two cannot be followed over that.
func (r *reel) interrupted() {
	if r.parsed < len(r.buf) {
		r.wipe()
		r.torn = true
	}
}

func (r *reel) wipe() {
	for object := range r.open {
		r.drop(object)
	}
	psrp.Wipe(r.buf[r.parsed:])
	r.parsed = len(r.buf)
	r.settle()
}

// settle puts the bytes back into the envelopes, which wait for nothing more.
func (r *reel) settle() {
	for _, s := range r.blobs {
		copy(s.blob, r.buf[s.from:])
		s.take.pending--
	}
	r.buf, r.blobs, r.parsed = nil, nil, 0
}
