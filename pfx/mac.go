package pfx

import (
	"context"
	"crypto/hmac"
)

// mac is the password integrity of a file, RFC 7292 section 4 or RFC 9579.
type mac struct {
	scheme // salt, iterations and, for PBMAC1, the PRF and key length
	sum    []byte
	hash   digest
}

// mac reads MacData ::= SEQUENCE { DigestInfo, salt, iterations DEFAULT 1 }.
func (r *reader) mac(e element) (*mac, error) {
	const what = "MAC"
	m, err := r.sequence(e, 2, 3, what)
	if err != nil {
		return nil, err
	}
	info, err := r.sequence(m[0], 2, 2, what)
	if err != nil {
		return nil, err
	}
	k := &mac{scheme: scheme{what: what}}
	oid, params, err := r.algorithm(info[0], what)
	if err != nil {
		return nil, err
	}
	if k.sum, err = r.octets(info[1], what); err != nil {
		return nil, err
	}
	iterations := element{tag: tagInteger, body: []byte{1}}
	if len(m) == 3 {
		iterations = m[2]
	}
	if oid == oidPBMAC1 {
		// RFC 9579 ignores the outer salt and iterations, yet wants them there.
		return k, r.pbmac1(k, params)
	}
	k.facts.OID = oid
	d, ok := hashByOID(oid)
	if !ok {
		k.refuse(oid, unreadName(oid))
		return k, nil
	}
	k.hash, k.kdf, k.facts.Name = d, d, d.name
	return k, r.derivation(&k.scheme, m[1], iterations, 1)
}

func (r *reader) pbmac1(k *mac, params *element) error {
	k.pbes2 = true
	k.facts.Name, k.facts.OID = "PBMAC1", oidPBMAC1
	if params == nil {
		return malformed("%s: no parameters", k.what)
	}
	m, err := r.sequence(*params, 2, 2, k.what+": parameters")
	if err != nil {
		return err
	}
	oid, _, err := r.algorithm(m[1], k.what)
	if err != nil {
		return err
	}
	d, ok := prfByOID(oid)
	if !ok {
		k.unsupported = &UnsupportedError{OID: oid, What: "MAC inside PBMAC1"}
		return nil
	}
	k.hash, k.facts.Name, k.facts.OID = d, "PBMAC1-"+d.name, oid
	k.keyLen, err = r.pbkdf2(&k.scheme, m[0], 0)
	// Short keys let a forger guess: RFC 9579 section 5 has them refused.
	if err == nil && k.unsupported == nil && k.keyLen < 20 {
		return malformed("%s: key length %d, want 20 to 64", k.what, k.keyLen)
	}
	return err
}

// verify finds the password under which message carries this MAC.
func (k *mac) verify(b *budget, candidates []password, message []byte) (password, error) {
	if k.unsupported != nil {
		return password{}, k.unsupported
	}
	for n, p := range candidates {
		if n > 0 {
			if err := b.spend(k.iterations, k.cost); err != nil {
				return password{}, err
			}
		}
		sum, err := k.over(b.ctx, p, message)
		if err != nil {
			return password{}, err
		}
		if hmac.Equal(sum, k.sum) {
			return p, nil
		}
	}
	return password{}, ErrPassword
}

func (k *mac) over(ctx context.Context, p password, message []byte) (sum []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var key []byte
	if k.pbes2 {
		key, err = pbkdf2Key(ctx, k.kdf, p.utf8, k.salt, k.iterations, k.keyLen)
	} else {
		key, err = pkcs12Key(ctx, k.kdf, p.bmp, k.salt, k.iterations, forMAC, k.hash.size)
	}
	if err != nil {
		return nil, err
	}
	h := hmac.New(k.hash.new, key)
	h.Write(message)
	return h.Sum(nil), nil
}
