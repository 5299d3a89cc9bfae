package secret

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// Role says which credential a reference may carry. Environment names must begin with it.
type Role string

// The roles of design.md's stamp file.
const (
	PFX   Role = "PFX"   // password or age identity of the certificate files
	Share Role = "SHARE" // the account that writes the SMB share
	PEP   Role = "PEP"   // the privileged endpoint's account
	BMC   Role = "BMC"   // the baseboard management controllers' account
)

// Ref names a secret. The zero Ref is "not given".
type Ref struct {
	role   Role
	scheme string
	name   string
}

// Source resolves references. Both functions are injected, so that nothing below cmd reads the environment or a disk.
type Source struct {
	Getenv   func(name string) string
	ReadFile func(path string) ([]byte, error)
}

var (
	envName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,127}$`) })
	// Azure Pipelines leaves the text $(NAME) in place of an undefined variable.
	azureUndefined = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\$\([^)]+\)$`) })
)

// maxSecret bounds a secret, in bytes: a file: reference to something else is a mistake.
const maxSecret = 64 << 10

// ErrNotSet is wrapped when a reference leads to nothing: an unset or empty variable, or Azure's literal $(NAME).
var ErrNotSet = errors.New("the secret is not set")

// ParseRef reads "env:NAME" or "file:PATH". NAME must begin with the role and an underscore.
func ParseRef(role Role, s string) (Ref, error) {
	scheme, name, ok := strings.Cut(s, ":")
	switch {
	case !ok || (scheme != "env" && scheme != "file"):
		// The text is not repeated: the likeliest mistake is a literal password.
		return Ref{}, fmt.Errorf("a secret is a reference: env:%s_NAME or file:PATH, never the value itself", role)
	case scheme == "env" && !envName().MatchString(name):
		return Ref{}, fmt.Errorf("the variable name after env: must be upper-case letters, digits and _")
	case scheme == "env" && (!strings.HasPrefix(name, string(role)+"_") || name == string(role)+"_"):
		return Ref{}, fmt.Errorf("env:%s does not belong here: this field takes variables that begin with %s_", name, role)
	case scheme == "file" && (name == "" || strings.ContainsAny(name, "\x00\n\r")):
		return Ref{}, fmt.Errorf("file: needs a path")
	}
	return Ref{role: role, scheme: scheme, name: name}, nil
}

// IsZero reports whether no reference was given.
func (r Ref) IsZero() bool { return r.scheme == "" }

// Role returns the credential this reference may carry.
func (r Ref) Role() Role { return r.role }

// String returns the reference itself, which is not secret: it belongs into the target and into error messages.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.scheme + ":" + r.name
}

// Path returns the file of a file: reference and whether it is one.
func (r Ref) Path() (string, bool) { return r.name, r.scheme == "file" }

// Env returns the variable of an env: reference and whether it is one.
func (r Ref) Env() (string, bool) { return r.name, r.scheme == "env" }

// Resolve fetches the secret. One trailing line end of a file is dropped, because editors add it; any other line end at
// the edges is refused, because a password that a person cannot see is a lockout in waiting. So is what is not text: a
// file in UTF-16 would otherwise be sent as a password nobody typed.
func (r Ref) Resolve(src Source) (Value, error) {
	var text, what string
	switch r.scheme {
	case "env":
		text, what = src.Getenv(r.name), "the variable is unset or empty"
	case "file":
		b, err := src.ReadFile(r.name)
		if err != nil {
			return Value{}, fmt.Errorf("%s: %w", r, err)
		}
		text, what = dropLineEnd(string(b)), "the file is empty"
	default:
		return Value{}, ErrNotSet
	}
	switch {
	case text == "":
		return Value{}, fmt.Errorf("%s: %w: %s", r, ErrNotSet, what)
	case azureUndefined().MatchString(text):
		return Value{}, fmt.Errorf("%s: %w: it holds the pipeline text of an undefined variable", r, ErrNotSet)
	case len(text) > maxSecret:
		return Value{}, fmt.Errorf("%s: the secret has %d bytes, at most %d are accepted", r, len(text), maxSecret)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return Value{}, fmt.Errorf("%s: the secret is not text in UTF-8", r)
	case strings.HasPrefix(text, "\ufeff"):
		return Value{}, fmt.Errorf("%s: the secret begins with a byte order mark: save the file without one", r)
	case strings.Trim(text, "\r\n") != text:
		return Value{}, fmt.Errorf("%s: the secret begins or ends with a line end", r)
	}
	return New(text), nil
}

func dropLineEnd(s string) string {
	if t, ok := strings.CutSuffix(s, "\r\n"); ok {
		return t
	}
	return strings.TrimSuffix(s, "\n")
}
