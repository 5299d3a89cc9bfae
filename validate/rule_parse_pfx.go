package validate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/pfx"
)

var parsePFX = Rule{
	ID: "parse-pfx", Name: "Parse PFX", Severity: Error, Reads: ReadsFile, Sealed: true,
	About: "The file is a PFX, the password opens it, and the password protects its certificates too.",
	Check: func(s *Subject) Judgement {
		if s.readErr != nil {
			return unreadable(s.readErr)
		}
		if s.openErr != nil {
			return unreadable(s.openErr)
		}
		f := s.Facts
		if f.Trailing > 0 && !f.TrailingZeros {
			return fail(amount.Of(f.Trailing, "byte")+" after the end of the PFX", "nothing after the PFX",
				"find out who appended to the file, then export again")
		}
		if f.Integrity == pfx.IntegrityNone {
			return fail("no MAC: nobody can tell whether the file was changed", "a PFX with a password MAC", "export again with a password")
		}
		if s.Bundle != nil {
			for i, c := range s.Bundle.Certificates {
				if c.Err != nil {
					return fail(fmt.Sprintf("certificate %d is unreadable: %s", i+1, quote(c.Err.Error())), "certificates as RFC 5280 has them",
						"ask the CA for a new certificate")
				}
			}
			if len(s.Bundle.Certificates) == 0 {
				return fail("no certificate", "key, certificate and chain", "export again with all certificates of the path")
			}
		}
		return oddities(f)
	},
}

func oddities(f *pfx.Facts) Judgement {
	var found, hint []string
	if f.ClearCertificates > 0 {
		found = append(found, "the password protects only the private key, the certificates lie open")
		hint = append(hint, "export again with certificate privacy enabled, or run certstamp pack --repair")
	}
	if f.Trailing > 0 {
		found = append(found, fmt.Sprintf("%d zero bytes after the end of the PFX", f.Trailing))
		hint = append(hint, "run certstamp pack --repair")
	}
	if f.BER {
		found = append(found, "BER where Windows writes DER")
		hint = append(hint, "run certstamp pack --repair")
	}
	if len(found) == 0 {
		return pass(structure(f))
	}
	return warn(strings.Join(found, "; "), "a DER file whose password protects everything", hint[0])
}

// structure is what anybody sees of a file, with or without its password.
func structure(f *pfx.Facts) string {
	encoding := "DER"
	if f.BER {
		encoding = "BER"
	}
	text := fmt.Sprintf("version %d, %s, %s", f.Version, encoding, f.Integrity)
	if f.Integrity != pfx.IntegrityNone {
		text += " " + algorithm(f.MAC)
	}
	text += ", " + amount.Of(len(f.Safes), "safe")
	for i, s := range f.Safes {
		text += fmt.Sprintf("; safe %d %s", i+1, s.Kind)
		if s.Kind != "data" {
			text += " " + algorithm(s.Cipher)
		}
		if s.Bags >= 0 {
			text += ", " + amount.Of(s.Bags, "bag")
		}
	}
	return text
}

// algorithm is a cipher or MAC with the parameters of its key derivation. An unknown one is named by what the file says.
func algorithm(a pfx.Algorithm) string {
	name := cmp.Or(a.Name, quote(a.OID))
	if a.PRF != "" {
		name += "/" + a.PRF
	}
	return fmt.Sprintf("%s (%d iterations, salt of %d bytes)", name, a.Iterations, a.Salt)
}

// unreadError says that nobody has seen the file's bytes: it is a pipe, too large, a link that leads out, or closed to us.
type unreadError struct{ err error }

func (e *unreadError) Error() string { return e.err.Error() }
func (e *unreadError) Unwrap() error { return e.err }

func unreadable(err error) Judgement {
	const wanted = "a PFX that the password opens"
	var unsupported *pfx.UnsupportedError
	var unread *unreadError
	switch {
	case errors.As(err, &unread):
		hint := "put a certificate there as a regular file that no link leads out to"
		var own interface{ Hint() string }
		switch {
		case errors.As(err, &own):
			hint = own.Hint()
		case errors.Is(err, fs.ErrPermission):
			hint = "let the account that runs certstamp read the file"
		}
		return fail(quote(err.Error()), "a file that can be read", hint)
	case errors.Is(err, pfx.ErrPassword):
		return fail(pfx.ErrPassword.Error(), wanted, "check the pfx-password of the stamp; one password opens every file of a set")
	case errors.Is(err, pfx.ErrLimit):
		return fail(quote(err.Error()), "a PFX of usual size and iteration counts", "export again with the defaults of Windows, or run certstamp pack --repair")
	case errors.As(err, &unsupported):
		return fail(quote(err.Error()), wanted, "export again as TripleDES-SHA1")
	default:
		return fail(quote(err.Error()), wanted, "export again as PFX, with private key and all certificates of the path")
	}
}
