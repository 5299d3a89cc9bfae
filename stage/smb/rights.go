package smb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var errRights = errors.New("the server's security descriptor cannot be read")

// parseRights reads the DACL of a self-relative security descriptor (MS-DTYP, section 2.4.6; little-endian). Only what
// decides about access is kept: type, mask and trustee. A missing DACL means everybody may do everything.
func parseRights(b []byte) ([]string, error) {
	const (
		header      = 20
		daclAt      = 16
		daclPresent = 0x0004
		aclHeader   = 8
		maxEntries  = 1000
	)
	if len(b) < header {
		return nil, errRights
	}
	control := binary.LittleEndian.Uint16(b[2:])
	offset := binary.LittleEndian.Uint32(b[daclAt:])
	if control&daclPresent == 0 || offset == 0 {
		return []string{"everybody"}, nil
	}
	if uint64(offset)+aclHeader > uint64(len(b)) {
		return nil, errRights
	}
	acl := b[offset:]
	size, count := int(binary.LittleEndian.Uint16(acl[2:])), int(binary.LittleEndian.Uint16(acl[4:]))
	if size < aclHeader || size > len(acl) || count > maxEntries {
		return nil, errRights
	}
	rest := acl[aclHeader:size]
	var out []string
	for range count {
		entry, after, err := accessEntry(rest)
		if err != nil {
			return nil, err
		}
		rest = after
		if entry != "" {
			out = append(out, entry)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// accessEntry reads one ACE (section 2.4.4). Those that only tell children what to inherit say nothing about this name.
func accessEntry(b []byte) (entry string, rest []byte, err error) {
	const (
		header       = 8 // type, flags, size, mask
		allowed      = 0
		denied       = 1
		inheritsOnly = 0x08
	)
	if len(b) < header {
		return "", nil, errRights
	}
	size := int(binary.LittleEndian.Uint16(b[2:]))
	if size < header || size > len(b) {
		return "", nil, errRights
	}
	kind, flags := b[0], b[1]
	if flags&inheritsOnly != 0 {
		return "", b[size:], nil
	}
	word := map[byte]string{allowed: "allow", denied: "deny"}[kind]
	if word == "" {
		return fmt.Sprintf("type %d", kind), b[size:], nil // conditional and object entries: compared as they are
	}
	sid, err := sidString(b[header:size])
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("%s 0x%08x %s", word, binary.LittleEndian.Uint32(b[4:]), sid), b[size:], nil
}

// sidString writes a SID as S-1-… (section 2.4.2.1). The authority is big-endian, the rest is not.
func sidString(b []byte) (string, error) {
	const header = 8
	if len(b) < header || b[0] != 1 || len(b) < header+4*int(b[1]) {
		return "", errRights
	}
	authority := uint64(0)
	for _, x := range b[2:header] {
		authority = authority<<8 | uint64(x)
	}
	parts := []string{"S-1", strconv.FormatUint(authority, 10)}
	for i := range int(b[1]) {
		parts = append(parts, strconv.FormatUint(uint64(binary.LittleEndian.Uint32(b[header+4*i:])), 10))
	}
	return strings.Join(parts, "-"), nil
}
