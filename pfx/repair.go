package pfx

import "crypto/x509"

// Repair makes a pack from b: key and leaf as they are, the chain completed from extra, put in order and rid of
// strangers. Everything else (password, encryption, attributes) comes from to. The changes are sentences for a person, one
// per difference between file and pack; none means the file needs no repair.
func Repair(b *Bundle, extra []*x509.Certificate, to Pack) (p Pack, changes []string, err error) {
	return Pack{}, nil, &UnsupportedError{What: "repair: not built yet"}
}
