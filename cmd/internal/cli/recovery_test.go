package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/demo"
	"github.com/certstamp/certstamp/internal/journal"
)

func (s *stand) check(a answer, code int, says ...string) {
	s.t.Helper()
	if a.code != code {
		s.t.Errorf("exit %d, wanted %d:\n%s%s", a.code, code, a.stdout, a.stderr)
	}
	for _, want := range says {
		if !strings.Contains(a.stdout+a.stderr, want) {
			s.t.Errorf("nothing says %q:\n%s%s", want, a.stdout, a.stderr)
		}
	}
}

// TestFailedThenRerun lets the stamp fail, and goes the way the exit codes and status name: failed, rerun, success.
func TestFailedThenRerun(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Extra = "fail: {step: 4, message: 'the gateway did not take certificate 3'}\n"
	s := newStand(t, spec)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 1, "the share holds no set")
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.check(s.run(nil, append([]string{"rotate", "--check"}, bound...)...), 0, "rotate --check: go",
		"1.2301.2.58", "CloudID, DeploymentID", "could not know", "the members of Get-ActionStatus")
	a := s.run(nil, append([]string{"rotate"}, bound...)...)
	s.check(a, 4, "action-failed", "the gateway did not take certificate 3", "plan --kind rerun")
	if a.doc.Error == nil || a.doc.Error.Code != 4 {
		t.Errorf("the document's error is %+v", a.doc.Error)
	}
	// The same plan again starts nothing.
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 4, "action-failed")
	s.check(s.run(nil, "status", "--stamp", s.name(), "--allow-path", s.s.Share), 0, "plan --stamp stamps/east --kind rerun")
	// Nor does a new plan of the same kind: the stamp's last rotation failed.
	again := s.plan("again.json", "--as-of", time.Now().UTC().Add(time.Minute).Format(time.RFC3339))
	s.check(s.run(nil, append([]string{"rotate"}, again...)...), 1, "last-failed", "rerun")
	share := print(t, filepath.Join(s.s.Share, "Certificates"))
	s.check(s.run(nil, append([]string{"stage"}, again...)...), 1, "last rotation is \"Failed\"", "rerun")
	unasked := s.plan("unasked.json", "--no-pep-check", "the login is locked")
	s.check(s.run(nil, append([]string{"stage"}, unasked...)...), 1, "the journal shows that the rotation of plan", "rerun")
	if print(t, filepath.Join(s.s.Share, "Certificates")) != share {
		t.Error("a set that cannot be rotated was staged")
	}

	rerun := s.plan("rerun.json", "--kind", "rerun")
	if err := os.RemoveAll(filepath.Join(s.s.Share, "Certificates", "AAD", "ACSBlob")); err != nil {
		t.Fatal(err) // after a failure the share may not be intact
	}
	s.check(s.run(nil, append([]string{"rotate"}, rerun...)...), 1, "the share holds")
	s.check(s.run(nil, append([]string{"stage"}, rerun...)...), 0, "stage: published")
	s.withoutJournals(func() {
		s.check(s.run(nil, append([]string{"rotate"}, rerun...)...), 1, "not-ours", "--adopt REASON")
	})
	s.check(s.run(nil, append([]string{"rotate"}, rerun...)...), 0, "rotation: success (completed)")
	s.check(s.run(nil, append([]string{"verify"}, rerun...)...), 0, "verify: 11 of 11")
	s.check(s.run(nil, append([]string{"unstage"}, rerun...)...), 0, "unstage: removed")
	if n := s.starts(); n != 2 {
		t.Errorf("the stamp was asked to rotate %d times, wanted once and once again", n)
	}
	s.holdsNoSecret()
}

// withoutJournals takes every journal away while do runs, like a rotation that somebody else started.
func (s *stand) withoutJournals(do func()) {
	s.t.Helper()
	away := s.t.TempDir()
	for name, at := range map[string]string{"local": filepath.Join(s.w.Repo, ".certstamp"), "share": filepath.Join(s.s.Share, "_certstamp", "journal.jsonl")} {
		kept := filepath.Join(away, name)
		if err := os.Rename(at, kept); err != nil {
			s.t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(os.RemoveAll(at), os.Rename(kept, at)); err != nil {
				s.t.Fatal(err)
			}
		}()
	}
	do()
}

