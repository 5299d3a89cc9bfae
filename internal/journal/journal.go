// Package journal writes down what was done, one JSON line per event, before and after it is done.
//
// A journal is a witness, never an authority: it may make certstamp ask more or stop, but it never replaces a proof and
// never permits a start. It lies on disks that other people can write to, so reading one is defensive: bounded, and with
// everything odd about it reported instead of repaired. Nothing is ever overwritten or removed.
//
// Open continues a local file and gives a Journal to append to; every line is on the disk before Append returns. More
// writers, such as the share's work folder, may get a copy of each line; the local file must succeed, a copy need not.
// Read looks at any journal, the share's for example. Lines are ASCII: foreign text in them is escaped, so that a journal
// shown on a terminal or in a CI log commands nothing.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
	"unicode/utf8"
)

// Entry is one event.
type Entry struct {
	Seq   int               `json:"seq"`  // from 1, without gaps within a run
	Time  string            `json:"time"` // RFC 3339, UTC, milliseconds
	Plan  string            `json:"plan"` // hex SHA-256 of the plan's bytes
	Run   string            `json:"run"`  // the process or CI run that wrote it
	Room  string            `json:"room"` // stage, rotate, bmc, ...
	Step  string            `json:"step"` // see StepStart
	State string            `json:"state"`
	Facts map[string]string `json:"facts,omitempty"` // never a secret
}

// Limits of what is written and read back.
const (
	MaxSize  = 16 << 20 // of a file, bytes
	MaxLine  = 64 << 10 // of a line, bytes
	maxField = 256      // of Plan, Run, Room, Step and State, bytes
)

// Journal appends to a local file. It is safe for several goroutines.
type Journal struct {
	mu      sync.Mutex
	file    *os.File
	plan    string
	run     string
	now     func() time.Time
	log     Log
	seq     int
	size    int64
	torn    bool // the file doesn't end in a line end
	broken  error
	mirrors []*mirror
}

// Open creates or continues the journal at path. planDigest and run are written into every line. Each mirror gets a copy
// of every new line. An unreadable part of the file doesn't stop Open: see Problems.
func Open(path, planDigest, run string, now func() time.Time, mirrors ...io.Writer) (*Journal, error) {
	for what, v := range map[string]string{"plan digest": planDigest, "run": run} {
		if v == "" || len(v) > maxField {
			return nil, fmt.Errorf("journal: the %s has %d bytes, 1 to %d are wanted", what, len(v), maxField)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{file: f, plan: planDigest, run: run, now: now}
	if err := j.load(); err != nil {
		_ = f.Close() // the first error tells more
		return nil, fmt.Errorf("journal %q: %w", path, err)
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("journal %q: %w", path, err)
	}
	for _, w := range mirrors {
		j.mirrors = append(j.mirrors, &mirror{to: w})
	}
	return j, nil
}

func (j *Journal) load() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if j.log, err = Read(j.file); err != nil {
		return err
	}
	j.size, j.torn = info.Size(), j.log.torn
	for _, e := range j.log.Entries {
		if e.Plan == j.plan && e.Run == j.run {
			j.seq = max(j.seq, e.Seq)
		}
	}
	return nil
}

// syncDirectory makes a new file's name as durable as its content.
func syncDirectory(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there; NTFS journals names itself
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ErrBroken is wrapped by every Append after one failed: whether the failed line is on the disk is unknown, so nothing
// may follow it. Stop before the next change.
var ErrBroken = errors.New("the journal cannot be written")

// Append writes one event and returns when it is on the local disk. On an error the event must count as not journaled,
// and what it announces must not be done.
func (j *Journal) Append(room, step, state string, facts map[string]string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	e := Entry{
		Seq: j.seq + 1, Time: j.now().UTC().Format("2006-01-02T15:04:05.000Z07:00"), Plan: j.plan, Run: j.run,
		Room: room, Step: step, State: state, Facts: maps.Clone(facts),
	}
	line, err := e.line()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	out := line
	if j.torn {
		// An earlier write ended in the middle of a line. Its rest stays, ended here, as a line that doesn't parse.
		out = append([]byte("\n"), line...)
	}
	if j.size+int64(len(out)) > MaxSize {
		return fmt.Errorf("journal: %w: it would exceed %d bytes", ErrBroken, MaxSize)
	}
	if _, err = j.file.Write(out); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("journal: %w: %w", ErrBroken, err)
		return j.broken
	}
	j.seq, j.torn, j.size = e.Seq, false, j.size+int64(len(out))
	j.log.Entries = append(j.log.Entries, e)
	for _, m := range j.mirrors {
		m.write(line)
	}
	return nil
}

// Room returns Append for one room, in the shape rooms take it.
func (j *Journal) Room(room string) func(step, state string, facts map[string]string) error {
	return func(step, state string, facts map[string]string) error { return j.Append(room, step, state, facts) }
}

// line renders an entry as ASCII JSON with a line end, and holds it to the limits it will be read back with.
func (e Entry) line() ([]byte, error) {
	for what, v := range map[string]string{"room": e.Room, "step": e.Step, "state": e.State} {
		if v == "" || len(v) > maxField {
			return nil, fmt.Errorf("the %s has %d bytes, 1 to %d are wanted", what, len(v), maxField)
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	b = append(ascii(b), '\n')
	if len(b) > MaxLine {
		return nil, fmt.Errorf("the line has %d bytes, at most %d are read back", len(b), MaxLine)
	}
	return b, nil
}

// ascii escapes what JSON leaves as it is: DEL, C1 controls, direction marks and every other non-ASCII letter.
func ascii(b []byte) []byte {
	var out bytes.Buffer
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r < 0x7f:
			out.WriteByte(b[0])
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out.Bytes()
}

// Entries are the events of this journal's plan, older runs included, oldest first.
func (j *Journal) Entries() []Entry { return j.Log().Entries }

// Log is a snapshot of what the file holds about this journal's plan.
func (j *Journal) Log() Log {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.log.Of(j.plan)
}

// Problems are the oddities found when the file was opened.
func (j *Journal) Problems() []Problem { return j.Log().Problems }

// Started returns the entry that announced the start of this plan's change, if any.
func (j *Journal) Started() (Entry, bool) { return j.Log().Started(j.plan) }

// Last returns the newest entry of this plan with that room and step.
func (j *Journal) Last(room, step string) (Entry, bool) { return j.Log().Last(room, step) }

// LastActionBeforeStart returns the facts journaled about the stamp's last action before the start.
func (j *Journal) LastActionBeforeStart() (map[string]string, bool) {
	return j.Log().LastActionBeforeStart(j.plan)
}

// MirrorErrors says, per mirror in the order given to Open, why it lacks lines; nil where it has them all.
func (j *Journal) MirrorErrors() []error {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]error, len(j.mirrors))
	for i, m := range j.mirrors {
		out[i] = m.err
	}
	return out
}

// Close tries once more to bring the mirrors up to date and closes the local file. It doesn't close the mirrors.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range j.mirrors {
		m.write(nil)
	}
	if j.broken == nil {
		j.broken = fmt.Errorf("journal: %w: it is closed", ErrBroken)
	}
	return j.file.Close()
}
