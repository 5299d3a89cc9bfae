package cli_test

import (
	"bytes"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/age"
)

// knocks counts who comes to the addresses of the stamp, and serves nobody.
func (s *stand) knocks() *atomic.Int64 {
	s.t.Helper()
	var n atomic.Int64
	for _, address := range append([]string{s.s.TLS}, s.s.Hosts...) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				n.Add(1)
				_ = c.Close()
			}
		}()
	}
	return &n
}

// TestTwinBeforeTheNetwork: reviewers saw the twin. When the file opens to another certificate or another chain, the run ends
// with exit 1 before anybody out there hears of it.
func TestTwinBeforeTheNetwork(t *testing.T) {
	s := newStand(t, east)
	knocks := s.knocks()
	s.pack()
	bound := s.plan("plan.json")
	if knocks.Load() == 0 {
		t.Fatal("a plan asked nobody: this test could not fail")
	}
	twin := s.path("certificates", "AAD", "ACSBlob", "ACSBlob.crt")
	good, err := os.ReadFile(twin)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(s.path("certificates", "AAD", "KeyVault", "KeyVault.crt"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, _ := bytes.Cut(good, []byte("-----END CERTIFICATE-----\n"))
	for claim, b := range map[string][]byte{
		"another certificate": other,
		"a chain cut short":   append(leaf, "-----END CERTIFICATE-----\n"...),
		"not a certificate":   []byte("see the wiki"),
	} {
		if err := os.WriteFile(twin, b, 0o644); err != nil {
			t.Fatal(err)
		}
		before := knocks.Load()
		for _, args := range [][]string{
			{"validate", "--stamp", s.name()},
			{"plan", "--stamp", s.name(), "--out", "../no.json"},
			append([]string{"stage"}, bound...),
		} {
			a := s.run(nil, args...)
			if a.code != 1 || args[0] != "stage" && !strings.Contains(a.stdout, "Twin") {
				t.Errorf("%s: %s: exit %d\n%s%s", claim, args[0], a.code, a.stdout, a.stderr)
			}
			if n := knocks.Load() - before; n != 0 {
				t.Errorf("%s: %s knocked %d times", claim, args[0], n)
			}
		}
	}
}

// TestClosedFiles: what keeps a sealed file closed is said, with what to do, and never with what is in it.
func TestClosedFiles(t *testing.T) {
	s := newStand(t, east)
	s.pack()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s.w.Secrets["PFX_AGE_IDENTITY"] = id.String()
	s.edit("stamp.yaml", func(b string) string {
		return strings.Replace(b, "pfx-password:", "age-identity: env:PFX_AGE_IDENTITY\npfx-password:", 1)
	})
	plain := s.path("certificates", "AAD", "ACSBlob", "ACSBlob.pfx")
	content, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	unset := map[string]string{"PFX_AGE_IDENTITY": ""}
	s.check(s.run(unset, "validate", "--stamp", s.name(), "--offline"), 0) // no sealed file, no identity
	if err := os.Remove(plain); err != nil {
		t.Fatal(err)
	}
	seal := func(b []byte, to age.Recipient) []byte {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	sealed := seal(content, id.Recipient())
	if err := os.WriteFile(plain+".age", sealed, 0o644); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(unset, "validate", "--stamp", s.name(), "--offline"), 2, "ACSBlob.pfx.age", "PFX_AGE_IDENTITY", "hint: set the variable in the environment of this step")
	s.check(s.run(map[string]string{"PFX_AGE_IDENTITY": "AGE-SECRET-KEY-1NONSENSE"}, "validate", "--stamp", s.name(), "--offline"), 2, "not an age identity", "hint: the reference must lead to")
	for claim, row := range map[string]struct {
		b    []byte
		code int
		says string
	}{
		"sealed for this stamp":   {sealed, 0, ""},
		"sealed for another one":  {seal(content, stranger.Recipient()), 2, "seal it for the recipient of the stamp's age-identity"},
		"cut":                     {sealed[:len(sealed)-9], 2, "the file is damaged"},
		"not sealed at all":       {content, 2, "the file is damaged"},
		"a small file that grows": {seal(bytes.Repeat([]byte{0}, 1<<21-1<<12), id.Recipient()), 2, "more than"},
		"a pointer of Git LFS":    {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4096\n"), 2, "check out with LFS"},
	} {
		if err := os.WriteFile(plain+".age", row.b, 0o644); err != nil {
			t.Fatal(err)
		}
		a := s.run(nil, "validate", "--stamp", s.name(), "--offline")
		if a.code != row.code || !strings.Contains(a.stderr, row.says) || row.code != 0 && !strings.Contains(a.stderr, "ACSBlob.pfx.age") {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", claim, a.code, row.code, row.says, a.stdout, a.stderr)
		}
	}
	s.holdsNoSecret()
}
