package clixml

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/heap"
	"github.com/google/go-cmp/cmp"
)

func TestValuesBothWays(t *testing.T) {
	at := time.Date(2026, 1, 15, 22, 30, 5, 123456700, time.FixedZone("", 3600))
	rows := []struct {
		name string
		v    any
		xml  string
	}{
		{"nothing", nil, `<Nil/>`},
		{"text", "a<b>&\"c", `<S>a&lt;b&gt;&amp;&quot;c</S>`},
		{"empty text", "", `<S></S>`},
		{"line end", "a\nb", `<S>a_x000A_b</S>`},
		{"text that looks escaped", "_x000A_", `<S>_x005F_x000A_</S>`},
		{"text that looks escaped, upper case", "_X41_", `<S>_x005F_X41_</S>`},
		{"surrogates", "\U0001D11E", `<S>_xD834__xDD1E_</S>`},
		{"plain underscore", "a_b", `<S>a_b</S>`},
		{"C0 and C1", "\t\u0085", `<S>_x0009__x0085_</S>`},
		{"DEL", "\x7f", `<S>_x007F_</S>`},
		{"noncharacters", "\uffff", `<S>_xFFFF_</S>`},
		{"accents stay", "é€", `<S>é€</S>`},
		{"char", Char(65), `<C>65</C>`},
		{"true", true, `<B>true</B>`},
		{"false", false, `<B>false</B>`},
		{"time", at, `<DT>2026-01-15T22:30:05.1234567+01:00</DT>`},
		{"time in UTC", at.UTC(), `<DT>2026-01-15T21:30:05.1234567Z</DT>`},
		{"time without zone", Unzoned(at), `<DT>2026-01-15T22:30:05.1234567</DT>`},
		{"span", 26*time.Hour + 3*time.Minute + 4500*time.Millisecond, `<TS>P1DT2H3M4.5S</TS>`},
		{"no span", time.Duration(0), `<TS>PT0S</TS>`},
		{"whole days", 48 * time.Hour, `<TS>P2D</TS>`},
		{"negative span", -90 * time.Second, `<TS>-PT1M30S</TS>`},
		{"byte", uint8(200), `<By>200</By>`},
		{"ushort", uint16(65535), `<U16>65535</U16>`},
		{"uint", uint32(7), `<U32>7</U32>`},
		{"ulong", uint64(math.MaxUint64), `<U64>18446744073709551615</U64>`},
		{"sbyte", int8(-128), `<SB>-128</SB>`},
		{"short", int16(-2), `<I16>-2</I16>`},
		{"int", int32(-2147483648), `<I32>-2147483648</I32>`},
		{"long", int64(math.MinInt64), `<I64>-9223372036854775808</I64>`},
		{"single", float32(1.5), `<Sg>1.5</Sg>`},
		{"double", 1e300, `<Db>1E+300</Db>`},
		{"infinity", math.Inf(1), `<Db>INF</Db>`},
		{"minus infinity", float32(math.Inf(-1)), `<Sg>-INF</Sg>`},
		{"decimal", Decimal("-12.50"), `<D>-12.50</D>`},
		{"bytes", []byte{1, 2, 255}, `<BA>AQL/</BA>`},
		{"guid", GUID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}, `<G>00112233-4455-6677-8899-aabbccddeeff</G>`},
		{"uri", URI("https://a/?b&c"), `<URI>https://a/?b&amp;c</URI>`},
		{"version", Version("5.1.14393.2248"), `<Version>5.1.14393.2248</Version>`},
		{"xml", XML("<a/>"), `<XD>&lt;a/&gt;</XD>`},
		{"script block", ScriptBlock("1+1"), `<SBK>1+1</SBK>`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			b, err := Marshal(r.v, nil)
			if err != nil || string(b) != r.xml {
				t.Errorf("Marshal: got %s, %v; want %s", b, err, r.xml)
			}
			v, err := Unmarshal([]byte(r.xml), nil)
			if err != nil {
				t.Fatal(err)
			}
			if at, isTime := r.v.(time.Time); isTime {
				if got := v.(time.Time); !got.Equal(at) || IsUnzoned(got) != IsUnzoned(at) {
					t.Errorf("Unmarshal: got %v, want %v", got, at)
				}
				return
			}
			if diff := cmp.Diff(r.v, v); diff != "" {
				t.Errorf("Unmarshal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnmarshalTakesWhatOthersWrite(t *testing.T) {
	rows := []struct {
		name, xml string
		want      any
	}{
		{"byte order mark", "\xef\xbb\xbf<S>x</S>", "x"},
		{"declaration", `<?xml version="1.0" encoding="utf-8"?><S>x</S>`, "x"},
		{"empty element", `<S/>`, ""},
		{"lower-case escape", `<S>_x000a_</S>`, "\n"},
		{"upper-case X", `<S>_X000A_</S>`, "\n"},
		{"half an escape stays", `<S>_x00_ _x000G_</S>`, "_x00_ _x000G_"},
		{"escaped underscore stops", `<S>_x005F_x000A_</S>`, "_x000A_"},
		{"lone surrogate", `<S>_xD834_</S>`, "\ufffd"},
		{"base64 with line ends", "<BA>AQ\r\n L/</BA>", []byte{1, 2, 255}},
		{"TimeSpan.MaxValue saturates", `<TS>P10675199DT2H48M5.4775807S</TS>`, time.Duration(math.MaxInt64)},
		{"TimeSpan.MinValue saturates", `<TS>-P10675199DT2H48M5.4775808S</TS>`, time.Duration(-math.MaxInt64)},
		{"upper-case truth", `<B>True</B>`, true},
		{"comment", `<!-- c --><S>x</S>`, "x"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got, err := Unmarshal([]byte(r.xml), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestObjectBothWays(t *testing.T) {
	o := &Object{
		Types:    []string{"A.B", "System.Object"},
		ToString: "text\n",
		Adapted:  []Property{{"One", int32(1)}, {"a_x0020_b", "s"}},
		Extended: []Property{
			{"List", &Object{Types: []string{"A.B", "System.Object"}, Container: List, List: []any{"x", nil}}},
			{"Empty", &Object{Container: Queue}},
			{"Table", &Object{Container: Dictionary, Dict: []Entry{{"k", int64(2)}, {int32(1), true}}}},
			{"Kind", NewEnum("T.E", "Warn", 2)},
			{"Stack", &Object{Container: Stack, List: []any{"top"}}},
			{"Items", &Object{Container: Enumerable, List: []any{"i"}}},
		},
	}
	want := `<Obj RefId="0"><TN RefId="0"><T>A.B</T><T>System.Object</T></TN><ToString>text_x000A_</ToString>` +
		`<Props><I32 N="One">1</I32><S N="a_x005F_x0020_b">s</S></Props>` +
		`<MS><Obj N="List" RefId="1"><TNRef RefId="0"/><LST><S>x</S><Nil/></LST></Obj>` +
		`<Obj N="Empty" RefId="2"><QUE></QUE></Obj>` +
		`<Obj N="Table" RefId="3"><DCT><En><S N="Key">k</S><I64 N="Value">2</I64></En>` +
		`<En><I32 N="Key">1</I32><B N="Value">true</B></En></DCT></Obj>` +
		`<Obj N="Kind" RefId="4"><TN RefId="1"><T>T.E</T><T>System.Enum</T><T>System.ValueType</T><T>System.Object</T></TN>` +
		`<ToString>Warn</ToString><I32>2</I32></Obj>` +
		`<Obj N="Stack" RefId="5"><STK><S>top</S></STK></Obj><Obj N="Items" RefId="6"><IE><S>i</S></IE></Obj></MS></Obj>`
	b, err := Marshal(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Fatalf("Marshal (-want +got):\n%s", diff)
	}
	got, err := Unmarshal(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o, got); diff != "" {
		t.Fatalf("Unmarshal (-want +got):\n%s", diff)
	}
}

func TestChildrenInAnyOrder(t *testing.T) {
	v, err := Unmarshal([]byte(`<Obj RefId="7"><MS><S N="Who">ms</S></MS> <I32>3</I32><Props><S N="WHO">props</S><S N="Other">o</S></Props>
		<ToString>three</ToString><TN RefId="1"><T>X</T></TN></Obj>`), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := v.(*Object)
	if got := o.Text("who"); got != "ms" {
		t.Errorf("who: got %q, want the extended member", got)
	}
	if got := o.Text("other"); got != "o" {
		t.Errorf("other: got %q", got)
	}
	if n, ok := Int(o); !ok || n != 3 || o.ToString != "three" || !o.Is("x") {
		t.Errorf("got %v %v %q %q", n, ok, o.ToString, o.Types)
	}
}

func TestRefLeadsAcrossBranches(t *testing.T) {
	v, err := Unmarshal([]byte(`<Obj RefId="0"><MS><Obj N="A" RefId="1"><ToString>shared</ToString></Obj>`+
		`<Obj N="B" RefId="2"><MS><Ref N="C" RefId="1"/><Ref N="Self" RefId="0"/></MS></Obj></MS></Obj>`), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := v.(*Object)
	if c := o.Object("B").Object("C"); c == nil || c.ToString != "shared" {
		t.Fatalf("got %v", c)
	}
	if o.Object("B").Object("Self") != o {
		t.Fatal("Self does not lead back")
	}
	if text := Text(o); len(text) > maxText || !strings.Contains(text, "shared") {
		t.Errorf("Text: %q", text)
	}
	b, err := Marshal(o, nil)
	if err != nil || !strings.Contains(string(b), `<Ref N="Self" RefId="0"/>`) {
		t.Errorf("Marshal of a cycle: %s, %v", b, err)
	}
}

// TestBaseValueMayBeShared: only the way back into itself is refused.
func TestBaseValueMayBeShared(t *testing.T) {
	v, err := Unmarshal([]byte(`<Obj RefId="0"><LST><Obj RefId="1"><I32>7</I32></Obj><Obj RefId="2"><Ref RefId="1"/></Obj><Ref RefId="0"/></LST></Obj>`), nil)
	if err != nil {
		t.Fatal(err)
	}
	list := v.(*Object).List
	if list[1].(*Object).Value != list[0] || list[2] != v {
		t.Errorf("got %+v", list)
	}
}

func TestTextOfSharedObjectsIsBounded(t *testing.T) {
	o := &Object{Container: List, List: []any{"lol"}}
	for range 30 {
		o = &Object{Container: List, List: []any{o, o, o, o, o, o, o, o, o, o}}
	}
	if n := len(Text(o)); n > maxText+16 {
		t.Errorf("%d bytes", n)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	const leak = "hunter2"
	rows := []struct{ name, xml string }{
		{"nothing", ``},
		{"white space", ` `},
		{"text", leak},
		{"half an element", `<S>` + leak},
		{"wrong end", `<S>` + leak + `</T>`},
		{"entity", `<S>&` + leak + `;</S>`},
		{"document type", `<!DOCTYPE x [<!ENTITY a "` + leak + `">]><S>&a;</S>`},
		{"instruction", `<S><?` + leak + ` x?></S>`},
		{"two values", `<S>a</S><S>` + leak + `</S>`},
		{"unknown element", `<Q>` + leak + `</Q>`},
		{"element in text", `<S>` + leak + `<B>true</B></S>`},
		{"text in object", `<Obj>` + leak + `</Obj>`},
		{"bad number", `<I32>` + leak + `</I32>`},
		{"number out of range", `<By>256</By>`},
		{"hexadecimal double", `<Db>0x1p4</Db>`},
		{"bad truth", `<B>` + leak + `</B>`},
		{"bad base64", `<BA>` + leak + `</BA>`},
		{"bad guid", `<G>` + leak + `</G>`},
		{"bad time", `<DT>` + leak + `</DT>`},
		{"bad span", `<TS>P1Y</TS>`},
		{"empty span", `<TS>P</TS>`},
		{"span without time", `<TS>P1DT</TS>`},
		{"bad version", `<Version>1</Version>`},
		{"bad decimal", `<D>1e5</D>`},
		{"Ref to nowhere", `<Obj RefId="0"><LST><Ref RefId="` + leak + `"/></LST></Obj>`},
		{"TNRef to nowhere", `<Obj RefId="0"><TNRef RefId="0"/></Obj>`},
		{"RefId twice", `<Obj RefId="0"><LST><Obj RefId="0"/></LST></Obj>`},
		{"its own base value", `<Obj RefId="0"><Ref RefId="0"/></Obj>`},
		{"its own base value, from within", `<Obj RefId="0"><Obj RefId="1"><Ref RefId="0"/></Obj></Obj>`},
		{"its own base value, from a member", `<Obj RefId="0"><MS><Obj N="a" RefId="1"><Ref RefId="0"/></Obj></MS></Obj>`},
		{"two base values", `<Obj><I32>1</I32><I32>2</I32></Obj>`},
		{"two collections", `<Obj><LST/><DCT/></Obj>`},
		{"member without name", `<Obj><MS><S>` + leak + `</S></MS></Obj>`},
		{"entry without value", `<Obj><DCT><En><S N="Key">` + leak + `</S></En></DCT></Obj>`},
		{"entry with two keys", `<Obj><DCT><En><S N="Key">a</S><S N="Key">b</S></En></DCT></Obj>`},
		{"secret without key", `<SS>` + leak + `</SS>`},
		{"Nil with child", `<Nil><S/></Nil>`},
		{"not UTF-8", "<S>\xff</S>"},
		{"UTF-16 declared", `<?xml version="1.0" encoding="utf-16"?><S>x</S>`},
		{"BOM twice", "\xef\xbb\xbf\xef\xbb\xbf<S>x</S>"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			v, err := Unmarshal([]byte(r.xml), nil)
			if err == nil {
				t.Fatalf("got %v, want an error", v)
			}
			if strings.Contains(err.Error(), leak) {
				t.Errorf("the error repeats the document: %v", err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	deep := strings.Repeat(`<Obj><LST>`, 200) + strings.Repeat(`</LST></Obj>`, 200)
	wide := `<Obj><LST>` + strings.Repeat(`<Nil/>`, 1001) + `</LST></Obj>`
	l := Limits{Size: 5000, Depth: 128, Nodes: 1000}
	big := Limits{Size: 1 << 20, Depth: 128, Nodes: 1000}
	for name, f := range map[string]func() error{
		"size":  func() error { _, err := UnmarshalLimits([]byte(wide), nil, l); return err },
		"depth": func() error { _, err := UnmarshalLimits([]byte(deep), nil, big); return err },
		"nodes": func() error { _, err := UnmarshalLimits([]byte(wide), nil, big); return err },
		"marshal": func() error {
			o := &Object{}
			for range 500 {
				o = &Object{Value: o}
			}
			_, err := Marshal(o, nil)
			return err
		},
	} {
		if err := f(); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: got %v, want ErrLimit", name, err)
		}
	}
}

func TestMarshalConveniences(t *testing.T) {
	rows := []struct {
		name string
		v    any
		want string
	}{
		{"int", 5, `<I32>5</I32>`},
		{"large int", 1 << 40, `<I64>1099511627776</I64>`},
		{"strings", []string{"a"}, `<Obj RefId="0"><TN RefId="0"><T>System.String[]</T><T>System.Array</T><T>System.Object</T></TN><LST><S>a</S></LST></Obj>`},
		{"values", []any{true}, `<Obj RefId="0"><TN RefId="0"><T>System.Object[]</T><T>System.Array</T><T>System.Object</T></TN><LST><B>true</B></LST></Obj>`},
		{"object by value", Object{ToString: "x"}, `<Obj RefId="0"><ToString>x</ToString></Obj>`},
		{"nil object", (*Object)(nil), `<Nil/>`},
	}
	for _, r := range rows {
		if b, err := Marshal(r.v, nil); err != nil || string(b) != r.want {
			t.Errorf("%s: got %s, %v; want %s", r.name, b, err, r.want)
		}
	}
	for name, v := range map[string]any{
		"struct": struct{}{}, "not UTF-8": "\xff", "member without name": &Object{Adapted: []Property{{"", 1}}},
	} {
		if b, err := Marshal(v, nil); err == nil {
			t.Errorf("%s: got %s, want an error", name, b)
		}
	}
}

func FuzzCLIXML(f *testing.F) {
	for _, s := range []string{
		`<S>a_x000A_b</S>`, "\xef\xbb\xbf<Obj RefId=\"0\"><TN RefId=\"0\"><T>A</T></TN><MS><I32 N=\"x\">1</I32></MS></Obj>",
		`<Obj RefId="0"><LST><Ref RefId="0"/><DT>2026-01-15T22:30:05</DT><TS>-P1D</TS></LST></Obj>`,
		`<Obj RefId="0"><DCT><En><S N="Key">k</S><Nil N="Value"/></En></DCT></Obj>`, `<SS>nzt1BJJvi9NuMRjpA6TNSg==</SS>`, `<Db>1E5</Db>`,
	} {
		f.Add([]byte(s))
	}
	key := testKey(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		var err error
		if spent := heap.Spent(func() {
			v, err = Unmarshal(data, key)
			_ = Text(v)
		}); spent > 2<<20+256*uint64(len(data)) {
			t.Errorf("%d bytes allocated for %d", spent, len(data))
		}
		if err != nil {
			return
		}
		once, err := Marshal(v, key)
		if err != nil {
			t.Fatalf("what was read does not marshal: %v", err)
		}
		again, err := Unmarshal(once, key)
		if err != nil {
			t.Fatalf("what was written does not read: %v\n%s", err, once)
		}
		twice, err := Marshal(again, key)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("not stable: %v\n%s\n%s", err, once, twice)
		}
	})
}

func TestAccessors(t *testing.T) {
	o := &Object{
		Extended:  []Property{{"Number", int64(5)}, {"Kind", NewEnum("E", "Two", 2)}, {"Flag", true}, {"Wrapped", &Object{Value: true}}, {"Inner", &Object{}}},
		Container: Dictionary, Dict: []Entry{{int32(1), "no"}, {"Key", "yes"}},
	}
	if n, ok := o.Int("number"); !ok || n != 5 {
		t.Errorf("number: %v %v", n, ok)
	}
	if n, ok := o.Int("kind"); !ok || n != 2 {
		t.Errorf("kind: %v %v", n, ok)
	}
	if _, ok := o.Int("flag"); ok {
		t.Error("a flag is no number")
	}
	for _, name := range []string{"flag", "wrapped"} {
		if b, ok := o.Bool(name); !ok || !b {
			t.Errorf("%s: %v %v", name, b, ok)
		}
	}
	if v, ok := o.Lookup("kEY"); !ok || v != "yes" {
		t.Errorf("key: %v %v", v, ok)
	}
	if o.Object("inner") == nil || o.Object("number") != nil {
		t.Error("object")
	}
	var none *Object
	if _, ok := none.Get("x"); ok || none.Object("x") != nil || none.Is("x") || none.Text("x") != "" || Text(none) != "" {
		t.Error("a nil object has something")
	}
	if _, ok := none.Lookup("x"); ok {
		t.Error("a nil object has an entry")
	}
	if _, ok := Int(uint64(1 << 63)); ok {
		t.Error("2^63 does not fit")
	}
	for _, v := range []any{uint8(1), uint16(1), uint32(1), uint64(1), int8(1), int16(1), int32(1), int64(1), 1} {
		if n, ok := Int(v); !ok || n != 1 {
			t.Errorf("%T: %v %v", v, n, ok)
		}
	}
}

func TestText(t *testing.T) {
	for want, v := range map[string]any{
		"":                     nil,
		"a":                    "a",
		"True":                 true,
		"A":                    Char('A'),
		"1.5":                  1.5,
		"0.5":                  float32(0.5),
		"2 bytes":              []byte{1, 2},
		"7":                    int32(7),
		"shown":                &Object{ToString: "shown", Value: 1},
		"1, 2":                 &Object{List: []any{1, 2}},
		"k=v; 1=w":             &Object{Dict: []Entry{{"k", "v"}, {1, "w"}}},
		"A=1; B=x":             &Object{Adapted: []Property{{"A", 1}}, Extended: []Property{{"B", "x"}}},
		"1m0s":                 time.Minute,
		"2026-01-02T03:04:05Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"[redacted]":           NewSecureString("x"),
		`"u":[redacted]`:       Credential{User: "u"},
		"5.1":                  Version("5.1"),
	} {
		if got := Text(v); got != want {
			t.Errorf("%#v: got %q, want %q", v, got, want)
		}
	}
}

func TestGUID(t *testing.T) {
	g, err := NewGUID(strings.NewReader(strings.Repeat("\xff", 16)))
	if err != nil || g.String() != "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF" || g.IsZero() {
		t.Errorf("got %v, %v", g, err)
	}
	if _, err := NewGUID(strings.NewReader("short")); err == nil {
		t.Error("short randomness was taken")
	}
	for _, s := range []string{"", "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFF", "FFFFFFFFFFFFF-4FFF-BFFF-FFFFFFFFFFFFFF", "GFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF"} {
		if _, err := ParseGUID(s); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}
