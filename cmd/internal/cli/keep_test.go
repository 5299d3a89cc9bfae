package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/pep"
)

// TestKeeper: what is kept of a stamp that talks for ever stays within its bound, with the newest in it, and is ASCII without
// a secret even when that has letters which JSON or we escape.
func TestKeeper(t *testing.T) {
	a := newApp(Env{Stdout: io.Discard, Stderr: io.Discard, Now: time.Now, Getenv: func(string) string { return "" }})
	a.redactor.Add(secret.New(`Schlüssel"<1>`))
	b := &bound{digest: strings.Repeat("d", 64), run: "r"}
	k := a.keep(b, filepath.Join(t.TempDir(), "journal.jsonl"))
	k.most = 4 << 10
	for range 100 {
		k.record(time.Unix(0, 0), rotate.Watching, pep.Record{Kind: pep.OutputRecord, Text: "it said Schlüssel\"<1> and \u202e\U0001f600 more " + strings.Repeat("x", 100)})
	}
	k.record(time.Unix(0, 0), rotate.Watching, pep.Record{Kind: pep.OutputRecord, Text: "the last"})
	b.Close()
	for _, name := range []string{k.records, earlier(k.records)} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 4<<10 || len(raw) < 1<<10 {
			t.Errorf("%s has %d bytes", filepath.Base(name), len(raw))
		}
		for line := range bytes.Lines(raw) {
			var r keptRecord
			if err := json.Unmarshal(line, &r); err != nil || r.Run != "r" {
				t.Errorf("%v: %s", err, line)
			}
			if strings.Contains(r.Text, "Schl") || bytes.ContainsFunc(line, func(c rune) bool { return c > 0x7e }) {
				t.Errorf("kept: %s", line)
			}
		}
		if name == k.records && !strings.Contains(string(raw), "the last") {
			t.Error("the newest is not there")
		}
	}
	if got := quotePS("a'b\u2019c\r\n"); got != "'a''b\u2019\u2019c'" {
		t.Errorf("PowerShell literal: %s", got)
	}
}
