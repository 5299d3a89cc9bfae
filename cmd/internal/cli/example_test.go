package cli_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/demo"
)

var writeExample = flag.Bool("write-example", false, "make examples/gitops anew")

// The example is judged as of a day on which its certificates are valid: committed files grow old, and a test must not.
const (
	exampleAsOf   = "2026-11-25T00:00:00Z"
	exampleAction = "certstamp/certstamp@0000000000000000000000000000000000000000"
)

// exampleSecrets are public. They open made-up certificates of made-up stamps, and say so.
var exampleSecrets = map[string]string{"PFX_PASSWORD": "SIMULATEDpfx0password1"} //nolint:gosec // no secret

const exampleStamp = `# yaml-language-server: $schema=../../stamp.schema.json
# A made-up stamp: everything in it is on this machine, and its certificates begin with SIMULATED.
simulated: true
name: %[1]s
region: %[1]s
fqdn: azurestack.contoso.example
identity: %[2]s
version: %[3]s
cloud-id: SIMULATED-%[1]s
runner: [self-hosted, paw-%[1]s]
installed-ca: enterprise
enterprise-roots: ../../roots/enterprise.pem
pfx-password: env:PFX_PASSWORD
age-identity: env:PFX_AGE_IDENTITY
backup: file:/var/lib/certstamp/%[1]s
share:
  unc: \\127.0.0.1\certs-%[1]s
  user: CONTOSO\certstage
  password: env:SHARE_PASSWORD
pep:
  hosts: ["127.0.0.1:%[4]d", "127.0.0.1:%[5]d", "127.0.0.1:%[6]d"]
  user: SIMULATED\CloudAdmin
  password: env:PEP_PASSWORD
resolve: ["*:443:127.0.0.1:%[7]d", "*:445:127.0.0.1:1445"]
`

var exampleStamps = []demo.Spec{
	{Name: "east", Identity: "AAD", Version: "1.2301.2.58"},
	{Name: "north", Identity: "AAD", Version: "1.2206.2.52"},
	{Name: "west", Identity: "ADFS", Version: "1.2301.2.58"},
}

func exampleDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "examples", "gitops"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// example runs a command in a repository, at the example's time.
func example(t *testing.T, dir string, env map[string]string, args ...string) answer {
	t.Helper()
	now, err := time.Parse(time.RFC3339, exampleAsOf)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	a := answer{code: cli.Main(t.Context(), args, cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: dir, Now: func() time.Time { return now }, Version: "test",
		Getenv: func(n string) string { return env[n] },
	})}
	a.stdout, a.stderr = out.String(), errs.String()
	return a
}

// exampleEnv is what the protected environments of the example hold.
func exampleEnv(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(exampleDir(t), "SIMULATED-age-identity.txt"))
	if err != nil {
		t.Fatal(err)
	}
	env := maps.Clone(exampleSecrets)
	env["PFX_AGE_IDENTITY"] = strings.TrimSpace(string(b))
	return env
}

// TestWriteExample makes the example: go test ./cmd/internal/cli -run TestWriteExample -write-example.
func TestWriteExample(t *testing.T) {
	if !*writeExample {
		t.Skip("only with -write-example")
	}
	dir := exampleDir(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		t.Helper()
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write("SIMULATED-age-identity.txt", fmt.Appendf(nil, "# SIMULATED: public on purpose. It opens made-up certificates of made-up stamps.\n%s\n", identity))
	write("recipients.txt", fmt.Appendf(nil, "# SIMULATED\n%s\n", identity.Recipient()))
	must := func(args ...string) {
		t.Helper()
		if a := example(t, dir, exampleEnv(t), args...); a.code != 0 {
			t.Fatalf("%v: exit %d\n%s%s", args, a.code, a.stdout, a.stderr)
		}
	}
	must("init", "--action", exampleAction, "--name", "east")
	now, err := time.Parse(time.RFC3339, exampleAsOf)
	if err != nil {
		t.Fatal(err)
	}
	w, err := demo.Prepare(filepath.Join(t.TempDir(), "work"), now, nil)
	if err != nil {
		t.Fatal(err)
	}
	root := rootOf(t, w)
	for i, s := range exampleStamps {
		at := 15000 + 10*i
		write("stamps/"+s.Name+"/stamp.yaml", fmt.Appendf(nil, exampleStamp, s.Name, s.Identity, s.Version, at+1, at+2, at+3, at+4))
		write("roots/enterprise.pem", root)
		folder := filepath.Join(dir, "stamps", s.Name)
		must("csr", "--stamp", folder, "--subject", "O=SIMULATED Contoso", "--recipient", identity.Recipient().String())
		if err := w.Issue(filepath.Join(folder, "requests"), filepath.Join(folder, "issued"), ""); err != nil {
			t.Fatal(err)
		}
		must("pack", "--stamp", folder, "--key-identity", "env:PFX_AGE_IDENTITY", "--recipient", identity.Recipient().String())
		for _, made := range []string{"requests", "issued"} {
			if err := os.RemoveAll(filepath.Join(folder, made)); err != nil {
				t.Fatal(err)
			}
		}
	}
	pipeline, err := os.ReadFile(filepath.Join(dir, "azure-pipelines.yml"))
	if err != nil {
		t.Fatal(err)
	}
	write("azure-pipelines.yml", allStamps(t, pipeline))
	write("README.md", []byte("# Three simulated stamps\n\nA complete repository as `certstamp init` begins it, with certificates: three made-up stamps, a CA that nobody trusts, and secrets that are public.\n\n"+
		"```\ncertstamp validate --no-password --as-of "+exampleAsOf+"      # what a pull request shows\nexport PFX_PASSWORD="+exampleSecrets["PFX_PASSWORD"]+"            # SIMULATED\n"+
		"export PFX_AGE_IDENTITY=\"$(cat SIMULATED-age-identity.txt)\"\ncertstamp validate --offline --as-of "+exampleAsOf+"          # with what opens the files\n```\n\n"+
		"Made by `go test ./cmd/internal/cli -run TestWriteExample -write-example`; tests hold that it passes.\n"))
}

// rootOf asks the made-up CA for its root, which comes with an answer to any request.
func rootOf(t *testing.T, w *demo.Workspace) []byte {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"ask.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ask.req"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.Issue(dir, dir, ""); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "root.cer"))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b})
}

