package wsman

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/masterzen/winrm"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/wsman/winrmtransport"
)

// hostile dials a peer that answers as f says, and returns what was seen on the wire and the error of Dial.
func hostile(t *testing.T, f func(nc net.Conn, r *bufio.Reader)) (wire []byte, err error) {
	t.Helper()
	p := newPeer(t)
	cfg := p.config()
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		p.wg.Go(func() {
			defer server.Close()
			c := &tapped{Conn: server, p: p}
			f(c, bufio.NewReader(c))
			_, _ = io.Copy(io.Discard, c) // whatever else the client says is evidence
		})
		return client, nil
	}
	start := time.Now()
	s, err := Dial(t.Context(), cfg)
	if err == nil {
		_ = s.Close(t.Context())
	}
	if took := time.Since(start); took > 10*time.Minute {
		t.Errorf("took %v", took)
	}
	p.wg.Wait()
	return p.wire.Bytes(), err
}

func read(r *bufio.Reader) *http.Request {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, req.Body)
	return req
}

func offer(nc io.Writer, challenge []byte) {
	reply(nc, 401, "Negotiate "+base64.StdEncoding.EncodeToString(challenge), "", nil)
}

// garbageText is the same noise in each run.
func garbageText(seed byte, n int) string {
	b := make([]byte, n)
	_, _ = mrand.NewChaCha8([32]byte{seed}).Read(b) // does not fail
	return string(b)
}

