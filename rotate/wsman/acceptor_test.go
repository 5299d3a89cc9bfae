package wsman

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck // MS-NLMP prescribes it
)

// The acceptor is the server's half of NTLMv2 (MS-NLMP section 3.3.2), for the test peer. It is held to the published
// example and to a recorded handshake below, so that it and the client library cannot agree on a mistake.
type acceptor struct {
	domain, user, password string
	negotiate, challenge   []byte
	binding                []byte // MD5 of the channel bindings that must come, nil: none
}

type direction struct {
	sign   []byte
	stream *rc4.Cipher
	seq    uint32
}

type security struct{ in, out direction }

func u16(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func ntHash(password string) []byte {
	h := md4.New()
	h.Write(u16(password))
	return h.Sum(nil)
}

func ntowf(user, password, domain string) []byte {
	return hmacMD5(ntHash(password), u16(strings.ToUpper(user)+domain))
}

func keyed(key []byte, side string) direction {
	sum := func(what string) []byte {
		h := md5.Sum(append(append([]byte{}, key...), []byte("session key to "+side+" "+what+" key magic constant\x00")...))
		return h[:]
	}
	c, err := rc4.NewCipher(sum("sealing"))
	if err != nil {
		panic(err)
	}
	return direction{sign: sum("signing"), stream: c}
}

func serverSecurity(key []byte) *security {
	return &security{in: keyed(key, "client-to-server"), out: keyed(key, "server-to-client")}
}

func (d *direction) signature(plain []byte) []byte {
	seq := binary.LittleEndian.AppendUint32(nil, d.seq)
	sum := hmacMD5(d.sign, seq, plain)[:8]
	d.stream.XORKeyStream(sum, sum)
	d.seq++
	return append(append([]byte{1, 0, 0, 0}, sum...), seq...)
}

func (s *security) Wrap(plain []byte) ([]byte, []byte, error) {
	sealed := make([]byte, len(plain))
	s.out.stream.XORKeyStream(sealed, plain)
	return sealed, s.out.signature(plain), nil
}

func (s *security) Unwrap(sealed, signature []byte) ([]byte, error) {
	plain := make([]byte, len(sealed))
	s.in.stream.XORKeyStream(plain, sealed)
	if !bytes.Equal(s.in.signature(plain), signature) {
		return nil, errors.New("signature")
	}
	return plain, nil
}

const goodFlags = 0xe28a8235

func makeChallenge(flags uint32, info []byte) []byte {
	b := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	name := u16("STAMP")
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = binary.LittleEndian.AppendUint32(b, 56)
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(b, 1, 2, 3, 4, 5, 6, 7, 8)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(info)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(info)))
	b = binary.LittleEndian.AppendUint32(b, uint32(56+len(name)))
	b = append(b, 10, 0, 0x39, 0x38, 0, 0, 0, 15)
	b = append(b, name...)
	return append(b, info...)
}

func av(id uint16, value []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, id)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

func goodInfo() []byte {
	return bytes.Join([][]byte{
		av(2, u16("STAMP")), av(1, u16("ERCS01")), av(4, u16("stamp.local")), av(3, u16("ercs01.stamp.local")),
		av(7, []byte{1, 2, 3, 4, 5, 6, 0xd7, 1}), av(0, nil),
	}, nil)
}

// accept checks an AUTHENTICATE message and returns the exported session key.
func (a *acceptor) accept(m []byte) ([]byte, error) {
	field := func(at int) []byte {
		n, o := int(binary.LittleEndian.Uint16(m[at:])), int(binary.LittleEndian.Uint32(m[at+4:]))
		if o+n > len(m) {
			return nil
		}
		return m[o:][:n]
	}
	if len(m) < 88 || string(m[:8]) != "NTLMSSP\x00" || m[8] != 3 {
		return nil, errors.New("not AUTHENTICATE")
	}
	lm, nt, domain, user, encrypted := field(12), field(20), field(28), field(36), field(52)
	if len(nt) < 44 || len(encrypted) != 16 || !bytes.Equal(lm, make([]byte, 24)) {
		return nil, errors.New("no NTLMv2")
	}
	if !bytes.Equal(domain, u16(a.domain)) || !strings.EqualFold(string(user), string(u16(a.user))) {
		return nil, errors.New("unknown user")
	}
	v2 := ntowf(a.user, a.password, a.domain)
	proof := hmacMD5(v2, a.challenge[24:32], nt[16:])
	if !hmac.Equal(proof, nt[:16]) {
		return nil, errors.New("wrong password")
	}
	c, err := rc4.NewCipher(hmacMD5(v2, proof))
	if err != nil {
		return nil, err
	}
	key := make([]byte, 16)
	c.XORKeyStream(key, encrypted)
	blank := append([]byte{}, m...)
	clear(blank[72:88])
	if !hmac.Equal(hmacMD5(key, a.negotiate, a.challenge, blank), m[72:88]) {
		return nil, errors.New("wrong MIC")
	}
	if a.binding != nil && !bytes.Contains(nt[44:], av(10, a.binding)) {
		return nil, errors.New("no channel bindings")
	}
	return key, nil
}

