package clixml

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/smnsjas/go-psrpcore/serialization"
)

// A plain value is one both ends have a word for: nil, string, bool, int32, int64, float64, []byte, time.Time, [16]byte, []any,
// and these two.
type (
	table map[string]any // a hashtable
	bag   map[string]any // an object with members
)

// TestStrangerReadsAndWrites holds the serializer against that of go-psrpcore, which is by another hand and was made for Windows:
// what one writes, the other reads as the same value. The stranger writes no _xHHHH_ and reads none, so control characters
// and characters outside the first plane are left to the vectors.
func TestStrangerReadsAndWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		want := plain(r, 4)
		ours, err := Marshal(toOurs(want), nil)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		read, err := serialization.NewDeserializer().Deserialize(ours)
		if err != nil || len(read) != 1 {
			t.Fatalf("%d: the stranger reads %d values of\n%s\n%v", i, len(read), ours, err)
		}
		if diff := cmp.Diff(want, fromTheirs(read[0]), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%d: the stranger reads\n%s\notherwise:\n%s", i, ours, diff)
		}
		theirs, err := serialization.NewSerializer().SerializeRaw(toTheirs(want))
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		got, err := Unmarshal(theirs, nil)
		if err != nil {
			t.Fatalf("%d: the stranger's\n%s\n%v", i, theirs, err)
		}
		if diff := cmp.Diff(want, fromOurs(got), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%d: the stranger's\n%s\nis read otherwise:\n%s", i, theirs, diff)
		}
	}
}

func plain(r *rand.Rand, depth int) any {
	kinds := 12
	if depth == 0 {
		kinds = 9
	}
	named := func() map[string]any {
		m := map[string]any{}
		for range r.IntN(4) {
			m[text(r, "Member")] = plain(r, depth-1)
		}
		return m
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 1
	case 2:
		return slices.Concat([]int32{0, -1, math.MinInt32, math.MaxInt32}, []int32{int32(r.Uint32())})[r.IntN(5)]
	case 3:
		return slices.Concat([]int64{0, -1, math.MinInt64, math.MaxInt64}, []int64{int64(r.Uint64())})[r.IntN(5)]
	case 4:
		return (r.Float64() - 0.5) * math.Pow(10, float64(r.IntN(30)-15))
	case 5:
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	case 6: // ticks of 100 ns, which is what .NET has
		return time.Unix(r.Int64N(4_000_000_000), 100*r.Int64N(10_000_000)).In(time.FixedZone("", 60*(r.IntN(28*60)-14*60)))
	case 7:
		var g [16]byte
		for i := range g {
			g[i] = byte(r.Uint32())
		}
		return g
	case 8:
		return text(r, "")
	case 9:
		list := []any{}
		for range r.IntN(5) {
			list = append(list, plain(r, depth-1))
		}
		return list
	case 10:
		return table(named())
	}
	b := bag(named())
	b["Always"] = "one" // without any member it would be no object to the stranger
	return b
}

func text(r *rand.Rand, start string) string {
	pieces := []string{"a", "Z", " ", "  ", "<", "&", ">", `"`, "'", "]]>", "é", "ß", "€", "日本", "_", "&amp;", "$(y)", "\u00a0", "\u2028"}
	if start != "" {
		pieces = []string{"a", "Z", "_", "é", " ", "."} // the stranger does not escape the names of members
	}
	for range r.IntN(8) {
		start += pieces[r.IntN(len(pieces))]
	}
	return start
}

func toOurs(v any) any {
	switch v := v.(type) {
	case [16]byte:
		return GUID(v)
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			out = append(out, toOurs(x))
		}
		return out
	case table:
		o := &Object{Types: []string{"System.Collections.Hashtable", "System.Object"}, Container: Dictionary}
		for k, x := range v {
			o.Dict = append(o.Dict, Entry{k, toOurs(x)})
		}
		return o
	case bag:
		o := &Object{}
		for k, x := range v {
			o.Extended = append(o.Extended, Property{k, toOurs(x)})
		}
		return o
	}
	return v
}

func fromOurs(v any) any {
	switch v := v.(type) {
	case GUID:
		return [16]byte(v)
	case *Object:
		switch {
		case v.Container == Dictionary:
			out := table{}
			for _, e := range v.Dict {
				out[fmt.Sprint(e.Key)] = fromOurs(e.Value)
			}
			return out
		case v.Container != NoContainer:
			out := make([]any, 0, len(v.List))
			for _, x := range v.List {
				out = append(out, fromOurs(x))
			}
			return out
		}
		out := bag{}
		for _, p := range slices.Concat(v.Adapted, v.Extended) {
			out[p.Name] = fromOurs(p.Value)
		}
		return out
	}
	return v
}

func toTheirs(v any) any {
	switch v := v.(type) {
	case [16]byte:
		return uuid.UUID(v)
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			out = append(out, toTheirs(x))
		}
		return out
	case table:
		out := map[string]any{}
		for k, x := range v {
			out[k] = toTheirs(x)
		}
		return out
	case bag:
		out := map[string]any{}
		for k, x := range v {
			out[k] = toTheirs(x)
		}
		return &serialization.PSObject{Members: out}
	}
	return v
}

func fromTheirs(v any) any {
	switch v := v.(type) {
	case uuid.UUID:
		return [16]byte(v)
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			out = append(out, fromTheirs(x))
		}
		return out
	case map[string]any:
		out := table{}
		for k, x := range v {
			out[k] = fromTheirs(x)
		}
		return out
	case *serialization.PSObject:
		out := bag{}
		for k, x := range v.Properties {
			out[k] = fromTheirs(x)
		}
		return out
	}
	return v
}
