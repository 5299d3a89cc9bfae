package cli_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// eavesdropper is a host that answers as a test tells it and keeps every byte that it was sent.
type eavesdropper struct {
	net.Listener
	mu    sync.Mutex
	heard bytes.Buffer
	calls int
}

func listen(t *testing.T, answer func(net.Conn)) *eavesdropper {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &eavesdropper{Listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.mu.Lock()
			e.calls++
			e.mu.Unlock()
			serving.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				answer(&tapped{Conn: c, e: e})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return e
}

type tapped struct {
	net.Conn
	e *eavesdropper
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.e.mu.Lock()
	c.e.heard.Write(p[:n])
	c.e.mu.Unlock()
	return n, err
}

// http answers every request on a connection with the same bytes.
func http(answer string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// forged is a CHALLENGE that asks for nothing: no sealing, no signing, no 128 bits. A client that goes on would send its
// answer to anybody.
func forged() string {
	b := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	b = append(b, 0, 0, 0, 0, 56, 0, 0, 0)        // target name
	b = append(b, 1, 0, 0, 0)                     // NTLMSSP_NEGOTIATE_UNICODE alone
	b = append(b, 1, 2, 3, 4, 5, 6, 7, 8)         // server challenge
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)         // reserved
	b = append(b, 0, 0, 0, 0, 56, 0, 0, 0)        // target info
	b = append(b, 10, 0, 0x39, 0x38, 0, 0, 0, 15) // version
	return base64.StdEncoding.EncodeToString(b)
}

// TestHostileHosts sends a rotation to hosts that are not what they should be. None of them gets a credential, or a body
// that can be read, and nothing is started anywhere.
func TestHostileHosts(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	const unauthorized = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: "
	for _, row := range []struct {
		name   string
		answer func(net.Conn)
		tls    bool
		says   string
	}{
		{name: "plain HTTP", answer: http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/soap+xml\r\n\r\nok"), says: "error"},
		{name: "Basic only", answer: http(unauthorized + "Basic realm=\"WSMAN\"\r\n\r\n"), says: "no Negotiate login"},
		{name: "Kerberos only", answer: http(unauthorized + "Kerberos\r\n\r\n"), says: "no Negotiate login"},
		{name: "forged challenge", answer: http(unauthorized + "Negotiate " + forged() + "\r\n\r\n"), says: "error"},
		{name: "redirect", answer: http("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), says: "error"},
		{name: "closes at once", answer: func(net.Conn) {}, says: "error"},
		{name: "closes in mid-handshake", answer: func(c net.Conn) {
			buf := make([]byte, 4096)
			_, _ = c.Read(buf)
			_, _ = io.WriteString(c, unauthorized+"Negot")
		}, says: "error"},
		{name: "closes in mid-TLS", answer: func(c net.Conn) {
			buf := make([]byte, 4096)
			_, _ = c.Read(buf)
			_, _ = c.Write([]byte{22, 3, 3, 0, 100, 2})
		}, tls: true, says: "error"},
		{name: "wrong certificate", answer: wrongCertificate(t), tls: true, says: "certificate is not the one expected"},
		{name: "no TLS where TLS is pinned", answer: http("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), tls: true, says: "error"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.t = t
			host := listen(t, row.answer)
			undo := s.with("stamp.yaml", func(b string) string {
				at := strings.Index(b, "  hosts: [")
				end := at + strings.Index(b[at:], "\n")
				more := ""
				if row.tls {
					more = "\n  tls: true\n  pin: sha256:" + strings.Repeat("ab", 32)
				}
				return b[:at] + fmt.Sprintf("  hosts: [%q]", host.Addr().String()) + more + b[end:]
			})
			defer undo()
			bound := s.plan("hostile.json", "--no-pep-check", "the endpoint is not what it should be")
			s.must(nil, append([]string{"stage"}, bound...)...)
			a := s.run(nil, append([]string{"rotate"}, bound...)...)
			if a.code != 3 || !strings.Contains(a.stderr, row.says) {
				t.Errorf("exit %d, wanted 3 saying %q:\n%s%s", a.code, row.says, a.stdout, a.stderr)
			}
			host.mu.Lock()
			defer host.mu.Unlock()
			if host.calls == 0 {
				t.Error("the host was never asked: this proves nothing")
			}
			heard := host.heard.String()
			for _, never := range []string{
				"Envelope", wide("Envelope"), "Authorization: Basic", "CloudAdmin", wide("CloudAdmin"), wide("CLOUDADMIN"), "NTLMSSP\x00\x03", base64.StdEncoding.EncodeToString([]byte("NTLMSSP\x00\x03"))[:12],
				s.w.Secrets["PEP_PASSWORD"], wide(s.w.Secrets["PEP_PASSWORD"]), s.w.Secrets["PFX_PASSWORD"], s.w.Secrets["SHARE_PASSWORD"],
			} {
				if strings.Contains(heard, never) {
					t.Errorf("the host heard %q:\n%q", never, heard)
				}
			}
		})
	}
	s.t = t
	if n := s.starts(); n != 0 {
		t.Errorf("a rotation was started %d times", n)
	}
	s.holdsNoSecret()
}

func wrongCertificate(t *testing.T) func(net.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	return func(c net.Conn) {
		server := tls.Server(c, cfg)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.HandshakeContext(ctx) == nil {
			_, _ = io.Copy(io.Discard, server)
		}
	}
}

// TestNoNameIsLookedUp counts DNS queries. Under another target than the pinned one there must be none; under the pinned one
// there are some, which shows that the count can see them.
func TestNoNameIsLookedUp(t *testing.T) {
	s := newStand(t, east)
	s.edit("stamp.yaml", func(b string) string {
		at := strings.Index(b, "  hosts: [")
		end := at + strings.Index(b[at:], "\n")
		b = b[:at] + "  hosts: [ercs01.stamp.invalid]" + b[end:]
		b = strings.Replace(b, "simulated: true\n", "", 1)
		b = strings.Replace(b, "SIMULATED-east", "d3b0738c-0000-0000-0000-000000000000", 1)
		b, _, _ = strings.Cut(b, "resolve:")
		b, _, _ = strings.Cut(b, "backup:")
		head, rest, _ := strings.Cut(b, "share:")
		_, rest, _ = strings.Cut(rest, "pep:")
		return head + "pep:" + rest
	})
	plans := map[string][]string{
		"bmc":    s.plan("bmc.json", "--kind", "bmc"),
		"rotate": s.plan("internal.json", "--kind", "internal", "--reason", "compromise: a laptop was stolen"),
	}
	target := s.must(nil, "target", "--stamp", s.name()).doc.Stamps[0].Target.SHA256

	var mu sync.Mutex
	queries := 0
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		mu.Lock()
		queries++
		mu.Unlock()
		return nil, fmt.Errorf("no name server here")
	}}
	defer func() { net.DefaultResolver = before }()

	for command, bound := range plans {
		queries = 0
		if a := s.run(map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, append([]string{command}, bound...)...); a.code != 1 {
			t.Errorf("%s under another target: exit %d\n%s", command, a.code, a.stderr)
		}
		if queries != 0 {
			t.Errorf("%s looked up %d names under another target", command, queries)
		}
		if a := s.run(map[string]string{"CERTSTAMP_TARGET": target}, append([]string{command}, bound...)...); a.code != 3 {
			t.Errorf("%s under the pinned target: exit %d\n%s", command, a.code, a.stderr)
		}
		if queries == 0 {
			t.Errorf("%s looked up no name under the pinned target: the count proves nothing", command)
		}
	}
}
