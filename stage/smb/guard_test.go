package smb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
)

// message makes one SMB2 message of a command, padded to size.
func message(protocol uint32, command uint16, size int) []byte {
	m := make([]byte, max(size, plainHeader))
	binary.LittleEndian.PutUint32(m, protocol)
	binary.LittleEndian.PutUint16(m[commandAt:], command)
	return m
}

func framed(m []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(m))), m...)
}

// compound chains plain messages.
func compound(messages ...[]byte) []byte {
	var out []byte
	for i, m := range messages {
		if i < len(messages)-1 {
			binary.LittleEndian.PutUint32(m[nextCommandAt:], uint32(len(m)))
		}
		out = append(out, m...)
	}
	return out
}

// sink is a connection that keeps what was written.
type sink struct {
	net.Conn
	bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) { return s.Buffer.Write(p) }
func (s *sink) Read([]byte) (int, error)    { return 0, io.EOF }

// TestGuard sends every kind of frame in every partition: whole, as the library does it, and byte by byte.
func TestGuard(t *testing.T) {
	const create, write, echo = 5, 9, 13
	for _, row := range []struct {
		name    string
		message []byte
		leaves  bool
	}{
		{"negotiate", message(protocolPlain, commandNegotiate, 100), true},
		{"session setup", message(protocolPlain, commandSessionSetup, 200), true},
		{"logoff", message(protocolPlain, commandLogoff, 0), true},
		{"tree connect", message(protocolPlain, commandTreeConnect, 0), true},
		{"tree disconnect", message(protocolPlain, 4, 0), false},
		{"create", message(protocolPlain, create, 120), false},
		{"write", message(protocolPlain, write, 5000), false},
		{"echo", message(protocolPlain, echo, 0), false},
		{"sealed", message(protocolSeal, create, 5000), true},
		{"compressed", message(0x424d53fc, commandNegotiate, 100), false},
		{"SMB 1", message(0x424d53ff, commandNegotiate, 100), false},
		{"too short for a header", message(protocolPlain, commandNegotiate, 0)[:63], false},
		{"empty", nil, false},
		{"two of the login", compound(message(protocolPlain, commandSessionSetup, 80), message(protocolPlain, commandTreeConnect, 80)), true},
		{"a create behind a login", compound(message(protocolPlain, commandSessionSetup, 80), message(protocolPlain, create, 80)), false},
		{"a chain that turns back", func() []byte {
			m := message(protocolPlain, commandSessionSetup, 200)
			binary.LittleEndian.PutUint32(m[nextCommandAt:], 8)
			return m
		}(), false},
		{"a chain that leaves", func() []byte {
			m := message(protocolPlain, commandSessionSetup, 200)
			binary.LittleEndian.PutUint32(m[nextCommandAt:], 1<<31)
			return m
		}(), false},
	} {
		frame := framed(row.message)
		for how, parts := range map[string][][]byte{
			"whole": {frame}, "in two": {frame[:4], frame[4:]}, "twice": {append(bytes.Clone(frame), frame...)}, "by bytes": bytes.SplitAfter(frame, nil),
		} {
			for _, plain := range []bool{false, true} {
				s := &sink{}
				g := &guard{Conn: s, plain: plain}
				var err error
				want := 0
				for _, p := range parts {
					want += len(p)
					if _, err = g.Write(p); err != nil {
						break
					}
				}
				switch {
				case row.leaves || plain:
					if err != nil || s.Len() != want {
						t.Errorf("%s %s: %d of %d bytes left, %v", row.name, how, s.Len(), want, err)
					}
				case !errors.Is(err, errPlain) || s.Len() > 0 || !g.refused.Load():
					t.Errorf("%s %s: %d bytes left, %v", row.name, how, s.Len(), err)
				}
			}
		}
	}
	if _, err := (&guard{Conn: &sink{}}).Write([]byte{1, 0, 0, 1}); err == nil {
		t.Error("a frame of 16 MiB was waited for")
	}
}

// FuzzGuard: however a stream is cut, the guard decides the same.
func FuzzGuard(f *testing.F) {
	f.Add(framed(message(protocolPlain, commandNegotiate, 80)), 4)
	f.Add(framed(message(protocolSeal, 9, 80)), 1)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		whole, parts := &sink{}, &sink{}
		a, b := &guard{Conn: whole}, &guard{Conn: parts}
		_, err := a.Write(stream)
		var cutErr error
		step := max(1, cut%97)
		for rest := stream; len(rest) > 0 && cutErr == nil; {
			n := min(step, len(rest))
			_, cutErr = b.Write(rest[:n])
			rest = rest[n:]
		}
		if (err == nil) != (cutErr == nil) || !bytes.Equal(whole.Bytes(), parts.Bytes()) {
			t.Errorf("whole: %v, %d bytes; in parts of %d: %v, %d bytes", err, whole.Len(), step, cutErr, parts.Len())
		}
	})
}

