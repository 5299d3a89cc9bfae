package live

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	zone = "east.azurestack.contoso.com"
)

// authority issues the test's leaves.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(9, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert: c, key: key}
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a authority) leaf(t *testing.T, serial int64, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: c}
}

// listen runs handle for each connection until the test ends.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wait.Wait() })
	return l.Addr().String()
}

// serve is a TLS server that finishes the handshake and hangs up with the client.
func serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	return listen(t, func(c net.Conn) {
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			io.Copy(io.Discard, s)
		}
	})
}

func dialer() Observer {
	return Observer{Dial: (&net.Dialer{}).DialContext, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return nil, errors.New("the test asks no DNS")
	}}
}

func target(addresses ...string) Target {
	return Target{Endpoint: "public-portal", Host: "portal." + zone, Port: 443, Addresses: addresses}
}

func one(t *testing.T, o Observer, target Target) Observation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := o.Observe(ctx, []Target{target})
	if len(got) != 1 || len(got[0].Samples) == 0 {
		t.Fatalf("got %d observations with %v, want one with samples", len(got), got)
	}
	return got[0]
}

func TestObserveServedCertificate(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.leaf(t, 2, "portal."+zone)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			var sni atomic.Value
			address := serve(t, &tls.Config{MaxVersion: version, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
				sni.Store(h.ServerName)
				return &leaf, nil
			}})
			o := one(t, dialer(), target(address))
			if len(o.Samples) != DefaultSamples {
				t.Errorf("got %d samples, want %d", len(o.Samples), DefaultSamples)
			}
			for _, s := range o.Samples {
				if s.Err != nil || s.LeafSHA256 != digest(leaf.Leaf) || len(s.Chain) != 2 || s.Address != address {
					t.Fatalf("got %+v, want the leaf with its issuer", s)
				}
			}
			if sni.Load() != "portal."+zone {
				t.Errorf("the server name was %q", sni.Load())
			}
			j := Judge(o, Want{Planned: digest(leaf.Leaf)})
			if j.Verdict != Match {
				t.Errorf("verdict %v", j)
			}
			if got := len(o.Leaf().Thumbprint()); got != 40 {
				t.Errorf("thumbprint of %d characters", got)
			}
		})
	}
}

// A server that demands a client certificate ends a TLS 1.2 handshake with an alert, after it has shown its own.
func TestObserveServerThatDemandsACertificate(t *testing.T) {
	leaf := newAuthority(t).leaf(t, 2, "portal."+zone)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			address := serve(t, &tls.Config{MaxVersion: version, Certificates: []tls.Certificate{leaf}, ClientAuth: tls.RequireAndVerifyClientCert})
			for _, s := range one(t, dialer(), target(address)).Samples {
				if s.Err != nil || s.LeafSHA256 != digest(leaf.Leaf) {
					t.Fatalf("got %+v, want the leaf", s)
				}
			}
		})
	}
}

// Certificates are public: a server that shows one without holding its key serves nothing.
func TestObserveServerWithoutTheKey(t *testing.T) {
	ca := newAuthority(t)
	shown, own := ca.leaf(t, 2, "portal."+zone), ca.leaf(t, 3, "portal."+zone)
	// crypto/tls refuses a pair that doesn't fit only when it loads files; as values it signs with the wrong key.
	impostor := tls.Certificate{Certificate: shown.Certificate, PrivateKey: own.PrivateKey}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequireAnyClientCert} {
			t.Run(fmt.Sprintf("%s %v", tls.VersionName(version), auth), func(t *testing.T) {
				address := serve(t, &tls.Config{MaxVersion: version, Certificates: []tls.Certificate{impostor}, ClientAuth: auth})
				s := one(t, dialer(), target(address)).Leaf()
				if s.Err == nil || s.Class != TLS || s.LeafSHA256 != "" {
					t.Errorf("got %+v, want a TLS failure", s)
				}
			})
		}
	}
}

