package validate

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

const (
	domain   = "east.azurestack.contoso.com"
	password = "Correct7Horse7Battery7"
)

var asOf = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// keys are made once for all tests: making one costs a tenth of a second.
var keys = sync.OnceValue(func() []*rsa.PrivateKey {
	out := make([]*rsa.PrivateKey, 24)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range out {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			out[i] = k
		})
	}
	wg.Wait()
	return out
})

var shortKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return k
})

// authority is a CA. The first keys are the CAs', the leaves' begin at leafKeys.
type authority struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

const leafKeys = 8

func issue(template, parent *x509.Certificate, public any, signer any) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}

func newAuthority(name string, key *rsa.PrivateKey, parent *authority) *authority {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{Organization: []string{"Contoso"}, CommonName: name},
		NotBefore: asOf.AddDate(-2, 0, 0), NotAfter: asOf.AddDate(8, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if parent == nil {
		return &authority{issue(t, t, key.Public(), key), key}
	}
	t.CRLDistributionPoints = []string{"http://crl.contoso.com/root.crl"}
	return &authority{issue(t, parent.cert, key.Public(), parent.key), key}
}

type pki struct {
	root, issuing       *authority
	sibling             *authority // another issuing CA under root
	otherRoot, otherCA  *authority
	renewedRoot, renewd *authority // the names of root and issuing with new keys
}

var cas = sync.OnceValue(func() *pki {
	k := keys()
	p := &pki{}
	p.root = newAuthority("Contoso Root", k[0], nil)
	p.issuing = newAuthority("Contoso Issuing", k[1], p.root)
	p.sibling = newAuthority("Contoso Issuing Two", k[2], p.root)
	p.otherRoot = newAuthority("Fabrikam Root", k[3], nil)
	p.otherCA = newAuthority("Fabrikam Issuing", k[4], p.otherRoot)
	p.renewedRoot = newAuthority("Contoso Root", k[5], nil)
	p.renewd = newAuthority("Contoso Issuing", k[6], p.renewedRoot)
	return p
})

// item is one endpoint's certificate before it is packed. A test changes it to make one thing wrong.
type item struct {
	endpoint policies.Endpoint
	key      *rsa.PrivateKey
	template *x509.Certificate
	issuer   *authority
	chain    []*x509.Certificate
	leaf     *x509.Certificate // issued when nil
	pack     pfx.Pack
	disorder bool                // pack chain as it is, whatever its order
	spoil    func([]byte) []byte // changes the packed file
	twin     func(leaf *x509.Certificate, chain []*x509.Certificate) []byte
}

func newItem(e policies.Endpoint, i int) *item {
	p := cas()
	names := e.Names(domain)
	return &item{
		endpoint: e, key: keys()[leafKeys+i], issuer: p.issuing, chain: []*x509.Certificate{p.issuing.cert, p.root.cert},
		template: &x509.Certificate{
			SerialNumber: big.NewInt(int64(1000 + i)), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
			NotBefore: asOf.AddDate(0, -1, 0), NotAfter: asOf.AddDate(0, 6, 0), BasicConstraintsValid: true,
			KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
			ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			CRLDistributionPoints: []string{"http://crl.contoso.com/issuing.crl"},
		},
		pack: pfx.Pack{Password: password, LocalMachine: true, Iterations: 1000},
		twin: twinFile,
	}
}

func twinFile(leaf *x509.Certificate, chain []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range append([]*x509.Certificate{leaf}, chain...) {
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func (it *item) certificate() *x509.Certificate {
	if it.leaf == nil {
		it.leaf = issue(it.template, it.issuer.cert, it.key.Public(), it.issuer.key)
	}
	return it.leaf
}

func (it *item) file(t testing.TB) File {
	t.Helper()
	p := it.pack
	p.Leaf, p.Chain = it.certificate(), it.chain
	if p.Key == nil {
		p.Key = it.key
	}
	var b []byte
	if it.disorder {
		b = disordered(t, it)
	} else {
		var err error
		if b, err = p.Encode(); err != nil {
			t.Fatalf("pack %s: %v", it.endpoint.Folder, err)
		}
	}
	if it.spoil != nil {
		b = it.spoil(b)
	}
	f := File{Path: it.endpoint.Folder + "/" + it.endpoint.Stem() + ".pfx", Blob: b, PFX: b}
	if it.twin != nil {
		f.Twin = it.twin(it.leaf, it.chain)
	}
	return f
}

func version(t testing.TB, s string) policies.Version {
	t.Helper()
	v, err := policies.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func policy(t testing.TB) *policies.Policy {
	t.Helper()
	p, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// overlaid is a policy with a stamp's own file applied.
func overlaid(p *policies.Policy, text string) *policies.Policy {
	p, err := p.WithOverlay([]byte(text), "policy.yaml")
	if err != nil {
		panic(err)
	}
	return p
}

// goodSet is the input of a stamp whose set has nothing wrong, with its items before packing.
func goodSet(t testing.TB, release string, id policies.Identity) (Input, []*item) {
	t.Helper()
	return goodSetOf(t, policies.Deployment, release, id)
}

// goodSetOf is goodSet for the certificates of any type.
func goodSetOf(t testing.TB, typ policies.CertificateType, release string, id policies.Identity) (Input, []*item) {
	t.Helper()
	in := Input{
		Stamp: "east", Type: typ, Domain: domain, Version: version(t, release), Identity: id, Policy: policy(t), AsOf: asOf, Password: password,
		Anchors: Anchors{Enterprise: []*x509.Certificate{cas().root.cert}},
	}
	var items []*item
	for i, e := range newRun(in).required {
		items = append(items, newItem(e, i))
	}
	if typ != policies.Deployment {
		in.Core = []Subject{core(in, cas().issuing)}
		return in, items
	}
	in.Installed = []Installed{{Chain: []*x509.Certificate{installedLeaf(cas().issuing), cas().issuing.cert}}}
	return in, items
}

// organisationValidated is the CA/Browser Forum's policy that public CAs state in certificates of organisations.
func organisationValidated() x509.OID {
	oid, err := x509.OIDFromInts([]uint64{2, 23, 140, 1, 2, 2})
	if err != nil {
		panic(err)
	}
	return oid
}

// core is a certificate of the stamp's own set, as far as a resource provider's is held against it.
func core(in Input, a *authority) Subject {
	it := newItem(policies.Endpoint{Label: "portal"}, len(keys())-leafKeys-1)
	it.issuer = a
	leaf := it.certificate()
	s := Subject{run: newRun(in)}
	s.take([]*x509.Certificate{leaf, a.cert, cas().root.cert}, leaf)
	return s
}

func installedLeaf(a *authority) *x509.Certificate {
	key := keys()[7]
	return issue(&x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "portal." + domain}, DNSNames: []string{"portal." + domain},
		NotBefore: asOf.AddDate(-1, 0, 0), NotAfter: asOf.AddDate(0, 1, 0),
	}, a.cert, key.Public(), a.key)
}

func fill(t testing.TB, in *Input, items []*item) {
	t.Helper()
	for _, it := range items {
		f := it.file(t)
		in.Files = append(in.Files, f)
		in.Listing = append(in.Listing, it.endpoint.Folder+"/", f.Path)
		if len(f.Twin) > 0 {
			in.Listing = append(in.Listing, it.endpoint.Folder+"/"+it.endpoint.Stem()+".crt")
		}
	}
}

func find(items []*item, folder string) *item {
	for _, it := range items {
		if it.endpoint.Folder == folder {
			return it
		}
	}
	panic("no folder " + folder)
}

// said lists what a report has other than OK: folder, rule and result.
func said(r StampReport) map[string]Result {
	out := make(map[string]Result)
	for _, c := range r.Certificates {
		for _, f := range c.Tests {
			if f.Result != OK {
				out[c.Folder+": "+f.ID] = f.Result
			}
		}
	}
	for _, f := range r.Set {
		if f.Result != OK {
			out["set: "+f.ID] = worse(out["set: "+f.ID], f.Result)
		}
	}
	return out
}

func testRun(t testing.TB, in Input) Outcome {
	t.Helper()
	return Run(context.Background(), in)
}