// allStamps is what somebody does who adds stamps: a pipeline file of Azure names them.
func allStamps(t *testing.T, pipeline []byte) []byte {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(exampleDir(t), "stamps", "*"))
	if err != nil || len(folders) != len(exampleStamps) || bytes.Count(pipeline, []byte("default: [east]\n")) != 1 {
		t.Fatalf("stamps %q, %v, a pipeline of\n%s", folders, err, pipeline)
	}
	for i, f := range folders {
		folders[i] = filepath.Base(f)
	}
	return bytes.Replace(pipeline, []byte("[east]"), []byte("["+strings.Join(folders, ", ")+"]"), 1)
}

// TestExampleIsBegun: what init writes today is what the example has, but for its front page and what its stamps are.
func TestExampleIsBegun(t *testing.T) {
	dir := t.TempDir()
	if a := example(t, dir, nil, "init", "--action", exampleAction, "--name", "east"); a.code != 0 {
		t.Fatalf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	same := 0
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, p)
		if err != nil || d.IsDir() || name == "README.md" || d.Name() == "stamp.yaml" {
			return err
		}
		want, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if name == "azure-pipelines.yml" {
			want = allStamps(t, want)
		}
		if got, err := os.ReadFile(filepath.Join(exampleDir(t), name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is another one: %v", name, err)
		}
		same++
		return nil
	})
	if err != nil || same < 8 {
		t.Errorf("%d files, %v", same, err)
	}
	for i, s := range exampleStamps {
		at := 15000 + 10*i
		got, err := os.ReadFile(filepath.Join(exampleDir(t), "stamps", s.Name, "stamp.yaml"))
		if want := fmt.Sprintf(exampleStamp, s.Name, s.Identity, s.Version, at+1, at+2, at+3, at+4); err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", s.Name, err, got)
		}
	}
}

// TestExample: the committed repository passes as a pull request, and opened; the tests fail when a file of it is another's.
func TestExample(t *testing.T) {
	dir := exampleDir(t)
	asPull := example(t, dir, nil, "validate", "--no-password", "--as-of", exampleAsOf)
	if asPull.code != 0 || !strings.Contains(asPull.stdout, "west") {
		t.Fatalf("without secrets: exit %d\n%s%s", asPull.code, asPull.stdout, asPull.stderr)
	}
	opened := example(t, dir, exampleEnv(t), "validate", "--offline", "--as-of", exampleAsOf)
	if opened.code != 0 {
		t.Errorf("opened: exit %d\n%s%s", opened.code, opened.stdout, opened.stderr)
	}
	if a := example(t, dir, nil, "validate", "--no-password", "--as-of", "2036-01-01T00:00:00Z"); a.code != 1 {
		t.Errorf("ten years later: exit %d", a.code)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "stamps", "*", "certificates", "*", "*", "*.pfx.age")); err != nil || len(files) < 30 {
		t.Errorf("%d sealed files, %v", len(files), err)
	}

	c := newCheckout(t)
	if err := os.CopyFS(filepath.Join(c.dir, "r"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	c.sub = "r"
	first := c.commit()
	twins, err := fs.Glob(os.DirFS(filepath.Join(c.dir, "r")), "stamps/west/certificates/*/*/*.crt")
	if err != nil || len(twins) < 2 {
		t.Fatalf("twins %v, %v", twins, err)
	}
	b, err := os.ReadFile(filepath.Join(c.dir, "r", twins[0]))
	if err != nil {
		t.Fatal(err)
	}
	c.write(twins[1], string(b))
	second := c.commit()
	if a, out := c.event("push", push(nothing, first)); a.code != 0 || out["stamps"] != `["east","north","west"]` || !strings.Contains(out["matrix"], `["self-hosted","paw-north"]`) {
		t.Errorf("exit %d, outputs %q\n%s", a.code, out, a.stderr)
	}
	if a, out := c.event("pull_request", pull(first, second)); a.code != 0 || out["stamps"] != `["west"]` {
		t.Errorf("exit %d, outputs %q\n%s", a.code, out, a.stderr)
	}
	// The change was a mistake, and both ways of looking see it.
	r := filepath.Join(c.dir, "r")
	if a := example(t, r, nil, "validate", "--no-password", "--as-of", exampleAsOf, "--stamp", filepath.Join(r, "stamps", "west")); a.code != 1 {
		t.Errorf("a twin of another folder passes without secrets: exit %d\n%s", a.code, a.stdout)
	}
	if a := example(t, r, exampleEnv(t), "validate", "--offline", "--as-of", exampleAsOf, "--stamp", filepath.Join(r, "stamps", "west")); a.code != 1 || !strings.Contains(a.stdout, "Twin") {
		t.Errorf("a twin of another folder passes: exit %d\n%s", a.code, a.stdout)
	}
}
