package pepsim

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // MS-NLMP prescribes it
	"crypto/rc4" //nolint:gosec // MS-NLMP prescribes it
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck,gosec // MS-NLMP prescribes it
)

// Negotiate flags of MS-NLMP section 2.2.2.5.
const (
	ntlmUnicode       = 0x1
	ntlmOEM           = 0x2
	ntlmRequestTarget = 0x4
	ntlmSign          = 0x10
	ntlmSeal          = 0x20
	ntlmNTLM          = 0x200
	ntlmAlwaysSign    = 0x8000
	ntlmServer        = 0x20000
	ntlmExtended      = 0x80000
	ntlmTargetInfo    = 0x800000
	ntlmVersion       = 0x2000000
	ntlm128           = 0x20000000
	ntlmKeyExchange   = 0x40000000
	ntlm56            = 0x80000000

	ntlmEchoed = ntlmUnicode | ntlmSign | ntlmSeal | ntlmAlwaysSign | ntlmExtended | ntlm128 | ntlmKeyExchange | ntlm56
	ntlmNeeded = ntlmExtended | ntlm128 | ntlmKeyExchange
)

const ntlmSignature = "NTLMSSP\x00"

// AV pairs of MS-NLMP section 2.2.2.1.
const (
	avEnd        = 0
	avComputer   = 1
	avDomain     = 2
	avDNSHost    = 3
	avDNSDomain  = 4
	avFlags      = 6
	avTime       = 7
	avBindings   = 10
	avFlagHasMIC = 2
)

// errLogin is all a client learns of a refused login; log and history say more.
var errLogin = errors.New("the login is refused")

// acceptor is the server's half of one NTLMv2 handshake (MS-NLMP section 3.3.2).
type acceptor struct {
	negotiate, challenge []byte
	flags                uint32
}

// ntlmUser is a name and password that may log in.
type ntlmUser struct{ name, password string }

func utf16LE(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func fromUTF16LE(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// messageType returns the type of an NTLM message, 0 for anything else.
func messageType(m []byte) uint32 {
	if len(m) < 12 || string(m[:8]) != ntlmSignature {
		return 0
	}
	return binary.LittleEndian.Uint32(m[8:])
}

// challengeFor answers a NEGOTIATE message. machine and domain are what the server calls itself.
func challengeFor(negotiate []byte, machine, domain string, now time.Time, random io.Reader) (*acceptor, error) {
	if messageType(negotiate) != 1 || len(negotiate) < 16 {
		return nil, errors.New("not a NEGOTIATE message")
	}
	a := &acceptor{negotiate: negotiate}
	asked := binary.LittleEndian.Uint32(negotiate[12:])
	a.flags = asked&ntlmEchoed | ntlmRequestTarget | ntlmServer | ntlmTargetInfo | ntlmVersion | ntlmNTLM
	if a.flags&ntlmUnicode == 0 {
		a.flags |= asked & ntlmOEM // older clients; Windows takes them too
	}
	if a.flags&ntlmNeeded != ntlmNeeded || a.flags&(ntlmUnicode|ntlmOEM) == 0 {
		return nil, fmt.Errorf("flags %#08x: only NTLMv2 with 128 bit, extended session security and key exchange is spoken here", asked)
	}
	nonce := make([]byte, 8)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, err
	}
	var info []byte
	pair := func(id uint16, value []byte) {
		info = binary.LittleEndian.AppendUint16(info, id)
		info = binary.LittleEndian.AppendUint16(info, uint16(len(value)))
		info = append(info, value...)
	}
	dns := strings.ToLower(domain) + ".local"
	pair(avDomain, utf16LE(domain))
	pair(avComputer, utf16LE(machine))
	pair(avDNSDomain, utf16LE(dns))
	pair(avDNSHost, utf16LE(strings.ToLower(machine)+"."+dns))
	pair(avTime, binary.LittleEndian.AppendUint64(nil, filetime(now)))
	pair(avEnd, nil)

	name := utf16LE(domain)
	if a.flags&ntlmUnicode == 0 {
		name = []byte(domain)
	}
	const payload = 56
	b := append([]byte(ntlmSignature), 2, 0, 0, 0)
	b = appendField(b, len(name), payload)
	b = binary.LittleEndian.AppendUint32(b, a.flags)
	b = append(b, nonce...)
	b = append(b, make([]byte, 8)...)
	b = appendField(b, len(info), payload+len(name))
	b = append(b, 10, 0, 0x39, 0x38, 0, 0, 0, 15) // Windows Server 2016, NTLMSSP revision 15
	a.challenge = slices.Concat(b, name, info)
	return a, nil
}

func appendField(b []byte, length, offset int) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(length))
	b = binary.LittleEndian.AppendUint16(b, uint16(length))
	return binary.LittleEndian.AppendUint32(b, uint32(offset))
}

