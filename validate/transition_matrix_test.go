package validate

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

// expected is the matrix as a person reads it in azure-stack.md section 4: for each release four letters, one for each way in
// which the new CA may be related to the installed one (the same issuing key, the same root key, renewed with a new key,
// cross-signed). o is allowed, w allowed with a warning, x refused. It is not made from transitions.yaml, which it checks.
var expected = []struct {
	from, to policies.Class
	releases map[string]string
}{
	{policies.SelfSigned, policies.SelfSigned, map[string]string{
		"1802": "xxxx", "1803": "xxxx", "1902": "xxxx", "1903": "xxxx", "1904": "xxxx", "2301": "xxxx", "2501": "xxxx",
	}},
	{policies.SelfSigned, policies.Enterprise, map[string]string{
		"1802": "xxxx", "1803": "xxxx", "1902": "xxxx", "1903": "oooo", "1904": "oooo", "2301": "oooo", "2501": "oooo",
	}},
	{policies.SelfSigned, policies.Public, map[string]string{
		"1802": "xxxx", "1803": "oooo", "1902": "oooo", "1903": "oooo", "1904": "oooo", "2301": "oooo", "2501": "oooo",
	}},
	{policies.Enterprise, policies.SelfSigned, map[string]string{
		"1802": "xxxx", "1803": "xxxx", "1902": "xxxx", "1903": "xxxx", "1904": "xxxx", "2301": "xxxx", "2501": "xxxx",
	}},
	// Before 1903 only the same CA. Nobody has said whether another issuing CA under one root key is the same: a warning.
	// At 1903 two documents disagree about any other CA.
	{policies.Enterprise, policies.Enterprise, map[string]string{
		"1802": "xxxx", "1803": "owxw", "1902": "owxw", "1903": "oowo", "1904": "oooo", "2301": "oooo", "2501": "oooo",
	}},
	{policies.Enterprise, policies.Public, map[string]string{
		"1802": "xxxx", "1803": "oooo", "1902": "oooo", "1903": "oooo", "1904": "oooo", "2301": "oooo", "2501": "oooo",
	}},
	{policies.Public, policies.SelfSigned, map[string]string{
		"1802": "xxxx", "1803": "xxxx", "1902": "xxxx", "1903": "xxxx", "1904": "xxxx", "2301": "xxxx", "2501": "xxxx",
	}},
	{policies.Public, policies.Enterprise, map[string]string{
		"1802": "xxxx", "1803": "xxxx", "1902": "xxxx", "1903": "oooo", "1904": "oooo", "2301": "oooo", "2501": "oooo",
	}},
	{policies.Public, policies.Public, map[string]string{
		"1802": "xxxx", "1803": "oooo", "1902": "oooo", "1903": "oooo", "1904": "oooo", "2301": "oooo", "2501": "oooo",
	}},
}

// relative is a new CA beside the installed one, Contoso Issuing under Contoso Root.
type relative struct {
	claim string
	chain []*x509.Certificate // leaf first
	why   string              // what must be said where an enterprise CA follows another
}

func relatives() []relative {
	p := cas()
	cross := again(p.root, p.otherRoot, nil)
	return []relative{
		{"the same issuing key", []*x509.Certificate{installedLeaf(p.issuing), p.issuing.cert, p.root.cert}, ""},
		{"the same root key", []*x509.Certificate{installedLeaf(p.sibling), p.sibling.cert, p.root.cert}, ""},
		{"renewed with a new key", []*x509.Certificate{installedLeaf(p.renewd), p.renewd.cert, p.renewedRoot.cert}, ""},
		{"cross-signed by another root", []*x509.Certificate{installedLeaf(p.sibling), p.sibling.cert, cross, p.otherRoot.cert}, "cross-signed"},
	}
}