func TestHostilePeers(t *testing.T) {
	always := func(text string) func(net.Conn, *bufio.Reader) {
		return func(nc net.Conn, r *bufio.Reader) {
			for read(r) != nil {
				if _, err := io.WriteString(nc, text); err != nil {
					return
				}
			}
		}
	}
	forged := func(flags uint32, info []byte) func(net.Conn, *bufio.Reader) {
		return func(nc net.Conn, r *bufio.Reader) {
			if read(r) != nil {
				offer(nc, makeChallenge(flags, info))
			}
			for read(r) != nil {
				reply(nc, 200, "", "", nil)
			}
		}
	}
	rows := map[string]func(net.Conn, *bufio.Reader){
		"plain 200":              always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
		"only Basic":             always("HTTP/1.1 401 X\r\nWWW-Authenticate: Basic realm=\"WSMAN\"\r\nContent-Length: 0\r\n\r\n"),
		"only Kerberos":          always("HTTP/1.1 401 X\r\nWWW-Authenticate: Kerberos\r\nContent-Length: 0\r\n\r\n"),
		"bare Negotiate":         always("HTTP/1.1 401 X\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"),
		"two CHALLENGEs":         always("HTTP/1.1 401 X\r\nWWW-Authenticate: Negotiate AAAA\r\nWWW-Authenticate: Negotiate AAAA\r\nContent-Length: 0\r\n\r\n"),
		"CHALLENGE not base64":   always("HTTP/1.1 401 X\r\nWWW-Authenticate: Negotiate ????\r\nContent-Length: 0\r\n\r\n"),
		"redirect":               always("HTTP/1.1 302 X\r\nLocation: http://10.0.0.2/\r\nContent-Length: 0\r\n\r\n"),
		"closes after challenge": always("HTTP/1.1 401 X\r\nConnection: close\r\nWWW-Authenticate: Negotiate AAAA\r\nContent-Length: 0\r\n\r\n"),
		"HTTP/2":                 always("HTTP/2.0 401 X\r\nContent-Length: 0\r\n\r\n"),
		"plain text, 200":        always("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nwelcome"),
		"plain text for ever":    always("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nwelcome\r\n"),
		"binary garbage":         always(garbageText(1, 4096)),
		"much binary garbage":    always(garbageText(2, 10<<20)),
		"garbage after a status": always("HTTP/1.1 401 X\r\n" + garbageText(3, 4096)),
		"a TLS alert":            always("\x15\x03\x01\x00\x02\x02\x46"),
		"plain text after the login": func(nc net.Conn, r *bufio.Reader) {
			read(r)
			offer(nc, makeChallenge(goodFlags, goodInfo()))
			read(r)
			reply(nc, 200, "", "", nil)
			for read(r) != nil {
				reply(nc, 200, "", "text/plain", []byte("welcome"))
			}
		},
		"garbage after the login": func(nc net.Conn, r *bufio.Reader) {
			read(r)
			offer(nc, makeChallenge(goodFlags, goodInfo()))
			read(r)
			reply(nc, 200, "", "", nil)
			for read(r) != nil {
				_, _ = io.WriteString(nc, garbageText(4, 4096))
			}
		},
		"not HTTP":               always("220 smtp\r\n"),
		"continue for ever":      always(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 3)),
		"endless header":         always("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 10<<20)),
		"many headers":           always("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1<<20)),
		"endless body":           always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n", 160)),
		"huge content length":    always("HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n"),
		"closes at once":         func(nc net.Conn, r *bufio.Reader) { nc.Close() },
		"closes after NEGOTIATE": func(nc net.Conn, r *bufio.Reader) { read(r); nc.Close() },
		"closes mid-answer": func(nc net.Conn, r *bufio.Reader) {
			read(r)
			_, _ = io.WriteString(nc, "HTTP/1.1 401 X\r\nWWW-A")
			nc.Close()
		},
		"silent": func(nc net.Conn, r *bufio.Reader) { read(r) },
		"closes after AUTHENTICATE": func(nc net.Conn, r *bufio.Reader) {
			read(r)
			offer(nc, makeChallenge(goodFlags, goodInfo()))
			read(r)
			nc.Close()
		},
		"takes any login, answers in clear": func(nc net.Conn, r *bufio.Reader) {
			read(r)
			offer(nc, makeChallenge(goodFlags, goodInfo()))
			for read(r) != nil {
				reply(nc, 200, "", soapType, []byte(answerXML("x", "y", "")))
			}
		},
		"takes any login, answers with junk": func(nc net.Conn, r *bufio.Reader) {
			read(r)
			offer(nc, makeChallenge(goodFlags, goodInfo()))
			read(r)
			reply(nc, 200, "", "", nil)
			for read(r) != nil {
				body, _ := sealBody(serverSecurity(make([]byte, 16)), []byte("<a/>"))
				reply(nc, 200, "", sealedType, body)
			}
		},
		"two answers to one request": func(nc net.Conn, r *bufio.Reader) {
			read(r)
			_, _ = io.WriteString(nc, "HTTP/1.1 401 X\r\nWWW-Authenticate: Negotiate "+base64.StdEncoding.EncodeToString(makeChallenge(goodFlags, goodInfo()))+
				"\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		},
		"no timestamp": forged(goodFlags, av(0, nil)),
	}
	for name, bit := range neededBits {
		rows["without "+name] = forged(goodFlags&^bit, goodInfo())
	}
	for name, bit := range weakBits {
		rows["with "+name] = forged(goodFlags|bit, goodInfo())
	}
	for name, f := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire, err := hostile(t, f)
				if err == nil {
					t.Fatal("a session was opened")
				}
				if errors.Is(err, ErrUnauthorized) && name != "takes any login, answers in clear" {
					t.Errorf("no login was refused: %v", err)
				}
				if strings.Contains(err.Error(), testPassword) || len(err.Error()) > 600 {
					t.Errorf("error: %.700v", err)
				}
				if err := leaks(wire); err != nil {
					t.Error(err)
				}
				if (strings.HasPrefix(name, "with ") || strings.HasPrefix(name, "without ")) && strings.Contains(string(wire), "multipart") {
					t.Error("a body was sent on a login that should have been refused")
				}
			})
		})
	}
}