// TestFailedAgain ends with support, not with a third attempt.
func TestFailedAgain(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Extra = "fail: {step: 2, message: 'the secret store is full', again: true}\n"
	s := newStand(t, spec)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 4)
	rerun := s.plan("rerun.json", "--kind", "rerun")
	s.must(nil, append([]string{"stage"}, rerun...)...)
	s.check(s.run(nil, append([]string{"rotate"}, rerun...)...), 4, "failed-again", "contact support", "the secret store is full")
	s.check(s.run(nil, "status", "--stamp", s.name(), "--allow-path", s.s.Share), 0, "certstamp support --plan", "contact support")
	third := s.plan("third.json", "--kind", "rerun")
	s.must(nil, append([]string{"stage"}, third...)...)
	s.check(s.run(nil, append([]string{"rotate", "--check"}, third...)...), 1, "third-attempt")
	s.check(s.run(nil, append([]string{"rotate"}, third...)...), 1, "third-attempt", "contact support", "--adopt REASON")
	// Nor does status lead to one, whether the stamp can be asked or not, and however old the plan is.
	for _, env := range []map[string]string{nil, {"PEP_PASSWORD": ""}} {
		for _, later := range []time.Duration{0, 8 * 24 * time.Hour} {
			s.now = func() time.Time { return time.Now().Add(later) }
			a := s.run(env, append([]string{"status", "--stamp", s.name(), "--allow-path", s.s.Share}, third[:2]...)...)
			s.check(a, 0, "next: certstamp support --plan .certstamp/east/plan-", "contact support", "--kind rerun --adopt REASON")
		}
	}
	s.now = time.Now
	kept, err := filepath.Glob(filepath.Join(s.w.Repo, ".certstamp", "east", "plan-"+rerun[3][:12]+".json"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%v %v", kept, err)
	}
	s.check(s.run(nil, append([]string{"status", "--stamp", s.name(), "--allow-path", s.s.Share}, third[:2]...)...), 0, "support --plan .certstamp/east/"+filepath.Base(kept[0]))
	if err := os.Remove(kept[0]); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, append([]string{"status", "--stamp", s.name(), "--allow-path", s.s.Share}, third[:2]...)...), 0, "support --plan PLAN, with plan "+rerun[3])
	adopted := s.plan("adopted.json", "--kind", "rerun", "--adopt", "support has asked for it")
	s.check(s.run(nil, append([]string{"status", "--stamp", s.name(), "--allow-path", s.s.Share}, adopted[:2]...)...), 0, "next: certstamp rotate --plan ../adopted.json")
	if n := s.starts(); n != 2 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
}

// TestInterrupted leaves a rotation while it runs, and finds out from another folder how it came out.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Speed = 900 // four seconds
	s := newStand(t, spec)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	s.must(nil, append([]string{"stage"}, bound...)...)

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var errs lines
	errs.on = func(line string) {
		if strings.Contains(line, "the stamp rotates") {
			leave()
		}
	}
	code := cli.Main(ctx, append([]string{"rotate"}, bound...), cli.Env{
		Stdin: strings.NewReader(""), Stdout: &errs, Stderr: &errs, Dir: s.w.Repo, Now: time.Now, Version: "test",
		Getenv: func(name string) string { return s.w.Secrets[name] },
	})
	if code != 5 || !strings.Contains(errs.String(), "rotate --attach") {
		t.Fatalf("exit %d, wanted 5 with the way back:\n%s", code, errs.String())
	}
	if !strings.Contains(errs.String(), "unreachable for 2-5 minutes") || !strings.Contains(errs.String(), "leaving; a rotation that was started goes on") {
		t.Errorf("it does not tell of the outage, or what leaving means:\n%s", errs.String())
	}
	// Endpoints change before a rotation ends: while nobody has seen its end, the set stays.
	s.check(s.run(nil, append([]string{"verify", "--wait", "2m"}, bound...)...), 0, "verify: 11 of 11")
	s.check(s.run(nil, append([]string{"unstage"}, bound...)...), 1, "rotate --attach")
	// A runner that has nothing but the plan: no local journal, only the share's.
	if err := os.RemoveAll(filepath.Join(s.w.Repo, ".certstamp")); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, append([]string{"rotate", "--attach"}, bound...)...), 0, "rotation: success")
	s.check(s.run(nil, append([]string{"unstage"}, bound...)...), 0, "unstage: removed")
	if n := s.starts(); n != 1 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
}

