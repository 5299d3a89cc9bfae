package live

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Verdict is what an endpoint's samples say about a rotation.
type Verdict string

// The verdicts. Every sample must agree for Match: one stale front end is one too many.
const (
	Match       Verdict = "match"        // all serve the planned leaf
	Mixed       Verdict = "mixed"        // some serve the planned leaf, others the previous one or nothing
	Stale       Verdict = "stale"        // the previous leaf, and nowhere the planned one
	UnknownLeaf Verdict = "unknown-leaf" // at least one serves neither
	Unreachable Verdict = "unreachable"  // no sample got a certificate
)

// Want is which leaves an endpoint may serve, as hex SHA-256. Previous is empty when it isn't known; then any leaf but the
// planned one may be it, as in plan.VerifyEndpoint.
type Want struct{ Previous, Planned string }

// Judgement is an Observation held against a Want.
type Judgement struct {
	Observation
	Want                               Want
	Verdict                            Verdict
	Planned, Previous, Unknown, Failed int // samples of each sort
}

// Judge compares the leaves, byte for byte by their digests.
func Judge(o Observation, w Want) Judgement {
	j := Judgement{Observation: o, Want: w}
	for _, s := range o.Samples {
		switch {
		case s.Err != nil:
			j.Failed++
		case s.LeafSHA256 == w.Planned:
			j.Planned++
		case w.Previous == "", s.LeafSHA256 == w.Previous:
			j.Previous++
		default:
			j.Unknown++
		}
	}
	switch {
	case j.Failed == len(o.Samples):
		j.Verdict = Unreachable
	case j.Unknown > 0:
		j.Verdict = UnknownLeaf
	case j.Planned == len(o.Samples):
		j.Verdict = Match
	case j.Planned > 0:
		j.Verdict = Mixed
	default:
		j.Verdict = Stale
	}
	return j
}

// String says how many samples led to the verdict: "mixed: 11 of 16 serve the planned certificate, 5 the previous one".
func (j Judgement) String() string {
	text := fmt.Sprintf("%s: %d of %d serve the planned certificate", j.Verdict, j.Planned, len(j.Samples))
	for _, part := range []struct {
		n    int
		what string
	}{{j.Previous, "the previous one"}, {j.Unknown, "an unknown one"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	if s, failed := j.Failure(); failed {
		text += fmt.Sprintf(", %d failed (%s)", j.Failed, s.Class)
	}
	return text
}

// Facts are the separate answers about one served chain. A nil error is a yes.
type Facts struct {
	Name  error // the leaf covers the host
	Valid error // the leaf is valid at the time
	Chain error // the leaf leads to the roots over what was served with it, at a time it is valid
}

// ErrNoRoots is Facts.Chain when no roots were given, so that nothing was checked.
var ErrNoRoots = errors.New("no roots to check against")

// Check holds one served chain against its host, the roots and a time. The system's roots are never used: they are
// those of the machine certstamp happens to run on.
func Check(s Served, roots *x509.CertPool, at time.Time) Facts {
	if len(s.Chain) == 0 {
		err := errors.New("nothing was served")
		return Facts{Name: err, Valid: err, Chain: err}
	}
	leaf := s.Chain[0]
	f := Facts{Name: leaf.VerifyHostname(s.Host), Chain: ErrNoRoots}
	const day = "2006-01-02 15:04 MST"
	switch {
	case at.Before(leaf.NotBefore):
		f.Valid = fmt.Errorf("not valid before %s", leaf.NotBefore.UTC().Format(day))
	case at.After(leaf.NotAfter):
		f.Valid = fmt.Errorf("not valid after %s", leaf.NotAfter.UTC().Format(day))
	}
	if roots == nil {
		return f
	}
	inside := at
	if at.Before(leaf.NotBefore) {
		inside = leaf.NotBefore
	} else if at.After(leaf.NotAfter) {
		inside = leaf.NotAfter
	}
	served := x509.NewCertPool()
	for _, c := range s.Chain[1:] {
		served.AddCert(c)
	}
	_, f.Chain = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: served, CurrentTime: inside,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return f
}