func TestTransitionMatrix(t *testing.T) {
	p := cas()
	installed := []*x509.Certificate{installedLeaf(p.issuing), p.issuing.cert, p.root.cert}
	letters := map[Result]byte{OK: 'o', Warning: 'w', Fail: 'x'}
	kin := relatives()
	cells := 0
	for _, pair := range expected {
		for release, row := range pair.releases {
			in := Input{Policy: policy(t), Version: version(t, release), AsOf: asOf}
			in.Anchors.Public = []*x509.Certificate{} // no built-in root has a say
			in.Installed = []Installed{{Class: pair.from, Chain: installed}}
			r := &run{Input: in, anchors: indexAnchors(in.Anchors)}
			for i, k := range kin {
				class := newClassifier(&in, r.anchors).classify(k.chain[0], k.chain[1:])
				class.Class = pair.to
				got := transition(r, &Subject{run: r, Class: class, Leaf: k.chain[0], Chain: k.chain})
				if letters[got.Result] != row[i] {
					t.Errorf("%s to %s on %s, %s: %s (%s), want %c", pair.from, pair.to, release, k.claim, got.Result, got.Why, row[i])
				}
				if pair.from == policies.Enterprise && pair.to == policies.Enterprise && !strings.Contains(got.Why, k.why) {
					t.Errorf("%s on %s: %q, want %q", k.claim, release, got.Why, k.why)
				}
				cells++
			}
		}
	}
	if cells != 9*7*4 {
		t.Errorf("%d cells, want 9 pairs × 7 releases × 4 relatives", cells)
	}
}

// What "the same CA" means is said in words: pfx-x509 section 3.3.
func TestRenewedCAs(t *testing.T) {
	p := cas()
	installed := []*x509.Certificate{installedLeaf(p.issuing), p.issuing.cert, p.root.cert}
	// One CA under two roots, with an issuing CA below each of its certificates.
	middle, middleToo := p.sibling, again(p.sibling, p.otherRoot, nil)
	below := newAuthority("Contoso Third", keys()[20], middle)
	rootAgain, issuingAgain := again(p.root, nil, nil), again(p.issuing, p.root, nil)
	for _, row := range []struct {
		claim string
		chain []*x509.Certificate
		want  Result
		same  bool
		why   string

		installed []*x509.Certificate // nil: Contoso Issuing under its root
	}{
		{"the root was issued again", []*x509.Certificate{installedLeaf(p.issuing), p.issuing.cert, rootAgain}, OK, true, "was issued again with the same key, which is the same CA", nil},
		{"the issuing CA was issued again", []*x509.Certificate{installedLeaf(p.issuing), issuingAgain, p.root.cert}, OK, true, `CN=Contoso Issuing,O=Contoso" was issued again`, nil},
		{"another issuing CA below the root issued again", []*x509.Certificate{installedLeaf(p.sibling), p.sibling.cert, rootAgain}, Warning, true, "the root key is the same, the issuing CA is another one; ", nil},
		{"the same names with new keys", []*x509.Certificate{installedLeaf(p.renewd), p.renewd.cert, p.renewedRoot.cert}, Fail, false, "a CA renewed with a new key counts as another CA", nil},
		{"strangers", []*x509.Certificate{installedLeaf(p.otherCA), p.otherCA.cert, p.otherRoot.cert}, Fail, false, "only the same enterprise CA", nil},
		{
			"a CA in the middle that another root signed too",
			[]*x509.Certificate{installedLeaf(below), below.cert, middleToo, p.otherRoot.cert},
			Warning, true, "is cross-signed",
			[]*x509.Certificate{installedLeaf(middle), middle.cert, p.root.cert},
		},
	} {
		t.Run(row.claim, func(t *testing.T) {
			if row.installed == nil {
				row.installed = installed
			}
			in := Input{Policy: policy(t), Version: version(t, "1902"), AsOf: asOf, Installed: []Installed{{Chain: row.installed}}}
			r := &run{Input: in, anchors: indexAnchors(in.Anchors)}
			got := transition(r, &Subject{
				run: r, Leaf: row.chain[0], Chain: row.chain, Class: newClassifier(&in, r.anchors).classify(row.chain[0], row.chain[1:]),
			})
			if got.Result != row.want || got.SameCA != row.same || !strings.Contains(got.Why, row.why) {
				t.Errorf("%s, same %t, %q; want %s, %t, %q", got.Result, got.SameCA, got.Why, row.want, row.same, row.why)
			}
			if row.want == OK && strings.Contains(got.Why, "another") {
				t.Errorf("%q of the same CA", got.Why)
			}
		})
	}
}
