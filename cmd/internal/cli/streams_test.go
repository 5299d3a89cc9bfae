package cli_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// streams are those on which a cmdlet can speak, beside its output.
var streams = []string{"warning", "verbose", "debug", "information", "progress", "error"}

// TestEveryStream follows one record of each stream from the endpoint to where people and tools read it.
func TestEveryStream(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Extra = "streams: Get-AzureStackStampInformation\n"
	s := newStand(t, spec)
	s.simulate()
	a := s.run(nil, "pep", "Get-AzureStackStampInformation", "--stamp", s.name(), "--record", "../tapes")
	s.check(a, 1, "completed with 1 error record,")
	tape, err := os.ReadFile(tapes(t, filepath.Join(s.w.Dir, "tapes"))[0])
	if err != nil {
		t.Fatal(err)
	}
	recorded := streamed(t, string(tape))
	for _, stream := range streams {
		text := "SIMULATED " + stream + " of Get-AzureStackStampInformation"
		if !strings.Contains(a.stdout, stream+": "+text+"\n") {
			t.Errorf("the text lacks %q:\n%s", text, a.stdout)
		}
		found := 0
		for _, r := range a.doc.Records {
			if r.Stream == stream && r.Value == text {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s: %d records in the document: %+v", stream, found, a.doc.Records)
		}
		if !strings.Contains(recorded, text) {
			t.Errorf("the recording lacks %q", text)
		}
	}
	if last := a.doc.Records[len(a.doc.Records)-1]; last.Stream != "output" || !strings.Contains(a.stdout, "output: ") || !strings.Contains(recorded, "RegionName") {
		t.Errorf("the output: %+v\n%s", last, a.stdout)
	}
}

// streamed is what the endpoint sent in a recording, out of the stream elements of its envelopes.
func streamed(t *testing.T, tape string) string {
	t.Helper()
	element := regexp.MustCompile(`<(?:\w+:)?Stream [^>]*>([A-Za-z0-9+/=]+)<`)
	var out strings.Builder
	for line := range strings.Lines(tape) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		for _, v := range entry {
			text, _ := v.(string)
			for _, m := range element.FindAllStringSubmatch(text, -1) {
				b, err := base64.StdEncoding.DecodeString(m[1])
				if err != nil {
					t.Fatal(err)
				}
				out.Write(b)
			}
		}
	}
	return out.String()
}

// TestEveryStreamOfARotation follows them from the start of a rotation into the archive for a support case.
func TestEveryStreamOfARotation(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Extra = "streams: Start-SecretRotation\n"
	s := newStand(t, spec)
	s.simulate()
	bound := s.plan("plan.json", "--kind", "internal", "--reason", "alert: 7 days left")
	a := s.run(nil, append([]string{"rotate"}, bound...)...)
	s.check(a, 4, "contradicted", "SIMULATED error of Start-SecretRotation") // an error record is no success, whatever the action says
	// A rerun has nothing to repeat, and what is said to be next leads on.
	next := "certstamp plan --stamp " + filepath.Dir(s.path("stamp.yaml")) + " --kind internal --reason 'alert: 7 days left' --fresh REASON"
	next = strings.ReplaceAll(next, s.w.Repo+string(filepath.Separator), "")
	s.check(s.run(nil, "status", "--stamp", "stamps/east", "--allow-path", s.s.Share), 0, next)
	again := s.plan("again.json", "--kind", "rerun", "--rerun-of", "internal", "--reason", "alert: 7 days left")
	s.check(s.run(nil, append([]string{"rotate"}, again...)...), 1, "nothing-to-rerun", "--fresh REASON")
	fresh := s.plan("fresh.json", "--kind", "internal", "--reason", "alert: 7 days left", "--fresh", "the store is empty again")
	s.check(s.run(nil, append([]string{"rotate"}, fresh...)...), 4, "contradicted")
	if n := (&played{stand: s}).count(); n != 2 {
		t.Errorf("%d starts, wanted the first and the fresh one", n)
	}
	s.must(nil, "support", "--plan", "../plan.json", "--allow-path", s.s.Share, "--out", "../case.zip")
	files, _ := unzip(t, filepath.Join(s.w.Dir, "case.zip"))
	var kinds []string
	for line := range strings.Lines(files["records.jsonl"]) {
		var r struct{ Kind, Text string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Text == "SIMULATED "+r.Kind+" of Start-SecretRotation" || r.Kind == "output" && !slices.Contains(kinds, r.Kind) {
			kinds = append(kinds, r.Kind)
		}
	}
	slices.Sort(kinds)
	if want := slices.Sorted(slices.Values(append([]string{"output"}, streams...))); !slices.Equal(kinds, want) {
		t.Errorf("kept %v, wanted %v", kinds, want)
	}
}
