package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/pep"
)

// keeper writes down what the stamp says while it rotates, for a support case: the records as they come, and how each run
// saw it come out. Nothing reads it but certstamp support, and a disk that is full costs nothing but the record.
type keeper struct {
	app     *app
	run     string
	records string
	runs    string
	most    int64 // of the records' file, before it is turned over
	size    int64
	file    *os.File
	broken  bool
}

// maxKept bounds the records of one plan: so much, and as much again of what was before.
const maxKept = 8 << 20

func keptFiles(journalFile, digest string) (records, runs string) {
	dir := filepath.Dir(journalFile)
	return filepath.Join(dir, "records-"+digest[:12]+".jsonl"), filepath.Join(dir, "runs-"+digest[:12]+".jsonl")
}

// earlier is the name of the records before the file was turned over.
func earlier(records string) string { return strings.TrimSuffix(records, ".jsonl") + ".1.jsonl" }

func (a *app) keep(b *bound, journalFile string) *keeper {
	k := &keeper{app: a, run: b.run, most: maxKept}
	k.records, k.runs = keptFiles(journalFile, b.digest)
	b.clean = append(b.clean, func() {
		if k.file != nil {
			_ = k.file.Close()
		}
	})
	return k
}

// keptRecord is one line of the records.
type keptRecord struct {
	Time  string `json:"time"`
	Run   string `json:"run"`
	Phase string `json:"phase"`
	pep.Record
}

// keptRun is one line of the runs.
type keptRun struct {
	Time      string         `json:"time"`
	Run       string         `json:"run"`
	Tool      string         `json:"tool"`
	Outcome   rotate.Outcome `json:"outcome"`
	ActionXML string         `json:"actionXml,omitempty"`
}

func (k *keeper) stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// line is a value as one line of ASCII, without any secret that is known.
func (k *keeper) line(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte(ascii(k.app.redactor.Redact(string(b)))), '\n'), nil
}

// ascii escapes in JSON what a terminal or a viewer could take for something else.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		case r > 0x7e:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (k *keeper) fail(err error) {
	if !k.broken {
		k.broken = true
		k.app.progress("what the stamp says is not kept for certstamp support: %v", err)
	}
}

// record keeps one record.
func (k *keeper) record(at time.Time, phase rotate.Phase, r pep.Record) {
	if k == nil || k.broken {
		return
	}
	line, err := k.line(keptRecord{Time: k.stamp(at), Run: k.run, Phase: string(phase), Record: r})
	if err == nil {
		err = k.append(line)
	}
	if err != nil {
		k.fail(err)
	}
}

func (k *keeper) append(line []byte) error {
	if k.file != nil && k.size > 0 && k.size+int64(len(line)) > k.most {
		_ = k.file.Close()
		k.file = nil
		if err := os.Rename(k.records, earlier(k.records)); err != nil {
			return err
		}
	}
	if k.file == nil {
		f, err := appendTo(k.records)
		if err != nil {
			return err
		}
		k.file = f
		info, err := f.Stat()
		if err != nil {
			return err
		}
		k.size = info.Size()
	}
	n, err := k.file.Write(line)
	k.size += int64(n)
	return err
}

// appendTo opens a file of ours for further lines.
func appendTo(name string) (*os.File, error) {
	if err := regularAt(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// outcome keeps how a run saw the rotation come out.
func (k *keeper) outcome(out rotate.Outcome) {
	if k == nil {
		return
	}
	line, err := k.line(keptRun{Time: k.stamp(k.app.env.Now()), Run: k.run, Tool: k.app.env.Version, Outcome: out, ActionXML: out.Action.Raw})
	if err != nil {
		k.fail(err)
		return
	}
	f, err := appendTo(k.runs)
	if err != nil {
		k.fail(err)
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxKept {
		return // hundreds of runs of one plan: the first ones tell the story
	}
	if _, err := f.Write(line); err != nil {
		k.fail(err)
	}
}
