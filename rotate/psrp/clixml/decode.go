package clixml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// Unmarshal reads one document under the default limits. The opener may be nil: a SecureString then fails with ErrNoKey.
func Unmarshal(data []byte, o Opener) (any, error) { return UnmarshalLimits(data, o, DefaultLimits()) }

// UnmarshalLimits reads one document, with or without a byte order mark. Children of an object may come in any order.
func UnmarshalLimits(data []byte, o Opener, l Limits) (any, error) {
	if len(data) > l.Size {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrLimit, len(data), l.Size)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d := decoder{
		xd: xml.NewDecoder(bytes.NewReader(data)), limits: l, opener: o,
		refs: map[string]*Object{}, under: map[*Object]bool{}, types: map[string][]string{},
	}
	v, err := d.document()
	if err != nil {
		return nil, fmt.Errorf("clixml: byte %d: %w", d.xd.InputOffset(), err)
	}
	return v, nil
}

type decoder struct {
	xd     *xml.Decoder
	limits Limits
	opener Opener
	refs   map[string]*Object
	under  map[*Object]bool // objects that have not ended
	types  map[string][]string
	depth  int
	nodes  int
}

var (
	errXML  = errors.New("malformed XML")
	errKids = errors.New("an element holds what it must not hold")
)

// token returns the next token that matters. The decoder's own errors quote the document, so they are not passed on.
func (d *decoder) token() (xml.Token, error) {
	for {
		t, err := d.xd.Token()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, errXML
		}
		switch t := t.(type) {
		case xml.StartElement:
			d.nodes++
			d.depth++
			if d.nodes > d.limits.Nodes {
				return nil, fmt.Errorf("%w: more than %d elements", ErrLimit, d.limits.Nodes)
			}
			if d.depth > d.limits.Depth {
				return nil, fmt.Errorf("%w: nested deeper than %d", ErrLimit, d.limits.Depth)
			}
			return t, nil
		case xml.EndElement:
			d.depth--
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Comment:
			continue
		case xml.ProcInst:
			if t.Target == "xml" && d.nodes == 0 {
				continue
			}
		}
		return nil, errors.New("only elements and text are allowed")
	}
}

// next returns the next child element, or ok=false at the end of the parent. Only white space may stand between.
func (d *decoder) next() (start xml.StartElement, ok bool, err error) {
	for {
		t, err := d.token()
		if err != nil {
			return start, false, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return t, true, nil
		case xml.EndElement:
			return start, false, nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return start, false, errKids
			}
		}
	}
}

// content returns the text up to the end of an element without children.
func (d *decoder) content() (string, error) {
	var text []byte
	for {
		t, err := d.token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return "", errKids
		case xml.EndElement:
			return string(text), nil
		case xml.CharData:
			text = append(text, t...)
		}
	}
}

func (d *decoder) document() (any, error) {
	start, ok, err := d.next()
	if err != nil || !ok {
		return nil, orXML(err)
	}
	v, err := d.value(start)
	if err != nil {
		return nil, orXML(err)
	}
	for {
		t, err := d.token()
		if errors.Is(err, io.EOF) {
			return v, nil
		}
		if err != nil {
			return nil, err
		}
		if c, isText := t.(xml.CharData); !isText || len(bytes.TrimSpace(c)) > 0 {
			return nil, errors.New("something follows the value")
		}
	}
}

// orXML turns an early end into an error of its own.
func orXML(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return errXML
	}
	return err
}

