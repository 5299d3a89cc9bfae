package journal

import (
	"errors"
	"fmt"
	"io"
)

// maxPending bounds the lines kept for a mirror that is away.
const maxPending = 1 << 20

// mirror copies lines to a writer that may fail for a while, such as a share. Lines wait in order and are never skipped:
// a gap in the copy would look like tampering. Once too many wait, the copy ends for good.
type mirror struct {
	to      io.Writer
	pending []byte
	err     error
	ended   bool
}

func (m *mirror) write(line []byte) {
	if m.ended {
		return
	}
	if len(m.pending)+len(line) > maxPending {
		m.ended = true
		m.err = fmt.Errorf("journal copy: %d bytes wait, given up: %w", len(m.pending), m.err)
		m.pending = nil
		return
	}
	m.pending = append(m.pending, line...)
	if len(m.pending) == 0 {
		return
	}
	n, err := m.to.Write(m.pending)
	if n < 0 || n > len(m.pending) || n < len(m.pending) && err == nil {
		// A writer that breaks io.Writer's contract cannot be resumed.
		m.ended, m.err = true, errors.New("journal copy: the writer miscounts")
		return
	}
	m.pending = m.pending[n:]
	m.err = nil
	if err != nil {
		m.err = fmt.Errorf("journal copy: %w", err)
	}
}
