package rotate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

// Fact is something that no document says about stamps and this one shows. Value is foreign text.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (m *machine) fact(name, format string, args ...any) {
	m.out.Facts = append(m.out.Facts, Fact{name, fmt.Sprintf(format, args...)})
}

func (m *machine) unknown(format string, args ...any) {
	m.out.Unknown = append(m.out.Unknown, fmt.Sprintf(format, args...))
}

// root warns of the stamp's own root, which ends five years after deployment and which nothing but an internal rotation
// renews (ROT-2210). It stops no rotation.
func (m *machine) root() validate.Finding {
	f := validate.Finding{ID: "internal-root", Name: "Internal Root", Result: validate.OK, Source: "ROT-2210"}
	end := m.rootEnd()
	left := end.Sub(m.d.Now())
	day := func(days int) time.Duration { return time.Duration(days) * 24 * time.Hour }
	r := m.j.Rotate
	if end.IsZero() || r.RootWarningDays == 0 || left > day(r.RootWarningDays) {
		return f
	}
	f.Result, f.Found = validate.Warning, fmt.Sprintf("the stamp's internal root ends %s, in %s", end.UTC().Format(time.DateOnly), amount.Of(int(left/day(1)), "day"))
	if left <= day(r.RootCriticalDays) {
		f.Found += ", which the stamp calls critical"
	}
	f.Wanted = fmt.Sprintf("more than %d days", r.RootWarningDays)
	f.Hint = `renew it: plan --kind internal --reason "alert: internal root", once this is done`
	if !r.RootRenewed {
		f.Hint = "update the stamp: an internal rotation renews the root from 2108 on only"
	}
	return f
}

// rootEnd is the newest end among the stamp's roots.
func (m *machine) rootEnd() time.Time {
	var end time.Time
	for _, c := range m.info.RootCACertificates {
		if c.NotAfter.After(end) {
			end = c.NotAfter
		}
	}
	return end
}

// learn answers, for this stamp, what the documents leave open, and lists what a look cannot tell.
func (m *machine) learn() {
	info, last := m.info, m.out.Action
	m.fact("build", "%s", info.StampVersion)
	m.fact("stamp information has", "%s", listed(info.Names))
	identity := slices.DeleteFunc(slices.Clone(info.Names), func(name string) bool {
		name = strings.ToLower(name)
		return !strings.Contains(name, "identity") && !strings.Contains(name, "adfs") && !strings.Contains(name, "aad")
	})
	m.fact("properties that may name the identity system", "%s", listed(identity))
	if end := m.rootEnd(); end.IsZero() {
		m.unknown("when the internal root ends: the stamp information has no root with a date")
	} else {
		m.fact("internal root ends", "%s", end.UTC().Format(time.RFC3339))
	}
	m.fact("set has Container Registry", "%v", slices.Contains(m.j.Stamp.Optional, "container-registry"))
	m.action(last)
	for _, h := range m.out.HealthBefore {
		said := "with console text or objects only"
		if h.Report.Stated != nil {
			said = fmt.Sprintf("with %v", *h.Report.Stated)
		}
		m.fact(h.Check.Call.Text(), "answers %s and names %s", said, amount.Of(len(h.Report.Tests), "test"))
	}
	for _, open := range []string{
		"the console text and error records of Start-SecretRotation: the run shows them and keeps them for certstamp support",
		"whether Container Registry is demanded where it is installed",
		"whether a trailing backslash, a DFS path or a host name is accepted in -PfxFilesPath: the planned path is sent as it stands in the plan",
		"which order of a PFX's chain is accepted, and whether SHA-1 in an intermediate fails",
		"whether a PFX with AES is accepted from 2501 on",
		"what Set-BmcCredential says",
		"how long an internal rotation takes",
	} {
		m.unknown("%s", open)
	}
}

// action says what the stamp shows of its last rotation.
func (m *machine) action(last pep.Status) {
	if !last.Known {
		m.fact("last rotation", "none")
		m.unknown("the members of Get-ActionStatus: the stamp has no rotation to show")
		return
	}
	m.fact("Get-ActionStatus has", "%s", listed(last.Members))
	m.fact("last rotation", "%q, instance %q", last.Word, last.InstanceID)
	switch {
	case last.Started.IsZero():
		m.unknown("when the last rotation ran: the stamp names no times")
	case last.Ended.IsZero():
		m.fact("last rotation began", "%s", last.Started.UTC().Format(time.RFC3339))
	default:
		m.fact("last rotation began", "%s, and took %s", last.Started.UTC().Format(time.RFC3339), last.Ended.Sub(last.Started).Round(time.Second))
	}
	var words []string
	var walk func(steps []pep.Step)
	walk = func(steps []pep.Step) {
		for _, s := range steps {
			if s.Status != "" && !slices.Contains(words, s.Status) && len(words) < 32 {
				words = append(words, s.Status)
			}
			walk(s.Steps)
		}
	}
	walk(last.Steps)
	m.fact("its steps are", "%s", listed(words))
	if strings.Contains(strings.ToLower(last.Raw), "registry") {
		m.fact("its steps name", "a registry")
	}
}

func listed(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
