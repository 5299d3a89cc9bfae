package demo

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

// readRequest reads a PEM certificate request.
func readRequest(file string) (*x509.CertificateRequest, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", file)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return csr, nil
}