// TestAttachFromAnotherMachine: a runner that has the plan and the share, while the rotation runs and the first host of the
// endpoint is down, shows the stamp's steps with their times as they change, and ends with the true result.
func TestAttachFromAnotherMachine(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Speed = 800 // seven seconds
	s := newStand(t, spec)
	s.edit("stamp.yaml", func(b string) string { return strings.Replace(b, "hosts: [", `hosts: ["127.0.0.1:9", `, 1) })
	s.simulate()
	bound := s.plan("plan.json", "--kind", "internal", "--reason", "alert: 7")
	a := s.run(nil, append([]string{"rotate", "--max-duration", "3s"}, bound...)...)
	s.check(a, 5, "detached", "rotate --attach")
	if err := os.RemoveAll(filepath.Join(s.w.Repo, ".certstamp")); err != nil {
		t.Fatal(err)
	}
	a = s.run(nil, append([]string{"rotate", "--attach"}, bound...)...)
	s.check(a, 0, "rotation: success (completed)", "step: RotateInternalSecrets: InProgress, ", "step: RotateInternalSecrets: Success, ", " UTC to ", "step: CleanUp: Success, ")
	if len(a.doc.Stamps[0].Steps) < 3 {
		t.Errorf("steps: %+v", a.doc.Stamps[0].Steps)
	}
	// With the share's journal gone too, nothing says that it was this plan's rotation: that is no success.
	if err := errors.Join(os.RemoveAll(filepath.Join(s.w.Repo, ".certstamp")), os.RemoveAll(filepath.Join(s.s.Share, "_certstamp"))); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, append([]string{"rotate", "--attach"}, bound...)...), 1, "another-ran")
	if n := s.starts(); n != 1 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
}

// TestStartedWhileStaging lets another machine start the rotation after stage has looked and before it takes the lock: what
// the stamp is reading now is left alone.
func TestStartedWhileStaging(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	s.must(nil, append([]string{"stage"}, bound...)...)
	if err := os.Remove(filepath.Join(s.s.Share, "Certificates", "AAD", "ACSBlob", "ACSBlob.pfx")); err != nil {
		t.Fatal(err) // or stage would have nothing to do
	}
	before := print(t, filepath.Join(s.s.Share, "Certificates"))
	var errs lines
	errs.on = func(line string) {
		if !strings.Contains(line, "publish 11 files") {
			return
		}
		j, err := journal.Open(filepath.Join(s.s.Share, "_certstamp", "journal.jsonl"), bound[3], "another", time.Now)
		if err == nil {
			err = errors.Join(j.Append("rotate", "start", "starting", nil), j.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	code := cli.Main(t.Context(), append([]string{"stage"}, bound...), cli.Env{
		Stdin: strings.NewReader(""), Stdout: &errs, Stderr: &errs, Dir: s.w.Repo, Now: time.Now, Version: "test",
		Getenv: func(name string) string { return s.w.Secrets[name] },
	})
	if code != 1 || !strings.Contains(errs.String(), "was started meanwhile") {
		t.Errorf("exit %d, wanted 1:\n%s", code, errs.String())
	}
	if print(t, filepath.Join(s.s.Share, "Certificates")) != before {
		t.Error("the set was changed")
	}
}

// lines calls back for every write.
type lines struct {
	b  strings.Builder // not embedded: its WriteString would go past Write
	on func(string)
}

func (l *lines) String() string { return l.b.String() }

func (l *lines) Write(p []byte) (int, error) {
	l.on(string(p))
	return l.b.Write(p)
}

// TestSealedFiles runs on keys and certificates that lie in the repository only as age files.
func TestSealedFiles(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s.w.Secrets["PFX_IDENTITY"] = identity.String()
	s.edit("stamp.yaml", func(b string) string {
		return strings.Replace(b, "pfx-password:", "age-identity: env:PFX_IDENTITY\npfx-password:", 1)
	})
	to := []string{"--recipient", identity.Recipient().String()}
	s.must(nil, append([]string{"csr", "--stamp", s.name()}, to...)...)
	s.issue()
	s.check(s.run(nil, append([]string{"pack", "--stamp", s.name()}, to...)...), 2, "--key-identity")
	s.must(nil, append(append([]string{"pack", "--stamp", s.name(), "--key-identity", "env:PFX_IDENTITY", "--backup"}, to...), s.allow()...)...)
	if files, err := filepath.Glob(s.path("certificates", "AAD", "*", "*.pfx")); err != nil || len(files) > 0 {
		t.Errorf("%v lie in the repository unsealed", files)
	}
	s.must(nil, "validate", "--stamp", s.name())
	s.check(s.run(map[string]string{"PFX_IDENTITY": "AGE-SECRET-KEY-1nonsense"}, "validate", "--stamp", s.name()), 2, "age identity")
	bound := s.plan("plan.json")
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.must(nil, append([]string{"rotate"}, bound...)...)
	s.must(nil, append([]string{"verify"}, bound...)...)
	s.holdsNoSecret()
}

// TestInternalRotation has no certificates, no share and its own kind of plan.
func TestInternalRotation(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.check(s.run(nil, "plan", "--stamp", s.name(), "--kind", "internal", "--out", "../no.json"), 1, "compromise: WHAT")
	bound := s.plan("internal.json", "--kind", "internal", "--reason", "alert: 0x7a secrets expire")
	s.check(s.run(nil, append([]string{"stage"}, bound...)...), 2, "stages nothing")
	s.check(s.run(nil, append([]string{"rotate", "--max-duration", "1ns"}, bound...)...), 130, "interrupted before anything changed")
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 0, "rotation: success")
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 0, "rotation: success")
	// A runner without the local journal finds the share's; one without either finds a rotation since the plan.
	if err := os.RemoveAll(filepath.Join(s.w.Repo, ".certstamp")); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 0, "rotation: success")
	if err := errors.Join(os.RemoveAll(filepath.Join(s.w.Repo, ".certstamp")), os.RemoveAll(filepath.Join(s.s.Share, "_certstamp"))); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 1, "another-ran")
	if n := s.starts(); n != 1 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
}

