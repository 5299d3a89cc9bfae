// Package clixml reads and writes the XML in which PowerShell serializes objects for remoting (MS-PSRP section 2.2.5).
//
// Marshal and Unmarshal are what most callers want. Values map like this, in both directions:
//
//	nil Nil · string S · Char C · bool B · time.Time DT · time.Duration TS · uint8 By · uint16 U16 · uint32 U32
//	uint64 U64 · int8 SB · int16 I16 · int32 I32 · int64 I64 · float32 Sg · float64 Db · Decimal D · []byte BA
//	GUID G · URI URI · Version Version · XML XD · ScriptBlock SBK · SecureString SS · *Object Obj and Ref
//
// Marshal takes some more: int (I32 when it fits, else I64), []string and []any (PowerShell arrays), Credential and
// Object by value. Unmarshal never makes those.
//
// Secrets travel as SecureString, which is sealed with the key of the runspace pool while it is written and redacts
// itself everywhere else. No error of this package repeats text of the document, because that text may be a secret.
package clixml

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Char is a UTF-16 code unit, PowerShell's [char].
type Char uint16

// Decimal is a System.Decimal in its decimal notation.
type Decimal string

// URI is a System.Uri.
type URI string

// Version is a System.Version: two to four numbers separated by dots.
type Version string

// XML is the text of a System.Xml.XmlDocument.
type XML string

// ScriptBlock is the text of a script block.
type ScriptBlock string

// Property is one named member of an Object.
type Property struct {
	Name  string
	Value any
}

// Entry is one pair of a dictionary.
type Entry struct{ Key, Value any }

// Container says which collection an Object is.
type Container uint8

// The collections of MS-PSRP section 2.2.5.2.6.
const (
	NoContainer Container = iota
	List                  // LST
	Enumerable            // IE
	Queue                 // QUE
	Stack                 // STK
	Dictionary            // DCT
)

// Object is a complex object: a property bag, a collection, an enum or a wrapped primitive.
type Object struct {
	Types     []string   // type names, most derived first
	ToString  string     // empty when the peer sent none
	Value     any        // the base value of an enum or a wrapped primitive
	Adapted   []Property // Props: members of the .NET type
	Extended  []Property // MS: members that PowerShell added
	Container Container  // set it for an empty collection; otherwise List and Dict speak for themselves
	List      []any
	Dict      []Entry
}

// Credential is a System.Management.Automation.PSCredential.
type Credential struct {
	User     string
	Password SecureString
}

// The zone of a DT without one. Windows sends it for times of unspecified kind.
const unzoned = "unzoned"

// Unzoned returns t read as a wall clock of unspecified zone.
func Unzoned(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.FixedZone(unzoned, 0))
}

// IsUnzoned reports whether t came without a zone.
func IsUnzoned(t time.Time) bool { return t.Location().String() == unzoned }

// Limits bound what Unmarshal accepts.
type Limits struct {
	Size  int // bytes of the document
	Depth int // nesting of elements
	Nodes int // elements
}

// DefaultLimits takes PowerShell's own bound of 10 MiB for one received object, and for the rest far more than a cmdlet
// of the privileged endpoint returns.
func DefaultLimits() Limits { return Limits{Size: 10 << 20, Depth: 128, Nodes: 400_000} }

// ErrLimit is wrapped when a document exceeds a limit.
var ErrLimit = errors.New("clixml: limit exceeded")

// ErrNoKey is wrapped when a document holds a secure string and no session key is there to seal or open it.
var ErrNoKey = errors.New("clixml: a secure string needs the session key of the runspace pool")

// Get returns the member called name, ignoring case as PowerShell does. Extended members hide adapted ones.
func (o *Object) Get(name string) (any, bool) {
	if o == nil {
		return nil, false
	}
	for _, list := range [2][]Property{o.Extended, o.Adapted} {
		for _, p := range list {
			if strings.EqualFold(p.Name, name) {
				return p.Value, true
			}
		}
	}
	return nil, false
}

// Text returns the member called name as text, or "" when there is none.
func (o *Object) Text(name string) string {
	v, ok := o.Get(name)
	if !ok {
		return ""
	}
	return Text(v)
}

// Int returns the member called name when it is an integer or an enum.
func (o *Object) Int(name string) (int64, bool) {
	v, ok := o.Get(name)
	if !ok {
		return 0, false
	}
	return Int(v)
}

// Bool returns the member called name when it is a truth value.
func (o *Object) Bool(name string) (value, ok bool) {
	v, _ := o.Get(name)
	if w, isObject := v.(*Object); isObject && w != nil {
		v = w.Value
	}
	value, ok = v.(bool)
	return value, ok
}

// Object returns the member called name when it is an object, else nil.
func (o *Object) Object(name string) *Object {
	v, _ := o.Get(name)
	w, _ := v.(*Object)
	return w
}

// Lookup returns the value of a dictionary under a text key, ignoring case as PowerShell's hashtables do.
func (o *Object) Lookup(key string) (any, bool) {
	if o == nil {
		return nil, false
	}
	for _, e := range o.Dict {
		if k, ok := e.Key.(string); ok && strings.EqualFold(k, key) {
			return e.Value, true
		}
	}
	return nil, false
}

// Is reports whether the object is of that type or derives from it. The "Deserialized." prefix that an object gets when
// it passes through a second session does not count.
func (o *Object) Is(typeName string) bool {
	if o == nil {
		return false
	}
	for _, t := range o.Types {
		if strings.EqualFold(strings.TrimPrefix(t, "Deserialized."), typeName) {
			return true
		}
	}
	return false
}

// Int returns an integer of any width, or the value of an enum.
func Int(v any) (int64, bool) {
	switch n := v.(type) {
	case uint8:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint32:
		return int64(n), true
	case uint64:
		return int64(n), n <= 1<<63-1
	case int8:
		return int64(n), true
	case int16:
		return int64(n), true
	case int32:
		return int64(n), true
	case int64:
		return n, true
	case int:
		return int64(n), true
	case *Object:
		if n != nil {
			if _, nested := n.Value.(*Object); !nested {
				return Int(n.Value)
			}
		}
	}
	return 0, false
}

// NewEnum makes an enum of a .NET type.
func NewEnum(typeName, name string, value int32) *Object {
	return &Object{
		Types:    []string{typeName, "System.Enum", "System.ValueType", "System.Object"},
		ToString: name,
		Value:    value,
	}
}

const credentialType = "System.Management.Automation.PSCredential"

func (c Credential) object() *Object {
	return &Object{
		Types:    []string{credentialType, "System.Object"},
		ToString: credentialType,
		Adapted:  []Property{{"UserName", c.User}, {"Password", c.Password}},
	}
}

// String keeps the password out of every rendering.
func (c Credential) String() string { return fmt.Sprintf("%q:%s", c.User, redacted) }

// CredentialOf reads a PSCredential.
func CredentialOf(v any) (Credential, bool) {
	if c, ok := v.(Credential); ok {
		return c, true
	}
	o, ok := v.(*Object)
	if !ok || !o.Is(credentialType) {
		return Credential{}, false
	}
	user, _ := o.Get("UserName")
	password, _ := o.Get("Password")
	u, ok1 := user.(string)
	p, ok2 := password.(SecureString)
	return Credential{User: u, Password: p}, ok1 && ok2
}
