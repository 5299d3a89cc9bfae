package csr

import (
	"bytes"
	"encoding/binary"
	"fmt"
	random "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

// infFile reads an INF file by the documented rules of SetupAPI: the encoding by its mark, sections, key = value, a
// semicolon outside quotes begins a comment, inside quotes a doubled quote is one, %% is one percent sign and anything
// else between percent signs names a string. Keys may repeat. It knows nothing of how the file was written.
func infFile(b []byte) (map[string][]string, error) {
	text := string(b)
	if bytes.HasPrefix(b, []byte{0xff, 0xfe}) {
		var units []uint16
		for rest := b[2:]; len(rest) > 1; rest = rest[2:] {
			units = append(units, binary.LittleEndian.Uint16(rest))
		}
		text = string(utf16.Decode(units))
	} else if i := bytes.IndexFunc(b, func(r rune) bool { return r > 127 }); i >= 0 {
		return nil, fmt.Errorf("a letter at byte %d that depends on the code page", i)
	}
	out := map[string][]string{}
	section := ""
	for l := range strings.SplitSeq(text, "\r\n") {
		if strings.ContainsAny(l, "\r\n") {
			return nil, fmt.Errorf("a bare line end in %q", l)
		}
		if strings.HasPrefix(l, "[") {
			section = strings.Trim(l, "[]")
			continue
		}
		if strings.TrimSpace(l) == "" {
			continue
		}
		key, raw, ok := strings.Cut(l, "=")
		if !ok {
			return nil, fmt.Errorf("the line %q is no entry", l)
		}
		value, err := infValue(strings.TrimSpace(raw))
		if err != nil {
			return nil, fmt.Errorf("the line %q: %w", l, err)
		}
		key = section + "." + strings.TrimSpace(key)
		out[key] = append(out[key], value)
	}
	return out, nil
}

func infValue(s string) (string, error) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		next := byte(0)
		if i+1 < len(s) {
			next = s[i+1]
		}
		switch c := s[i]; {
		case c == '"' && quoted && next == '"', c == '%' && next == '%':
			b.WriteByte(c)
			i++
		case c == '"':
			quoted = !quoted
		case c == '%':
			return "", fmt.Errorf("a string token")
		case !quoted && strings.IndexByte(`;,\`, c) >= 0:
			return "", fmt.Errorf("%q outside quotes", c)
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", fmt.Errorf("an open quote")
	}
	return b.String(), nil
}

// certStrToName reads a name as Windows documents it: separated by comma or semicolon, or by semicolon only when the flag
// says so, + joins, spaces around values are dropped unless they are quoted, and a doubled quote inside quotes is one.
func certStrToName(s, flags string) (Subject, error) {
	separators := ",;"
	if flags == "0x40000000" {
		separators = ";"
	} else if flags != "" {
		return nil, fmt.Errorf("flags %s", flags)
	}
	var out Subject
	for s != "" {
		kind, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("%q has no =", s)
		}
		rest = strings.TrimLeft(rest, " ")
		var b strings.Builder
		quoted := strings.HasPrefix(rest, `"`)
		i := 0
		if quoted {
			for i = 1; i < len(rest); i++ {
				if rest[i] == '"' {
					if i+1 == len(rest) || rest[i+1] != '"' {
						break
					}
					i++
				}
				b.WriteByte(rest[i])
			}
			i++
		}
		for ; i < len(rest) && !strings.ContainsRune(separators, rune(rest[i])); i++ {
			if rest[i] == '"' || rest[i] == '+' || quoted && rest[i] != ' ' {
				return nil, fmt.Errorf("%q in %q", rest[i], rest)
			}
			b.WriteByte(rest[i])
		}
		value := b.String()
		if !quoted {
			value = strings.Trim(value, " ")
		}
		kind = strings.TrimSpace(kind)
		if kind == "S" {
			kind = "ST"
		}
		out = append(out, Attribute{Type: kind, Value: value})
		if s = ""; i < len(rest) {
			s = rest[i+1:]
		}
	}
	return out, nil
}

// onWindows is the subject that certreq would ask for.
func onWindows(t *testing.T, s Spec) Subject {
	t.Helper()
	f, err := infFile(s.INF())
	if err != nil {
		t.Fatalf("%q: %v", s.subject, err)
	}
	if len(f["NewRequest.Subject"]) == 0 {
		return nil
	}
	got, err := certStrToName(f["NewRequest.Subject"][0], strings.Join(f["NewRequest.X500NameFlags"], ""))
	if err != nil {
		t.Fatalf("%q: %v", s.subject, err)
	}
	return got
}

// TestINF holds every entry against certreq's documentation.
func TestINF(t *testing.T) {
	p, in := given(t, "2301", "ADFS")
	in.Single, in.KeyBits, in.Hash = true, 4096, "SHA384"
	s := specs(t, p, in)[0]
	got, err := infFile(s.INF())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"Version.Signature": {"$Windows NT$"}, "NewRequest.Subject": {"CN=" + s.Names[0]}, "NewRequest.KeyLength": {"4096"},
		"NewRequest.KeyAlgorithm": {"RSA"}, "NewRequest.HashAlgorithm": {"SHA384"}, "NewRequest.KeyUsage": {"0xa0"}, "NewRequest.KeySpec": {"1"},
		"NewRequest.MachineKeySet": {"TRUE"}, "NewRequest.Exportable": {"TRUE"}, "NewRequest.RequestType": {"PKCS10"},
		"NewRequest.ProviderName": {"Microsoft Enhanced RSA and AES Cryptographic Provider"}, "NewRequest.ProviderType": {"24"},
		"EnhancedKeyUsageExtension.OID": {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"},
		"Extensions.2.5.29.17":          {"{text}"},
	}
	for i, n := range s.Names {
		if i < len(s.Names)-1 {
			n += "&"
		}
		want["Extensions._continue_"] = append(want["Extensions._continue_"], "dns="+n)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-documented +written):\n%s", diff)
	}
	if len(s.Names) != 13 {
		t.Errorf("%d names", len(s.Names))
	}
}

