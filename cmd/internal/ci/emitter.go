package ci

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"github.com/certstamp/certstamp/internal/secret"
)

// Emitter writes the platform's commands. It is the only writer that bypasses the Guard, so every name and key is a
// constant and all data is escaped.
//
// Foreign text is not wrapped in stop-commands besides being guarded: masks are sent while it is printed, and the runner
// would pass over them.
type Emitter struct {
	Platform Platform
	Getenv   func(string) string
	Log      *Guard
	Redact   *Redactor // knows what the platform masks
}

// minMask is the shortest line worth masking, in characters: the runner replaces every occurrence, and a mask of four letters eats
// digests and job outputs. The shortest password that a stamp takes is as long.
const minMask = 8

// Mask asks the platform to hide a secret, line by line, before it is used for the first time.
func (e *Emitter) Mask(v secret.Value) {
	if v.IsZero() {
		return
	}
	for _, line := range lines(v) {
		if utf8.RuneCountInString(line) < minMask {
			continue
		}
		switch e.Platform {
		case GitHub:
			e.github().AddMask(line)
		case Azure:
			e.azure("task.setsecret", nil, line)
		}
	}
}

// safeMask is how many characters keep a mask from striking elsewhere: what has them by chance is no word and no piece of a digest.
const safeMask = 12

// Short says that a platform would hide a secret, or a line of it, so badly that other text suffers: it replaces every
// occurrence, and drops outputs without a word.
func (e *Emitter) Short(v secret.Value) bool {
	if e.Platform == Plain || v.IsZero() {
		return false
	}
	return slices.ContainsFunc(lines(v), func(line string) bool { return utf8.RuneCountInString(line) < safeMask })
}

// Maskable says that a platform can hide a secret at all: without a line that is long enough none of it would be masked.
func (e *Emitter) Maskable(v secret.Value) bool {
	return e.Platform == Plain || v.IsZero() || slices.ContainsFunc(lines(v), func(line string) bool { return utf8.RuneCountInString(line) >= minMask })
}

func lines(v secret.Value) []string {
	return strings.FieldsFunc(v.Reveal(), func(c rune) bool { return c == '\n' || c == '\r' })
}

var outputName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,99}$`) })

// Output sets a step output: a digest, a count, a word, a path. A value with a line end or another hidden character is
// refused, and one that holds a secret: the runner would drop the output without a word. Azure variables take no hyphen,
// so there plan-sha256 is planSha256.
func (e *Emitter) Output(name, value string) (err error) {
	if !outputName().MatchString(name) {
		return fmt.Errorf("output name %q is not a plain word", name)
	}
	if strings.ContainsFunc(value, hidden) || !utf8.ValidString(value) {
		return fmt.Errorf("output %s: the value has a line end or another character that cannot be seen", name)
	}
	if e.Redact.Redact(value) != value {
		return fmt.Errorf("output %s: the value holds a secret of this run, and the platform would drop it", name)
	}
	switch e.Platform {
	case GitHub:
		if e.Getenv("GITHUB_OUTPUT") == "" {
			return nil
		}
		d, err := delimiter(value)
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		// SetOutput of the library has a constant, public delimiter; IssueFileCommand writes our text as it is.
		return e.fileCommand("output", name+"<<"+d+"\n"+value+"\n"+d)
	case Azure:
		e.azure("task.setvariable", []property{{"variable", camel(name)}, {"isOutput", "true"}, {"isReadOnly", "true"}}, value)
	}
	return nil
}

// delimiter is 128 random bits that the value does not hold.
func delimiter(value string) (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	d := "certstamp_" + hex.EncodeToString(b)
	if strings.Contains(value, d) {
		return "", fmt.Errorf("the value holds the delimiter %s", d)
	}
	return d, nil
}

// fileCommand appends to one of the runner's files. The library panics when it cannot write.
func (e *Emitter) fileCommand(name, text string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write the %s file of the runner: %v", name, p)
		}
	}()
	e.github().IssueFileCommand(&githubactions.Command{Name: name, Message: text})
	return nil
}

// MaxSummary is how much a step may show. GitHub refuses more than 1 MiB as a whole; the steps of a composite action and
// the commands of one script share a file.
const MaxSummary = 900 << 10

// Summary shows a page of Markdown, on platforms that take one from the program itself. On Azure, task.uploadsummary is refused
// in a restricted step, which is how this program should run there: a step of its own uploads the page.
func (e *Emitter) Summary(page string) error {
	file := e.Getenv("GITHUB_STEP_SUMMARY")
	if e.Platform != GitHub || file == "" {
		return nil
	}
	var used int64
	if info, err := os.Stat(file); err == nil {
		used = info.Size()
	}
	if used+int64(len(page)) > MaxSummary {
		page = "\n> [!WARNING]\n> The summary of this step is full: a page is left out. The reports have everything.\n"
		if used+int64(len(page)) > MaxSummary+1<<10 {
			return nil // it says so already
		}
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("step summary: %w", err)
	}
	_, err = io.WriteString(f, page)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (e *Emitter) github() *githubactions.Action {
	return githubactions.New(githubactions.WithWriter(e.Log.commands()), githubactions.WithGetenv(e.Getenv))
}

// property is one of an Azure command, in the order in which it is written.
type property struct{ name, value string }

func (e *Emitter) azure(command string, properties []property, data string) {
	var b strings.Builder
	b.WriteString("##vso[" + command)
	for i, p := range properties {
		b.WriteString(map[bool]string{true: " ", false: ";"}[i == 0] + p.name + "=" + azureProperty(p.value))
	}
	b.WriteString("]" + azureData(data) + "\n")
	_, _ = io.WriteString(e.Log.commands(), b.String())
}

// azureData escapes as the agent unescapes: the percent sign first.
func azureData(s string) string {
	return strings.NewReplacer("%", "%AZP25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func azureProperty(s string) string {
	return strings.NewReplacer("%", "%AZP25", "\r", "%0D", "\n", "%0A", ";", "%3B", "]", "%5D").Replace(s)
}

// camel turns plan-sha256 into planSha256.
func camel(s string) string {
	var b strings.Builder
	up := false
	for _, r := range s {
		switch {
		case r == '-':
			up = true
		case up:
			b.WriteRune(unicode.ToUpper(r))
			up = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
