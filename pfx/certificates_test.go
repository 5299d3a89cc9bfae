package pfx

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/smallstep/pkcs7"
)

func TestParseCertificates(t *testing.T) {
	f, dir := theFamily(), t.TempDir()
	all := []*x509.Certificate{f.leaf, f.issuing, f.root}
	text := pemOf(all...)
	in := writeFile(t, dir, "all.pem", text)
	p7 := func(form string) []byte {
		out := filepath.Join(dir, "out."+form)
		run(t, "openssl", "crl2pkcs7", "-nocrl", "-certfile", in, "-outform", form, "-out", out)
		return must(os.ReadFile(out))
	}
	degenerate := must(pkcs7.DegenerateCertificate(slices.Concat(f.leaf.Raw, f.issuing.Raw, f.root.Raw)))
	for name, b := range map[string][]byte{
		"PEM":               text,
		"PEM with text":     slices.Concat([]byte("subject=foo\r\n"), bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), []byte("the end")),
		"PEM with a key":    slices.Concat(keyPEM(t, f.key), text),
		"DER in a row":      slices.Concat(f.leaf.Raw, f.issuing.Raw, f.root.Raw),
		"P7B in DER":        p7("DER"),
		"P7B in PEM":        p7("PEM"),
		"P7B of smallstep":  degenerate,
		"P7B under CMS":     pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: degenerate}),
		"P7B, BER":          toBER(degenerate, 4),
		"PEM and P7B":       slices.Concat(pemOf(f.leaf), pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: must(pkcs7.DegenerateCertificate(slices.Concat(f.issuing.Raw, f.root.Raw)))})),
		"DER with line end": slices.Concat(f.leaf.Raw, f.issuing.Raw, f.root.Raw, []byte("\r\n")),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCertificates(b)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(sortedRaw(got), sortedRaw(all), bytes.Equal) {
				t.Errorf("got %v", names(got))
			}
		})
	}
}

// sortedRaw ignores the order, which a SET in a P7B does not keep.
func sortedRaw(certs []*x509.Certificate) (out [][]byte) {
	for _, c := range certs {
		out = append(out, c.Raw)
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}

func TestParseCertificatesRefuses(t *testing.T) {
	f := theFamily()
	for name, row := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":            {nil, ErrFormat},
		"text":               {[]byte("hello, this is no certificate"), ErrFormat},
		"only a key":         {keyPEM(t, f.key), ErrFormat},
		"cut short":          {f.leaf.Raw[:100], ErrFormat},
		"a certificate more": {slices.Concat(f.leaf.Raw, []byte{1, 2, 3}), ErrFormat},
		"P7B and more":       {slices.Concat(must(pkcs7.DegenerateCertificate(f.leaf.Raw)), f.leaf.Raw), ErrFormat},
		"data, not signed":   {sequenceDER(oidDER(oidData), explicitDER(octetsDER([]byte("x")))), ErrFormat},
		"deep":               {nest(1e5, []byte{0x30, 0x80}, nil), ErrLimit},
		"5 MB":               {make([]byte, 5<<20), ErrLimit},
		"a flood":            {bytes.Repeat([]byte{0x30, 0}, 1e5), ErrLimit},
		"a P7B flood": {sequenceDER(oidDER(oidSignedData), explicitDER(sequenceDER(integerDER(1), setDER(), sequenceDER(oidDER(oidData)),
			tlv(0xa0, bytes.Repeat([]byte{0x30, 0}, 1e5))))), ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseCertificates(row.b); !errors.Is(err, row.want) || got != nil {
				t.Errorf("got %v, %v", names(got), err)
			}
		})
	}
}
