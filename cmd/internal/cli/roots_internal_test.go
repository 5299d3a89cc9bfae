package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

// ListSeed is a trust list of the reader's fuzz corpus, signed under a root that is not Microsoft's.
func ListSeed(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../validate/authroot/testdata/fuzz/FuzzAuthroot/" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, quoted, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n[]byte("))
	s, err := strconv.Unquote(string(bytes.TrimSuffix(quoted, []byte(")"))))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s)
}

// A trust list counts once its signer leads to a root the policy names. No test has Microsoft's key, so this one says whose
// list it takes.
func TestRootsTakesATrustList(t *testing.T) {
	const from = "../../../validate/authroot/testdata/"
	dir := t.TempDir()
	rootPEM, err := os.ReadFile(from + "list-root.pem")
	if err != nil {
		t.Fatal(err)
	}
	signers, err := pfx.ParseCertificates(rootPEM)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"authroot.stl": ListSeed(t, "microsoft"), "other.stl": ListSeed(t, "cms"), "roots.sst": ListSeed(t, "store"), "own.pem": rootPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	repo, err := stamp.OpenRepository(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	base, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{base.Digest(): "no list"}
	for _, row := range []struct {
		public, own                  string
		list                         bool
		certificates, anchors, extra int
		fails                        string
	}{
		{public: "authroot.stl", list: true},
		{public: "other.stl", list: true},
		{public: "roots.sst", certificates: 1},
		{own: "roots.sst", anchors: 1},
		{public: "authroot.stl", own: "own.pem", list: true, anchors: 1},
		{own: "authroot.stl", fails: "is a list of public roots"},
	} {
		t.Run(row.public+" "+row.own, func(t *testing.T) {
			j := &job{stamp: &stamp.Stamp{Name: "east", PublicRoots: row.public, EnterpriseRoots: row.own}, policy: base}
			err := (&app{}).roots(repo, j, signers)
			if row.fails != "" {
				if err == nil || !strings.Contains(err.Error(), row.fails) {
					t.Errorf("%v, want %q", err, row.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			a := j.anchors
			if (a.PublicList != nil) != row.list || len(a.Public) != row.certificates || len(a.Enterprise) != row.anchors || len(a.Extra) != row.extra {
				t.Errorf("%+v", a)
			}
			if was, ok := digests[j.policy.Digest()]; ok {
				t.Errorf("the digest is that of %s", was)
			}
			digests[j.policy.Digest()] = row.public + " " + row.own
		})
	}
	if err := (&app{}).roots(repo, &job{stamp: &stamp.Stamp{Name: "east", PublicRoots: "authroot.stl"}, policy: base}, base.ListSigners()); err == nil || !strings.Contains(err.Error(), "leads to none") {
		t.Errorf("a list that is not Microsoft's: %v", err)
	}
}
