package psrp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/heap"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testGUID(t testing.TB) GUID {
	t.Helper()
	g, err := clixml.ParseGUID("00112233-4455-6677-8899-AABBCCDDEEFF")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const capabilityMessage = "020000000200010033221100554477668899aabbccddeeff000000000000000000000000000000003c533e783c2f533e"

func TestMessageVector(t *testing.T) {
	m := Message{Destination: ToServer, Type: SessionCapability, Pool: testGUID(t), Data: []byte("<S>x</S>")}
	if got := hex.EncodeToString(m.Encode()); got != capabilityMessage {
		t.Errorf("got  %s\nwant %s", got, capabilityMessage)
	}
	back, err := DecodeMessage(unhex(t, capabilityMessage))
	if err != nil || back.Pool != m.Pool || back.Type != m.Type || !back.Pipeline.IsZero() || string(back.Data) != "<S>x</S>" {
		t.Errorf("got %+v, %v", back, err)
	}
	for _, bad := range []string{capabilityMessage[:78], "03" + capabilityMessage[2:], ""} {
		if _, err := DecodeMessage(unhex(t, bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestFragmentVector(t *testing.T) {
	want := [][]byte{
		unhex(t, "0000000000000001 0000000000000000 01 00000020 020000000200010033221100554477668899aabbccddeeff0000000000000000"),
		unhex(t, "0000000000000001 0000000000000001 02 00000010 00000000000000003c533e783c2f533e"),
	}
	f := Fragmenter{Max: 53}
	got := f.Fragments(Message{Destination: ToServer, Type: SessionCapability, Pool: testGUID(t), Data: []byte("<S>x</S>")})
	if len(got) != 2 || !bytes.Equal(got[0], want[0]) || !bytes.Equal(got[1], want[1]) {
		t.Fatalf("got %x", got)
	}
	for size := 1; size <= 90; size++ {
		var d Defragmenter
		all := bytes.Join(want, nil)
		for len(all) > 0 {
			n := min(size, len(all))
			if _, err := d.Write(all[:n]); err != nil {
				t.Fatal(err)
			}
			all = all[n:]
		}
		found := 0
		for o := range d.Messages() {
			found++
			if o.ID != 1 || hex.EncodeToString(o.Data) != capabilityMessage {
				t.Errorf("size %d: got %d %x", size, o.ID, o.Data)
			}
		}
		if found != 1 {
			t.Fatalf("size %d: %d messages came", size, found)
		}
	}
}

// piece makes one fragment by hand.
func piece(object, id uint64, flags byte, data string) []byte {
	b := make([]byte, 0, 21+len(data))
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(object>>shift))
	}
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(id>>shift))
	}
	b = append(b, flags, byte(len(data)>>24), byte(len(data)>>16), byte(len(data)>>8), byte(len(data)))
	return append(b, data...)
}

func TestDefragmenter(t *testing.T) {
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	rows := []struct {
		name     string
		in       []byte
		want     string // ids and data
		err      bool   // when strict
		tolerant string // what a tolerant one gives where it differs
	}{
		{name: "one", in: piece(1, 0, 3, "a"), want: "1a"},
		{name: "empty", in: piece(1, 0, 3, ""), want: "1"},
		{name: "two objects interleaved", in: join(piece(1, 0, 1, "a"), piece(2, 0, 1, "x"), piece(1, 1, 2, "b"), piece(2, 1, 2, "y")), want: "1ab2xy"},
		{name: "a new start replaces", in: join(piece(1, 0, 1, "a"), piece(1, 0, 1, "b"), piece(1, 1, 2, "c")), want: "1bc"},
		{name: "gap", in: join(piece(1, 0, 1, "a"), piece(1, 2, 2, "c"), piece(2, 0, 3, "z")), err: true, tolerant: "2z"},
		{name: "gap, then more of it", in: join(piece(1, 0, 1, "a"), piece(1, 2, 0, "c"), piece(1, 3, 2, "d"), piece(2, 0, 3, "z")), err: true, tolerant: "2z"},
		{name: "start missing", in: join(piece(1, 1, 2, "b"), piece(2, 0, 3, "z")), err: true, tolerant: "2z"},
		{name: "fragment repeated", in: join(piece(1, 0, 1, "a"), piece(1, 1, 0, "b"), piece(1, 1, 0, "b"), piece(1, 2, 2, "c")), err: true, tolerant: "1abc"},
		{name: "start flag on a later one", in: piece(1, 1, 1, "a"), err: true, tolerant: "error"},
		{name: "no start flag on the first", in: piece(1, 0, 2, "a"), err: true, tolerant: "error"},
		{name: "unknown flag", in: piece(1, 0, 7, "a"), err: true, tolerant: "error"},
		{name: "object zero", in: piece(0, 0, 3, "a"), err: true, tolerant: "error"},
	}
	run := func(d *Defragmenter, in []byte, step int) (string, error) {
		for len(in) > 0 {
			n := min(step, len(in))
			if _, err := d.Write(in[:n]); err != nil {
				return "error", err
			}
			in = in[n:]
		}
		var out strings.Builder
		for o := range d.Messages() {
			out.WriteByte(byte('0' + o.ID))
			out.Write(o.Data)
		}
		return out.String(), nil
	}
	for _, r := range rows {
		for _, step := range []int{1, 7, 1000} {
			got, err := run(&Defragmenter{}, r.in, step)
			if (err != nil) != r.err || err == nil && got != r.want {
				t.Errorf("%s, %d at a time: got %q, %v; want %q", r.name, step, got, err, r.want)
			}
			want := r.tolerant
			if want == "" {
				want = r.want
			}
			if got, _ := run(&Defragmenter{Tolerant: true}, r.in, step); got != want {
				t.Errorf("%s, tolerant, %d at a time: got %q, want %q", r.name, step, got, want)
			}
		}
	}
}

