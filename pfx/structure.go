package pfx

import (
	"bytes"
	"context"
	"unicode/utf16"
)

// A reader reads one file under one budget.
type reader struct {
	walker
	budget *budget
	facts  Facts

	message []byte // what the MAC covers
	check   *mac   // nil without
	safes   []safe
	nested  int // safes so far, nested ones included
	bags    int
}

type safe struct {
	kind       string
	depth      int
	scheme     scheme
	ciphertext []byte
	bags       []bag // of a clear safe; of an encrypted one once it is decrypted
}

type bag struct {
	oid   string
	safe  int
	value element
	attributes
	shroud     scheme // of a shrouded key
	ciphertext []byte
}

// attributes are those with a meaning here.
type attributes struct {
	localMachine bool
	csp          string
	friendlyName string
	localKeyID   []byte
}

func newReader(ctx context.Context, l Limits) *reader {
	b := newBudget(ctx, l)
	return &reader{walker: walker{depth: b.limits.Depth}, budget: b}
}

// file reads everything that is visible without the password, and charges every derivation it sees.
//
//	PFX ::= SEQUENCE { INTEGER 3, ContentInfo authSafe, MacData OPTIONAL }
func (r *reader) file(b []byte) error {
	if len(b) > r.budget.limits.Size {
		return overLimit("bytes", int64(len(b)), r.budget.limits.Size)
	}
	r.facts = Facts{Size: len(b), Integrity: IntegrityNone}
	if bytes.HasPrefix(b, []byte("-----BEGIN ")) {
		return malformed("PEM text, want a PKCS#12 file")
	}
	pfx, trailing, err := r.next(b, 1, "file")
	if err != nil {
		return err
	}
	r.facts.Trailing = len(trailing)
	r.facts.TrailingZeros = len(trailing) > 0 && len(bytes.Trim(trailing, "\x00")) == 0
	m, err := r.sequence(pfx, 2, 3, "file")
	if err != nil {
		return err
	}
	version, fits, err := r.integer(m[0], "version")
	if err != nil {
		return err
	}
	if !fits || version != 3 {
		return malformed("version %d, want 3", version)
	}
	r.facts.Version = 3
	if err := r.authSafe(m[1]); err != nil {
		return err
	}
	if len(m) == 3 && r.facts.Integrity != IntegritySignature {
		if r.check, err = r.mac(m[2]); err != nil {
			return err
		}
		r.facts.MAC, r.facts.Integrity = r.check.facts, IntegrityMAC
		if r.check.pbes2 {
			r.facts.Integrity = IntegrityPBMAC1
		}
	}
	return nil
}

func (r *reader) contentInfo(e element, what string) (kind string, content element, err error) {
	m, err := r.sequence(e, 2, 2, what)
	if err != nil {
		return "", element{}, err
	}
	if kind, err = r.oid(m[0], what); err != nil {
		return "", element{}, err
	}
	content, err = r.explicit(m[1], 0, what)
	return kind, content, err
}

