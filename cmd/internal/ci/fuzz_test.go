package ci

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/certstamp/certstamp/internal/secret"
)

// attacks are what the published holes of such tools were made of.
var attacks = []string{
	"::set-output name=approved::true", " \u00a0::error::x", "a##[error]b", "###[x]", "##VSO[task.setvariable variable=a]b", "##vso[task.complete result=Succeeded]",
	"CN=x\n::add-mask::y", "CN=x\r##vso[task.complete]", "\u2028::warning::", "#\u200b#[group]", "#\ufffe[group]", "\x85::stop-commands::a",
	"##\ufe0f[error]x", "\ufe0f::error::x", ":\u034f:error::x", "\xff\xfe::error::", "x\n_GitHubActionsFileCommandDelimeter_\napproved=true",
	"%0A::error::", "%0D%0A##[error]", "a,file=b::c", "a;type=error]##vso[task.complete]", "%AZP250A##vso[a.b]", "\x1b[2K::error::", "approved<<EOF\ntrue\nEOF",
	"panic: x\n\t::set-env name=PATH::/tmp", "goroutine 1 [running]:\n##[set-env name=A;]b", "@team <img src=x> | `", "#", "##", ":", "[", "vso[",
}

func FuzzText(f *testing.F) {
	for _, s := range attacks {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if strings.ContainsAny(got, "\r\n") || !utf8.ValidString(got) || triggered(got) {
			t.Fatalf("Text(%q) = %q is not one harmless line", s, got)
		}
		if again := Text(got); again != got {
			t.Fatalf("Text is not idempotent: %q, then %q", got, again)
		}
	})
}

// FuzzGuard writes foreign text in two pieces with a flush or a command between them, on either platform, with and without secrets in
// it. Whatever the pieces are, a parser reads the commands of the emitter and no other, also where a secret was taken out from
// between two of them, and no line holds a secret.
func FuzzGuard(f *testing.F) {
	for i, s := range attacks {
		f.Add(s, uint16(i), i%3 == 0, i%2 == 0)
		f.Add("#"+s, uint16(1), true, false)
		f.Add("##"+s, uint16(2), false, true)
	}
	f.Fuzz(func(t *testing.T, s string, cut uint16, flush, mask bool) {
		for platform, command := range map[Platform]string{GitHub: "::add-mask::correct horse", Azure: "##vso[task.setsecret]correct horse"} {
			guarded(t, platform, command, nil, "", s, cut, flush, mask)
			for _, p := range planted {
				r := &Redactor{}
				for _, known := range planted {
					r.Add(secret.New(known))
				}
				guarded(t, platform, command, r, p, s, cut, flush, mask)
			}
		}
	})
}

// planted are secrets that would do harm themselves, or leave harm behind when they are cut out.
var planted = []string{"correct horse", "##[battery]", "::stapler::x", "##vso[a.b]", "one line\nand another"}

func guarded(t *testing.T, platform Platform, command string, r *Redactor, plant, s string, cut uint16, flush, mask bool) {
	t.Helper()
	var out bytes.Buffer
	g := NewGuard(&out, r)
	e := Emitter{Platform: platform, Log: g, Getenv: none, Redact: r}
	at := min(int(cut), len(s))
	_, _ = g.Write([]byte(s[:at]))
	if flush {
		_ = g.Flush()
	}
	if mask {
		e.Mask(secret.New("correct horse"))
	}
	_, _ = g.Write([]byte(plant))
	_, _ = g.Write([]byte(s[at:]))
	_ = g.Flush()
	_, _ = g.Write([]byte(s + plant + s))
	_ = g.Flush()
	masks := 0
	for _, line := range logLines(out.String()) {
		if line == command {
			masks++
			continue
		}
		if triggered(line) {
			t.Fatalf("%q at %d with %q: the log %q holds a command", s, at, plant, out.String())
		}
		for l := range strings.SplitSeq(plant, "\n") {
			if l != "" && strings.Contains(line, l) {
				t.Fatalf("%q at %d: the log %q holds the secret %q", s, at, out.String(), l)
			}
		}
	}
	if want := map[bool]int{true: 1}[mask]; masks != want {
		t.Fatalf("%q at %d with %q: %d masks, sent were %d: %q", s, at, plant, masks, want, out.String())
	}
}

