package loopback

import (
	"net"
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	const n = 2*size + 5 // three blocks
	got, err := Addresses(n)
	if err != nil || len(got) != n {
		t.Fatalf("%d addresses (%v), wanted %d", len(got), err, n)
	}
	seen := map[string]bool{}
	for _, a := range got {
		where, err := netip.ParseAddrPort(a)
		if err != nil || !where.Addr().IsLoopback() || where.Port() < first || where.Port() > last || seen[a] {
			t.Errorf("address %q (%v), wanted another one of loopback from %d to %d", a, err, first, last)
		}
		seen[a] = true
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Errorf("not free: %v", err)
			continue
		}
		l.Close()
	}
	if len(own.markers) < 3 {
		t.Errorf("%d blocks are marked as taken, wanted 3 for %d addresses", len(own.markers), n)
	}
}

// TestBlocks gives a process that chooses another's block a different one, and goes round a port on which somebody listens.
func TestBlocks(t *testing.T) {
	other := &block{choose: own.choose}
	if err := other.take(); err != nil {
		t.Fatal(err)
	}
	defer other.markers[0].Close()
	theirs := other.next - 1
	asked := 0
	b := &block{choose: func() int {
		if asked++; asked == 1 {
			return theirs
		}
		return own.choose()
	}}
	if err := b.take(); err != nil {
		t.Fatal(err)
	}
	defer b.markers[0].Close()
	if asked < 2 || b.next-1 == theirs {
		t.Fatalf("block %d after %d attempts, wanted another than %d", b.next-1, asked, theirs)
	}
	stranger, err := listen(b.next)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	want := address(b.next + 1)
	if got, err := b.addresses(1); err != nil || got[0] != want {
		t.Errorf("%v (%v), wanted %s: somebody listens on the port before it", got, err, want)
	}
}

// TestNoBlock ends, when no block can be had.
func TestNoBlock(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := 0
	b := &block{choose: func() int { asked++; return l.Addr().(*net.TCPAddr).Port }}
	if got, err := b.addresses(1); err == nil || asked != attempts {
		t.Fatalf("%v (%v) after %d attempts, wanted an error after %d", got, err, asked, attempts)
	}
}
