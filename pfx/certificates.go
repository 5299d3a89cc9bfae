package pfx

import "crypto/x509"

// ParseCertificates reads what a CA sends: PEM (any text around the blocks), DER (one or several), or P7B in either.
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	return nil, &UnsupportedError{What: "certificate files: not built yet"}
}
