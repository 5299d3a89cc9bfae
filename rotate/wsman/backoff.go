package wsman

import (
	"encoding/binary"
	"io"
	"time"
)

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
)

// backoff doubles from 0.2 s to 30 s and takes half of it by chance, so that many runners do not come back as one.
func (s *Session) backoff(attempt int) time.Duration {
	pause := longestPause
	if attempt < 8 {
		pause = min(firstPause<<max(attempt, 0), longestPause)
	}
	var b [4]byte
	if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
		return pause
	}
	share := time.Duration(binary.LittleEndian.Uint32(b[:])) * pause / (2 << 32)
	return pause/2 + share
}
