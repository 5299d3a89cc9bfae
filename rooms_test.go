package certstamp_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/certstamp/certstamp/"

// edges is the whole list of who may import whom, with the reason. A new edge is a design decision: argue it here.
var edges = map[string]map[string]string{
	"internal/secret":  {},
	"internal/journal": {},
	"internal/live": {
		"internal/crew":   "endpoints are asked side by side",
		"internal/amount": "an error counts",
	},
	"internal/crew":   {},
	"internal/amount": {},
	"internal/flock":  {},
	"policies":        {},
	"pfx":             {"internal/amount": "what was mended is counted"},
	"internal/stamp": {
		"policies":        "versions and identities are checked while the file is read",
		"internal/secret": "the file holds references, typed by role",
	},
	"csr": {
		"policies": "which endpoints need which names and usages",
		"pfx":      "a certificate to renew is read from a bundle",
	},
	"validate": {
		"policies":          "rule parameters, catalogue and transitions are data",
		"pfx":               "the subject of every rule",
		"validate/authroot": "the operator's list of public roots is one of the inputs",
		"internal/crew":     "files are judged side by side",
		"internal/amount":   "findings count",
	},
	"validate/crl": {
		"validate":      "it answers the questions of an outcome, and its verdicts are an input of the next run",
		"internal/crew": "lists are fetched side by side",
	},
	"validate/authroot": {
		"pfx": "PEM, DER and P7B are read in one place",
	},
	"internal/plan": {
		"policies": "gates, calls and health checks by version",
		"validate": "a plan is made from judged files, and refusals are findings",
	},
	"stage": {
		"internal/plan":   "its typed section",
		"validate":        "what the layout doctor says is a finding",
		"internal/crew":   "files are read and written side by side",
		"internal/amount": "an error counts",
		"internal/flock":  "the lock of a share that is a folder",
	},
	"stage/smb": {
		"internal/crew":   "who holds the lock is written while its holder goes on",
		"internal/secret": "the password of the login",
		"stage":           "the interface it implements, and its errors",
	},
	"internal/samba":    {"internal/loopback": "its port has to stand in its configuration"},
	"internal/loopback": {},
	"internal/heap":     {},
	"internal/judges":   {},
	"stage/stagetest": {
		"stage": "the conformance suite of every share",
	},
	"rotate": {
		"internal/plan":   "its typed section",
		"internal/secret": "credentials pass through",
		"rotate/pep":      "the endpoint it drives",
		"validate":        "a refusal is a finding",
		"internal/amount": "facts count",
	},
	"rotate/bmc": {
		"internal/plan":   "its typed section",
		"internal/secret": "credentials pass through",
		"rotate/pep":      "the endpoint it drives",
		"validate":        "a refusal is a finding",
	},
	"rotate/pep": {
		"internal/amount":    "an error counts",
		"internal/plan":      "calls with their parameters come from the plan",
		"internal/secret":    "credentials pass through",
		"rotate/psrp":        "commands and records",
		"rotate/psrp/clixml": "values of records",
		"rotate/wsman":       "the session",
	},
	"rotate/wsman": {
		"internal/secret":    "the password of the login",
		"rotate/psrp":        "drives the protocol core",
		"rotate/psrp/clixml": "secure strings pass through",
	},
	"rotate/wsman/winrmtransport": {},
	"rotate/psrp":                 {"rotate/psrp/clixml": "message data"},
	"rotate/psrp/clixml":          {},
	"rotate/pepsim": {
		"internal/secret":    "the passwords of its users",
		"rotate/psrp":        "the server role of the protocol core",
		"rotate/psrp/clixml": "values of records",
	},
}

// dialers are the only rooms that may open a connection, or make what opens one, with the reason.
var dialers = map[string]string{
	"stage/smb":        "a share over SMB",
	"rotate/pep":       "gives every host its own dialer, which refuses the wrong side of loopback",
	"rotate/wsman":     "the endpoint over HTTP",
	"internal/live":    "what endpoints serve",
	"internal/samba":   "waits until its server answers",
	"validate/crl":     "the lists of certificates",
	"cmd/internal/cli": "hands dialers down, and dials nothing itself",
}

// deaf lists standard packages that a pure room must not know, because it would then do I/O or read a clock.
var deaf = map[string][]string{
	"rotate/psrp":        {"net", "net/http", "os"},
	"rotate/psrp/clixml": {"net", "net/http", "os"},
	"validate":           {"net", "net/http", "os"},
	"validate/authroot":  {"net", "net/http", "os"},
	"policies":           {"net", "net/http", "os"},
	"pfx":                {"net", "net/http", "os"},
	"internal/plan":      {"net/http", "os"},
	"csr":                {"net", "net/http", "os"},
	"stage":              {"net", "net/http"},
	"rotate":             {"net", "net/http", "os"},
}

// timekeepers are the only rooms beside the doorway that read the wall clock, with the reason. Every other one takes the time as an
// input, so that no verdict, plan or journal depends on when a test runs.
var timekeepers = map[string]string{
	"stage/smb":     "a connection takes its deadline as a time of the day",
	"rotate/wsman":  "how long an answer took says whether to ask again; and a recording says when",
	"rotate/pepsim": "the deadline of a handshake; and a simulated stamp lives now unless told otherwise",
}

