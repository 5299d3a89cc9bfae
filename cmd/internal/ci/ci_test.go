package ci

import (
	"bytes"
	"encoding/base64"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/secret"
)

func TestTextDisarmsCommands(t *testing.T) {
	for _, s := range attacks {
		got := Text(s)
		for _, l := range logLines(got) {
			if triggered(l) {
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

// TestGuardCutsNoSecret lays a secret across every place at which an endless line may be cut.
func TestGuardCutsNoSecret(t *testing.T) {
	const canary = "Canary-0123456789"
	var r Redactor
	r.Add(secret.New(canary))
	for at := maxLine - len(canary) - 1; at <= maxLine+1; at++ {
		var out bytes.Buffer
		g := NewGuard(&out, &r)
		text := strings.Repeat("x", at) + canary + strings.Repeat("y", maxLine+64)
		for len(text) > 0 {
			n := min(1000, len(text))
			_, _ = g.Write([]byte(text[:n]))
			text = text[n:]
		}
		_ = g.Flush()
		if got := strings.ReplaceAll(out.String(), "\n", ""); strings.Contains(got, canary[:8]) || strings.Contains(got, canary[8:]) {
			t.Errorf("at %d: part of the secret got through", at)
		}
	}
}

// TestGuardWaitsForTheRestOfASecret: what one secret leaves free when it is replaced is no reason to cut another that has only begun.
func TestGuardWaitsForTheRestOfASecret(t *testing.T) {
	canary := strings.Repeat("Canary-0123456789-", 12)
	var r Redactor
	r.Add(secret.New(canary))
	ahead := r.longest()
	for begun := 1; begun < len(canary); begun++ {
		var out bytes.Buffer
		g := NewGuard(&out, &r)
		fill := strings.Repeat("x", maxLine+ahead+1-len(canary)-begun)
		for _, part := range []string{canary + fill + canary[:begun], canary[begun:] + "\n"} {
			if _, err := g.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.ReplaceAll(out.String(), secret.Redacted, ""); strings.Contains(got, "Canary") || strings.Contains(got, "0123456789") {
			t.Fatalf("with %d bytes of it at the end, a secret went out in parts: %q", begun, strings.Trim(got, "x"))
		}
	}
}

// TestHalvesMakeNoCommand: a flush in the middle of a line must not let the next text complete it.
func TestHalvesMakeNoCommand(t *testing.T) {
	var out bytes.Buffer
	g := NewGuard(&out, nil)
	e := Emitter{Platform: GitHub, Log: g, Getenv: none}
	for _, s := range []string{"##", "[error]x", "waiting"} {
		_, _ = g.Write([]byte(s))
		_ = g.Flush()
	}
	e.Mask(secret.New("correct horse"))
	if got, want := strings.ReplaceAll(out.String(), "\r", ""), "##\n[error]x\nwaiting\n::add-mask::correct horse\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
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
		GitHub: "::add-mask::first%25line\n::add-mask::second line\n",
		Azure:  "##vso[task.setsecret]first%AZP25line\n##vso[task.setsecret]second line\n",
		Plain:  "",
	} {
		var out bytes.Buffer
		e := Emitter{Platform: platform, Log: NewGuard(&out, nil), Getenv: none}
		e.Mask(secret.New("first%line\nsecond line\r\nab"))
		if got := strings.ReplaceAll(out.String(), "\r\n", "\n"); got != want {
			t.Errorf("%s: got %q, want %q", platform, got, want)
		}
	}
}

// TestShort walks the boundary from both sides. One short line is enough: each is a mask.
func TestShort(t *testing.T) {
	for text, want := range map[string]bool{
		"elevenchars": true, "twelve chars": false, "üüüüüüüüüüü": true, "üüüüüüüüüüüü": false, "a line that is long\nshort\n": true, "a line that is long\r\nand another one\r\n": false, "": false,
	} {
		for platform, masks := range map[Platform]bool{GitHub: true, Azure: true, GitLab: true, Plain: false} {
			e := Emitter{Platform: platform}
			if got := e.Short(secret.New(text)); got != (want && masks) {
				t.Errorf("%s, %q: %t", platform, text, got)
			}
		}
	}
}

// TestMaskable: what is masked is long enough to strike nowhere else, and what cannot be masked is known.
func TestMaskable(t *testing.T) {
	for text, want := range map[string]int{"seven77": 0, "eight888": 1, "üüüüüüü": 0, "üüüüüüüü": 1, "abcd\nabcdef0\n": 0, "abcd\na line that is long\nabcd": 1} {
		for platform, mask := range map[Platform]string{GitHub: "::add-mask::", Azure: "task.setsecret", Plain: "no mask"} {
			var log strings.Builder
			e := Emitter{Platform: platform, Log: NewGuard(&log, nil), Getenv: none}
			e.Mask(secret.New(text))
			if n := strings.Count(log.String(), mask); platform != Plain && n != want || e.Maskable(secret.New(text)) != (want > 0 || platform == Plain) {
				t.Errorf("%s, %q: %d masks, maskable %t", platform, text, n, e.Maskable(secret.New(text)))
			}
		}
	}
}

func TestOutputCannotBeForged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	e := Emitter{Platform: GitHub, Log: NewGuard(io.Discard, nil), Getenv: only("GITHUB_OUTPUT", file)}
	if err := e.Output("plan-sha256", "abc"); err != nil {
		t.Fatal(err)
	}
	if err := e.Output("plan", "x\n_GitHubActionsFileCommandDelimeter_\napproved=true"); err == nil {
		t.Error("a value with a line end was accepted")
	}
	if err := e.Output("bad name", "x"); err == nil {
		t.Error("a name with a blank was accepted")
	}
	e.Redact = &Redactor{}
	e.Redact.Add(secret.New("0123456789ab"))
	if err := e.Output("plan-sha256", "ff0123456789abff"); err == nil {
		t.Error("a value that the runner would mask, and then drop, was accepted")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^plan-sha256<<(certstamp_[0-9a-f]{32})\nabc\ncertstamp_[0-9a-f]{32}\r?\n$`).Match(b) {
		t.Errorf("output file holds %q", b)
	}
}

func TestAzureOutput(t *testing.T) {
	var out bytes.Buffer
	e := Emitter{Platform: Azure, Log: NewGuard(&out, nil), Getenv: none}
	if err := e.Output("plan-sha256", "50%]"); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "##vso[task.setvariable variable=planSha256;isOutput=true;isReadOnly=true]50%AZP25]\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAnnotationsFitTheLimits: the worst come first, ten of a level are shown, and the tenth says what is missing.
func TestAnnotationsFitTheLimits(t *testing.T) {
	var list []Annotation
	for range 12 {
		list = append(list, Annotation{Level: Warning, Code: "kdf-iterations", Title: "w", File: "stamps/east/a,b:c.pfx", Message: "warned"})
	}
	for range 10 {
		list = append(list, Annotation{Level: Error, Code: "dns-names", Title: "e", Message: strings.Repeat("ü", maxMessage)})
	}
	for platform, parser := range map[Platform]string{GitHub: "GitHub v2", Azure: "Azure"} {
		var out bytes.Buffer
		e := Emitter{Platform: platform, Log: NewGuard(&out, nil), Getenv: none}
		e.Annotate(list)
		read := commandsIn(out.String())[parser]
		if len(read) != 20 {
			t.Fatalf("%s: %d annotations, want 10 errors and 10 warnings", platform, len(read))
		}
		level := func(c command) string { return strings.TrimPrefix(c.properties["type"]+c.name, "task.logissue") }
		if !strings.Contains(level(read[0]), "error") || !strings.Contains(level(read[19]), "warning") || len(read[0].data) > 4096 {
			t.Errorf("%s: first %.80q, last %.80q", platform, read[0], read[19])
		}
		if !strings.Contains(read[19].data, "3 more of level warning") {
			t.Errorf("%s: the last one says %q", platform, read[19].data)
		}
		if got := read[10].properties["file"] + read[10].properties["sourcepath"]; got != "stamps/east/a,b:c.pfx" {
			t.Errorf("%s: the file is %q", platform, got)
		}
	}
	var out bytes.Buffer
	(&Emitter{Platform: GitLab, Log: NewGuard(&out, nil), Getenv: none}).Annotate(list)
	if out.Len() > 0 {
		t.Errorf("GitLab got %q", out.String())
	}
}

// TestSummaryFits: the pages of a step share a file that the runner refuses as a whole when it is too large.
func TestSummaryFits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary")
	e := Emitter{Platform: GitHub, Log: NewGuard(io.Discard, nil), Getenv: only("GITHUB_STEP_SUMMARY", file)}
	page := strings.Repeat("x", 500<<10)
	for range 4 {
		if err := e.Summary(page); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 500<<10 || len(b) > 1<<20 || !strings.Contains(string(b), "a page is left out") {
		t.Errorf("the file has %d bytes and ends with %q", len(b), b[max(0, len(b)-100):])
	}
	e.Platform = Azure
	if err := e.Summary("more"); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(file); len(after) != len(b) {
		t.Error("a page was written on another platform")
	}
}

func TestChoose(t *testing.T) {
	getenv := only("GITHUB_ACTIONS", "true")
	for flag, want := range map[string]Platform{"auto": GitHub, "azure": Azure, "plain": Plain, "gitlab": GitLab} {
		if got, err := Choose(flag, getenv); err != nil || got != want {
			t.Errorf("--ci %s: %s, %v", flag, got, err)
		}
	}
	if _, err := Choose("jenkins", getenv); err == nil {
		t.Error("--ci jenkins was accepted")
	}
}

// TestMarkupDisarmsCommands: a page keeps what a browser shows of it, and a log reads no command out of it.
func TestMarkupDisarmsCommands(t *testing.T) {
	for _, s := range attacks {
		page := "<p>" + html.EscapeString(s) + "</p>\n" + html.EscapeString(s)
		got := Markup(page)
		for _, l := range logLines(got) {
			if triggered(l) {
				t.Errorf("Markup(%q) = %q still holds a command", page, got)
			}
		}
		if want := html.UnescapeString(Visible(page)); html.UnescapeString(got) != want {
			t.Errorf("Markup(%q) shows %q, want %q", page, html.UnescapeString(got), want)
		}
	}
	for _, s := range []string{"<style>p{color:#fff}</style>\n<p>C# a::b &#43; #1</p>\n", ""} {
		if got := Markup(s); got != s {
			t.Errorf("Markup(%q) = %q, want it unchanged", s, got)
		}
	}
}
