package wsman

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/rotate/psrp"
)

// chance is a noSeal: the first connection with a sealed body ends, and no other.
const chance = -2

// Inside TLS bodies are sealed too, unless the host does not take that: then the first request alone tries, and the command
// still goes out once. A host that has sealed before cannot be talked out of it, and one broken connection says nothing.
func TestSealInsideTLS(t *testing.T) {
	for name, row := range map[string]struct {
		noSeal int
		later  action // to the Command
		plain  bool
		fails  bool
	}{
		"taken":               {},
		"400":                 {noSeal: 400, plain: true},
		"401":                 {noSeal: 401, plain: true},
		"415":                 {noSeal: 415, plain: true},
		"500":                 {noSeal: 500, plain: true},
		"connections end":     {noSeal: -1, plain: true},
		"one connection ends": {noSeal: chance},
		"404":                 {noSeal: 404, fails: true},
		"taken, then clear":   {later: clear200, fails: true},
		"taken, then 401":     {later: status401, fails: true},
		"taken, then a fake":  {later: garbage, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			world(t, func(t *testing.T, p *peer) {
				mine := certificate(t, "10.0.0.1")
				sum := sha256.Sum256(mine.Leaf.Raw)
				p.tls = &tls.Config{Certificates: []tls.Certificate{mine}, SessionTicketsDisabled: true, MinVersion: tls.VersionTLS12}
				p.binding = channelBinding(mine.Leaf)
				p.noSeal = row.noSeal
				p.serve = countTo(2)
				p.goes = func(op string, n int) action {
					if op == "Command" {
						return row.later
					}
					return fine
				}
				var log bytes.Buffer
				cfg := p.config()
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				cfg.TLS, cfg.Pin = true, hex.EncodeToString(sum[:])
				s, err := Dial(t.Context(), cfg)
				if err == nil {
					var result psrp.Result
					result, err = s.Invoke(t.Context(), readOnly, Options{AtMostOnce: true}).Result()
					if row.later != fine && !errors.Is(err, psrp.ErrOutcomeUnknown) {
						t.Errorf("got %+v, %v", result, err)
					}
					_ = s.Close(t.Context())
				}
				p.wg.Wait()
				if (err != nil) != row.fails || p.operations("Command") > 1 || p.refused > 0 {
					t.Errorf("got %v, operations %v", err, p.log)
				}
				if len(p.inside) == 0 || !p.inside[0] {
					t.Fatal("the first body was not sealed")
				}
				first := 1 // requests that try
				if row.noSeal < 0 {
					first = mostSilent
				}
				if said := strings.Contains(log.String(), "no sealed bodies inside TLS"); said != row.plain {
					t.Errorf("the log says so: %v", said)
				}
				if row.plain && (slices.Contains(p.inside[:first], false) || slices.Contains(p.inside[first:], true)) || !row.plain && slices.Contains(p.inside, false) {
					t.Errorf("sealed: %v", p.inside)
				}
			})
		})
	}
}
