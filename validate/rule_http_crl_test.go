package validate

import (
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestHTTPCRL(t *testing.T) {
	for _, row := range []struct {
		claim  string
		points []string
		want   Result
	}{
		{"http", []string{"http://crl.contoso.com/a.crl"}, OK},
		{"ldap, then http in capitals", []string{"ldap:///CN=x", "HTTP://crl.contoso.com/a.crl"}, OK},
		{"https", []string{"https://crl.contoso.com/a.crl"}, Warning},
		{"ldap", []string{"ldap://dc.contoso.com/CN=x"}, Warning},
		{"no host", []string{"http:///a.crl"}, Warning},
		{"no URL", []string{"::\n"}, Warning},
		{"none", nil, Warning},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			leaf := *s.Leaf
			leaf.CRLDistributionPoints = row.points
			s.Leaf, s.Chain[0] = &leaf, &leaf
			check(t, httpCRL.Check(s), row.want)
		})
	}
	t.Run("an intermediate without", func(t *testing.T) {
		s := subject(t, "2301", "ACSBlob", nil)
		ca := *s.Chain[1]
		ca.CRLDistributionPoints = nil
		s.Chain[1] = &ca
		check(t, httpCRL.Check(s), Warning, "Contoso Issuing")
	})
}

// When the CRLs were asked for, their state decides.
func TestHTTPCRLAsked(t *testing.T) {
	for _, row := range []struct {
		claim        string
		leaf, middle CRL
		want         Result
		says         string
	}{
		{"all good", CRL{State: CRLGood, Detail: "until 2026-12-01"}, CRL{State: CRLGood}, OK, "until 2026-12-01"},
		{"the leaf is revoked", CRL{State: CRLRevoked, Detail: "on 2026-11-01 (key compromise)"}, CRL{State: CRLGood}, Fail, "revoked"},
		{"the intermediate is revoked", CRL{State: CRLGood}, CRL{State: CRLRevoked}, Fail, `CN=Contoso Issuing,O=Contoso": revoked`},
		{"stale", CRL{State: CRLStale}, CRL{State: CRLGood}, Fail, "stale"},
		{"unreachable", CRL{State: CRLUnreachable, Detail: "HTTP status 404"}, CRL{State: CRLGood}, Fail, "HTTP status 404"},
		{"malformed", CRL{State: CRLMalformed}, CRL{State: CRLGood}, Fail, "malformed"},
		{"of another CA", CRL{State: CRLWrongIssuer}, CRL{State: CRLGood}, Fail, "wrong issuer"},
		{"a delta", CRL{State: CRLUnsupported}, CRL{State: CRLGood}, Warning, "unsupported"},
		{"a delta, and revoked above", CRL{State: CRLUnsupported}, CRL{State: CRLRevoked}, Fail, "revoked"},
		{"one was not asked", CRL{}, CRL{State: CRLGood}, Warning, "was not asked for"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			row.leaf.URL, row.middle.URL = "http://crl.contoso.com/\x1b.crl", "http://crl.contoso.com/root.crl"
			s.run.CRL = map[string]CRL{hexSHA256(s.Chain[1].Raw): row.middle}
			if row.leaf.State != "" {
				s.run.CRL[hexSHA256(s.Leaf.Raw)] = row.leaf
			}
			check(t, httpCRL.Check(s), row.want, row.says)
			if j := httpCRL.Check(s); strings.Contains(j.Found, "\x1b") || !strings.Contains(j.Found, "not from the stamp") {
				t.Errorf("found %q", j.Found)
			}
		})
	}
	t.Run("revoked, and an intermediate says nothing", func(t *testing.T) {
		s := subject(t, "2301", "ACSBlob", nil)
		ca := *s.Chain[1]
		ca.CRLDistributionPoints = nil
		s.Chain[1] = &ca
		s.run.CRL = map[string]CRL{hexSHA256(s.Leaf.Raw): {State: CRLRevoked}}
		check(t, httpCRL.Check(s), Fail, "no http CRL distribution point")
	})
}

func TestCRLQuestions(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	fill(t, &in, items)
	got := testRun(t, in).CRLQuestions()
	if len(got) != len(items)+1 {
		t.Fatalf("%d questions, want one for each leaf and one for the intermediate", len(got))
	}
	for _, q := range got {
		if q.Issuer == nil || q.Certificate.CheckSignatureFrom(q.Issuer) != nil || len(q.URLs) != 1 {
			t.Errorf("%s: issuer %v, %q", q.Certificate.Subject, q.Issuer, q.URLs)
		}
	}
	t.Run("a file without its root, which the anchors know", func(t *testing.T) {
		s := subject(t, "2301", "ACSBlob", nil)
		s.take(s.Certificates[:2], s.Leaf)
		s.Class = newClassifier(&s.run.Input, s.run.anchors).classify(s.Leaf, s.pool())
		q := (Outcome{Subjects: []Subject{*s}}).CRLQuestions()
		if len(q) != 2 || !q[1].Issuer.Equal(cas().root.cert) {
			t.Errorf("%+v", q)
		}
	})
}