func TestParseRights(t *testing.T) {
	// O:…D:(A;;FA;;;S-1-5-32-544)(D;;0x2;;;S-1-1-0)(A;IOID;FA;;;S-1-3-0), self-relative, by hand.
	ace := func(kind, flags byte, mask uint32, sid ...byte) []byte {
		b := []byte{kind, flags, 0, 0}
		b = binary.LittleEndian.AppendUint32(b, mask)
		b = append(b, sid...)
		binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
		return b
	}
	admins := []byte{1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0}
	world := []byte{1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	owner := []byte{1, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0}
	entries := append(append(ace(0, 0, 0x1f01ff, admins...), ace(1, 0, 2, world...)...), ace(0, 0x18, 0x1f01ff, owner...)...)
	acl := binary.LittleEndian.AppendUint16([]byte{2, 0}, uint16(8+len(entries)))
	acl = append(binary.LittleEndian.AppendUint16(acl, 3), 0, 0)
	sd := append([]byte{1, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0}, append(acl, entries...)...)

	got, err := parseRights(sd)
	if want := []string{"allow 0x001f01ff S-1-5-32-544", "deny 0x00000002 S-1-1-0"}; err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%q, %v", got, err)
	}
	for n := range len(sd) {
		if _, err := parseRights(sd[:n]); err == nil {
			t.Errorf("%d of %d bytes were read", n, len(sd))
		}
	}
	sd[2] = 0
	if got, err := parseRights(sd); err != nil || len(got) != 1 || got[0] != "everybody" {
		t.Errorf("no DACL: %q, %v", got, err)
	}
}

// TestParseRightsWithFaults: a descriptor that is not whole shows no rights, rather than some of them.
func TestParseRightsWithFaults(t *testing.T) {
	sid := func(revision, parts byte, rest ...byte) []byte {
		return append([]byte{revision, parts, 0, 0, 0, 0, 1, 5}, rest...)
	}
	ace := func(kind byte, size int, sid []byte) []byte {
		b := append([]byte{kind, 0, 0, 0, 2, 0, 0, 0}, sid...)
		binary.LittleEndian.PutUint16(b[2:], uint16(cmp.Or(size, len(b))))
		return b
	}
	descriptor := func(size int, aces ...[]byte) []byte {
		entries := bytes.Join(aces, nil)
		acl := binary.LittleEndian.AppendUint16([]byte{2, 0}, uint16(cmp.Or(size, 8+len(entries))))
		acl = append(binary.LittleEndian.AppendUint16(acl, uint16(len(aces))), 0, 0)
		return append([]byte{1, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0}, append(acl, entries...)...)
	}
	one := sid(1, 1, 7, 0, 0, 0)
	const allowed, denied = "allow 0x00000002 S-1-261-7", "deny 0x00000002 S-1-261-7"
	for what, row := range map[string]struct {
		sd   []byte
		want []string // nil: it cannot be read
	}{
		"two rules, in their order":     {descriptor(0, ace(1, 0, one), ace(0, 0, one)), []string{allowed, denied}},
		"one rule twice":                {descriptor(0, ace(0, 0, one), ace(0, 0, one)), []string{allowed}},
		"a rule of another kind":        {descriptor(0, ace(5, 0, one), ace(0, 0, one)), []string{allowed, "type 5"}},
		"a SID without parts":           {descriptor(0, ace(0, 0, sid(1, 0))), []string{"allow 0x00000002 S-1-261"}},
		"no rule":                       {descriptor(0), []string{}},
		"as many rules as are read":     {descriptor(0, slices.Repeat([][]byte{ace(0, 0, one)}, 1000)...), []string{allowed}},
		"more rules than are read":      {descriptor(0, slices.Repeat([][]byte{ace(0, 0, one)}, 1001)...), nil},
		"a list smaller than its head":  {descriptor(7, ace(0, 0, one)), nil},
		"a list larger than there is":   {descriptor(1000, ace(0, 0, one)), nil},
		"a rule behind the list's end":  {descriptor(8, ace(0, 0, one)), nil},
		"a rule smaller than its head":  {descriptor(0, ace(0, 7, one)), nil},
		"a rule larger than there is":   {descriptor(0, ace(0, 100, one)), nil},
		"a SID of another revision":     {descriptor(0, ace(0, 0, sid(2, 1, 7, 0, 0, 0))), nil},
		"a SID with a part too few":     {descriptor(0, ace(0, 0, sid(1, 2, 7, 0, 0, 0))), nil},
		"a SID that is cut off":         {descriptor(0, ace(0, 0, one[:7])), nil},
		"a second rule that is cut off": {descriptor(0, ace(0, 0, one), []byte{0, 0, 8}), nil},
	} {
		got, err := parseRights(row.sd)
		if (err == nil) != (row.want != nil) || !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, %v, want %q", what, got, err, row.want)
		}
	}
	hidden := descriptor(0, ace(0, 0, one))
	binary.LittleEndian.PutUint32(hidden[16:], 0)
	if got, err := parseRights(hidden); err != nil || !slices.Equal(got, []string{"everybody"}) {
		t.Errorf("a list that lies nowhere: %q, %v", got, err)
	}
}

func FuzzParseRights(f *testing.F) {
	f.Add(make([]byte, 40))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseRights(b) })
}

func TestSplit(t *testing.T) {
	for in, want := range map[string][2]string{
		`CONTOSO\svc`: {"CONTOSO", "svc"}, "svc@contoso.com": {"contoso.com", "svc"}, "svc": {"", "svc"},
	} {
		if d, u := splitUser(in); d != want[0] || u != want[1] {
			t.Errorf("%s: %q %q", in, d, u)
		}
	}
	if s, sh, base, err := splitUNC(`\\files.contoso.com\certs\east\set\`); err != nil || s != "files.contoso.com" || sh != "certs" || base != "east/set" {
		t.Errorf("%q %q %q %v", s, sh, base, err)
	}
	for _, in := range []string{"", `\\host`, `\\host\`, `host\share`, `\\\share`, `\\host\share\..\x`, `\\host\a:b`} {
		if _, _, _, err := splitUNC(in); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}
