package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const plan = "0b5e6ad1" // short, because one test cuts a journal at every byte

func clock() time.Time {
	return time.Date(2026, 3, 1, 13, 0, 0, 5e6, time.FixedZone("", 3600))
}

func open(t *testing.T, path, run string) *Journal {
	t.Helper()
	j, err := Open(path, plan, run, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func appendAll(t *testing.T, j *Journal, events ...string) {
	t.Helper()
	for _, e := range events {
		f := strings.Fields(e)
		if err := j.Append(f[0], f[1], f[2], map[string]string{"event": e}); err != nil {
			t.Fatal(err)
		}
	}
}

// steps renders what a journal holds, to compare.
func steps(entries []Entry) []string {
	out := []string{}
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%s/%d %s %s %s", e.Run, e.Seq, e.Room, e.Step, e.State))
	}
	return out
}

func TestAppendAndContinue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := open(t, path, "run-1")
	appendAll(t, j, "stage publish begun", "stage publish done")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, "run-2").Room("rotate")("start", "announced", nil); err != nil {
		t.Fatal(err)
	}
	j = open(t, path, "run-1")
	appendAll(t, j, "rotate watch begun")
	want := []string{"run-1/1 stage publish begun", "run-1/2 stage publish done", "run-2/1 rotate start announced", "run-1/3 rotate watch begun"}
	if diff := cmp.Diff(want, steps(j.Entries())); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if p := open(t, path, "run-3").Problems(); len(p) > 0 {
		t.Errorf("problems %v", p)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	wantLine := `{"seq":1,"time":"2026-03-01T12:00:00.005Z","plan":"` + plan + `","run":"run-1","room":"stage","step":"publish","state":"begun","facts":{"event":"stage publish begun"}}`
	if first != wantLine {
		t.Errorf("line\n%s\nwant\n%s", first, wantLine)
	}
}

// A crash may cut the file anywhere. Whatever is left opens, keeps every whole line, and takes new ones.
func TestTruncatedAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "whole")
	j := open(t, path, "run")
	appendAll(t, j, "stage publish begun", "rotate last-action noted", "rotate start announced")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := j.Entries()
	for n := range len(whole) + 1 {
		cut := filepath.Join(dir, fmt.Sprint("cut-", n))
		if err := os.WriteFile(cut, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		// A line without its line end counts when it is whole otherwise.
		kept := bytes.Count(whole[:n], []byte("\n"))
		atEnd := n > 0 && n < len(whole) && whole[n] == '\n'
		if atEnd {
			kept++
		}
		j, err := Open(cut, plan, "run", clock)
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if diff := cmp.Diff(steps(all[:kept]), steps(j.Entries())); diff != "" {
			t.Fatalf("cut at %d (-want +got):\n%s", n, diff)
		}
		torn := n > 0 && whole[n-1] != '\n' && !atEnd
		if got := len(j.Problems()); got != map[bool]int{true: 1}[torn] {
			t.Fatalf("cut at %d: problems %v, torn is %v", n, j.Problems(), torn)
		}
		if err := j.Append("rotate", "again", "begun", nil); err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j, err = Open(cut, plan, "run", clock)
		if err != nil {
			t.Fatalf("cut at %d, appended: %v", n, err)
		}
		want := append(steps(all[:kept]), fmt.Sprintf("run/%d rotate again begun", kept+1))
		if diff := cmp.Diff(want, steps(j.Entries())); diff != "" {
			t.Fatalf("cut at %d, appended (-want +got):\n%s", n, diff)
		}
		after, err := os.ReadFile(cut)
		if err != nil || !bytes.HasPrefix(after, whole[:n]) {
			t.Fatalf("cut at %d: what was there changed (%v)", n, err)
		}
		j.Close()
	}
}

