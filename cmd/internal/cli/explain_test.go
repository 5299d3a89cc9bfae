package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/report"
)

func TestExplain(t *testing.T) {
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := cli.Main(t.Context(), args, cli.Env{
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: t.TempDir(), Now: time.Now, Version: "test",
			Getenv: func(string) string { return "" },
		})
		return code, out.String(), errs.String()
	}
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"explain", "dns-names"}, 0, "source:  REM-2011, DNS names (read 2026-11-20)"},
		{[]string{"explain", "DNS Names"}, 0, "dns-names (DNS Names): error, of each file, waivable"},
		{[]string{"explain", "stamp-alerts"}, 0, "critical-days: 30"},
		{[]string{"explain"}, 0, "same-password"},
		{[]string{"explain", "dns-name"}, 2, "did you mean dns-names?"},
		{[]string{"explain", "sane-pasword"}, 2, "did you mean same-password?"},
		{[]string{"explain", "nonsense"}, 2, "certstamp explain lists the rules"},
		{[]string{"explain", "dns-names", "key-usage"}, 2, "explain takes one rule"},
	} {
		code, out, errs := run(row.args...)
		if code != row.code || !strings.Contains(out+errs, row.says) {
			t.Errorf("%v: exit %d\n%s%s\nwant exit %d and %q", row.args, code, out, errs, row.code, row.says)
		}
	}
	code, out, _ := run("--format", "json", "explain", "key-usage")
	var d report.Document
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 {
		t.Fatalf("exit %d: %v\n%s", code, err, out)
	}
	if len(d.Rules) != 1 || d.Rules[0].ID != "key-usage" || d.Rules[0].Example == nil || !d.Rules[0].Waivable || len(d.Rules[0].Parameters) != 2 {
		t.Errorf("%+v", d.Rules)
	}
}
