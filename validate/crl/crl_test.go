package crl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certstamp/certstamp/validate"
)

var now = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return &authority{sign(t, template, template, &key.PublicKey, key), key}
}

// leaf is a certificate with a serial and its CRL addresses.
func (a *authority) leaf(t testing.TB, serial int64, points ...string) *x509.Certificate {
	t.Helper()
	key := newKey(t)
	return sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "portal"}, CRLDistributionPoints: points,
		NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 6, 0),
	}, a.cert, &key.PublicKey, a.key)
}

// list is a CRL with serial 13 revoked and 14 taken back.
func (a *authority) list(t testing.TB, change func(*x509.RevocationList)) []byte {
	t.Helper()
	template := &x509.RevocationList{
		Number: big.NewInt(7), ThisUpdate: now.AddDate(0, 0, -1), NextUpdate: now.AddDate(0, 0, 6),
		RevokedCertificateEntries: []x509.RevocationListEntry{
			{SerialNumber: big.NewInt(13), RevocationTime: now.AddDate(0, 0, -3), ReasonCode: 1},
			{SerialNumber: big.NewInt(14), RevocationTime: now.AddDate(0, 0, -3), ReasonCode: removedFromCRL},
		},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// questions are what an outcome with one file raises.
func questions(leaf *x509.Certificate, issuer *authority) []validate.CRLQuestion {
	s := validate.Subject{Leaf: leaf, Chain: []*x509.Certificate{leaf, issuer.cert}}
	return slices.DeleteFunc(validate.Outcome{Subjects: []validate.Subject{s}}.CRLQuestions(), func(q validate.CRLQuestion) bool { return q.Certificate != leaf })
}

// only is the one answer there must be.
func only(t *testing.T, answers map[string]validate.CRL) validate.CRL {
	t.Helper()
	if len(answers) != 1 {
		t.Fatalf("%d answers, want one", len(answers))
	}
	return slices.Collect(maps.Values(answers))[0]
}

func bytesOf(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
}

// body is what no message may repeat.
const body = "<html><title>Sign in, hunter2</title></html>"

// Eleven servers, eleven verdicts.
func TestElevenServers(t *testing.T) {
	ca, other := newAuthority(t, "Contoso CA"), newAuthority(t, "Fabrikam CA")
	var dialled atomic.Int64
	for _, row := range []struct {
		claim   string
		serve   http.HandlerFunc
		serial  int64
		point   string   // instead of the server's
		checker *Checker // nil: as it comes
		real    bool
		want    validate.CRLState // empty: nothing is asked
		says    string
	}{
		{claim: "good", serve: bytesOf(ca.list(t, nil)), want: validate.CRLGood, says: "current until 2026-11-29"},
		{claim: "revoked", serve: bytesOf(ca.list(t, nil)), serial: 13, want: validate.CRLRevoked, says: "on 2026-11-20 08:00 UTC (key compromise)"},
		{claim: "stale", serve: bytesOf(ca.list(t, func(l *x509.RevocationList) { l.NextUpdate = now.Add(-time.Second) })), want: validate.CRLStale, says: "was due on 2026-11-23"},
		{claim: "wrong issuer", serve: bytesOf(other.list(t, nil)), want: validate.CRLWrongIssuer, says: "another CA"},
		{claim: "an HTML page", serve: bytesOf([]byte(body)), want: validate.CRLMalformed, says: "HTML page"},
		{claim: "404", serve: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, http.StatusNotFound) }, want: validate.CRLUnreachable, says: "HTTP status 404"},
		{claim: "redirect to https", serve: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://crl.contoso.com/"+body, http.StatusFound)
		}, want: validate.CRLUnreachable, says: `redirects to "https"`},
		{claim: "slow", serve: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, checker: &Checker{Timeout: 50 * time.Millisecond}, want: validate.CRLUnreachable, says: "timeout"},
		{claim: "oversized", serve: bytesOf(make([]byte, 5000)), checker: &Checker{MaxBytes: 4096}, want: validate.CRLUnreachable, says: "larger than 4096 bytes"},
		{claim: "LDAP only", serve: bytesOf(nil), point: "ldap:///CN=Contoso%20CA,DC=contoso,DC=com?certificateRevocationList"},
		{claim: "link-local", serve: bytesOf(ca.list(t, nil)), point: "http://crl.contoso.com/latest/meta-data", real: true, checker: &Checker{
			Lookup: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("169.254.169.254")}, nil
			},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				dialled.Add(1)
				return nil, errors.New("never")
			},
		}, want: validate.CRLUnreachable, says: "link-local"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			server := httptest.NewServer(row.serve)
			defer server.Close()
			point := row.point
			if point == "" {
				point = server.URL + "/ca.crl"
			}
			serial := max(row.serial, 12)
			q := questions(ca.leaf(t, serial, point), ca)
			c := row.checker
			if c == nil {
				c = &Checker{}
			}
			answers := c.Check(t.Context(), q, !row.real, now)
			if row.want == "" {
				if len(answers) != 0 {
					t.Errorf("%+v, want nothing asked", answers)
				}
				return
			}
			got := only(t, answers)
			if got.State != row.want || !strings.Contains(got.Detail, row.says) || got.URL != point {
				t.Errorf("%+v, want %s with %q", got, row.want, row.says)
			}
			if strings.Contains(got.Detail, "hunter2") {
				t.Errorf("the answer is repeated: %s", got.Detail)
			}
		})
	}
	if n := dialled.Load(); n != 0 {
		t.Errorf("a forbidden address was dialled %d times", n)
	}
}