// filetime counts 100 ns steps since 1601.
func filetime(t time.Time) uint64 {
	const toUnix = 116444736000000000
	return uint64(t.UnixNano()/100) + toUnix
}

// authenticated is a proved login.
type authenticated struct {
	user string // as the server knows it
	key  []byte // exported session key
}

// accept checks an AUTHENTICATE message. binding is the MD5 of the channel bindings of the TLS connection, nil without
// TLS; a client that sends bindings must send these.
func (a *acceptor) accept(m []byte, users []ntlmUser, binding []byte) (*authenticated, error) {
	const header = 88 // with version and MIC
	if messageType(m) != 3 || len(m) < header {
		return nil, errors.New("not an AUTHENTICATE message with a MIC")
	}
	field := func(at int) ([]byte, error) {
		n, o := uint64(binary.LittleEndian.Uint16(m[at:])), uint64(binary.LittleEndian.Uint32(m[at+4:]))
		if o+n > uint64(len(m)) {
			return nil, errors.New("AUTHENTICATE: a field lies outside the message")
		}
		return m[o : o+n], nil
	}
	var fields [5][]byte
	for i, at := range []int{20, 28, 36, 52, 12} {
		f, err := field(at)
		if err != nil {
			return nil, err
		}
		fields[i] = f
	}
	decode := fromUTF16LE
	if binary.LittleEndian.Uint32(a.challenge[20:])&ntlmUnicode == 0 {
		decode = func(b []byte) string { return string(b) }
	}
	nt, domain, user, sealed := fields[0], decode(fields[1]), decode(fields[2]), fields[3]
	const proofAndTemp = 44
	if user == "" || len(nt) < proofAndTemp || len(sealed) != 16 {
		return nil, errors.New("AUTHENTICATE: anonymous, NTLMv1 or without a session key")
	}
	known, ok := findUser(users, domain, user)
	v2 := ntowf(known.password, user, domain)
	proof := hmacMD5(v2, a.challenge[24:32], nt[16:])
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: there is no user %.64q of domain %.64q", errLogin, user, domain)
	case !hmac.Equal(proof, nt[:16]):
		return nil, fmt.Errorf("%w: the password of %q is another", errLogin, known.name)
	}
	c, err := rc4.NewCipher(hmacMD5(v2, proof))
	if err != nil {
		return nil, err
	}
	key := make([]byte, 16)
	c.XORKeyStream(key, sealed)
	pairs, err := avPairs(nt[proofAndTemp:])
	if err != nil {
		return nil, err
	}
	if f := pairs[avFlags]; len(f) == 4 && binary.LittleEndian.Uint32(f)&avFlagHasMIC != 0 {
		blank := append([]byte(nil), m...)
		clear(blank[72:88])
		if !hmac.Equal(hmacMD5(key, a.negotiate, a.challenge, blank), m[72:88]) {
			return nil, errors.New("AUTHENTICATE: the MIC does not fit: the handshake was changed on its way")
		}
	}
	if sent := pairs[avBindings]; binding != nil && len(sent) == md5.Size && !hmac.Equal(sent, binding) && !allZero(sent) {
		return nil, errors.New("AUTHENTICATE: the channel bindings belong to another TLS connection")
	}
	return &authenticated{user: known.name, key: key}, nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// findUser takes DOMAIN\user, user@domain with an empty domain, and a bare user.
