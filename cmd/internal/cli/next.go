package cli

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/internal/plan"
)

// unknownDigest stands for the digest of a plan that nobody approved here: it comes from the job that made the plan, and one
// that is made of a file lying about approves whatever lies there.
const unknownDigest = "<from the plan job>"

// command is the exact next command of a plan, for a shell in the same directory.
func (b *bound) command(name string) string {
	if b.by != nil {
		return b.by.command(name) + " --lost " + b.digest
	}
	digest := b.digest
	if !b.approved {
		digest = unknownDigest
	}
	return nextCommand(name, b.file, digest, b.journal, b.outside)
}

func nextCommand(name, file, digest, journal string, outside []string) string {
	words := []string{"certstamp", name, "--plan", quoted(file), "--plan-sha256", digest}
	if journal != "" {
		words = append(words, "--journal", quoted(filepath.ToSlash(journal)))
	}
	for _, p := range outside {
		words = append(words, "--allow-path", quoted(filepath.ToSlash(p)))
	}
	return strings.Join(words, " ")
}

// outside are the paths that a next command must be allowed to open: those of this one, and what it names beyond them.
func (a *app) outside(paths ...string) []string {
	list := slices.Clone(a.allowed)
	repo, err := a.repository()
	for _, p := range paths {
		if p != "" && (err != nil || repo.Check(p) != nil) && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// opened are the folders that a plan names.
func opened(p *plan.Plan) []string {
	if p.Stage == nil {
		return nil
	}
	return []string{p.Stage.Folder, p.Stage.Backup}
}

// plainWord has only characters that no shell reads as anything but themselves.
const plainWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%"

// quoted is one word for a shell.
func quoted(word string) string {
	if word != "" && strings.Trim(word, plainWord) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