// onlyFrom names packages with a single door.
var onlyFrom = map[string][]string{
	"rotate/pepsim":                         {"cmd/internal/demo", "cmd/internal/cli/simulate.go", "cmd/internal/cli/simulateshare.go"},
	"internal/samba":                        {"cmd/internal/demo"},
	"internal/loopback":                     {"internal/samba", "cmd/internal/demo"}, // for servers of rehearsals and tests
	"github.com/cloudsoda/go-smb2":          {"stage/smb"},
	"github.com/masterzen/winrm":            {"rotate/wsman/winrmtransport"},
	"github.com/sethvargo/go-githubactions": {"cmd/internal/ci"},
	"github.com/spf13/cobra/doc":            {"cmd/internal/dist"}, // writes manual pages, and would bring Markdown into the binary
}

type file struct {
	dir, name string
	ast       *ast.File
}

func sources(t *testing.T) []file {
	t.Helper()
	var out []file
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != "." || d.Name() == "testdata" || d.Name() == "demo-out") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, file{dir: path.Dir(filepath.ToSlash(p)), name: d.Name(), ast: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func imports(f file) []string {
	var out []string
	for _, i := range f.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		out = append(out, p)
	}
	return out
}

func TestRooms(t *testing.T) {
	for _, f := range sources(t) {
		room := f.dir + "/" + f.name
		allowed, listed := edges[f.dir]
		inCmd := strings.HasPrefix(f.dir, "cmd/")
		if !listed && !inCmd && f.dir != "." {
			t.Errorf("%s: package %s is not in the list of rooms", room, f.dir)
		}
		for _, imp := range imports(f) {
			own, isOwn := strings.CutPrefix(imp, module)
			if isOwn && !inCmd && allowed[own] == "" {
				t.Errorf("%s imports %s: no such edge is allowed", room, own)
			}
			if isOwn && strings.HasPrefix(own, "cmd/") && !inCmd {
				t.Errorf("%s imports %s: rooms know nothing of the command line", room, own)
			}
			if slices.Contains(deaf[f.dir], imp) {
				t.Errorf("%s imports %s: this room does no I/O", room, imp)
			}
			for target, from := range onlyFrom {
				if (own == target || imp == target || strings.HasPrefix(imp, target+"/")) && f.dir != target && !slices.Contains(from, f.dir) && !slices.Contains(from, room) {
					t.Errorf("%s imports %s: only %v may", room, target, from)
				}
			}
		}
	}
}

// TestClocks holds that only the doorway reads the environment and the arguments, that it and the timekeepers alone read the
// wall clock, and that the dialers alone dial.
func TestClocks(t *testing.T) {
	reads, dials := map[string]bool{"cmd/certstamp": true}, map[string]bool{}
	for _, f := range sources(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			name := "." + sel.Sel.Name
			if pkg, ok := sel.X.(*ast.Ident); ok {
				name = pkg.Name + name
			}
			switch name {
			case "time.Now", "time.Since", "time.Until":
				reads[f.dir] = true
				if timekeepers[f.dir] == "" && f.dir != "cmd/certstamp" {
					t.Errorf("%s/%s reads the clock (%s): take the time as an input", f.dir, f.name, name)
				}
			case "os.Getenv", "os.LookupEnv", "os.Environ", "os.Args", "os.Exit":
				if f.dir != "cmd/certstamp" {
					t.Errorf("%s/%s uses %s: only the doorway may", f.dir, f.name, name)
				}
			}
			if opens(name) {
				dials[f.dir] = true
				if dialers[f.dir] == "" {
					t.Errorf("%s/%s dials (%s)", f.dir, f.name, name)
				}
			}
			return true
		})
	}
	for dir := range timekeepers {
		if !reads[dir] {
			t.Errorf("%s reads no clock: take it off the list", dir)
		}
	}
	for dir := range dialers {
		if !dials[dir] {
			t.Errorf("%s does not dial: take it off the list", dir)
		}
	}
}

// opens reports whether a selector opens a connection or makes what does. A dialer that was handed over has no package before
// it, so its method is known by its name alone; Dial itself is not among those, because a room calls a field of its own so.
func opens(name string) bool {
	switch name {
	case "net.Dial", "net.DialTimeout", "net.DialTCP", "net.DialUDP", "net.DialIP", "net.DialUnix", "net.Dialer", "tls.Dial", "tls.DialWithDialer", "tls.Dialer",
		"http.Get", "http.Head", "http.Post", "http.PostForm", "http.DefaultClient", "http.Client", "http.DefaultTransport", "http.Transport":
		return true
	}
	_, method, _ := strings.Cut(name, ".")
	return slices.Contains([]string{"DialContext", "DialConn", "DialTLSContext"}, method)
}

// TestPackageComments holds that every package begins with an orientation.
func TestPackageComments(t *testing.T) {
	longest := map[string]int{}
	for _, f := range sources(t) {
		n := 0
		if f.ast.Doc != nil {
			n = len(f.ast.Doc.Text())
		}
		longest[f.dir] = max(longest[f.dir], n)
	}
	dirs := make([]string, 0, len(longest))
	for d := range longest {
		dirs = append(dirs, d)
	}
	sort.Strings(dirs)
	for _, d := range dirs {
		if longest[d] < 80 {
			t.Errorf("package %s has no comment that orients (%d characters)", d, longest[d])
		}
		if base := path.Base(d); base == "util" || base == "common" || base == "helpers" {
			t.Errorf("package %s is named for nothing it holds", d)
		}
	}
}

// TestNothingUnfinished keeps notes to ourselves out of what is committed.
func TestNothingUnfinished(t *testing.T) {
	for _, f := range sources(t) {
		b, err := os.ReadFile(filepath.Join(f.dir, f.name))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X("} {
			if strings.Contains(string(b), word) {
				t.Errorf("%s/%s holds %s: finish it or file it", f.dir, f.name, word)
			}
		}
	}
}