func TestDefragmenterBounds(t *testing.T) {
	var d Defragmenter
	if _, err := d.Write([]byte("\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff")); !errors.Is(err, ErrLimit) {
		t.Errorf("4 GiB: got %v", err)
	}
	d = Defragmenter{}
	mega := strings.Repeat("x", 1<<20)
	var err error
	for id := uint64(0); err == nil && id < 20; id++ {
		flags := byte(0)
		if id == 0 {
			flags = flagStart
		}
		_, err = d.Write(piece(1, id, flags, mega))
	}
	if !errors.Is(err, ErrLimit) || d.held > maxHeld {
		t.Errorf("20 MiB object: got %v, %d held", err, d.held)
	}
	d, err = Defragmenter{}, nil
	for object := uint64(1); err == nil && object < 5; object++ { // each below its own bound
		for id := uint64(0); err == nil && id < 9; id++ {
			flags := byte(0)
			if id == 0 {
				flags = flagStart
			}
			_, err = d.Write(piece(object, id, flags, mega))
		}
	}
	if !errors.Is(err, ErrLimit) || d.held > maxHeld {
		t.Errorf("four objects of 9 MiB under way: got %v, %d held", err, d.held)
	}
	d, err = Defragmenter{}, nil
	for object := uint64(1); err == nil && object < 100; object++ {
		_, err = d.Write(piece(object, 0, flagStart, "x"))
	}
	if !errors.Is(err, ErrLimit) {
		t.Errorf("100 objects under way: got %v", err)
	}
	for what, row := range map[string]struct {
		data string
		most int
	}{"small": {"x", maxUndrainedN}, "large": {mega, maxUndrained / len(mega)}} {
		d, err = Defragmenter{}, nil
		n := 0
		for ; err == nil && n <= row.most; n++ {
			_, err = d.Write(piece(uint64(n+1), 0, flagStart|flagEnd, row.data))
		}
		if !errors.Is(err, ErrLimit) || n != row.most+1 {
			t.Errorf("%d %s messages that nobody takes: got %v", n, what, err)
		}
	}
	d = Defragmenter{Tolerant: true}
	for object := uint64(1); object < 100; object++ {
		if _, err := d.Write(piece(object, 0, flagStart, "x")); err != nil {
			t.Fatalf("tolerant: %v", err)
		}
	}
	if len(d.open) > maxOpen || d.held > maxOpen {
		t.Errorf("tolerant: %d open, %d held", len(d.open), d.held)
	}
}

func TestIDSet(t *testing.T) {
	var s idSet
	for _, id := range []uint64{1, 2, 5, 4, 9, 1, 3} {
		if _, err := s.add(id); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.lost(0); got != 3 { // 6, 7, 8
		t.Errorf("got %d lost, want 3", got)
	}
	if got := s.lost(12); got != 6 {
		t.Errorf("got %d lost of 12, want 6", got)
	}
	if len(s.spans) != 2 {
		t.Errorf("spans: %v", s.spans)
	}
	if fresh, _ := s.add(4); fresh {
		t.Error("4 is not new")
	}
	var err error
	for id := uint64(100); err == nil && id < 400_000; id += 2 {
		_, err = s.add(id)
	}
	if !errors.Is(err, ErrLimit) {
		t.Errorf("gaps without end: %v", err)
	}
}

// most is what may be allocated for a message: in proportion to its length, beside what the process does meanwhile.
func most(in []byte) uint64 { return 2<<20 + 256*uint64(len(in)) }

func FuzzFragments(f *testing.F) {
	f.Add(piece(1, 0, 3, "abc"), 1)
	f.Add(append(piece(1, 0, 1, "abc"), piece(1, 1, 2, "d")...), 7)
	f.Add(append(piece(1, 0, 1, "abc"), piece(1, 2, 2, "d")...), 3)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		if step < 1 || step > 1<<16 {
			step = 1
		}
		for _, tolerant := range []bool{false, true} {
			whole, split := Defragmenter{Tolerant: tolerant}, Defragmenter{Tolerant: tolerant}
			var err1, err2 error
			if spent := heap.Spent(func() { _, err1 = whole.Write(in) }); spent > most(in) {
				t.Errorf("%d bytes allocated for %d", spent, len(in))
			}
			for rest := in; len(rest) > 0 && err2 == nil; rest = rest[min(step, len(rest)):] {
				_, err2 = split.Write(rest[:min(step, len(rest))])
			}
			if (err1 == nil) != (err2 == nil) {
				t.Fatalf("whole: %v, split: %v", err1, err2)
			}
			var a, b []Object
			for o := range whole.Messages() {
				a = append(a, o)
			}
			for o := range split.Messages() {
				b = append(b, o)
			}
			if len(a) != len(b) {
				t.Fatalf("whole gives %d objects, split %d", len(a), len(b))
			}
			for i := range a {
				if a[i].ID != b[i].ID || !bytes.Equal(a[i].Data, b[i].Data) {
					t.Fatalf("object %d differs", i)
				}
			}
		}
	})
}
