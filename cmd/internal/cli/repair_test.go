package cli_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/cmd/internal/cli"
	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/pfx"
)

// bench is a folder with files to mend, all of the family that scripts/pfx-fixtures.sh made.
type bench struct {
	t   *testing.T
	dir string
}

const benchPassword = "Correct1Horse"

func newBench(t *testing.T, files ...string) bench {
	t.Helper()
	b := bench{t, t.TempDir()}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "pfx", "made", name+".pfx"))
		if err != nil {
			t.Fatal(err)
		}
		b.write(name+".pfx", data)
	}
	return b
}

func (b bench) write(name string, data []byte) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b bench) read(name string) []byte {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

func (b bench) open(name string) *pfx.Bundle {
	b.t.Helper()
	out, err := pfx.Open(b.t.Context(), b.read(name), benchPassword, pfx.Limits{})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// authorities puts the CA certificates of a file into issued/, disordered.
func (b bench) authorities(from string) {
	b.t.Helper()
	for i, c := range b.open(from).X509() {
		if c.IsCA {
			name := "issued/" + string(rune('z'-i)) + ".cer"
			b.write(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
		}
	}
}

func (b bench) repair(file string, args ...string) answer {
	b.t.Helper()
	var out, errs bytes.Buffer
	a := answer{}
	a.code = cli.Main(b.t.Context(), append([]string{
		"--format", "text", "--format", "json=" + filepath.Join(b.dir, "document.json"),
		"pack", "--password", "env:PFX_PASSWORD", "--repair", file,
	}, args...), cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: b.dir, Now: time.Now, Version: "test",
		Getenv: func(name string) string { return map[string]string{"PFX_PASSWORD": benchPassword}[name] },
	})
	a.stdout, a.stderr = out.String(), errs.String()
	if strings.Contains(a.stdout+a.stderr, benchPassword) {
		b.t.Errorf("the password is shown:\n%s%s", a.stdout, a.stderr)
	}
	if err := json.Unmarshal(b.read("document.json"), &a.doc); err != nil {
		b.t.Error(err)
	}
	return a
}

// says fails unless the run ended with code and said all of these.
func (a answer) says(t *testing.T, code int, texts ...string) {
	t.Helper()
	if a.code != code {
		t.Errorf("exit %d, want %d:\n%s%s", a.code, code, a.stdout, a.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(a.stdout+a.stderr, text) {
			t.Errorf("nothing says %q:\n%s%s", text, a.stdout, a.stderr)
		}
	}
}

func TestRepairShowsBeforeAndAfter(t *testing.T) {
	b := newBench(t, "openssl-stranger", "nss-default", "openssl-default")
	a := b.repair("openssl-stranger.pfx", "--out", "new/ACSBlob.pfx", "--csp", "Some Provider", "--friendly-name", "blob")
	a.says(t, 0,
		"encryption       before: AES256-SHA256\n                   after:  TripleDES-SHA1\n",
		"strangers        before: \"CN=Made Stranger\"\n                   after:  none\n",
		"local-machine    before: no\n                   after:  yes\n",
		"csp              before: none\n                   after:  Some Provider\n",
		"friendly-name    before: none\n                   after:  blob\n",
		"encoding         DER\n", `mended:                drop "CN=Made Stranger"`, "wrote new/ACSBlob.pfx", "5 differences mended",
	)
	facts := map[string]report.Comparison{}
	for _, c := range a.doc.Stamps[0].Compared {
		facts[c.Fact] = c
	}
	if got, want := facts["leaf-position"], (report.Comparison{Fact: "leaf-position", Before: "1 of 5", After: "1 of 4"}); got != want {
		t.Errorf("JSON: %+v, want %+v", got, want)
	}
	if len(facts) != 17 || a.doc.Stamps[0].Outcome != "repaired" {
		t.Errorf("JSON: %d facts, %s", len(facts), a.doc.Stamps[0].Outcome)
	}
	got := b.open("new/ACSBlob.pfx")
	if k := got.Facts.Keys[0]; got.Facts.Encryption != pfx.TripleDESSHA1 || !k.LocalMachine || k.CSP != "Some Provider" || k.FriendlyName != "blob" || len(got.Certificates) != 4 {
		t.Errorf("%+v", got.Facts)
	}
	if info, err := os.Stat(filepath.Join(b.dir, "new", "ACSBlob.pfx")); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("a private key under %v, %v", info.Mode(), err)
	}

	t.Run("BER, leaf last, in place", func(t *testing.T) {
		b.repair("nss-default.pfx", "--out", "nss-default.pfx").says(t, 0, "leaf-position    before: 4 of 4", "(not in this order)", "encoding         before: BER")
		b.repair("nss-default.pfx", "--out", "nss-default.pfx").says(t, 0, "nothing to mend", "leaf-position    1 of 4")
	})
	t.Run("as AES", func(t *testing.T) {
		b.repair("openssl-default.pfx", "--out", "aes.pfx", "--encryption", "AES256-SHA256").says(t, 0, "encryption       AES256-SHA256\n", "1 difference mended", "set the local-machine attribute")
	})
	t.Run("again changes not a byte", func(t *testing.T) {
		before := b.read("new/ACSBlob.pfx")
		a := b.repair("new/ACSBlob.pfx", "--out", "new/ACSBlob.pfx")
		a.says(t, 0, "nothing to mend")
		if !bytes.Equal(before, b.read("new/ACSBlob.pfx")) || a.doc.Stamps[0].Outcome != "unchanged" {
			t.Errorf("a good file was written anew: %s", a.doc.Stamps[0].Outcome)
		}
	})
}

func TestRepairCompletesTheChain(t *testing.T) {
	b := newBench(t, "openssl-no-intermediate", "openssl-leaf-alone", "openssl-default")
	b.authorities("openssl-default.pfx")
	for _, name := range []string{"openssl-no-intermediate.pfx", "openssl-leaf-alone.pfx"} {
		a := b.repair(name, "--out", "out.pfx")
		a.says(t, 1, "is missing", "--issued FOLDER", "Made")
		if _, err := os.Stat(filepath.Join(b.dir, "out.pfx")); err == nil {
			t.Fatal("an incomplete chain was written")
		}
		b.repair(name, "--out", "out.pfx", "--issued", "issued").says(t, 0, `add "CN=Made Intermediate" to the chain`, "leaf-position", "1 of 4")
		want, got := b.open("openssl-default.pfx").X509(), b.open("out.pfx").X509()
		if len(got) != len(want) {
			t.Fatalf("%d certificates, want %d", len(got), len(want))
		}
		for i := range want {
			if !got[i].Equal(want[i]) {
				t.Errorf("certificate %d is %q, want %q", i+1, got[i].Subject, want[i].Subject)
			}
		}
		if err := os.Remove(filepath.Join(b.dir, "out.pfx")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRepairRefuses holds each failure to one clear end and no file.
func TestRepairRefuses(t *testing.T) {
	b := newBench(t, "openssl-rsa-pss", "openssl-camellia", "openssl-certificates-only", "openssl-leaf-missing", "openssl-password-unicode", "openssl-default")
	b.write("text.pfx", []byte("this is not a PFX file, sorry"))
	b.write("issued/note.txt", []byte("hello"))
	for _, row := range []struct {
		file string
		args []string
		code int
		says []string
	}{
		{"openssl-rsa-pss.pfx", nil, 2, []string{"RSA-PSS (1.2.840.113549.1.1.10)", "new request"}},
		{"openssl-camellia.pfx", nil, 2, []string{"Camellia (1.2.392.200011.61.1.1.1.4)", "export the file again"}},
		{"openssl-certificates-only.pfx", nil, 2, []string{"no private key", "new request"}},
		{"openssl-leaf-missing.pfx", nil, 2, []string{"no certificate in the file belongs to its key"}},
		{"openssl-password-unicode.pfx", nil, 2, []string{"wrong password or changed file", "check the password"}},
		{"text.pfx", nil, 2, []string{"malformed", "ask for the file again"}},
		{"absent.pfx", nil, 2, []string{"absent.pfx"}},
		{"openssl-default.pfx", []string{"--issued", "issued"}, 2, []string{"note.txt", "PEM, DER or P7B"}},
		{"openssl-default.pfx", []string{"--issued", "absent"}, 2, []string{"--issued"}},
	} {
		b.repair(row.file, append(row.args, "--out", "out.pfx")...).says(t, row.code, row.says...)
		if _, err := os.Stat(filepath.Join(b.dir, "out.pfx")); err == nil {
			t.Fatalf("%s: a file was written", row.file)
		}
	}
}
