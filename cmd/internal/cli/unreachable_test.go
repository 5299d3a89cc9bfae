package cli_test

import (
	"strings"
	"testing"
)

// TestNobodyThere: neither the stamp nor the server of its share answers. Each command ends in one clear error with a hint, says
// that nothing was changed by its exit code, changes nothing, and shows no secret.
func TestNobodyThere(t *testing.T) {
	spec := east
	spec.SMB = true
	s := newStand(t, spec) // neither simulator nor server is started, so nobody listens at its addresses
	s.pack()
	bound, bmc, internal := s.plan("plan.json"), s.plan("bmc.json", "--kind", "bmc"), s.plan("internal.json", "--kind", "internal", "--reason", "alert: x")
	server, host := s.s.SMBAddr, s.s.Hosts[0]
	for _, row := range []struct {
		name string
		args []string
		says []string
	}{
		{"stage", append([]string{"stage"}, bound...), []string{server}},
		{"stage --check", append([]string{"stage", "--check"}, bound...), []string{server}},
		{"rotate", append([]string{"rotate"}, bound...), []string{server}},
		{"rotate --check", append([]string{"rotate", "--check"}, bound...), []string{server, "environment connect: log in", "[Fail] Host Login\n    found:   \"" + host + "\": wsman: create"}},
		{"rotate of internal secrets", append([]string{"rotate"}, internal...), []string{server, "share " + s.s.UNC}},
		{"bmc", append([]string{"bmc"}, bmc...), []string{server, "share " + s.s.UNC}}, // it has the lock
		{"verify", append([]string{"verify"}, bound...), []string{"0 of 11"}},
		{"unstage", append([]string{"unstage"}, bound...), []string{"0 of 11"}},
		{"pep", []string{"pep", "Get-ActionStatus", "Start-SecretRotation", "--stamp", s.name()}, []string{host}},
		{"pep --list", []string{"pep", "--list", "--stamp", s.name()}, []string{host}},
		{"csr --renew", []string{"csr", "--renew", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD"}, []string{s.s.TLS}},
		{"status", append([]string{"status", "--stamp", s.name()}, bound[:2]...), []string{server, host}},
		{"expiry", []string{"expiry", "--stamp", s.name()}, []string{"unreachable"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.t = t
			before := print(t, s.w.Repo+"/stamps") + print(t, s.s.Share) + print(t, s.s.Backup)
			a := s.run(nil, row.args...)
			if a.code != 3 || strings.Count(a.stderr, "certstamp: error: ") != 1 || !strings.Contains(a.stderr, "certstamp: hint: ") {
				t.Errorf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
			}
			for _, want := range row.says {
				if !strings.Contains(a.stdout+a.stderr, want) {
					t.Errorf("no %q in\n%s%s", want, a.stdout, a.stderr)
				}
			}
			if strings.Contains(a.stdout+a.stderr, `\u000A`) {
				t.Errorf("a line end that was made harmless:\n%s%s", a.stdout, a.stderr)
			}
			if stack.MatchString(a.stdout + a.stderr) {
				t.Errorf("a stack trace:\n%s", a.stderr)
			}
			if after := print(t, s.w.Repo+"/stamps") + print(t, s.s.Share) + print(t, s.s.Backup); after != before {
				t.Error("something was changed")
			}
		})
	}
	s.t = t
	s.holdsNoSecret()
}
