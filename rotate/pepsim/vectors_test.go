package pepsim

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// TestForeignSealing: NTLM's seal by another hand, testdata/psrp/vectors.py, in both directions.
func TestForeignSealing(t *testing.T) {
	b, err := os.ReadFile("../../testdata/psrp/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Sealing struct {
			Key            string
			Client, Server []struct{ Plain, Sealed, Signature string }
		}
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s, err := newSealing(unhex(v.Sealing.Key))
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Sealing.Client) < 4 || len(v.Sealing.Server) < 4 {
		t.Fatal("too few vectors")
	}
	for i, c := range v.Sealing.Client {
		if plain, err := s.unseal(unhex(c.Sealed), unhex(c.Signature)); err != nil || string(plain) != c.Plain {
			t.Errorf("client message %d: %q, %v", i, plain, err)
		}
	}
	for i, c := range v.Sealing.Server {
		sealed, signature := s.seal([]byte(c.Plain))
		if hex.EncodeToString(sealed) != c.Sealed || hex.EncodeToString(signature) != c.Signature {
			t.Errorf("server message %d: %x %x", i, sealed, signature)
		}
	}
}
