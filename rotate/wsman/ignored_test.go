package wsman

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// TestIgnoredIsToldOnce: whoever watches hears of each unknown type once, and nothing of it but its size.
func TestIgnoredIsToldOnce(t *testing.T) {
	var said bytes.Buffer
	s := &Session{cfg: &Config{Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))}}
	for range 3 {
		s.ignored(t.Context(), psrp.Ignored{Type: 0x00099999, Size: 41})
		s.ignored(t.Context(), psrp.Ignored{Type: 0x00099998, Size: 7})
	}
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `level=WARN msg="message ignored" type=0x00099999 bytes=41`) {
		t.Errorf("said:\n%s", said.String())
	}
}
