package pepsim

import (
	"bytes"
	"context"
	"crypto/rc4" //nolint:gosec // MS-NLMP prescribes it
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/heap"
)

func fromBase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A handshake that another client and another server had, with what followed on the connection.
const (
	recordedT1  = "TlRMTVNTUAABAAAAMZCI4AoACgAoAAAAAAAAADIAAAAAAAAAAAAAAEFaVVJFU1RBQ0s="
	recordedT2  = "TlRMTVNTUAACAAAADAAMADgAAAA1goriYo42Q92PfF8AAAAAAAAAAHIAcgBEAAAACgA5OAAAAA9FAFIAQwBTADAAMQACABQAQQBaAFUAUgBFAFMAVABBAEMASwABAAwARQBSAEMAUwAwADEABAASAGEAegBzAC4AbABvAGMAYQBsAAMAIABlAHIAYwBzADAAMQAuAGEAegBzAC4AbABvAGMAYQBsAAcACABsIHEx5nrdAQAAAAA="
	recordedT3  = "TlRMTVNTUAADAAAAGAAYAIAAAACqAKoAmAAAABQAFABYAAAAFAAUAGwAAAAAAAAAgAAAABAAEABCAQAANYKK4AAAAAAAAAAARijIp9K+gehSZNzsGL3q1EEAWgBVAFIARQBTAFQAQQBDAEsAYwBsAG8AdQBkAGEAZABtAGkAbgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAJVDxvsR4BPzwH8/ZLC52oAQEAAAAAAABsIHEx5nrdAaS1Tip7YHurAAAAAAIAFABBAFoAVQBSAEUAUwBUAEEAQwBLAAEADABFAFIAQwBTADAAMQAEABIAYQB6AHMALgBsAG8AYwBhAGwAAwAgAGUAcgBjAHMAMAAxAC4AYQB6AHMALgBsAG8AYwBhAGwABwAIAGwgcTHmet0BBgAEAAIAAAAAAAAAAAAAAO+GFojteCQW4QM4CzI45Y8="
	recordedKey = "d6e4689cb03e96126937bbe19caf627c"
)

func recorded(t *testing.T) *acceptor {
	return &acceptor{negotiate: fromBase64(t, recordedT1), challenge: fromBase64(t, recordedT2)}
}

func TestRecordedHandshake(t *testing.T) {
	users := []ntlmUser{{admin, password}}
	login, err := recorded(t).accept(fromBase64(t, recordedT3), users, nil)
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(login.key) != recordedKey || login.user != admin {
		t.Errorf("user %s, session key %x", login.user, login.key)
	}
	s, err := newSealing(login.key)
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	plain, err := s.unseal(unhex("ef28902d40abff"), unhex("01000000b5e600dfc7091f0300000000"))
	if err != nil || string(plain) != "<ping/>" {
		t.Errorf("%q, %v", plain, err)
	}
	sealed, signature := s.seal([]byte("<pong/>"))
	if !bytes.Equal(sealed, unhex("f8c209b5d79d81")) || !bytes.Equal(signature, unhex("01000000a500e82d28e004f600000000")) {
		t.Errorf("sealed %x, signature %x", sealed, signature)
	}
	if _, err := recorded(t).accept(fromBase64(t, recordedT3), []ntlmUser{{admin, "other"}}, nil); !errors.Is(err, errLogin) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := recorded(t).accept(fromBase64(t, recordedT3), nil, nil); !errors.Is(err, errLogin) {
		t.Errorf("unknown user: %v", err)
	}
}

// TestChangedHandshake changes each byte of each message: the MIC holds all three together, so nothing that counts passes.
func TestChangedHandshake(t *testing.T) {
	users := []ntlmUser{{admin, password}}
	t3 := fromBase64(t, recordedT3)
	passed := 0
	for which := range 3 {
		for i := range [][]byte{fromBase64(t, recordedT1), fromBase64(t, recordedT2), t3}[which] {
			a, m := recorded(t), slices.Clone(t3)
			[][]byte{a.negotiate, a.challenge, m}[which][i] ^= 1
			if _, err := a.accept(m, users, nil); err == nil {
				passed++
				t.Errorf("message %d, byte %d changed: accepted", which+1, i)
			}
		}
	}
	for n := range t3 {
		if _, err := recorded(t).accept(t3[:n], users, nil); err == nil {
			t.Errorf("%d bytes of the AUTHENTICATE message: accepted", n)
		}
	}
	if passed > 0 {
		t.Logf("%d changes went unseen", passed)
	}
}

func TestWeakClientsAreRefused(t *testing.T) {
	t1 := fromBase64(t, recordedT1)
	for name, flag := range map[string]uint32{"unicode": ntlmUnicode, "extended security": ntlmExtended, "128 bit": ntlm128, "key exchange": ntlmKeyExchange} {
		weak := slices.Clone(t1)
		for i := range 4 {
			weak[12+i] &^= byte(flag >> (8 * i))
		}
		if _, err := challengeFor(weak, "M", "D", time.Now(), bytes.NewReader(make([]byte, 64))); err == nil {
			t.Errorf("a client without %s got a challenge", name)
		}
	}
	for _, m := range [][]byte{nil, []byte("NTLMSSP"), t1[:12], append([]byte("NTLMSSP\x00\x03"), make([]byte, 90)...)} {
		if _, err := challengeFor(m, "M", "D", time.Now(), bytes.NewReader(make([]byte, 64))); err == nil {
			t.Errorf("%q got a challenge", m)
		}
	}
}

