package cli_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/certstamp/certstamp/cmd/internal/report"
)

// states counts what an expiry said, by where it looked and what it found.
func states(a answer) map[string]int {
	out := map[string]int{}
	for _, s := range a.doc.Stamps {
		for _, e := range s.Expiries {
			out[e.Source+" "+e.State]++
		}
	}
	return out
}

// TestExpiry looks at a stamp that serves certificates for 20 more days, beside a tree that has later ones.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	poor := map[string]string{} // nobody who only looks has a secret
	for name := range s.w.Secrets {
		poor[name] = ""
	}
	look := func(code int, next string, want map[string]int, args ...string) answer {
		t.Helper()
		a := s.run(poor, append([]string{"expiry", "--stamp", s.name()}, args...)...)
		s.check(a, code)
		if got := states(a); !maps.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", args, got, want)
		}
		if got := a.doc.Stamps[0].Next; got != next {
			t.Errorf("%v: next %q, want %q", args, got, next)
		}
		return a
	}
	const plan, request = "certstamp plan --stamp stamps/east --out plan.json", "certstamp csr --stamp stamps/east"
	due := map[string]int{"live critical": 11, "file ready": 11}
	a := look(1, plan, due, "--metrics", "../east.prom", "--calendar", "../east.ics")
	for _, e := range a.doc.Stamps[0].Expiries {
		want := map[string]int{"live": 19, "file": 198}[e.Source]
		if e.DaysLeft == nil || *e.DaysLeft != want && *e.DaysLeft != want+1 || e.Source == "live" && (e.Leaves != 1 || e.Samples < 2) {
			t.Errorf("%s %s: %+v, wanted %d days left, or one more in the second after they were made", e.Source, e.Endpoint, e, want)
		}
	}
	if !strings.Contains(a.stdout, "[Fail] Days Left") || !strings.Contains(a.stdout, "the tree holds a later one: plan its rotation") || strings.Contains(a.stdout, "unread") {
		t.Errorf("it said\n%s", a.stdout)
	}
	for name, holds := range map[string]string{"east.prom": "\nazs_secret_not_after{kind=\"external\",source=\"live\",stamp=\"east\",endpoint=\"ACSBlob\"", "east.ics": "\r\nSUMMARY:SIMULATED east: certificate of ACSBlob ends\r\n"} {
		b, err := os.ReadFile(filepath.Join(s.w.Dir, name))
		if err != nil || !strings.Contains(string(b), holds) {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
		s.keep(b)
	}

	// Of files alone, their own ends count. They live for 199 days, for which an early warning would say nothing.
	for day, want := range map[int]struct {
		code  int
		state string
		next  string
	}{0: {0, "ok", ""}, 160: {0, "ok", ""}, 170: {1, "critical", request}, 200: {1, "expired", request}} {
		look(want.code, want.next, map[string]int{"file " + want.state: 11}, "--offline", "--as-of", time.Now().AddDate(0, 0, day).Format(time.RFC3339))
	}

	// Whoever says other days is told by those.
	far := []string{"--offline", "--as-of", time.Now().AddDate(0, 0, 100).Format(time.RFC3339)}
	look(0, request, map[string]int{"file warning": 11}, append(far, "--warning-days", "120")...)
	look(1, request, map[string]int{"file critical": 11}, append(far, "--critical-days", "120")...)

	// A file without its public twin is opened if its password is at hand, and is unknown otherwise.
	twin := s.path("certificates", "AAD", "ACSBlob", "ACSBlob.crt")
	if err := os.Remove(twin); err != nil {
		t.Fatal(err)
	}
	blind := look(1, "", map[string]int{"live critical": 11, "file ready": 10, "file unread": 1})
	if *blind.doc.Complete || !strings.Contains(blind.stdout, "there is no public twin, and no password") {
		t.Errorf("it said\n%s", blind.stdout)
	}
	look(3, "", map[string]int{"file ok": 10, "file unread": 1}, "--offline")
	if got := states(s.run(nil, "expiry", "--stamp", s.name())); !maps.Equal(got, due) {
		t.Errorf("with the password: %v", got)
	}

	// A stamp may be watched without a tree.
	if err := os.RemoveAll(s.path("certificates")); err != nil {
		t.Fatal(err)
	}
	look(1, request, map[string]int{"live critical": 11})
	s.check(s.run(poor, "expiry", "--stamp", s.name(), "--offline"), 2, "certificates")
	s.holdsNoSecret()
}