// What a CRL says, beyond the simple cases.
func TestLists(t *testing.T) {
	ca := newAuthority(t, "Contoso CA")
	impostor := newAuthority(t, "Contoso CA") // the same name, another key
	extension := func(id asn1.ObjectIdentifier, value ...byte) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: id, Value: value})
		}
	}
	plain := ca.list(t, nil)
	for _, row := range []struct {
		claim  string
		body   []byte
		serial int64
		want   validate.CRLState
		says   string
	}{
		{"PEM", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: plain}), 12, validate.CRLGood, ""},
		{"PEM of a certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 12, validate.CRLMalformed, "no CRL"},
		{"half of it", plain[:len(plain)/2], 12, validate.CRLMalformed, "no CRL"},
		{"nothing", nil, 12, validate.CRLMalformed, "no CRL"},
		{"an entry that was taken back", plain, 14, validate.CRLGood, ""},
		{"the same name, another key", impostor.list(t, nil), 12, validate.CRLWrongIssuer, "signature does not hold"},
		{"revoked in a stale list", ca.list(t, func(l *x509.RevocationList) { l.NextUpdate = now.Add(-time.Hour) }), 13, validate.CRLRevoked, "key compromise"},
		{"due at this moment", ca.list(t, func(l *x509.RevocationList) { l.NextUpdate = now }), 12, validate.CRLGood, ""},
		{"a delta", ca.list(t, extension(oidDelta, 2, 1, 6)), 12, validate.CRLUnsupported, "delta CRL"},
		{"deltas announced", ca.list(t, extension(oidFreshest, 0x30, 0)), 12, validate.CRLGood, "delta CRLs, which were not followed"},
		{"indirect", ca.list(t, extension(oidDistribution, 0x30, 3, 0x84, 1, 0xff)), 12, validate.CRLUnsupported, "indirect CRL"},
		{"of CAs only", ca.list(t, extension(oidDistribution, 0x30, 3, 0x82, 1, 0xff)), 12, validate.CRLUnsupported, "CAs only"},
		{"of users only", ca.list(t, extension(oidDistribution, 0x30, 3, 0x81, 1, 0xff)), 12, validate.CRLGood, ""},
		{"of some reasons", ca.list(t, extension(oidDistribution, 0x30, 4, 0x83, 2, 1, 0x60)), 13, validate.CRLUnsupported, "some reasons"},
		{"a distribution point that is none", ca.list(t, extension(oidDistribution, 0x30, 9, 1)), 12, validate.CRLMalformed, "distribution point"},
		{"an entry of another issuer", ca.list(t, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: oidCertificateIssuer, Critical: true, Value: []byte{0x30, 0}}}
		}), 13, validate.CRLUnsupported, "indirect CRL"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			server := httptest.NewServer(bytesOf(row.body))
			defer server.Close()
			var c Checker
			got := only(t, c.Check(t.Context(), questions(ca.leaf(t, row.serial, server.URL), ca), true, now))
			if got.State != row.want || !strings.Contains(got.Detail, row.says) {
				t.Errorf("%+v, want %s with %q", got, row.want, row.says)
			}
		})
	}
	t.Run("the issuer is missing", func(t *testing.T) {
		server := httptest.NewServer(bytesOf(plain))
		defer server.Close()
		var c Checker
		q := []validate.CRLQuestion{{Certificate: ca.leaf(t, 12), URLs: []string{server.URL}}}
		if got := only(t, c.Check(t.Context(), q, true, now)); got.State != validate.CRLUnsupported {
			t.Errorf("%+v", got)
		}
	})
}

