package clixml

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestForeignPrimitives reads what testdata/psrp/vectors.py writes of texts, times, spans and bytes, and writes texts and bytes
// as it does.
func TestForeignPrimitives(t *testing.T) {
	b, err := os.ReadFile("../../../testdata/psrp/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Escapes  []struct{ Text, Escaped string }
		Instants []struct {
			Text           string
			Seconds, Ticks int64
		}
		Spans []struct {
			Text  string
			Ticks int64
		}
		Bytes []struct{ Hex, Text string }
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Escapes) < 10 || len(v.Instants) < 4 || len(v.Spans) < 5 || len(v.Bytes) < 3 {
		t.Fatalf("too few vectors: %+v", v)
	}
	read := func(tag, text string) any {
		t.Helper()
		got, err := Unmarshal([]byte("<"+tag+">"+text+"</"+tag+">"), nil)
		if err != nil {
			t.Errorf("%s %q: %v", tag, text, err)
		}
		return got
	}
	writes := func(v any, tag, text string) {
		t.Helper()
		if got, err := Marshal(v, nil); err != nil || !strings.Contains(string(got), "<"+tag+">"+text+"</"+tag+">") {
			t.Errorf("wrote %s, wanted %q (%v)", got, text, err)
		}
	}
	for _, e := range v.Escapes {
		if got := read("S", e.Escaped); got != e.Text {
			t.Errorf("%q reads as %q, wanted %q", e.Escaped, got, e.Text)
		}
		writes(e.Text, "S", e.Escaped)
	}
	for _, i := range v.Instants {
		want := time.Unix(i.Seconds, 100*i.Ticks)
		if got, ok := read("DT", i.Text).(time.Time); !ok || !got.Equal(want) {
			t.Errorf("%s reads as %v, wanted %v", i.Text, got, want)
		}
	}
	for _, s := range v.Spans {
		if got := read("TS", s.Text); got != time.Duration(100*s.Ticks) {
			t.Errorf("%s reads as %v, wanted %v", s.Text, got, time.Duration(100*s.Ticks))
		}
	}
	for _, x := range v.Bytes {
		raw, err := hex.DecodeString(x.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := read("BA", x.Text).([]byte); !ok || string(got) != string(raw) {
			t.Errorf("%q reads as %x, wanted %x", x.Text, got, raw)
		}
		if len(raw) > 0 {
			writes(raw, "BA", x.Text)
		}
	}
}
