package authroot

import (
	"bytes"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/certstamp/certstamp/pfx"
)

var update = flag.Bool("update", false, "write the seeds of FuzzAuthroot anew, with a new key")

const corpus = "testdata/fuzz/FuzzAuthroot"

// rootFile is what the committed seeds are signed under. Its key is gone.
const rootFile = "testdata/list-root.pem"

// TestSeeds keeps the committed seeds what they are meant to be: lists and stores that are accepted.
func TestSeeds(t *testing.T) {
	if *update {
		writeSeeds(t)
	}
	root, err := os.ReadFile(rootFile)
	if err != nil {
		t.Fatal(err)
	}
	signers, err := pfx.ParseCertificates(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"microsoft", "cms", "store", "certificates"} {
		b := seed(t, name)
		if _, err := Read(b, signers); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readContent(seed(t, "content")); err != nil {
		t.Errorf("content: %v", err)
	}
}

func seed(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus, name))
	if err != nil {
		t.Fatal(err)
	}
	_, quoted, ok := bytes.Cut(bytes.TrimSpace(text), []byte("\n[]byte("))
	s, err := strconv.Unquote(string(bytes.TrimSuffix(quoted, []byte(")"))))
	if !ok || err != nil {
		t.Fatalf("%s is no seed: %v", name, err)
	}
	return []byte(s)
}

func writeSeeds(t *testing.T) {
	p := newPublisher(t)
	list, root := sample(t)
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rootFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.root.cert.Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"microsoft":    p.sign(t, encode(list), signing{}),
		"cms":          p.sign(t, encode(list), signing{wrapped: true, whole: true}),
		"content":      encode(list),
		"store":        storeOf(root.Raw),
		"certificates": root.Raw,
	} {
		text := "go test fuzz v1\n[]byte(" + strconv.Quote(string(b)) + ")\n"
		if err := os.WriteFile(filepath.Join(corpus, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzAuthroot holds that nothing panics or takes long, and that what is read as a list can be written down again and comes
// out the same. The contents are also fuzzed by themselves, because nothing gets past a signature by chance.
func FuzzAuthroot(f *testing.F) {
	pemRoot, err := os.ReadFile(rootFile)
	if err != nil {
		f.Fatal(err)
	}
	signers, err := pfx.ParseCertificates(pemRoot)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := Read(b, signers); err == nil && got.List == nil && len(got.Certificates) == 0 {
			t.Error("accepted, and nothing in it")
		}
		l, err := readContent(b)
		if err != nil {
			return
		}
		again, err := readContent(encode(l))
		if err != nil {
			t.Fatalf("a list that was read cannot be read again: %v", err)
		}
		if diff := cmp.Diff(l, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
		for _, e := range l.Entries {
			if concerns(e.Usages) != (e.Usages == nil || len(e.Usages) > 0 && concerns(e.Usages)) {
				t.Error("an empty list of usages grants one")
			}
		}
	})
}
