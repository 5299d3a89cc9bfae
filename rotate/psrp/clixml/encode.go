package clixml

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Marshal writes one document. The sealer may be nil: a SecureString then fails with ErrNoKey. An *Object that occurs
// twice becomes a Ref, so shared and even cyclic values come out right.
func Marshal(v any, s Sealer) ([]byte, error) {
	e := encoder{sealer: s, refs: map[*Object]int{}, types: map[string]int{}}
	if err := e.value(v, "", 0); err != nil {
		return nil, fmt.Errorf("clixml: marshal: %w", err)
	}
	return e.b, nil
}

type encoder struct {
	b      []byte
	sealer Sealer
	refs   map[*Object]int
	types  map[string]int
}

func (e *encoder) raw(s string) { e.b = append(e.b, s...) }

func (e *encoder) text(s string) (err error) {
	b, err := appendText(e.b, s)
	if err == nil {
		e.b = b
	}
	return err
}

func (e *encoder) open(name, member string) error {
	e.raw("<" + name)
	if member != "" {
		e.raw(` N="`)
		if err := e.text(member); err != nil {
			return err
		}
		e.raw(`"`)
	}
	return nil
}

// element writes a primitive; plain text needs no escaping.
func (e *encoder) element(name, member, plain string) error {
	if err := e.open(name, member); err != nil {
		return err
	}
	e.raw(">" + plain + "</" + name + ">")
	return nil
}

func (e *encoder) textElement(name, member, s string) error {
	if err := e.open(name, member); err != nil {
		return err
	}
	e.raw(">")
	if err := e.text(s); err != nil {
		return err
	}
	e.raw("</" + name + ">")
	return nil
}

func (e *encoder) value(v any, member string, depth int) error {
	if depth > DefaultLimits().Depth {
		return fmt.Errorf("%w: nested deeper than %d", ErrLimit, DefaultLimits().Depth)
	}
	switch x := v.(type) {
	case nil:
		if err := e.open("Nil", member); err != nil {
			return err
		}
		e.raw("/>")
		return nil
	case string:
		return e.textElement("S", member, x)
	case ScriptBlock:
		return e.textElement("SBK", member, string(x))
	case XML:
		return e.textElement("XD", member, string(x))
	case URI:
		return e.textElement("URI", member, string(x))
	case Decimal:
		return e.textElement("D", member, string(x))
	case Version:
		return e.textElement("Version", member, string(x))
	case bool:
		return e.element("B", member, strconv.FormatBool(x))
	case Char:
		return e.element("C", member, strconv.Itoa(int(x)))
	case float32:
		return e.element("Sg", member, formatFloat(float64(x), 32))
	case float64:
		return e.element("Db", member, formatFloat(x, 64))
	case time.Time:
		return e.element("DT", member, formatTime(x))
	case time.Duration:
		return e.element("TS", member, formatDuration(x))
	case []byte:
		return e.element("BA", member, base64.StdEncoding.EncodeToString(x))
	case GUID:
		return e.element("G", member, strings.ToLower(x.String()))
	case SecureString:
		return e.secure(x, member)
	case Credential:
		return e.object(x.object(), member, depth)
	case []string:
		list := make([]any, len(x))
		for i, s := range x {
			list[i] = s
		}
		return e.object(array("System.String[]", list), member, depth)
	case []any:
		return e.object(array("System.Object[]", x), member, depth)
	case Object:
		return e.object(&x, member, depth)
	case *Object:
		if x == nil {
			return e.value(nil, member, depth)
		}
		return e.object(x, member, depth)
	}
	return e.integer(v, member)
}