// A set of many files has one issuer, and a run has many stamps: one fetch.
func TestOneFetch(t *testing.T) {
	ca := newAuthority(t, "Contoso CA")
	var hits, missed atomic.Int64
	mux := http.NewServeMux()
	list := ca.list(t, nil)
	mux.HandleFunc("/ca.crl", func(w http.ResponseWriter, _ *http.Request) { hits.Add(1); _, _ = w.Write(list) })
	mux.HandleFunc("/gone.crl", func(w http.ResponseWriter, r *http.Request) { missed.Add(1); http.NotFound(w, r) })
	server := httptest.NewServer(mux)
	defer server.Close()
	var c Checker
	var all []validate.CRLQuestion
	for i := range 20 {
		all = append(all, questions(ca.leaf(t, int64(100+i), server.URL+"/gone.crl", server.URL+"/ca.crl"), ca)...)
	}
	for range 3 { // stamps
		answers := c.Check(t.Context(), all, true, now)
		if len(answers) != len(all) {
			t.Fatalf("%d answers to %d questions", len(answers), len(all))
		}
		for _, a := range answers {
			if a.State != validate.CRLGood || !strings.HasSuffix(a.URL, "/ca.crl") {
				t.Errorf("%+v, want the second address to count", a)
			}
		}
	}
	if hits.Load() != 1 || missed.Load() != 1 {
		t.Errorf("%d and %d fetches, want one of each", hits.Load(), missed.Load())
	}
	t.Run("a certificate with a hundred addresses", func(t *testing.T) {
		missed.Store(0)
		var points []string
		for i := range 100 {
			points = append(points, fmt.Sprintf("%s/gone.crl?%d", server.URL, i))
		}
		if got := only(t, c.Check(t.Context(), questions(ca.leaf(t, 12, points...), ca), true, now)); got.URL != points[0] || missed.Load() != maxURLs {
			t.Errorf("%+v after %d fetches, want the first of %d", got, missed.Load(), maxURLs)
		}
	})
	t.Run("a run of too many addresses", func(t *testing.T) {
		var many Checker
		many.fetches = make(map[key]*fetch)
		for i := range maxFetches {
			many.fetches[key{url: fmt.Sprint(i)}] = &fetch{}
		}
		if got := only(t, many.Check(t.Context(), questions(ca.leaf(t, 12, server.URL), ca), true, now)); got.State != validate.CRLUnreachable || !strings.Contains(got.Detail, "not asked") {
			t.Errorf("%+v", got)
		}
	})
}

