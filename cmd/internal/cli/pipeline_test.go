package cli_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/certstamp/certstamp/cmd/internal/demo"
	"github.com/certstamp/certstamp/policies"
)

// TestPipeline takes one stamp of each identity system from requests to rotated, every command twice: the second run does
// nothing. At the end nothing that was written anywhere holds a secret.
func TestPipeline(t *testing.T) {
	t.Parallel()
	for _, spec := range []demo.Spec{
		east,
		{Name: "west", Region: "west", Identity: policies.ADFS, Version: "1.1811.0.101", Speed: 5000, BMC: "external"},
	} {
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, spec)
			s.simulate()
			seal := []string{"--key-password", "env:PFX_KEY_PASSWORD"}
			if spec.Name == "east" {
				s.packWithPassword()
			} else {
				s.pack()
				seal = []string{"--key-identity", "env:PFX_IDENTITY"}
			}
			s.packsWhatTheStampReads()
			total := map[policies.Identity]string{policies.AAD: "11 of 11", policies.ADFS: "13 of 13"}[spec.Identity]

			if a := s.must(nil, "csr", "--stamp", s.name(), "--subject", "O=SIMULATED Contoso", "--key-password", "env:PFX_KEY_PASSWORD"); !strings.Contains(a.stdout, " 0 requests made") {
				t.Errorf("a second csr made something: %s", a.stdout)
			}
			if a := s.must(nil, slices.Concat([]string{"pack", "--stamp", s.name(), "--backup"}, seal, s.allow())...); !strings.Contains(a.stdout, " 0 certificates packed") {
				t.Errorf("a second pack wrote something: %s", a.stdout)
			}
			const asOf = "--as-of=2026-11-24T08:00:00Z"
			first, second := s.json("validate", asOf, "--offline", "--stamp", s.name()), s.json("validate", asOf, "--offline", "--stamp", s.name())
			if first != second || !strings.Contains(first, `"chain-order"`) {
				t.Errorf("two judgements as of one time differ:\n%s\n%s", first, second)
			}
			s.must(nil, "validate", "--stamp", s.name())

			target := s.must(nil, "target", "--stamp", s.name()).doc.Stamps[0].Target.SHA256
			env := map[string]string{"CERTSTAMP_TARGET": target, "CI": "true"}
			bound := s.plan("plan.json")
			for _, step := range []struct{ command, first, again string }{
				{"stage", "stage: published: ", "stage: unchanged: "},
				{"rotate", "rotation: success (completed)", "rotation: success"},
				{"verify", "verify: " + total + " endpoints serve the planned certificate", "verify: " + total},
				{"unstage", "unstage: removed: ", "unstage: absent: "},
			} {
				args := append([]string{step.command}, bound...)
				if step.command == "rotate" {
					args = append(args, "--record", "../tapes")
				}
				for _, want := range []string{step.first, step.again} {
					if a := s.must(env, args...); !strings.Contains(a.stdout, want) {
						t.Errorf("%s said\n%s\nwanted %q", step.command, a.stdout, want)
					}
				}
			}
			if n := s.starts(); n != 1 {
				t.Errorf("the stamp was asked to rotate %d times", n)
			}
			if got, n := states(s.must(nil, "expiry", "--stamp", s.name())), strings.Fields(total)[0]; fmt.Sprint(got["live ok"], got["file served"]) != n+" "+n {
				t.Errorf("after the rotation: %v of %s", got, total)
			}
			bmc := s.plan("bmc.json", "--kind", "bmc")
			s.check(s.run(env, append([]string{"bmc"}, bmc...)...), 0, "bmc: success (set)")
			s.check(s.run(env, append([]string{"bmc"}, bmc...)...), 0, "bmc: success (already)")
			undo := s.with("stamp.yaml", func(string) string { return "a: [" }) // the checkout has moved on
			s.check(s.run(env, append([]string{"bmc"}, bmc...)...), 0, "bmc: success (already)")
			undo()
			if b, err := os.ReadFile(s.s.History); err != nil || bytes.Count(b, []byte(`"bmc-updated"`)) != 1 {
				t.Errorf("the BMC credential was not handed over once: %v\n%s", err, b)
			}
			a := s.must(env, "status", "--stamp", s.name(), "--plan", "../plan.json", "--allow-path", s.s.Share)
			if !strings.Contains(a.stdout, "nothing: every endpoint serves the planned certificate") {
				t.Errorf("status said\n%s", a.stdout)
			}
			s.must(nil, "--format", "html="+filepath.Join(s.w.Dir, "report.html"), "validate", "--stamp", s.name())
			if b, err := os.ReadFile(tapes(t, filepath.Join(s.w.Dir, "tapes"))[0]); err != nil || bytes.Contains(b, []byte("idleTimeout")) {
				t.Errorf("the session that rotates asks for less time than the endpoint gives: %v", err)
			}
			s.holdsNoSecret()
		})
	}
}

