package psrp

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
)

// TestBounds: one object of 10 MiB, which is what PowerShell allows by default, and all that a command may say. A byte more ends
// the session with one error, and memory never holds much more than one object.
func TestBounds(t *testing.T) {
	const header = 40 // of a message
	text := func(size int) []byte {
		const around = len("<S></S>")
		return append(append([]byte("<S>"), bytes.Repeat([]byte("x"), size-header-around)...), "</S>"...)
	}
	for _, row := range []struct {
		name    string
		heard   int   // of the command before that
		objects []int // sizes of the messages, header included
		ends    bool
	}{
		{"the largest object", 0, []int{maxObject}, false},
		{"an object one byte larger", 0, []int{maxObject + 1}, true},
		{"the largest command", maxCommand - 2*64, []int{64, 64}, false},
		{"a command one small object larger", maxCommand - 2*64, []int{64, 64, 64}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := opened(t, 1<<30)
			p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
			p.client.heard = row.heard
			f := Fragmenter{object: 3}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var err error
			said := 0
			for _, size := range row.objects {
				for _, b := range f.Fragments(Message{Destination: ToClient, Type: PipelineOutput, Pipeline: pipelineID(t), Data: text(size)}) {
					if err = p.client.Receive(pipelineID(t), b); err != nil {
						break
					}
				}
				for {
					e, more := p.client.Next()
					if !more {
						break
					}
					if s, ok := e.(Said); ok {
						if o, ok := s.Record.(Output); !ok || o.Size != len(text(row.objects[said])) {
							t.Errorf("said %T of %d bytes", s.Record, o.Size)
						}
						said++
					}
				}
				if err != nil {
					break
				}
				runtime.GC()
			}
			runtime.ReadMemStats(&after)
			if row.ends != errors.Is(err, ErrLimit) || row.ends == (said == len(row.objects)) {
				t.Errorf("%d said, %v", said, err)
			}
			if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 64<<20 {
				t.Errorf("%d bytes are held", held)
			}
			if row.ends && p.client.Receive(pipelineID(t), nil) == nil {
				t.Error("the pool lives on")
			}
		})
	}
}
