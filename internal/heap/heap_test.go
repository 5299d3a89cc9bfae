package heap

import "testing"

var kept []byte

func TestSpent(t *testing.T) {
	const size = 5 << 20
	got := Spent(func() {
		for range 3 {
			kept = make([]byte, size)
		}
	})
	if got < 3*size || got > 3*size+1<<20 {
		t.Errorf("%d bytes for three objects of %d", got, size)
	}
	if got := Spent(func() {}); got > 1<<20 {
		t.Errorf("%d bytes for nothing", got)
	}
}
