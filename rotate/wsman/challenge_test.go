package wsman

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/bodgit/ntlmssp"
	"github.com/certstamp/certstamp/internal/heap"
)

// The bits of MS-NLMP section 2.2.2.5, written out: a table that the code shares would not miss what the code forgets.
var (
	neededBits = map[string]uint32{
		"UNICODE": 0x1, "SIGN": 0x10, "SEAL": 0x20, "EXTENDED_SESSIONSECURITY": 0x80000, "TARGET_INFO": 0x800000,
		"128": 0x20000000, "KEY_EXCH": 0x40000000,
	}
	weakBits = map[string]uint32{"DATAGRAM": 0x40, "LM_KEY": 0x80, "ANONYMOUS": 0x800, "NON_NT_SESSION_KEY": 0x400000}
)

func TestChallengeFlags(t *testing.T) {
	if err := checkChallenge(makeChallenge(goodFlags, goodInfo())); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for name, bit := range neededBits {
		t.Run("without "+name, func(t *testing.T) {
			err := checkChallenge(makeChallenge(goodFlags&^bit, goodInfo()))
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, bit := range weakBits {
		t.Run("with "+name, func(t *testing.T) {
			err := checkChallenge(makeChallenge(goodFlags|bit, goodInfo()))
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestChallengeShape(t *testing.T) {
	good := makeChallenge(goodFlags, goodInfo())
	info := func(parts ...[]byte) []byte { return makeChallenge(goodFlags, bytes.Join(parts, nil)) }
	stamp := av(7, make([]byte, 8))
	patch := func(at int, b ...byte) []byte {
		c := append([]byte{}, good...)
		copy(c[at:], b)
		return c
	}
	for name, b := range map[string][]byte{
		"nothing":                    nil,
		"short":                      good[:47],
		"huge":                       append(append([]byte{}, good...), make([]byte, maxChallenge)...),
		"other signature":            patch(0, 'X'),
		"another message":            patch(8, 3),
		"reserved bytes":             patch(32, 1),
		"name outside":               patch(16, 0xff, 0xff),
		"name offset overflows":      patch(16, 0xff, 0xff, 0xff, 0xff),
		"name in the header":         patch(16, 0, 0, 0, 0),
		"odd name":                   patch(12, 3),
		"information outside":        patch(44, 0xff, 0xff),
		"no information":             patch(40, 0, 0),
		"no end":                     info(stamp),
		"end cut":                    info(stamp, []byte{0, 0}),
		"pair cut":                   info([]byte{2, 0, 200, 0, 'x'}),
		"end with length":            info(stamp, []byte{0, 0, 1, 0, 0}),
		"something after the end":    info(stamp, av(0, nil), []byte{1}),
		"no timestamp":               info(av(2, u16("S")), av(0, nil)),
		"short timestamp":            info(av(7, make([]byte, 4)), av(0, nil)),
		"timestamp twice":            info(stamp, stamp, av(0, nil)),
		"short flags":                info(stamp, av(6, make([]byte, 2)), av(0, nil)),
		"odd name pair":              info(stamp, av(2, []byte("x")), av(0, nil)),
		"channel bindings of theirs": info(stamp, av(10, make([]byte, 16)), av(0, nil)),
	} {
		if err := checkChallenge(b); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

// What passes the check must not upset the NTLM library either.
func FuzzChallenge(f *testing.F) {
	f.Add(makeChallenge(goodFlags, goodInfo()))
	f.Add(makeChallenge(goodFlags, bytes.Join([][]byte{av(6, []byte{2, 0, 0, 0}), av(7, make([]byte, 8)), av(99, nil), av(0, nil)}, nil)))
	if b, err := base64.StdEncoding.DecodeString(recordedT2); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var err error
		if spent := heap.Spent(func() { err = checkChallenge(b) }); spent > most(b) {
			t.Errorf("%d bytes allocated for %d", spent, len(b))
		}
		if err != nil {
			return
		}
		flags := binary.LittleEndian.Uint32(b[20:])
		if flags&flagSeal == 0 || flags&flagAnonymous != 0 {
			t.Fatalf("flags %#x passed", flags)
		}
		c, err := ntlmssp.NewClient(ntlmssp.SetUserInfo("u", "p"), ntlmssp.SetDomain("d"), ntlmssp.SetVersion(&ntlmssp.Version{}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Authenticate(nil, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Authenticate(b, &ntlmssp.ChannelBindings{ApplicationData: []byte("x")}); err != nil {
			return
		}
		sealed, signature, err := c.SecuritySession().Wrap([]byte("secret"))
		if err != nil || bytes.Equal(sealed, []byte("secret")) || len(signature) != signatureSize {
			t.Fatalf("got %q, %x, %v", sealed, signature, err)
		}
	})
}