func (e *encoder) integer(v any, member string) error {
	var name, text string
	switch n := v.(type) {
	case uint8:
		name, text = "By", strconv.FormatUint(uint64(n), 10)
	case uint16:
		name, text = "U16", strconv.FormatUint(uint64(n), 10)
	case uint32:
		name, text = "U32", strconv.FormatUint(uint64(n), 10)
	case uint64:
		name, text = "U64", strconv.FormatUint(n, 10)
	case int8:
		name, text = "SB", strconv.FormatInt(int64(n), 10)
	case int16:
		name, text = "I16", strconv.FormatInt(int64(n), 10)
	case int32:
		name, text = "I32", strconv.FormatInt(int64(n), 10)
	case int64:
		name, text = "I64", strconv.FormatInt(n, 10)
	case int:
		name, text = "I64", strconv.Itoa(n)
		if n >= math.MinInt32 && n <= math.MaxInt32 {
			name = "I32"
		}
	default:
		return fmt.Errorf("no CLIXML form for Go type %T", v)
	}
	return e.element(name, member, text)
}

func array(typeName string, list []any) *Object {
	return &Object{Types: []string{typeName, "System.Array", "System.Object"}, Container: List, List: list}
}

func (e *encoder) secure(s SecureString, member string) error {
	if e.sealer == nil {
		return ErrNoKey
	}
	text, err := e.sealer.Seal(s)
	if err != nil {
		return err
	}
	return e.element("SS", member, text)
}

func (e *encoder) object(o *Object, member string, depth int) error {
	if id, seen := e.refs[o]; seen {
		if err := e.open("Ref", member); err != nil {
			return err
		}
		e.raw(` RefId="` + strconv.Itoa(id) + `"/>`)
		return nil
	}
	id := len(e.refs)
	e.refs[o] = id
	if err := e.open("Obj", member); err != nil {
		return err
	}
	e.raw(` RefId="` + strconv.Itoa(id) + `">`)
	if err := e.typeNames(o.Types); err != nil {
		return err
	}
	if o.ToString != "" {
		if err := e.textElement("ToString", "", o.ToString); err != nil {
			return err
		}
	}
	if o.Value != nil {
		if err := e.value(o.Value, "", depth+1); err != nil {
			return err
		}
	}
	if err := e.members("Props", o.Adapted, depth); err != nil {
		return err
	}
	if err := e.members("MS", o.Extended, depth); err != nil {
		return err
	}
	if err := e.collection(o, depth); err != nil {
		return err
	}
	e.raw("</Obj>")
	return nil
}

func (e *encoder) typeNames(names []string) error {
	if len(names) == 0 {
		return nil
	}
	key := strings.Join(names, "\x00")
	if id, seen := e.types[key]; seen {
		e.raw(`<TNRef RefId="` + strconv.Itoa(id) + `"/>`)
		return nil
	}
	id := len(e.types)
	e.types[key] = id
	e.raw(`<TN RefId="` + strconv.Itoa(id) + `">`)
	for _, n := range names {
		if err := e.textElement("T", "", n); err != nil {
			return err
		}
	}
	e.raw("</TN>")
	return nil
}

func (e *encoder) members(name string, list []Property, depth int) error {
	if len(list) == 0 {
		return nil
	}
	e.raw("<" + name + ">")
	for _, p := range list {
		if p.Name == "" {
			return fmt.Errorf("a member of %s has no name", name)
		}
		if err := e.value(p.Value, p.Name, depth+1); err != nil {
			return err
		}
	}
	e.raw("</" + name + ">")
	return nil
}

func (e *encoder) collection(o *Object, depth int) error {
	kind := o.Container
	switch {
	case kind == NoContainer && len(o.List) > 0:
		kind = List
	case kind == NoContainer && len(o.Dict) > 0:
		kind = Dictionary
	}
	if kind == NoContainer {
		return nil
	}
	name := kind.element()
	e.raw("<" + name + ">")
	if kind == Dictionary {
		for _, entry := range o.Dict {
			e.raw("<En>")
			if err := e.value(entry.Key, "Key", depth+1); err != nil {
				return err
			}
			if err := e.value(entry.Value, "Value", depth+1); err != nil {
				return err
			}
			e.raw("</En>")
		}
	} else {
		for _, item := range o.List {
			if err := e.value(item, "", depth+1); err != nil {
				return err
			}
		}
	}
	e.raw("</" + name + ">")
	return nil
}

func (c Container) element() string {
	return [...]string{"", "LST", "IE", "QUE", "STK", "DCT"}[min(c, Dictionary)]
}