// TestINFSubjects writes what has tripped people: each comes back as it was meant, and commas need the other flag.
func TestINFSubjects(t *testing.T) {
	for text, flag := range map[string]bool{
		`C=US,O=Contoso`: false, `O="a, b; c=d"`: true, `O=say \"hi\"`: false, `O=say \"hi\"\, you`: true, `O=50% off %TEMP%`: false, `O=[NewRequest]`: false,
		`O=\ lead`: false, `OU=x\;KeyLength = 512`: false, `O=Ünï\+cödé`: false, `O=\#1`: false, `O="""`: false, `O=a\\`: false, `O=\"`: false, `O=中😀, OU=б`: false,
	} {
		subject, err := ParseSubject(text)
		if text == `O="""` {
			if err == nil {
				t.Errorf("%s was read", text)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		p, in := given(t, "2301", "AAD")
		in.Subject = subject
		s := specs(t, p, in)[0]
		if got := onWindows(t, s); !slices.Equal(got, s.subject) {
			t.Errorf("%s: Windows reads %q", text, got)
		}
		if got := bytes.Contains(s.INF(), []byte("X500NameFlags")); got != flag {
			t.Errorf("%s: X500NameFlags %v, wanted %v\n%s", text, got, flag, s.inf())
		}
	}
}

func TestINFRandomSubjects(t *testing.T) {
	r := random.New(random.NewPCG(5, 6)) //nolint:gosec // the same subjects in every run
	for range 3000 {
		s := Spec{subject: randomSubject(r), Names: []string{"a"}}
		if got := onWindows(t, s); !slices.Equal(got, s.subject) {
			t.Fatalf("%q: Windows reads %q\n%s", s.subject, got, s.inf())
		}
	}
}

// TestINFWithoutSubject leaves the entry out and marks the names critical, as RFC 5280, section 4.2.1.6, wants them then.
func TestINFWithoutSubject(t *testing.T) {
	f, err := infFile(Spec{Names: []string{"a"}}.INF())
	if err != nil || len(f["NewRequest.Subject"]) != 0 || !slices.Equal(f["Extensions.Critical"], []string{"2.5.29.17"}) {
		t.Errorf("%v, %v", f, err)
	}
}