// With a session cache every sample after the first would show the first certificate for ever.
func TestObserveNeverResumes(t *testing.T) {
	ca := newAuthority(t)
	before, after := ca.leaf(t, 2, "portal."+zone), ca.leaf(t, 3, "portal."+zone)
	var rotated atomic.Bool
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			rotated.Store(false)
			var resumed atomic.Int32
			config := &tls.Config{MaxVersion: version, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				if rotated.Load() {
					return &after, nil
				}
				return &before, nil
			}, VerifyConnection: func(s tls.ConnectionState) error {
				if s.DidResume {
					resumed.Add(1)
				}
				return nil
			}}
			address := serve(t, config)
			if got := one(t, dialer(), target(address)).Leaf().LeafSHA256; got != digest(before.Leaf) {
				t.Fatalf("served %s before", got)
			}
			rotated.Store(true)
			j := Judge(one(t, dialer(), target(address)), Want{Previous: digest(before.Leaf), Planned: digest(after.Leaf)})
			if j.Verdict != Match || resumed.Load() != 0 {
				t.Errorf("%v, %d sessions resumed; want match and none", j, resumed.Load())
			}
		})
	}
}

func TestStaleFrontEnds(t *testing.T) {
	ca := newAuthority(t)
	before, after, foreign := ca.leaf(t, 2, "portal."+zone), ca.leaf(t, 3, "portal."+zone), ca.leaf(t, 4, "portal."+zone)
	for _, row := range []struct {
		claim  string
		serves func(n int) *tls.Certificate // nil: hang up
		want   string
	}{
		{"all new", func(int) *tls.Certificate { return &after }, "match: 16 of 16 serve the planned certificate"},
		{"all old", func(int) *tls.Certificate { return &before }, "stale: 0 of 16 serve the planned certificate, 16 the previous one"},
		{"one of four front ends is stale", func(n int) *tls.Certificate {
			if n%4 == 3 {
				return &before
			}
			return &after
		}, "mixed: 12 of 16 serve the planned certificate, 4 the previous one"},
		{"one front end serves another", func(n int) *tls.Certificate {
			if n%8 == 3 {
				return &foreign
			}
			return &after
		}, "unknown-leaf: 14 of 16 serve the planned certificate, 2 an unknown one"},
		{"one front end hangs up", func(n int) *tls.Certificate {
			if n%4 == 3 {
				return nil
			}
			return &after
		}, "mixed: 12 of 16 serve the planned certificate, 4 failed (tls)"},
		{"old ones and one that hangs up", func(n int) *tls.Certificate {
			if n%4 == 3 {
				return nil
			}
			return &before
		}, "stale: 0 of 16 serve the planned certificate, 12 the previous one, 4 failed (tls)"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			var n atomic.Int32
			address := serve(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				if c := row.serves(int(n.Add(1) - 1)); c != nil {
					return c, nil
				}
				return nil, errors.New("out of order")
			}})
			j := Judge(one(t, dialer(), target(address)), Want{Previous: digest(before.Leaf), Planned: digest(after.Leaf)})
			if j.String() != row.want {
				t.Errorf("got  %s\nwant %s", j, row.want)
			}
		})
	}
}

func TestSeveralAddresses(t *testing.T) {
	ca := newAuthority(t)
	before, after := ca.leaf(t, 2, "portal."+zone), ca.leaf(t, 3, "portal."+zone)
	a := serve(t, &tls.Config{Certificates: []tls.Certificate{after}})
	b := serve(t, &tls.Config{Certificates: []tls.Certificate{before}})
	o := dialer()
	o.Samples = 3
	got := one(t, o, target(a, b))
	if j := Judge(got, Want{Previous: digest(before.Leaf), Planned: digest(after.Leaf)}); j.Verdict != Mixed || j.Planned != 3 || j.Previous != 3 {
		t.Errorf("got %v, want each address sampled three times", j)
	}
	if n := len(got.Leaves()); n != 2 {
		t.Errorf("got %d different leaves, want 2", n)
	}
}

