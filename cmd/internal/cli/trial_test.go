package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certstamp/certstamp/csr"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

var trialTime = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// trial is made once: its CA and as many keys as the largest set has certificates.
var trial = sync.OnceValue(func() (t struct {
	ca   *trialCA
	keys []*rsa.PrivateKey
},
) {
	var err error
	if t.ca, err = newTrialCA(trialTime); err != nil {
		panic(err)
	}
	for range 14 {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		t.keys = append(t.keys, k)
	}
	return t
})

func trialJob(t testing.TB, release string, id policies.Identity, overlay string) *job {
	t.Helper()
	p, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	if overlay != "" {
		if p, err = p.WithOverlay([]byte(overlay), "policy.yaml"); err != nil {
			t.Fatal(err)
		}
	}
	v, err := policies.ParseVersion(release)
	if err != nil {
		t.Fatal(err)
	}
	return &job{policy: p, stamp: &stamp.Stamp{Name: "east", Region: "east", FQDN: "azurestack.contoso.com", Version: v, Identity: id}}
}

// tried is what the rules say of the set that in leads to: what requests decide, and everything. Core is the stamp's own
// set, for those of its resource providers.
func tried(t testing.TB, j *job, in csr.Input, core []validate.Subject) (requests []validate.Finding, all validate.Outcome) {
	t.Helper()
	in.Region, in.FQDN, in.Version, in.Identity = j.stamp.Region, j.stamp.FQDN, j.stamp.Version, j.stamp.Identity
	in.Optional, in.AsOf = j.stamp.OptionalEndpoints, trialTime
	specs, err := csr.Specs(j.policy, in)
	if err != nil {
		t.Fatal(err)
	}
	var list []csr.Request
	for i, s := range specs {
		r, err := s.GenerateWith(trial().keys[i], nil)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	set, err := trial().ca.set(j, in.Type, list)
	if err != nil {
		t.Fatal(err)
	}
	set.Core = core
	out := validate.Run(context.Background(), set)
	return decided(out.Report), out
}

// TestEveryRuleIsPlaced wants a decision about each new rule: can a request break it?
func TestEveryRuleIsPlaced(t *testing.T) {
	others := []string{
		"pfx-encryption", "expiry-date", "parse-pfx", "private-key", "cert-chain", "chain-order", "other-certificates", "http-crl", "twin",
		"encrypted-at-rest", "folder-layout", "password-policy", "same-password", "mixed-issuers", "ca-class", "ca-transition", "paas-root",
		"acr-alignment", "kdf-iterations", "plan-window", "public-client-auth", "serial-number", "stamp-alerts", "waivers",
	}
	known := map[string]bool{}
	for _, r := range validate.Rules() {
		known[r.ID] = true
	}
	for _, r := range validate.SetRules() {
		known[r.ID] = true
	}
	for id := range known {
		if slices.Contains(requestRules, id) == slices.Contains(others, id) {
			t.Errorf("the rule %s is in both lists or in none: put it into requestRules when a request decides it, else into this test", id)
		}
	}
	for _, id := range requestRules {
		if !known[id] {
			t.Errorf("there is no rule %s", id)
		}
	}
}

// TestWhatIsRequestedPasses is the circle: policy, request, issued, packed, judged, and no rule has anything to say. It
// walks both identity systems and every type over every release at which something changes, before and after, with every
// option.
func TestWhatIsRequestedPasses(t *testing.T) {
	t.Parallel()
	base, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	boundaries := map[int]bool{1803: true, 2301: true, 2501: true, 2601: true}
	around := func(s policies.Span) {
		for _, r := range []int{s.From, s.Until} {
			if r > 0 {
				boundaries[r], boundaries[before(r)] = true, true
			}
		}
	}
	for _, g := range base.Gates() {
		around(g.Span)
	}
	for _, kind := range base.Types() {
		for _, e := range base.Catalogue() {
			around(e.Span)
		}
		for r := 1801; r < 2701; r++ { // resource providers have no list of all releases
			v, err := policies.ParseVersion(fmt.Sprint(r))
			if err == nil && len(base.TypeEndpoints(kind, v)) != len(base.TypeEndpoints(kind, mustVersion(t, before(r)))) {
				boundaries[r], boundaries[before(r)] = true, true
			}
		}
	}
	for r := range boundaries {
		if r < 1803 {
			delete(boundaries, r) // nothing may be rotated there (ROT-1809), whatever was requested
		}
	}
	if len(boundaries) < 15 {
		t.Errorf("only %d releases are walked: %v", len(boundaries), boundaries)
	}
	subject, err := csr.ParseSubject(`C=DE, ST=Bayern, O=Contoso\, Ltd, OU=Süd`)
	if err != nil {
		t.Fatal(err)
	}
	sets := 0
	for r := range boundaries {
		for _, id := range []policies.Identity{policies.AAD, policies.ADFS} {
			for _, optional := range [][]string{nil, base.Optionals()} {
				j := trialJob(t, fmt.Sprint(r), id, "")
				j.stamp.OptionalEndpoints = optional
				if optional != nil && len(j.policy.Endpoints(j.stamp.Version, id, optional)) == len(j.policy.Endpoints(j.stamp.Version, id, nil)) {
					continue // the release has none of them
				}
				own := silent(t, j, csr.Input{Type: policies.Deployment, Subject: subject}, nil)
				oneForAll(t, j, csr.Input{Type: policies.Deployment, Single: true})
				sets += 2
				for _, kind := range base.Types()[1:] {
					if optional == nil && len(base.TypeEndpoints(kind, j.stamp.Version)) > 0 {
						silent(t, j, csr.Input{Type: kind, Subject: subject}, own.Subjects)
						sets++
					}
				}
			}
		}
	}
	t.Logf("%d releases, %d sets", len(boundaries), sets)
}

func before(release int) int {
	if release%100 == 1 {
		return release - 100 + 11
	}
	return release - 1
}

func mustVersion(t *testing.T, release int) policies.Version {
	t.Helper()
	v, err := policies.ParseVersion(fmt.Sprint(release))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func silent(t *testing.T, j *job, in csr.Input, core []validate.Subject) validate.Outcome {
	t.Helper()
	_, all := tried(t, j, in, core)
	for _, f := range everything(all.Report) {
		if f.Result != validate.OK {
			t.Errorf("%s %s %s: %s says %s: found %s, wanted %s", j.stamp.Version, j.stamp.Identity, in.Type, f.ID, f.Result, f.Found, f.Wanted)
		}
	}
	if r := all.Report; r.Verdict != validate.Pass || !r.Complete {
		t.Errorf("%s %s %s: verdict %s, complete %v", j.stamp.Version, j.stamp.Identity, in.Type, r.Verdict, r.Complete)
	}
	return all
}

// oneForAll has one thing said of it, and exactly that.
func oneForAll(t *testing.T, j *job, in csr.Input) {
	t.Helper()
	said, all := tried(t, j, in, nil)
	other := slices.DeleteFunc(everything(all.Report), func(f validate.Finding) bool { return f.Result == validate.OK || f.ID == "one-for-all" })
	if len(said) != 1 || said[0].ID != "one-for-all" || said[0].Result != validate.Warning || len(said[0].Folders) != len(all.Report.Certificates) || len(other) != 0 {
		t.Errorf("%s %s as one: %+v and %+v", j.stamp.Version, j.stamp.Identity, said, other)
	}
}

func everything(r validate.StampReport) []validate.Finding {
	out := slices.Clone(r.Set)
	for _, c := range r.Certificates {
		out = append(out, c.Tests...)
	}
	return out
}

// TestWhatWouldBeRefused holds that a request which leads nowhere is refused with the words of the rule itself.
func TestWhatWouldBeRefused(t *testing.T) {
	named, err := csr.ParseSubject("CN=portal.east.azurestack.contoso.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		overlay string
		in      csr.Input
		id      string
		result  validate.Result
		found   string
		folders int
	}{
		{"a key shorter than the policy's", "tighten: {key-length: {min-bits: 3072}}", csr.Input{KeyBits: 2048}, "key-length", validate.Fail, "RSA, 2048 bits", 11},
		{"one CN for all", "", csr.Input{Subject: named}, "subject-in-san", validate.Warning, "", 1},
	} {
		j := trialJob(t, "2301", policies.AAD, c.overlay)
		c.in.Type = policies.Deployment
		said, all := tried(t, j, c.in, nil)
		if len(said) == 0 || said[0].ID != c.id || said[0].Result != c.result || !strings.Contains(said[0].Found, c.found) || len(said[0].Folders) != c.folders {
			t.Errorf("%s: %+v", c.name, said)
			continue
		}
		same := slices.ContainsFunc(everything(all.Report), func(f validate.Finding) bool {
			return f.ID == c.id && f.Found == said[0].Found && f.Wanted == said[0].Wanted && f.Hint == said[0].Hint && f.Source == said[0].Source
		})
		if !same {
			t.Errorf("%s: the words are not the rule's: %+v", c.name, said[0])
		}
	}
}

// TestThePolicyChoosesTheLength makes requests without a word about keys: they have what a tightened policy wants.
func TestThePolicyChoosesTheLength(t *testing.T) {
	for least, want := range map[int]int{2048: 2048, 2049: 3072, 3072: 3072, 4096: 4096} {
		j := trialJob(t, "2301", policies.AAD, fmt.Sprintf("tighten: {key-length: {min-bits: %d}}", least))
		list, err := csr.Specs(j.policy, csr.Input{Region: "east", FQDN: "contoso.com", Version: j.stamp.Version, Identity: policies.AAD, AsOf: trialTime})
		if err != nil || list[0].KeyBits != want {
			t.Errorf("at least %d: %v, %v", least, list, err)
		}
	}
}

// FuzzWhatIsRequestedPasses asks for any subject that can be written. Whatever stands in it, only a CN of its own can be
// found fault with, and only as a warning.
func FuzzWhatIsRequestedPasses(f *testing.F) {
	trial() // now: a fuzzing process that takes ten seconds for one input is taken for hung
	for _, s := range []string{"", "C=DE,O=Contoso\\, Ltd", `O="a, b"`, "CN=portal.east.azurestack.contoso.com", `DC=com,DC=contoso,OU=\C3\BC`, "O=%TEMP%;L=\\#", "CN=*.x"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, text string, single bool) {
		subject, err := csr.ParseSubject(text)
		if err != nil {
			return
		}
		named := slices.ContainsFunc(subject, func(a csr.Attribute) bool { return a.Type == "CN" })
		j := trialJob(t, "2301", policies.AAD, "")
		_, all := tried(t, j, csr.Input{Type: policies.Deployment, Subject: subject, Single: single}, nil)
		for _, f := range everything(all.Report) {
			allowed := f.ID == "subject-in-san" && named || f.ID == "one-for-all" && single
			if f.Result != validate.OK && (f.Result != validate.Warning || !allowed) {
				t.Errorf("%q: %s says %s: found %s, wanted %s", text, f.ID, f.Result, f.Found, f.Wanted)
			}
		}
	})
}