// Each of the 32 flags of a CHALLENGE, turned round by whoever sits between, one at a time. A flag that weakens the session
// ends it before the login is answered; any other leaves a session that seals, or none.
func TestForgedFlags(t *testing.T) {
	fatal := uint32(0)
	for _, bits := range []map[string]uint32{neededBits, weakBits} {
		for _, bit := range bits {
			fatal |= bit
		}
	}
	for n := range 32 {
		t.Run(fmt.Sprintf("bit %d", n), func(t *testing.T) {
			world(t, func(t *testing.T, p *peer) {
				p.serve = countTo(2)
				p.flags ^= 1 << n
				begun := time.Now()
				s, err := Dial(t.Context(), p.config())
				if took := time.Since(begun); took > 5*time.Minute {
					t.Errorf("took %v", took)
				}
				if fatal>>n&1 == 1 {
					var c *ConnectError
					if !errors.As(err, &c) || p.logins != 0 || !strings.Contains(err.Error(), "the flag") {
						t.Errorf("got %v after %d logins", err, p.logins)
					}
				}
				if err != nil {
					if p.operations("Create") != 0 {
						t.Errorf("%v, but a shell was created", err)
					}
					return
				}
				if got := outputs(s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})); len(got) != 2 {
					t.Errorf("got %v", got)
				}
				_ = s.Close(t.Context())
			})
		})
	}
}

func certificate(t *testing.T, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.ParseIP(host)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestTLS(t *testing.T) {
	pinOf := func(c tls.Certificate) string {
		sum := sha256.Sum256(c.Leaf.Raw)
		return strings.ToUpper(hex.EncodeToString(sum[:]))
	}
	pool := func(c tls.Certificate) *x509.CertPool {
		p := x509.NewCertPool()
		p.AddCert(c.Leaf)
		return p
	}
	rows := []struct {
		name string
		set  func(cfg *Config, server *tls.Config, mine, other tls.Certificate)
		want error // nil: the session opens
		any  bool  // any error will do
	}{
		{name: "pinned", set: func(c *Config, _ *tls.Config, mine, _ tls.Certificate) { c.Pin = pinOf(mine) }},
		{name: "authority", set: func(c *Config, _ *tls.Config, mine, _ tls.Certificate) { c.CAs = pool(mine) }},
		{name: "both", set: func(c *Config, _ *tls.Config, mine, _ tls.Certificate) { c.CAs, c.Pin = pool(mine), pinOf(mine) }},
		{name: "wrong pin", set: func(c *Config, _ *tls.Config, _, other tls.Certificate) { c.Pin = pinOf(other) }, want: ErrCertificate},
		{name: "wrong authority", set: func(c *Config, _ *tls.Config, _, other tls.Certificate) { c.CAs = pool(other) }, want: ErrCertificate},
		{name: "right authority, wrong pin", set: func(c *Config, _ *tls.Config, mine, other tls.Certificate) { c.CAs, c.Pin = pool(mine), pinOf(other) }, want: ErrCertificate},
		{name: "right authority, wrong host", set: func(c *Config, _ *tls.Config, mine, _ tls.Certificate) {
			c.CAs, c.Host, c.AllowHosts = pool(mine), "10.0.0.2", nil
		}, want: ErrCertificate},
		{name: "old TLS", set: func(c *Config, s *tls.Config, mine, _ tls.Certificate) {
			c.Pin, s.MinVersion, s.MaxVersion = pinOf(mine), tls.VersionTLS11, tls.VersionTLS11
		}, any: true},
		{name: "TLS 1.2", set: func(c *Config, s *tls.Config, mine, _ tls.Certificate) {
			c.Pin, s.MaxVersion = pinOf(mine), tls.VersionTLS12
		}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			world(t, func(t *testing.T, p *peer) {
				mine, other := certificate(t, "10.0.0.1"), certificate(t, "10.0.0.1")
				p.tls = &tls.Config{Certificates: []tls.Certificate{mine}, SessionTicketsDisabled: true, MinVersion: tls.VersionTLS12}
				p.binding = channelBinding(mine.Leaf) // the peer insists on them
				p.serve = countTo(3)
				cfg := p.config()
				cfg.TLS = true
				r.set(&cfg, p.tls, mine, other)
				s, err := Dial(t.Context(), cfg)
				if err != nil {
					if r.want == nil && !r.any || r.want != nil && !errors.Is(err, r.want) {
						t.Errorf("got %v, want %v", err, r.want)
					}
					if p.refused > 0 {
						t.Error("a login was tried")
					}
					return
				}
				if r.want != nil || r.any {
					t.Fatal("a session was opened")
				}
				if got := outputs(s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})); len(got) != 3 {
					t.Errorf("got %v", got)
				}
				_ = s.Close(t.Context())
				if err := p.leaks(); err != nil { // beneath TLS nothing shows either
					t.Error(err)
				}
			})
		})
	}
}