func TestUserForms(t *testing.T) {
	users := []ntlmUser{{admin, password}}
	for _, tt := range []struct {
		domain, user string
		want         bool
	}{
		{"AZURESTACK", "cloudadmin", true},
		{"azurestack", "CloudAdmin", true},
		{"", "cloudadmin", true},
		{"", "cloudadmin@azurestack.local", true},
		{"", admin, true},
		{"OTHER", "cloudadmin", false},
		{"AZURESTACK", "cloudadmin2", false},
		{"", "cloudadmin@contoso.com", false},
		{"", "", false},
	} {
		if _, got := findUser(users, tt.domain, tt.user); got != tt.want {
			t.Errorf(`%q\%q: %v`, tt.domain, tt.user, got)
		}
	}
}

// TestBodiesInClearAreNotRead: on HTTP a login does not open the door for what follows in clear.
func TestBodiesInClearAreNotRead(t *testing.T) {
	cfg := east()
	cfg.Faults = []Fault{{On: "*", Nth: []int{1}, Do: fault503}}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	const create = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing">` +
		`<s:Header><a:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Create</a:Action><a:MessageID>uuid:1</a:MessageID></s:Header><s:Body/></s:Envelope>`
	end, other := net.Pipe()
	defer end.Close()
	defer other.Close()
	c := &conn{net: end, login: &authenticated{user: admin}}
	for _, kind := range []string{soapType, "", "text/xml"} {
		r := httptest.NewRequest(http.MethodPost, "/wsman", strings.NewReader(create))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		s.handle(w, r.WithContext(context.WithValue(t.Context(), connKey{}, c)))
		if w.Code != http.StatusUnauthorized || w.Body.Len() > 0 || w.Header().Get("WWW-Authenticate") != "Negotiate" {
			t.Errorf("%q: got %d %q", kind, w.Code, w.Body)
		}
	}
	if len(s.faults.pending()) != 1 {
		t.Error("it was read: the fault for the first request was used up")
	}
}

func FuzzNTLM(f *testing.F) {
	f.Add(fromBase64(f, recordedT1))
	f.Add(fromBase64(f, recordedT3))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := challengeFor(b, "M", "D", time.Unix(0, 0), bytes.NewReader(make([]byte, 64))); err == nil {
			b = append([]byte(ntlmSignature+"\x03"), b[min(9, len(b)):]...) // the same bytes as an answer to it
			if _, err := a.accept(b, []ntlmUser{{admin, password}}, nil); err == nil {
				t.Error("it logged in without the password")
			}
			return
		}
		good, err := challengeFor(fromBase64(t, recordedT1), "M", "D", time.Unix(0, 0), bytes.NewReader(make([]byte, 64)))
		if err != nil {
			t.Fatal(err)
		}
		spent := heap.Spent(func() {
			if _, err := good.accept(b, []ntlmUser{{admin, password}}, make([]byte, 16)); err == nil {
				t.Error("it logged in without the password")
			}
		})
		if spent > 2<<20+256*uint64(len(b)) {
			t.Errorf("%d bytes allocated for %d", spent, len(b))
		}
	})
}

// TestChannelBindings: a login that names another TLS connection was passed on by somebody; one that names none, or nothing, counts.
func TestChannelBindings(t *testing.T) {
	users := []ntlmUser{{admin, password}}
	mine, none := bytes.Repeat([]byte{7}, 16), make([]byte, 16)
	for name, row := range map[string]struct {
		sent, binding []byte
		ok            bool
	}{
		"this connection":    {mine, mine, true},
		"another connection": {bytes.Repeat([]byte{8}, 16), mine, false},
		"zeros":              {none, mine, true},
		"of another length":  {mine[:8], mine, true},
		"without TLS":        {mine, nil, true},
	} {
		a, known := recorded(t), users[0]
		m := fromBase64(t, recordedT3)
		// The recorded message, with one more pair before the end of the list, and all that was computed over it again.
		nt := slices.Clone(m[0x98 : 0x98+0xaa])
		pair := append(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, avBindings), uint16(len(row.sent))), row.sent...)
		nt = slices.Insert(nt, len(nt)-8, pair...)
		v2 := ntowf(known.password, "cloudadmin", "AZURESTACK")
		proof := hmacMD5(v2, a.challenge[24:32], nt[16:])
		copy(nt, proof)
		key := bytes.Repeat([]byte{9}, 16)
		c, err := rc4.NewCipher(hmacMD5(v2, proof))
		if err != nil {
			t.Fatal(err)
		}
		c.XORKeyStream(m[0x142:0x152], key)
		binary.LittleEndian.PutUint16(m[20:], uint16(len(nt)))
		binary.LittleEndian.PutUint16(m[22:], uint16(len(nt)))
		binary.LittleEndian.PutUint32(m[24:], uint32(len(m)))
		m = append(m, nt...)
		clear(m[72:88])
		copy(m[72:88], hmacMD5(key, a.negotiate, a.challenge, m))
		login, err := a.accept(m, users, row.binding)
		if (err == nil) != row.ok || row.ok && !bytes.Equal(login.key, key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
