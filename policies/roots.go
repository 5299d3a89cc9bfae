package policies

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

type listTerms struct {
	MaxAgeDays int          `yaml:"max-age-days"`
	Signers    []listSigner `yaml:"signers"`
	Source     Source       `yaml:"source"`
}

type listSigner struct {
	Name   string `yaml:"name"`
	File   string `yaml:"file"`
	SHA256 string `yaml:"sha256"`

	certificate *x509.Certificate
}

type publicPolicies struct {
	OIDs   []string `yaml:"oids"`
	Source Source   `yaml:"source"`
}

// read loads the certificates that the table names. The digest of the policy covers them, because it covers their hashes.
func (r *roots) read() error {
	for i := range r.List.Signers {
		s := &r.List.Signers[i]
		b, err := files.ReadFile(s.File)
		if err != nil {
			return fmt.Errorf("policies/roots.yaml: %w", err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			return fmt.Errorf("policies/%s: no PEM", s.File)
		}
		if sum := sha256.Sum256(block.Bytes); hex.EncodeToString(sum[:]) != s.SHA256 {
			return fmt.Errorf("policies/%s: SHA-256 %x, roots.yaml says %s", s.File, sum, s.SHA256)
		}
		if s.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("policies/%s: %w", s.File, err)
		}
	}
	return nil
}

// ListSigners are the roots that the signer of a certificate trust list must lead to.
func (p *Policy) ListSigners() []*x509.Certificate {
	var out []*x509.Certificate
	for _, s := range p.roots.List.Signers {
		out = append(out, s.certificate)
	}
	return out
}

// ListMaxAge is how old a certificate trust list may be before that is worth saying.
func (p *Policy) ListMaxAge() time.Duration {
	return time.Duration(p.roots.List.MaxAgeDays) * 24 * time.Hour
}

// IssuedToPublic reports whether a certificate carries a policy that public CAs mark their TLS certificates with.
func (p *Policy) IssuedToPublic(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.Policies, func(o x509.OID) bool { return slices.Contains(p.roots.PublicPolicies.OIDs, o.String()) })
}

// WithRoots folds the lists of roots that an operator chose into the digest: the name of each list in the stamp file, and the
// hex SHA-256 of what it holds. Which CA is public or enterprise depends on them like on everything else here.
func (p *Policy) WithRoots(lists map[string]string) *Policy {
	if len(lists) == 0 {
		return p
	}
	c := p.clone()
	c.extend(map[string]map[string]string{"roots": lists})
	return c
}
