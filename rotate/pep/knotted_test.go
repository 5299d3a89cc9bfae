package pep

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// TestKnottedAnswers: a few kilobytes that refer to themselves must not cost the process, nor the evening.
func TestKnottedAnswers(t *testing.T) {
	const self = `<Obj N="%" RefId="1"><Ref RefId="1"/></Obj>`
	member := func(name string) string {
		return `<Obj RefId="0"><MS><S N="Status">Running</S>` + strings.Replace(self, "%", name, 1) + `</MS></Obj>`
	}
	refs := func(id string, n int) string { return strings.Repeat(`<Ref RefId="`+id+`"/>`, n) }
	wide := strings.Repeat(`<Nil N="x"/>`, 5_000)
	documents := map[string]string{
		"a time that is its own value":     member("StartTimeUtc"),
		"a progress that is its own value": member("ProgressAsXml"),
		"roots that hold themselves":       `<Obj RefId="0"><MS><S N="RegionName">east</S><Obj N="RootCACertificates" RefId="1"><LST>` + refs("1", 300) + `</LST><MS><Obj N="NotAfter" RefId="2"><Ref RefId="2"/></Obj></MS></Obj></MS></Obj>`,
		"a list that holds itself":         `<Obj RefId="0"><LST>` + refs("0", 300) + `</LST></Obj>`,
		"tests that hold themselves":       `<Obj RefId="0"><MS><S N="Name">a</S><Ref N="Tests" RefId="0"/></MS><LST>` + refs("0", 300) + `</LST></Obj>`,
		"one wide object named many times": `<Obj RefId="0"><LST><Obj RefId="1"><MS>` + wide + `</MS></Obj>` + refs("1", 2000) + `</LST></Obj>`,
		"one long progress named many times": `<Obj RefId="0"><LST><Obj RefId="1"><MS><S N="ProgressAsXml">&lt;Action&gt;` + strings.Repeat("&lt;Step/&gt;", 100) + `&lt;/Action&gt;</S></MS></Obj>` +
			refs("1", 50_000) + `</LST></Obj>`,
	}
	for document, text := range documents {
		records := []psrp.Record{psrp.Unreadable{Type: psrp.PipelineOutput}} // what becomes of it if it does not decode
		if v, err := clixml.Unmarshal([]byte(text), nil); err == nil {
			records = outputs(v)
		}
		for question, ask := range questions() {
			begun := time.Now()
			_ = ask(t.Context(), New(&fake{records: records})) // any answer will do, as long as there is one
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("%s, %s: took %v", question, document, took)
			}
		}
	}
}

// TestTooManyActions: the latest of as many as are read is not the latest.
func TestTooManyActions(t *testing.T) {
	for n, want := range map[int]error{maxActions: nil, maxActions + 1: ErrNoAnswer} {
		list := &clixml.Object{Container: clixml.List}
		for range n {
			list.List = append(list.List, &clixml.Object{Extended: []clixml.Property{{Name: "ProgressAsXml", Value: `<Action Status="Completed"/>`}}})
		}
		if _, err := New(&fake{records: outputs(list)}).ActionStatus(t.Context(), "Start-SecretRotation"); !errors.Is(err, want) {
			t.Errorf("%d actions: %v, want %v", n, err, want)
		}
	}
	one := &clixml.Object{Extended: []clixml.Property{{Name: "ProgressAsXml", Value: `<Action Status="Completed"/>`}}}
	again := &clixml.Object{Container: clixml.List, List: slices.Repeat([]any{one}, maxActions+1)}
	if st, err := New(&fake{records: outputs(again)}).ActionStatus(t.Context(), "Start-SecretRotation"); err != nil || st.State != Completed {
		t.Errorf("one action that is named again: %+v, %v", st, err)
	}
}

// TestPlainIsBoundedInBytes: an object can name one long text as often as it likes.
func TestPlainIsBoundedInBytes(t *testing.T) {
	long := &clixml.Object{ToString: strings.Repeat("x", maxText+1)}
	list := &clixml.Object{Container: clixml.List}
	dict := &clixml.Object{Container: clixml.Dictionary}
	for range maxPlainNodes {
		list.List = append(list.List, long)
		dict.Dict = append(dict.Dict, clixml.Entry{Key: long, Value: long})
	}
	for name, v := range map[string]any{"list": list, "dictionary": dict} {
		b, err := json.Marshal(recordOf(psrp.Output{Value: v}).Object)
		if err != nil || len(b) > 256<<10 {
			t.Errorf("%s: %d bytes are kept: %v", name, len(b), err)
		}
	}
}

// TestKeptRecordsAreBoundedInBytes: twenty thousand records are few, unless each of them is large.
func TestKeptRecordsAreBoundedInBytes(t *testing.T) {
	long := &clixml.Object{ToString: strings.Repeat("x", maxText)}
	large := &clixml.Object{List: []any{long, long, long, long, long, long, long}}
	var records []psrp.Record
	for range 800 {
		records = append(records, psrp.Output{Value: large}, psrp.ErrorRecord{Message: strings.Repeat("y", maxError)})
	}
	reply, err := New(&fake{records: records}).invoke(t.Context(), psrp.Command{Name: "Get-X"}, false, nil)
	held := 0
	for _, r := range reply.Records {
		held += r.Size()
	}
	if err != nil || held > maxHeld+1<<20 || len(reply.Records) < 100 || reply.Dropped+len(reply.Records) != len(records) {
		t.Errorf("%d bytes in %d records are kept, %d dropped: %v", held, len(reply.Records), reply.Dropped, err)
	}
}
