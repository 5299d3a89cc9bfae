package authroot

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// List is a certificate trust list whose signature was verified.
type List struct {
	Sequence   string    // hex; Microsoft counts dates in it
	ThisUpdate time.Time // of the list, as its signer says
	NextUpdate time.Time // zero: the list names none
	Signer     string    // subject of the signing certificate; foreign text
	Entries    []Entry   // in the order of the file
}

// Entry is one root of a list with the properties that bear on server authentication. The numbers are those of the
// property identifiers of wincrypt.h, which end the OIDs 1.3.6.1.4.1.311.10.11.N.
type Entry struct {
	SHA1   [20]byte // identifies the certificate; zero in a list that counts by SHA-256
	SHA256 [32]byte // 98; zero: the entry names no certificate in a way that can be trusted
	Name   string   // 11, the friendly name; foreign text
	KeyID  string   // 20, the key identifier of the certificate in hex, which what it issued names too
	Usages []string // 9: the usages the programme grants; nil: any

	// Disabled is when the programme stopped to trust the root (104), for DisabledUsages (122) or, when that is nil, for
	// every usage. The moment counts, not the age of the list: Microsoft announces it ahead.
	Disabled       *time.Time
	DisabledUsages []string

	// NotBefore is the last moment at which a certificate may have been issued (126), for NotBeforeUsages (127) or, when
	// that is nil, for every usage. Older certificates stay trusted.
	NotBefore       *time.Time
	NotBeforeUsages []string
}

// NotListedError says that a root is not in the list.
type NotListedError struct{ SHA256 string }

func (e *NotListedError) Error() string { return "the root sha256:" + e.SHA256 + " is not in the list" }

// ErrRefused is wrapped when a list names a root and refuses the certificate all the same.
var ErrRefused = errors.New("the list refuses it")

// Lists reports whether the list names a certificate, whatever it says of it.
func (l *List) Lists(c *x509.Certificate) bool { return len(l.entries(c)) > 0 }

// Issuer is the entry whose key identifier a certificate names as that of its issuer. A hint for what to look for, no proof.
func (l *List) Issuer(c *x509.Certificate) (Entry, bool) {
	id := hex.EncodeToString(c.AuthorityKeyId)
	i := slices.IndexFunc(l.Entries, func(e Entry) bool { return id != "" && e.KeyID == id })
	if i < 0 {
		return Entry{}, false
	}
	return l.Entries[i], true
}

func (l *List) entries(c *x509.Certificate) []Entry {
	sum := sha256.Sum256(c.Raw)
	var out []Entry
	for _, e := range l.Entries {
		if e.SHA256 == sum {
			out = append(out, e)
		}
	}
	return out
}

// Trusts reports whether a server certificate that leads to root is trusted at a time: nil, a *NotListedError, or an error
// that wraps ErrRefused. A root listed twice is trusted when every entry says so.
func (l *List) Trusts(root, leaf *x509.Certificate, at time.Time) error {
	found := l.entries(root)
	if len(found) == 0 {
		sum := sha256.Sum256(root.Raw)
		return &NotListedError{SHA256: hex.EncodeToString(sum[:])}
	}
	for _, e := range found {
		if err := e.trusts(leaf, at); err != nil {
			return err
		}
	}
	return nil
}

const day = "2006-01-02"

func (e Entry) trusts(leaf *x509.Certificate, at time.Time) error {
	switch {
	case e.Usages != nil && !concerns(e.Usages):
		return fmt.Errorf("%w: the root %q is not there for server authentication", ErrRefused, e.Name)
	case e.Disabled != nil && concerns(e.DisabledUsages) && !at.Before(*e.Disabled):
		return fmt.Errorf("%w: the root %q is disabled since %s", ErrRefused, e.Name, e.Disabled.Format(day))
	case e.NotBefore != nil && concerns(e.NotBeforeUsages) && leaf.NotBefore.After(*e.NotBefore):
		return fmt.Errorf("%w: the root %q is trusted for certificates issued until %s, this one begins on %s",
			ErrRefused, e.Name, e.NotBefore.Format(day), leaf.NotBefore.UTC().Format(day))
	}
	return nil
}

// concerns reports whether a list of usages has server authentication in it. No list means every usage.
func concerns(usages []string) bool {
	return usages == nil || slices.Contains(usages, serverAuth) || slices.Contains(usages, anyUsage)
}

const (
	serverAuth = "1.3.6.1.5.5.7.3.1"
	anyUsage   = "2.5.29.37.0"
)

var (
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTrustList  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 1}
	// oidRootList is what the list is for and, as an extended key usage, what its signer may sign. Microsoft signs the list
	// of disallowed certificates with the same key for another usage.
	oidRootList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 3, 9}
	oidProperty = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 11}
	oidSHA1     = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256   = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)