func TestPublishedNTLMExample(t *testing.T) {
	info, err := hex.DecodeString("02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")
	if err != nil {
		t.Fatal(err)
	}
	temp := append([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{0xaa}, 8)...)
	temp = append(append(temp, 0, 0, 0, 0), info...) // the published pairs end with their four zero bytes
	v2 := ntowf("User", "Password", "Domain")
	proof := hmacMD5(v2, []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}, temp)
	base := hmacMD5(v2, proof)
	c, err := rc4.NewCipher(base)
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte{0x55}, 16)
	encrypted := make([]byte, 16)
	c.XORKeyStream(encrypted, key)
	client := keyed(key, "client-to-server")
	sealed := make([]byte, 18)
	client.stream.XORKeyStream(sealed, u16("Plaintext"))
	for _, row := range []struct {
		name string
		got  []byte
		want string
	}{
		{"NTOWFv2", v2, "0c868a403bfd7a93a3001ef22ef02e3f"},
		{"NTProof", proof, "68cd0ab851e51c96aabc927bebef6a1c"},
		{"session base key", base, "8de40ccadbc14a82f15cb0ad0de95ca3"},
		{"encrypted session key", encrypted, "c5dad2544fc9799094ce1ce90bc9d03e"},
		{"client signing key", client.sign, "4788dc861b4782f35d43fd98fe1a2d39"},
		{"sealed", sealed, "54e50165bf1936dc996020c1811b0f06fb5f"},
		{"signature", client.signature(u16("Plaintext")), "010000007fb38ec5c55d497600000000"},
	} {
		if got := hex.EncodeToString(row.got); got != row.want {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
}

const (
	recordedT1 = "TlRMTVNTUAABAAAAMZCI4AoACgAoAAAAAAAAADIAAAAAAAAAAAAAAEFaVVJFU1RBQ0s="
	recordedT2 = "TlRMTVNTUAACAAAADAAMADgAAAA1goriYo42Q92PfF8AAAAAAAAAAHIAcgBEAAAACgA5OAAAAA9FAFIAQwBTADAAMQACABQAQQBaAFUAUgBFAFMAVABBAEMASwABAAwARQBSAEMAUwAwADEABAASAGEAegBzAC4AbABvAGMAYQBsAAMAIABlAHIAYwBzADAAMQAuAGEAegBzAC4AbABvAGMAYQBsAAcACABsIHEx5nrdAQAAAAA="
	recordedT3 = "TlRMTVNTUAADAAAAGAAYAIAAAACqAKoAmAAAABQAFABYAAAAFAAUAGwAAAAAAAAAgAAAABAAEABCAQAANYKK4AAAAAAAAAAARijIp9K+gehSZNzsGL3q1EEAWgBVAFIARQBTAFQAQQBDAEsAYwBsAG8AdQBkAGEAZABtAGkAbgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAJVDxvsR4BPzwH8/ZLC52oAQEAAAAAAABsIHEx5nrdAaS1Tip7YHurAAAAAAIAFABBAFoAVQBSAEUAUwBUAEEAQwBLAAEADABFAFIAQwBTADAAMQAEABIAYQB6AHMALgBsAG8AYwBhAGwAAwAgAGUAcgBjAHMAMAAxAC4AYQB6AHMALgBsAG8AYwBhAGwABwAIAGwgcTHmet0BBgAEAAIAAAAAAAAAAAAAAO+GFojteCQW4QM4CzI45Y8="
)

func TestRecordedHandshake(t *testing.T) {
	raw := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a := acceptor{domain: "AZURESTACK", user: "cloudadmin", password: "P@ssw0rd!é", negotiate: raw(recordedT1), challenge: raw(recordedT2)}
	key, err := a.accept(raw(recordedT3))
	if err != nil || hex.EncodeToString(key) != "d6e4689cb03e96126937bbe19caf627c" {
		t.Fatalf("got %x, %v", key, err)
	}
	if err := checkChallenge(raw(recordedT2)); err != nil {
		t.Errorf("the recorded CHALLENGE: %v", err)
	}
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	s := serverSecurity(key)
	plain, err := s.Unwrap(unhex("ef28902d40abff"), unhex("01000000b5e600dfc7091f0300000000"))
	if err != nil || string(plain) != "<ping/>" {
		t.Errorf("client message: got %q, %v", plain, err)
	}
	sealed, signature, err := s.Wrap([]byte("<pong/>"))
	if err != nil || hex.EncodeToString(sealed) != "f8c209b5d79d81" || hex.EncodeToString(signature) != "01000000a500e82d28e004f600000000" {
		t.Errorf("server message: got %x %x %v", sealed, signature, err)
	}
}
