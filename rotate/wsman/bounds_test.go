package wsman

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// An answer of 8 MiB is read, one byte more is one clear error, with a length or in chunks; no more is held than that.
func TestBodyBound(t *testing.T) {
	if maxBody != 8<<20 {
		t.Fatalf("an answer may have %d bytes", maxBody)
	}
	part := strings.Repeat("x", 1<<16)
	for _, chunked := range []bool{false, true} {
		for _, size := range []int{maxBody, maxBody + 1, 1 << 30} {
			client, server := net.Pipe()
			cfg, err := newPeer(t).config().resolved()
			if err != nil {
				t.Fatal(err)
			}
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer server.Close()
				read(bufio.NewReader(server))
				framing := fmt.Sprintf("Content-Length: %d", size)
				if chunked {
					framing = "Transfer-Encoding: chunked"
				}
				_, err := io.WriteString(server, "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n")
				for left := size; left > 0 && err == nil; {
					n := min(left, len(part))
					left -= n
					text := part[:n]
					if chunked {
						text = fmt.Sprintf("%x\r\n%s\r\n", n, text)
					}
					_, err = io.WriteString(server, text)
				}
				if chunked && err == nil {
					_, _ = io.WriteString(server, "0\r\n\r\n")
				}
			}()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c, err := dial(t.Context(), &cfg)
			if err != nil {
				t.Fatal(err)
			}
			a, sent, err := c.post(t.Context(), graceTimeout, "", []byte("x"))
			runtime.ReadMemStats(&after)
			c.close()
			<-done
			switch {
			case size <= maxBody && (err != nil || len(a.body) != size):
				t.Errorf("%d bytes, chunked %v: got %v", size, chunked, err)
			case size > maxBody && (err == nil || !strings.Contains(err.Error(), "more than 8388608 bytes")):
				t.Errorf("%d bytes, chunked %v: got %v", size, chunked, err)
			case !sent:
				t.Error("nothing was sent")
			}
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 12*maxBody {
				t.Errorf("%d bytes, chunked %v: %d bytes were allocated", size, chunked, spent)
			}
		}
	}
}

// Headers are bounded by themselves: those of 8 MiB would take 200 MiB, before any login.
func TestHeaderBound(t *testing.T) {
	for name, line := range map[string]string{"with names": "%x:\r\n", "with one name": "A: %x\r\n"} {
		client, server := net.Pipe()
		cfg, err := newPeer(t).config().resolved()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer server.Close()
			read(bufio.NewReader(server))
			w := bufio.NewWriterSize(server, 1<<16)
			_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
			for i := 0; err == nil; i++ {
				_, err = fmt.Fprintf(w, line, i)
			}
		}()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := dial(t.Context(), &cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.post(t.Context(), graceTimeout, "", []byte("x"))
		runtime.ReadMemStats(&after)
		c.close()
		<-done
		if err == nil || !strings.Contains(err.Error(), "headers have more than 262144 bytes") {
			t.Errorf("%s: got %v", name, err)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 3*maxBody {
			t.Errorf("%s: %d bytes were allocated", name, spent)
		}
	}
}

// Nothing but the host is ever dialled: neither what the environment calls a proxy nor where an answer redirects to, before
// the login or after it; and a request names no other host either.
func TestNoProxyNoRedirect(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, "http://10.9.9.9:3128")
	}
	for _, status := range []int{0, 301, 302, 303, 307, 308, 305, 421} {
		for _, after := range []string{"", "Create", "Command", "Receive"} {
			synctest.Test(t, func(t *testing.T) {
				p := newPeer(t)
				p.serve = countTo(1)
				p.status = func(op string) int {
					if op == after {
						return status
					}
					return 0
				}
				cfg := p.config()
				next := cfg.Dial
				var dialled []string
				cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					dialled = append(dialled, network+" "+address)
					return next(ctx, network, address)
				}
				s, err := Dial(t.Context(), cfg)
				if err == nil {
					err = errOf(s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result())
					_ = s.Close(t.Context())
				}
				p.wg.Wait()
				var got *StatusError
				if status == 0 && err != nil || status != 0 && after != "" && (!errors.As(err, &got) || got.Code != status) || status != 0 && err == nil {
					t.Errorf("status %d at %q: got %v", status, after, err)
				}
				slices.Sort(dialled)
				if all := slices.Compact(slices.Clone(dialled)); len(all) != 1 || all[0] != "tcp 10.0.0.1:5985" || len(dialled) > 4 {
					t.Errorf("status %d at %q: dialled %v", status, after, dialled)
				}
				r := bufio.NewReader(strings.NewReader(p.wire.String()))
				if req, err := http.ReadRequest(r); err != nil || req.RequestURI != "/wsman" || req.Host != "10.0.0.1:5985" || req.Method != http.MethodPost {
					t.Errorf("the request: %v", err)
				}
				if err := p.leaks(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// HTTP/2 is neither offered in the handshake nor spoken when a host would like it.
func TestNoHTTP2(t *testing.T) {
	for _, server := range [][]string{nil, {"h2", "http/1.1"}, {"h2"}} {
		world(t, func(t *testing.T, p *peer) {
			p.serve = func(*peer, psrp.PipelineRequested) {}
			mine := certificate(t, "10.0.0.1")
			sum := sha256.Sum256(mine.Leaf.Raw)
			var offered []string
			p.tls = &tls.Config{Certificates: []tls.Certificate{mine}, SessionTicketsDisabled: true, MinVersion: tls.VersionTLS12, NextProtos: server}
			p.tls.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				offered = append(offered, h.SupportedProtos...)
				return nil, nil
			}
			cfg := p.config()
			cfg.TLS, cfg.Pin = true, hex.EncodeToString(sum[:])
			s, err := Dial(t.Context(), cfg)
			if err == nil {
				_ = s.Close(t.Context())
			}
			if err != nil || p.operations("Create") != 1 { // the peer understands nothing but HTTP/1.1
				t.Errorf("a host of %v: got %v", server, err)
			}
			if all := slices.Compact(offered); len(all) != 1 || all[0] != "http/1.1" {
				t.Errorf("offered %v", offered)
			}
		})
	}
}