// TestCheckDaysAhead: before the window, and with nothing on the share, a look says what is still to come and whether the stamp
// is ready; the rotation itself is refused.
func TestCheckDaysAhead(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	day := time.Now().UTC().AddDate(0, 0, 2)
	s.edit("stamp.yaml", func(text string) string {
		return text + fmt.Sprintf("windows: [\"%s 10:00-16:00 UTC\"]\n", day.Format("Mon"))
	})
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	opens := "the next one opens " + day.Format(time.DateOnly) + "T10:00:00Z"
	s.check(s.run(nil, append([]string{"rotate", "--check"}, bound...)...), 0, "rotate --check: go", "the share holds no set", opens, "certstamp stage --plan",
		"the endpoint has Set-BmcCredential, which takes -BmcPassword, -BmcUser, -BypassBMCUpdate", "lacks Set-BmcPassword, Get-SupportSessionToken, Unlock-SupportSession;",
		"also takes -Repair, which certstamp's table does not have")
	// What it costs: six cmdlets and the list at one host, the start at every host.
	if n, want := s.invoked("Get-Command"), 7+len(s.s.Hosts); n != want {
		t.Errorf("the syntax was asked for %d times, wanted %d", n, want)
	}
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 1, "the share holds no set")
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.check(s.run(nil, append([]string{"rotate", "--check"}, bound...)...), 0, "rotate --check: go", opens, "certstamp rotate --plan")
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 1, "not-ready", opens)
	if n := s.starts(); n != 0 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
}

// TestCheckWithoutShare: a share that cannot be looked at ends no look at the endpoint, and is never a go. What the endpoint
// refuses counts first, because it is known.
func TestCheckWithoutShare(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		extra    string
		code     int
		damage   func(s *stand) error
		endpoint string
	}{
		"the folder is gone": {"", 3, func(s *stand) error { return os.RemoveAll(s.s.Share) }, "the endpoint is ready"},
		"its journal is unreadable": {"", 3, func(s *stand) error {
			return os.MkdirAll(filepath.Join(s.s.Share, "_certstamp", "journal.jsonl"), 0o700)
		}, "the endpoint is ready"},
		"and the stamp is not well": {"health: {AzsInfraCapacity: FAIL}\n", 1, func(s *stand) error { return os.RemoveAll(s.s.Share) }, "AzsInfraCapacity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := east
			spec.Extra = row.extra
			s := newStand(t, spec)
			s.simulate()
			s.pack()
			bound := s.plan("plan.json")
			if err := row.damage(s); err != nil {
				t.Fatal(err)
			}
			a := s.run(nil, append([]string{"rotate", "--check"}, bound...)...)
			s.check(a, row.code, row.endpoint, "the share cannot be looked at", "1.2301.2.58")
			if len(a.doc.Stamps) != 1 {
				t.Fatalf("%d stamps in the document", len(a.doc.Stamps))
			}
			ids := map[string]string{}
			for _, f := range a.doc.Stamps[0].Findings {
				ids[f.ID] = string(f.Result)
			}
			if ids["share"] != "Fail" || ids["host-login"] != "OK" || ids["update-state"] != "OK" || a.doc.Stamps[0].Outcome == "go" {
				t.Errorf("%q, findings %v", a.doc.Stamps[0].Outcome, ids)
			}
		})
	}
}