func attribute(start xml.StartElement, name string) (string, bool) {
	for _, a := range start.Attr {
		if a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

func (d *decoder) value(start xml.StartElement) (any, error) {
	switch name := start.Name.Local; name {
	case "Obj":
		return d.object(start)
	case "Ref":
		id, _ := attribute(start, "RefId")
		o, ok := d.refs[id]
		if !ok {
			return nil, errors.New("a Ref leads nowhere")
		}
		return o, d.empty()
	case "Nil":
		return nil, d.empty()
	case "SS":
		text, err := d.content()
		if err != nil {
			return nil, err
		}
		if d.opener == nil {
			return nil, ErrNoKey
		}
		return d.opener.Open(text)
	default:
		text, err := d.content()
		if err != nil {
			return nil, err
		}
		v, err := primitive(name, text)
		if err != nil {
			return nil, fmt.Errorf("element %.16q: %w", name, err)
		}
		return v, nil
	}
}

func (d *decoder) empty() error {
	_, ok, err := d.next()
	if ok && err == nil {
		return errKids
	}
	return err
}

func (d *decoder) object(start xml.StartElement) (*Object, error) {
	o := &Object{}
	d.under[o] = true
	defer delete(d.under, o)
	if id, ok := attribute(start, "RefId"); ok {
		if _, twice := d.refs[id]; twice {
			return nil, errors.New("a RefId is defined twice")
		}
		d.refs[id] = o
	}
	hasValue := false
	for {
		child, ok, err := d.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return o, nil
		}
		switch name := child.Name.Local; name {
		case "TN", "TNRef":
			if o.Types != nil {
				return nil, errors.New("an object has two lists of type names")
			}
			o.Types, err = d.typeNames(child)
		case "ToString":
			var text string
			text, err = d.content()
			o.ToString = unescape(text)
		case "Props":
			o.Adapted, err = d.members(o.Adapted)
		case "MS":
			o.Extended, err = d.members(o.Extended)
		case "LST", "IE", "QUE", "STK", "DCT":
			if o.Container != NoContainer {
				return nil, errors.New("an object is two collections")
			}
			o.Container = map[string]Container{"LST": List, "IE": Enumerable, "QUE": Queue, "STK": Stack, "DCT": Dictionary}[name]
			err = d.collection(o)
		default:
			if hasValue {
				return nil, errors.New("an object has two base values")
			}
			hasValue = true
			if o.Value, err = d.value(child); err == nil && d.inItself(o.Value) {
				err = errors.New("the base value of an object is the object itself")
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// inItself reports whether a base value leads back to an object that holds it. Members and items may; but whoever looks for
// what an object is worth follows its base value to the end.
func (d *decoder) inItself(v any) bool {
	o, ok := v.(*Object)
	return ok && d.under[o]
}

func (d *decoder) typeNames(start xml.StartElement) ([]string, error) {
	id, _ := attribute(start, "RefId")
	if start.Name.Local == "TNRef" {
		names, ok := d.types[id]
		if !ok {
			return nil, errors.New("a TNRef leads nowhere")
		}
		return names, d.empty()
	}
	names := []string{}
	for {
		child, ok, err := d.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			d.types[id] = names
			return names, nil
		}
		if child.Name.Local != "T" {
			return nil, errKids
		}
		text, err := d.content()
		if err != nil {
			return nil, err
		}
		names = append(names, unescape(text))
	}
}

func (d *decoder) members(list []Property) ([]Property, error) {
	for {
		child, ok, err := d.next()
		if err != nil || !ok {
			return list, err
		}
		name, _ := attribute(child, "N")
		if name == "" {
			return nil, errors.New("a member has no name")
		}
		v, err := d.value(child)
		if err != nil {
			return nil, err
		}
		list = append(list, Property{Name: unescape(name), Value: v})
	}
}

func (d *decoder) collection(o *Object) error {
	for {
		child, ok, err := d.next()
		if err != nil || !ok {
			return err
		}
		if o.Container == Dictionary {
			if child.Name.Local != "En" {
				return errKids
			}
			entry, err := d.entry()
			if err != nil {
				return err
			}
			o.Dict = append(o.Dict, entry)
			continue
		}
		v, err := d.value(child)
		if err != nil {
			return err
		}
		o.List = append(o.List, v)
	}
}

func (d *decoder) entry() (Entry, error) {
	var e Entry
	var key, value bool
	for {
		child, ok, err := d.next()
		if err != nil {
			return e, err
		}
		if !ok {
			if !key || !value {
				return e, errors.New("an entry lacks its key or value")
			}
			return e, nil
		}
		v, err := d.value(child)
		if err != nil {
			return e, err
		}
		switch name, _ := attribute(child, "N"); {
		case name == "Key" && !key:
			e.Key, key = v, true
		case name == "Value" && !value:
			e.Value, value = v, true
		default:
			return e, errors.New("an entry has something beside one key and one value")
		}
	}
}