func findUser(users []ntlmUser, domain, user string) (ntlmUser, bool) {
	for _, u := range users {
		d, n, ok := strings.Cut(u.name, `\`)
		if !ok {
			d, n = "", u.name
		}
		upn, at, isUPN := strings.Cut(user, "@")
		switch {
		case strings.EqualFold(user, n) && (domain == "" || strings.EqualFold(domain, d)),
			isUPN && strings.EqualFold(upn, n) && strings.EqualFold(strings.TrimSuffix(at, ".local"), d),
			strings.EqualFold(user, u.name):
			return u, true
		}
	}
	return ntlmUser{}, false
}

// ntowf is NTOWFv2; the domain counts exactly as the client wrote it.
func ntowf(password, user, domain string) []byte {
	h := md4.New()
	h.Write(utf16LE(password))
	return hmacMD5(h.Sum(nil), utf16LE(strings.ToUpper(user)+domain))
}

func avPairs(b []byte) (map[uint16][]byte, error) {
	out := map[uint16][]byte{}
	for len(b) >= 4 {
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if id == avEnd {
			return out, nil
		}
		if len(b) < 4+n {
			break
		}
		out[id] = b[4 : 4+n]
		b = b[4+n:]
	}
	return nil, errors.New("AUTHENTICATE: the AV pairs have no end")
}

// sealing is both directions of an authenticated connection.
type sealing struct{ in, out sealDirection }

type sealDirection struct {
	sign   []byte
	stream *rc4.Cipher
	seq    uint32
}

func newSealing(key []byte) (*sealing, error) {
	direction := func(side string) (sealDirection, error) {
		sum := func(what string) []byte {
			s := md5.Sum([]byte(string(key) + "session key to " + side + " " + what + " key magic constant\x00"))
			return s[:]
		}
		c, err := rc4.NewCipher(sum("sealing"))
		return sealDirection{sign: sum("signing"), stream: c}, err
	}
	in, err := direction("client-to-server")
	if err != nil {
		return nil, err
	}
	out, err := direction("server-to-client")
	return &sealing{in: in, out: out}, err
}

// signature takes the next sequence number and, from the same key stream as the data, the sealed checksum.
func (d *sealDirection) signature(plain []byte) []byte {
	seq := binary.LittleEndian.AppendUint32(nil, d.seq)
	d.seq++
	sum := hmacMD5(d.sign, seq, plain)[:8]
	d.stream.XORKeyStream(sum, sum)
	return append(append([]byte{1, 0, 0, 0}, sum...), seq...)
}

func (s *sealing) seal(plain []byte) (sealed, signature []byte) {
	sealed = make([]byte, len(plain))
	s.out.stream.XORKeyStream(sealed, plain)
	return sealed, s.out.signature(plain)
}

func (s *sealing) unseal(sealed, signature []byte) ([]byte, error) {
	plain := make([]byte, len(sealed))
	s.in.stream.XORKeyStream(plain, sealed)
	want := s.in.signature(plain)
	if hmac.Equal(want, signature) {
		return plain, nil
	}
	if version := binary.LittleEndian.Uint32(signature); version != 1 {
		return nil, fmt.Errorf("a signature of version %d, wanted 1", version)
	}
	if got, next := binary.LittleEndian.Uint32(signature[12:]), binary.LittleEndian.Uint32(want[12:]); got != next {
		return nil, fmt.Errorf("sequence number %d, wanted %d: a body was repeated, lost or reordered", got, next)
	}
	return nil, errors.New("the checksum does not fit: the body or its key was changed on the way")
}
