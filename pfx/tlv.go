package pfx

import (
	"strconv"
	"strings"
)

// An element is one tag-length-value. PKCS#12 is specified in BER: NSS writes indefinite lengths and split strings, so
// encoding/asn1 (DER, and lenient about surplus members) cannot be used to read it.
type element struct {
	class, tag  byte
	constructed bool
	body        []byte
	depth       int
}

const (
	universal = 0
	tagged    = 2 // context-specific

	tagInteger = 2
	tagOctets  = 4
	tagOID     = 6
	tagSeq     = 16
	tagSet     = 17
	tagBMP     = 30
)

func (e element) is(class, tag byte, constructed bool) bool {
	return e.class == class && e.tag == tag && e.constructed == constructed
}

// A walker takes elements apart. Slices it returns point into the input, except joined strings.
type walker struct {
	depth int  // the deepest element it will look at
	ber   bool // has seen an encoding that DER forbids
}

// next splits the first element off b.
func (w *walker) next(b []byte, depth int, what string) (e element, rest []byte, err error) {
	if depth > w.depth {
		return e, nil, overLimit("nesting", int64(depth), w.depth)
	}
	if len(b) < 2 {
		return e, nil, malformed("%s: truncated", what)
	}
	e = element{class: b[0] >> 6, tag: b[0] & 0x1f, constructed: b[0]&0x20 != 0, depth: depth}
	if e.tag == 0x1f {
		return e, nil, malformed("%s: tag of several bytes", what)
	}
	if b[0] == 0 {
		return e, nil, malformed("%s: stray end of contents", what)
	}
	if b[1] == 0x80 {
		return w.indefinite(e, b[2:], what)
	}
	n, head, ok := w.length(b[1:])
	if !ok {
		return e, nil, malformed("%s: bad length", what)
	}
	b = b[1+head:]
	if n > uint64(len(b)) {
		return e, nil, malformed("%s: truncated, %d bytes announced and %d there", what, n, len(b))
	}
	e.body = b[:n]
	return e, b[n:], nil
}

func (w *walker) indefinite(e element, b []byte, what string) (element, []byte, error) {
	w.ber = true
	if !e.constructed {
		return e, nil, malformed("%s: indefinite length of a primitive value", what)
	}
	rest := b
	for {
		if len(rest) >= 2 && rest[0] == 0 && rest[1] == 0 {
			e.body = b[:len(b)-len(rest)]
			return e, rest[2:], nil
		}
		var err error
		if _, rest, err = w.next(rest, e.depth+1, what); err != nil {
			return e, nil, err
		}
	}
}

// length reads a definite length and says how many bytes it took.
func (w *walker) length(b []byte) (n uint64, size int, ok bool) {
	if b[0] < 0x80 {
		return uint64(b[0]), 1, true
	}
	size = int(b[0] & 0x7f)
	if size == 0 || size > 8 || size >= len(b) {
		return 0, 0, false
	}
	for _, c := range b[1 : 1+size] {
		n = n<<8 | uint64(c)
	}
	if b[1] == 0 || n < 0x80 {
		w.ber = true
	}
	return n, 1 + size, true
}

// only reads the one element that b must be.
func (w *walker) only(b []byte, depth int, what string) (element, error) {
	e, rest, err := w.next(b, depth, what)
	if err == nil && len(rest) != 0 {
		err = malformed("%s: %d bytes after its end", what, len(rest))
	}
	return e, err
}

