package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Steps with a meaning for later runs. A room may write them with its own name in front, as in rotate.start.
const (
	// StepStart announces the one command that changes the stamp. It is journaled before the command is sent.
	StepStart = "start"
	// StepLastAction holds, as facts, the stamp's last action as reported before the start. An action that is later
	// than this one is ours.
	StepLastAction = "last-action"
	// StateNotTaken is the state of a StepStart that takes an announced start back: the run that announced it knows that
	// nothing was sent.
	StateNotTaken = "not-taken"
)

// Log is what a journal holds.
type Log struct {
	Entries  []Entry // in the order of the file
	Problems []Problem

	torn bool
}

// Problem is something odd about a journal: a line that doesn't parse, a gap, a number used twice.
type Problem struct {
	Line    int // from 1; 0: several copies
	Message string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return "journal: " + p.Message
	}
	return fmt.Sprintf("journal line %d: %s", p.Line, p.Message)
}

// ErrTooLarge is wrapped when a journal exceeds MaxSize.
var ErrTooLarge = errors.New("the journal is too large")

const maxProblems = 100

// Read reads a journal to its end. Whatever it can't make sense of is a Problem, not an error: the rest still counts as
// what it is, a witness's account.
func Read(r io.Reader) (Log, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return Log{}, err
	}
	if len(b) > MaxSize {
		return Log{}, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxSize)
	}
	l := Log{torn: len(b) > 0 && b[len(b)-1] != '\n'}
	last := map[[2]string]int{} // highest number by plan and run
	for n := 1; len(b) > 0; n++ {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		b = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue // the end we gave to a line that broke off before its first byte
		}
		e, err := parseLine(line)
		if err != nil {
			why := "unreadable: " + err.Error()
			if !whole {
				why = "broken off: the writer was interrupted"
			}
			l.problem(n, why)
			continue
		}
		key := [2]string{e.Plan, e.Run}
		switch want := last[key] + 1; {
		case e.Seq > want:
			l.problem(n, fmt.Sprintf("number %d follows %d: %d missing", e.Seq, want-1, e.Seq-want))
		case e.Seq < want:
			l.problem(n, fmt.Sprintf("number %d comes again after %d", e.Seq, want-1))
		}
		last[key] = max(last[key], e.Seq)
		l.Entries = append(l.Entries, e)
	}
	return l, nil
}

func (l *Log) problem(line int, message string) {
	if len(l.Problems) < maxProblems {
		l.Problems = append(l.Problems, Problem{Line: line, Message: message})
	}
}

func parseLine(line []byte) (Entry, error) {
	if len(line) > MaxLine {
		return Entry{}, fmt.Errorf("%d bytes, at most %d are written", len(line), MaxLine)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var e Entry
	if err := d.Decode(&e); err != nil {
		return Entry{}, errors.New("not an entry of a journal") // the decoder's words repeat the line's
	}
	if d.InputOffset() != int64(len(line)) {
		return Entry{}, errors.New("something follows the entry")
	}
	if e.Seq < 1 || e.Plan == "" || e.Run == "" || e.Room == "" || e.Step == "" || e.State == "" {
		return Entry{}, errors.New("an entry with empty fields")
	}
	for _, v := range []string{e.Time, e.Plan, e.Run, e.Room, e.Step, e.State} {
		if len(v) > maxField {
			return Entry{}, errors.New("an entry with an overlong field")
		}
	}
	return e, nil
}

// Of returns the entries of one plan, and all problems. It shares nothing with l.
func (l Log) Of(plan string) Log {
	out := Log{Problems: slices.Clone(l.Problems), torn: l.torn}
	for _, e := range l.Entries {
		if e.Plan == plan {
			e.Facts = maps.Clone(e.Facts)
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

func is(step, name string) bool { return step == name || strings.HasSuffix(step, "."+name) }

// start finds the first announced start of a plan that its own run didn't take back. Only that run knows that nothing
// was sent; what another run says about it is hearsay.
func (l Log) start(plan string) int {
	found := -1
	for i, e := range l.Entries {
		switch {
		case e.Plan != plan || !is(e.Step, StepStart):
		case e.State != StateNotTaken && found < 0:
			found = i
		case e.State == StateNotTaken && found >= 0 && e.Run == l.Entries[found].Run:
			found = -1
		}
	}
	return found
}

// Started returns the entry that announces the start of a plan's change. Whether the command was sent is not known from
// it; that nothing was sent may be concluded from its absence only by a run that wrote this journal itself.
func (l Log) Started(plan string) (Entry, bool) {
	i := l.start(plan)
	if i < 0 {
		return Entry{}, false
	}
	return l.Entries[i], true
}

// Last returns the newest entry with that room and step, of any plan.
func (l Log) Last(room, step string) (Entry, bool) {
	for _, e := range slices.Backward(l.Entries) {
		if e.Room == room && e.Step == step {
			return e, true
		}
	}
	return Entry{}, false
}

// LastActionBeforeStart returns the facts of the newest StepLastAction before a plan's start; false when there was no
// start, or nothing was noted before it.
func (l Log) LastActionBeforeStart(plan string) (map[string]string, bool) {
	start := l.start(plan)
	if start < 0 {
		return nil, false
	}
	for _, e := range slices.Backward(l.Entries[:start]) {
		if e.Plan == plan && is(e.Step, StepLastAction) {
			return maps.Clone(e.Facts), true
		}
	}
	return nil, false
}
