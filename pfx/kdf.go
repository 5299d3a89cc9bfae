package pfx

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 7292 derives keys with it
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"unicode/utf16"
)

// A digest is a hash function as the two key derivations need it.
type digest struct {
	name  string
	new   func() hash.Hash
	size  int
	block int
}

func digestByOID(oid string) (digest, bool) {
	switch oid {
	case oidSHA1, oidHMACSHA1:
		return digest{"SHA1", sha1.New, sha1.Size, sha1.BlockSize}, true
	case oidSHA224, oidHMACSHA224:
		return digest{"SHA224", sha256.New224, sha256.Size224, sha256.BlockSize}, true
	case oidSHA256, oidHMACSHA256:
		return digest{"SHA256", sha256.New, sha256.Size, sha256.BlockSize}, true
	case oidSHA384, oidHMACSHA384:
		return digest{"SHA384", sha512.New384, sha512.Size384, sha512.BlockSize}, true
	case oidSHA512, oidHMACSHA512:
		return digest{"SHA512", sha512.New, sha512.Size, sha512.BlockSize}, true
	}
	return digest{}, false
}

// prfByOID is digestByOID for the places where only HMACs may stand; hashByOID where only plain hashes may.
func prfByOID(oid string) (digest, bool) {
	d, ok := digestByOID(oid)
	switch oid {
	case oidSHA1, oidSHA224, oidSHA256, oidSHA384, oidSHA512:
		return digest{}, false
	}
	return d, ok
}

func hashByOID(oid string) (digest, bool) {
	if _, isPRF := prfByOID(oid); isPRF {
		return digest{}, false
	}
	return digestByOID(oid)
}

// slice is how many iterations pass between two looks at the context: about a millisecond.
const slice = 1 << 13

// Purposes of a derived value, RFC 7292 appendix B.3.
const (
	forKey = 1
	forIV  = 2
	forMAC = 3
)

// pkcs12Key derives n bytes for a purpose from a password in the form of [bmpPassword] (RFC 7292 appendix B.2). It works in
// two buffers: a file of 2000 iterations hashes 14 000 times, and allocating each sum costs as much as the hashing.
func pkcs12Key(ctx context.Context, d digest, password, salt []byte, iterations int, purpose byte, n int) ([]byte, error) {
	v := d.block
	diversified := make([]byte, v, v+2*v+len(salt)+len(password))
	for i := range diversified {
		diversified[i] = purpose
	}
	in := appendRepeated(diversified, salt, v)
	in = appendRepeated(in, password, v)
	material := in[v:]
	out := make([]byte, 0, n+d.size)
	for {
		a, err := chainedHash(ctx, d, in, iterations)
		if err != nil {
			return nil, err
		}
		if out = append(out, a[:d.size]...); len(out) >= n {
			return out[:n], nil
		}
		for j := 0; j < len(material); j += v {
			addBlock(material[j:j+v], a[:d.size])
		}
	}
}

// appendRepeated appends b as often as fills whole blocks of v bytes.
func appendRepeated(out, b []byte, v int) []byte {
	if len(b) == 0 {
		return out
	}
	n := v * ((len(b) + v - 1) / v)
	for n > 0 {
		k := min(n, len(b))
		out = append(out, b[:k]...)
		n -= k
	}
	return out
}

// addBlock adds a, repeated to the size of block, plus one to block as big-endian numbers.
func addBlock(block, a []byte) {
	carry := 1
	for i := len(block) - 1; i >= 0; i-- {
		carry += int(block[i]) + int(a[i%len(a)])
		block[i] = byte(carry)
		carry >>= 8
	}
}

// chainedHash hashes in, then the sum, iterations times in all.
func chainedHash(ctx context.Context, d digest, in []byte, iterations int) (sum [64]byte, err error) {
	switch d.size {
	case sha1.Size:
		a := sha1.Sum(in) //nolint:gosec // RFC 7292
		for i := 1; i < iterations; i++ {
			if i%slice == 0 && ctx.Err() != nil {
				return sum, ctx.Err()
			}
			a = sha1.Sum(a[:]) //nolint:gosec // RFC 7292
		}
		copy(sum[:], a[:])
	case sha256.Size:
		a := sha256.Sum256(in)
		for i := 1; i < iterations; i++ {
			if i%slice == 0 && ctx.Err() != nil {
				return sum, ctx.Err()
			}
			a = sha256.Sum256(a[:])
		}
		copy(sum[:], a[:])
	default:
		h := d.new()
		h.Write(in)
		a := h.Sum(sum[:0])
		for i := 1; i < iterations; i++ {
			if i%slice == 0 && ctx.Err() != nil {
				return sum, ctx.Err()
			}
			h.Reset()
			h.Write(a)
			a = h.Sum(a[:0])
		}
		copy(sum[:], a)
	}
	return sum, nil
}

// pbkdf2Key is RFC 8018 section 5.2. The standard library has it without a context.
func pbkdf2Key(ctx context.Context, d digest, password, salt []byte, iterations, n int) ([]byte, error) {
	prf := hmac.New(d.new, password)
	out := make([]byte, 0, n+d.size)
	u := make([]byte, 0, d.size)
	for block := byte(1); len(out) < n; block++ {
		prf.Reset()
		prf.Write(salt)
		prf.Write([]byte{0, 0, 0, block})
		u = prf.Sum(u[:0])
		at := len(out)
		out = append(out, u...)
		for i := 1; i < iterations; i++ {
			if i%slice == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			prf.Reset()
			prf.Write(u)
			u = prf.Sum(u[:0])
			for j, c := range u {
				out[at+j] ^= c
			}
		}
	}
	return out[:n], nil
}

// A password in the two forms of the format: PKCS#12's own derivation takes UTF-16BE with a terminating zero, PBES2 and
// PBMAC1 take UTF-8.
type password struct {
	utf8 []byte
	bmp  []byte
}

// passwords returns the forms of s to try. The empty password is written in two ways: as a lone terminator, or as nothing.
func passwords(s string) []password {
	p := password{utf8: []byte(s)}
	for _, u := range utf16.Encode([]rune(s)) {
		p.bmp = append(p.bmp, byte(u>>8), byte(u))
	}
	p.bmp = append(p.bmp, 0, 0)
	if s == "" {
		return []password{p, {}}
	}
	return []password{p}
}
