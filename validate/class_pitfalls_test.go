package validate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate/authroot"
)

// again makes another certificate of a CA's key and name.
func again(a, parent *authority, change func(*x509.Certificate)) *x509.Certificate {
	template := *a.cert
	template.SerialNumber = big.NewInt(4711)
	if change != nil {
		change(&template)
	}
	from := &template
	if parent != nil {
		from = parent.cert
	} else {
		parent = a
	}
	return issue(&template, from, a.key.Public(), parent.key)
}

// Each of these has misled a classifier: pfx-x509, section 3.3.
func TestClassPitfalls(t *testing.T) {
	p := cas()
	leaf := installedLeaf(p.issuing)
	list := func(c ...*x509.Certificate) []*x509.Certificate { return c }
	want := func(t *testing.T, got Classification, class policies.Class, evidence, doubt string) {
		t.Helper()
		if got.Class != class || !strings.Contains(got.Evidence, evidence) || !strings.Contains(got.Doubt, doubt) || (got.Doubt == "") != (doubt == "") {
			t.Errorf("%s (%s; doubt %q), want %s (%s; doubt %q)", got.Class, got.Evidence, got.Doubt, class, evidence, doubt)
		}
	}

	t.Run("the root is missing from the handshake", func(t *testing.T) {
		k := testClassifier(Anchors{Public: list(p.root.cert)})
		got := k.classify(leaf, list(p.issuing.cert))
		want(t, got, policies.Public, "sha256:"+hexSHA256(p.root.cert.Raw), "")
		if len(got.Path) != 3 {
			t.Errorf("a path of %d, want the root found among the anchors", len(got.Path))
		}
	})
	t.Run("a cross-sign gives two public roots", func(t *testing.T) {
		cross := again(p.root, p.otherRoot, nil)
		k := testClassifier(Anchors{Public: list(p.root.cert, p.otherRoot.cert)})
		got := k.classify(leaf, list(p.issuing.cert, cross))
		want(t, got, policies.Public, "another public path ends at sha256:"+hexSHA256(p.otherRoot.cert.Raw), "")
		if len(got.Path) != 3 {
			t.Errorf("a path of %d, want the shorter", len(got.Path))
		}
	})
	t.Run("only one of two roots is public", func(t *testing.T) {
		cross := again(p.root, p.otherRoot, nil)
		k := testClassifier(Anchors{Public: list(p.otherRoot.cert)})
		want(t, k.classify(leaf, list(p.issuing.cert, p.root.cert, cross)), policies.Public, "sha256:"+hexSHA256(p.otherRoot.cert.Raw), "")
	})
	t.Run("an enterprise CA below a public root, by its constraints", func(t *testing.T) {
		below := again(p.issuing, p.root, func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"contoso.com"}, true
		})
		k := testClassifier(Anchors{Public: list(p.root.cert)})
		want(t, k.classify(leaf, list(below)), policies.Public, "public anchor", "enterprise CA below a public root")
	})
	t.Run("an enterprise CA below a public root, by what it issues", func(t *testing.T) {
		k := testClassifier(Anchors{Public: list(p.root.cert)})
		k.toPublic = policy(t).IssuedToPublic
		want(t, k.classify(leaf, list(p.issuing.cert)), policies.Public, "public anchor", "none of the policies")
	})
	t.Run("the operator names the CA below a public root as his own", func(t *testing.T) {
		k := testClassifier(Anchors{Public: list(p.root.cert), Enterprise: list(p.issuing.cert)})
		want(t, k.classify(leaf, list(p.issuing.cert, p.root.cert)), policies.Enterprise, "enterprise anchor", "")
	})
	t.Run("a chain signed with SHA-1", func(t *testing.T) {
		old := again(p.issuing, p.root, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA })
		template := *leaf
		template.SignatureAlgorithm = x509.SHA1WithRSA
		weak := issue(&template, old, keys()[7].Public(), p.issuing.key)
		k := testClassifier(Anchors{Public: []*x509.Certificate{}, Enterprise: list(p.root.cert)})
		want(t, k.classify(weak, list(old)), policies.Enterprise, "enterprise anchor", "")
	})
	t.Run("its own issuer, with a signature of another key", func(t *testing.T) {
		template := *p.root.cert
		bad := issue(&template, &template, p.root.key.Public(), p.root.key)
		bad.Signature = append([]byte{bad.Signature[0] ^ 1}, bad.Signature[1:]...)
		want(t, testClassifier(Anchors{}).classify(bad, nil), policies.SelfSigned, "its own issuer", "malformed")
	})
	// A hundred CAs of the issuer's name, before the right one.
	decoys := func(id []byte) []*x509.Certificate {
		var out []*x509.Certificate
		for i := range 100 {
			out = append(out, again(&authority{p.issuing.cert, p.otherCA.key}, p.otherRoot, func(c *x509.Certificate) {
				c.SerialNumber, c.SubjectKeyId = big.NewInt(int64(5000+i)), id
			}))
		}
		return out
	}
	t.Run("a flood of look-alikes does not hide the right issuer", func(t *testing.T) {
		k := testClassifier(Anchors{Public: []*x509.Certificate{}, Enterprise: list(p.root.cert)})
		want(t, k.classify(leaf, append(decoys([]byte{1}), p.issuing.cert)), policies.Enterprise, "enterprise anchor", "")
	})
	t.Run("a flood that also forges the key identifier costs no more, and is said", func(t *testing.T) {
		k := testClassifier(Anchors{Public: []*x509.Certificate{}, Enterprise: list(p.root.cert)})
		want(t, k.classify(leaf, append(decoys(leaf.AuthorityKeyId), p.issuing.cert)), policies.Unknown, "path ends", "too many CAs of the same names")
	})
}