// TestNotHealthy is refused before the start, unless the plan accepts the one test that fails.
func TestNotHealthy(t *testing.T) {
	t.Parallel()
	spec := east
	spec.Extra = "health: {AzsInfraCapacity: FAIL}\n"
	s := newStand(t, spec)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.check(s.run(nil, append([]string{"rotate", "--check"}, bound...)...), 1, "AzsInfraCapacity")
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 1, "not-ready", "AzsInfraCapacity")
	if n := s.starts(); n != 0 {
		t.Fatalf("the stamp was asked to rotate %d times", n)
	}
	s.check(s.run(nil, "plan", "--stamp", s.name(), "--out", "../no.json", "--accept-health", "AzsInfraCapacity"), 2, "has no reason")
	accepted := s.plan("accepted.json", "--accept-health", "AzsInfraCapacity=storage arrives on Monday")
	// The reviewer reads it above everything else.
	shown := s.must(nil, "plan", "--stamp", s.name(), "--out", "../shown.json", "--accept-health", "AzsInfraCapacity=storage arrives on Monday").stdout
	if at := strings.Index(shown, "storage arrives on Monday"); at < 0 || at > strings.Index(shown, "stage.publish") {
		t.Errorf("a reviewer does not read the acceptance before the steps:\n%s", shown)
	}
	s.check(s.run(nil, append([]string{"rotate"}, accepted...)...), 0, "rotation: success")
}

// TestExpiredThreeDaysAgo is the day on which somebody notices: every certificate that the stamp serves has expired. That must
// be a reason to rotate, and none not to.
func TestExpiredThreeDaysAgo(t *testing.T) {
	t.Parallel()
	w, err := demo.Prepare(filepath.Join(t.TempDir(), "work"), time.Now().AddDate(0, 0, -23), []demo.Spec{east}) // they live for 20 days
	if err != nil {
		t.Fatal(err)
	}
	w.Now = time.Now() // of the CA that issues the new ones
	s := &stand{t: t, w: w, s: w.Stamps[0], now: time.Now}
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	a := s.run(nil, append([]string{"verify"}, bound...)...)
	s.check(a, 1, "0 of 11")
	if before := a.doc.Stamps[0].Endpoints[0].Before; before == "" || before > time.Now().AddDate(0, 0, -2).UTC().Format(time.RFC3339) {
		t.Fatalf("the installed certificates end %q: they have not expired", before)
	}
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.check(s.run(nil, append([]string{"rotate", "--check"}, bound...)...), 0, "rotate --check: go")
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 0, "rotation: success (completed)")
	s.check(s.run(nil, append([]string{"verify"}, bound...)...), 0, "verify: 11 of 11")
	s.check(s.run(nil, append([]string{"unstage"}, bound...)...), 0, "unstage: removed")
}