func TestFailures(t *testing.T) {
	closed := listen(t, func(net.Conn) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	plain := listen(t, func(c net.Conn) {
		c.Read(make([]byte, 512))
		io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
	})
	release := make(chan struct{})
	silent := listen(t, func(net.Conn) { <-release })
	t.Cleanup(func() { close(release) })
	alert := serve(t, &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, errors.New("none")
	}})
	unknown := target()
	port := target(plain)
	port.Port = 0
	for _, row := range []struct {
		claim  string
		target Target
		peers  Peers
		want   Class
		text   string
	}{
		{"nothing listens", target(nobody), AnyPeer, Refused, "connect to"},
		{"plain HTTP", target(plain), AnyPeer, Plaintext, "TLS with"},
		{"silent peer", target(silent), AnyPeer, Timeout, "deadline"},
		{"peer hangs up", target(closed), AnyPeer, TLS, "TLS with"},
		{"peer sends an alert", target(alert), AnyPeer, TLS, "TLS with"},
		{"name that leads nowhere", unknown, AnyPeer, DNS, "look up"},
		{"loopback for a real stamp", target(plain), NoLoopback, Peer, "a real stamp never is"},
		{"unspecified address for a real stamp", target("0.0.0.0:443"), NoLoopback, Peer, "a real stamp never is"},
		{"mapped loopback for a real stamp", target("[::ffff:127.0.0.1]:443"), NoLoopback, Peer, "a real stamp never is"},
		{"real address for a simulated stamp", target("192.0.2.1:443"), OnlyLoopback, Peer, "a simulated stamp is nowhere else"},
		{"a name where an address belongs", target("portal:443"), AnyPeer, TLS, "IP:port"},
		{"no port", port, AnyPeer, TLS, "port 0"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			o := dialer()
			o.Timeout, o.Peers = 5*time.Second, row.peers
			if row.want == Timeout {
				o.Timeout = 50 * time.Millisecond
			}
			got := one(t, o, row.target)
			if len(got.Samples) > giveUp {
				t.Errorf("%d samples of an address that answers none, want at most %d", len(got.Samples), giveUp)
			}
			s := got.Leaf()
			if s.Err == nil || !strings.Contains(s.Err.Error(), row.text) {
				t.Fatalf("got %v, want an error with %q", s.Err, row.text)
			}
			if s.Class != row.want && (row.want != TLS || s.Class != Network) {
				t.Errorf("%v is classed %q, want %q", s.Err, s.Class, row.want)
			}
			if j := Judge(got, Want{Planned: "x"}); j.Verdict != Unreachable {
				t.Errorf("verdict %v", j)
			}
		})
	}
}

// No name is looked up and nothing dialled for what was refused first.
func TestPeersAreCheckedBeforeDialling(t *testing.T) {
	o := dialer()
	o.Peers = NoLoopback
	o.Dial = func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled")
		return nil, errors.New("no")
	}
	o.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	if s := one(t, o, target()).Leaf(); s.Class != Peer {
		t.Errorf("got %+v, want the name refused as a whole", s)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := dialer()
	o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	got := o.Observe(ctx, []Target{target("192.0.2.1:443", "192.0.2.2:443")})
	for _, s := range got[0].Samples {
		if s.Class != Cancelled {
			t.Errorf("got %+v, want cancelled", s)
		}
	}
}

func TestParallelIsBounded(t *testing.T) {
	leaf := newAuthority(t).leaf(t, 2, "portal."+zone)
	address := serve(t, &tls.Config{Certificates: []tls.Certificate{leaf}})
	o := dialer()
	o.Parallel = 3
	var now, most atomic.Int32
	dial := o.Dial
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		return dial(ctx, network, address)
	}
	targets := []Target{target(address), target(address), target(address), target(address)}
	for _, ob := range o.Observe(t.Context(), targets) {
		if len(ob.Samples) != DefaultSamples || ob.Leaf().Err != nil {
			t.Errorf("got %d samples, %v", len(ob.Samples), ob.Leaf().Err)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d connections at a time, want at most 3", most.Load())
	}
}