// Where a real stamp's CRLs may come from, name by name and hop by hop.
func TestPeers(t *testing.T) {
	ca := newAuthority(t, "Contoso CA")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/inside":
			http.Redirect(w, r, "http://inside.contoso.com/ca.crl", http.StatusMovedPermanently)
		case "/literal":
			http.Redirect(w, r, "http://[::ffff:169.254.169.254]/ca.crl", http.StatusTemporaryRedirect)
		case "/once":
			http.Redirect(w, r, "ca.crl", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/nowhere":
			w.WriteHeader(http.StatusFound)
		default:
			if r.Header.Get("Authorization") != "" {
				t.Error("a password out of a certificate was sent")
			}
			_, _ = w.Write(ca.list(t, nil))
		}
	}))
	defer server.Close()
	names := map[string]string{
		"outside.contoso.com": "203.0.113.7", "inside.contoso.com": "127.0.0.1", "zero.contoso.com": "0.0.0.0", "six.contoso.com": "fe80::1",
		"mapped.contoso.com": "::ffff:127.0.0.1", "many.contoso.com": "224.0.0.1", "private.contoso.com": "10.1.2.3",
	}
	newChecker := func(dialled *[]string) *Checker {
		return &Checker{
			Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
				if a, ok := names[host]; ok {
					return []netip.Addr{netip.MustParseAddr(a)}, nil
				}
				return nil, errors.New("no such host: " + host)
			},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				*dialled = append(*dialled, address)
				return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
			},
		}
	}
	for _, row := range []struct {
		url     string
		want    validate.CRLState
		says    string
		dialled int
	}{
		{"http://outside.contoso.com/ca.crl", validate.CRLGood, "", 1},
		{"http://user:hunter2@outside.contoso.com:8080/ca.crl", validate.CRLGood, "", 1},
		{"http://private.contoso.com/ca.crl", validate.CRLGood, "", 1},
		{"http://outside.contoso.com/once", validate.CRLGood, "", 2},
		{"http://outside.contoso.com/loop", validate.CRLUnreachable, "more than 3 redirects", 4},
		{"http://outside.contoso.com/nowhere", validate.CRLUnreachable, "to nowhere", 1},
		{"http://outside.contoso.com/inside", validate.CRLUnreachable, "is this machine", 1},
		{"http://outside.contoso.com/literal", validate.CRLUnreachable, "link-local", 1},
		{"http://inside.contoso.com/ca.crl", validate.CRLUnreachable, "is this machine", 0},
		{"http://mapped.contoso.com/ca.crl", validate.CRLUnreachable, "is this machine", 0},
		{"http://zero.contoso.com/ca.crl", validate.CRLUnreachable, "is this machine", 0},
		{"http://six.contoso.com/ca.crl", validate.CRLUnreachable, "link-local", 0},
		{"http://many.contoso.com/ca.crl", validate.CRLUnreachable, "multicast", 0},
		{"http://127.0.0.1/ca.crl", validate.CRLUnreachable, "is this machine", 0},
		{"http://[::1]/ca.crl", validate.CRLUnreachable, "is this machine", 0},
		{"http://[fe80::1%25eth0]/ca.crl", validate.CRLUnreachable, "link-local", 0},
		{"http://169.254.169.254/latest/meta-data/", validate.CRLUnreachable, "link-local", 0},
		{"http://nobody.contoso.com/ca.crl", validate.CRLUnreachable, "does not resolve", 0},
	} {
		t.Run(row.url, func(t *testing.T) {
			var dialled []string
			q := []validate.CRLQuestion{{Certificate: ca.leaf(t, 12), Issuer: ca.cert, URLs: []string{row.url}}}
			got := only(t, newChecker(&dialled).Check(t.Context(), q, false, now))
			if got.State != row.want || !strings.Contains(got.Detail, row.says) || len(dialled) != row.dialled {
				t.Errorf("%+v after dialling %q, want %s with %q after %d", got, dialled, row.want, row.says, row.dialled)
			}
		})
	}
	t.Run("a simulated stamp stays on this machine", func(t *testing.T) {
		var dialled []string
		q := []validate.CRLQuestion{{Certificate: ca.leaf(t, 12), Issuer: ca.cert, URLs: []string{"http://outside.contoso.com/ca.crl"}}}
		got := only(t, newChecker(&dialled).Check(t.Context(), q, true, now))
		if got.State != validate.CRLUnreachable || !strings.Contains(got.Detail, "a simulated stamp is nowhere else") || len(dialled) != 0 {
			t.Errorf("%+v after %q", got, dialled)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		var c Checker
		got := only(t, c.Check(t.Context(), questions(ca.leaf(t, 12, "http://"+l.Addr().String()+"/ca.crl"), ca), true, now))
		if got.State != validate.CRLUnreachable || !strings.Contains(got.Detail, "refused") {
			t.Errorf("%+v", got)
		}
	})
}