// TestIdentityBeforeStage: a set for the wrong identity system is refused before it is published, not only before it is
// rotated. Where the AD FS endpoint can't be seen, the plan must say that somebody knows.
func TestIdentityBeforeStage(t *testing.T) {
	s := newStand(t, east)
	s.edit("stamp.yaml", func(b string) string { // nobody listens on discard, which is no evidence either way
		return strings.Replace(b, "resolve: [", `resolve: ["adfs.east.azurestack.contoso.example:443:127.0.0.1:9", `, 1)
	})
	s.simulate()
	s.pack()
	for _, more := range [][]string{nil, {"--no-pep-check", "the login is locked"}} {
		bound := s.plan("plan.json", more...)
		s.check(s.run(nil, append([]string{"stage"}, bound...)...), 1, "Identity System", "--identity-known REASON")
		if _, err := os.Stat(filepath.Join(s.s.Share, "Certificates")); err == nil {
			t.Error("the set was published")
		}
		known := s.plan("known.json", append([]string{"--identity-known", "it joined Entra ID in 2019"}, more...)...)
		s.check(s.run(nil, append([]string{"stage"}, known...)...), 0, "stage: published")
		if err := os.RemoveAll(filepath.Join(s.s.Share, "Certificates")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyBeforeRotation with endpoints that nobody saw when the plan was made: what they serve is the certificate before,
// not a stranger's.
func TestVerifyBeforeRotation(t *testing.T) {
	s := newStand(t, east)
	s.pack()
	bound := s.plan("plan.json")
	s.simulate()
	s.check(s.run(nil, append([]string{"verify"}, bound...)...), 1, "verify: 0 of 11", "the rest the one before", "run certstamp rotate")
}

// TestPlannedUnseen: a plan made while no endpoint answers can be applied. Its notices name each of them, and come out the
// same from the plan's own observations.
func TestPlannedUnseen(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.pack()
	bound := s.plan("plan.json")
	s.simulate()
	s.check(s.run(nil, append([]string{"stage"}, bound...)...), 0, "stage: published")
}

// TestExpiryGatesTheFirstChange: an expired plan begins nothing, and what it has begun is seen to its end. The text that was
// reviewed before tells what users will notice.
func TestExpiryGatesTheFirstChange(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	a := s.run(nil, "plan", "--stamp", s.name(), "--out", "../plan.json")
	s.check(a, 0, "users: public addresses of the stamp are unreachable for 2-5 minutes once during the run")
	bound := append([]string{"--plan", "../plan.json", "--plan-sha256", a.doc.Stamps[0].PlanSHA256}, s.allow()...)
	later := func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }

	s.now = later
	s.check(s.run(nil, append([]string{"stage"}, bound...)...), 1, "valid until")
	s.now = time.Now
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.now = later
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 1, "valid until")
	if n := s.starts(); n != 0 {
		t.Fatalf("the stamp was asked to rotate %d times", n)
	}
	s.now = time.Now
	s.must(nil, append([]string{"rotate"}, bound...)...)
	s.now = later
	for _, step := range [][]string{{"rotate", "--attach"}, {"rotate"}, {"verify"}, {"stage", "--restore"}, {"unstage"}} {
		s.check(s.run(nil, append(step, bound...)...), 0)
	}
	if n := s.starts(); n != 1 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
}

// TestRepair mends what can be mended without the CA.
func TestRepair(t *testing.T) {
	s := newStand(t, east)
	s.must(nil, "csr", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD")
	s.issue()
	s.must(nil, "pack", "--stamp", s.name(), "--key-password", "env:PFX_KEY_PASSWORD", "--encryption", "AES256-SHA256")
	file := "stamps/east/certificates/AAD/ACSBlob/ACSBlob.pfx"
	s.check(s.run(nil, "validate", "--offline", "--stamp", s.name()), 1, "PFX Encryption: Fail")
	s.check(s.run(nil, "pack", "--stamp", s.name(), "--repair", file), 2, "--out")
	s.check(s.run(nil, "pack", "--stamp", s.name(), "--repair", file, "--out", file), 0, "mended")
	s.packsOne(s.path("certificates", "AAD", "ACSBlob", "ACSBlob.pfx"))
}

// TestTwoRunnersWithoutAShare: without a share there is no lock, and a stamp shows a rotation late. Of two runs that find the way free
// at the same moment, the one whose line in the journal comes second takes it back.
func TestTwoRunnersWithoutAShare(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.edit("stamp.yaml", func(b string) string { return regexp.MustCompile(`(?m)^share:\n(  .*\n)+`).ReplaceAllString(b, "") })
	s.simulate()
	bound := s.plan("plan.json", "--kind", "internal", "--reason", "alert: 0x7a secrets expire")
	var both, done sync.WaitGroup
	both.Add(2)
	codes := make([]int, 2)
	said := make([]lines, 2)
	for i := range 2 {
		met := false
		said[i].on = func(line string) {
			if strings.Contains(line, "start the rotation") && !met {
				met = true
				both.Done()
				both.Wait() // until the other one has looked, too
			}
		}
		done.Go(func() {
			codes[i] = cli.Main(t.Context(), append([]string{"rotate"}, bound...), cli.Env{
				Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &said[i], Dir: s.w.Repo, Now: time.Now, Version: "test",
				Getenv: func(name string) string { return s.w.Secrets[name] },
			})
		})
	}
	done.Wait()
	slices.Sort(codes)
	if n := s.starts(); n != 1 || codes[0] != 0 {
		t.Errorf("exits %v, and the stamp was asked to rotate %d times:\n%s\n%s", codes, n, said[0].String(), said[1].String())
	}
	s.forgetEnd(bound[3])
	bmc := s.plan("bmc.json", "--kind", "bmc")
	s.check(s.run(nil, append([]string{"bmc"}, bmc...)...), 1, "rotation of plan "+bound[3], "rotate --attach")
}

// TestStatusByTheLocalJournal: where the journal on the share cannot be read, the one here still tells what was started.
func TestStatusByTheLocalJournal(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	bound := s.plan("plan.json", "--kind", "internal", "--reason", "alert: 0x7a secrets expire")
	s.must(nil, append([]string{"rotate"}, bound...)...)
	file := filepath.Join(s.s.Share, "_certstamp", "journal.jsonl")
	if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o755)); err != nil {
		t.Fatal(err)
	}
	a := s.run(nil, "status", "--stamp", s.name(), "--allow-path", s.s.Share)
	s.check(a, 3, "rotate end success at")
	if next := a.doc.Stamps[0].Next; next != "nothing: the rotation has ended well" {
		t.Errorf("next is %q", next)
	}
}

