package wsman

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAnswersInEveryDress: HTTP has several ways to carry one body. Those that are whole are taken; what cannot be told from an
// attack or a mistake costs the connection, and then the answer.
func TestAnswersInEveryDress(t *testing.T) {
	chunked := func(b []byte) string {
		var out strings.Builder
		for len(b) > 0 {
			n := min(len(b), 700)
			fmt.Fprintf(&out, "%x;ext=1\r\n%s\r\n", n, b[:n])
			b = b[n:]
		}
		return out.String()
	}
	const kind = "Content-Type: " + sealedType + "\r\n"
	for name, row := range map[string]struct {
		dress func(status int, b []byte) (string, bool)
		lost  bool
		ends  bool // the connection
	}{
		"chunked": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\n%sTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n", s, kind, chunked(b)), false
		}, false, false},
		"chunked with trailer": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\n%sTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n%s0\r\nX-A: b\r\n\r\n", s, kind, chunked(b)), false
		}, false, false},
		"another case": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d\r\ncontent-type: %s\r\nCONTENT-LENGTH: %d\r\n\r\n%s", s, strings.ToUpper(sealedType), len(b), b), false
		}, false, false},
		"closing": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\n%sConnection: close\r\nContent-Length: %d\r\n\r\n%s", s, kind, len(b), b), true
		}, false, true},
		"to the end": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\n%s\r\n%s", s, kind, b), true
		}, false, true},
		"HTTP/1.0": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.0 %d X\r\n%sContent-Length: %d\r\n\r\n%s", s, kind, len(b), b), true
		}, false, true},
		"bytes behind it": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%sHTTP/1.1 200 X\r\n", s, kind, len(b), b), false
		}, false, true},
		"continue before it": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s", s, kind, len(b), b), false
		}, true, true},
		"two lengths": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\nContent-Length: 5\r\n\r\n%s", s, kind, len(b), b), false
		}, true, true},
		"cut": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s", s, kind, len(b), b[:len(b)-1]), true
		}, true, true},
		"compressed": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", s, kind, len(b), b), false
		}, true, true},
		"another type": {func(s int, b []byte) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: multipart/encrypted\r\nContent-Length: %d\r\n\r\n%s", s, len(b), b), false
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			world(t, func(t *testing.T, p *peer) {
				if p.slow && name == "bytes behind it" {
					return // what has not come yet is not seen, and spoils the next answer
				}
				p.serve, p.ahead = countTo(9), true
				p.dress = func(op string, n, status int, b []byte) (string, bool) {
					if row.lost && (op != "Receive" || n != 4) {
						return "", false
					}
					return row.dress(status, b)
				}
				s := mustDial(t, p)
				begun := time.Now()
				r := s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true})
				got := outputs(r)
				result, err := r.Result()
				if err != nil || (result.Lost > 0) != row.lost || int(result.Lost)+len(got) != 9 || time.Since(begun) > 5*time.Minute {
					t.Errorf("%v, result %+v, %v after %v", got, result, err, time.Since(begun))
				}
				if !row.lost {
					if diff := cmp.Diff(upTo(9), got); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}
				_ = s.Close(t.Context())
				if (p.conns > 3) != row.ends || p.bodies[r.command] != 1 {
					t.Errorf("%d connections, operations %v", p.conns, p.log)
				}
			})
		})
	}
}
