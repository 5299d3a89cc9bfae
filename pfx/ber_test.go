package pfx

import (
	"bytes"
	"context"
	"crypto/x509"
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

// TestOddCertificateDoesNotHideTheFile opens a file whose leaf crypto/x509 refuses: its alternative names are a set.
func TestOddCertificateDoesNotHideTheFile(t *testing.T) {
	f := theFamily()
	subjectAltName := []byte{0x55, 0x1d, 0x11, 0x04}
	der := slices.Clone(f.leaf.Raw)
	at := bytes.Index(der, subjectAltName) + len(subjectAltName) + 1
	if der[at] != 0x30 {
		t.Fatalf("the names begin with %#x", der[at])
	}
	der[at] = 0x31
	got := open(t, sealed(
		must(testPack().keySafe(testWriter(), (*writer).tripleDES)),
		hidden(certificateBag(&x509.Certificate{Raw: der}), certificateBag(f.issuing), certificateBag(f.root))))
	odd := got.Certificates[0]
	if odd.Err == nil || odd.X509 != nil || !bytes.Equal(odd.Raw, der) || odd.NegativeSerial {
		t.Errorf("the odd one: %v", odd.Err)
	}
	if got.Leaf != 0 || got.LeafCertificate() != nil {
		t.Errorf("leaf %d", got.Leaf)
	}
	if !slices.EqualFunc(got.X509(), f.chain(), (*x509.Certificate).Equal) {
		t.Errorf("the others: %v", names(got.X509()))
	}
}

// TestNegativeSerialIsAFact holds that a program without the setting of certstamp's learns of it too.
func TestNegativeSerialIsAFact(t *testing.T) {
	b := must(os.ReadFile(filepath.Join(madeFiles, "openssl-negative-serial.pfx")))
	for setting, read := range map[string]bool{"x509negativeserial=1": true, "x509negativeserial=0": false} {
		t.Setenv("GODEBUG", setting)
		got := open(t, b)
		if c := got.Certificates[0]; !c.NegativeSerial || got.Certificates[1].NegativeSerial || (c.X509 != nil) != read || (c.Err == nil) != read {
			t.Errorf("%s: %+v", setting, c.Err)
		}
		if got.Leaf != 0 {
			t.Errorf("%s: leaf %d", setting, got.Leaf)
		}
	}
}