// forgetEnd takes the end of a plan's rotation out of every journal, as if whoever started it had been killed.
func (s *stand) forgetEnd(digest string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.w.Repo, ".certstamp", "east", "journal-*.jsonl"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no journal: %v", err)
	}
	shared := filepath.Join(s.s.Share, "_certstamp", "journal.jsonl")
	if _, err := os.Stat(shared); err == nil {
		files = append(files, shared)
	}
	for _, file := range files {
		var left strings.Builder
		for line := range strings.Lines(read(s.t, file)) {
			if !strings.Contains(line, digest) || !strings.Contains(line, `"room":"rotate"`) || !strings.Contains(line, `"step":"end"`) {
				left.WriteString(line)
			}
		}
		if err := os.WriteFile(file, []byte(left.String()), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestUnstageLeavesAnotherRotationAlone: the journal on the share is all that other machines know of a rotation of another plan, and
// that one may read the same files.
func TestUnstageLeavesAnotherRotationAlone(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.must(nil, append([]string{"rotate"}, bound...)...)
	internal := s.plan("internal.json", "--kind", "internal", "--reason", "alert: 0x7a secrets expire")
	s.must(nil, append([]string{"rotate"}, internal...)...)
	s.forgetEnd(internal[3])
	s.check(s.run(nil, append([]string{"unstage"}, bound...)...), 1, "rotation of plan "+internal[3], "rotate --attach")
	if err := os.RemoveAll(filepath.Join(s.w.Repo, ".certstamp")); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, append([]string{"rotate", "--attach"}, internal...)...), 0, "rotation: success")
	s.check(s.run(nil, append([]string{"unstage"}, bound...)...), 0, "unstage: removed")
}

// TestUnwatchedRotationHoldsTheShare: whoever started the last rotation was killed before it saw anything, and the stamp may not
// show it yet. No other set takes the place of the one that it reads, until somebody has looked.
func TestUnwatchedRotationHoldsTheShare(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	other := s.plan("other.json", "--as-of", time.Now().UTC().Add(time.Minute).Format(time.RFC3339))
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.must(nil, append([]string{"rotate"}, bound...)...)
	s.forgetEnd(bound[3])
	s.check(s.run(nil, append([]string{"stage"}, other...)...), 1, "was started and never looked at again", "rotate --attach")
	// What needs no stage starts nothing beside it either: the same files under another plan, and an internal rotation.
	s.check(s.run(nil, append([]string{"rotate"}, other...)...), 1, "was started and never looked at again", "rotate --attach")
	internal := s.plan("internal.json", "--kind", "internal", "--reason", "alert: 0x7a secrets expire")
	s.check(s.run(nil, append([]string{"rotate"}, internal...)...), 1, "was started and never looked at again", "rotate --attach")
	s.check(s.run(nil, append([]string{"rotate", "--check"}, internal...)...), 1, "was started and never looked at again")
	if n := s.starts(); n != 1 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
	s.must(nil, append([]string{"rotate", "--attach"}, bound...)...)
	s.must(nil, append([]string{"stage"}, other...)...)
}

