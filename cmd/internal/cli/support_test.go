package cli_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// unzip reads an archive whole.
func unzip(t *testing.T, name string) (map[string]string, []byte) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = string(b)
	}
	return out, raw
}

// TestSupport collects what a failed rotation left behind: everything that a support case needs, twice the same, and nothing
// that is secret, although somebody wrote secrets into two of the files.
func TestSupport(t *testing.T) {
	spec := east
	spec.Extra = "fail: {step: 2, message: '::warning::the secret store is full'}\n"
	s := newStand(t, spec)
	s.simulate()
	s.check(s.run(nil, "support"), 2, "--plan plan.json")
	bound := s.plan("plan.json", "--kind", "internal", "--reason", "alert: 7 days left")
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 4, "action-failed", "certstamp support")

	now := time.Now()
	s.now = func() time.Time { return now }
	kept, err := filepath.Glob(filepath.Join(s.w.Repo, ".certstamp", "east", "records-*.jsonl"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("records: %v, %v", kept, err)
	}
	for _, name := range []string{kept[0], filepath.Join(s.s.Share, "_certstamp", "journal.jsonl")} {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range s.w.Secrets {
			if _, err := f.WriteString(v + "\n"); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	more := []string{"support", "--plan", "../plan.json", "--allow-path", s.s.Share, "--out"}
	s.check(s.run(nil, append(more, "../one.zip")...), 0, "wrote ../one.zip", "Get-AzureStackLog.txt")
	s.check(s.run(nil, append(more, "../one.zip")...), 2, "is there already")
	s.must(nil, append(more, "../two.zip")...)
	files, one := unzip(t, filepath.Join(s.w.Repo, "..", "one.zip"))
	if _, two := unzip(t, filepath.Join(s.w.Repo, "..", "two.zip")); !bytes.Equal(one, two) {
		t.Error("the same moment gives other bytes")
	}
	for _, name := range []string{
		"README.txt", "plan.json", "journal-local.jsonl", "journal-share.jsonl", "records.jsonl", "runs.jsonl", "health.json",
		"action.json", "action.xml", "versions.json", "Get-AzureStackLog.txt",
	} {
		if files[name] == "" {
			t.Errorf("no %s among %d files", name, len(files))
		}
	}
	definition, err := os.ReadFile(s.path("stamp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := 0
	for what, v := range s.w.Secrets {
		if !strings.Contains(string(definition), "env:"+what) {
			continue
		}
		secrets++
		for name, text := range files {
			if strings.Contains(text, v) {
				t.Errorf("%s holds %s", name, what)
			}
		}
	}
	if secrets < 3 {
		t.Errorf("the stamp file refers to %d secrets: too little was tried", secrets)
	}
	if !strings.Contains(files["records.jsonl"], "RotateInternalSecrets") || !strings.Contains(files["runs.jsonl"], "action-failed") {
		t.Errorf("what the stamp said is not there:\n%.2000s\n%.2000s", files["records.jsonl"], files["runs.jsonl"])
	}
	for line := range strings.Lines(files["records.jsonl"]) {
		var r struct{ Time, Run, Phase, Kind string }
		if strings.HasPrefix(line, "{") && (json.Unmarshal([]byte(line), &r) != nil || r.Time == "" || r.Run == "" || r.Kind == "") {
			t.Errorf("a record is not whole: %.300s", line)
		}
	}
	if err := xml.Unmarshal([]byte(files["action.xml"]), new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("action.xml: %v", err)
	}
	var action struct{ Started, Ended time.Time }
	if err := json.Unmarshal([]byte(files["action.json"]), &action); err != nil || action.Started.IsZero() {
		t.Errorf("action.json: %+v, %v", action, err)
	}
	for _, at := range []time.Time{action.Started.Add(-30 * time.Minute), action.Ended.Add(30 * time.Minute)} {
		if want := at.UTC().Format("2006-01-02T15:04:05Z"); !strings.Contains(files["Get-AzureStackLog.txt"], want) {
			t.Errorf("the command lacks %s:\n%s", want, files["Get-AzureStackLog.txt"])
		}
	}
	if !strings.Contains(files["health.json"], "AzsInfraCapacity") {
		t.Errorf("health: %s", files["health.json"])
	}

	// A share that this command line may not open is none that gave no answer.
	s.check(s.run(nil, "support", "--plan", "../plan.json", "--out", "../shut.zip"), 0, "wrote ../shut.zip", "add --allow-path "+s.s.Share)
	files, _ = unzip(t, filepath.Join(s.w.Repo, "..", "shut.zip"))
	if !strings.Contains(files["README.txt"], "--allow-path") || strings.Contains(files["README.txt"], s.s.Share) || files["journal-share.jsonl"] != "" || files["action.xml"] == "" {
		t.Errorf("README:\n%s", files["README.txt"])
	}

	// Without the login it is made all the same, from what the run saw, and says what it did not ask.
	password := s.w.Secrets["PEP_PASSWORD"]
	s.must(map[string]string{"PEP_PASSWORD": ""}, append(more, "../three.zip")...)
	files, _ = unzip(t, filepath.Join(s.w.Repo, "..", "three.zip"))
	if !strings.Contains(files["README.txt"], "PEP_PASSWORD is not set") || files["action.xml"] == "" {
		t.Errorf("README:\n%s", files["README.txt"])
	}
	// A refused login is told, once, and the archive is there.
	s.check(s.run(map[string]string{"PEP_PASSWORD": password + "x"}, append(more, "../four.zip")...), 3, "wrote ../four.zip", "refused")
	unzip(t, filepath.Join(s.w.Repo, "..", "four.zip"))
	// On a machine that has only the plan.
	if err := os.RemoveAll(filepath.Join(s.w.Repo, ".certstamp")); err != nil {
		t.Fatal(err)
	}
	s.must(nil, append(more, "../five.zip")...)
	files, _ = unzip(t, filepath.Join(s.w.Repo, "..", "five.zip"))
	if lines := strings.Split(files["README.txt"], "\n"); !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "records.jsonl: ") }) {
		t.Errorf("README does not say that the records are missing:\n%s", files["README.txt"])
	}
	s.edit("stamp.yaml", func(b string) string { return strings.Replace(b, "CloudAdmin", "Somebody", 1) })
	a := s.must(nil, append(more, "../six.zip")...)
	if !strings.Contains(a.stdout, "leads to target") {
		t.Errorf("it does not say why it asked nobody:\n%s", a.stdout)
	}
}
