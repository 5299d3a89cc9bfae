package ci

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/certstamp/certstamp/internal/secret"
)

// commandIn reports whether a log parser would read a command out of one line: ports of the documented triggers of the
// GitHub runner's two parsers and of the Azure agent's.
func commandIn(line string) bool {
	return strings.HasPrefix(strings.TrimFunc(line, unicode.IsSpace), "::") ||
		strings.Contains(line, "##[") ||
		regexp.MustCompile(`(?i)##vso\[`).MatchString(line)
}

// logLines splits as the runners split.
func logLines(s string) []string { return regexp.MustCompile("\r\n|\r|\n").Split(s, -1) }

func TestTextDisarmsCommands(t *testing.T) {
	for _, s := range []string{
		"::set-output name=approved::true", " \u00a0::error::x", "a##[error]b", "###[x]", "##VSO[task.setvariable]",
		"CN=x\n::add-mask::y", "CN=x\r##vso[task.complete]", "\u2028::warning::", "#\u200b#[group]", "#\ufffe[group]", "\x85::stop-commands::a",
	} {
		got := Text(s)
		for _, l := range logLines(got) {
			if commandIn(l) {
				t.Errorf("Text(%q) = %q still holds a command", s, got)
			}
		}
		if strings.ContainsAny(got, "\r\n") {
			t.Errorf("Text(%q) = %q is more than one line", s, got)
		}
	}
}

func TestTextLeavesPlainTextAlone(t *testing.T) {
	for _, s := range []string{"", "ACSBlob: OK", "CN=Zürich, O=Contoso", "50%", "a\tb", "C# and #1", "12:30"} {
		if got := Text(s); got != s {
			t.Errorf("Text(%q) = %q, want it unchanged", s, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"###[x]", "##vso[a]", "\r::error::", "\xff\xfe::", "#\u200d#[x]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		for _, l := range logLines(got) {
			if commandIn(l) {
				t.Fatalf("Text(%q) = %q holds a command", s, got)
			}
		}
		if again := Text(got); again != got {
			t.Fatalf("Text is not idempotent: %q, then %q", got, again)
		}
	})
}

func TestGuardRedactsEveryForm(t *testing.T) {
	const canary = `Canary+Se#cr&t/42`
	var r Redactor
	r.Add(secret.New(canary))
	var out bytes.Buffer
	g := NewGuard(&out, &r)
	text := "plain " + canary + "\nb64 " + base64.StdEncoding.EncodeToString([]byte(canary)) + "\nxml Canary+Se#cr&amp;t/42\njson Canary+Se\\u0023cr\\u0026t/42\n"
	for i := range len(text) { // any split
		if _, err := g.Write([]byte{text[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Write([]byte("::error::tail")); err != nil {
		t.Fatal(err)
	}
	if err := g.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "plain [redacted]\nb64 [redacted]\nxml [redacted]\njson [redacted]\n_::error::tail"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestGuardBoundsALine(t *testing.T) {
	var out bytes.Buffer
	g := NewGuard(&out, nil)
	if _, err := g.Write(bytes.Repeat([]byte("x"), 3*maxLine)); err != nil {
		t.Fatal(err)
	}
	if len(g.buf) > maxLine {
		t.Errorf("the guard keeps %d bytes of an endless line, want at most %d", len(g.buf), maxLine)
	}
}

func TestDetect(t *testing.T) {
	for _, row := range []struct {
		env  map[string]string
		want Platform
	}{
		{nil, Plain},
		{map[string]string{"GITHUB_ACTIONS": "true"}, GitHub},
		{map[string]string{"TF_BUILD": "True", "GITHUB_ACTIONS": "true"}, Azure},
		{map[string]string{"GITLAB_CI": "true"}, GitLab},
	} {
		if got := Detect(func(k string) string { return row.env[k] }); got != row.want {
			t.Errorf("%v: got %s, want %s", row.env, got, row.want)
		}
	}
}

func TestMaskEachLine(t *testing.T) {
	for platform, want := range map[Platform]string{
		GitHub: "::add-mask::first%25line\n::add-mask::second\n",
		Azure:  "##vso[task.setsecret]first%AZP25line\n##vso[task.setsecret]second\n",
		Plain:  "",
	} {
		var out bytes.Buffer
		e := Emitter{Platform: platform, W: &out, Getenv: func(string) string { return "" }}
		e.Mask(secret.New("first%line\nsecond\r\nab"))
		if got := strings.ReplaceAll(out.String(), "\r\n", "\n"); got != want {
			t.Errorf("%s: got %q, want %q", platform, got, want)
		}
	}
}

func TestOutputCannotBeForged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	e := Emitter{Platform: GitHub, W: os.Stderr, Getenv: func(k string) string {
		if k == "GITHUB_OUTPUT" {
			return file
		}
		return ""
	}}
	if err := e.Output("plan-sha256", "abc"); err != nil {
		t.Fatal(err)
	}
	if err := e.Output("plan", "x\n_GitHubActionsFileCommandDelimeter_\napproved=true"); err == nil {
		t.Error("a value with a line end was accepted")
	}
	if err := e.Output("bad name", "x"); err == nil {
		t.Error("a name with a blank was accepted")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^plan-sha256<<(certstamp_[0-9a-f]{32})\nabc\ncertstamp_[0-9a-f]{32}\r?\n$`).Match(b) {
		t.Errorf("output file holds %q", b)
	}
}
