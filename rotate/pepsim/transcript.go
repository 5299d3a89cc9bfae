package pepsim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// transcripts are what the endpoint remembers of its sessions, also of those that have ended or were lost, until
// Close-PrivilegedEndpoint moves all of it away.
type transcripts struct {
	mu   sync.Mutex
	kept []*transcript // oldest first
}

// transcript is of one session.
type transcript struct {
	name, head string
	part       int      // how often it was moved away
	lines      []string // since then
}

// Bounds of what is kept for somebody who never comes.
const (
	mostTranscripts = 1000
	mostLines       = 10_000
)

// newTranscript begins the transcript of a session. The endpoint keeps it when it has something to say.
func newTranscript(at time.Time, shell, user string) *transcript {
	return &transcript{
		name: fmt.Sprintf("Transcripts_%s_%s", at.UTC().Format("20060102150405"), shell),
		head: fmt.Sprintf("SIMULATED transcript of a session of %s, begun %s\r\n", user, at.UTC().Format(time.RFC3339)),
	}
}

func (t *transcripts) note(of *transcript, at time.Time, cmdlet string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.kept, of) {
		if len(t.kept) >= mostTranscripts {
			t.kept = t.kept[1:]
		}
		t.kept = append(t.kept, of)
	}
	if len(of.lines) < mostLines {
		of.lines = append(of.lines, fmt.Sprintf("%s %s\r\n", at.UTC().Format(time.RFC3339), cmdlet))
	}
}

// ship writes every transcript to a share, one file for each session, and forgets those that it wrote.
func (t *transcripts) ship(to Share) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.kept) > 0 {
		one := t.kept[0]
		if err := to.WriteFile(fmt.Sprintf("%s_%d.txt", one.name, one.part+1), []byte(one.head+strings.Join(one.lines, ""))); err != nil {
			return err
		}
		one.part, one.lines, t.kept = one.part+1, nil, t.kept[1:]
	}
	return nil
}
