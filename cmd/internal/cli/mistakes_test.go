package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/stamp"
)

var timeNow = time.Now

// TestMistakes makes one mistake at a time: each ends in one clear error with a hint and the right exit code, changes
// nothing, shows no stack and no secret.
func TestMistakes(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.packWithPassword()
	bound := s.plan("plan.json")
	bmc := s.plan("bmc.json", "--kind", "bmc")
	s.must(nil, append([]string{"stage"}, bound...)...)
	allow := s.allow()

	edited := func(name string, change func(string) string) []string {
		b, err := os.ReadFile(filepath.Join(s.w.Dir, "plan.json"))
		if err != nil {
			t.Fatal(err)
		}
		out := change(string(b))
		if out == string(b) {
			t.Fatalf("%s: nothing was edited", name)
		}
		if err := os.WriteFile(filepath.Join(s.w.Dir, name), []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		// The digest of the edited file: what an attacker who can reach both would give.
		return append([]string{"--plan", "../" + name, "--plan-sha256", plan.Digest([]byte(out))}, allow...)
	}
	free := "127.0.0.1:9" // discard: nobody listens there

	for _, row := range []struct {
		name    string
		prepare func() (undo func())
		env     map[string]string
		args    []string
		later   time.Duration
		code    int
		says    string // in stderr or stdout
	}{
		{name: "no such stamp", args: []string{"validate", "--stamp", "stamps/nowhere"}, code: 2, says: "nowhere"},
		{name: "no such command", args: []string{"rotat"}, code: 2, says: "rotat"},
		{name: "no such flag", args: []string{"validate", "--stmp", "x"}, code: 2, says: "stmp"},
		{name: "no such format", args: []string{"--format", "yaml", "validate"}, code: 2, says: "yaml"},
		{name: "empty tree", prepare: func() func() { return s.moved("certificates") }, args: []string{"validate", "--stamp", s.name()}, code: 2, says: "certificates"},
		{name: "tree without files", prepare: func() func() { return s.emptied("certificates") }, args: []string{"validate", "--stamp", s.name()}, code: 1, says: "verdict: fail"},
		{name: "a name that is no text", prepare: func() func() { return s.made("certificates/AAD/bad\xff") }, args: []string{"validate", "--stamp", s.name()}, code: 2, says: "the name is not UTF-8"},
		{name: "no plan for a tree without files", prepare: func() func() { return s.emptied("certificates") }, args: []string{"plan", "--stamp", s.name(), "--out", "../no.json"}, code: 1, says: "no plan for east"},
		{name: "wrong PFX password", env: map[string]string{"PFX_PASSWORD": "WrongPassword1"}, args: []string{"validate", "--stamp", s.name()}, code: 1, says: "password"},
		{name: "truncated PFX", prepare: func() func() {
			return s.with("certificates/AAD/ACSBlob/ACSBlob.pfx", func(b string) string { return b[:len(b)/2] })
		}, args: []string{"validate", "--stamp", s.name()}, code: 1, says: "ACSBlob"},
		{name: "truncated PFX before stage", prepare: func() func() {
			return s.with("certificates/AAD/ACSBlob/ACSBlob.pfx", func(b string) string { return b[:len(b)/2] })
		}, args: append([]string{"stage"}, bound...), code: 1, says: "not what was approved"},
		{name: "unknown key", prepare: func() func() {
			return s.with("stamp.yaml", func(b string) string { return strings.Replace(b, "identity:", "identiy:", 1) })
		}, args: []string{"validate", "--stamp", s.name()}, code: 2, says: `"identity"`},
		{name: "stamp file that is no YAML", prepare: func() func() {
			return s.with("stamp.yaml", func(string) string { return "a: [" })
		}, args: []string{"target", "--stamp", s.name()}, code: 2, says: "not valid YAML"},
		{name: "unset secret", env: map[string]string{"PFX_PASSWORD": ""}, args: []string{"validate", "--stamp", s.name()}, code: 2, says: "PFX_PASSWORD"},
		{name: "Azure's unset secret", env: map[string]string{"PFX_PASSWORD": "$(PFX_PASSWORD)"}, args: []string{"validate", "--stamp", s.name()}, code: 2, says: "PFX_PASSWORD"},
		{name: "unset secret of the start", env: map[string]string{"SHARE_PASSWORD": ""}, args: append([]string{"rotate"}, bound...), code: 2, says: "SHARE_PASSWORD"},
		{name: "unset secret of the endpoint", env: map[string]string{"PEP_PASSWORD": ""}, args: append([]string{"rotate"}, bound...), code: 2, says: "PEP_PASSWORD"},
		{name: "unset BMC secret", env: map[string]string{"BMC_NEW_PASSWORD": ""}, args: append([]string{"bmc"}, bmc...), code: 2, says: "BMC_NEW_PASSWORD"},
		{name: "refused login", env: map[string]string{"PEP_PASSWORD": "WrongPassword1"}, args: append([]string{"rotate"}, bound...), code: 3, says: "refused"},
		{name: "refused login for bmc", env: map[string]string{"PEP_PASSWORD": "WrongPassword1"}, args: append([]string{"bmc"}, bmc...), code: 3, says: "refused"},
		{name: "nobody there", args: []string{"pep", "Get-ActionStatus", "--host", free, "--user", "x", "--password", "env:PEP_PASSWORD"}, code: 3, says: "cannot be reached"},
		{name: "a URL as a host", args: []string{"pep", "Get-ActionStatus", "--host", "http://" + free, "--user", "x", "--password", "env:PEP_PASSWORD"}, code: 2, says: "--host: "},
		{name: "a host and a stamp", args: []string{"pep", "Get-ActionStatus", "--host", free, "--stamp", s.name()}, code: 2, says: "leave out --stamp to ask the host " + free},
		{name: "a password without a host", args: []string{"pep", "Get-ActionStatus", "--stamp", s.name(), "--password", "env:PEP_PASSWORD"}, code: 2, says: "add --host"},
		{name: "a short password for keys", env: map[string]string{"PFX_KEY_PASSWORD": "Elevenchars"}, args: []string{"csr", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD"}, code: 2, says: "fewer than 12 characters"},
		{name: "wrong target", env: map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, args: append([]string{"rotate"}, bound...), code: 1, says: "is pinned"},
		{name: "wrong target before stage", env: map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, args: append([]string{"stage"}, bound...), code: 1, says: "is pinned"},
		{name: "wrong target before bmc", env: map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, args: append([]string{"bmc"}, bmc...), code: 1, says: "is pinned"},
		{name: "wrong target before pep", env: map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, args: []string{"pep", "Get-ActionStatus", "Start-SecretRotation", "--stamp", s.name()}, code: 1, says: "is pinned"},
		{name: "wrong target before a renewal", env: map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, args: []string{"csr", "--stamp", s.name(), "--renew", "--key-password", "env:PFX_KEY_PASSWORD"}, code: 1, says: "is pinned"},
		{name: "refused login for pep", env: map[string]string{"PEP_PASSWORD": "WrongPassword1"}, args: []string{"pep", "Get-ActionStatus", "Start-SecretRotation", "--stamp", s.name()}, code: 3, says: "refused"},
		{name: "refused login for rotate --check", env: map[string]string{"PEP_PASSWORD": "WrongPassword1"}, args: append([]string{"rotate", "--check"}, bound...), code: 3, says: "refused"},
		{name: "unset secret of pep", env: map[string]string{"PEP_PASSWORD": ""}, args: []string{"pep", "Get-ActionStatus", "Start-SecretRotation", "--stamp", s.name()}, code: 2, says: "PEP_PASSWORD"},
		{name: "unset secret of plan", env: map[string]string{"PFX_PASSWORD": ""}, args: []string{"plan", "--stamp", s.name(), "--out", "../no.json"}, code: 2, says: "PFX_PASSWORD"},
		{name: "unset secret of csr", env: map[string]string{"PFX_KEY_PASSWORD": ""}, args: []string{"csr", "--stamp", s.name(), "--new", "--key-password", "env:PFX_KEY_PASSWORD"}, code: 2, says: "PFX_KEY_PASSWORD"},
		{name: "unset secret of pack", env: map[string]string{"PFX_KEY_PASSWORD": ""}, args: []string{"pack", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD"}, code: 2, says: "PFX_KEY_PASSWORD"},
		{name: "unset secret of simulate", env: map[string]string{"PEP_PASSWORD": ""}, args: []string{"simulate", "--user", "x", "--password", "env:PEP_PASSWORD"}, code: 2, says: "PEP_PASSWORD"},
		{name: "wrong PFX password for plan", env: map[string]string{"PFX_PASSWORD": "WrongPassword1"}, args: []string{"plan", "--stamp", s.name(), "--out", "../no.json"}, code: 1, says: "password"},
		{name: "truncated PFX for plan", prepare: func() func() {
			return s.with("certificates/AAD/ACSBlob/ACSBlob.pfx", func(b string) string { return b[:len(b)/2] })
		}, args: []string{"plan", "--stamp", s.name(), "--out", "../no.json"}, code: 1, says: "ACSBlob"},
		{name: "truncated PFX to repair", prepare: func() func() {
			return s.with("certificates/AAD/ACSBlob/ACSBlob.pfx", func(b string) string { return b[:len(b)/2] })
		}, args: []string{"pack", "--repair", "stamps/east/certificates/AAD/ACSBlob/ACSBlob.pfx", "--stamp", s.name(), "--out", "../no.pfx"}, code: 2, says: "ACSBlob"},
		{name: "nothing to repair", args: []string{"pack", "--repair", "none.pfx", "--stamp", s.name(), "--out", "../no.pfx"}, code: 2, says: "none.pfx"},
		{name: "no stamp information", args: []string{"init", "--from", "none.json", "--action", "contoso/certstamp@" + strings.Repeat("0", 40)}, code: 2, says: "none.json"},
		{name: "no plan file to stage", args: append([]string{"stage", "--plan", "../none.json"}, bound[2:]...), code: 2, says: "none.json"},
		{name: "no plan file for bmc", args: append([]string{"bmc", "--plan", "../none.json"}, bmc[2:]...), code: 2, says: "none.json"},
		{name: "no plan file to verify", args: append([]string{"verify", "--plan", "../none.json"}, bound[2:]...), code: 2, says: "none.json"},
		{name: "no plan file to unstage", args: append([]string{"unstage", "--plan", "../none.json"}, bound[2:]...), code: 2, says: "none.json"},
		{name: "no plan file for status", args: []string{"status", "--stamp", s.name(), "--plan", "../none.json"}, code: 2, says: "none.json"},
		{name: "no plan file for support", args: []string{"support", "--plan", "../none.json"}, code: 2, says: "none.json"},
		{name: "no such stamp for csr", args: []string{"csr", "--stamp", "stamps/nowhere", "--key-password", "env:PFX_KEY_PASSWORD"}, code: 2, says: "nowhere"},
		{name: "no such stamp for pack", args: []string{"pack", "--stamp", "stamps/nowhere", "--key-password", "env:PFX_KEY_PASSWORD"}, code: 2, says: "nowhere"},
		{name: "no such stamp for plan", args: []string{"plan", "--stamp", "stamps/nowhere", "--out", "../no.json"}, code: 2, says: "nowhere"},
		{name: "no such stamp for target", args: []string{"target", "--stamp", "stamps/nowhere"}, code: 2, says: "nowhere"},
		{name: "no such stamp for status", args: []string{"status", "--stamp", "stamps/nowhere"}, code: 2, says: "nowhere"},
		{name: "no such stamp for expiry", args: []string{"expiry", "--stamp", "stamps/nowhere", "--offline"}, code: 2, says: "nowhere"},
		{name: "no such stamp for pep", args: []string{"pep", "Get-ActionStatus", "Start-SecretRotation", "--stamp", "stamps/nowhere"}, code: 2, says: "nowhere"},
		{name: "expired plan to stage", later: 8 * 24 * time.Hour, args: append([]string{"stage"}, bound...), code: 1, says: "valid until"},
		{name: "expired plan for bmc", later: 8 * 24 * time.Hour, args: append([]string{"bmc"}, bmc...), code: 1, says: "valid until"},
		{name: "no target in CI", env: map[string]string{"CI": "true"}, args: append([]string{"rotate"}, bound...), code: 1, says: "no target is pinned"},
		{name: "plan of a day to come", later: -24 * time.Hour, args: append([]string{"rotate"}, bound...), code: 1, says: "yet to come"},
		{name: "expired plan", later: 8 * 24 * time.Hour, args: append([]string{"rotate"}, bound...), code: 1, says: "valid until"},
		{name: "no plan file", args: append([]string{"rotate", "--plan", "../none.json"}, bound[2:]...), code: 2, says: "none.json"},
		{name: "no plan at all", args: []string{"rotate"}, code: 2, says: "--plan-sha256"},
		{name: "no digest", args: []string{"stage", "--plan", "../plan.json"}, code: 2, says: "--plan-sha256"},
		{name: "a digest that is none", args: []string{"stage", "--plan", "../plan.json", "--plan-sha256", "abc"}, code: 2, says: "not a SHA-256"},
		{name: "another digest", args: []string{"stage", "--plan", "../plan.json", "--plan-sha256", strings.Repeat("ab", 32)}, code: 1, says: "was approved"},
		{name: "plan edited out of shape", args: append([]string{"stage"}, edited("shape.json", func(b string) string { return strings.Replace(b, "{\n", "{ \n", 1) })...), code: 1, says: "canonical"},
		{name: "plan edited in shape", args: append([]string{"stage"}, edited("notice.json", func(b string) string { return strings.Replace(b, "2-5 minutes", "0-0 minutes", 1) })...), code: 1, says: "notices"},
		{name: "plan that reaches further", args: append([]string{"rotate"}, edited("user.json", func(b string) string {
			return strings.Replace(b, `"user": "SIMULATED\\CloudAdmin"`, `"user": "SIMULATED\\Somebody"`, 1)
		})...), code: 1, says: "Somebody"},
		{name: "status of a plan for another target", args: append([]string{"status", "--stamp", s.name()}, edited("target.json", func(b string) string {
			at := strings.Index(b, `"targetDigest": "`) + len(`"targetDigest": "`)
			return b[:at] + strings.Repeat("0", 64) + b[at+64:]
		})[:2]...), code: 1, says: "the plan was made for 0000"},
		{name: "status of a plan that reaches further", args: append([]string{"status", "--stamp", s.name()}, edited("host.json", func(b string) string {
			return strings.ReplaceAll(b, `"host": "adminportal.east.azurestack.contoso.example"`, `"host": "adminportal.stamp.invalid"`)
		})[:2]...), code: 1, says: "stamp.invalid"},
		{name: "plan of the wrong kind", args: append([]string{"bmc"}, bound...), code: 2, says: "kind external"},
		{name: "plan of the wrong kind to rotate", args: append([]string{"rotate"}, bmc...), code: 2, says: "kind bmc"},
		{name: "stamp file led elsewhere", prepare: func() func() {
			return s.with("stamp.yaml", func(b string) string {
				return strings.Replace(b, `user: SIMULATED\CloudAdmin`, `user: SIMULATED\Somebody`, 1)
			})
		}, args: append([]string{"rotate"}, bound...), code: 1, says: "leads to target"},
		{name: "share outside", args: []string{"stage", bound[0], bound[1], bound[2], bound[3]}, code: 2, says: "outside the repository"},
		{name: "keys in clear", args: []string{"csr", "--stamp", s.name()}, code: 2, says: "never written in clear"},
		{name: "keys sealed twice", args: []string{"csr", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD", "--recipient", "age1x"}, code: 2, says: "exactly one way"},
		{name: "secret as an argument", args: []string{"csr", "--stamp", s.name(), "--key-password", "Hunter2Hunter2"}, code: 2, says: "--key-password"},
		{name: "secret of another role", args: []string{"csr", "--stamp", s.name(), "--key-password", "env:PEP_PASSWORD"}, code: 2, says: "PFX"},
		{name: "subject that is none", args: []string{"csr", "--stamp", s.name(), "--subject", "Contoso", "--key-password", "env:PFX_KEY_PASSWORD"}, code: 2, says: "--subject"},
		{name: "wrong key password", prepare: func() func() { return s.moved("certificates") }, env: map[string]string{"PFX_KEY_PASSWORD": "WrongPassword1"}, args: []string{"pack", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD"}, code: 2, says: "password"},
		{name: "nothing issued", prepare: func() func() { return s.emptied("issued") }, args: []string{"pack", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD"}, code: 1, says: "no certificate for"},
		{name: "unstage before it is live", args: append([]string{"unstage"}, bound...), code: 1, says: "0 of 11 endpoints"},
		{name: "verify before it is live", args: append([]string{"verify"}, bound...), code: 1, says: "verify: 0 of 11"},
		{name: "a cmdlet that is none", args: []string{"pep", "Get-Nothing", "--stamp", s.name()}, code: 2, says: "Get-AzureStackStampInformation"},
		{name: "a rotation by hand", args: []string{"pep", "Start-SecretRotation", "--stamp", s.name()}, code: 1, says: "make a plan"},
		{name: "a change by hand", args: []string{"pep", "Remove-CloudAdminUser", "UserName=x", "--stamp", s.name()}, code: 1, says: "--unplanned"},
		{name: "a change by hand in CI", env: map[string]string{"CI": "true"}, args: []string{"pep", "Remove-CloudAdminUser", "UserName=x", "--stamp", s.name(), "--unplanned", "because"}, code: 1, says: "never runs in CI"},
		{name: "a demo over somebody's files", args: []string{"demo", "--out", ".."}, code: 2, says: "not made by the demo"},
		{name: "help for nothing", args: []string{"help", "foo"}, code: 2, says: "there is no command \"foo\""},
		{name: "help for too much", args: []string{"help", "rotate", "foo"}, code: 2, says: "there is no command"},
		{name: "a plan to a place that cannot be", args: []string{"plan", "--stamp", s.name(), "--out", "stamps/east/stamp.yaml/plan.json"}, code: 2, says: "name another place"},
		{name: "an archive to a place that cannot be", args: []string{"support", bound[0], bound[1], "--out", "stamps/east/stamp.yaml/x.zip"}, code: 2, says: "with --out"},
		{name: "a plan below folders that are not there", args: []string{"plan", "--stamp", s.name(), "--out", "no/such/plan.json"}, code: 2, says: "there is no folder"},
		{name: "requests below a folder that is not there", args: []string{"csr", "--stamp", s.name(), "--new", "--subject", "O=SIMULATED", "--key-password", "env:PFX_KEY_PASSWORD", "--out", "no/such", "--key-bits", "2048"}, code: 2, says: "there is no folder"},
		{name: "recordings below a folder that is not there", args: append([]string{"rotate", "--check", "--record", "no/such"}, bound...), code: 2, says: "there is no folder"},
		{name: "no time at all", args: append([]string{"rotate", "--max-duration", "0s"}, bound...), code: 2, says: "leaves no time"},
		{name: "a scenario that is none", args: []string{"simulate", "--scenario", "stamps/east/stamp.yaml"}, code: 2, says: `stamp.yaml:3:1: unknown key "name"`},
		{name: "a simulated stamp for everybody", args: []string{"simulate", "--listen", "0.0.0.0:0", "--user", "x", "--password", "env:PEP_PASSWORD"}, code: 2, says: `"0.0.0.0:0": wanted IP:port on loopback`},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.t = t
			s.now = func() time.Time { return timeNow().Add(row.later) }
			if row.prepare != nil {
				defer row.prepare()()
			}
			before := print(t, s.w.Repo+"/stamps") + print(t, s.s.Share+"/Certificates") + print(t, s.s.Backup)
			a := s.run(row.env, row.args...)
			said := a.stdout + a.stderr
			if a.code != row.code || !strings.Contains(said, row.says) {
				t.Errorf("exit %d, wanted %d saying %q:\n%s", a.code, row.code, row.says, said)
			}
			if n := strings.Count(a.stderr, "certstamp: error: "); n != 1 {
				t.Errorf("%d errors:\n%s", n, a.stderr)
			}
			if !strings.Contains(a.stderr, "certstamp: hint: ") {
				t.Errorf("no hint:\n%s", a.stderr)
			}
			if stack.MatchString(said) {
				t.Errorf("a stack trace:\n%s", said)
			}
			if after := print(t, s.w.Repo+"/stamps") + print(t, s.s.Share+"/Certificates") + print(t, s.s.Backup); after != before {
				t.Error("something was changed")
			}
		})
	}
	s.t = t
	s.keptPlan()
	if n := s.starts(); n != 0 {
		t.Errorf("a rotation was started %d times", n)
	}
	for _, wrong := range []string{"WrongPassword1", "Hunter2Hunter2"} {
		if strings.Contains(s.said.String(), wrong) {
			t.Errorf("%q was repeated", wrong)
		}
	}
	s.holdsNoSecret()
}

// TestSchemaHint names the schema of the stamp file only where there is one.
func TestSchemaHint(t *testing.T) {
	t.Parallel()
	b := newBureau(t, "colour: blue\n")
	if a := b.run(nil, "target", "--stamp", "stamps/east"); a.code != 2 || !strings.Contains(a.doc.Error.Hint, "certstamp init writes") || strings.Contains(a.doc.Error.Hint, stamp.SchemaName) {
		t.Errorf("without a schema: exit %d, %+v", a.code, a.doc.Error)
	}
	if err := os.WriteFile(filepath.Join(b.dir, stamp.SchemaName), stamp.Schema(), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := b.run(nil, "target", "--stamp", "stamps/east"); a.code != 2 || !strings.Contains(a.doc.Error.Hint, stamp.SchemaName) {
		t.Errorf("with a schema: exit %d, %+v", a.code, a.doc.Error)
	}
}

// keptPlan holds that status takes no plan that is not the one its name says.
func (s *stand) keptPlan() {
	s.t.Helper()
	kept, err := filepath.Glob(filepath.Join(s.w.Repo, ".certstamp", "east", "plan-*.json"))
	if err != nil || len(kept) == 0 {
		s.t.Fatalf("no plan is kept: %v", err)
	}
	for _, name := range kept {
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, append(b, '\n'), 0o600)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.check(s.run(nil, append([]string{"status", "--stamp", s.name()}, s.allow()...)...), 0, "is not the plan that its name says", "next: certstamp status --stamp stamps/east --plan PLAN")
}

var stack = regexp.MustCompile(`goroutine \d+|\.go:\d+|runtime error`)

// with changes a file of the stamp until undo is called.
func (s *stand) with(name string, change func(string) string) (undo func()) {
	s.t.Helper()
	before, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	s.edit(name, change)
	return func() {
		if err := os.WriteFile(s.path(name), before, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// made makes a folder.
func (s *stand) made(name string) (undo func()) {
	s.t.Helper()
	if err := os.Mkdir(s.path(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(s.path(name)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// moved takes a folder of the stamp away.
func (s *stand) moved(name string) (undo func()) {
	s.t.Helper()
	aside := filepath.Join(s.w.Dir, "aside")
	if err := os.Rename(s.path(name), aside); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(s.path(name)); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Rename(aside, s.path(name)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// emptied leaves an empty folder in its place.
func (s *stand) emptied(name string) (undo func()) {
	s.t.Helper()
	undo = s.moved(name)
	if err := os.Mkdir(s.path(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return undo
}

// TestPlanWithoutEffect: what a plan has no place for is refused before anything is looked at, all of it together.
func TestPlanWithoutEffect(t *testing.T) {
	s := newStand(t, east)
	for _, row := range []struct{ args, says []string }{
		{[]string{"--reason", "alert: x", "--combined", "yes"}, []string{"--reason has no effect", "--combined has no effect"}},
		{
			[]string{"--kind", "bmc", "--fresh", "z", "--accept-health", "AzsFoo=why"},
			[]string{"--fresh has no effect", "--accept-health has no effect"},
		},
		{[]string{"--kind", "rerun", "--rerun-of", "banana"}, []string{`--rerun-of "banana"`, "external nor internal"}},
		{[]string{"--kind", "external", "--rerun-of", "internal"}, []string{"--rerun-of has no effect", "--kind rerun"}},
		{[]string{"--fresh", "   "}, []string{"--fresh gives no reason"}},
		{[]string{"--accept-health", "AzsFoo=x", "--accept-health", "AzsFoo=y"}, []string{"AzsFoo is given twice"}},
	} {
		a := s.run(nil, append([]string{"plan", "--stamp", s.name(), "--out", "../no.json"}, row.args...)...)
		s.check(a, 2, append(row.says, "hint: ")...)
		if _, err := os.Stat(filepath.Join(s.w.Dir, "no.json")); err == nil {
			t.Errorf("%v: a plan was written", row.args)
		}
	}
}
