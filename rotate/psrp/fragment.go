package psrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
)

const fragmentHeader = 21

const (
	flagStart = 1
	flagEnd   = 2
)

// ErrLimit is wrapped when a peer sends more than this package is willing to hold.
var ErrLimit = errors.New("psrp: limit exceeded")

// Fragmenter cuts messages into fragments. Object ids start at 1 and grow by one per message; a pool has one Fragmenter
// for each direction, shared by all its streams.
type Fragmenter struct {
	Max    int // bytes of one fragment with its header; 32 KiB when zero
	object uint64
}

// Fragments cuts one message.
func (f *Fragmenter) Fragments(m Message) [][]byte {
	limit := f.Max
	if limit == 0 {
		limit = 32 << 10
	}
	limit = max(limit-fragmentHeader, 1)
	f.object++
	data := m.Encode()
	var out [][]byte
	for id := uint64(0); ; id++ {
		part := data[:min(limit, len(data))]
		data = data[len(part):]
		var flags byte
		if id == 0 {
			flags |= flagStart
		}
		if len(data) == 0 {
			flags |= flagEnd
		}
		b := make([]byte, 0, fragmentHeader+len(part))
		b = binary.BigEndian.AppendUint64(b, f.object)
		b = binary.BigEndian.AppendUint64(b, id)
		b = append(b, flags)
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		out = append(out, append(b, part...))
		if len(data) == 0 {
			return out
		}
	}
}

// Object is a message that came whole, and the id it came under.
type Object struct {
	ID   uint64
	Data []byte
}

// Defragmenter joins the fragments of one stream. Its bounds are fixed: an object of 10 MiB, 16 MiB and 16 objects under
// way at a time.
type Defragmenter struct {
	// Tolerant makes a gap cost the object instead of the stream: after a lost connection the rest of an object that was
	// under way is of no use, but the messages after it are.
	Tolerant bool
	// Highest is the greatest object id seen in any fragment.
	Highest uint64

	buf     []byte // the beginning of a fragment
	doubt   bool   // whether the rest of buf was lost
	tail    []byte // what came while in doubt
	open    map[uint64]*partial
	held    int
	done    []Object
	waiting int // bytes in done
}

type partial struct {
	next uint64
	data []byte
	dead bool // a gap was found; skip the rest
}

const (
	maxObject     = 10 << 20
	maxHeld       = 16 << 20
	maxOpen       = 16
	maxUndrained  = 64 << 20
	maxUndrainedN = 200_000
)

// GapError says that fragments of an object are missing.
type GapError struct{ Object, Got, Want uint64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("psrp: object %d: got fragment %d, want %d", e.Object, e.Got, e.Want)
}

// Write takes the next bytes of the stream, split anywhere. After an error the stream is of no use.
func (d *Defragmenter) Write(p []byte) (int, error) {
	if !d.doubt {
		d.buf = append(d.buf, p...)
	} else if !d.decide(p) {
		return len(p), nil
	}
	d.doubt = false
	off := 0
	for len(d.buf)-off >= fragmentHeader {
		length := binary.BigEndian.Uint32(d.buf[off+17:])
		if length > maxObject {
			return 0, fmt.Errorf("%w: a fragment of %d bytes", ErrLimit, length)
		}
		end := off + fragmentHeader + int(length)
		if len(d.buf) < end {
			break
		}
		if err := d.fragment(d.buf[off:end]); err != nil {
			return 0, err
		}
		off = end
	}
	if off > 0 {
		d.buf = append([]byte(nil), d.buf[off:]...)
	}
	return len(p), nil
}

// Resync says that a connection was lost, and perhaps an answer with it. Answers are taken whole or not at all, so the
// beginning of a fragment that is held came in an earlier one. Its rest comes next if the server had not sent it, and
// never if it was in the lost answer; what comes next tells which.
func (d *Defragmenter) Resync() {
	if len(d.buf) > 0 || d.doubt {
		d.doubt = true
	}
}