func (r *reader) authSafe(e element) error {
	const what = "authenticated safe"
	kind, content, err := r.contentInfo(e, what)
	if err != nil {
		return err
	}
	switch kind {
	case oidData:
	case oidSignedData:
		r.facts.Integrity = IntegritySignature
		return nil
	default:
		return malformed("%s: content type %s", what, kind)
	}
	if r.message, err = r.octets(content, what); err != nil {
		return err
	}
	list, err := r.only(r.message, content.depth+1, what)
	if err != nil {
		return err
	}
	safes, err := r.list(list, tagSeq, r.budget.limits.Safes, what)
	if err != nil {
		return err
	}
	r.nested = len(safes)
	for i, s := range safes {
		if err := r.safe(i, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) safe(i int, e element) error {
	kind, content, err := r.contentInfo(e, "safe")
	if err != nil {
		return err
	}
	s := safe{depth: content.depth + 1}
	switch kind {
	case oidData:
		s.kind = "data"
		b, err := r.octets(content, "safe")
		if err != nil {
			return err
		}
		if s.bags, err = r.contents(i, b, s.depth); err != nil {
			return err
		}
	case oidEncryptedData:
		s.kind = "encrypted"
		if err := r.encryptedData(&s, content); err != nil {
			return err
		}
	case oidEnvelopedData:
		s.kind = "enveloped"
		s.scheme.unsupported = &UnsupportedError{OID: kind, What: "safe: enveloped for a public key"}
	default:
		s.kind = "unknown"
		s.scheme.unsupported = &UnsupportedError{OID: kind, What: "safe: unknown content type"}
	}
	r.safes = append(r.safes, s)
	return nil
}

// encryptedData reads SEQUENCE { version, SEQUENCE { type, algorithm, [0] IMPLICIT ciphertext }, [1] attributes OPTIONAL }.
func (r *reader) encryptedData(s *safe, e element) error {
	const what = "encrypted safe"
	m, err := r.sequence(e, 2, 3, what)
	if err != nil {
		return err
	}
	if _, _, err := r.integer(m[0], what); err != nil {
		return err
	}
	if len(m) == 3 && !m[2].is(tagged, 1, true) {
		return malformed("%s: surplus member", what)
	}
	info, err := r.sequence(m[1], 3, 3, what)
	if err != nil {
		return err
	}
	kind, err := r.oid(info[0], what)
	if err != nil {
		return err
	}
	if kind != oidData {
		return malformed("%s: content type %s", what, kind)
	}
	if s.scheme, err = r.scheme(info[1], what); err != nil {
		return err
	}
	s.ciphertext, err = r.implicitOctets(info[2], 0, what)
	return err
}

// contents reads SafeContents ::= SEQUENCE OF SafeBag; bags of nested contents are listed in their place.
func (r *reader) contents(i int, b []byte, depth int) ([]bag, error) {
	e, err := r.only(b, depth, "safe contents")
	if err != nil {
		return nil, err
	}
	return r.bagList(i, e)
}

func (r *reader) bagList(i int, e element) ([]bag, error) {
	const what = "safe contents"
	members, err := r.list(e, tagSeq, r.budget.limits.Bags, what)
	if err != nil {
		return nil, err
	}
	if r.bags += len(members); r.bags > r.budget.limits.Bags {
		return nil, overLimit("bags", int64(r.bags), r.budget.limits.Bags)
	}
	var out []bag
	for _, m := range members {
		one, err := r.bag(i, m)
		if err != nil {
			return nil, err
		}
		if one.oid != oidNestedBag {
			out = append(out, one)
			continue
		}
		if r.nested++; r.nested > r.budget.limits.Safes {
			return nil, overLimit("safes", int64(r.nested), r.budget.limits.Safes)
		}
		inner, err := r.bagList(i, one.value)
		if err != nil {
			return nil, err
		}
		out = append(out, inner...)
	}
	return out, nil
}

// bag reads SafeBag ::= SEQUENCE { type, [0] value, SET OF attribute OPTIONAL }.
func (r *reader) bag(i int, e element) (b bag, err error) {
	m, err := r.sequence(e, 2, 3, "bag")
	if err != nil {
		return b, err
	}
	b.safe = i
	if b.oid, err = r.oid(m[0], "bag"); err != nil {
		return b, err
	}
	if b.value, err = r.explicit(m[1], 0, "bag"); err != nil {
		return b, err
	}
	if len(m) == 3 {
		if b.attributes, err = r.attributes(m[2]); err != nil {
			return b, err
		}
	}
	if b.oid == oidShroudedBag {
		key, err := r.sequence(b.value, 2, 2, "shrouded key")
		if err != nil {
			return b, err
		}
		if b.shroud, err = r.scheme(key[0], "shrouded key"); err != nil {
			return b, err
		}
		if b.ciphertext, err = r.octets(key[1], "shrouded key"); err != nil {
			return b, err
		}
	}
	return b, nil
}

// attributes reads SET OF SEQUENCE { type, SET OF value }. A known type with an odd value counts as absent: no reader we know
// looks closer, and it decides nothing about key or certificate.
func (r *reader) attributes(e element) (a attributes, err error) {
	const what = "attribute"
	list, err := r.list(e, tagSet, r.budget.limits.Attributes, "attributes of a bag")
	if err != nil {
		return a, err
	}
	for _, m := range list {
		pair, err := r.sequence(m, 2, 2, what)
		if err != nil {
			return a, err
		}
		oid, err := r.oid(pair[0], what)
		if err != nil {
			return a, err
		}
		values, err := r.list(pair[1], tagSet, r.budget.limits.Attributes, "values of an attribute")
		if err != nil {
			return a, err
		}
		if oid == oidLocalMachine {
			a.localMachine = true // an empty set in every file seen
		}
		if len(values) != 1 {
			continue
		}
		switch v := values[0]; {
		case oid == oidFriendlyName && v.is(universal, tagBMP, false):
			a.friendlyName = bmpText(v.body)
		case oid == oidCSPName && v.is(universal, tagBMP, false):
			a.csp = bmpText(v.body)
		case oid == oidLocalKeyID && v.is(universal, tagOctets, false):
			a.localKeyID = v.body
		}
	}
	return a, nil
}

func bmpText(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(u))
}
