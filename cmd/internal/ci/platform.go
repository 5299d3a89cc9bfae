package ci

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/sethvargo/go-githubactions"

	"github.com/certstamp/certstamp/internal/secret"
)

// Platform is the system that runs us.
type Platform string

// The platforms certstamp knows. GitHub includes Gitea, Forgejo and act.
const (
	Plain  Platform = "plain"
	GitHub Platform = "github"
	Azure  Platform = "azure"
	GitLab Platform = "gitlab"
)

// Detect reads the platform from the environment. Azure comes first: its agents can run inside others.
func Detect(getenv func(string) string) Platform {
	switch {
	case strings.EqualFold(getenv("TF_BUILD"), "true"):
		return Azure
	case getenv("GITLAB_CI") == "true":
		return GitLab
	case getenv("GITHUB_ACTIONS") == "true":
		return GitHub
	}
	return Plain
}

// Emitter writes the platform's commands. It is the only writer that bypasses the Guard, so every name and key is a
// constant and all data is escaped.
type Emitter struct {
	Platform Platform
	Getenv   func(string) string
	W        io.Writer // the raw log, before the Guard
}

// minMask is the shortest secret worth masking: the runner replaces every occurrence, and a mask of three letters eats
// digests and job outputs.
const minMask = 4

// Mask asks the platform to hide a secret, line by line, before it is used for the first time.
func (e *Emitter) Mask(v secret.Value) {
	if v.IsZero() {
		return
	}
	for _, line := range strings.FieldsFunc(v.Reveal(), func(c rune) bool { return c == '\n' || c == '\r' }) {
		if len(line) < minMask {
			continue
		}
		switch e.Platform {
		case GitHub:
			e.github().AddMask(line)
		case Azure:
			_, _ = fmt.Fprintf(e.W, "##vso[task.setsecret]%s\n", azureData(line))
		}
	}
}

var outputName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,99}$`)

// Output sets a step output. Values are digests, counts and words; one with a line end is refused.
func (e *Emitter) Output(name, value string) (err error) {
	if !outputName.MatchString(name) {
		return fmt.Errorf("output name %q is not a plain word", name)
	}
	if strings.ContainsAny(value, "\r\n") {
		return fmt.Errorf("output %s: the value has a line end", name)
	}
	switch e.Platform {
	case GitHub:
		if e.Getenv("GITHUB_OUTPUT") == "" {
			return nil
		}
		delimiter := make([]byte, 16)
		if _, err := rand.Read(delimiter); err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		d := "certstamp_" + hex.EncodeToString(delimiter)
		// The library panics when it cannot write the file.
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("output %s: %v", name, p)
			}
		}()
		// SetOutput of the library has a constant, public delimiter; IssueFileCommand writes our text as it is.
		e.github().IssueFileCommand(&githubactions.Command{Name: "output", Message: name + "<<" + d + "\n" + value + "\n" + d})
	case Azure:
		_, _ = fmt.Fprintf(e.W, "##vso[task.setvariable variable=%s;isOutput=true;isReadOnly=true]%s\n", name, azureData(value))
	}
	return nil
}

func (e *Emitter) github() *githubactions.Action {
	return githubactions.New(githubactions.WithWriter(e.W), githubactions.WithGetenv(e.Getenv))
}

// azureData escapes as the agent unescapes: the percent sign first.
func azureData(s string) string {
	return strings.NewReplacer("%", "%AZP25", "\r", "%0D", "\n", "%0A").Replace(s)
}
