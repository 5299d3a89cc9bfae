package cli_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/validate"
)

// finding is the set's finding of a rule.
func setFinding(t *testing.T, doc report.Document, id string) validate.Finding {
	t.Helper()
	for _, s := range doc.Stamps {
		for _, f := range s.Set {
			if f.ID == id {
				return f
			}
		}
	}
	t.Fatalf("no finding %s", id)
	return validate.Finding{}
}

// TestRoots gives a stamp its own lists of roots: they decide the class, and a plan holds to them.
func TestRoots(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.pack()
	root, err := os.ReadFile(s.path("issued", "root.cer"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(s.path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stampFile, err := os.ReadFile(s.path("stamp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(lines string) { file("stamp.yaml", append(bytes.Clone(stampFile), lines...)) }
	validated := func() report.Document {
		t.Helper()
		return s.must(nil, "validate", "--offline", "--stamp", s.name()).doc
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})
	file("root.der", root)
	file("root.pem", asPEM)
	file("list.stl", cli.ListSeed(t, "microsoft"))
	file("junk.pem", []byte("<html>"))

	plain := validated()
	if f := setFinding(t, plain, "ca-class"); f.Result != validate.Warning || !strings.Contains(f.Found, "only the file vouches") {
		t.Errorf("without a list: %+v", f)
	}
	with("enterprise-roots: root.der\n")
	own := validated()
	if f := setFinding(t, own, "ca-class"); f.Result != validate.OK || !strings.Contains(f.Found, "enterprise anchor sha256:") {
		t.Errorf("the operator's own root: %+v", f)
	}
	with("public-roots: root.pem\n")
	public := validated()
	if f := setFinding(t, public, "ca-class"); !strings.Contains(f.Found, "public: public anchor sha256:") {
		t.Errorf("a public root: %+v", f)
	}
	if plain.PolicyDigest == own.PolicyDigest || own.PolicyDigest == public.PolicyDigest || plain.PolicyDigest == public.PolicyDigest {
		t.Error("the lists are not in the digest of the policy")
	}
	file("root.pem", bytes.ReplaceAll(asPEM, []byte("\n"), []byte("\r\n")))
	if got := validated().PolicyDigest; got != public.PolicyDigest {
		t.Error("line ends change the digest")
	}

	bound := s.plan("plan.json")
	file("root.pem", append(bytes.Clone(asPEM), asPEM...))
	if a := s.run(nil, append([]string{"stage"}, bound...)...); a.code != 1 || !strings.Contains(a.stderr, "stamp.policyDigest: approved") {
		t.Errorf("stage with other roots than planned: exit %d\n%s", a.code, a.stderr)
	}
	file("root.pem", asPEM)
	s.must(nil, append([]string{"stage"}, bound...)...)

	for _, row := range []struct{ lines, says string }{
		{"public-roots: list.stl\n", "leads to none of the roots it must lead to"},
		{"public-roots: junk.pem\n", "not a list of trusted roots"},
		{"public-roots: nowhere.pem\n", "nowhere.pem"},
		{"enterprise-roots: junk.pem\n", "not a list of trusted roots"},
	} {
		with(row.lines)
		if a := s.run(nil, "validate", "--offline", "--stamp", s.name()); a.code != 2 || !strings.Contains(a.stderr, row.says) || !strings.Contains(a.stderr, "hint: ") && row.says != "nowhere.pem" {
			t.Errorf("%s: exit %d\n%s", row.lines, a.code, a.stderr)
		}
	}
}

// TestInstalledCA learns the installed CA from each source there is.
func TestInstalledCA(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	s.pack()
	previous, err := os.ReadFile(s.path("certificates", "AAD", "ACSBlob", "ACSBlob.pfx"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(s.path("issued", "root.cer"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"previous.pfx": previous, "changed.pfx": previous[:len(previous)/2], "root.cer": root,
		"root.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}),
	} {
		if err := os.WriteFile(s.path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stampFile, err := os.ReadFile(s.path("stamp.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		installed string
		args      []string
		code      int
		says      string // in the finding, or on stderr
	}{
		{"endpoints", nil, 0, "enterprise to enterprise"},
		{"{certificate: previous.pfx}", []string{"--offline"}, 0, "enterprise to enterprise"},
		{"{certificate: previous.pfx}", []string{"--no-password"}, 0, "the endpoint could not be asked"},
		{"{certificate: root.cer}", []string{"--offline"}, 0, "enterprise to enterprise"},
		{"{certificate: root.pem}", []string{"--offline"}, 0, "enterprise to enterprise"},
		{"public", []string{"--offline"}, 0, "public to enterprise"},
		{"self-signed", []string{"--offline"}, 0, "self-signed to enterprise"},
		{"{certificate: changed.pfx}", []string{"--offline"}, 2, "installed-ca: "},
		{"{certificate: stamp.yaml}", []string{"--offline"}, 2, "PEM, DER or P7B, or is the previous PFX"},
	} {
		t.Run(row.installed+strings.Join(row.args, ""), func(t *testing.T) {
			text := strings.Replace(string(stampFile), "installed-ca: endpoints\n", "installed-ca: "+row.installed+"\n", 1)
			if err := os.WriteFile(s.path("stamp.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			a := s.run(nil, append([]string{"validate", "--stamp", s.name()}, row.args...)...)
			if a.code != row.code {
				t.Fatalf("exit %d, want %d\n%s%s", a.code, row.code, a.stdout, a.stderr)
			}
			if row.code != 0 {
				if !strings.Contains(a.stderr, row.says) {
					t.Errorf("said %q, want %q", a.stderr, row.says)
				}
				return
			}
			if f := setFinding(t, a.doc, "ca-transition"); !strings.Contains(f.Found, row.says) {
				t.Errorf("%+v, want %q", f, row.says)
			}
		})
	}
}

// TestTrustListIsOnlyMicrosofts reads no list that somebody else signed, wherever it is named.
func TestTrustListIsOnlyMicrosofts(t *testing.T) {
	s := newStand(t, east)
	if err := os.WriteFile(filepath.Join(s.w.Repo, "list.stl"), cli.ListSeed(t, "microsoft"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.edit("stamp.yaml", func(b string) string { return b + "enterprise-roots: ../../list.stl\n" })
	if a := s.run(nil, "target", "--stamp", s.name()); a.code != 2 || !strings.Contains(a.stderr, "leads to none") || !strings.Contains(a.stderr, "authrootstl.cab") {
		t.Errorf("exit %d\n%s", a.code, a.stderr)
	}
}