// decide takes bytes that follow a loss, and reports whether it is clear by now where they belong. A fragment of its own
// begins with a header. The rest of one does not look like that: it is text, in which no byte is zero, or lies in a
// message's header; and the rest of a fragment's header fits what is held of it.
func (d *Defragmenter) decide(p []byte) bool {
	d.tail = append(d.tail, p...)
	rest := false
	for _, b := range d.tail[:min(4, len(d.tail))] {
		rest = rest || b != 0
	}
	if !rest && len(d.tail) < fragmentHeader {
		return false
	}
	if !rest {
		rest = !plausible(d.tail) ||
			len(d.buf) < 8 && plausible(slices.Concat(d.buf, d.tail)) // shifted by a few bytes, a header can still look like one
	}
	switch {
	case rest:
		d.buf = append(d.buf, d.tail...)
	case len(d.buf) >= 8: // the loss must show in the ids
		d.Highest = max(d.Highest, binary.BigEndian.Uint64(d.buf))
		fallthrough
	default:
		d.buf = d.tail
	}
	d.tail = nil
	return true
}

// plausible reports whether b begins with the header of a fragment. No pool comes to 2^32 objects, and no fragment is empty.
func plausible(b []byte) bool {
	object, id, flags, length := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), b[16], binary.BigEndian.Uint32(b[17:])
	return object > 0 && object < 1<<32 && id < 1<<32 && flags&^(flagStart|flagEnd) == 0 &&
		(flags&flagStart != 0) == (id == 0) && length > 0 && length <= maxObject
}

// Messages drains the objects that are complete.
func (d *Defragmenter) Messages() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for len(d.done) > 0 {
			o := d.done[0]
			d.done = d.done[1:]
			d.waiting -= len(o.Data)
			if !yield(o) {
				return
			}
		}
	}
}

func (d *Defragmenter) fragment(f []byte) error {
	object := binary.BigEndian.Uint64(f)
	id := binary.BigEndian.Uint64(f[8:])
	flags, data := f[16], f[fragmentHeader:]
	if object == 0 || flags&^(flagStart|flagEnd) != 0 || (flags&flagStart != 0) != (id == 0) {
		return fmt.Errorf("psrp: a fragment with object %d, number %d and flags %#x", object, id, flags)
	}
	d.Highest = max(d.Highest, object)
	o := d.open[object]
	if flags&flagStart != 0 {
		d.drop(object)
		if len(d.open) >= maxOpen && d.Tolerant {
			d.drop(slices.Min(slices.Collect(maps.Keys(d.open)))) // one that will never end
		}
		if len(d.open) >= maxOpen {
			return fmt.Errorf("%w: %d objects under way", ErrLimit, maxOpen)
		}
		if d.open == nil {
			d.open = map[uint64]*partial{}
		}
		o = &partial{}
		d.open[object] = o
	}
	switch {
	case o == nil && d.Tolerant:
		return nil // its start was lost, and the loss shows in the ids
	case o == nil:
		return &GapError{Object: object, Got: id}
	case id < o.next && d.Tolerant:
		return nil // a repeated fragment
	case id != o.next && d.Tolerant:
		d.held -= len(o.data)
		o.data, o.dead = nil, true
	case id != o.next:
		return &GapError{Object: object, Got: id, Want: o.next}
	}
	o.next = id + 1
	if o.dead {
		if flags&flagEnd != 0 {
			d.drop(object)
		}
		return nil
	}
	if len(o.data)+len(data) > maxObject || d.held+len(data) > maxHeld {
		return fmt.Errorf("%w: an object of more than %d bytes", ErrLimit, maxObject)
	}
	o.data = append(o.data, data...)
	d.held += len(data)
	if flags&flagEnd != 0 {
		whole := o.data
		d.drop(object)
		return d.finish(Object{ID: object, Data: whole})
	}
	return nil
}

func (d *Defragmenter) finish(o Object) error {
	if len(d.done) >= maxUndrainedN || d.waiting+len(o.Data) > maxUndrained {
		return fmt.Errorf("%w: too many messages at once", ErrLimit)
	}
	d.waiting += len(o.Data)
	d.done = append(d.done, o)
	return nil
}

func (d *Defragmenter) drop(object uint64) {
	if o, ok := d.open[object]; ok {
		d.held -= len(o.data)
		delete(d.open, object)
	}
}
