package cli_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/certstamp/certstamp/csr"
	"github.com/certstamp/certstamp/internal/flock"
)

// TestRequestsAtOnce: of runs that make requests side by side each says that it made them only if the manifest names their keys:
// by it alone pack finds the key of what the CA issues.
func TestRequestsAtOnce(t *testing.T) {
	for name, asOf := range map[string]string{"the same second": "2026-11-29T10:00:00Z", "another second": "2026-11-29T10:00:0%dZ"} {
		b := newBureau(t, "")
		var (
			wg      sync.WaitGroup
			answers [4]answer
		)
		for i := range answers {
			at := asOf
			if strings.Contains(at, "%d") {
				at = fmt.Sprintf(at, i)
			}
			wg.Go(func() { answers[i] = b.csr(nil, "--type", "DBAdapter", "--as-of", at) })
		}
		wg.Wait()
		done := 0
		for _, a := range answers {
			switch {
			case a.code == 0:
				done++
			case a.code != 3 && a.code != 2 || !strings.Contains(a.stderr, "certstamp: hint: "):
				t.Errorf("%s: exit %d\n%s", name, a.code, a.stderr)
			}
		}
		if done == 0 {
			t.Errorf("%s: none was made", name)
		}
		folder := filepath.Join("requests", "DBAdapter")
		raw, err := os.ReadFile(b.path(folder, csr.ManifestName))
		if err != nil {
			t.Fatal(err)
		}
		m, err := csr.ReadManifest(raw)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, r := range m.Requests {
			known[r.SPKI] = true
		}
		files, err := filepath.Glob(b.path(folder, "*.req"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%v, %v", files, err)
		}
		for _, r := range b.requests(folder) {
			if sum := sha256.Sum256(r.RawSubjectPublicKeyInfo); !known[hex.EncodeToString(sum[:])] {
				t.Errorf("%s: the manifest does not name the key of a request that lies there", name)
			}
		}
		if len(files) != len(m.Requests) {
			t.Errorf("%s: %d requests, the manifest has %d", name, len(files), len(m.Requests))
		}
		left, err := filepath.Glob(b.path(folder, ".*"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", name, left, err)
		}
	}
}

// TestRequestIsWholeOrMadeAnew: a run that ends between two files of a request leaves none that the next run takes for made.
func TestRequestIsWholeOrMadeAnew(t *testing.T) {
	for _, ext := range []string{".inf", ".yaml", ".json", ".req"} {
		b := newBureau(t, "")
		const stem = "requests/DBAdapter/wildcard_dbadapter_east_azurestack_contoso_example_CertRequest_20261129100000"
		if err := os.MkdirAll(filepath.Join(b.path(stem+ext), "in the way"), 0o755); err != nil {
			t.Fatal(err)
		}
		if a := b.csr(nil, "--type", "DBAdapter", "--as-of", "2026-11-29T10:00:00Z"); a.code == 0 {
			t.Fatalf("%s: it was written: %s", ext, a.stdout)
		}
		if err := os.RemoveAll(b.path(stem + ext)); err != nil {
			t.Fatal(err)
		}
		a := b.csr(nil, "--type", "DBAdapter", "--as-of", "2026-11-29T10:00:01Z")
		again := b.path(strings.Replace(stem, "100000", "100001", 1))
		for _, ext := range []string{".key.age", ".inf", ".yaml", ".json", ".req"} {
			if _, err := os.Stat(again + ext); err != nil {
				t.Errorf("exit %d: %v", a.code, err)
			}
		}
		if _, err := os.Stat(b.path(stem + ".req")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("half a request: %v", err)
		}
	}
}

// TestOneTreeAtATime: of two runs that pack different answers of the CA at once each would write one of a PFX and its public twin.
func TestOneTreeAtATime(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	dir := s.path("certificates", "AAD")
	if err := os.Remove(filepath.Join(dir, "ACSBlob", "ACSBlob.crt")); err != nil {
		t.Fatal(err)
	}
	tree, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	held, err := flock.Take(tree, ".certstamp-lock", "somebody else")
	if err != nil {
		t.Fatal(err)
	}
	before := print(t, dir)
	pack := []string{"pack", "--stamp", s.name(), "--key-identity", "env:PFX_IDENTITY"}
	s.check(s.run(nil, pack...), 3, "somebody else", "run the same command again")
	if print(t, dir) != before {
		t.Error("it wrote beside another run")
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if a := s.must(nil, pack...); !strings.Contains(a.stdout, "1 certificate packed") {
		t.Errorf("afterwards: %s", a.stdout)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestOneBackupAtATime: two runs that fill a backup at once would each take away what the other has half written, and both say that
// the set lies there.
func TestOneBackupAtATime(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	s.pack()
	bound := s.plan("plan.json")
	if err := os.RemoveAll(filepath.Join(s.s.Backup, "AAD")); err != nil {
		t.Fatal(err)
	}
	backup, err := os.OpenRoot(s.s.Backup)
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close()
	held, err := flock.Take(backup, ".certstamp-lock", "somebody else")
	if err != nil {
		t.Fatal(err)
	}
	pack := append([]string{"pack", "--stamp", s.name(), "--key-identity", "env:PFX_IDENTITY", "--backup"}, s.allow()...)
	before := print(t, s.s.Backup)
	for _, args := range [][]string{pack, append([]string{"stage"}, bound...)} {
		s.check(s.run(nil, args...), 3, "somebody else", "run the same command again")
		if print(t, s.s.Backup) != before {
			t.Errorf("%s wrote into the backup", args[0])
		}
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	s.must(nil, pack...)
	s.must(nil, append([]string{"stage"}, bound...)...)
	if left, err := filepath.Glob(filepath.Join(s.s.Backup, ".certstamp*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
