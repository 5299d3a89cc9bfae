package clixml

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func testKey(t testing.TB) *SessionKey {
	t.Helper()
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)
	}
	k, err := NewSessionKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The sealed texts were made with another implementation and checked with
// printf 'P\0@\0s\0s\0' | openssl enc -aes-256-cbc -K 000102…1f -iv 0… -a.
func TestSecureStringVectors(t *testing.T) {
	k := testKey(t)
	for plain, sealed := range map[string]string{
		"":          "nzt1BJJvi9NuMRjpA6TNSg==",
		"P@ss":      "vs3d32kmcv4Ke0pF/7PSSA==",
		"S3cr€t":    "xGSLh1bG4/bjEqHxeOz/ow==",
		"🔑 8 chars": "+dQOX5t7QSpDZxaMxNIaVywR5ino/k4YVObtRs6PaK4=",
	} {
		b, err := Marshal(NewSecureString(plain), k)
		if want := "<SS>" + sealed + "</SS>"; err != nil || string(b) != want {
			t.Errorf("%q: got %s, %v; want %s", plain, b, err, want)
		}
		v, err := Unmarshal([]byte("<SS>"+sealed+"</SS>"), k)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.(SecureString).Reveal(); got != plain {
			t.Errorf("%s: got %q, want %q", sealed, got, plain)
		}
	}
}

func TestSecureStringRedactsItself(t *testing.T) {
	const leak = "hunter2"
	s := NewSecureString(leak)
	c := Credential{User: "u", Password: s}
	type box struct {
		S      SecureString
		hidden SecureString
		C      *Credential
	}
	b := box{s, s, &c}
	o := &Object{Adapted: []Property{{"Password", s}}}
	var out []string
	for _, v := range []any{s, &s, c, &c, b, &b, []SecureString{s}, map[string]any{"k": s}, o, *o} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			out = append(out, fmt.Sprintf(verb, v))
		}
		j, err := json.Marshal(v)
		out = append(out, string(j), fmt.Sprint(err))
		y, err := yaml.Marshal(v)
		out = append(out, string(y), fmt.Sprint(err))
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		out = append(out, log.String(), Text(v))
	}
	for _, text := range out {
		if strings.Contains(text, leak) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", leak)) {
			t.Errorf("leaks: %s", text)
		}
	}
}

func TestSecureStringRoundTripOfManyCharacters(t *testing.T) {
	k := testKey(t)
	long := strings.Repeat("aé€🔑", 25_000)
	b, err := Marshal(NewSecureString(long), k)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Unmarshal(b, k)
	if err != nil || v.(SecureString).Reveal() != long {
		t.Errorf("does not come back: %v", err)
	}
}

func TestSecureStringErrors(t *testing.T) {
	k := testKey(t)
	if _, err := Marshal(NewSecureString("x"), nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("got %v, want ErrNoKey", err)
	}
	if _, err := Marshal(NewSecureString("hunter2\xff"), k); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("not UTF-8: got %v", err)
	}
	for _, text := range []string{"", "AAAA", "!", "AAAAAAAAAAAAAAAAAAAAAA=="} {
		if v, err := Unmarshal([]byte("<SS>"+text+"</SS>"), k); err == nil {
			t.Errorf("%q: opened as %v", text, v)
		}
	}
	for what, plain := range map[string][]byte{ // with the right key
		"odd padding":          append([]byte("P\x00@\x00s\x00s\x00s"), 7, 7, 7, 7, 7, 7, 7),
		"padding of two kinds": append([]byte("P\x00@\x00s\x00s\x00"), 8, 8, 8, 8, 8, 8, 6, 8),
		"no padding":           append([]byte("P\x00@\x00s\x00s\x00P\x00@\x00s\x00"), 's', 0),
		"too much padding":     append([]byte("P\x00@\x00s\x00s\x00P\x00@\x00s\x00"), 's', 18),
	} {
		sealed := make([]byte, len(plain))
		cipher.NewCBCEncrypter(k.block, make([]byte, aes.BlockSize)).CryptBlocks(sealed, plain)
		if v, err := k.Open(base64.StdEncoding.EncodeToString(sealed)); err == nil {
			t.Errorf("%s: opened as %q", what, v.Reveal())
		}
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := NewSessionKey(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes was taken", n)
		}
	}
}

func TestCredential(t *testing.T) {
	k := testKey(t)
	b, err := Marshal(Credential{User: `C\u`, Password: NewSecureString("P@ss")}, k)
	if err != nil {
		t.Fatal(err)
	}
	want := `<Obj RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCredential</T><T>System.Object</T></TN>` +
		`<ToString>System.Management.Automation.PSCredential</ToString>` +
		`<Props><S N="UserName">C\u</S><SS N="Password">vs3d32kmcv4Ke0pF/7PSSA==</SS></Props></Obj>`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	v, err := Unmarshal(b, k)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := CredentialOf(v)
	if !ok || c.User != `C\u` || c.Password.Reveal() != "P@ss" {
		t.Errorf("got %v %v", c, ok)
	}
	if _, ok := CredentialOf("text"); ok {
		t.Error("text is no credential")
	}
}
