package cli

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/bmc"
	"github.com/certstamp/certstamp/stage"
)

func operations(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// part is the section of the page below a title.
func part(t *testing.T, title string) string {
	t.Helper()
	_, section, ok := strings.Cut(operations(t), title+"\n")
	if !ok {
		t.Fatalf("docs/operations.md has no %q", title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// TestOperationsKnowsEveryEnding holds the page for the night shift against the two closed lists. Package rotate runs a
// scenario for each row of the rotation's; here each gets the exit code that the command line really gives it.
func TestOperationsKnowsEveryEnding(t *testing.T) {
	var missing []string
	section := ""
	row := func(line string) {
		if !strings.Contains(section, line) {
			missing = append(missing, line)
		}
	}
	section = part(t, "## How a rotation ends")
	for _, e := range rotate.Endings() {
		a := newApp(Env{Stdout: io.Discard, Stderr: io.Discard, Now: time.Now, Getenv: func(string) string { return "" }})
		b := &bound{plan: &plan.Plan{}, digest: "d", file: "plan.json"}
		var cause error
		if e.Result == rotate.Environment {
			cause = errors.New("the cause")
		}
		out := rotate.Outcome{Ending: e.ID, Result: e.Result, Next: e.Next}
		code := exitDone
		if err := a.rotated(b, &watcher{app: a}, out, cause); err != nil {
			f := classify(context.Background(), err)
			code = f.code
			if f.hint == "" {
				t.Errorf("%s: no hint", e.ID)
			}
		}
		row(fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s | %d |\n", e.ID, e.Result, e.Seen, e.Means, e.Did, e.Next, code))
	}
	section = part(t, "## How a BMC credential ends")
	for _, e := range bmc.Endings() {
		a := newApp(Env{Stdout: io.Discard, Stderr: io.Discard, Now: time.Now, Getenv: func(string) string { return "" }})
		ctx, cause := t.Context(), error(nil)
		switch e.ID {
		case "cancelled":
			var leave context.CancelFunc
			ctx, leave = context.WithCancel(ctx)
			leave()
		case "no-secret":
			cause = configuration(errors.New("it is not set"), "set it") // as what resolves references says it
		default:
			if e.Result == bmc.Environment {
				cause = errors.New("the cause")
			}
		}
		code := exitDone
		if err := a.handedOver(ctx, &bound{plan: &plan.Plan{}}, bmc.Outcome{Ending: e.ID, Result: e.Result, Next: e.Next}, cause); err != nil {
			f := classify(ctx, err)
			code = f.code
			if f.hint == "" {
				t.Errorf("%s: no hint", e.ID)
			}
		}
		row(fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s | %d |\n", e.ID, string(e.Result), e.Seen, e.Means, e.Did, e.Next, code))
	}
	if len(missing) > 0 {
		t.Errorf("docs/operations.md lacks:\n%s", strings.Join(missing, ""))
	}
}

// unrelated are the files of commands that work from no plan: how they end is no part of a rotation.
var unrelated = map[string]string{
	"demo.go":     "made-up stamps",
	"discover.go": "reads commits",
	"expiry.go":   "looks, whatever the plan",
	"intent.go":   "before there is a plan",
	"pack.go":     "before there is a plan",
	"pep.go":      "one cmdlet by itself, in docs/usage.md",
	"peptable.go": "one cmdlet by itself, in docs/usage.md",
	"plan.go":     "before there is a plan",
	"renew.go":    "before there is a plan",
	"repair.go":   "before there is a plan",
	"simulate.go": "made-up stamps",
	"support.go":  "afterwards, in words below the tables",
	"trial.go":    "one file by itself",
	"validate.go": "before there is a plan",
}

// ways are the reasons that the code of this package gives, each with its exit codes. Those that another room names are
// asked for by name.
func ways(t *testing.T) map[string]map[int]bool {
	t.Helper()
	out := map[string]map[int]bool{}
	add := func(reason string, code int) {
		if out[reason] == nil {
			out[reason] = map[int]bool{}
		}
		out[reason][code] = true
	}
	codes := map[string]int{
		"exitDone": exitDone, "exitRefused": exitRefused, "exitUsage": exitUsage, "exitEnvironment": exitEnvironment, "exitFailed": exitFailed,
		"exitUnknown": exitUnknown, "exitPartly": exitPartly, "exitBug": exitBug, "exitInterrupted": exitInterrupted,
	}
	// What no literal says, by the expression that says it: endings have tables of their own, the classes of a share follow
	// below, and halfDone keeps the reason of what failed.
	named := []string{"out.Ending", "string(e.Class)", "f.reason", "reason"}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if unrelated[name] != "" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				made, ok := n.Fun.(*ast.Ident)
				if !ok {
					return true
				}
				var reason ast.Expr
				code := -1
				switch made.Name {
				case "fail":
					if c, ok := n.Args[0].(*ast.Ident); ok && c.Name != "code" {
						code = codes[c.Name]
					}
					reason = n.Args[1]
				case "refusedf":
					code, reason = exitRefused, n.Args[0]
				case "environment":
					code, reason = exitEnvironment, n.Args[0]
				default:
					return true
				}
				if lit, ok := reason.(*ast.BasicLit); ok {
					add(strings.Trim(lit.Value, `"`), code)
				} else if said := types.ExprString(reason); !slices.Contains(named, said) {
					t.Errorf("%s: the reason %s is none that a test can read", name, said)
				}
			case *ast.KeyValueExpr: // of report.Error
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
					if lit, ok := n.Value.(*ast.BasicLit); ok {
						add(strings.Trim(lit.Value, `"`), exitUsage)
					}
				}
			}
			return true
		})
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../../../stage/share.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Type != nil && types.ExprString(v.Type) == "Class" {
			a := newApp(Env{Stdout: io.Discard, Stderr: io.Discard, Now: time.Now, Getenv: func(string) string { return "" }})
			class := strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`)
			f := classify(t.Context(), stageFailure(t.Context(), &bound{}, a, &stage.Error{Class: stage.Class(class), Err: errors.New("the cause")}))
			add(f.reason, f.code)
		}
		return true
	})
	add("bug", exitBug) // bug_internal_test.go
	return out
}

// TestOperationsKnowsEveryWay holds the two tables of what is no ending of a rotation against the code: every reason has a
// row with its exit code, and every row a reason.
func TestOperationsKnowsEveryWay(t *testing.T) {
	ways := ways(t)
	if len(ways) < 30 {
		t.Fatalf("only %d reasons were found", len(ways))
	}
	rows := map[string]map[int]bool{}
	for _, title := range []string{"## How a run ends before the endpoint is asked", "## Findings and refusals around a rotation"} {
		for line := range strings.Lines(part(t, title)) {
			cells := strings.Split(strings.Trim(line, "| \n"), " | ")
			if !strings.HasPrefix(line, "| `") {
				continue
			}
			code, err := strconv.Atoi(cells[len(cells)-1])
			if len(cells) != 7 || err != nil || slices.Contains(cells, "") {
				t.Errorf("a row without all its cells: %s", line)
				continue
			}
			reason := strings.Trim(cells[0], "`")
			if rows[reason] == nil {
				rows[reason] = map[int]bool{}
			}
			rows[reason][code] = true
			if reason != "endpoints-halfway" && !ways[reason][code] { // a finding, of package rotate
				t.Errorf("nothing ends as %q with exit %d, which docs/operations.md lists", reason, code)
			}
		}
	}
	for reason, codes := range ways {
		for code := range codes {
			if !rows[reason][code] {
				t.Errorf("docs/operations.md has no row for %q with exit %d", reason, code)
			}
		}
	}
}
