package validate

import (
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/policies"
)

func TestClassify(t *testing.T) {
	p := cas()
	leaf := installedLeaf(p.issuing)
	// The root of Contoso, cross-signed by Fabrikam: a second way up.
	cross := func() *x509.Certificate {
		template := *p.root.cert
		template.SerialNumber = big.NewInt(77)
		return issue(&template, p.otherRoot.cert, p.root.key.Public(), p.otherRoot.key)
	}()
	// The same root issued again: same key and name, another certificate.
	reissued := func() *x509.Certificate {
		template := *p.root.cert
		template.SerialNumber = big.NewInt(78)
		return issue(&template, &template, p.root.key.Public(), p.root.key)
	}()
	list := func(c ...*x509.Certificate) []*x509.Certificate { return c }
	none := []*x509.Certificate{}
	selfSigned := issue(&x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, keys()[9].Public(), keys()[9])
	for _, row := range []struct {
		claim    string
		leaf     *x509.Certificate
		pool     []*x509.Certificate
		anchors  Anchors
		want     policies.Class
		evidence string
		doubt    string
	}{
		{"a configured root", leaf, list(p.issuing.cert, p.root.cert), Anchors{Public: none, Enterprise: list(p.root.cert)}, policies.Enterprise, "enterprise anchor sha256:", ""},
		{"a public root", leaf, list(p.issuing.cert, p.root.cert), Anchors{Public: list(p.root.cert)}, policies.Public, "public anchor sha256:", ""},
		{"an explicit anchor wins", leaf, list(p.issuing.cert), Anchors{Public: list(p.root.cert), Enterprise: list(p.issuing.cert)}, policies.Enterprise, "", ""},
		{"enterprise above a cross-signed public root", leaf, list(p.issuing.cert, cross), Anchors{Public: list(p.root.cert), Enterprise: list(p.otherRoot.cert)}, policies.Enterprise, "a public path exists too", ""},
		{"a re-issued anchor keeps its key", leaf, list(p.issuing.cert, p.root.cert), Anchors{Public: list(reissued)}, policies.Public, "", ""},
		{"a name alone is no anchor", leaf, list(p.issuing.cert, p.root.cert), Anchors{Public: list(p.renewedRoot.cert)}, policies.Enterprise, "file alone", "only the file"},
		{"a root from the file alone", leaf, list(p.root.cert, p.issuing.cert), Anchors{Public: none}, policies.Enterprise, "file alone", "only the file"},
		{"no root", leaf, list(p.issuing.cert), Anchors{Public: none}, policies.Unknown, "path ends at", "was not found"},
		{"no root, and a name that fits", leaf, list(p.issuing.cert), Anchors{Public: list(p.renewedRoot.cert)}, policies.Unknown, "", "another key"},
		{"an intermediate from the extra set", leaf, none, Anchors{Public: none, Enterprise: list(p.root.cert), Extra: list(p.issuing.cert)}, policies.Enterprise, "enterprise anchor", ""},
		{"self-signed", selfSigned, none, Anchors{Public: none}, policies.SelfSigned, "its own issuer", ""},
		{"self-signed, even as an anchor", selfSigned, none, Anchors{Public: list(selfSigned)}, policies.SelfSigned, "", ""},
		{"nothing", nil, none, Anchors{Public: none}, policies.Unknown, "", "no certificate"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			got := testClassifier(row.anchors).classify(row.leaf, row.pool)
			if got.Class != row.want || !strings.Contains(got.Evidence, row.evidence) || (got.Doubt == "") != (row.doubt == "") || !strings.Contains(got.Doubt, row.doubt) {
				t.Errorf("%s (%s; doubt %q), want %s (%s; doubt %q)", got.Class, got.Evidence, got.Doubt, row.want, row.evidence, row.doubt)
			}
		})
	}
	t.Run("a built-in root that is not Microsoft's", func(t *testing.T) {
		k := testClassifier(Anchors{Public: list(p.root.cert)})
		k.distrusted = func(sum string) string {
			if sum == hexSHA256(p.root.cert.Raw) {
				return "not in the list"
			}
			return ""
		}
		if got := k.classify(leaf, list(p.issuing.cert)); got.Class != policies.Public || got.Doubt != "" {
			t.Errorf("the operator's own list is doubted: %s, doubt %q", got.Class, got.Doubt)
		}
		k.anchors.builtIn = true
		if got := k.classify(leaf, list(p.issuing.cert)); got.Class != policies.Public || got.Doubt != "not in the list" {
			t.Errorf("%s, doubt %q", got.Class, got.Doubt)
		}
	})
	t.Run("a root with a constraint", func(t *testing.T) {
		k := testClassifier(Anchors{Public: none})
		k.anchors.public[keyOf(p.root.cert)] = []publicRoot{{p.root.cert, func([]*x509.Certificate, time.Time) error { return errors.New("too late") }}}
		got := k.classify(leaf, list(p.issuing.cert, p.root.cert))
		if got.Class != policies.Enterprise || !strings.Contains(got.Doubt, "too late") || !strings.Contains(got.Evidence, "refused public anchor") {
			t.Errorf("%s, doubt %q", got.Class, got.Doubt)
		}
		k.anchors.public[keyOf(p.root.cert)] = append(k.anchors.public[keyOf(p.root.cert)], publicRoot{certificate: reissued})
		if got := k.classify(leaf, list(p.issuing.cert, p.root.cert)); got.Class != policies.Public || got.Doubt != "" {
			t.Errorf("a second certificate of the key accepts: %s, doubt %q", got.Class, got.Doubt)
		}
	})
}

// testClassifier takes every leaf for one that a public CA issued to the public.
func testClassifier(a Anchors) classifier {
	return classifier{
		anchors: indexAnchors(a), at: asOf, maxAge: 180 * 24 * time.Hour,
		distrusted: func(string) string { return "" }, toPublic: func(*x509.Certificate) bool { return true },
	}
}

// A file of CAs that all sign each other must not cost a minute.
func TestClassifyIsBounded(t *testing.T) {
	p := cas()
	var pool []*x509.Certificate
	template := *p.root.cert
	for i := range 60 {
		template.SerialNumber = big.NewInt(int64(1000 + i))
		template.Subject.SerialNumber = "x"
		template.RawSubject = nil
		pool = append(pool, issue(&template, &template, p.root.key.Public(), p.root.key))
	}
	f := finder{classifier: testClassifier(Anchors{Public: []*x509.Certificate{}}), pool: pool, budget: maxSignatures}
	f.walk(pool[:1])
	if f.budget < 0 || len(f.private) > maxSignatures {
		t.Errorf("budget %d, %d paths", f.budget, len(f.private))
	}
}

func TestMozillaRoots(t *testing.T) {
	roots := mozillaRoots()
	if len(roots) < 100 {
		t.Fatalf("%d roots, want over a hundred", len(roots))
	}
	distrusted := 0
	for _, r := range roots {
		if policy(t).Distrusted(hexSHA256(r.certificate.Raw)) != "" {
			distrusted++
		}
	}
	if distrusted != 13 {
		t.Errorf("%d Mozilla roots are not Microsoft's, want 13: the bundle moved, compare the lists again", distrusted)
	}
	x := indexAnchors(Anchors{})
	if len(x.public) < 100 {
		t.Errorf("%d anchors", len(x.public))
	}
	if indexed := len(indexAnchors(Anchors{Public: []*x509.Certificate{}}).public); indexed != 0 {
		t.Errorf("an empty list of public roots means none, got %d", indexed)
	}
}
