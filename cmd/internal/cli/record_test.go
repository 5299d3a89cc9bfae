package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/cmd/internal/demo"
	"github.com/certstamp/certstamp/policies"
)

var writeRecordings = flag.Bool("write-recordings", false, "write testdata/psrp/recordings")

// tapes are the recordings in a folder, in the order in which they were begun.
func tapes(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	slices.Sort(files)
	return files
}

// TestRecord: each session makes a file of its own, and a folder that cannot be written ends the run before a login.
func TestRecord(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	ask := []string{"pep", "Get-AzureStackStampInformation", "--stamp", s.name(), "--record"}
	for range 2 {
		if a := s.must(nil, append(ask, "../tapes")...); !strings.Contains(a.stderr, "recording the session with "+s.s.Hosts[0]+" in ../tapes/") {
			t.Errorf("it said\n%s", a.stderr)
		}
	}
	files := tapes(t, filepath.Join(s.w.Dir, "tapes"))
	if len(files) != 2 {
		t.Errorf("%d recordings", len(files))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(b), `"cmdlet":"Get-AzureStackStampInformation"`) || !strings.Contains(string(b), `"state":"Completed"`) ||
			!strings.Contains(string(b), `"idleTimeout":"PT900`) || // a session that only reads does not hold a place for hours
			strings.Contains(string(b), s.w.Secrets["PEP_PASSWORD"]) {
			t.Errorf("%v\n%.2000s", err, b)
		}
	}
	logins := s.logins()
	if err := os.WriteFile(filepath.Join(s.w.Dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, append(ask, "../file/tapes")...), 2, "--record", "file/tapes: ", "name another place")
	if n := s.logins(); n != logins {
		t.Errorf("%d logins, wanted %d", n, logins)
	}
}

// logins counts the logins in the simulator's history.
func (s *stand) logins() int {
	s.t.Helper()
	b, err := os.ReadFile(s.s.History)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Count(string(b), `"event":"login"`)
}

// TestWriteRecordings makes the recordings that go test plays again.
func TestWriteRecordings(t *testing.T) {
	if !*writeRecordings {
		t.Skip("go test ./cmd/internal/cli -run TestWriteRecordings -write-recordings writes them")
	}
	old := demo.Spec{Name: "west", Region: "west", Identity: policies.ADFS, Version: "1.1811.0.101", Speed: 2000, BMC: "external"}
	for _, row := range []struct {
		name  string
		spec  demo.Spec
		extra string
		code  int
		args  []string
	}{
		{"information", east, "", 0, []string{"pep", "Get-AzureStackStampInformation"}},
		{"health-fails", old, "health: {AzsInfraCapacity: FAIL}\n", 0, []string{"pep", "Test-AzureStack", "Group=SecretRotationReadiness"}},
		{"other-configuration", old, "configuration: Maintenance\n", 1, []string{
			"pep", "Get-Weather", "Where=list:here,there", "Days=int:3", "Key=secret:env:PEP_PASSWORD",
		}},
		{"rotation-1811", old, "", 0, []string{"rotate"}},
		{"rotation-over-a-bad-line", old, "faults:\n- {on: Receive, n: [6, 9], do: close-before}\n- {on: Receive, n: [12], do: close-after}\n", 0, []string{"rotate"}},
		{"start-without-an-answer", east, "faults: [{on: Command, n: [10], do: close-after}]\n", 0, []string{"rotate"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.spec.Extra, row.spec.Speed = row.extra, 30_000
			s := newStand(t, row.spec)
			s.simulate()
			args := slices.Concat(row.args, []string{"--record", "../tapes"})
			var env map[string]string
			switch {
			case args[0] == "rotate":
				s.packWithPassword()
				env = map[string]string{"CERTSTAMP_TARGET": s.must(nil, "target", "--stamp", s.name()).doc.Stamps[0].Target.SHA256}
				bound := s.plan("plan.json")
				s.must(env, append([]string{"stage"}, bound...)...)
				args = append(args, bound...)
			case row.name == "other-configuration":
				args = append(args, "--host", s.s.Hosts[0], "--user", `SIMULATED\CloudAdmin`, "--password", "env:PEP_PASSWORD", "--configuration", "Maintenance")
			default:
				args = append(args, "--stamp", s.name())
			}
			s.check(s.run(env, args...), row.code)
			files := tapes(t, filepath.Join(s.w.Dir, "tapes"))
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%s: %d bytes", filepath.Base(file), len(b))
			}
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join("..", "..", "..", "testdata", "psrp", "recordings", row.name+".jsonl"), b, 0o644); err != nil {
				t.Fatal(err)
			}
			if args[0] == "rotate" {
				s.holdsNoSecret()
			}
		})
	}
}
