package pfx

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // what Windows calls TripleDES-SHA1
	"fmt"
)

// A scheme is one password-based encryption: how to make the key, and what to do with it.
type scheme struct {
	facts       Algorithm
	what        string // the place, for errors
	unsupported *UnsupportedError

	salt       []byte
	iterations int
	cost       int // hashes per iteration
	kdf        digest
	pbes2      bool // PBKDF2 and iv below; otherwise the PKCS#12 derivation of both
	keyLen     int
	iv         []byte
	block      func(key []byte) (cipher.Block, error)
}

func (s *scheme) refuse(oid, name string) {
	s.facts.Name, s.facts.OID = name, oid
	s.unsupported = &UnsupportedError{OID: oid, What: s.what + ": " + name}
}

// scheme reads an AlgorithmIdentifier of an encryption and charges it. What we cannot decrypt is a fact here, and an error
// only when somebody asks for the plaintext.
func (r *reader) scheme(e element, what string) (scheme, error) {
	s := scheme{what: what}
	oid, params, err := r.algorithm(e, what)
	if err != nil {
		return s, err
	}
	s.facts.OID = oid
	s.kdf, _ = hashByOID(oidSHA1) // of every PKCS#12 scheme
	switch oid {
	case oidPBE3DES:
		s.facts.Name, s.keyLen, s.block = "3DES", 24, des.NewTripleDESCipher
	case oidPBE2Key:
		s.facts.Name, s.keyLen, s.block = "2-key 3DES", 16, twoKeyTripleDES
	case oidPBERC2128:
		s.facts.Name, s.keyLen, s.block = "RC2-128", 16, rc2Block
	case oidPBERC240:
		s.facts.Name, s.keyLen, s.block = "RC2-40", 5, rc2Block
	case oidPBES2:
		s.pbes2 = true
		return s, r.pbes2(&s, params)
	default:
		s.refuse(oid, unreadName(oid))
		return s, nil
	}
	if params == nil {
		return s, malformed("%s: no parameters", what)
	}
	m, err := r.sequence(*params, 2, 2, what+": parameters")
	if err != nil {
		return s, err
	}
	blocks := (s.keyLen + s.kdf.size - 1) / s.kdf.size
	return s, r.derivation(&s, m[0], m[1], blocks+1)
}

// derivation reads and charges salt and iterations.
func (r *reader) derivation(s *scheme, salt, iterations element, cost int) (err error) {
	if s.salt, err = r.octets(salt, s.what+": salt"); err != nil {
		return err
	}
	if err = r.budget.salt(s.what, s.salt); err != nil {
		return err
	}
	n, fits, err := r.integer(iterations, s.what+": iterations")
	if err != nil {
		return err
	}
	if s.iterations, err = r.budget.charge(s.what, n, fits, cost); err != nil {
		return err
	}
	s.cost = cost
	s.facts.Salt, s.facts.Iterations = len(s.salt), s.iterations
	return nil
}

func (r *reader) pbes2(s *scheme, params *element) error {
	if params == nil {
		return malformed("%s: no parameters", s.what)
	}
	m, err := r.sequence(*params, 2, 2, s.what+": parameters")
	if err != nil {
		return err
	}
	oid, iv, err := r.algorithm(m[1], s.what+": cipher")
	if err != nil {
		return err
	}
	s.facts.OID = oid
	blockSize := aes.BlockSize
	s.block = aes.NewCipher
	switch oid {
	case oidAES128:
		s.facts.Name, s.keyLen = "AES-128-CBC", 16
	case oidAES192:
		s.facts.Name, s.keyLen = "AES-192-CBC", 24
	case oidAES256:
		s.facts.Name, s.keyLen = "AES-256-CBC", 32
	case oidDESEDE3:
		s.facts.Name, s.keyLen, s.block, blockSize = "DES-EDE3-CBC", 24, des.NewTripleDESCipher, des.BlockSize
	default:
		s.refuse(oid, unreadName(oid))
		return nil
	}
	if iv == nil {
		return malformed("%s: no IV", s.what)
	}
	if s.iv, err = r.octets(*iv, s.what+": IV"); err != nil {
		return err
	}
	if len(s.iv) != blockSize {
		return malformed("%s: IV of %d bytes, want %d", s.what, len(s.iv), blockSize)
	}
	keyLen, err := r.pbkdf2(s, m[0], s.keyLen)
	if err == nil && keyLen != 0 && keyLen != s.keyLen {
		return malformed("%s: derives a key of %d bytes, want %d", s.what, keyLen, s.keyLen)
	}
	return err
}

