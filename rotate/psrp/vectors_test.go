package psrp

import (
	"bytes"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

const vectorsFile = "../../testdata/psrp/vectors.json"

// vectors is what testdata/psrp/vectors.py writes: the same bytes by another hand.
type vectors struct {
	RSA struct {
		P, Q                                string
		PublicBlob, SessionKey, SessionBlob string
	}
	SecureStrings []struct{ Text, Sealed string }
	Messages      []struct {
		Destination          uint32
		Type                 MessageType
		Pool, Pipeline, Data string
		Bytes                string
		Fragments            map[string][]string
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVectorsAreMadeAgain: the committed file is what the script makes.
func TestVectorsAreMadeAgain(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's, which has Debian's python3-cryptography
	if _, err := os.Stat(python); errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") == "" {
		t.Skip("NOT TESTED: there is no python3")
	}
	made, err := exec.Command(python, "../../testdata/psrp/vectors.py").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatal(err)
	}
	have, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, have) {
		t.Error("vectors.json is not what vectors.py makes: run the command in its first lines, and look at what changed")
	}
}

func TestForeignKeyExchange(t *testing.T) {
	v := readVectors(t).RSA
	p, q := new(big.Int).SetBytes(unhex(t, v.P)), new(big.Int).SetBytes(unhex(t, v.Q))
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: new(big.Int).ModInverse(big.NewInt(65537), phi), Primes: []*big.Int{p, q}}
	k.Precompute()
	if err := k.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := encodePublicKey(&k.PublicKey); got != v.PublicBlob {
		t.Errorf("our blob is %s", got)
	}
	if theirs, err := decodePublicKey(v.PublicBlob); err != nil || !theirs.Equal(&k.PublicKey) {
		t.Errorf("their blob: %v", err)
	}
	session, err := openSessionKey(k, v.SessionBlob)
	if err != nil {
		t.Fatal(err)
	}
	same, err := clixml.NewSessionKey(unhex(t, v.SessionKey))
	if err != nil {
		t.Fatal(err)
	}
	text, err := same.Seal(clixml.NewSecureString("through and back"))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := session.Open(text); err != nil || s.Reveal() != "through and back" {
		t.Errorf("the keys differ: %v", err)
	}
}

func TestForeignSecureStrings(t *testing.T) {
	v := readVectors(t)
	k, err := clixml.NewSessionKey(unhex(t, v.RSA.SessionKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range v.SecureStrings {
		if got, err := k.Seal(clixml.NewSecureString(s.Text)); err != nil || got != s.Sealed {
			t.Errorf("%q: sealed %s, %v, want %s", s.Text, got, err, s.Sealed)
		}
		if got, err := k.Open(s.Sealed); err != nil || got.Reveal() != s.Text {
			t.Errorf("%q: opened %q, %v", s.Text, got.Reveal(), err)
		}
	}
	if len(v.SecureStrings) < 8 {
		t.Errorf("%d vectors", len(v.SecureStrings))
	}
}

// TestForeignFragments: messages and fragments, written and read, at sizes that cut through every header.
func TestForeignFragments(t *testing.T) {
	for i, v := range readVectors(t).Messages {
		m := Message{Destination: v.Destination, Type: v.Type, Data: []byte(v.Data)}
		var err1, err2 error
		m.Pool, err1 = clixml.ParseGUID(v.Pool)
		m.Pipeline, err2 = clixml.ParseGUID(v.Pipeline)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		want := unhex(t, v.Bytes)
		if got := m.Encode(); !bytes.Equal(got, want) {
			t.Errorf("message %d: %x, want %x", i, got, want)
		}
		read, err := DecodeMessage(want)
		if err != nil || read.Type != m.Type || read.Pool != m.Pool || read.Pipeline != m.Pipeline ||
			!bytes.Equal(bytes.TrimPrefix(read.Data, []byte("\ufeff")), bytes.TrimPrefix(m.Data, []byte("\ufeff"))) {
			t.Errorf("message %d: read %+v, %v", i, read, err)
		}
		for size, list := range v.Fragments {
			var limit int
			if err := json.Unmarshal([]byte(size), &limit); err != nil {
				t.Fatal(err)
			}
			f := Fragmenter{Max: limit, object: uint64(6 + i)}
			var ours []string
			for _, b := range f.Fragments(m) {
				ours = append(ours, hex.EncodeToString(b))
			}
			if diff := cmp.Diff(list, ours); diff != "" {
				t.Errorf("message %d in fragments of %d bytes (-theirs +ours):\n%.400s", i, limit, diff)
			}
			var d Defragmenter
			for _, text := range list {
				if _, err := d.Write(unhex(t, text)); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for o := range d.Messages() {
				if n++; o.ID != uint64(7+i) || !bytes.Equal(o.Data, want) {
					t.Errorf("message %d from fragments of %d bytes: object %d, %d bytes", i, limit, o.ID, len(o.Data))
				}
			}
			if n != 1 {
				t.Errorf("message %d from fragments of %d bytes: %d objects", i, limit, n)
			}
		}
	}
}
