package cli_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"os"
	"strings"
	"testing"
)

// TestRotationOverTLS goes from plan to rotate over WinRM inside TLS, with either proof of the host.
// Both are named in the stamp file.
func TestRotationOverTLS(t *testing.T) {
	for _, proof := range []string{"pin", "ca"} {
		t.Run(proof, func(t *testing.T) {
			t.Parallel()
			spec := east
			spec.Extra = "tls: true\n"
			s := newStand(t, spec)
			s.simulate()
			c, err := tls.Dial("tcp", s.s.Hosts[0], &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // to learn the certificate that is pinned
			if err != nil {
				t.Fatal(err)
			}
			leaf := c.ConnectionState().PeerCertificates[0]
			_ = c.Close()
			sum := sha256.Sum256(leaf.Raw)
			line := "pin: sha256:" + hex.EncodeToString(sum[:])
			if proof == "ca" {
				line = "ca: winrm.pem"
				if err := os.WriteFile(s.path("winrm.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s.edit("stamp.yaml", func(b string) string {
				return strings.Replace(b, "  user: SIMULATED", "  tls: true\n  "+line+"\n  user: SIMULATED", 1)
			})
			s.pack()
			bound := s.plan("plan.json")
			s.must(nil, append([]string{"stage"}, bound...)...)
			s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 0, "rotation: success (completed)")
			if n := s.starts(); n != 1 {
				t.Errorf("%d rotations", n)
			}
		})
	}
}

// TestWrongPin: a host with another certificate than the pinned one hears no login, from any command that would send one.
func TestWrongPin(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Extra = "tls: true\n"
	s := newStand(t, spec)
	s.simulate()
	pin := "sha256:" + strings.Repeat("ab", sha256.Size)
	s.edit("stamp.yaml", func(b string) string {
		return strings.Replace(b, "  user: SIMULATED", "  tls: true\n  pin: "+pin+"\n  user: SIMULATED", 1)
	})
	bound := s.plan("plan.json", "--kind", "internal", "--reason", "alert: 7 days left")
	for _, args := range [][]string{
		{"pep", "Get-ActionStatus", "Start-SecretRotation", "--stamp", s.name()},
		{"pep", "--list", "--host", s.s.Hosts[0], "--user", `SIMULATED\CloudAdmin`, "--password", "env:PEP_PASSWORD", "--tls", "--pin", pin},
		append([]string{"rotate", "--check"}, bound...),
		append([]string{"rotate"}, bound...),
	} {
		s.check(s.run(nil, args...), 3, "certificate", "pin")
	}
	b, err := os.ReadFile(s.s.History)
	if err != nil {
		t.Fatal(err)
	}
	// Neither a login nor a refused one: not even the first message of NTLM, which names the user's domain, was sent.
	for _, event := range []string{"login", "invoke", "refused"} {
		if strings.Contains(string(b), event) {
			t.Errorf("the host was asked for a %s:\n%s", event, b)
		}
	}
}
