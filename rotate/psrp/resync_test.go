package psrp

import (
	"bytes"
	"fmt"
	"testing"
)

// A connection is lost while the beginning of a fragment is held, cut at each of its bytes. When the request never reached
// the server, or its answer was not made yet, the rest comes with the next one; when the answer was lost, it never comes,
// and the loss must show in the ids and cost nothing that follows.
func TestResyncAtEachByte(t *testing.T) {
	message := func(text string) []byte {
		return Message{Destination: ToClient, Type: VerboseRecord, Pipeline: pipelineID(t), Data: []byte(text)}.Encode()
	}
	first := message("<S>first</S>")
	rows := map[string]struct {
		object       uint64
		before, part []byte // what was complete, and what is cut
	}{
		"a whole object":  {object: 5, part: piece(5, 0, 3, string(first))},
		"a large id":      {object: 70_001, part: piece(70_001, 0, 3, string(first))},
		"a second part":   {object: 5, before: piece(5, 0, 1, string(first[:45])), part: piece(5, 1, 2, string(first[45:]))},
		"a part in GUIDs": {object: 5, before: piece(5, 0, 1, string(first[:10])), part: piece(5, 1, 2, string(first[10:]))},
	}
	for name, r := range rows {
		after := piece(r.object+1, 0, 3, string(message("<S>next</S>")))
		for cut := 1; cut < len(r.part); cut++ {
			for _, lost := range []bool{false, true} {
				for _, step := range []int{1 << 20, 1} {
					d := Defragmenter{Tolerant: true}
					write := func(b []byte) {
						for len(b) > 0 {
							n := min(step, len(b))
							if _, err := d.Write(b[:n]); err != nil {
								t.Fatalf("%s, cut at %d, lost %v, step %d: %v", name, cut, lost, step, err)
							}
							b = b[n:]
						}
					}
					write(bytes.Join([][]byte{r.before, r.part[:cut]}, nil))
					d.Resync()
					d.Resync() // the next attempt fails as well
					want := fmt.Sprintf("%d %d ", r.object, r.object+1)
					if lost {
						want = fmt.Sprintf("%d ", r.object+1)
					} else {
						write(r.part[cut:])
					}
					write(after)
					got := ""
					for o := range d.Messages() {
						got += fmt.Sprintf("%d ", o.ID)
						if o.ID == r.object && !bytes.Equal(o.Data, first) {
							t.Errorf("%s, cut at %d, step %d: the object is %q", name, cut, step, o.Data)
						}
					}
					if got != want || d.Highest != r.object+1 {
						t.Errorf("%s, cut at %d, lost %v, step %d: got %q, highest %d, want %q", name, cut, lost, step, got, d.Highest, want)
					}
				}
			}
		}
	}
}

// The last thing a server says may be the fragment that is lost: its id, if seen, still counts as missing.
func TestResyncCountsTheLast(t *testing.T) {
	d := Defragmenter{Tolerant: true}
	whole := piece(9, 0, 3, "a fragment")
	if _, err := d.Write(whole[:25]); err != nil {
		t.Fatal(err)
	}
	d.Resync()
	if _, err := d.Write(piece(4, 0, 3, "of another stream")); err != nil {
		t.Fatal(err)
	}
	if d.Highest != 9 {
		t.Errorf("the highest id is %d, want 9", d.Highest)
	}
}
