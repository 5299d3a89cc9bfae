package psrp

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Scrubber makes what one pool said fit to be kept and shown. It works in place and changes no length, so that fragments,
// offsets and sizes stay what they were:
//
//   - Every GUID becomes a number in the order of first appearance.
//   - The key exchange becomes one with Key, under which every secure string is a run of x that is as long on the wire. Key
//     opens nothing else; without it, a recording could not be played again.
//   - Secrets it was told of become runs of x wherever they stand, in clear, escaped, in UTF-16 or base64.
//
// A Scrubber is not safe for concurrent use.
type Scrubber struct {
	Key *rsa.PrivateKey

	public, sealed string // texts of the key exchange with Key
	filler         *clixml.SessionKey
	forms          [][]byte // of the secrets, longest first
	ids            map[GUID]GUID
}

// minSecret is the shortest secret that can be told from ordinary text.
const minSecret = 4

// fillerKey is the session key of every recording. It protects nothing but runs of x.
var fillerKey = bytes.Repeat([]byte("x"), 32)

// NewScrubber makes a scrubber with the key of a recording, or with a new one if k is nil.
func NewScrubber(k *rsa.PrivateKey) (*Scrubber, error) {
	if k == nil {
		var err error
		if k, err = rsa.GenerateKey(rand.Reader, rsaBits); err != nil {
			return nil, fmt.Errorf("psrp: scrubber: %w", err)
		}
	}
	filler, err := clixml.NewSessionKey(fillerKey)
	if err != nil {
		return nil, fmt.Errorf("psrp: scrubber: %w", err)
	}
	return &Scrubber{Key: k, public: encodePublicKey(&k.PublicKey), sealed: sealFiller(&k.PublicKey), filler: filler, ids: map[GUID]GUID{}}, nil
}

// sealFiller is sealSessionKey with padding that is always the same, so that a recording of a recording is the recording.
func sealFiller(k *rsa.PublicKey) string {
	m := append([]byte{0, 2}, bytes.Repeat([]byte{0xff}, k.Size()-3-len(fillerKey))...)
	m = append(append(m, 0), fillerKey...)
	c := new(big.Int).Exp(new(big.Int).SetBytes(m), big.NewInt(int64(k.E)), k.N).FillBytes(make([]byte, k.Size()))
	slices.Reverse(c)
	return base64.StdEncoding.EncodeToString(append([]byte(sessionKeyHeader), c...))
}

// Learn makes a secret known. It fails for one that is too short to be looked for.
func (s *Scrubber) Learn(secret string) error {
	if len(secret) < minSecret {
		return fmt.Errorf("psrp: a secret of %d characters cannot be told from ordinary text", len(secret))
	}
	for _, f := range secretForms(secret) {
		if len(f) >= minSecret && !slices.ContainsFunc(s.forms, func(g []byte) bool { return bytes.Equal(f, g) }) {
			s.forms = append(s.forms, f)
		}
	}
	slices.SortStableFunc(s.forms, func(a, b []byte) int { return len(b) - len(a) })
	return nil
}

// LearnFrom learns the secrets among the parameters of a command.
func (s *Scrubber) LearnFrom(cmd Command) error {
	for _, p := range cmd.Params {
		switch v := p.Value.(type) {
		case clixml.SecureString:
			if err := s.Learn(v.Reveal()); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
		case clixml.Credential:
			if err := s.Learn(v.Password.Reveal()); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
		}
	}
	return nil
}

// secretForms are the ways in which a text can stand in a message or an envelope.
func secretForms(text string) [][]byte {
	var forms [][]byte
	for _, t := range []string{text, goJSON(text), psJSON(text)} {
		forms = append(forms, []byte(t), []byte(xmlText(t)), []byte(inElement.Replace(t)))
	}
	var wide []byte
	var misread []rune // UTF-16 taken for characters
	for _, u := range utf16.Encode([]rune(text)) {
		wide = append(wide, byte(u), byte(u>>8))
		misread = append(misread, rune(byte(u)), rune(u>>8))
	}
	forms = append(forms, wide)
	texts := []string{text, string(misread[:len(misread)-1])}
	// XML that is itself the text of an element, as in the ProgressAsXml of Get-ActionStatus.
	for _, e := range []string{xmlText(text), inElement.Replace(text), inAttribute.Replace(text)} {
		forms = append(forms, []byte(xmlText(e)), []byte(inElement.Replace(e)))
		texts = append(texts, e)
	}
	for _, t := range texts {
		if b, err := clixml.Marshal(t, nil); err == nil {
			b = bytes.TrimSuffix(bytes.TrimPrefix(b, []byte("<S>")), []byte("</S>"))
			// In an element Windows leaves quotes as they are.
			forms = append(forms, b, bytes.ReplaceAll(b, []byte("&quot;"), []byte(`"`)))
		}
	}
	for _, b := range [][]byte{[]byte(text), wide} {
		for shift := range 3 {
			forms = append(forms, insideBase64(b, shift))
		}
	}
	return forms
}