// FuzzCommands sends foreign text through every command of the emitter. A parser of the platform reads exactly the commands
// that were sent, with keys of ours only; those of the other platform read none; and what the platform shows when it has
// decoded them holds no command either.
func FuzzCommands(f *testing.F) {
	for _, s := range attacks {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, title, file, message string) {
		for platform, own := range map[Platform]string{GitHub: "GitHub v2", Azure: "Azure"} {
			var out bytes.Buffer
			e := Emitter{Platform: platform, Log: NewGuard(&out, nil), Getenv: none}
			e.Annotate([]Annotation{{Level: Error, Code: "dns-names", Title: title, File: file, Message: message}, {Level: Warning, Message: message}})
			read := commandsIn(out.String())
			if n := len(read[own]); n != 2 {
				t.Fatalf("%s reads %d commands in %q, 2 were sent", own, n, out.String())
			}
			for name, list := range read {
				if name != own && (platform != GitHub || name != "act") {
					t.Fatalf("%s reads %q in what was sent to %s", name, list, platform)
				}
			}
			for _, c := range read[own] {
				if strings.ContainsFunc(c.data, hidden) || triggered(c.data) {
					t.Fatalf("%s shows %q, which is a command", own, c.data)
				}
				for k, v := range c.properties {
					if !slices.Contains([]string{"title", "file", "line", "type", "sourcepath", "linenumber", "columnnumber", "code"}, k) {
						t.Fatalf("%s reads a property %q = %q that was not sent: %q", own, k, v, out.String())
					}
					if triggered(v) {
						t.Fatalf("%s shows %q, which is a command", own, v)
					}
				}
			}
			if want := e.line(message); want != "" && !strings.HasSuffix(read[own][1].data, want) {
				t.Fatalf("%s shows %q, sent was %q", own, read[own][1].data, want)
			}
		}
	})
}

// FuzzOutput sets an output to foreign text, between two of ours. The runner reads what was set or, where that was refused,
// nothing; never anything else.
func FuzzOutput(f *testing.F) {
	for _, s := range attacks {
		f.Add("plan", s)
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		file := filepath.Join(t.TempDir(), "output")
		var log bytes.Buffer
		e := Emitter{Platform: GitHub, Log: NewGuard(&log, nil), Getenv: only("GITHUB_OUTPUT", file)}
		want := [][2]string{{"first", "1"}}
		_ = e.Output("first", "1")
		if e.Output(name, value) == nil {
			want = append(want, [2]string{name, value})
		}
		_ = e.Output("last", "2")
		want = append(want, [2]string{"last", "2"})
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, windows := range []bool{false, true} {
			got, ok := fileCommands(string(b), windows)
			if len(got) != len(want) || !ok {
				t.Fatalf("the runner reads %q in %q, want %q", got, b, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("the runner reads %q, want %q", got[i], want[i])
				}
			}
		}
		if log.Len() > 0 {
			t.Fatalf("the log got %q", log.String())
		}
		log.Reset()
		e = Emitter{Platform: Azure, Log: NewGuard(&log, nil), Getenv: none}
		sent := e.Output(name, value) == nil
		read := commandsIn(log.String())["Azure"]
		if !sent && len(read) > 0 || sent && (len(read) != 1 || read[0].data != value || read[0].properties["variable"] != camel(name)) {
			t.Fatalf("%s=%q: Azure reads %q", name, value, read)
		}
	})
}

func none(string) string { return "" }

func only(name, value string) func(string) string {
	return func(k string) string {
		if k == name {
			return value
		}
		return ""
	}
}
