package wsman

import (
	"encoding/binary"
	"errors"
	"fmt"
	"mime"
	"strconv"
	"strings"
)

// A sealed body is a multipart of two parts whose boundary never changes (MS-WSMV section 2.2.9.1).
const (
	boundary      = "Encrypted Boundary"
	sealProtocol  = "application/HTTP-SPNEGO-session-encrypted"
	sealedType    = `multipart/encrypted;protocol="` + sealProtocol + `";boundary="` + boundary + `"`
	soapType      = "application/soap+xml;charset=UTF-8"
	signatureSize = 16
)

// sealer is the security context of a login.
type sealer interface {
	Wrap(plain []byte) (sealed, signature []byte, err error)
	Unwrap(sealed, signature []byte) ([]byte, error)
}

func sealBody(s sealer, plain []byte) ([]byte, error) {
	sealed, signature, err := s.Wrap(plain)
	if err != nil {
		return nil, fmt.Errorf("wsman: seal: %w", err)
	}
	if len(signature) != signatureSize || len(sealed) != len(plain) {
		return nil, fmt.Errorf("wsman: the login sealed nothing: %w", ErrUnsealed)
	}
	b := make([]byte, 0, len(plain)+512)
	b = append(b, "--"+boundary+"\r\n\tContent-Type: "+sealProtocol+"\r\n\tOriginalContent: type="+soapType+";Length="...)
	b = strconv.AppendInt(b, int64(len(plain)), 10)
	b = append(b, "\r\n--"+boundary+"\r\n\tContent-Type: application/octet-stream\r\n"...)
	b = binary.LittleEndian.AppendUint32(b, signatureSize)
	b = append(b, signature...)
	b = append(b, sealed...)
	return append(b, "--"+boundary+"--\r\n"...), nil
}

// isSealed reports whether a content type announces a sealed body.
func isSealed(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "multipart/encrypted" &&
		strings.EqualFold(params["protocol"], sealProtocol) && strings.EqualFold(params["boundary"], boundary)
}

// parseSealed finds signature and cipher text by their lengths: the cipher text may contain anything, the boundary too.
func parseSealed(b []byte) (sealed, signature []byte, err error) {
	bad := func(what string) ([]byte, []byte, error) {
		return nil, nil, fmt.Errorf("wsman: a sealed body without %s: %w", what, ErrUnsealed)
	}
	rest, ok := boundaryLine(b, "")
	if !ok {
		return bad("its first boundary")
	}
	length := -1
	for n := 0; ; n++ {
		if next, ok := boundaryLine(rest, ""); ok {
			rest = next
			break
		}
		line, next, ok := headerLine(rest)
		if !ok || n > 8 {
			return bad("its second boundary")
		}
		rest = next
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(strings.TrimSpace(name), "OriginalContent") {
			if length, err = originalLength(value); err != nil {
				return nil, nil, err
			}
		}
	}
	line, rest, ok := headerLine(rest)
	name, value, _ := strings.Cut(line, ":")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "Content-Type") ||
		!strings.EqualFold(strings.TrimSpace(value), "application/octet-stream") {
		return bad("an octet stream")
	}
	if length < 0 || len(rest) < 4+signatureSize+length {
		return bad("as many bytes as it says")
	}
	if binary.LittleEndian.Uint32(rest) != signatureSize {
		return bad("a signature of 16 bytes")
	}
	signature = rest[4:][:signatureSize]
	sealed = rest[4+signatureSize:][:length]
	end, ok := boundaryLine(rest[4+signatureSize+length:], "--")
	if !ok || len(end) != 0 {
		return bad("its last boundary")
	}
	return sealed, signature, nil
}

// boundaryLine takes "--Encrypted Boundary" plus a tail and CRLF off b. Some servers put a space after the hyphens, and
// the last line end is optional.
func boundaryLine(b []byte, tail string) ([]byte, bool) {
	for _, prefix := range []string{"--", "-- "} {
		text := prefix + boundary + tail
		if len(b) < len(text) || !strings.EqualFold(string(b[:len(text)]), text) {
			continue
		}
		rest := b[len(text):]
		if len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' {
			return rest[2:], true
		}
		if tail != "" && len(rest) == 0 {
			return rest, true
		}
	}
	return nil, false
}

func headerLine(b []byte) (line string, rest []byte, ok bool) {
	const longest = 512
	i := strings.Index(string(b[:min(len(b), longest)]), "\r\n")
	if i < 0 {
		return "", nil, false
	}
	return string(b[:i]), b[i+2:], true
}

func originalLength(value string) (int, error) {
	for _, p := range strings.Split(value, ";") {
		name, number, ok := strings.Cut(p, "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "Length") {
			n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
			if err != nil || n > maxBody {
				break
			}
			return int(n), nil
		}
	}
	return 0, fmt.Errorf("wsman: a sealed body without its length: %w", ErrUnsealed)
}

// openBody unseals an answer. After an error the streams of the login are out of step and the connection is of no use.
func openBody(s sealer, contentType string, b []byte) ([]byte, error) {
	if !isSealed(contentType) {
		return nil, fmt.Errorf("wsman: content type %.64q: %w", contentType, ErrUnsealed)
	}
	sealed, signature, err := parseSealed(b)
	if err != nil {
		return nil, err
	}
	if version := binary.LittleEndian.Uint32(signature); version != 1 {
		return nil, fmt.Errorf("wsman: a signature of version %d: %w", version, ErrUnsealed)
	}
	plain, err := s.Unwrap(sealed, signature)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wsman: unseal: %w", err), ErrUnsealed)
	}
	return plain, nil
}
