package pfx

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// ParseCertificates reads what a CA sends: PEM (any text and other blocks around the certificates), DER (one or several), or
// P7B in either, in the order of the file. One certificate that cannot be read is an error, as is a file without any.
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	// More than a PFX may hold: lists of trusted roots come this way too.
	r := newReader(context.Background(), Limits{Size: 4 << 20, Bags: 2048})
	if len(b) > r.budget.limits.Size {
		return nil, overLimit("bytes", int64(len(b)), r.budget.limits.Size)
	}
	var ders [][]byte
	var err error
	if bytes.Contains(b, []byte("-----BEGIN ")) {
		ders, err = r.pemCertificates(b)
	} else {
		ders, err = r.derCertificates(b)
	}
	if err != nil {
		return nil, err
	}
	if len(ders) == 0 {
		return nil, malformed("certificates: none found")
	}
	var out []*x509.Certificate
	for i, der := range ders {
		c, err := parseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (r *reader) pemCertificates(b []byte) (out [][]byte, err error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return out, nil
		}
		var found [][]byte
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			found = [][]byte{block.Bytes}
		case "PKCS7", "CMS", "PKCS #7 SIGNED DATA":
			if found, err = r.derCertificates(block.Bytes); err != nil {
				return nil, err
			}
		}
		if out = append(out, found...); len(out) > r.budget.limits.Bags {
			return nil, overLimit("certificates", int64(len(out)), r.budget.limits.Bags)
		}
	}
}

// derCertificates splits a run of DER certificates or one CMS SignedData, told apart by the first member: an object
// identifier only in CMS.
func (r *reader) derCertificates(b []byte) (out [][]byte, err error) {
	const what = "certificates"
	for rest := b; len(rest) > 0; {
		e, after, err := r.next(rest, 1, what)
		if err != nil {
			return nil, err
		}
		if !e.is(universal, tagSeq, true) {
			return nil, malformed("%s: neither PEM nor DER", what)
		}
		if len(out) == r.budget.limits.Bags {
			return nil, overLimit(what, int64(len(out))+1, r.budget.limits.Bags)
		}
		if first, _, err := r.next(e.body, 2, what); err == nil && first.is(universal, tagOID, false) {
			if len(out) > 0 || len(bytes.Trim(after, "\x00\r\n")) > 0 {
				return nil, malformed("%s: something beside the P7B", what)
			}
			return r.signedData(e)
		}
		out = append(out, rest[:len(rest)-len(after)])
		rest = after
		if len(bytes.Trim(rest, "\x00\r\n")) == 0 {
			break
		}
	}
	return out, nil
}

// signedData returns the certificates of CMS SignedData (RFC 5652 section 5.1), whose signature, if any, says nothing about
// them:
//
//	SEQUENCE { version, SET digests, SEQUENCE content, [0] IMPLICIT SET OF certificate OPTIONAL, … }
func (r *reader) signedData(e element) (out [][]byte, err error) {
	const what = "P7B"
	kind, content, err := r.contentInfo(e, what)
	if err != nil {
		return nil, err
	}
	if kind != oidSignedData {
		return nil, malformed("%s: content type %s", what, kind)
	}
	m, err := r.sequence(content, 3, 6, what)
	if err != nil {
		return nil, err
	}
	for _, field := range m[3:] {
		if !field.is(tagged, 0, true) {
			continue
		}
		for rest := field.body; len(rest) > 0; {
			one, after, err := r.next(rest, field.depth+1, what)
			if err != nil {
				return nil, err
			}
			if !one.is(universal, tagSeq, true) {
				return nil, malformed("%s: holds something that is not a certificate", what)
			}
			if len(out) == r.budget.limits.Bags {
				return nil, overLimit("certificates", int64(len(out))+1, r.budget.limits.Bags)
			}
			out = append(out, rest[:len(rest)-len(after)])
			rest = after
		}
	}
	return out, nil
}
