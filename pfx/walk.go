package pfx

import "crypto/x509"

// Walk orders pool from the leaf upwards: each certificate is followed by the one that issued it, by name and verified
// signature. The chain begins with the leaf and ends at a self-signed certificate or where the issuer is missing; rest is
// what has no place in it, in the order given.
func Walk(leaf *x509.Certificate, pool []*x509.Certificate) (chain, rest []*x509.Certificate) {
	return []*x509.Certificate{leaf}, pool
}

// SelfSigned says whether c is signed by its own key under its own name.
func SelfSigned(c *x509.Certificate) bool {
	return false
}