// pbkdf2 reads the key derivation of PBES2 or PBMAC1. need is the key length to charge for when the file does not say;
// the one it says is returned, or 0.
func (r *reader) pbkdf2(s *scheme, e element, need int) (keyLen int, err error) {
	oid, params, err := r.algorithm(e, s.what+": key derivation")
	if err != nil {
		return 0, err
	}
	if oid != oidPBKDF2 {
		s.unsupported = &UnsupportedError{OID: oid, What: s.what + ": key derivation " + unreadName(oid)}
		return 0, nil
	}
	if params == nil {
		return 0, malformed("%s: no key derivation parameters", s.what)
	}
	m, err := r.sequence(*params, 2, 4, s.what+": key derivation parameters")
	if err != nil {
		return 0, err
	}
	rest := m[2:]
	if len(rest) > 0 && rest[0].is(universal, tagInteger, false) {
		n, fits, err := r.integer(rest[0], s.what+": key length")
		if err != nil {
			return 0, err
		}
		if !fits || n < 1 || n > 64 {
			return 0, malformed("%s: key length out of range, want 1 to 64", s.what)
		}
		keyLen, rest = int(n), rest[1:]
	}
	if keyLen == 0 && need == 0 { // PBMAC1: RFC 9579 section 4 wants it said
		return 0, malformed("%s: no key length, want 20 to 64", s.what)
	}
	prf := oidHMACSHA1
	if len(rest) > 0 {
		if prf, _, err = r.algorithm(rest[0], s.what+": PRF"); err != nil {
			return 0, err
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		return 0, malformed("%s: surplus key derivation parameters", s.what)
	}
	d, ok := prfByOID(prf)
	if !ok {
		s.unsupported = &UnsupportedError{OID: prf, What: s.what + ": PRF of PBKDF2"}
		return keyLen, nil
	}
	s.kdf, s.facts.PRF = d, "HMAC-"+d.name
	if !m[0].is(universal, tagOctets, false) && m[0].tag == tagSeq {
		s.unsupported = &UnsupportedError{What: s.what + ": salt from another source"}
		return keyLen, nil
	}
	blocks := (max(need, keyLen) + d.size - 1) / d.size
	return keyLen, r.derivation(s, m[0], m[1], 2*blocks)
}

// decrypt returns the plaintext in a new slice. Bad padding is [ErrPassword].
func (s *scheme) decrypt(ctx context.Context, p password, data []byte) ([]byte, error) {
	if s.unsupported != nil {
		return nil, s.unsupported
	}
	c, iv, err := s.cipher(ctx, p)
	if err != nil {
		return nil, err
	}
	size := c.BlockSize()
	if len(data) == 0 || len(data)%size != 0 {
		return nil, malformed("%s: %d encrypted bytes, want a multiple of %d", s.what, len(data), size)
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(c, iv).CryptBlocks(out, data)
	pad := int(out[len(out)-1])
	if pad == 0 || pad > size {
		return nil, fmt.Errorf("%s: %w", s.what, ErrPassword)
	}
	for _, c := range out[len(out)-pad:] {
		if int(c) != pad {
			return nil, fmt.Errorf("%s: %w", s.what, ErrPassword)
		}
	}
	return out[:len(out)-pad], nil
}

// encrypt is the reverse of decrypt.
func (s *scheme) encrypt(ctx context.Context, p password, data []byte) ([]byte, error) {
	c, iv, err := s.cipher(ctx, p)
	if err != nil {
		return nil, err
	}
	pad := c.BlockSize() - len(data)%c.BlockSize()
	out := make([]byte, len(data)+pad)
	for i := copy(out, data); i < len(out); i++ {
		out[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(out, out)
	return out, nil
}

func (s *scheme) cipher(ctx context.Context, p password) (c cipher.Block, iv []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	var key []byte
	if s.pbes2 {
		iv = s.iv
		key, err = pbkdf2Key(ctx, s.kdf, p.utf8, s.salt, s.iterations, s.keyLen)
	} else {
		if key, err = pkcs12Key(ctx, s.kdf, p.bmp, s.salt, s.iterations, forKey, s.keyLen); err != nil {
			return nil, nil, err
		}
		iv, err = pkcs12Key(ctx, s.kdf, p.bmp, s.salt, s.iterations, forIV, 8)
	}
	if err != nil {
		return nil, nil, err
	}
	c, err = s.block(key)
	return c, iv, err
}

func rc2Block(key []byte) (cipher.Block, error) { return newRC2(key), nil }

func twoKeyTripleDES(key []byte) (cipher.Block, error) {
	return des.NewTripleDESCipher(append(key[:16:16], key[:8]...)) //nolint:gosec // RFC 7292 appendix C
}

// unreadName names what is known but not read.
func unreadName(oid string) string {
	switch oid {
	case oidPBERC4128:
		return "RC4-128"
	case oidPBERC440:
		return "RC4-40"
	case oidPBEMD5DES:
		return "MD5-DES"
	case oidPBESHA1DES:
		return "SHA1-DES"
	case oidRSAPSS:
		return "RSA-PSS"
	case oidScrypt:
		return "scrypt"
	case oidCamellia128, oidCamellia192, oidCamellia256:
		return "Camellia"
	}
	return "unknown algorithm"
}