// packsWhatTheStampReads asks openssl about every packed file.
func (s *stand) packsWhatTheStampReads() {
	s.t.Helper()
	n := 0
	err := filepath.WalkDir(s.path("certificates"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(p) != ".pfx" {
			return err
		}
		n++
		s.packsOne(p)
		return nil
	})
	if want := map[policies.Identity]int{policies.AAD: 11, policies.ADFS: 13}[s.s.Identity]; err != nil || n != want {
		s.t.Errorf("%d files packed, wanted %d: %v", n, want, err)
	}
}

func (s *stand) packsOne(p string) {
	s.t.Helper()
	cmd := exec.Command("openssl", "pkcs12", "-legacy", "-info", "-nodes", "-in", p, "-passin", "env:PFX_PASSWORD")
	cmd.Env = append(os.Environ(), "PFX_PASSWORD="+s.w.Secrets["PFX_PASSWORD"])
	out, err := cmd.CombinedOutput()
	text := string(out)
	switch {
	case err != nil:
		s.t.Errorf("openssl does not read %s: %v\n%s", p, err, text)
	case !strings.Contains(text, "Shrouded Keybag: pbeWithSHA1And3-KeyTripleDES-CBC"), !strings.Contains(text, "PKCS7 Encrypted data: pbeWithSHA1And3-KeyTripleDES-CBC"):
		s.t.Errorf("%s is not encrypted with 3DES throughout:\n%s", p, text)
	case !strings.Contains(text, "Microsoft Local Key set"):
		s.t.Errorf("%s has no local-machine attribute", p)
	case !leafFirst(text):
		s.t.Errorf("%s does not begin with the leaf:\n%s", p, text)
	}
}

// leafFirst looks at the subjects in the order in which openssl prints them.
func leafFirst(text string) bool {
	var subjects []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "subject="); ok {
			subjects = append(subjects, rest)
		}
	}
	return len(subjects) == 3 && strings.Contains(subjects[0], "azurestack.contoso.example") &&
		strings.Contains(subjects[1], "Issuing") && strings.Contains(subjects[2], "Root")
}

func (s *stand) json(args ...string) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "out.json")
	s.run(nil, append([]string{"--format", "json=" + file}, args...)...)
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// holdsNoSecret greps everything that was said and everything that lies in the workspace, in the forms in which a secret
// travels. The scenario and stamp files hold references only, so they count too.
func (s *stand) holdsNoSecret() {
	s.t.Helper()
	check := func(where string, b []byte) {
		for name, secret := range s.w.Secrets {
			for form, text := range map[string]string{
				"as it is": secret, "in base64": base64.StdEncoding.EncodeToString([]byte(secret)), "in UTF-16": wide(secret),
				"in base64 of UTF-16": base64.StdEncoding.EncodeToString([]byte(wide(secret))),
			} {
				if bytes.Contains(b, []byte(text)) {
					s.t.Errorf("%s holds %s %s", where, name, form)
				}
			}
		}
	}
	s.mu.Lock()
	check("what was said", s.said.Bytes())
	s.mu.Unlock()
	files := 0
	err := filepath.WalkDir(s.w.Dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		files++
		check(p, b)
		return nil
	})
	if err != nil || files < 30 {
		s.t.Errorf("looked into %d files: %v", files, err)
	}
}

func wide(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}
