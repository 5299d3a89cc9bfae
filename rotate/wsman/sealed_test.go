package wsman

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/internal/heap"
)

// pair is two ends that share a key.
func pair() (client, server *security) {
	key := bytes.Repeat([]byte{9}, 16)
	return &security{in: keyed(key, "server-to-client"), out: keyed(key, "client-to-server")}, serverSecurity(key)
}

// The sealed body of the recorded message, annotated in the protocol's documentation.
func TestSealedBodyVector(t *testing.T) {
	key := []byte{0xd6, 0xe4, 0x68, 0x9c, 0xb0, 0x3e, 0x96, 0x12, 0x69, 0x37, 0xbb, 0xe1, 0x9c, 0xaf, 0x62, 0x7c}
	client := &security{in: keyed(key, "server-to-client"), out: keyed(key, "client-to-server")}
	got, err := sealBody(client, []byte("<ping/>"))
	if err != nil {
		t.Fatal(err)
	}
	want := "--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n" +
		"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=7\r\n--Encrypted Boundary\r\n" +
		"\tContent-Type: application/octet-stream\r\n" +
		"\x10\x00\x00\x00\x01\x00\x00\x00\xb5\xe6\x00\xdf\xc7\x09\x1f\x03\x00\x00\x00\x00\xef\x28\x90\x2d\x40\xab\xff--Encrypted Boundary--\r\n"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	back := ("--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n" +
		"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=7\r\n--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n" +
		"\x10\x00\x00\x00\x01\x00\x00\x00\xa5\x00\xe8\x2d\x28\xe0\x04\xf6\x00\x00\x00\x00\xf8\xc2\x09\xb5\xd7\x9d\x81--Encrypted Boundary--\r\n")
	plain, err := openBody(client, sealedType, []byte(back))
	if err != nil || string(plain) != "<pong/>" {
		t.Errorf("got %q, %v", plain, err)
	}
}

func TestOpenBodyTakesWhatServersWrite(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"as we do": func(b []byte) []byte { return b },
		"no tabs":  func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n\t"), []byte("\n")) },
		"lower case": func(b []byte) []byte {
			return bytes.Replace(b, []byte("OriginalContent"), []byte("originalcontent"), 1)
		},
		"space in boundary": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("--Encrypted"), []byte("-- Encrypted")) },
		"no last line end":  func(b []byte) []byte { return b[:len(b)-2] },
	} {
		client, server := pair()
		// The boundary inside of the text must not confuse anybody.
		text := strings.Repeat("--Encrypted Boundary--\r\n", 50)
		sealed, err := sealBody(server, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := openBody(client, `Multipart/Encrypted; boundary="Encrypted Boundary"; protocol="`+sealProtocol+`"`, change(sealed))
		if err != nil || string(plain) != text {
			t.Errorf("%s: got %d bytes, %v", name, len(plain), err)
		}
	}
}

func TestOpenBodyRefuses(t *testing.T) {
	_, server := pair()
	good, err := sealBody(server, []byte("<s/>"))
	if err != nil {
		t.Fatal(err)
	}
	swap := func(a, b string) []byte { return bytes.Replace(good, []byte(a), []byte(b), 1) }
	rows := map[string][]byte{
		"nothing":             nil,
		"clear text":          []byte("<s:Envelope/>"),
		"no length":           swap("Length=4", "Size=4"),
		"negative length":     swap("Length=4", "Length=-4"),
		"length too long":     swap("Length=4", "Length=5"),
		"length too short":    swap("Length=4", "Length=3"),
		"length overflows":    swap("Length=4", "Length=99999999999999999999"),
		"huge length":         swap("Length=4", "Length=2000000000"),
		"short signature":     swap("\x10\x00\x00\x00", "\x0f\x00\x00\x00"),
		"other part":          swap("octet-stream", "octet-strea_"),
		"no end":              good[:len(good)-24],
		"tail":                append(append([]byte{}, good...), 'x'),
		"damaged cipher text": append(append(append([]byte{}, good[:len(good)-25]...), good[len(good)-25]^1), good[len(good)-24:]...),
	}
	for i := range len(good) - 2 {
		rows[fmt.Sprintf("cut at %d", i)] = good[:i]
	}
	for name, b := range rows {
		client, _ := pair()
		if plain, err := openBody(client, sealedType, b); !errors.Is(err, ErrUnsealed) || plain != nil {
			t.Errorf("%s: got %q, %v", name, plain, err)
		}
	}
	for _, kind := range []string{"", soapType, "multipart/encrypted", `multipart/encrypted;protocol="x";boundary="Encrypted Boundary"`, ";"} {
		client, _ := pair()
		if _, err := openBody(client, kind, good); !errors.Is(err, ErrUnsealed) {
			t.Errorf("content type %q: got %v", kind, err)
		}
	}
}

func TestSealedMessagesCannotBeReplayed(t *testing.T) {
	client, server := pair()
	a, _ := sealBody(server, []byte("<a/>"))
	b, _ := sealBody(server, []byte("<b/>"))
	if _, err := openBody(client, sealedType, b); err == nil {
		t.Error("the second message opens first")
	}
	client, _ = pair()
	if _, err := openBody(client, sealedType, a); err != nil {
		t.Fatal(err)
	}
	if _, err := openBody(client, sealedType, a); err == nil {
		t.Error("the first message opens twice")
	}
}

func FuzzSealed(f *testing.F) {
	_, server := pair()
	good, err := sealBody(server, []byte("<s/>"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.ReplaceAll(good, []byte("\t"), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var sealed, signature []byte
		var err error
		if spent := heap.Spent(func() { sealed, signature, err = parseSealed(b) }); spent > most(b) {
			t.Errorf("%d bytes allocated for %d", spent, len(b))
		}
		if err != nil {
			return
		}
		if len(signature) != signatureSize || len(sealed) > len(b) {
			t.Fatalf("%d %d", len(signature), len(sealed))
		}
		client, _ := pair()
		_, _ = openBody(client, sealedType, b)
	})
}
