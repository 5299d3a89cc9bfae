package cli_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/samba"
)

// overSMB is a stand whose share is a real server. Without one the test is skipped, loudly; in CI that is a failure.
func overSMB(t *testing.T) *stand {
	t.Helper()
	spec := east
	spec.SMB = true
	s := newStand(t, spec)
	server, err := s.w.Serve(t.Context())
	if errors.Is(err, samba.ErrMissing) && os.Getenv("CI") == "" {
		t.Skipf("NOT TESTED against a real server: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	s.simulate()
	s.pack()
	return s
}

// TestPipelineOverSMB goes all the way with a real server for the share: we publish over SMB with one credential, and the
// simulator reads over SMB with the one it was given.
func TestPipelineOverSMB(t *testing.T) {
	s := overSMB(t)
	target := s.must(nil, "target", "--stamp", s.name()).doc.Stamps[0].Target
	if !strings.Contains(target.Text, `share.signing-only: "false"`) || !strings.Contains(target.Text, `resolve.001: "*:445:`) {
		t.Errorf("the target does not say how the share is reached:\n%s", target.Text)
	}
	env := map[string]string{"CERTSTAMP_TARGET": target.SHA256, "CI": "true"}
	bound := s.plan("plan.json")
	for _, step := range []struct{ command, first, again string }{
		{"stage", "stage: published: ", "stage: unchanged: "},
		{"rotate", "rotation: success (completed)", "rotation: success"},
		{"verify", "verify: 11 of 11", "verify: 11 of 11"},
	} {
		for _, want := range []string{step.first, step.again} {
			if a := s.must(env, append([]string{step.command}, bound...)...); !strings.Contains(a.stdout, want) {
				t.Errorf("%s said\n%s\nwanted %q", step.command, a.stdout, want)
			}
		}
	}
	if a := s.must(env, "status", "--stamp", s.name(), "--plan", "../plan.json"); !strings.Contains(a.stdout, "exactly the planned set") {
		t.Errorf("status said\n%s", a.stdout)
	}
	if a := s.must(env, append([]string{"unstage"}, bound...)...); !strings.Contains(a.stdout, "no PFX is left") {
		t.Errorf("unstage said\n%s", a.stdout)
	}
	if n := s.starts(); n != 1 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
	s.holdsNoSecret()
}

// TestLayoutsOverSMB: stage --check names the cause of each wrong layout (smb-staging: nestings and strays) and writes nothing.
func TestLayoutsOverSMB(t *testing.T) {
	s := overSMB(t)
	bound := s.plan("plan.json")
	for _, row := range []struct {
		name  string
		there []string // folders end in a slash
		says  []string
	}{
		{"identity at the root", []string{"AAD/ACSBlob/x.pfx"}, []string{"AAD directly at the share's root", "move it into Certificates"}},
		{"the other identity at the root", []string{"ADFS/ADFS/x.pfx"}, []string{"ADFS directly at the share's root"}},
		{"Certificates twice", []string{"Certificates/Certificates/AAD/ACSBlob/x.pfx"}, []string{"a second Certificates inside the first", "one level up"}},
		{"identity twice", []string{"Certificates/AAD/AAD/ACSBlob/x.pfx"}, []string{"a second AAD inside the first", "one level up"}},
		{"both identities", []string{"Certificates/AAD/ACSBlob/x.pfx", "Certificates/ADFS/ADFS/y.pfx"}, []string{"Certificates/ADFS", "remove the other one"}},
		{"the other identity", []string{"Certificates/ADFS/ADFS/y.pfx"}, []string{"Certificates/ADFS"}},
		{"endpoints without identity", []string{"Certificates/ACSBlob/x.pfx"}, []string{"Certificates/ACSBlob", `endpoint folders belong into Certificates\AAD`}},
		{"a file in Certificates", []string{"Certificates/x.pfx"}, []string{"a file", "move it out of Certificates"}},
		{"a file in the identity folder", []string{"Certificates/AAD/x.pfx"}, []string{"a file", "only endpoint folders"}},
		{"an unknown folder", []string{"Certificates/AAD/AppServices/x.pfx"}, []string{"AppServices", "only planned folders"}},
		{"two PFX in a folder", []string{"Certificates/AAD/ACSBlob/x.pfx", "Certificates/AAD/ACSBlob/y.pfx"}, []string{"2 PFX files", "exactly one"}},
		{"Thumbs.db", []string{"Certificates/AAD/ACSBlob/x.pfx", "Certificates/AAD/ACSBlob/Thumbs.db"}, []string{"Thumbs.db", "one PFX and nothing else"}},
		{"desktop.ini and .DS_Store", []string{"Certificates/AAD/ACSBlob/desktop.ini", "Certificates/AAD/KeyVault/.DS_Store"}, []string{"desktop.ini", ".DS_Store"}},
		{"a leftover .tmp", []string{"Certificates/AAD/ACSBlob/x.pfx.tmp"}, []string{"x.pfx.tmp"}},
		{"a folder in an endpoint's folder", []string{"Certificates/AAD/ACSBlob/old/x.pfx"}, []string{"a folder or link"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.t = t
			entries, err := os.ReadDir(s.s.Share)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if err := os.RemoveAll(filepath.Join(s.s.Share, e.Name())); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range row.there {
				p := filepath.Join(s.s.Share, filepath.FromSlash(name))
				if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(name), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			before := print(t, s.s.Share)
			a := s.run(nil, append([]string{"stage", "--check"}, bound...)...)
			if a.code != 1 {
				t.Errorf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
			}
			for _, want := range row.says {
				if !strings.Contains(a.stdout, want) {
					t.Errorf("no %q in\n%s", want, a.stdout)
				}
			}
			if print(t, s.s.Share) != before {
				t.Error("something was written")
			}
		})
	}
}

// TestMistakesOverSMB: what a server refuses ends in one clear error with the exit code of the table, and the set stays.
func TestMistakesOverSMB(t *testing.T) {
	s := overSMB(t)
	bound := s.plan("plan.json")
	for _, row := range []struct {
		name    string
		env     map[string]string
		edit    func(string) string
		command string
		code    int
		says    string
	}{
		{name: "wrong password", env: map[string]string{"SHARE_PASSWORD": "WrongPassword1"}, command: "stage", code: 3, says: "wrong user name or password"},
		{name: "unset password", env: map[string]string{"SHARE_PASSWORD": ""}, command: "stage", code: 2, says: "SHARE_PASSWORD"},
		{name: "wrong password for the lock", env: map[string]string{"SHARE_PASSWORD": "WrongPassword1"}, command: "rotate", code: 3, says: "wrong user name or password"},
		{name: "wrong target", env: map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, command: "stage", code: 1, says: "is pinned"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.t = t
			a := s.run(row.env, append([]string{row.command}, bound...)...)
			if a.code != row.code || !strings.Contains(a.stderr, row.says) || !strings.Contains(a.stderr, "certstamp: hint: ") {
				t.Errorf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
			}
		})
	}
	s.t = t
	if n := s.starts(); n != 0 {
		t.Errorf("a rotation was started %d times", n)
	}
	s.holdsNoSecret()
}
