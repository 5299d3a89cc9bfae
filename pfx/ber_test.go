package pfx

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// toBER rewrites DER the way NSS writes: indefinite lengths, and octet strings split in parts of 100 bytes, down to depth.
func toBER(der []byte, depth int) []byte {
	w := walker{depth: 24}
	var out []byte
	for rest := der; len(rest) > 0; {
		e, after, err := w.next(rest, 1, "test")
		if err != nil {
			panic(err)
		}
		raw := rest[:len(rest)-len(after)]
		rest = after
		switch {
		case depth > 0 && e.constructed:
			out = append(append(out, raw[0], 0x80), toBER(e.body, depth-1)...)
			out = append(out, 0, 0)
		case depth > 0 && (e.is(universal, tagOctets, false) || e.is(tagged, 0, false)) && len(e.body) > 100:
			out = append(out, raw[0]|0x20, 0x80)
			for part := range slices.Chunk(e.body, 100) {
				out = append(out, octetsDER(part)...)
			}
			out = append(out, 0, 0)
		default:
			out = append(out, raw...)
		}
	}
	return out
}

func TestOpenReadsBER(t *testing.T) {
	p := testPack()
	w := testWriter()
	key := must(p.keySafe(w, (*writer).tripleDES))
	certificates := must(p.certificateSafe(w, (*writer).pbes2))
	inner := toBER(sequenceDER(key, certificates), 20)
	b := toBER(fileOf(inner, must(w.mac(oidSHA256, inner))), 20)
	if bytes.Contains(b, inner) {
		t.Fatal("the MAC's message is not split")
	}
	got := open(t, b)
	if !got.Facts.BER || got.Facts.Trailing != 0 || !got.LeafCertificate().Equal(p.Leaf) || len(got.Certificates) != 3 {
		t.Errorf("%+v", got.Facts)
	}
	if der := open(t, must(p.Encode())); der.Facts.BER {
		t.Error("DER is called BER")
	}
	for n := range b {
		if _, err := Open(context.Background(), b[:n], testPassword, DefaultLimits()); err == nil {
			t.Fatalf("cut to %d bytes and opened", n)
		}
	}
}

// TestOddCertificateDoesNotHideTheFile opens a file whose leaf has a negative serial number, which Windows has written and
// crypto/x509 refuses.
func TestOddCertificateDoesNotHideTheFile(t *testing.T) {
	f, dir := theFamily(), t.TempDir()
	key := writeFile(t, dir, "key.pem", keyPEM(t, f.key))
	leaf := filepath.Join(dir, "leaf.pem")
	run(t, "openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=negative", "-set_serial", "-5", "-out", leaf)
	out := filepath.Join(dir, "out.pfx")
	run(t, "openssl", "pkcs12", "-export", "-inkey", key, "-in", leaf, "-certfile", writeFile(t, dir, "chain.pem", pemOf(f.chain()...)),
		"-out", out, "-passout", "pass:"+testPassword)

	got := open(t, must(os.ReadFile(out)))
	odd := got.Certificates[0]
	if odd.Err == nil || odd.X509 != nil || len(odd.Raw) == 0 {
		t.Errorf("the odd one: %v", odd.Err)
	}
	if got.Leaf != 0 || got.LeafCertificate() != nil {
		t.Errorf("leaf %d", got.Leaf)
	}
	if !slices.EqualFunc(got.X509(), f.chain(), (*x509.Certificate).Equal) {
		t.Errorf("the others: %v", names(got.X509()))
	}
}

func TestKeyOfAnotherKindIsNamed(t *testing.T) {
	dir := t.TempDir()
	key, leaf, out := filepath.Join(dir, "key.pem"), filepath.Join(dir, "leaf.pem"), filepath.Join(dir, "out.pfx")
	run(t, "openssl", "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
	run(t, "openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=pss", "-out", leaf)
	run(t, "openssl", "pkcs12", "-export", "-inkey", key, "-in", leaf, "-out", out, "-passout", "pass:"+testPassword)
	got := open(t, must(os.ReadFile(out)))
	var unsupported *UnsupportedError
	if k := got.Keys[0]; k.Signer != nil || k.Algorithm != oidRSAPSS || !errors.As(k.Err, &unsupported) || unsupported.OID != oidRSAPSS {
		t.Errorf("%q, %v", k.Algorithm, k.Err)
	}
	if got.Leaf != -1 {
		t.Errorf("leaf %d", got.Leaf)
	}
}