// TestLostPlan: where the file of a plan is lost whose rotation nobody saw end, another plan of the stamp finds out from its journal.
func TestLostPlan(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	lost := bound[3]
	s.must(nil, append([]string{"stage"}, bound...)...)
	s.must(nil, append([]string{"rotate"}, bound...)...)
	s.forgetEnd(lost)
	for _, name := range []string{filepath.Join(s.w.Dir, "plan.json"), filepath.Join(s.w.Repo, ".certstamp")} {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	internal := s.plan("internal.json", "--kind", "internal", "--reason", "alert: 7 days left")
	attach := append([]string{"rotate", "--attach"}, internal...)
	s.check(s.run(nil, append([]string{"rotate"}, internal...)...), 1, lost, "--lost and the digest above")
	s.check(s.run(nil, append([]string{"rotate", "--lost", lost}, internal...)...), 2, "--lost goes with --attach")
	s.check(s.run(nil, append(attach, "--lost", "abc")...), 2, "is not a SHA-256")
	s.check(s.run(nil, append(attach, "--lost", internal[3])...), 2, "leave it out")
	s.check(s.run(nil, append(attach, "--lost", strings.Repeat("ab", 32))...), 2, "no journal at hand shows a start")
	a := s.run(map[string]string{"PEP_PASSWORD": "Wrong1Password"}, append(attach, "--lost", lost)...)
	s.check(a, 5, "cut-off", "--plan-sha256 "+internal[3], "--lost "+lost)
	a = s.must(nil, append(attach, "--lost", lost)...)
	if strings.Contains(a.stdout+a.stderr, "certstamp verify") || !strings.Contains(a.stdout, "completed") {
		t.Errorf("it leads to a plan that is lost, or not to the end:\n%s%s", a.stdout, a.stderr)
	}
	if n := s.starts(); n != 1 {
		t.Errorf("the stamp was asked to rotate %d times", n)
	}
	if kept, err := filepath.Glob(filepath.Join(s.w.Repo, ".certstamp", "east", "plan-"+lost[:12]+".json")); err != nil || len(kept) > 0 {
		t.Errorf("another plan was kept by the name of the lost one: %v, %v", kept, err)
	}
	s.must(nil, append([]string{"rotate"}, internal...)...)
	if n := s.starts(); n != 2 {
		t.Errorf("then the stamp was asked %d times, wanted 2", n)
	}
}

// TestNothingStartsWithoutTheShare: what the share does not take, no other machine will ever know, and a share that went away has
// let go of the stamp's lock. Nothing is sent then, and the same plan may start once the share is back.
func TestNothingStartsWithoutTheShare(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	lost := false
	for name, kind := range map[string][]string{
		"rotate": {"internal", "--reason", "alert: 0x7a secrets expire"},
		"bmc":    {"bmc"},
	} {
		cmdlet := map[string]string{"rotate": "Start-SecretRotation", "bmc": "Set-BmcCredential"}[name]
		bound := s.plan(name+".json", append([]string{"--kind"}, kind...)...)
		s.now = func() time.Time { // the journal asks for the time of each line, and the share goes away before the next is written
			if lost {
				if err := os.RemoveAll(filepath.Join(s.s.Share, "_certstamp")); err != nil {
					t.Error(err)
				}
			}
			return time.Now()
		}
		lost = true
		s.check(s.run(nil, append([]string{name}, bound...)...), 3, "no-journal", "share")
		if n := s.invoked(cmdlet); n != 0 {
			t.Errorf("%s was asked for %d times, by a journal that only one machine has", cmdlet, n)
		}
		lost = false
		s.check(s.run(nil, append([]string{name}, bound...)...), 0)
		if n := s.invoked(cmdlet); n != 1 {
			t.Errorf("%s was asked for %d times, wanted once", cmdlet, n)
		}
	}
}

// TestTheSessionVanishesUnderARotation: the end of the session is not the end of the rotation, and neither a success nor a
// failure. rotate asks the stamp in a new session until it knows.
func TestTheSessionVanishesUnderARotation(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		do, extra string
		code      int
		says      string
	}{
		{"shell-gone", "", 0, "rotation: success (completed)"},
		{"terminated", "fail: {step: 5, message: 'a role does not start'}\n", 4, "rotation: failed (action-failed)"},
	} {
		t.Run(row.do, func(t *testing.T) {
			t.Parallel()
			spec := east
			spec.Speed, spec.Extra = 900, "control: 127.0.0.1:0\n"+row.extra // four seconds
			s := newStand(t, spec)
			s.simulate()
			s.pack()
			bound := s.plan("plan.json")
			s.must(nil, append([]string{"stage"}, bound...)...)
			var errs lines
			errs.on = func(line string) {
				if strings.Contains(line, "the stamp rotates") {
					s.order("/faults", `{"faults": [{"on": "Receive", "n": [1], "do": "`+row.do+`"}]}`)
				}
			}
			code := cli.Main(t.Context(), append([]string{"rotate"}, bound...), cli.Env{
				Stdin: strings.NewReader(""), Stdout: &errs, Stderr: &errs, Dir: s.w.Repo, Now: time.Now, Version: "test",
				Getenv: func(name string) string { return s.w.Secrets[name] },
			})
			if code != row.code || !strings.Contains(errs.String(), row.says) {
				t.Errorf("exit %d, wanted %d with %q:\n%s", code, row.code, row.says, errs.String())
			}
			if h, err := os.ReadFile(s.s.History); err != nil || !strings.Contains(string(h), `"do":"`+row.do+`"`) || s.starts() != 1 {
				t.Errorf("%v, %d starts in\n%s", err, s.starts(), h)
			}
		})
	}
}

// order gives the simulator an order at its control endpoint.
func (s *stand) order(path, body string) {
	s.t.Helper()
	s.mu.Lock()
	m := regexp.MustCompile(`control (http://\S+) token (\S+)`).FindStringSubmatch(s.said.String())
	s.mu.Unlock()
	if m == nil {
		s.t.Error("the simulator has no control endpoint")
		return
	}
	r, err := nethttp.NewRequestWithContext(s.t.Context(), nethttp.MethodPost, m[1]+path, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+m[2])
	a, err := nethttp.DefaultClient.Do(r)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer a.Body.Close()
	if a.StatusCode != nethttp.StatusOK {
		s.t.Errorf("%s: %s", path, a.Status)
	}
}
