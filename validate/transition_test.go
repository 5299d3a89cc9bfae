package validate

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestTransitions(t *testing.T) {
	served := func(a, root *authority) []Installed {
		return []Installed{{Chain: []*x509.Certificate{installedLeaf(a), a.cert, root.cert}}}
	}
	p := cas()
	good, items := goodSet(t, "1902", policies.AAD) // the endpoints are the same from 1811 on
	fill(t, &good, items)
	for _, row := range []struct {
		claim     string
		release   string
		installed []Installed
		want      Result
		from      policies.Class
		why       string
	}{
		{"the same issuing CA", "1902", served(p.issuing, p.root), OK, policies.Enterprise, ""},
		{"without its root: the new file brings it", "1902", []Installed{{Chain: []*x509.Certificate{installedLeaf(p.issuing), p.issuing.cert}}}, OK, policies.Enterprise, ""},
		{"the leaf alone", "1902", []Installed{{Chain: []*x509.Certificate{installedLeaf(p.issuing)}}}, OK, policies.Enterprise, ""},
		{"another issuing CA of the same root", "1902", served(p.sibling, p.root), Warning, policies.Enterprise, "the root key is the same"},
		{"another root", "1902", served(p.otherCA, p.otherRoot), Fail, policies.Enterprise, ""},
		{"the same names with new keys", "1902", served(p.renewd, p.renewedRoot), Fail, policies.Enterprise, "another CA"},
		{"another root at 1903", "1903", served(p.otherCA, p.otherRoot), Warning, policies.Enterprise, ""},
		{"another root from 1904", "1904", served(p.otherCA, p.otherRoot), OK, policies.Enterprise, ""},
		{"from public before 1903", "1902", []Installed{{Class: policies.Public}}, Fail, policies.Public, ""},
		{"from self-signed at 1903", "1903", []Installed{{Class: policies.SelfSigned}}, OK, policies.SelfSigned, ""},
		{"not seen before 1903", "1902", nil, Skipped, policies.Unknown, "not known"},
		{"not seen at 1903", "1903", nil, Skipped, policies.Unknown, "not known"},
		{"not seen from 1904", "1904", nil, OK, policies.Unknown, "any installed CA"},
		{"unreachable before 1903", "1902", []Installed{{Error: "timeout"}}, Skipped, policies.Unknown, ""},
		{"unreachable from 1904", "1904", []Installed{{Error: "timeout"}}, Warning, policies.Unknown, "could not be asked"},
		{"a file in another order", "1902", []Installed{{Chain: []*x509.Certificate{p.root.cert, p.issuing.cert, installedLeaf(p.issuing)}}}, OK, policies.Enterprise, ""},
		{"the issuing CA recorded", "1902", []Installed{{Chain: []*x509.Certificate{p.issuing.cert}}}, OK, policies.Enterprise, ""},
		{"an expired certificate is still read", "1902", []Installed{{Chain: []*x509.Certificate{expiredLeaf(p.issuing), p.issuing.cert}}}, OK, policies.Enterprise, ""},
		{"a self-signed one that nobody trusts is still read", "1902", []Installed{{Chain: []*x509.Certificate{issue(expiredLeaf(p.issuing), expiredLeaf(p.issuing), keys()[7].Public(), keys()[7])}}}, Fail, policies.SelfSigned, "only the enterprise CA of the deployment"},
		{"the root recorded", "1902", []Installed{{Chain: []*x509.Certificate{p.root.cert}}}, Warning, policies.Enterprise, "the root key is the same"},
		{"another root recorded", "1902", []Installed{{Chain: []*x509.Certificate{p.otherRoot.cert}}}, Fail, policies.Enterprise, ""},
		{"some enterprise CA before 1903", "1902", []Installed{{Class: policies.Enterprise}}, Skipped, policies.Enterprise, "only its class"},
		{"some enterprise CA from 1904", "1904", []Installed{{Class: policies.Enterprise}}, OK, policies.Enterprise, ""},
		{"an incomplete installed chain counts as enterprise", "1902", []Installed{{Chain: []*x509.Certificate{installedLeaf(p.otherCA)}}}, Fail, policies.Unknown, "treated as an enterprise CA"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			in := good
			in.Version, in.Installed = version(t, row.release), row.installed
			out := testRun(t, in)
			if len(out.Transitions) != len(items) {
				t.Fatalf("%d transitions, want %d", len(out.Transitions), len(items))
			}
			for i, tr := range out.Transitions {
				if tr.Endpoint != items[i].endpoint.ID || tr.Result != row.want || tr.From != row.from || !strings.Contains(tr.Why, row.why) || tr.Evidence == "" {
					t.Errorf("%+v, want %s from %s because %q", tr, row.want, row.from, row.why)
				}
			}
			got := said(out.Report)
			if want := row.want; got["set: ca-transition"] != want && (want != OK || got["set: ca-transition"] != "") {
				t.Errorf("the finding is %q, want %q", got["set: ca-transition"], want)
			}
			if out.Report.Complete != (row.want != Skipped) {
				t.Errorf("complete %t", out.Report.Complete)
			}
		})
	}
}

