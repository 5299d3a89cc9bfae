package wsman

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Negotiate flags of MS-NLMP section 2.2.2.5.
const (
	flagUnicode          uint32 = 0x1
	flagSign             uint32 = 0x10
	flagSeal             uint32 = 0x20
	flagDatagram         uint32 = 0x40
	flagLMKey            uint32 = 0x80
	flagAnonymous        uint32 = 0x800
	flagExtendedSecurity uint32 = 0x80000
	flagNonNTSessionKey  uint32 = 0x400000
	flagTargetInfo       uint32 = 0x800000
	flag128              uint32 = 0x20000000
	flagKeyExchange      uint32 = 0x40000000
)

// The flags decide how the session is keyed, and the NTLM library believes whatever the server says. With ANONYMOUS set
// it would seal with a key of zeros that any peer knows; without SEAL it would not seal at all.
var (
	wantedFlags = []namedFlag{
		{flagUnicode, "UNICODE"},
		{flagSign, "SIGN"},
		{flagSeal, "SEAL"},
		{flagExtendedSecurity, "EXTENDED_SESSIONSECURITY"},
		{flagTargetInfo, "TARGET_INFO"},
		{flag128, "128"},
		{flagKeyExchange, "KEY_EXCH"},
	}
	refusedFlags = []namedFlag{
		{flagDatagram, "DATAGRAM"},
		{flagLMKey, "LM_KEY"},
		{flagAnonymous, "ANONYMOUS"},
		{flagNonNTSessionKey, "NON_NT_SESSION_KEY"},
	}
)

type namedFlag struct {
	bit  uint32
	name string
}

// AV pairs of MS-NLMP section 2.2.2.1.
const (
	avEnd             = 0
	avFlags           = 6
	avTimestamp       = 7
	avChannelBindings = 10
)

const maxChallenge = 16 << 10

// checkChallenge refuses a CHALLENGE message that is malformed or would weaken the session. The NTLM library sees only
// what passes here.
func checkChallenge(b []byte) error {
	if len(b) < 48 || len(b) > maxChallenge {
		return fmt.Errorf("wsman: a CHALLENGE of %d bytes", len(b))
	}
	if string(b[:8]) != "NTLMSSP\x00" || binary.LittleEndian.Uint32(b[8:]) != 2 {
		return errors.New("wsman: the login's answer is not a CHALLENGE")
	}
	flags := binary.LittleEndian.Uint32(b[20:])
	for _, f := range wantedFlags {
		if flags&f.bit == 0 {
			return fmt.Errorf("wsman: the CHALLENGE lacks the flag %s", f.name)
		}
	}
	for _, f := range refusedFlags {
		if flags&f.bit != 0 {
			return fmt.Errorf("wsman: the CHALLENGE sets the flag %s", f.name)
		}
	}
	for _, reserved := range b[32:40] {
		if reserved != 0 {
			return errors.New("wsman: the CHALLENGE has reserved bytes set")
		}
	}
	name, err := payload(b, 12)
	if err != nil {
		return err
	}
	if len(name)%2 != 0 {
		return errors.New("wsman: the CHALLENGE's target name is not UTF-16")
	}
	info, err := payload(b, 40)
	if err != nil {
		return err
	}
	return checkTargetInfo(info)
}

// payload returns what a field descriptor points at: u16 length, u16 capacity, u32 offset.
func payload(b []byte, at int) ([]byte, error) {
	length := int(binary.LittleEndian.Uint16(b[at:]))
	offset := binary.LittleEndian.Uint32(b[at+4:])
	if length == 0 {
		return nil, nil
	}
	if offset < 48 || uint64(offset)+uint64(length) > uint64(len(b)) {
		return nil, errors.New("wsman: a field of the CHALLENGE lies outside of it")
	}
	return b[offset:][:length], nil
}

func checkTargetInfo(b []byte) error {
	seen := map[uint16]bool{}
	for {
		if len(b) < 4 {
			return errors.New("wsman: the CHALLENGE's target information does not end")
		}
		id, length := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		b = b[4:]
		if length > len(b) {
			return errors.New("wsman: an AV pair of the CHALLENGE is cut off")
		}
		if id == avEnd {
			if length != 0 || len(b) != 0 {
				return errors.New("wsman: something follows the CHALLENGE's target information")
			}
			break
		}
		switch {
		case seen[id]:
			return fmt.Errorf("wsman: the CHALLENGE has the AV pair %d twice", id)
		case id == avTimestamp && length != 8, id == avFlags && length != 4:
			return fmt.Errorf("wsman: the AV pair %d of the CHALLENGE has %d bytes", id, length)
		case id == avChannelBindings:
			return errors.New("wsman: the CHALLENGE carries channel bindings, which are the client's to send")
		case id >= 1 && id <= 5 && length%2 != 0:
			return fmt.Errorf("wsman: the AV pair %d of the CHALLENGE is not UTF-16", id)
		}
		seen[id] = true
		b = b[length:]
	}
	if !seen[avTimestamp] {
		return errors.New("wsman: the CHALLENGE has no timestamp, so the login would carry no integrity code")
	}
	return nil
}
