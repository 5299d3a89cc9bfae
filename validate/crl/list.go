package crl

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/certstamp/certstamp/validate"
)

// Extensions of RFC 5280, sections 5.2 and 5.3.
var (
	oidDelta             = asn1.ObjectIdentifier{2, 5, 29, 27} // delta CRL indicator
	oidDistribution      = asn1.ObjectIdentifier{2, 5, 29, 28} // issuing distribution point
	oidFreshest          = asn1.ObjectIdentifier{2, 5, 29, 46} // where the deltas are
	oidCertificateIssuer = asn1.ObjectIdentifier{2, 5, 29, 29} // of an entry in an indirect CRL
)

// removedFromCRL is the reason that takes an entry back.
const removedFromCRL = 8

// read takes what was fetched apart. Nothing of it gets into a message.
func (f *fetch) read(body []byte) {
	malformed := func(what string) { f.state, f.detail = validate.CRLMalformed, what }
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("-----BEGIN")) {
		block, _ := pem.Decode(body)
		if block == nil || block.Type != "X509 CRL" {
			malformed("it is PEM, and no CRL")
			return
		}
		body = block.Bytes
	}
	list, err := x509.ParseRevocationList(body)
	if err != nil {
		what := "it is no CRL"
		if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
			what = "it is an HTML page, such as a login or an error"
		}
		malformed(what)
		return
	}
	f.revoked = make(map[string]revocation, len(list.RevokedCertificateEntries))
	indirect := false
	for i := range list.RevokedCertificateEntries {
		e := &list.RevokedCertificateEntries[i]
		indirect = indirect || has(e.Extensions, oidCertificateIssuer)
		f.revoked[e.SerialNumber.String()] = revocation{e.RevocationTime, e.ReasonCode}
	}
	list.RevokedCertificateEntries, list.RevokedCertificates = nil, nil //nolint:staticcheck // the deprecated copy takes as much memory as the other
	f.list = list
	unsupported := func(what string) { f.state, f.detail = validate.CRLUnsupported, what }
	switch {
	case has(list.Extensions, oidDelta):
		unsupported("it is a delta CRL: reported, not followed")
	case indirect:
		unsupported("it is an indirect CRL: reported, not followed")
	}
	if d, ok := distributionOf(list); !ok {
		malformed("its issuing distribution point cannot be read")
	} else if d.indirect && f.state == "" {
		unsupported("it is an indirect CRL: reported, not followed")
	}
	if has(list.Extensions, oidFreshest) {
		f.notes = append(f.notes, "it announces delta CRLs, which were not followed")
	}
}

func has(list []pkix.Extension, id asn1.ObjectIdentifier) bool {
	for _, e := range list {
		if e.Id.Equal(id) {
			return true
		}
	}
	return false
}

func deltaOf(c *x509.Certificate) []string {
	if has(c.Extensions, oidFreshest) {
		return []string{"the certificate names a delta CRL, which was not followed"}
	}
	return nil
}

// covers says why the CRL is not about a certificate, or "".
func (f *fetch) covers(c *x509.Certificate) string {
	d, _ := distributionOf(f.list) // it was readable before
	switch {
	case d.users && c.IsCA:
		return "it lists certificates of users only, and this is a CA's"
	case d.authorities && !c.IsCA:
		return "it lists certificates of CAs only, and this is none"
	case d.attributes:
		return "it lists attribute certificates only"
	case d.reasons:
		return "it lists some reasons of revocation only"
	}
	return ""
}

// distribution is the issuing distribution point: which certificates a CRL is about. Without one it is about all.
type distribution struct{ users, authorities, reasons, indirect, attributes bool }

func distributionOf(l *x509.RevocationList) (d distribution, ok bool) {
	for _, e := range l.Extensions {
		if !e.Id.Equal(oidDistribution) {
			continue
		}
		s := cryptobyte.String(e.Value)
		var in cryptobyte.String
		if !s.ReadASN1(&in, tags.SEQUENCE) || !s.Empty() {
			return d, false
		}
		for !in.Empty() {
			var value cryptobyte.String
			var tag tags.Tag
			if !in.ReadAnyASN1(&value, &tag) {
				return d, false
			}
			set := len(value) == 1 && value[0] != 0
			switch tag {
			case tags.Tag(1).ContextSpecific():
				d.users = set
			case tags.Tag(2).ContextSpecific():
				d.authorities = set
			case tags.Tag(3).ContextSpecific():
				d.reasons = true
			case tags.Tag(4).ContextSpecific():
				d.indirect = set
			case tags.Tag(5).ContextSpecific():
				d.attributes = set
			}
		}
	}
	return d, true
}

// reasonName is the name of a reason code (RFC 5280, section 5.3.1).
func reasonName(code int) string {
	names := map[int]string{
		0: "no reason given", 1: "key compromise", 2: "CA compromise", 3: "affiliation changed", 4: "superseded",
		5: "cessation of operation", 6: "certificate hold", 9: "privilege withdrawn", 10: "AA compromise",
	}
	if n, ok := names[code]; ok {
		return n
	}
	return "a reason that is none"
}
