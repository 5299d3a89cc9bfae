package psrp

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

var scrubKey = sync.OnceValues(func() (*Scrubber, error) { return NewScrubber(nil) })

func newScrubber(t testing.TB, secrets ...string) *Scrubber {
	t.Helper()
	one, err := scrubKey()
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewScrubber(one.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if err := s.Learn(secret); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestScrubFindsEveryWriting: the forms are written by hand, as XML, CLIXML, .NET and JSON have them.
func TestScrubFindsEveryWriting(t *testing.T) {
	const secret = `Se"c&r<e>t'\_x41_1`
	for claim, text := range map[string]string{
		"as it is":                   `in ` + secret + ` clear`,
		"XML, every character":       `in Se&#34;c&amp;r&lt;e&gt;t&#39;\_x41_1 XML`,
		"XML of an element":          `in Se"c&amp;r&lt;e&gt;t'\_x41_1 .NET`,
		"XML within XML":             `in Se&amp;quot;c&amp;amp;r&amp;lt;e&amp;gt;t'\_x005F_x41_1 CLIXML`,
		"XML within XML of Windows":  `in Se"c&amp;amp;r&amp;lt;e&amp;gt;t'\_x005F_x41_1 CLIXML`,
		"XML within XML of Go":       `in Se&amp;#34;c&amp;amp;r&amp;lt;e&amp;gt;t&amp;#39;\_x41_1 XML`,
		"CLIXML":                     `in Se&quot;c&amp;r&lt;e&gt;t'\_x005F_x41_1 CLIXML`,
		"CLIXML of Windows":          `in Se"c&amp;r&lt;e&gt;t'\_x005F_x41_1 CLIXML`,
		"JSON":                       `in Se\"c\u0026r\u003ce\u003et'\\_x41_1 JSON`,
		"ConvertTo-Json":             `in Se\"c\u0026r\u003ce\u003et\u0027\\_x41_1 JSON`,
		"base64":                     base64.StdEncoding.EncodeToString([]byte("ab" + secret + "c")),
		"UTF-16 taken for something": "S_x0000_e_x0000_&quot;_x0000_c_x0000_&amp;_x0000_r_x0000_&lt;_x0000_e_x0000_&gt;_x0000_t_x0000_'_x0000_\\_x0000___x0000_x_x0000_4_x0000_1_x0000___x0000_1",
	} {
		t.Run(claim, func(t *testing.T) {
			s := newScrubber(t, secret)
			b := []byte(text)
			s.Text(b)
			if len(b) != len(text) || !bytes.Contains(b, []byte("xxxxxxxxxx")) {
				t.Errorf("%q", b)
			}
		})
	}
	if err := newScrubber(t).Learn("abc"); err == nil {
		t.Error("a secret that cannot be told from text was taken")
	}
}

// TestScrubSurvives what no honest host says, and in a time that grows with its length.
func TestScrubSurvives(t *testing.T) {
	for claim, data := range map[string]string{
		"a byte for a secret":      `<SS>QQ==</SS>`,
		"no bytes":                 `<SS></SS>`,
		"half a block":             `<SS>QUFBQUFBQUE=</SS>`,
		"no base64":                `<SS>%%%%</SS>`,
		"no end":                   `<SS N="x`,
		"tags in tags":             strings.Repeat(`<SS x"<SS>"`, 20_000),
		"quotes without end":       strings.Repeat(`<SS a="`, 20_000),
		"spaces":                   `<SS` + strings.Repeat(" ", 200_000),
		"a key that is no key":     `<S N="EncryptedSessionKey">` + strings.Repeat("A", 200_000) + `</S>`,
		"GUIDs without a boundary": strings.Repeat("00112233-4455-6677-8899-aabbccddeeff", 10_000),
	} {
		t.Run(claim, func(t *testing.T) {
			for _, typ := range []MessageType{PipelineOutput, EncryptedSessionKey, PublicKey} {
				b := Message{Destination: ToClient, Type: typ, Data: []byte(data)}.Encode()
				n := len(b)
				if _, ok := newScrubber(t, "a secret").Object(b); !ok || len(b) != n {
					t.Errorf("%d bytes became %d", n, len(b))
				}
			}
		})
	}
}

// FuzzScrub: a message keeps its length and loses its secrets, whatever it is, and doing it again changes nothing.
func FuzzScrub(f *testing.F) {
	const secret = "Correct-Horse-7"
	f.Add(uint32(PipelineOutput), []byte(`<S>`+secret+`</S>`))
	f.Add(uint32(EncryptedSessionKey), []byte(`<S N="EncryptedSessionKey">`+strings.Repeat("A", 360)+`</S>`))
	f.Add(uint32(CreatePipeline), []byte(`<SS N="p">vs3d32kmcv4Ke0pF/7PSSA==</SS><G>00112233-4455-6677-8899-AABBCCDDEEFF</G>`))
	f.Fuzz(func(t *testing.T, typ uint32, data []byte) {
		s := newScrubber(t, secret)
		b := Message{Destination: ToServer, Type: MessageType(typ), Pool: GUID{1}, Data: data}.Encode()
		n := len(b)
		m, ok := s.Object(b)
		if !ok || len(b) != n || bytes.Contains(b, []byte(secret)) || bytes.Contains(m.Data, []byte(secret)) {
			t.Fatalf("%q", b)
		}
		for _, at := range secureText().FindAllSubmatch(m.Data, -1) {
			if v, err := s.Opener().Open(string(at[1])); err == nil && strings.Trim(v.Reveal(), "x") != "" {
				t.Fatalf("a secure string opens to %q", v.Reveal())
			}
		}
	})
}

// TestScrubKeepsWhatOpens: keys and secure strings of a recording open with its own key, to as many x as there were blocks for.
func TestScrubKeepsWhatOpens(t *testing.T) {
	s := newScrubber(t)
	theirs, err := clixml.NewSessionKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealSessionKey(bytes.NewReader(slices.Repeat([]byte{9}, 4096)), &s.Key.PublicKey, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	text, err := theirs.Seal(clixml.NewSecureString("a password of some length"))
	if err != nil {
		t.Fatal(err)
	}
	key := Message{Destination: ToClient, Type: EncryptedSessionKey, Data: []byte(`<S N="EncryptedSessionKey">` + sealed + `</S>`)}.Encode()
	m, _ := s.Object(key)
	opened, err := openSessionKey(s.Key, strings.TrimSuffix(strings.TrimPrefix(string(m.Data), `<S N="EncryptedSessionKey">`), `</S>`))
	if err != nil {
		t.Fatal(err)
	}
	secure := Message{Destination: ToServer, Type: CreatePipeline, Data: []byte(`<SS N="Password">` + text + `</SS>`)}.Encode()
	m, _ = s.Object(secure)
	got, err := opened.Open(strings.TrimSuffix(strings.TrimPrefix(string(m.Data), `<SS N="Password">`), `</SS>`))
	if err != nil || strings.Trim(got.Reveal(), "x") != "" || len(got.Reveal()) != 31 {
		t.Errorf("%q, %v", got.Reveal(), err)
	}
}