// The proxy is the operator's and may be on this machine; what it is asked for may not.
func TestProxy(t *testing.T) {
	ca := newAuthority(t, "Contoso CA")
	list := ca.list(t, nil)
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		_, _ = w.Write(list)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		url   string
		names map[string]string
		want  validate.CRLState
		says  string
	}{
		{"http://crl.contoso.com/ca.crl", nil, validate.CRLGood, ""},
		{"http://crl.contoso.com/ca.crl", map[string]string{"crl.contoso.com": "203.0.113.7"}, validate.CRLGood, ""},
		{"http://crl.contoso.com/ca.crl", map[string]string{"crl.contoso.com": "127.0.0.1"}, validate.CRLUnreachable, "is this machine"},
		{"http://169.254.169.254/ca.crl", nil, validate.CRLUnreachable, "link-local"},
		{"http://direct.contoso.com/ca.crl", map[string]string{"direct.contoso.com": "169.254.1.1"}, validate.CRLUnreachable, "link-local"},
	} {
		t.Run(row.url, func(t *testing.T) {
			asked = nil
			c := Checker{
				Proxy: func(u *url.URL) (*url.URL, error) {
					if u.Hostname() == "direct.contoso.com" {
						return nil, nil
					}
					return at, nil
				},
				Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
					if a, ok := row.names[host]; ok {
						return []netip.Addr{netip.MustParseAddr(a)}, nil
					}
					return nil, errors.New("no such host")
				},
			}
			q := []validate.CRLQuestion{{Certificate: ca.leaf(t, 12), Issuer: ca.cert, URLs: []string{row.url}}}
			got := only(t, c.Check(t.Context(), q, false, now))
			if got.State != row.want || !strings.Contains(got.Detail, row.says) || (len(asked) == 1) != (row.want == validate.CRLGood) {
				t.Errorf("%+v, the proxy was asked for %q", got, asked)
			}
		})
	}
	t.Run("never for a simulated stamp", func(t *testing.T) {
		asked = nil
		c := Checker{Proxy: func(*url.URL) (*url.URL, error) { return at, nil }}
		server := httptest.NewServer(bytesOf(list))
		defer server.Close()
		if got := only(t, c.Check(t.Context(), questions(ca.leaf(t, 12, server.URL), ca), true, now)); got.State != validate.CRLGood || len(asked) != 0 {
			t.Errorf("%+v, the proxy was asked for %q", got, asked)
		}
	})
}

// pipes is a network in memory, whose time can be faked.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

// The limits hold to the second, whichever way a server dawdles, and nothing is left running: the bubble would say so.
func TestTimes(t *testing.T) {
	ca := newAuthority(t, "Contoso CA")
	list := ca.list(t, nil)
	q := questions(ca.leaf(t, 12, "http://127.0.0.1/ca.crl"), ca)
	for _, row := range []struct {
		claim string
		serve http.HandlerFunc // nil: nobody takes the connection
		stop  time.Duration    // the run is interrupted then
		want  time.Duration
		says  string
	}{
		{claim: "no connection", want: DefaultDialTimeout, says: "timeout"},
		{claim: "no answer", serve: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, want: DefaultTimeout, says: "timeout"},
		{claim: "a byte each second", serve: func(w http.ResponseWriter, r *http.Request) {
			for i := range list {
				if _, err := w.Write(list[i : i+1]); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(time.Second):
				}
			}
		}, want: DefaultTimeout, says: "timeout"},
		{claim: "a redirect each four seconds", serve: func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(4 * time.Second):
				http.Redirect(w, r, "/again", http.StatusFound)
			}
		}, want: DefaultTimeout, says: "timeout"},
		{claim: "interrupted", serve: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, stop: 3 * time.Second, want: 3 * time.Second, says: "interrupted"},
		{claim: "the answer ends early", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write(list)
		}, says: "ended too early"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
				c := Checker{Dial: p.dial}
				if row.serve == nil {
					c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
						<-ctx.Done()
						return nil, ctx.Err()
					}
				}
				server := &http.Server{Handler: row.serve}
				go func() { _ = server.Serve(p) }()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if row.stop > 0 {
					time.AfterFunc(row.stop, cancel)
				}
				start := time.Now()
				got := only(t, c.Check(ctx, q, true, now))
				took := time.Since(start)
				if got.State != validate.CRLUnreachable || !strings.Contains(got.Detail, row.says) || took != row.want {
					t.Errorf("%+v after %s, want %q after %s", got, took, row.says, row.want)
				}
				_ = server.Close()
			})
		})
	}
}

// FuzzList holds that no CRL panics or is taken for a good one without its CA's signature.
func FuzzList(f *testing.F) {
	ca := newAuthority(f, "Contoso CA")
	leaf := ca.leaf(f, 12)
	good := ca.list(f, nil)
	f.Add(good)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: good}))
	f.Add(ca.list(f, func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: oidDistribution, Value: []byte{0x30, 3, 0x82, 1, 0xff}}}
	}))
	f.Add([]byte(body))
	other := newAuthority(f, "Contoso CA")
	f.Fuzz(func(t *testing.T, b []byte) {
		var l fetch
		l.read(b)
		if l.state != "" {
			return
		}
		if state, _ := l.judge(validate.CRLQuestion{Certificate: leaf, Issuer: other.cert}, now); state == validate.CRLGood || state == validate.CRLRevoked {
			t.Errorf("%s under a key that signed nothing", state)
		}
	})
}
