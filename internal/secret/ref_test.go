package secret

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	for _, row := range []struct {
		claim string
		role  Role
		text  string
		want  string // in the error; empty: accepted
	}{
		{"a variable of its role", PFX, "env:PFX_PASSWORD", ""},
		{"digits and underscores", BMC, "env:BMC_NEW_2", ""},
		{"a file", PEP, "file:/run/secrets/pep", ""},
		{"a Windows file", PEP, `file:C:\secrets\pep`, ""},
		{"nothing", PFX, "", "a secret is a reference"},
		{"a literal", PFX, hidden, "a secret is a reference"},
		{"a literal with a colon", PFX, "pass:" + hidden, "a secret is a reference"},
		{"another scheme", PFX, "vault:" + hidden, "a secret is a reference"},
		{"scheme in upper case", PFX, "ENV:PFX_PASSWORD", "a secret is a reference"},
		{"no name", PFX, "env:", "upper-case"},
		{"only the role", PFX, "env:PFX_", "begin with PFX_"},
		{"lower case", PFX, "env:pfx_" + hidden, "upper-case"},
		{"a space", PFX, "env:PFX_PASSWORD ", "upper-case"},
		{"a line end", PFX, "env:PFX_PASSWORD\n", "upper-case"},
		{"a second line", PFX, "env:PFX_A\nPFX_B", "upper-case"},
		{"pipeline text", PFX, "env:$(PFX_PASSWORD)", "upper-case"},
		{"another role", PFX, "env:PEP_PASSWORD", "begin with PFX_"},
		{"role without an underscore", PFX, "env:PFXPASSWORD", "begin with PFX_"},
		{"something of the runner", Share, "env:GITHUB_TOKEN", "begin with SHARE_"},
		{"too long", PFX, "env:PFX_" + strings.Repeat("A", 128), "upper-case"},
		{"no path", PFX, "file:", "needs a path"},
		{"a path of two lines", PFX, "file:a\nb", "needs a path"},
		{"a path with a zero byte", PFX, "file:a\x00b", "needs a path"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			r, err := ParseRef(row.role, row.text)
			if row.want == "" {
				if err != nil || r.String() != row.text || r.Role() != row.role || r.IsZero() {
					t.Fatalf("got %v of %v, %v", r, r.Role(), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want an error with %q", err, row.want)
			}
			if !r.IsZero() || r.String() != "" {
				t.Errorf("a refused reference is %q", r)
			}
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("the likely secret is repeated: %v", err)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	env := map[string]string{
		"PFX_GOOD": hidden, "PFX_EMPTY": "", "PFX_AZURE": "$(PFX_AZURE)", "PFX_PARENTHESES": "$(a)b",
		"PFX_LINE": hidden + "\n", "PFX_LINES": hidden + "\nx", "PFX_SPACE": " " + hidden + " ",
	}
	files := map[string]string{
		"good": hidden, "unix": hidden + "\n", "windows": hidden + "\r\n", "two": hidden + "\n\n", "first": "\n" + hidden,
		"empty": "", "only": "\r\n", "cr": hidden + "\r", "large": strings.Repeat("x", maxSecret+1),
		"azure": "$(PFX_PASSWORD)\n", "zero": hidden + "\x00", "bom": "\ufeff" + hidden, "utf16": "\xff\xfeh\x00u\x00",
	}
	src := Source{Getenv: func(n string) string { return env[n] }, ReadFile: func(p string) ([]byte, error) {
		b, ok := files[p]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
		}
		return []byte(b), nil
	}}
	for _, row := range []struct {
		ref, want string
		err       error  // wrapped
		says      string // in the error
	}{
		{ref: "env:PFX_GOOD", want: hidden},
		{ref: "env:PFX_PARENTHESES", want: "$(a)b"},
		{ref: "env:PFX_LINES", want: hidden + "\nx"},
		{ref: "env:PFX_SPACE", want: " " + hidden + " "},
		{ref: "env:PFX_EMPTY", err: ErrNotSet, says: "unset or empty"},
		{ref: "env:PFX_UNSET", err: ErrNotSet, says: "unset or empty"},
		{ref: "env:PFX_AZURE", err: ErrNotSet, says: "undefined variable"},
		{ref: "env:PFX_LINE", says: "line end"},
		{ref: "file:good", want: hidden},
		{ref: "file:unix", want: hidden},
		{ref: "file:windows", want: hidden},
		{ref: "file:two", says: "line end"},
		{ref: "file:first", says: "line end"},
		{ref: "file:cr", says: "line end"},
		{ref: "file:empty", err: ErrNotSet, says: "empty"},
		{ref: "file:only", err: ErrNotSet, says: "empty"},
		{ref: "file:azure", err: ErrNotSet, says: "undefined variable"},
		{ref: "file:missing", err: fs.ErrNotExist, says: "file:missing"},
		{ref: "file:large", says: "bytes"},
		{ref: "file:zero", says: "not text"},
		{ref: "file:bom", says: "byte order mark"},
		{ref: "file:utf16", says: "not text"},
	} {
		t.Run(row.ref, func(t *testing.T) {
			r, err := ParseRef(PFX, row.ref)
			if err != nil {
				t.Fatal(err)
			}
			v, err := r.Resolve(src)
			if row.says == "" {
				if err != nil || v.Reveal() != row.want {
					t.Errorf("got %q, %v; want %q", v.Reveal(), err, row.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.says) || row.err != nil && !errors.Is(err, row.err) {
				t.Errorf("got %v, want %v with %q", err, row.err, row.says)
			}
			if !v.IsZero() {
				t.Error("an error came with a secret")
			}
			if err != nil && strings.Contains(err.Error(), hidden) {
				t.Errorf("the error repeats the secret: %v", err)
			}
		})
	}
	if _, err := (Ref{}).Resolve(src); !errors.Is(err, ErrNotSet) {
		t.Errorf("the zero reference: %v, want ErrNotSet", err)
	}
}

func TestPathAndEnv(t *testing.T) {
	f, _ := ParseRef(PFX, "file:a/b")
	e, _ := ParseRef(PFX, "env:PFX_A")
	if p, ok := f.Path(); !ok || p != "a/b" {
		t.Errorf("path %q, %v", p, ok)
	}
	if _, ok := e.Path(); ok {
		t.Error("a variable has a path")
	}
	if n, ok := e.Env(); !ok || n != "PFX_A" {
		t.Errorf("variable %q, %v", n, ok)
	}
	if _, ok := f.Env(); ok {
		t.Error("a file has a variable")
	}
}