// Each endpoint is judged by what it serves itself; the worst decides.
func TestTransitionPerEndpoint(t *testing.T) {
	p := cas()
	in, items := goodSet(t, "1902", policies.AAD)
	in.Installed = append(in.Installed, Installed{
		Endpoint: find(items, spoilt).endpoint.ID, Chain: []*x509.Certificate{installedLeaf(p.otherCA), p.otherCA.cert, p.otherRoot.cert},
	})
	fill(t, &in, items)
	out := testRun(t, in)
	for _, tr := range out.Transitions {
		want := OK
		if tr.Folder == spoilt {
			want = Fail
		}
		if tr.Result != want {
			t.Errorf("%s: %s, want %s", tr.Folder, tr.Result, want)
		}
	}
	if out.Report.Verdict != FailedOnce {
		t.Errorf("verdict %s, want fail", out.Report.Verdict)
	}
	for _, f := range out.Report.Set {
		if f.ID == "ca-transition" && f.Result == Fail && (len(f.Folders) != 1 || f.Folders[0] != spoilt) {
			t.Errorf("the finding names %v, want %s", f.Folders, spoilt)
		}
	}
}

// A public CA may follow an enterprise CA long before another enterprise CA may.
func TestToPublic(t *testing.T) {
	p := cas()
	in, items := goodSet(t, "1811", policies.AAD)
	in.Anchors = Anchors{Public: []*x509.Certificate{p.root.cert}}
	in.Installed = []Installed{{Chain: []*x509.Certificate{installedLeaf(p.otherCA), p.otherCA.cert, p.otherRoot.cert}}}
	for _, it := range items {
		it.template.Policies = []x509.OID{organisationValidated()}
	}
	fill(t, &in, items)
	out := testRun(t, in)
	if got := said(out.Report); len(got) != 1 || got["set: public-client-auth"] != Warning {
		t.Errorf("findings %v, want none about the transition", got)
	}
	for _, tr := range out.Transitions {
		if tr.From != policies.Enterprise || tr.To != policies.Public || tr.Decision != policies.Allowed {
			t.Errorf("%+v", tr)
		}
	}
}

// A self-signed certificate is refused whatever was installed, also where Cert Chain is waived.
func TestToSelfSigned(t *testing.T) {
	in, items := goodSet(t, "2301", policies.AAD)
	it := find(items, spoilt)
	it.leaf, it.chain = issue(it.template, it.template, it.key.Public(), it.key), nil
	fill(t, &in, items)
	var err error
	in.Policy, err = in.Policy.WithOverlay([]byte("waivers:\n- {rule: cert-chain, folder: ACSBlob, reason: a test, until: \"2026-12-31\"}\n"), "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := said(testRun(t, in).Report); got["set: ca-transition"] != Fail {
		t.Errorf("findings %v, want ca-transition to fail", got)
	}
}

func expiredLeaf(a *authority) *x509.Certificate {
	template := *installedLeaf(a)
	template.NotBefore, template.NotAfter = asOf.AddDate(-2, 0, 0), asOf.AddDate(-1, 0, 0)
	return issue(&template, a.cert, keys()[7].Public(), a.key)
}
