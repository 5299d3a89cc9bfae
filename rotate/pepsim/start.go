package pepsim

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"
)

// Stamp is a simulated stamp that runs.
type Stamp struct {
	*Server
	WinRM   string // address of the privileged endpoint
	TLS     string // address of the external endpoints
	Control string // address of the control endpoint; its token is Token

	stop func()
	once sync.Once
	done chan struct{}
	err  error
}

// Start runs a stamp on free ports of 127.0.0.1 until Close.
func Start(cfg Config) (*Stamp, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	var l [3]net.Listener
	for i := range l {
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			for _, open := range l[:i] {
				_ = open.Close()
			}
			return nil, fmt.Errorf("a port on loopback: %w", err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	out := &Stamp{Server: s, WinRM: l[0].Addr().String(), TLS: l[1].Addr().String(), Control: l[2].Addr().String(), stop: stop, done: make(chan struct{})}
	go func() {
		out.err = s.Serve(ctx, Listeners{WinRM: l[:1], TLS: l[1], Control: l[2]})
		close(out.done)
	}()
	return out, nil
}

// Close stops the stamp and waits until nothing of it runs. It may be called again.
func (s *Stamp) Close() error {
	s.once.Do(s.stop)
	<-s.done
	return s.err
}

// History is what the stamp was asked and what it did, as JSON lines.
func (s *Server) History() []byte { return s.history.all() }

// certify makes the certificates that the endpoints lack, all with one key.
func certify(cfg *Config) error {
	var key crypto.Signer
	cfg.Endpoints = slices.Clone(cfg.Endpoints)
	for i := range cfg.Endpoints {
		e := &cfg.Endpoints[i]
		if e.Certificate.PrivateKey != nil {
			continue
		}
		if key == nil {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return err
			}
			key = k
		}
		var err error
		if e.Certificate, err = Certificate(cfg.Clock(), e.Name, key); err != nil {
			return fmt.Errorf("endpoint %s: %w", e.Folder, err)
		}
	}
	return nil
}

// Certificate makes a certificate for a DNS name or an address that signs itself and whose subject begins with Mark.
func Certificate(now time.Time, name string, key crypto.Signer) (tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: Mark + " " + name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 30), BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
