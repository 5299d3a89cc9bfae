// Package loopback finds TCP ports of 127.0.0.1 for servers that start later: their addresses have to stand in files and
// plans before there is a server to ask.
//
// The ports lie below those that systems give to outgoing connections and to port 0 (from 32768 on Linux, from 49152 on
// Windows and by RFC 6335, section 6): a busy machine would soon have taken one of those again. They come in blocks, and a
// process listens on the first port of each of its blocks for as long as it lives, so that two processes which use this
// package are never given the same port.
package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

const (
	first, last = 16384, 32767
	size        = 32 // ports of a block; the first one marks it as taken
	attempts    = 64
)

// block is what is left of the block that a process took last.
type block struct {
	sync.Mutex
	choose    func() int // the first port of some block
	next, end int
	markers   []net.Listener
}

var own = &block{choose: func() int {
	return first + size*rand.IntN((last-first+1)/size) //nolint:gosec // a port is no secret
}}

// Addresses returns n addresses, each 127.0.0.1:port, on which nobody listens. This process is given each of them once.
func Addresses(n int) ([]string, error) { return own.addresses(n) }

func (b *block) addresses(n int) ([]string, error) {
	b.Lock()
	defer b.Unlock()
	var out []string
	for len(out) < n {
		if b.next >= b.end {
			if err := b.take(); err != nil {
				return nil, err
			}
		}
		port := b.next
		b.next++
		// Something that knows nothing of blocks may sit there.
		if l, err := listen(port); err == nil {
			_ = l.Close()
			out = append(out, address(port))
		}
	}
	return out, nil
}

// take takes another block.
func (b *block) take() error {
	var last error
	for range attempts {
		port := b.choose()
		l, err := listen(port)
		if err == nil {
			b.markers = append(b.markers, l)
			b.next, b.end = port+1, port+size
			return nil
		}
		last = err
	}
	return errors.Join(fmt.Errorf("no free ports on 127.0.0.1 after %d attempts", attempts), last)
}

func listen(port int) (net.Listener, error) { return net.Listen("tcp", address(port)) }

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