func TestChannelBindingsAreDemanded(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		mine := certificate(t, "10.0.0.1")
		p.tls = &tls.Config{Certificates: []tls.Certificate{mine}, SessionTicketsDisabled: true, MinVersion: tls.VersionTLS12}
		p.binding = []byte("tls-server-end-point:of somebody else")
		cfg := p.config()
		cfg.TLS, cfg.CAs = true, x509.NewCertPool()
		cfg.CAs.AddCert(mine.Leaf)
		if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("got %v: the peer of this test must be able to see wrong bindings", err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	good := func() Config { return newPeer(t).config() }
	for name, change := range map[string]func(*Config){
		"no host":           func(c *Config) { c.Host = "" },
		"host with path":    func(c *Config) { c.Host = "a/b" },
		"host injection":    func(c *Config) { c.Host = "a\r\nX: y" },
		"host not allowed":  func(c *Config) { c.AllowHosts = []string{"10.0.0.9"} },
		"port":              func(c *Config) { c.Port = 70000 },
		"no user":           func(c *Config) { c.User = "" },
		"no password":       func(c *Config) { c.Password = secret.Value{} },
		"empty password":    func(c *Config) { c.Password = secret.New("") },
		"configuration":     func(c *Config) { c.Configuration = "a/b" },
		"locale":            func(c *Config) { c.Locale = `"` },
		"TLS without proof": func(c *Config) { c.TLS = true },
		"pin without TLS":   func(c *Config) { c.Pin = strings.Repeat("ab", 32) },
		"short pin":         func(c *Config) { c.TLS, c.Pin = true, "abcd" },
		"negative time":     func(c *Config) { c.OperationTimeout = -1 },
	} {
		cfg := good()
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
			t.Errorf("%s: was dialled", name)
			return nil, errors.New("no")
		}
		change(&cfg)
		if _, err := Dial(t.Context(), cfg); err == nil || strings.Contains(fmt.Sprint(err), "\r\n") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	c := good()
	c.TLS, c.Pin = true, strings.Repeat("AB:", 31)+"AB"
	if r, err := c.resolved(); err != nil || r.url() != "https://10.0.0.1:5986/wsman" {
		t.Errorf("got %v, %v", r.url(), err)
	}
	c.Host = "fe80::1"
	c.AllowHosts = nil
	if r, err := c.resolved(); err != nil || r.url() != "https://[fe80::1]:5986/wsman" {
		t.Errorf("got %v, %v", r.url(), err)
	}
	for user, want := range map[string][2]string{`D\u`: {"D", "u"}, "u@d": {"", "u@d"}, "u": {"", "u"}} {
		if d, u := (Config{User: user}).login(); d != want[0] || u != want[1] {
			t.Errorf("%s: got %q %q", user, d, u)
		}
	}
}

func TestUnreachableHostIsAConnectError(t *testing.T) {
	cfg := newPeer(t).config()
	dials := 0
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, errors.New("no route")
	}
	_, err := Dial(t.Context(), cfg)
	var c *ConnectError
	if !errors.As(err, &c) || c.Host != "10.0.0.1:5985" || dials != 1 {
		t.Errorf("got %v after %d dials", err, dials)
	}
}