// TestExpiryMistakes is what it says where it cannot look.
func TestExpiryMistakes(t *testing.T) {
	t.Parallel()
	s := newStand(t, east) // nobody answers
	s.pack()
	a := s.run(nil, "expiry", "--stamp", s.name(), "--metrics", "../gone.prom")
	s.check(a, 3, "of 11 certificates nothing is known", "run it where the endpoints can be reached")
	if got, want := states(a), (map[string]int{"live unreachable": 11, "file ok": 11}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if b, err := os.ReadFile(filepath.Join(s.w.Dir, "gone.prom")); err != nil || strings.Count(string(b), "azs_probe_success{") != 11 || strings.Contains(string(b), "leaf_match{") {
		t.Errorf("metrics: %v\n%s", err, b)
	}
	s.check(s.run(nil, "expiry", "--stamp", s.name(), "--metrics", "east.txt"), 2, "does not end in .prom")
	s.check(s.run(nil, "expiry", "--stamp", s.name(), "--calendar", "east.prom"), 2, "does not end in .ics")
	s.check(s.run(nil, "expiry", "--stamp", s.name(), "--offline", "--metrics", "nowhere/there/east.prom"), 2, "nowhere")
	s.check(s.run(nil, "expiry", "--stamp", s.name(), "--as-of", "tomorrow"), 2, "RFC 3339")
	s.check(s.run(nil, "expiry", "--stamp", s.name(), "--critical-days", "-1"), 2, "--critical-days -1")
	s.check(s.run(nil, "expiry", "--stamp", s.name(), "--warning-days", "200000"), 2, "from 0 to 36500")
	s.check(s.run(nil, "expiry", "--stamp", s.name(), "--as-of", "2030-01-01T00:00:00Z", "--metrics", "../x.prom"), 2, "--as-of looks from another day")
	s.check(s.run(nil, "expiry", "--stamp", "stamps/none"), 2)
	knocks := s.knocks()
	s.check(s.run(map[string]string{"CERTSTAMP_TARGET": strings.Repeat("0", 64)}, "expiry", "--stamp", s.name()), 1, "target")
	if n := knocks.Load(); n != 0 {
		t.Errorf("another target is pinned, and it knocked %d times", n)
	}
}

// TestExpiryOfProviders finds the certificates of resource providers, of which no stamp warns, and asks no rotation for them.
func TestExpiryOfProviders(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.pack()
	s.edit("stamp.yaml", func(b string) string { return b + "resource-providers: providers\n" })
	m := newMaker(t, time.Now().AddDate(0, -11, -20))
	m.bundle(s.path("providers", "AppServices", "api", "api.pfx"), s.w.Secrets["PFX_PASSWORD"], "api.appservice.east.azurestack.contoso.example")
	a := s.run(nil, "expiry", "--stamp", s.name(), "--offline")
	s.check(a, 1, "AppServices api")
	list := a.doc.Stamps[0].Expiries
	if len(list) != 12 || list[0].Type != "AppServices" || list[0].State != report.ExpiryCritical || a.doc.Stamps[0].Next != "" {
		t.Errorf("got %+v, next %q", list[0], a.doc.Stamps[0].Next)
	}
	if !slices.IsSortedFunc(list, func(x, y report.Expiry) int { return strings.Compare(x.Ends, y.Ends) }) {
		t.Error("they are not in the order of their ends")
	}
}

// TestExpiryOfOddTrees: what is not there, or not in its place, must not pass for what is watched.
func TestExpiryOfOddTrees(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.pack()
	offline := []string{"expiry", "--stamp", s.name(), "--offline"}
	blob, loose := s.path("certificates", "AAD", "ACSBlob"), s.path("certificates", "ACSBlob")
	move := func(from, to string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	// Beside the folder of the identity system it has the path of an endpoint's file, and is none.
	move(blob, loose)
	a := s.run(nil, offline...)
	s.check(a, 3, "of 1 certificate nothing is known", "[Skipped] Every Endpoint")
	if *a.doc.Complete || a.doc.Verdict != "warn" {
		t.Errorf("verdict %s", a.doc.Verdict)
	}
	if !slices.ContainsFunc(a.doc.Stamps[0].Expiries, func(e report.Expiry) bool {
		return e.Endpoint == "stamps/east/certificates/ACSBlob/ACSBlob.pfx" && e.Path == e.Endpoint
	}) {
		t.Errorf("it said\n%s", a.stdout)
	}
	move(loose, s.path("certificates", "AAD", "acsblob"))
	s.check(s.run(nil, offline...), 0)
	move(s.path("certificates", "AAD", "acsblob"), s.path("certificates", "AAD", "old", "ACSBlob"))
	s.check(s.run(nil, offline...), 3, "old/ACSBlob/ACSBlob.pfx")
	move(s.path("certificates", "AAD", "old", "ACSBlob"), blob)
	s.check(s.run(nil, offline...), 0)

	// A twin that shows something else is believed by nobody who can tell.
	twin := filepath.Join(blob, "ACSBlob.crt")
	good, err := os.ReadFile(twin)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(s.path("certificates", "AAD", "KeyVault", "KeyVault.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(twin, other, 0o644); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, offline...), 3, "the public twin shows another certificate than the PFX holds")
	if err := os.WriteFile(twin, good, 0o644); err != nil {
		t.Fatal(err)
	}

	// A wrong password is said beside each file and hides nothing; without the twin it is one row.
	wrong := map[string]string{"PFX_PASSWORD": "not the right one at all"}
	s.check(s.run(wrong, offline...), 0, "not compared with its PFX")
	if err := os.Remove(twin); err != nil {
		t.Fatal(err)
	}
	a = s.run(wrong, offline...)
	s.check(a, 3)
	if got := states(a); got["file unread"] != 1 || got["file ok"] != 10 {
		t.Errorf("with a wrong password: %v", got)
	}

	// An empty tree is no good news.
	if err := os.RemoveAll(s.path("certificates", "AAD")); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, offline...), 3, "of 11 certificates nothing is known", "no certificate was found")
	if strings.Contains(s.said.String(), "not the right one at all") {
		t.Error("it said the password")
	}
	s.holdsNoSecret()
}

// TestExpiryOfBrokenStamp: one stamp that cannot be looked at hides nothing of the others, and takes nothing from what was
// written of it before.
func TestExpiryOfBrokenStamp(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.pack()
	m := newMaker(t, time.Now().AddDate(0, -11, -20))
	m.bundle(s.path("providers", "AppServices", "api", "api.pfx"), s.w.Secrets["PFX_PASSWORD"], s.w.Secrets["PFX_PASSWORD"])
	b, err := os.ReadFile(s.path("stamp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	west := filepath.Join(s.w.Repo, "stamps", "able")
	if err := os.MkdirAll(west, 0o755); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("name: east", "name: able", "region: east", "region: able").Replace(string(b))
	if err := os.WriteFile(filepath.Join(west, "stamp.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.edit("stamp.yaml", func(b string) string { return b + "resource-providers: providers\n" })
	kept := filepath.Join(s.w.Dir, "all.ics")
	if err := os.WriteFile(kept, []byte("as before"), 0o644); err != nil {
		t.Fatal(err)
	}
	look := []string{"expiry", "--stamp", "stamps/able", "--stamp", s.name(), "--offline", "--metrics", "../all.prom", "--calendar", "../all.ics"}
	a := s.run(nil, look...)
	s.check(a, 1, "Stamp Read", "all.ics is left as it was", "AppServices api")
	if got := states(a); got["file ok"] != 11 || len(a.doc.Stamps) != 2 {
		t.Errorf("of the other stamp: %v", got)
	}
	metrics, err := os.ReadFile(filepath.Join(s.w.Dir, "all.prom"))
	if err != nil || !strings.Contains(string(metrics), "azs_scan_success{stamp=\"able\"} 0\n") || !strings.Contains(string(metrics), "azs_scan_success{stamp=\"east\"} 1\n") ||
		strings.Contains(string(metrics), "azs_scan_timestamp_seconds{stamp=\"able\"") {
		t.Errorf("%v\n%s", err, metrics)
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != "as before" {
		t.Errorf("the calendar: %v %q", err, b)
	}
	// The subject of the provider's certificate is the password, which no sink may show.
	a = s.run(nil, "expiry", "--stamp", s.name(), "--offline", "--metrics", "../all.prom", "--calendar", "../all.ics")
	s.check(a, 1)
	for _, name := range []string{"all.prom", "all.ics"} {
		b, err := os.ReadFile(filepath.Join(s.w.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		s.keep(b)
	}
	s.holdsNoSecret()
}

// TestExpiryOfSealedFiles: an identity that opens nothing hides nothing of what the twins say, and a sealed file without its
// twin is one row.
func TestExpiryOfSealedFiles(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.pack()
	own, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s.edit("stamp.yaml", func(b string) string {
		return strings.Replace(b, "pfx-password:", "age-identity: env:PFX_AGE_IDENTITY\npfx-password:", 1)
	})
	plain := s.path("certificates", "AAD", "ACSBlob", "ACSBlob.pfx")
	content, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, own.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plain+".age", sealed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(plain); err != nil {
		t.Fatal(err)
	}
	look := func(code int, want map[string]int) {
		t.Helper()
		for _, identity := range []string{"", "no identity at all", stranger.String()} {
			a := s.run(map[string]string{"PFX_AGE_IDENTITY": identity}, "expiry", "--stamp", s.name(), "--offline")
			s.check(a, code)
			if got := states(a); !maps.Equal(got, want) {
				t.Errorf("with %.12q: got %v, want %v", identity, got, want)
			}
		}
	}
	look(0, map[string]int{"file ok": 11})
	if err := os.Remove(strings.TrimSuffix(plain, ".pfx") + ".crt"); err != nil {
		t.Fatal(err)
	}
	look(3, map[string]int{"file ok": 10, "file unread": 1})
	s.must(map[string]string{"PFX_AGE_IDENTITY": own.String()}, "expiry", "--stamp", s.name(), "--offline")
}
