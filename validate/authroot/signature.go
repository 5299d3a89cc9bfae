package authroot

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/smallstep/pkcs7"
)

// SignerError says that a list is not signed by whom it must be.
type SignerError struct{ Reason string }

func (e *SignerError) Error() string { return "the signature of the list: " + e.Reason }

// Hint says what to do.
func (e *SignerError) Hint() string {
	return "take authroot.stl from Microsoft's authrootstl.cab again: expand authrootstl.cab -F:authroot.stl ."
}

func unsigned(format string, args ...any) error {
	return &SignerError{Reason: fmt.Sprintf(format, args...)}
}

// ReadList reads a certificate trust list that leads to one of the signers.
func ReadList(b []byte, signers []*x509.Certificate) (*List, error) {
	if len(b) > MaxSize {
		return nil, malformed("%d bytes, at most %d are read", len(b), MaxSize)
	}
	if err := measure(b); err != nil {
		return nil, err
	}
	kind, signed, err := contentType(b)
	if err != nil || !signed || !kind.Equal(oidTrustList) {
		return nil, malformed("no signed certificate trust list")
	}
	p7, err := pkcs7.Parse(b)
	if err != nil {
		return nil, malformed("%q", err.Error())
	}
	signer, err := verified(p7)
	if err != nil {
		return nil, err
	}
	// What is read is what was verified: the envelope's content as the library took it, not as this package would.
	list, err := readContent(p7.Content)
	if err != nil {
		return nil, err
	}
	if err := trusted(signer, p7.Certificates, signers, list); err != nil {
		return nil, err
	}
	list.Signer = signer.Subject.String()
	return list, nil
}

// verified checks the one signature, and that it was made over a trust list.
func verified(p7 *pkcs7.PKCS7) (*x509.Certificate, error) {
	if len(p7.Signers) != 1 || len(p7.Certificates) > maxSigners {
		return nil, unsigned("%d signers and %d certificates, one signer is wanted", len(p7.Signers), len(p7.Certificates))
	}
	for _, c := range p7.Certificates {
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxKeyBits {
			return nil, unsigned("a key of %d bits", key.N.BitLen())
		}
	}
	signer := p7.GetOnlySigner()
	if signer == nil {
		return nil, unsigned("the certificate of the signer is missing")
	}
	// Signed attributes tie the signature to its purpose. Without the content type among them, a signature over other data
	// of the same signer could be passed off as one over a list; the library does not look.
	var kind asn1.ObjectIdentifier
	if err := p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &kind); err != nil || !kind.Equal(oidTrustList) {
		return nil, unsigned("it does not say that it covers a trust list")
	}
	if err := p7.Verify(); err != nil {
		return nil, unsigned("%q", err.Error())
	}
	return signer, nil
}

// trusted checks that the signer may sign lists of roots and leads to one of the roots, at the time of the list: the
// certificate of Microsoft's signer lasts a year, its lists are used longer.
func trusted(signer *x509.Certificate, others, roots []*x509.Certificate, list *List) error {
	if !mayList(signer, false) {
		return unsigned("the certificate %q is not for signing lists of roots", signer.Subject.String())
	}
	o := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: list.ThisUpdate,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, c := range roots {
		o.Roots.AddCert(c)
	}
	for _, c := range others {
		o.Intermediates.AddCert(c)
	}
	chains, err := signer.Verify(o)
	if err != nil {
		return unsigned("the certificate %q leads to none of the roots it must lead to: %q", signer.Subject.String(), err.Error())
	}
	for _, chain := range chains {
		if !slices.ContainsFunc(chain[1:len(chain)-1], func(c *x509.Certificate) bool { return !mayList(c, true) }) {
			return nil
		}
	}
	return unsigned("an authority above %q is not for signing lists of roots", signer.Subject.String())
}

// mayList reports whether a certificate is for signing lists of roots. An authority without extended key usages is for
// everything; a signer has to name it.
func mayList(c *x509.Certificate, authority bool) bool {
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return authority
	}
	return slices.ContainsFunc(c.UnknownExtKeyUsage, oidRootList.Equal) || authority && slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}