func entry(c *x509.Certificate, change func(*authroot.Entry)) authroot.Entry {
	e := authroot.Entry{SHA256: sha256.Sum256(c.Raw), Name: c.Subject.CommonName, KeyID: hex.EncodeToString(c.SubjectKeyId)}
	if change != nil {
		change(&e)
	}
	return e
}

// Microsoft's list has hashes only, and ends trust by dates.
func TestClassifyByTrustList(t *testing.T) {
	p := cas()
	leaf := installedLeaf(p.issuing)
	with := []*x509.Certificate{p.issuing.cert, p.root.cert}
	past, future := asOf.AddDate(0, -1, 0), asOf.AddDate(0, 1, 0)
	for _, row := range []struct {
		claim   string
		change  func(*authroot.Entry)
		pool    []*x509.Certificate
		extra   []*x509.Certificate
		updated time.Time
		want    policies.Class
		doubt   string
	}{
		{"the file brings the root", nil, with, nil, past, policies.Public, ""},
		{"the operator has the root", nil, with[:1], with[1:], past, policies.Public, ""},
		{"nobody has the root", nil, with[:1], nil, past, policies.Unknown, `the trust list names it "Contoso Root"`},
		{"another root is listed", func(e *authroot.Entry) { e.SHA256 = [32]byte{1} }, with, nil, past, policies.Enterprise, "only the file"},
		{"disabled by now", func(e *authroot.Entry) { e.Disabled = &past }, with, nil, past, policies.Enterprise, "is disabled since 2026-10-23"},
		{"disabled by now, and the operator has it", func(e *authroot.Entry) { e.Disabled = &past }, with[:1], with[1:], past, policies.Enterprise, "is disabled since"},
		{"disabled later", func(e *authroot.Entry) { e.Disabled = &future }, with, nil, past, policies.Public, ""},
		{"issued too late", func(e *authroot.Entry) { at := leaf.NotBefore.AddDate(0, 0, -1); e.NotBefore = &at }, with, nil, past, policies.Enterprise, "issued until"},
		{"issued early enough", func(e *authroot.Entry) { at := leaf.NotBefore; e.NotBefore = &at }, with, nil, past, policies.Public, ""},
		{"not for servers", func(e *authroot.Entry) { e.Usages = []string{"1.3.6.1.5.5.7.3.4"} }, with, nil, past, policies.Enterprise, "not there for server authentication"},
		{"an old list", nil, with, nil, asOf.AddDate(-1, 0, 0), policies.Public, "the trust list is of 2025-11-23"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			l := &authroot.List{ThisUpdate: row.updated, Entries: []authroot.Entry{entry(p.root.cert, row.change)}}
			got := testClassifier(Anchors{PublicList: l, Extra: row.extra}).classify(leaf, row.pool)
			if got.Class != row.want || (got.Doubt == "") != (row.doubt == "") || !strings.Contains(got.Doubt, row.doubt) {
				t.Errorf("%s (%s; doubt %q), want %s (doubt %q)", got.Class, got.Evidence, got.Doubt, row.want, row.doubt)
			}
			if got.Class == policies.Public && !strings.Contains(got.Evidence, "trust list of "+row.updated.Format(time.DateOnly)) {
				t.Errorf("the evidence does not name the list: %s", got.Evidence)
			}
		})
	}
	t.Run("the built-in roots stand in for the certificates it lacks, and only those it names", func(t *testing.T) {
		some := mozillaRoots()[0].certificate
		x := indexAnchors(Anchors{PublicList: &authroot.List{Entries: []authroot.Entry{entry(some, nil)}}})
		if len(x.public) != 1 || len(x.public[keyOf(some)]) != 1 || x.builtIn {
			t.Errorf("%d public anchors, built in %t", len(x.public), x.builtIn)
		}
	})
	t.Run("a list says so in the findings of a set", func(t *testing.T) {
		in, items := goodSet(t, "2301", policies.AAD)
		in.Anchors = Anchors{PublicList: &authroot.List{ThisUpdate: past, Entries: []authroot.Entry{entry(p.root.cert, func(e *authroot.Entry) { e.Disabled = &past })}}}
		in.Installed = nil
		fill(t, &in, items)
		out := testRun(t, in)
		i := slices.IndexFunc(out.Report.Set, func(f Finding) bool { return f.ID == "ca-class" })
		if f := out.Report.Set[i]; f.Result != Warning || !strings.Contains(f.Found, "is disabled since") {
			t.Errorf("%+v", f)
		}
	})
}