func TestOddities(t *testing.T) {
	line := func(seq int, run string) string {
		b, err := Entry{Seq: seq, Time: "t", Plan: plan, Run: run, Room: "stage", Step: "x", State: "y"}.line()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, row := range []struct {
		claim, text string
		want        []string
		entries     int
	}{
		{"nothing", "", nil, 0},
		{"in order", line(1, "a") + line(2, "a"), nil, 2},
		{"two runs interleaved", line(1, "a") + line(1, "b") + line(2, "a") + line(2, "b"), nil, 4},
		{"CRLF", strings.ReplaceAll(line(1, "a")+line(2, "a"), "\n", "\r\n"), nil, 2},
		{"a gap", line(1, "a") + line(4, "a"), []string{"journal line 2: number 4 follows 1: 2 missing"}, 2},
		{"no beginning", line(2, "a"), []string{"journal line 1: number 2 follows 0: 1 missing"}, 1},
		{"a number twice", line(1, "a") + line(1, "a"), []string{"journal line 2: number 1 comes again after 1"}, 2},
		{"going back", line(1, "a") + line(2, "a") + line(1, "a") + line(3, "a"), []string{"journal line 3: number 1 comes again after 2"}, 4},
		{"not JSON", "rm -rf\n" + line(1, "a"), []string{"journal line 1: unreadable: not an entry of a journal"}, 1},
		{"another field", `{"seq":1,"evil":2}` + "\n", []string{"journal line 1: unreadable: not an entry of a journal"}, 0},
		{"empty fields", `{"seq":1}` + "\n", []string{"journal line 1: unreadable: an entry with empty fields"}, 0},
		{"two entries in a line", strings.TrimSpace(line(1, "a")) + line(2, "a"), []string{"journal line 1: unreadable: something follows the entry"}, 0},
		{"an overlong line", `{"seq":1,"run":"` + strings.Repeat("a", MaxLine) + "\"}\n", []string{fmt.Sprintf("journal line 1: unreadable: %d bytes, at most %d are written", MaxLine+18, MaxLine)}, 0},
		{"a torn line", line(1, "a") + line(2, "a")[:20], []string{"journal line 2: broken off: the writer was interrupted"}, 1},
	} {
		t.Run(row.claim, func(t *testing.T) {
			l, err := Read(strings.NewReader(row.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range l.Problems {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if len(l.Entries) != row.entries {
				t.Errorf("%d entries, want %d", len(l.Entries), row.entries)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

func TestReadIsBounded(t *testing.T) {
	if _, err := Read(endless{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	l, err := Read(strings.NewReader(strings.Repeat("junk\n", 10000)))
	if err != nil || len(l.Problems) != maxProblems {
		t.Errorf("%d problems, %v; want %d", len(l.Problems), err, maxProblems)
	}
}

// TestReadToTheEnd: what was read of a share that went away is no journal, it may lack the start.
func TestReadToTheEnd(t *testing.T) {
	away := errors.New("the share is away")
	whole := `{"seq":1,"time":"t","plan":"p","run":"r","room":"stage","step":"x","state":"y"}` + "\n"
	if l, err := Read(io.MultiReader(strings.NewReader(whole), iotest.ErrReader(away))); !errors.Is(err, away) || len(l.Entries) > 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestQueries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	other, err := Open(path, strings.Repeat("f", 64), "run", clock)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, other, "rotate rotate.start announced")
	other.Close()
	j := open(t, path, "run")
	if e, ok := j.Started(); ok {
		t.Errorf("another plan's start counts: %+v", e)
	}
	appendAll(t, j, "rotate last-action old", "rotate last-action noted", "rotate restart considered")
	if _, ok := j.LastActionBeforeStart(); ok {
		t.Error("there was no start yet")
	}
	if _, ok := j.Started(); ok {
		t.Error("restart is not start")
	}
	appendAll(t, j, "rotate rotate.start announced", "rotate last-action seen", "rotate start again")
	if e, ok := j.Started(); !ok || e.State != "announced" {
		t.Errorf("started: %+v, %v", e, ok)
	}
	if facts, ok := j.LastActionBeforeStart(); !ok || facts["event"] != "rotate last-action noted" {
		t.Errorf("last action before the start: %v, %v", facts, ok)
	}
	if e, ok := j.Last("rotate", "last-action"); !ok || e.State != "seen" {
		t.Errorf("last: %+v, %v", e, ok)
	}
	if _, ok := j.Last("stage", "last-action"); ok {
		t.Error("another room's entry was found")
	}
}

func log(entries ...string) Log {
	var l Log
	for _, text := range entries {
		var e Entry
		fmt.Sscanf(text, "%s %d %s %s %s", &e.Run, &e.Seq, &e.Time, &e.Step, &e.State)
		e.Plan, e.Room = plan, "rotate"
		e.Facts = map[string]string{"at": e.Time}
		l.Entries = append(l.Entries, e)
	}
	return l
}

func TestStartTakenBack(t *testing.T) {
	for _, row := range []struct {
		claim string
		log   Log
		want  string // Time of the start; empty: none
		last  string // Time of the last action before it
	}{
		{"never", log("a 1 t1 last-action before"), "", ""},
		{"announced", log("a 1 t1 last-action before", "a 2 t2 start starting"), "t2", "t1"},
		{"taken", log("a 1 t1 last-action before", "a 2 t2 start starting", "a 3 t3 start taken"), "t2", "t1"},
		{"taken back by its run", log("a 1 t1 last-action before", "a 2 t2 start starting", "a 3 t3 start not-taken"), "", ""},
		{"taken back by another run", log("a 1 t1 last-action before", "a 2 t2 start starting", "b 1 t3 start not-taken"), "t2", "t1"},
		{"announced again", log("a 1 t1 last-action before", "a 2 t2 start starting", "a 3 t3 start not-taken", "b 1 t4 last-action before", "b 2 t5 start starting"), "t5", "t4"},
		{"taken back, and never announced", log("a 1 t1 start not-taken"), "", ""},
		{"taken back at once", log("a 1 t1 start starting", "a 2 t2 start not-taken"), "", ""},
		{"the first of two counts", log("a 1 t1 start starting", "b 1 t2 last-action before", "b 2 t3 start starting", "b 3 t4 start not-taken"), "t1", ""},
	} {
		t.Run(row.claim, func(t *testing.T) {
			e, ok := row.log.Started(plan)
			if e.Time != row.want || ok != (row.want != "") {
				t.Errorf("started at %q, %v; want %q", e.Time, ok, row.want)
			}
			facts, ok := row.log.LastActionBeforeStart(plan)
			if facts["at"] != row.last || ok != (row.last != "") {
				t.Errorf("last action at %v, %v; want %q", facts, ok, row.last)
			}
		})
	}
}

// TestOtherPlansSayNothing: one journal holds the plans of a stamp, and what was done for another one neither starts this one, nor
// takes its start back, nor tells which action came before it.
func TestOtherPlansSayNothing(t *testing.T) {
	l := log("a 1 t1 start starting", "a 2 t2 last-action before", "a 3 t3 last-action other", "a 4 t4 start starting", "a 5 t5 start not-taken", "a 6 t6 end failed")
	for _, i := range []int{0, 2, 4, 5} {
		l.Entries[i].Plan = strings.Repeat("f", 64)
	}
	if e, ok := l.Started(plan); !ok || e.Time != "t4" {
		t.Errorf("started: %+v, %v, want t4", e, ok)
	}
	if facts, ok := l.LastActionBeforeStart(plan); !ok || facts["at"] != "t2" {
		t.Errorf("last action before the start: %v, %v, want t2", facts, ok)
	}
	if e, ok := l.Of(plan).Last("rotate", "end"); ok {
		t.Errorf("another plan's end is taken for ours: %+v", e)
	}
	if got := steps(l.Of(plan).Entries); len(got) != 2 {
		t.Errorf("the plan has %v", got)
	}
}

// TestEveryFieldIsWanted: a line in which one is empty, or longer than any that is written, is a line of somebody else's.
func TestEveryFieldIsWanted(t *testing.T) {
	good := Entry{Seq: 1, Time: "t", Plan: plan, Run: "run", Room: "stage", Step: "x", State: "y"}
	read := func(e Entry) Log {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Read(bytes.NewReader(append(b, '\n')))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := read(good); len(l.Entries) != 1 || len(l.Problems) > 0 {
		t.Fatalf("%+v", l)
	}
	for what, field := range map[string]func(*Entry) *string{
		"time": func(e *Entry) *string { return &e.Time }, "plan": func(e *Entry) *string { return &e.Plan }, "run": func(e *Entry) *string { return &e.Run },
		"room": func(e *Entry) *string { return &e.Room }, "step": func(e *Entry) *string { return &e.Step }, "state": func(e *Entry) *string { return &e.State },
	} {
		for n, ok := range map[int]bool{0: what == "time", maxField: true, maxField + 1: false} {
			e := good
			*field(&e) = strings.Repeat("a", n)
			if l := read(e); (len(l.Entries) == 1) != ok || (len(l.Problems) == 0) != ok {
				t.Errorf("a %s of %d bytes: %+v", what, n, l)
			}
		}
	}
	good.Seq = 0
	if l := read(good); len(l.Entries) > 0 || len(l.Problems) != 1 {
		t.Errorf("number 0: %+v", l)
	}
}

// TestMergePutsLinesInOrder: one copy lacks a line that another has, and each has its own.
func TestMergePutsLinesInOrder(t *testing.T) {
	got := Merge(log("a 2 t2 start starting"), log("a 1 t1 last-action before", "a 3 t3 end unknown"))
	want := []string{"a/1 rotate last-action before", "a/2 rotate start starting", "a/3 rotate end unknown"}
	if diff := cmp.Diff(want, steps(got.Entries)); diff != "" || len(got.Problems) > 0 {
		t.Errorf("problems %v, entries (-want +got):\n%s", got.Problems, diff)
	}
	if facts, ok := got.LastActionBeforeStart(plan); !ok || facts["at"] != "t1" {
		t.Errorf("last action before the start: %v, %v", facts, ok)
	}
}

// TestCopiesDisagree: a copy in which one field of a line is another is not the same journal, and the first copy is believed.
func TestCopiesDisagree(t *testing.T) {
	for what, change := range map[string]func(*Entry){
		"nothing": func(*Entry) {},
		"time":    func(e *Entry) { e.Time = "t9" },
		"room":    func(e *Entry) { e.Room = "bmc" },
		"step":    func(e *Entry) { e.Step = "watch" },
		"state":   func(e *Entry) { e.State = StateNotTaken },
		"facts":   func(e *Entry) { e.Facts = map[string]string{"at": "never"} },
	} {
		one, other := log("a 1 t1 start starting"), log("a 1 t1 start starting")
		change(&other.Entries[0])
		got := Merge(one, other)
		if (len(got.Problems) == 0) != (what == "nothing") {
			t.Errorf("another %s: problems %v", what, got.Problems)
		}
		if diff := cmp.Diff(one.Entries, got.Entries); diff != "" {
			t.Errorf("another %s (-first +got):\n%s", what, diff)
		}
	}
}

func TestMerge(t *testing.T) {
	local := log("b 1 t3 watch begun", "b 2 t2 watch done")
	share := log("a 1 t1 start starting", "b 1 t3 watch begun", "a 2 t4 end unknown")
	artifact := log("b 2 t2 watch failed", "c 1 t0 publish begun")
	share.Problems = []Problem{{Line: 3, Message: "odd"}}
	got := Merge(local, share, artifact)
	want := []string{"c/1 rotate publish begun", "a/1 rotate start starting", "a/2 rotate end unknown", "b/1 rotate watch begun", "b/2 rotate watch done"}
	if diff := cmp.Diff(want, steps(got.Entries)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("[journal line 3: odd journal: copies disagree about number 2 of run \"b\"]", fmt.Sprint(got.Problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if again := Merge(got, got); len(again.Entries) != len(got.Entries) {
		t.Errorf("merging a journal with itself gives %d entries, want %d", len(again.Entries), len(got.Entries))
	}
}

func TestSnapshotsAreCopies(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "j"), "run")
	facts := map[string]string{"k": "v"}
	if err := j.Append("a", "b", "c", facts); err != nil {
		t.Fatal(err)
	}
	facts["k"] = "changed"
	j.Entries()[0].Facts["k"] = "changed"
	if got := j.Entries()[0].Facts["k"]; got != "v" {
		t.Errorf("the fact became %q", got)
	}
}

// A journal is shown on terminals and in CI logs, and says what servers and certificates said.
func TestForeignTextIsEscaped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	evil := "\n::add-mask::x\r\x1b[2J\x7f\u0085\u202e\u2028😀<b>\xff"
	j := open(t, path, "run")
	if err := j.Append("rotate", "error", "seen", map[string]string{"text": evil}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range b[:len(b)-1] {
		if c < ' ' || c > '~' {
			t.Errorf("byte %d is %#x", i, c)
		}
	}
	want := strings.ToValidUTF8(evil, "\ufffd")
	if got := open(t, path, "run").Entries()[0].Facts["text"]; got != want {
		t.Errorf("read back %q, want %q", got, want)
	}
}

func TestLimitsOfAppend(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "j"), "run")
	for claim, f := range map[string]func() error{
		"no room":        func() error { return j.Append("", "a", "b", nil) },
		"overlong state": func() error { return j.Append("a", "b", strings.Repeat("x", maxField+1), nil) },
		"overlong facts": func() error { return j.Append("a", "b", "c", map[string]string{"x": strings.Repeat("x", MaxLine)}) },
	} {
		if f() == nil {
			t.Errorf("%s was accepted, and could not be read back", claim)
		}
	}
	appendAll(t, j, "a b c")
	if got := steps(j.Entries()); len(got) != 1 || got[0] != "run/1 a b c" {
		t.Errorf("entries %v: what was refused must leave no trace", got)
	}
	for _, bad := range [][2]string{{"", "run"}, {plan, ""}, {strings.Repeat("a", maxField+1), "run"}} {
		if _, err := Open(filepath.Join(t.TempDir(), "j"), bad[0], bad[1], clock); err == nil {
			t.Errorf("opened with %q", bad)
		}
	}
	if _, err := Open(t.TempDir(), plan, "run", clock); err == nil {
		t.Error("opened a directory")
	}
}

// TestFullJournal: what would not be read back is not written.
func TestFullJournal(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "j"), "run")
	if err := j.Append("a", "b", "c", nil); err != nil {
		t.Fatal(err)
	}
	line := j.size
	for more, want := range []error{nil, ErrBroken} {
		j.size = MaxSize - line + int64(more)
		if err := j.Append("a", "b", "c", nil); !errors.Is(err, want) {
			t.Errorf("%d bytes too many: got %v, want %v", more, err, want)
		}
	}
	if n := len(j.Entries()); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

// TestOnlyItsOwnLinesAreCounted: the run of another plan may have the same name.
func TestOnlyItsOwnLinesAreCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	for _, of := range []string{plan, strings.Repeat("b", 64)} {
		j, err := Open(path, of, "run", clock)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, j, "a b c")
		if e := j.Entries(); e[len(e)-1].Seq != 1 {
			t.Errorf("the first line of %.4s is %d", of, e[len(e)-1].Seq)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What failed once may or may not be on the disk, so nothing may follow it.
func TestBrokenForGood(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, "run")
	j.file.Close() // the disk goes away
	for range 2 {
		if err := j.Append("a", "b", "c", nil); !errors.Is(err, ErrBroken) {
			t.Errorf("got %v, want ErrBroken", err)
		}
		j.file = open(t, path, "run").file // and is back
	}
	if b, err := os.ReadFile(path); err != nil || len(b) > 0 {
		t.Errorf("%q follows a line that failed, %v", b, err)
	}
	if n := len(j.Entries()); n > 0 {
		t.Errorf("%d entries that are on no disk", n)
	}
}

// flaky takes at most room bytes and fails afterwards, until room grows.
type flaky struct {
	bytes.Buffer
	room int
}

func (f *flaky) Write(p []byte) (int, error) {
	n := min(len(p), f.room-f.Len())
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errors.New("the share is away")
	}
	return n, nil
}

func TestMirrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	good, bad, gone := &flaky{room: 1 << 30}, &flaky{room: 100}, &flaky{}
	j, err := Open(path, plan, "run", clock, good, bad, gone)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, "a b c", "d e f")
	if e := j.MirrorErrors(); e[0] != nil || e[1] == nil || e[2] == nil {
		t.Errorf("mirror errors %v", e)
	}
	bad.room = 1 << 30 // it comes back in the middle of a line
	appendAll(t, j, "g h i")
	if e := j.MirrorErrors(); e[1] != nil {
		t.Errorf("the mirror that came back: %v", e[1])
	}
	if err := j.Close(); err != nil {
		t.Errorf("a mirror's failure must not be the journal's: %v", err)
	}
	local, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*flaky{"good": good, "came back": bad} {
		if !bytes.Equal(m.Bytes(), local) {
			t.Errorf("the copy that is %s differs:\n%s\nlocal:\n%s", name, m, local)
		}
	}
	if err := j.Append("a", "b", "c", nil); !errors.Is(err, ErrBroken) {
		t.Errorf("append after close: %v", err)
	}
}

func TestMirrorGivesUp(t *testing.T) {
	gone := &flaky{}
	j, err := Open(filepath.Join(t.TempDir(), "j"), plan, "run", clock, gone)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for range maxPending/(MaxLine/2) + 1 {
		if err := j.Append("a", "b", "c", map[string]string{"x": strings.Repeat("x", MaxLine/2)}); err != nil {
			t.Fatal(err)
		}
	}
	gone.room = 1 << 30
	appendAll(t, j, "d e f")
	if gone.Len() != 0 || j.MirrorErrors()[0] == nil {
		t.Errorf("the copy got %d bytes behind a gap, error %v", gone.Len(), j.MirrorErrors()[0])
	}
}

// miscounting is a writer that claims to have taken another number of bytes than it was given.
type miscounting func(given int) (int, error)

func (m miscounting) Write(p []byte) (int, error) { return m(len(p)) }

// TestMirrorsThatMiscount end: what they hold is unknown, and a line that follows might lie behind a gap.
func TestMirrorsThatMiscount(t *testing.T) {
	away := errors.New("the share is away")
	for what, m := range map[string]miscounting{
		"one less":         func(n int) (int, error) { return n - 1, nil },
		"one more":         func(n int) (int, error) { return n + 1, nil },
		"one more, failed": func(n int) (int, error) { return n + 1, away },
		"less than none":   func(int) (int, error) { return -1, away },
	} {
		j, err := Open(filepath.Join(t.TempDir(), "j"), plan, "run", clock, m)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, j, "a b c", "d e f")
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if err := j.MirrorErrors()[0]; err == nil || !strings.Contains(err.Error(), "miscounts") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAppendFromManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, "run")
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if err := j.Append("a", "b", "c", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	again := open(t, path, "run")
	if len(again.Entries()) != 16 || len(again.Problems()) > 0 {
		t.Errorf("%d entries, problems %v", len(again.Entries()), again.Problems())
	}
}

func FuzzRead(f *testing.F) {
	b, err := Entry{Seq: 1, Time: "t", Plan: plan, Run: "r", Room: "stage", Step: "x", State: "y", Facts: map[string]string{"é": "\n"}}.line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(b, b[:30]...))
	f.Add([]byte("{}\n[]\nnull\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, e := range l.Entries {
			line, err := e.line()
			if err != nil {
				continue // escaping may make a line too long to be written again
			}
			again, err := Read(bytes.NewReader(line))
			if err != nil || len(again.Entries) != 1 {
				t.Fatalf("%q is not read back: %v", line, err)
			}
			if diff := cmp.Diff(e.Facts, again.Entries[0].Facts); diff != "" && len(e.Facts) > 0 {
				t.Fatalf("facts changed:\n%s", diff)
			}
		}
	})
}
