// Package crl asks whether certificates are revoked: it fetches their CRLs over http and gives validate the verdicts.
//
// A Checker belongs to one run. Check answers the questions that an Outcome raises (see validate.Outcome.CRLQuestions); each
// URL is fetched once, whoever asks, and never again when it failed. The URLs come out of certificates that anybody may have
// put into a pull request, so this is a fetcher for hostile addresses: no loopback and no link-local peer after the name
// was resolved, http only, few redirects, a few seconds, bounded bytes, and not one byte of an answer in any message.
//
// What is seen from here is not what the stamp sees; the verdicts are worth that much and say so where they are shown.
// Delta and indirect CRLs are recognised and not followed.
package crl

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/certstamp/certstamp/internal/crew"
	"github.com/certstamp/certstamp/validate"
)

// Defaults of a Checker.
const (
	DefaultDialTimeout = 5 * time.Second
	DefaultTimeout     = 15 * time.Second
	DefaultMaxBytes    = 32 << 20
)

const (
	maxURLs     = 4         // of one certificate
	maxFetches  = 256       // of one run
	maxTotal    = 256 << 20 // bytes of one run
	maxParallel = 4
)

// Checker fetches and remembers. Its zero value works: every field is a default.
type Checker struct {
	Dial        func(ctx context.Context, network, address string) (net.Conn, error) // gets IP:port; nil: the system's network
	Lookup      func(ctx context.Context, host string) ([]netip.Addr, error)         // nil: the system's resolver
	Proxy       func(*url.URL) (*url.URL, error)                                     // nil: none
	DialTimeout time.Duration
	Timeout     time.Duration // of one fetch, redirects and body included
	MaxBytes    int64         // of one CRL

	mu      sync.Mutex
	fetches map[key]*fetch
	total   int64
}

// key keeps the fetches of real and simulated stamps apart: they may reach different peers.
type key struct {
	url       string
	simulated bool
}

// Check answers every question, as of a time. A simulated stamp has everything on this machine, a real one nothing: its
// peers are held to that. The answers are by hex SHA-256 of the certificate.
func (c *Checker) Check(ctx context.Context, questions []validate.CRLQuestion, simulated bool, at time.Time) map[string]validate.CRL {
	answers := make([]validate.CRL, len(questions))
	slots := make(chan struct{}, maxParallel)
	var wait crew.Group
	for i, q := range questions {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			answers[i] = c.answer(ctx, q, simulated, at)
		})
	}
	wait.Wait()
	out := make(map[string]validate.CRL, len(questions))
	for i, q := range questions {
		sum := sha256.Sum256(q.Certificate.Raw)
		out[hex.EncodeToString(sum[:])] = answers[i]
	}
	return out
}

// answer asks the URLs of a certificate in turn, until one says that it is good or that it is revoked. Else the first fault
// stands: it is the address that everybody tries first.
func (c *Checker) answer(ctx context.Context, q validate.CRLQuestion, simulated bool, at time.Time) validate.CRL {
	var first validate.CRL
	for i, u := range q.URLs {
		if i == maxURLs {
			break
		}
		got := c.ask(ctx, q, u, simulated, at)
		if got.State == validate.CRLGood || got.State == validate.CRLRevoked {
			return got
		}
		if i == 0 {
			first = got
		}
	}
	return first
}

func (c *Checker) ask(ctx context.Context, q validate.CRLQuestion, u string, simulated bool, at time.Time) validate.CRL {
	f := c.fetch(ctx, key{u, simulated})
	out := validate.CRL{URL: u}
	if f.state != "" {
		out.State, out.Detail = f.state, f.detail
		return out
	}
	out.State, out.Detail = f.judge(q, at)
	return out
}

// fetch returns the one fetch of a URL, and makes it when it is the first to ask.
func (c *Checker) fetch(ctx context.Context, k key) *fetch {
	c.mu.Lock()
	if c.fetches == nil {
		c.fetches = make(map[key]*fetch)
	}
	f, ok := c.fetches[k]
	full := !ok && len(c.fetches) >= maxFetches
	if !ok && !full {
		f = &fetch{}
		c.fetches[k] = f
	}
	c.mu.Unlock()
	if full {
		return &fetch{state: validate.CRLUnreachable, detail: fmt.Sprintf("not asked: the run has asked %d addresses", maxFetches)}
	}
	f.once.Do(func() {
		body, err := c.get(ctx, k)
		if err != nil {
			f.state, f.detail = validate.CRLUnreachable, err.Error()
			return
		}
		f.read(body)
	})
	return f
}

// spend counts bytes against what a run may fetch.
func (c *Checker) spend(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += int64(n)
	return c.total <= maxTotal
}

// fetch is one URL's CRL, or why there is none. What is in it is kept small: a list of a million serials is shared by many
// certificates.
type fetch struct {
	once   sync.Once
	state  validate.CRLState // empty: list is there
	detail string

	list    *x509.RevocationList // without its entries
	revoked map[string]revocation
	notes   []string

	mu       sync.Mutex
	verified map[[sha256.Size]byte]error // by issuer
}

type revocation struct {
	at     time.Time
	reason int
}

// judge holds a CRL against one certificate: whose it is, whether it still counts, and what it says.
func (f *fetch) judge(q validate.CRLQuestion, at time.Time) (validate.CRLState, string) {
	const day = "2006-01-02 15:04 MST"
	if q.Issuer == nil {
		return validate.CRLUnsupported, "the CA certificate to check its signature with is missing"
	}
	if err := f.signedBy(q.Issuer); err != nil {
		return validate.CRLWrongIssuer, err.Error()
	}
	if why := f.covers(q.Certificate); why != "" {
		return validate.CRLUnsupported, why
	}
	if r, ok := f.revoked[q.Certificate.SerialNumber.String()]; ok {
		if r.reason != removedFromCRL {
			return validate.CRLRevoked, fmt.Sprintf("on %s (%s)", r.at.UTC().Format(day), reasonName(r.reason))
		}
	}
	switch next := f.list.NextUpdate; {
	case next.IsZero():
		return validate.CRLStale, "it does not say when its next update is due"
	case at.After(next):
		return validate.CRLStale, "its next update was due on " + next.UTC().Format(day)
	}
	text := "current until " + f.list.NextUpdate.UTC().Format(day)
	for _, n := range append(slices.Clone(f.notes), deltaOf(q.Certificate)...) {
		text += "; " + n
	}
	return validate.CRLGood, text
}

var errOtherIssuer = errors.New("it is the CRL of another CA")

// signedBy checks the signature, once for every issuer: a large CRL takes its time to hash, and a set has one issuer.
func (f *fetch) signedBy(issuer *x509.Certificate) error {
	sum := sha256.Sum256(issuer.Raw)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err, ok := f.verified[sum]; ok {
		return err
	}
	var err error
	switch {
	case !bytes.Equal(f.list.RawIssuer, issuer.RawSubject):
		err = errOtherIssuer
	case f.list.CheckSignatureFrom(issuer) != nil:
		// The text of that error may repeat what was sent.
		err = errors.New("its signature does not hold under the key of the CA, or that key may not sign CRLs")
	}
	if f.verified == nil {
		f.verified = make(map[[sha256.Size]byte]error)
	}
	f.verified[sum] = err
	return err
}
