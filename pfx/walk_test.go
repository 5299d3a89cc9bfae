package pfx

import (
	"crypto/x509"
	"slices"
	"testing"
)

func TestWalk(t *testing.T) {
	f := theFamily()
	sha1Leaf := func() *x509.Certificate {
		c := server("old.east.contoso.com")
		c.SignatureAlgorithm = x509.SHA1WithRSA
		return issue(c, f.root, f.key.Public(), f.rootKey)
	}()
	sha1ECDSA := func() *x509.Certificate {
		c := server("old.east.contoso.com")
		c.SignatureAlgorithm = x509.ECDSAWithSHA1
		return issue(c, f.issuing, f.key.Public(), f.issuingKey)
	}()
	selfLeaf := issue(server("self.east.contoso.com"), nil, f.key.Public(), f.key)
	impostor := issue(authority("Issuing"), f.root, f.key.Public(), f.rootKey)     // same name, another key
	cross := issue(authority("Root"), f.issuing, f.rootKey.Public(), f.issuingKey) // the root's key under another issuer
	twin := func() *x509.Certificate {                                             // the issuer's name and key under another key identifier
		c := authority("Issuing")
		c.SubjectKeyId = []byte("another")
		return issue(c, f.root, f.issuingKey.Public(), f.rootKey)
	}()
	type certs = []*x509.Certificate
	var memory Signatures // of all rows: what one taught must not mislead another

	for name, row := range map[string]struct {
		leaf              *x509.Certificate
		pool, chain, rest certs
	}{
		"in order":                {f.leaf, certs{f.issuing, f.root}, certs{f.leaf, f.issuing, f.root}, nil},
		"any order, leaf within":  {f.leaf, certs{f.root, f.leaf, f.issuing}, certs{f.leaf, f.issuing, f.root}, nil},
		"no root":                 {f.leaf, certs{f.issuing}, certs{f.leaf, f.issuing}, nil},
		"a gap":                   {f.leaf, certs{f.root}, certs{f.leaf}, certs{f.root}},
		"strangers keep order":    {f.leaf, certs{f.stranger, f.root, f.renewd, f.issuing}, certs{f.leaf, f.issuing, f.root}, certs{f.stranger, f.renewd}},
		"duplicates are the rest": {f.leaf, certs{f.leaf, f.leaf, f.issuing, f.issuing, f.root}, certs{f.leaf, f.issuing, f.root}, certs{f.leaf, f.issuing}},
		"name without signature":  {f.leaf, certs{impostor, f.issuing, f.root}, certs{f.leaf, f.issuing, f.root}, certs{impostor}},
		"cross-signed root":       {f.leaf, certs{f.issuing, cross, f.root}, certs{f.leaf, f.issuing, f.root}, certs{cross}},
		"key identifier decides":  {f.leaf, certs{twin, f.issuing, f.root}, certs{f.leaf, f.issuing, f.root}, certs{twin}},
		"only the cross-sign":     {f.leaf, certs{f.issuing, cross}, certs{f.leaf, f.issuing, cross}, nil},
		"self-signed leaf":        {selfLeaf, certs{f.root}, certs{selfLeaf}, certs{f.root}},
		"SHA-1 with RSA":          {sha1Leaf, certs{f.root}, certs{sha1Leaf, f.root}, nil},
		"SHA-1 with ECDSA":        {sha1ECDSA, certs{f.root, f.issuing}, certs{sha1ECDSA, f.issuing, f.root}, nil},
		"nothing":                 {nil, certs{f.root, nil}, nil, certs{f.root}},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(row.pool)
			for _, memo := range []*Signatures{nil, &memory, &memory} {
				chain, rest := memo.Walk(row.leaf, row.pool)
				if !slices.EqualFunc(chain, row.chain, (*x509.Certificate).Equal) || !slices.EqualFunc(rest, row.rest, (*x509.Certificate).Equal) {
					t.Errorf("chain %v\nrest  %v", names(chain), names(rest))
				}
			}
			if !slices.Equal(before, row.pool) {
				t.Error("the caller's slice was changed")
			}
		})
	}
}

func names(certs []*x509.Certificate) (out []string) {
	for _, c := range certs {
		out = append(out, c.Subject.CommonName)
	}
	return out
}

func TestSelfSigned(t *testing.T) {
	f := theFamily()
	leaf := issue(server("self.east.contoso.com"), nil, f.key.Public(), f.key)
	broken := *leaf
	broken.Signature = slices.Clone(leaf.Signature)
	broken.Signature[5] ^= 1
	broken.Raw = slices.Concat(leaf.RawTBSCertificate, broken.Signature) // as parsing such a file would give
	var memory Signatures
	for _, row := range []struct {
		name string
		cert *x509.Certificate
		want bool
	}{
		{"root", f.root, true},
		{"a leaf that is no CA", leaf, true},
		{"issued", f.issuing, false},
		{"its own issuer with a bad signature", &broken, false},
		{"none", nil, false},
	} {
		for _, memo := range []*Signatures{nil, &memory, &memory} {
			if got := memo.SelfSigned(row.cert); got != row.want {
				t.Errorf("%s: %v", row.name, got)
			}
		}
	}
}

// TestWalkStopsVerifying floods the pool with look-alikes of the issuer; the true one, put last, is no longer tried.
func TestWalkStopsVerifying(t *testing.T) {
	f := theFamily()
	pool := make([]*x509.Certificate, maxSignatures)
	for i := range pool {
		fake := *f.issuing
		fake.Raw = append(slices.Clone(f.issuing.Raw), byte(i))
		fake.PublicKey = f.stranger.PublicKey
		pool[i] = &fake
	}
	if chain, _ := Walk(f.leaf, append(pool, f.issuing)); len(chain) != 1 {
		t.Errorf("verified more than %d signatures", maxSignatures)
	}
	if chain, _ := Walk(f.leaf, append(pool[1:], f.issuing)); len(chain) != 2 {
		t.Errorf("gave up before %d signatures", maxSignatures)
	}
}