func TestChangingCommandNotSentMayGoElsewhere(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = func(p *peer, r psrp.PipelineRequested) {}
		s := mustDial(t, p)
		s.cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("gone") }
		result, err := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
		var c *ConnectError
		if !errors.As(err, &c) || errors.Is(err, psrp.ErrOutcomeUnknown) || result.Sent || p.operations("Command") != 0 {
			t.Errorf("got %+v, %v", result, err)
		}
		_ = s.Close(t.Context())
	})
}

// A client of the winrm library runs over this transport: the seam is theirs.
func TestWinRMClientOverTransport(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		tr, err := NewTransport(p.config())
		if err != nil {
			t.Fatal(err)
		}
		ep := winrm.NewEndpoint("10.0.0.1", 5985, false, false, nil, nil, nil, 0)
		c, err := winrm.NewClientWithParameters(ep, "unused", "unused", winrmtransport.Parameters(tr, "PT60S", "en-US", maxEnvelope))
		if err != nil {
			t.Fatal(err)
		}
		// The peer knows no cmd shell, so all that counts is that the envelope went through and back, sealed.
		if _, err := c.CreateShell(); p.operations("Create") != 1 {
			t.Errorf("operations %v, %v", p.log, err)
		}
		if err := winrmtransport.New(tr).Transport(winrm.NewEndpoint("10.0.0.2", 5985, false, false, nil, nil, nil, 0)); err == nil {
			t.Error("another endpoint was taken")
		}
		if tr.Dials() != 1 {
			t.Errorf("%d dials", tr.Dials())
		}
		_ = tr.Close()
	})
}

// TestForeignChannelBindings: what the peer of TestChannelBindingsAreDemanded takes is what testdata/psrp/vectors.py makes of a
// certificate.
func TestForeignChannelBindings(t *testing.T) {
	b, err := os.ReadFile("../../testdata/psrp/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		ChannelBindings []struct{ Certificate, Hash, MD5 string }
	}
	if err := json.Unmarshal(b, &v); err != nil || len(v.ChannelBindings) < 9 {
		t.Fatalf("%d vectors: %v", len(v.ChannelBindings), err)
	}
	signed := map[string]x509.SignatureAlgorithm{"sha256": x509.SHA256WithRSA, "sha384": x509.ECDSAWithSHA384, "sha512": x509.SHA512WithRSA}
	for _, c := range v.ChannelBindings {
		raw, err := hex.DecodeString(c.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		got := bindingSum(channelBinding(&x509.Certificate{Raw: raw, SignatureAlgorithm: signed[c.Hash]}))
		if hex.EncodeToString(got) != c.MD5 {
			t.Errorf("%s of %.20q: got %x, wanted %s", c.Hash, raw, got, c.MD5)
		}
	}
}

// RFC 5929 section 4.1: the hash of the certificate's signature, but at least SHA-256.
func TestChannelBindingHashes(t *testing.T) {
	raw := []byte("certificate")
	s256, s384, s512 := sha256.Sum256(raw), sha512.Sum384(raw), sha512.Sum512(raw)
	for alg, want := range map[x509.SignatureAlgorithm][]byte{
		x509.MD5WithRSA: s256[:], x509.SHA1WithRSA: s256[:], x509.SHA256WithRSA: s256[:], x509.ECDSAWithSHA256: s256[:],
		x509.SHA384WithRSA: s384[:], x509.SHA384WithRSAPSS: s384[:], x509.ECDSAWithSHA512: s512[:], x509.SHA512WithRSA: s512[:],
	} {
		got := channelBinding(&x509.Certificate{Raw: raw, SignatureAlgorithm: alg})
		if string(got) != "tls-server-end-point:"+string(want) {
			t.Errorf("%v: got %x", alg, got)
		}
	}
}
