package report

import (
	"fmt"
	"strings"
)

// Expiry is when one certificate ends, and where it was seen.
type Expiry struct {
	Type         string `json:"type,omitempty"` // of the certificate; empty: of those that a rotation takes
	Endpoint     string `json:"endpoint"`       // by its folder; a file that lies in none of them by its path
	Source       string `json:"source"`         // live or file
	Host         string `json:"host,omitempty"` // that was asked
	Path         string `json:"path,omitempty"` // of the file, in the repository
	State        string `json:"state"`
	Leaves       int    `json:"leaves,omitempty"`    // how many different certificates were served, when there was an answer
	Samples      int    `json:"samples,omitempty"`   // how many connections were tried
	NotBefore    string `json:"notBefore,omitempty"` // RFC 3339, as the two that follow
	NotAfter     string `json:"notAfter,omitempty"`  // of the leaf
	Ends         string `json:"ends,omitempty"`      // of the leaf or of what it was served with, whichever is first
	DaysLeft     *int   `json:"daysLeft,omitempty"`  // whole days until Ends, negative after it
	SubjectCN    string `json:"subjectCN,omitempty"`
	IssuerCN     string `json:"issuerCN,omitempty"`
	SerialNumber string `json:"serialNumber,omitempty"` // decimal
	LeafSHA256   string `json:"leafSha256,omitempty"`
	Detail       string `json:"detail,omitempty"`
}

// NotLookedAt is the outcome of a stamp of which nothing could be said.
const NotLookedAt = "not-looked-at"

// What an Expiry may be. Of a file whose endpoint was seen, only the endpoint's own certificate is due at a time; of every
// other one its own.
const (
	ExpiryOK          = "ok"
	ExpiryWarning     = "warning"
	ExpiryCritical    = "critical"
	ExpiryExpired     = "expired"
	ExpiryEarly       = "early"       // the endpoint serves one that is not valid yet
	ExpiryUnreachable = "unreachable" // the endpoint gave no certificate
	ExpiryUnread      = "unread"      // the file gave none
	ExpiryServed      = "served"      // the file holds what the endpoint serves
	ExpiryReady       = "ready"       // the file holds a later one, which waits to be rotated
	ExpiryOlder       = "older"       // the file holds one that ends before what the endpoint serves
)

func (e Expiry) where() string {
	if e.Source == "live" {
		return e.Host
	}
	return e.Path
}

func (e Expiry) days() string {
	if e.DaysLeft == nil {
		return ""
	}
	return fmt.Sprint(*e.DaysLeft)
}

// name is the endpoint with the type of its certificate.
func (e Expiry) name() string { return strings.TrimPrefix(e.Type+" "+e.Endpoint, " ") }

func (t texter) expiries(list []Expiry) {
	if len(list) > 0 {
		t.line("  %-11s %5s  %-10s  %-4s  %-24s %s", "STATE", "DAYS", "ENDS", "FROM", "ENDPOINT", "WHERE")
	}
	for _, e := range list {
		detail := ""
		if e.Detail != "" {
			detail = ": " + e.Detail
		}
		t.line("  %-11s %5s  %-10s  %-4s  %-24s %s%s", e.State, e.days(), day(e.Ends), e.Source, e.name(), e.where(), detail)
	}
}

func (m *marker) expiries(list []Expiry) {
	if len(list) > 0 {
		m.block("\n| state | days left | ends | from | endpoint | where | |\n|---|---|---|---|---|---|---|\n")
	}
	for _, e := range list {
		m.block("| %s | %s | %s | %s | %s | %s | %s |\n", code(e.State), e.days(), code(day(e.Ends)), code(e.Source), code(e.name()), code(e.where()), code(e.Detail))
	}
}
