package authroot

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/smallstep/pkcs7"
	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

var listed = time.Date(2026, 7, 19, 0, 0, 0, 0, time.UTC)

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate; a nil parent signs itself. The dates reach far around today, because the library that makes
// test signatures notes the wall clock as the time of signing, and one that verifies holds it against the certificate.
func issue(t testing.TB, name string, parent *authority, change func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(template)
	}
	from := &authority{template, key}
	if parent != nil {
		from = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, from.cert, key.Public(), from.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

// publisher is the three levels Microsoft signs its list with.
type publisher struct{ root, middle, signer *authority }

func newPublisher(t testing.TB) *publisher {
	t.Helper()
	p := &publisher{root: issue(t, "List Root", nil, nil)}
	p.middle = issue(t, "List CA", p.root, forLists)
	p.signer = issue(t, "List Publisher", p.middle, func(c *x509.Certificate) { c.IsCA = false; forLists(c) })
	return p
}

func forLists(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidRootList} }

func (p *publisher) roots() []*x509.Certificate { return []*x509.Certificate{p.root.cert} }

// signing is how a list is put into its envelope.
type signing struct {
	kind       asn1.ObjectIdentifier // nil: a trust list
	attributes bool                  // drop the signed attributes
	wrapped    bool                  // in an OCTET STRING, as CMS has it and Microsoft has not
	whole      bool                  // with the outer header inside what is signed
}

// sign makes the envelope of a list whose contents, without the outer header, are body.
func (p *publisher) sign(t testing.TB, body []byte, how signing) []byte {
	t.Helper()
	kind := how.kind
	if kind == nil {
		kind = oidTrustList
	}
	whole := sequence(func(b *cryptobyte.Builder) { b.AddBytes(body) })
	signedOver, inside := body, whole
	if how.whole {
		signedOver = whole
	}
	if how.wrapped {
		inside = built(func(b *cryptobyte.Builder) { b.AddASN1OctetString(signedOver) })
	}
	sd, err := pkcs7.NewSignedData(signedOver)
	if err != nil {
		t.Fatal(err)
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	info := sd.GetSignedData()
	info.ContentInfo.ContentType = kind
	info.ContentInfo.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inside}
	if how.attributes {
		err = sd.SignWithoutAttr(p.signer.cert, p.signer.key, pkcs7.SignerInfoConfig{})
	} else {
		err = sd.AddSignerChain(p.signer.cert, p.signer.key, []*x509.Certificate{p.middle.cert}, pkcs7.SignerInfoConfig{})
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func built(f func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	f(&b)
	return b.BytesOrPanic()
}

func sequence(f func(*cryptobyte.Builder)) []byte {
	return built(func(b *cryptobyte.Builder) { b.AddASN1(tags.SEQUENCE, f) })
}

// encode writes the contents of a list, without the outer header.
func encode(l *List) []byte {
	return built(func(b *cryptobyte.Builder) {
		b.AddBytes(usages([]string{oidRootList.String()}))
		if l.Sequence != "" {
			n, _ := new(big.Int).SetString(l.Sequence, 16)
			b.AddASN1BigInt(n)
		}
		b.AddASN1GeneralizedTime(l.ThisUpdate)
		if !l.NextUpdate.IsZero() {
			b.AddASN1GeneralizedTime(l.NextUpdate)
		}
		b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidSHA1)
			b.AddASN1NULL()
		})
		b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, e := range l.Entries {
				b.AddBytes(e.encode())
			}
		})
	})
}

func (e Entry) encode() []byte {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1OctetString(e.SHA1[:])
		b.AddASN1(tags.SET, func(b *cryptobyte.Builder) {
			property := func(n int, value []byte) {
				b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(append(oidProperty[:len(oidProperty):len(oidProperty)], n))
					b.AddASN1(tags.SET, func(b *cryptobyte.Builder) { b.AddASN1OctetString(value) })
				})
			}
			property(29, make([]byte, 16)) // the MD5 of the subject, which is not read
			if id, err := hex.DecodeString(e.KeyID); err == nil && e.KeyID != "" {
				property(20, id)
			}
			if e.SHA256 != ([32]byte{}) {
				property(98, e.SHA256[:])
			}
			if e.Name != "" {
				property(11, wideOf(e.Name))
			}
			for _, p := range []struct {
				n    int
				list []string
			}{{9, e.Usages}, {122, e.DisabledUsages}, {127, e.NotBeforeUsages}} {
				if p.list != nil {
					property(p.n, usages(p.list))
				}
			}
			for _, p := range []struct {
				n  int
				at *time.Time
			}{{104, e.Disabled}, {126, e.NotBefore}} {
				if p.at != nil {
					property(p.n, filetimeOf(*p.at))
				}
			}
		})
	})
}

func usages(list []string) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		for _, text := range list {
			var oid asn1.ObjectIdentifier
			for part := range strings.SplitSeq(text, ".") {
				n, err := strconv.Atoi(part)
				if err != nil {
					panic(err)
				}
				oid = append(oid, n)
			}
			b.AddASN1ObjectIdentifier(oid)
		}
	})
}

func wideOf(s string) []byte {
	var out []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

func filetimeOf(t time.Time) []byte {
	n := uint64(t.Unix()+11_644_473_600)*1e7 + uint64(t.Nanosecond()/100)
	return binary.LittleEndian.AppendUint64(nil, n)
}

// entryOf names a certificate as Microsoft does.
func entryOf(c *x509.Certificate, change func(*Entry)) Entry {
	e := Entry{
		SHA1: sha1.Sum(c.Raw), SHA256: sha256.Sum256(c.Raw), Name: c.Subject.CommonName, KeyID: hex.EncodeToString(c.SubjectKeyId),
		Usages: []string{serverAuth},
	}
	if change != nil {
		change(&e)
	}
	return e
}

func ptr(t time.Time) *time.Time { return &t }

// storeOf writes a serialized store, each certificate after a property of its own.
func storeOf(list ...[]byte) []byte {
	var b bytes.Buffer
	b.Write(storeMagic)
	element := func(property uint32, value []byte) {
		for _, n := range []uint32{property, storeEncoding, uint32(len(value))} {
			b.Write(binary.LittleEndian.AppendUint32(nil, n))
		}
		b.Write(value)
	}
	for _, der := range list {
		element(11, wideOf("a name"))
		element(storeCertificate, der)
	}
	b.Write(make([]byte, 12))
	return b.Bytes()
}
