package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// completions are the scripts that `certstamp completion SHELL` prints, under the names that the shells look for.
func completions(root *cobra.Command) ([]entry, error) {
	var out []entry
	for _, s := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"certstamp.bash", func(w io.Writer) error { return root.GenBashCompletionV2(w, true) }},
		{"_certstamp", root.GenZshCompletion},
		{"certstamp.fish", func(w io.Writer) error { return root.GenFishCompletion(w, true) }},
		{"certstamp.ps1", root.GenPowerShellCompletionWithDesc},
	} {
		var b bytes.Buffer
		if err := s.write(&b); err != nil {
			return nil, err
		}
		out = append(out, entry{name: "completions/" + s.name, mode: 0o644, body: b.Bytes()})
	}
	return out, nil
}

// manual has a page for each command; the first one says what the exit codes mean, too.
func manual(cmd *cobra.Command, version string, at time.Time, codes [][2]string) ([]entry, error) {
	cmd.InitDefaultHelpFlag()
	cmd.DisableAutoGenTag = true // it would be the time of the run
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	var b bytes.Buffer
	header := &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Date: &at, Source: "certstamp " + version, Manual: "certstamp"}
	if err := doc.GenMan(cmd, header, &b); err != nil {
		return nil, err
	}
	page := b.String()
	if !cmd.HasParent() {
		page = strings.Replace(page, "\n.SH SEE ALSO", overview(cmd, codes)+"\n.SH SEE ALSO", 1)
	}
	out := []entry{{name: "man/man1/" + name + ".1", mode: 0o644, body: []byte(page)}}
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
			continue
		}
		more, err := manual(c, version, at, codes)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// overview are the sections that only the first page has.
func overview(root *cobra.Command, codes [][2]string) string {
	text := strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "")
	var b strings.Builder
	section := func(title string) { b.WriteString("\n.SH " + title + "\n") }
	row := func(left, right string) {
		b.WriteString(".TP\n\\fB" + text.Replace(left) + "\\fP\n" + text.Replace(strings.TrimSpace(right)) + "\n")
	}
	section("COMMANDS")
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			row(c.Name(), c.Short)
		}
	}
	section("EXIT STATUS")
	for _, c := range codes {
		row(c[0], c[1])
	}
	return b.String()
}

var codeRow = regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]+) \|([^|]*)\|$`)

// exitCodes reads the only table that there is of them.
func exitCodes(usage string) [][2]string {
	_, text, _ := strings.Cut(usage, "\n## Exit codes\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var out [][2]string
	for _, r := range codeRow.FindAllStringSubmatch(text, -1) {
		meaning := r[2]
		if next := strings.TrimSpace(r[3]); next != "" {
			meaning += ". What comes next: " + next
		}
		out = append(out, [2]string{r[1], meaning})
	}
	return out
}
