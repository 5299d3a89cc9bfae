// Package pfx turns the bytes of a PKCS#12 file into its key, leaf, chain and facts, and back. It has no opinions: what a
// file should look like is decided elsewhere.
//
// [Read] tells what is visible without the password, [Open] decrypts, [Walk] puts certificates into the order of issue,
// [Pack.Encode] writes a file and [Repair] makes a good pack from a bad bundle. [ParseCertificates] reads what a CA sends
// back; [EncryptKey] and [DecryptKey] hold a private key between request and certificate.
//
// Files come from strangers. Every function here is bounded by a [Limits], reads no clock and no disk, and ends on any
// input in a result or in one error: [ErrPassword], [ErrFormat], [ErrLimit] or an [UnsupportedError]. Iteration counts are
// charged before the first hash, also those that only a decrypted safe reveals.
//
// The format is RFC 7292 (PKCS#12), RFC 8018 (PBES2, PBKDF2), RFC 9579 (PBMAC1), RFC 5958 (PKCS#8) and RFC 5652 (CMS).
package pfx

import (
	"errors"
	"fmt"
	"strings"
)

// Limits bounds what a file may cost. A zero field means the value of [DefaultLimits].
type Limits struct {
	Size       int // bytes of the file
	Depth      int // nesting of ASN.1 elements, decrypted contents included
	Safes      int // entries of the authenticated safe, nested safeContents included
	Bags       int // bags in all safes
	Attributes int // attributes of one bag
	Iterations int // of one key derivation
	Work       int // Σ iterations × cost over the whole file: 1 per MAC, 3 per PKCS#12 key and IV, 2 per PBKDF2
	Salt       int // bytes of one salt
}

// DefaultLimits admits every producer known: Java writes 100 000 iterations, GnuTLS and NSS 600 000, and a chain of four
// certificates needs five safes at most.
func DefaultLimits() Limits {
	return Limits{
		Size: 1 << 20, Depth: 24, Safes: 16, Bags: 128, Attributes: 32,
		Iterations: 5_000_000, Work: 20_000_000, Salt: 1024,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ have, def *int }{
		{&l.Size, &d.Size},
		{&l.Depth, &d.Depth},
		{&l.Safes, &d.Safes},
		{&l.Bags, &d.Bags},
		{&l.Attributes, &d.Attributes},
		{&l.Iterations, &d.Iterations},
		{&l.Work, &d.Work},
		{&l.Salt, &d.Salt},
	} {
		if *f.have <= 0 {
			*f.have = *f.def
		}
	}
	return l
}

var (
	// ErrPassword means the integrity check or a decryption failed. The format cannot tell a wrong password from a
	// changed file, and neither do we.
	ErrPassword error = passwordError{}
	// ErrFormat means the bytes are not the file they should be. It is wrapped with what was found.
	ErrFormat = errors.New("malformed")
	// ErrLimit means that reading on would cost more than the [Limits] allow. It is wrapped with what and how much.
	ErrLimit = errors.New("over the limit")
)

// An UnsupportedError names something well-formed that this package does not read.
type UnsupportedError struct {
	OID  string // dotted, empty when no object identifier is involved
	What string // the place and the kind of thing, such as "cipher of a safe: RC4-128"
}

func (e *UnsupportedError) Error() string {
	if e.OID == "" {
		return "unsupported " + e.What
	}
	return fmt.Sprintf("unsupported %s (%s)", e.What, e.OID)
}

// Hint says what to do about it.
func (e *UnsupportedError) Hint() string {
	if strings.HasPrefix(e.What, "private key") {
		return "request the certificate again with a plain RSA key"
	}
	return "export the file again, encrypted with " + TripleDESSHA1 + " or " + AES256SHA256
}

type passwordError struct{}

func (passwordError) Error() string { return "wrong password or changed file" }

// Hint says what to do about it.
func (passwordError) Hint() string {
	return "check the password given for this file; if it is right, fetch the file again"
}

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, a...))
}

func overLimit(what string, found int64, limit int) error {
	return fmt.Errorf("%w: %s %d, at most %d", ErrLimit, what, found, limit)
}
