package crew

import (
	"strings"
	"sync/atomic"
	"testing"
)

// TestPanicsReachTheWaiter: the first panic comes out of Wait once all have returned, with the stack where it happened, also
// from a group within a group.
func TestPanicsReachTheWaiter(t *testing.T) {
	var done atomic.Int32
	defer func() {
		p, ok := recover().(*Panic)
		if !ok || p.Error() != "::error::boom" || !strings.Contains(string(p.Stack), "crew.blowUp") {
			t.Errorf("%v", p)
		}
		if done.Load() != 10 {
			t.Errorf("%d functions returned before Wait did", done.Load())
		}
	}()
	var outer Group
	for range 10 {
		outer.Go(func() { done.Add(1) })
	}
	outer.Go(func() {
		var inner Group
		inner.Go(blowUp)
		inner.Wait()
		t.Error("the group within said nothing")
	})
	outer.Wait()
	t.Error("Wait returned")
}

func blowUp() { panic("::error::boom") }

func TestQuietGroup(t *testing.T) {
	var g Group
	n := make([]int, 50)
	for i := range n {
		g.Go(func() { n[i] = i })
	}
	g.Wait()
	for i := range n {
		if n[i] != i {
			t.Fatalf("%d did not run", i)
		}
	}
}
