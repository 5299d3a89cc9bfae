package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"text/template"
	"time"
)

// BenchmarkStart starts the tool beside a program of Go that prints one line, in turns, and reports the medians. It writes
// them to the file that CERTSTAMP_START_PAGE names.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	exe, hello, source := release(b), filepath.Join(dir, "hello"), filepath.Join(dir, "hello.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", hello, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	// A linker leaves its file in the smallest pieces in the cache, and starts of that cost milliseconds more. One that was
	// installed lies there as a copy does.
	for f, as := range map[*string]string{&exe: "certstamp-copy", &hello: "hello-copy"} {
		installed := filepath.Join(dir, as)
		if out, err := exec.Command("cp", *f, installed).CombinedOutput(); err != nil {
			b.Fatalf("cp: %v\n%s", err, out)
		}
		*f = installed
	}
	info, err := os.Stat(exe)
	if err != nil {
		b.Fatal(err)
	}
	runs := map[string][]cost{}
	for b.Loop() {
		for name, args := range map[string][]string{"certstamp": {exe, "version"}, "hello": {hello}} { // in no order
			c, err := spend(dir, os.Environ(), args...)
			if err != nil {
				b.Fatal(err)
			}
			runs[name] = append(runs[name], c)
		}
	}
	f := startFigures{
		CPU: processor(), Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Rounds: len(runs["hello"]),
		MB: strconv.FormatFloat(float64(info.Size())/1e6, 'f', 1, 64), Start: median(runs["certstamp"]), Hello: median(runs["hello"]),
	}
	b.ReportMetric(float64(f.Start.wall)/float64(time.Millisecond), "ms/start")
	b.ReportMetric(float64(f.Hello.wall)/float64(time.Millisecond), "ms/hello")
	b.ReportMetric(0, "ns/op") // of both together, which says nothing
	file := os.Getenv("CERTSTAMP_START_PAGE")
	if file == "" {
		return
	}
	var text bytes.Buffer
	if err := startPage.Execute(&text, f); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
}

// startFigures is what the page shows.
type startFigures struct {
	CPU, System, Go, MB string
	Cores, Rounds       int
	Start, Hello        cost
}

var startPage = template.Must(template.New("start").Parse(`# What a start costs

Written by ` + "`make bench`" + `; the figures are of one machine in one run: {{.CPU}}, {{.Cores}} cores, {{.System}}, {{.Go}}.

Medians of {{.Rounds}} starts in turns, of a binary of {{.MB}} MB. CPU is user and system time. The second line says what the machine
itself cost in that run: with other work on it both rise.

| what | time | CPU |
|---|---|---|
| ` + "`certstamp version`" + ` | {{.Start.Wall}} | {{.Start.CPU}} |
| a program of Go that prints one line | {{.Hello.Wall}} | {{.Hello.CPU}} |
`))
