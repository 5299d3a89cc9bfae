// Package demo plays the whole pipeline on made-up stamps: a private CA, a local folder as the share, and simulated
// stamps on loopback. It runs the real commands through the real command line; only the stamps are played.
package demo

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// authority is a private CA of two levels. Every subject begins with SIMULATED.
type authority struct {
	root, issuing       *x509.Certificate
	rootKey, issuingKey crypto.Signer
	serial              int64
}

func newAuthority(name string, now time.Time) (*authority, error) {
	a := &authority{serial: now.Unix()}
	var err error
	if a.rootKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if a.issuingKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	root := authorityTemplate("SIMULATED "+name+" Root", now, 20)
	if a.root, err = a.sign(root, root, a.rootKey.Public(), a.rootKey); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	issuing := authorityTemplate("SIMULATED "+name+" Issuing 1", now, 10)
	issuing.CRLDistributionPoints = []string{"http://pki.contoso.example/root.crl"}
	if a.issuing, err = a.sign(issuing, a.root, a.issuingKey.Public(), a.rootKey); err != nil {
		return nil, fmt.Errorf("issuing: %w", err)
	}
	return a, nil
}

func authorityTemplate(name string, now time.Time, years int) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.AddDate(-1, 0, 0),
		NotAfter:              now.AddDate(years, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func (a *authority) sign(template, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	template.SignatureAlgorithm = x509.SHA256WithRSA
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// issue answers a request as a CA with a server template would: names and key from the request, usages from the template.
// Names replaces the request's names where it is not nil: that is how the demo makes a CA's mistake.
func (a *authority) issue(csr *x509.CertificateRequest, names []string, from, until time.Time) (*x509.Certificate, error) {
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("request for %v: %w", csr.DNSNames, err)
	}
	if names == nil {
		names = csr.DNSNames
	}
	return a.leaf(csr.RawSubject, names, csr.PublicKey, from, until)
}

func (a *authority) leaf(subject []byte, names []string, pub crypto.PublicKey, from, until time.Time) (*x509.Certificate, error) {
	return a.sign(&x509.Certificate{
		RawSubject:            subject,
		DNSNames:              names,
		NotBefore:             from,
		NotAfter:              until,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		CRLDistributionPoints: []string{"http://pki.contoso.example/issuing1.crl"},
	}, a.issuing, pub, a.issuingKey)
}

func (a *authority) chain() []*x509.Certificate { return []*x509.Certificate{a.issuing, a.root} }

func pemOf(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
