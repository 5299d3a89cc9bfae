// Package judges has reports judged by programs of others: the schema of SARIF, the schema of Jenkins for JUnit, Mermaid's
// parser and Chromium. It serves tests; scripts/judges.sh installs what it needs.
package judges

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrMissing says that a judge is not installed here.
var ErrMissing = errors.New("not installed, scripts/judges.sh does that")

// Verdict is what the judges said of a folder.
type Verdict struct {
	SARIF, JUnit, Markdown, HTML int      // how many reports they judged
	Diagrams, Tasks              int      // in Markdown
	Complaints                   []string // FILE: "WHAT"
}

// Judge has every report in a folder judged, each by its ending: .sarif, .xml, .md and .html.
func Judge(ctx context.Context, dir string) (Verdict, error) {
	home, err := home()
	if err != nil {
		return Verdict{}, err
	}
	for _, program := range []string{"node", "xmllint", "chromium"} {
		if _, err := exec.LookPath(program); err != nil {
			return Verdict{}, fmt.Errorf("%s: %w", program, ErrMissing)
		}
	}
	if _, err := os.Stat(filepath.Join(home, "node_modules", ".lock")); err != nil {
		return Verdict{}, fmt.Errorf("the packages of testdata/judges: %w", ErrMissing)
	}
	cmd := exec.CommandContext(ctx, "node", filepath.Join(home, "judge.mjs"), dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	rerr := cmd.Run()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	v := Verdict{Complaints: lines[:len(lines)-1]}
	said := struct {
		*Verdict
		Complaints int
	}{Verdict: &v}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &said); err != nil || said.Complaints != len(v.Complaints) || (rerr != nil) != (said.Complaints > 0) {
		return Verdict{}, fmt.Errorf("the judges came to no end: %w\n%s%s", errors.Join(rerr, err), out.String(), errs.String())
	}
	return v, nil
}

// home is testdata/judges of the repository around the working directory.
func home() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "testdata", "judges"), nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("there is no go.mod above the working directory")
		}
		dir = up
	}
}