// inElement and inAttribute escape as .NET does in the text of an element and in an attribute.
var (
	inElement   = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	inAttribute = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")
)

// xmlText escapes as Go does.
func xmlText(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder does not fail
	return b.String()
}

// goJSON and psJSON are a text within a JSON string, as Go and as ConvertTo-Json of PowerShell 5.1 write it.
func goJSON(text string) string {
	b, _ := json.Marshal(text) // a string does not fail
	return string(b[1 : len(b)-1])
}

func psJSON(text string) string {
	return strings.NewReplacer(`&`, `\u0026`, `'`, `\u0027`).Replace(goJSON(text))
}

// insideBase64 is what base64 makes of b when shift bytes stand before it and others follow: the characters that b alone decides.
func insideBase64(b []byte, shift int) []byte {
	text := base64.StdEncoding.EncodeToString(slices.Concat(make([]byte, shift), b))
	from, to := (shift*8+5)/6, (shift+len(b))*8/6
	return []byte(text[from:max(from, to)])
}

var guidText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}`)
})

// Text scrubs text: secrets first, because one may look like a GUID.
func (s *Scrubber) Text(b []byte) {
	for _, f := range s.forms {
		for rest := b; ; {
			i := bytes.Index(rest, f)
			if i < 0 {
				break
			}
			fill(rest[i : i+len(f)])
			rest = rest[i+len(f):]
		}
	}
	for _, at := range guidText().FindAllIndex(b, -1) {
		text := b[at[0]:at[1]]
		if g, err := clixml.ParseGUID(string(text)); err == nil {
			name := s.Name(g).String()
			if bytes.ContainsAny(text, "abcdef") {
				name = strings.ToLower(name)
			}
			copy(text, name)
		}
	}
}

// Name returns what stands for a GUID.
func (s *Scrubber) Name(g GUID) GUID {
	if g.IsZero() {
		return g
	}
	name, ok := s.ids[g]
	if !ok {
		n := len(s.ids) + 1
		name = GUID{6: 0x40, 8: 0x80, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
		s.ids[g] = name
	}
	return name
}

// Names returns what stands for what.
func (s *Scrubber) Names() map[GUID]GUID { return maps.Clone(s.ids) }

var (
	secureText = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`<SS(?:\s(?:[^<>"']|"[^"<]*"|'[^'<]*')*)?>([^<]*)`) // no < in a tag: well-formed XML has none, and searches stay short
	})
	keyText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[A-Za-z0-9+/=]{300,}`) })
)

// Object scrubs one message as the fragments carried it, and returns it. What is no message is filled whole.
func (s *Scrubber) Object(b []byte) (Message, bool) {
	m, err := DecodeMessage(b)
	if err != nil {
		fill(b)
		return Message{}, false
	}
	pool, pipeline := swap(s.Name(m.Pool)), swap(s.Name(m.Pipeline))
	copy(b[8:24], pool[:])
	copy(b[24:40], pipeline[:])
	for _, at := range secureText().FindAllSubmatchIndex(m.Data, -1) {
		s.secure(m.Data[at[2]:at[3]])
	}
	switch m.Type {
	case PublicKey:
		replaceKey(m.Data, s.public)
	case EncryptedSessionKey:
		replaceKey(m.Data, s.sealed)
	}
	s.Text(m.Data)
	return m, true
}

// replaceKey puts a blob of the recording's own key exchange in the place of a real one.
func replaceKey(b []byte, text string) {
	for _, at := range keyText().FindAllIndex(b, -1) {
		if part := b[at[0]:at[1]]; len(part) == len(text) {
			copy(part, text)
		} else {
			fill(part)
		}
	}
}

// secure fills the text of a secure string with one of the same length that opens with the filler key.
func (s *Scrubber) secure(text []byte) {
	cipher, err := base64Bytes(string(text))
	if err == nil && len(cipher) > 0 && len(cipher)%aes.BlockSize == 0 {
		sealed, err := s.filler.Seal(clixml.NewSecureString(strings.Repeat("x", len(cipher)/2-1)))
		if err == nil && len(sealed) == len(text) {
			copy(text, sealed)
			return
		}
	}
	fill(text)
}

// Sealer seals, instead of each secret, what stands for it in the recording.
func (s *Scrubber) Sealer() clixml.Sealer { return fillSealer{s.filler} }

// Opener opens the secure strings of the recording.
func (s *Scrubber) Opener() clixml.Opener { return s.filler }

type fillSealer struct{ key *clixml.SessionKey }

func (f fillSealer) Seal(v clixml.SecureString) (string, error) {
	text, err := f.key.Seal(v)
	if err != nil {
		return "", err
	}
	n := base64.StdEncoding.DecodedLen(len(text)) - strings.Count(text, "=")
	return f.key.Seal(clixml.NewSecureString(strings.Repeat("x", n/2-1)))
}

func fill(b []byte) {
	for i := range b {
		b[i] = 'x'
	}
}

// Wipe fills bytes that cannot be scrubbed, because the message they belong to never came whole.
func Wipe(b []byte) { fill(b) }