func TestCheck(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	leaf := ca.leaf(t, 2, "*.blob."+zone)
	served := func(host string) Served {
		return Served{Host: host, Chain: []*x509.Certificate{leaf.Leaf, ca.cert}}
	}
	host := "azs-probe.blob." + zone
	for _, row := range []struct {
		claim              string
		served             Served
		roots              *x509.CertPool
		at                 time.Time
		name, valid, chain bool
	}{
		{"all well", served(host), ca.pool(), noon, true, true, true},
		{"another host", served("azs-probe.table." + zone), ca.pool(), noon, false, true, true},
		{"two labels under the wildcard", served("a.b.blob." + zone), ca.pool(), noon, false, true, true},
		{"expired, and only that", served(host), ca.pool(), noon.AddDate(1, 0, 1), true, false, true},
		{"last second", served(host), ca.pool(), leaf.Leaf.NotAfter, true, true, true},
		{"not yet valid", served(host), ca.pool(), noon.AddDate(0, -1, -1), true, false, true},
		{"another root", served(host), other.pool(), noon, true, true, false},
		{"no roots", served(host), nil, noon, true, true, false},
		{"nothing served", Served{Host: host}, ca.pool(), noon, false, false, false},
	} {
		t.Run(row.claim, func(t *testing.T) {
			f := Check(row.served, row.roots, row.at)
			if (f.Name == nil) != row.name || (f.Valid == nil) != row.valid || (f.Chain == nil) != row.chain {
				t.Errorf("name %v, valid %v, chain %v; want %v, %v, %v", f.Name, f.Valid, f.Chain, row.name, row.valid, row.chain)
			}
		})
	}
}

// wait runs Wait over rounds of served digests; "-" is a failure. It fakes the network: each sample is one byte pipe.
func TestWait(t *testing.T) {
	ca := newAuthority(t)
	before, after := ca.leaf(t, 2, "portal."+zone), ca.leaf(t, 3, "portal."+zone)
	for _, row := range []struct {
		claim  string
		rounds string // o: old, n: new, one letter per round, the last one for ever
		want   int    // rounds until success; 0: never
	}{
		{"new from the start needs two rounds", "n", 2},
		{"old, then new", "oon", 4},
		{"a fall-back starts the count again", "nonn", 4},
		{"never", "o", 0},
	} {
		t.Run(row.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				round := 0
				o := Observer{Samples: 2, Dial: func(context.Context, string, string) (net.Conn, error) {
					client, server := net.Pipe()
					leaf := before
					if row.rounds[min(round, len(row.rounds)-1)] == 'n' {
						leaf = after
					}
					go func() {
						defer server.Close()
						s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{leaf}})
						if s.Handshake() == nil {
							io.Copy(io.Discard, s)
						}
					}()
					return client, nil
				}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				told := 0
				got, err := o.Wait(ctx, []Target{target("192.0.2.1:443")}, map[string]Want{"public-portal": {Previous: digest(before.Leaf), Planned: digest(after.Leaf)}},
					Waiting{Progress: func(n int, _ []Judgement) { told = n }, Pause: func(ctx context.Context, d time.Duration) error {
						round++
						timer := time.NewTimer(d)
						defer timer.Stop()
						select {
						case <-timer.C:
							return nil
						case <-ctx.Done():
							return ctx.Err()
						}
					}})
				if row.want == 0 {
					var not *NotServedError
					if !errors.As(err, &not) || !errors.Is(err, context.DeadlineExceeded) || len(got) != 1 || got[0].Verdict != Stale {
						t.Fatalf("got %v, %v; want the last round and the deadline", got, err)
					}
					if !strings.Contains(err.Error(), "1 of 1 endpoints don't serve the planned certificate") {
						t.Errorf("message %q", err)
					}
					return
				}
				if err != nil || told != row.want || got[0].Verdict != Match {
					t.Errorf("%d rounds, %v, %v; want %d", told, got, err, row.want)
				}
			})
		})
	}
}

func TestWaitNeedsSomethingToWaitFor(t *testing.T) {
	if _, err := dialer().Wait(t.Context(), []Target{target()}, nil, Waiting{}); err == nil {
		t.Error("an endpoint without a planned certificate was accepted")
	}
	if _, err := dialer().Wait(t.Context(), nil, nil, Waiting{}); err == nil {
		t.Error("no endpoint at all was accepted: that would prove nothing")
	}
}