// members splits the contents of e, at most limit of them.
func (w *walker) members(e element, limit int, what string) ([]element, error) {
	var out []element
	for rest := e.body; len(rest) > 0; {
		if len(out) == limit {
			return nil, overLimit(what+": members", int64(limit)+1, limit)
		}
		var m element
		var err error
		if m, rest, err = w.next(rest, e.depth+1, what); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// sequence returns the members of a SEQUENCE that must have low to high of them.
func (w *walker) sequence(e element, low, high int, what string) ([]element, error) {
	if !e.is(universal, tagSeq, true) {
		return nil, malformed("%s: not a sequence", what)
	}
	m := make([]element, 0, high)
	for rest := e.body; len(rest) > 0; {
		if len(m) == high {
			return nil, malformed("%s: more than %d members", what, high)
		}
		var one element
		var err error
		if one, rest, err = w.next(rest, e.depth+1, what); err != nil {
			return nil, err
		}
		m = append(m, one)
	}
	if len(m) < low {
		return nil, malformed("%s: %d members, want at least %d", what, len(m), low)
	}
	return m, nil
}

// list returns the members of a SEQUENCE OF (or SET OF), as many as limit.
func (w *walker) list(e element, tag byte, limit int, what string) ([]element, error) {
	if !e.is(universal, tag, true) {
		return nil, malformed("%s: not a list", what)
	}
	return w.members(e, limit, what)
}

// explicit returns the single member of a [n] EXPLICIT.
func (w *walker) explicit(e element, n byte, what string) (element, error) {
	if !e.is(tagged, n, true) {
		return element{}, malformed("%s: not tagged [%d]", what, n)
	}
	return w.only(e.body, e.depth+1, what)
}

// octets returns the bytes of an OCTET STRING, joined when BER splits it.
func (w *walker) octets(e element, what string) ([]byte, error) {
	if e.class != universal || e.tag != tagOctets {
		return nil, malformed("%s: not an octet string", what)
	}
	return w.join(e, what)
}

// implicitOctets is octets for a string tagged [n] IMPLICIT.
func (w *walker) implicitOctets(e element, n byte, what string) ([]byte, error) {
	if e.class != tagged || e.tag != n {
		return nil, malformed("%s: not tagged [%d]", what, n)
	}
	return w.join(e, what)
}

func (w *walker) join(e element, what string) ([]byte, error) {
	if !e.constructed {
		return e.body, nil
	}
	w.ber = true
	return w.appendParts(make([]byte, 0, len(e.body)), e, what)
}

func (w *walker) appendParts(out []byte, e element, what string) ([]byte, error) {
	for rest := e.body; len(rest) > 0; {
		var part element
		var err error
		if part, rest, err = w.next(rest, e.depth+1, what); err != nil {
			return nil, err
		}
		switch {
		case part.class != universal || part.tag != tagOctets:
			return nil, malformed("%s: a part is not an octet string", what)
		case !part.constructed:
			out = append(out, part.body...)
		default:
			if out, err = w.appendParts(out, part, what); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// integer returns an INTEGER. One that does not fit is reported as fits == false.
func (w *walker) integer(e element, what string) (n int64, fits bool, err error) {
	b := e.body
	if !e.is(universal, tagInteger, false) || len(b) == 0 {
		return 0, false, malformed("%s: not an integer", what)
	}
	if len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		return 0, false, malformed("%s: padded integer", what)
	}
	if len(b) > 8 {
		if b[0] >= 0x80 {
			return -1, true, nil // nobody here wants a negative one; its size does not matter
		}
		return 0, false, nil
	}
	n = int64(int8(b[0]))
	for _, c := range b[1:] {
		n = n<<8 | int64(c)
	}
	return n, true, nil
}

// oid returns an OBJECT IDENTIFIER in dotted form.
func (w *walker) oid(e element, what string) (string, error) {
	if !e.is(universal, tagOID, false) || len(e.body) == 0 || len(e.body) > 64 || e.body[len(e.body)-1] >= 0x80 {
		return "", malformed("%s: not an object identifier", what)
	}
	var s strings.Builder
	var arc uint64
	start := true
	for i, c := range e.body {
		if start && c == 0x80 || arc >= 1<<56 {
			return "", malformed("%s: bad object identifier", what)
		}
		start = false
		arc = arc<<7 | uint64(c&0x7f)
		if c >= 0x80 {
			continue
		}
		if s.Len() == 0 {
			root := min(arc/40, 2)
			s.WriteString(strconv.FormatUint(root, 10))
			arc -= root * 40
		}
		s.WriteByte('.')
		s.WriteString(strconv.FormatUint(arc, 10))
		arc, start = 0, i+1 < len(e.body)
	}
	return s.String(), nil
}

// algorithm splits an AlgorithmIdentifier. params is nil when there are none.
func (w *walker) algorithm(e element, what string) (oid string, params *element, err error) {
	m, err := w.sequence(e, 1, 2, what)
	if err != nil {
		return "", nil, err
	}
	if oid, err = w.oid(m[0], what); err != nil {
		return "", nil, err
	}
	if len(m) == 2 {
		params = &m[1]
	}
	return oid, params, nil
}
