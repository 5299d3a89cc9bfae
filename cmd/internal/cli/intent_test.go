package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
)

// TestIntent: what reviewers of a pull request read is the plan to come, and costs no password, no network and no file.
func TestIntent(t *testing.T) {
	s := newStand(t, east)
	knocks := s.knocks()
	s.pack()
	c := &checkout{t: t, dir: s.w.Repo}
	c.git("init", "-q", "-b", "main")
	twin := s.path("certificates", "AAD", "ACSBlob", "ACSBlob.crt")
	good, err := os.ReadFile(twin)
	if err != nil {
		t.Fatal(err)
	}
	const evil = "x`|<img src=x>\n::error::owned\r##vso[task.complete]@team"
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(twin, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(selfSigned(t, evil))
	if err := os.Remove(s.path("certificates", "AAD", "KeyVault", "KeyVault.crt")); err != nil {
		t.Fatal(err)
	}
	base := c.commit()
	write(good)
	head := c.commit()
	page := filepath.Join(t.TempDir(), "intent.md")
	none := map[string]string{"PATH": os.Getenv("PATH"), "HOME": c.dir}
	for name := range s.w.Secrets {
		none[name] = ""
	}
	intend := func(args ...string) answer {
		t.Helper()
		return s.run(none, append([]string{"--format", "markdown=" + page, "plan", "--intent", "--stamp", s.name()}, args...)...)
	}

	a := intend("--base", base)
	if a.code != 0 || len(a.doc.Stamps) != 1 || a.doc.Stamps[0].Intent == nil {
		t.Fatalf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	entry := a.doc.Stamps[0]
	if n := knocks.Load(); n != 0 {
		t.Errorf("it knocked %d times", n)
	}
	if entry.Plan != nil || entry.PlanSHA256 != "" || len(a.doc.Files) != 0 {
		t.Errorf("it made a plan: %q %q", entry.PlanSHA256, a.doc.Files)
	}
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{a.stdout, string(md)} {
		for _, want := range []string{
			"external", "1.2301.2.58", "Start-SecretRotation -PfxFilesPath", "stage.publish", "rotate.start", "verify.live", "stage.remove", "not known before the plan", "not known before the rotation",
			"not judged here", base, "ACSBlob", "issued by CN=x", "none",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("it does not say %q:\n%s", want, out)
			}
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##vso[") || strings.Contains(line, "\r") {
				t.Errorf("the line %q is a command", line)
			}
		}
	}
	for line := range strings.Lines(string(md)) {
		if strings.Contains(line, "img src") && (!strings.HasPrefix(line, "| `ACSBlob` | `") || strings.Count(line, "|") != 4 || strings.Count(line, "`") != 6) {
			t.Errorf("the subject broke its row: %q", line)
		}
	}
	i := slices.IndexFunc(entry.Intent.Certificates, func(c plan.Certificate) bool { return c.Folder == "ACSBlob" })
	if now := entry.Intent.Certificates[i]; !strings.HasPrefix(entry.Compared[i].After, now.Thumbprint+", ") || !strings.HasSuffix(entry.Compared[i].After, "issued by "+now.Issuer+", until "+now.NotAfter) || len(now.Thumbprint) != 40 {
		t.Errorf("the new leaf is %q, %+v", entry.Compared[i].After, now)
	}
	if !strings.Contains(a.stdout, "not known: there is no public twin") {
		t.Errorf("nobody can tell what KeyVault gets, and nothing says so:\n%s", a.stdout)
	}

	t.Run("nothing to compare with", func(t *testing.T) {
		if a := intend(); a.code != 0 || a.doc.Stamps[0].Compared[0].Before != "not compared" || a.doc.Stamps[0].Facts[0].Value != "nothing: there is nothing to compare with" {
			t.Errorf("exit %d %+v\n%s", a.code, a.doc.Stamps, a.stderr)
		}
	})
	t.Run("the event's base", func(t *testing.T) {
		event := filepath.Join(t.TempDir(), "event.json")
		if err := os.WriteFile(event, []byte(pull(base, head)), 0o644); err != nil {
			t.Fatal(err)
		}
		none["GITHUB_EVENT_PATH"], none["GITHUB_EVENT_NAME"] = event, "pull_request"
		defer delete(none, "GITHUB_EVENT_PATH")
		if a := intend(); a.code != 0 || a.doc.Stamps[0].Facts[0].Value != base {
			t.Errorf("exit %d %+v\n%s", a.code, a.doc.Stamps, a.stderr)
		}
	})
	t.Run("a commit that is not here", func(t *testing.T) {
		if a := intend("--base", strings.Repeat("1", 40)); a.code != 2 || !strings.Contains(a.doc.Error.Hint, "fetch-depth") {
			t.Errorf("exit %d %+v", a.code, a.doc.Error)
		}
	})
	t.Run("flags of a plan", func(t *testing.T) {
		for _, flag := range []string{"--out=x.json", "--kind=bmc", "--matrix", "--accept-health=A=b", "--combined=x", "--fresh=x", "--adopt=x", "--reason=x", "--rerun-of=external", "--no-pep-check=x", "--identity-known=x"} {
			if a := intend(flag); a.code != 2 || !strings.Contains(a.doc.Error.Message, "--intent") || a.doc.Error.Hint == "" {
				t.Errorf("%s: exit %d %+v", flag, a.code, a.doc.Error)
			}
		}
		if a := s.run(none, "plan", "--base", base, "--stamp", s.name()); a.code != 2 || !strings.Contains(a.doc.Error.Message, "--base belongs to --intent") {
			t.Errorf("--base alone: exit %d %+v", a.code, a.doc.Error)
		}
	})
	t.Run("a set that does not pass", func(t *testing.T) {
		write(selfSigned(t, "x"))
		defer write(good)
		if a := intend("--base", base); a.code != 1 || a.doc.Error.Reason != "plan-refused" || a.doc.Stamps[0].Intent != nil || !strings.Contains(a.stdout, "DNS Names") {
			t.Errorf("exit %d %+v\n%s", a.code, a.doc.Error, a.stdout)
		}
	})
	s.edit("stamp.yaml", func(y string) string {
		return strings.Replace(y, "installed-ca: endpoints", "installed-ca: enterprise", 1)
	})
	planned := s.must(nil, "plan", "--stamp", s.name(), "--out", "../plan.json").doc.Stamps[0].Plan
	said := func(p *plan.Plan) (out []string) {
		for _, s := range p.Steps {
			out = append(out, s.ID+": "+s.Action)
		}
		return out
	}
	if got, want := said(entry.Intent), said(planned); !slices.Equal(got, want) {
		t.Errorf("intended was\n%s\nplanned is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// selfSigned is a certificate that names its subject so.
func selfSigned(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
