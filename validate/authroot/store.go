package authroot

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"fmt"
)

// storeMagic begins a serialized store: version 0 and the four letters.
var storeMagic = []byte("\x00\x00\x00\x00CERT")

const (
	storeCertificate = 32 // CERT_CERT_PROP_ID and its neighbours 33 (CRL) and 34 (CTL) end the properties before them
	storeEncoding    = 1  // X509_ASN_ENCODING
)

// readStore reads a serialized store (.sst): after the magic a run of little-endian {property, encoding, length, bytes}. The
// properties of a certificate (friendly name, hash, usages) come before it and say nothing that is needed here; 12 zero
// bytes end the store.
func readStore(b []byte) ([]*x509.Certificate, error) {
	const what = "serialized store"
	var out []*x509.Certificate
	rest := b[len(storeMagic):]
	for {
		if len(rest) < 12 {
			return nil, malformed("%s: it ends too early", what)
		}
		property, encoding, length := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:]), binary.LittleEndian.Uint32(rest[8:])
		rest = rest[12:]
		if property == 0 {
			break
		}
		if encoding != storeEncoding || uint64(length) > uint64(len(rest)) {
			return nil, malformed("%s: an element of %d bytes with encoding %d", what, length, encoding)
		}
		if property == storeCertificate {
			if len(out) == maxCertificates {
				return nil, malformed("%s: more than %d certificates", what, maxCertificates)
			}
			c, err := x509.ParseCertificate(rest[:length])
			if err != nil {
				return nil, fmt.Errorf("%w: %s: certificate %d: %q", ErrFormat, what, len(out)+1, err.Error())
			}
			out = append(out, c)
		}
		rest = rest[length:]
	}
	if len(bytes.Trim(rest, "\x00")) > 0 {
		return nil, malformed("%s: something follows the end", what)
	}
	if len(out) == 0 {
		return nil, malformed("%s: no certificate in it", what)
	}
	return out, nil
}
