package cli

import (
	"bytes"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/policies"
)

// TestParseCallFillsPositions reads parameters as a prompt does: what has no name takes the first position that is free.
func TestParseCallFillsPositions(t *testing.T) {
	base, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		want string // NAME=VALUE, or what the error says
	}{
		{[]string{"Get-ActionStatus", "Start-SecretRotation"}, "FunctionName=Start-SecretRotation"},
		{[]string{"Get-ActionStatus", "A", "B"}, "FunctionName=A ActionType=B"},
		{[]string{"Get-ActionStatus", "functionname=A", "B"}, "FunctionName=A ActionType=B"},
		{[]string{"Get-ActionStatus", "B", "FunctionName=A"}, "ActionType=B FunctionName=A"},
		{[]string{"Get-ActionStatus", "ActionType=B", "A"}, "ActionType=B FunctionName=A"},
		{[]string{"Get-ActionStatus", "A=1", "ActionType=x=y"}, "FunctionName=A=1 ActionType=x=y"},
		{[]string{"Get-ActionStatus", "A", "B", "C"}, `has no parameter "C"`},
		{[]string{"Get-ActionStatus", "A", "B", "C=1"}, `has no parameter "C"`},
		{[]string{"Test-AzureStack", "Grop=x"}, `has no parameter "Grop"`},
		{[]string{"Remove-CloudAdminUser", "UserNmae=bob"}, `has no parameter "UserNmae"`},
	} {
		call, _, err := parseCall(base, row.args)
		var got []string
		for _, q := range call.Parameters {
			got = append(got, q.Name+"="+q.Value)
		}
		if err != nil {
			got = []string{err.Error()}
		}
		if said := strings.Join(got, " "); said != row.want && (err == nil || !strings.Contains(said, row.want)) {
			t.Errorf("%q: got %q, want %q", row.args, said, row.want)
		}
	}
}

// TestWarningsOfTheLayersBelow: every login has a log that a person sees, quoted, and at no level below a warning.
func TestWarningsOfTheLayersBelow(t *testing.T) {
	var said bytes.Buffer
	a := newApp(Env{Stdout: io.Discard, Stderr: &said, Now: time.Now, Getenv: func(name string) string { return map[string]string{"PEP_PASSWORD": "S3cret-Pa55word"}[name] }})
	cfg, err := a.endpointConfig(plan.PEP{Hosts: []string{"ercs01"}, User: `A\b`, Password: "env:PEP_PASSWORD"}, false)
	if err != nil || cfg.Logger == nil {
		t.Fatalf("no log: %v", err)
	}
	cfg.Logger.Info("exchange")
	cfg.Logger.Warn("message ignored", slog.String("type", "\x1b[2J\n::error::x"), slog.Int("bytes", 41))
	_ = a.err.Flush()
	lines := slices.Collect(strings.Lines(said.String()))
	if len(lines) != 1 || lines[0] != `level=WARN msg="message ignored" type="\x1b[2J\n::error::x" bytes=41`+"\n" {
		t.Errorf("said %q", lines)
	}
}
