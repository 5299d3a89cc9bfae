package authroot

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/smallstep/pkcs7"
	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// sample is a list with everything a list can say.
func sample(t testing.TB) (*List, *x509.Certificate) {
	t.Helper()
	root := issue(t, "Some Root", nil, nil).cert
	return &List{
		Sequence: "1401d0ab", ThisUpdate: listed, NextUpdate: listed.AddDate(0, 3, 0),
		Entries: []Entry{
			entryOf(root, nil),
			entryOf(issue(t, "Disabled Root", nil, nil).cert, func(e *Entry) {
				e.Disabled, e.DisabledUsages = ptr(listed.Add(1234500*time.Nanosecond)), []string{serverAuth, anyUsage}
			}),
			entryOf(issue(t, "Ending Röot", nil, nil).cert, func(e *Entry) {
				e.Usages, e.NotBefore, e.NotBeforeUsages = nil, ptr(listed), []string{}
			}),
			{SHA1: [20]byte{1}, Usages: []string{}},
		},
	}, root
}

func TestReadList(t *testing.T) {
	p := newPublisher(t)
	want, _ := sample(t)
	for name, how := range map[string]signing{
		"as Microsoft writes it":              {},
		"in an octet string":                  {wrapped: true},
		"in an octet string, with its header": {wrapped: true, whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(p.sign(t, encode(want), how), p.roots())
			if err != nil {
				t.Fatal(err)
			}
			expected := *want
			expected.Signer = "CN=List Publisher"
			if diff := cmp.Diff(&expected, got.List); diff != "" || got.Form != "certificate trust list" {
				t.Errorf("form %q, list (want, got):\n%s", got.Form, diff)
			}
		})
	}
}

func TestTrusts(t *testing.T) {
	root := issue(t, "Some Root", nil, nil).cert
	asOf := listed.AddDate(0, 1, 0)
	leaf := &x509.Certificate{NotBefore: listed.AddDate(0, 0, -10)}
	const codeSigning = "1.3.6.1.5.5.7.3.3"
	for _, row := range []struct {
		claim   string
		change  func(*Entry)
		refused string // empty: trusted
	}{
		{"for servers", func(e *Entry) {}, ""},
		{"for everything", func(e *Entry) { e.Usages = nil }, ""},
		{"for any usage", func(e *Entry) { e.Usages = []string{anyUsage} }, ""},
		{"for code only", func(e *Entry) { e.Usages = []string{codeSigning} }, "not there for server authentication"},
		{"for nothing", func(e *Entry) { e.Usages = []string{} }, "not there for server authentication"},
		{"disabled before", func(e *Entry) { e.Disabled = ptr(asOf.Add(-time.Second)) }, "is disabled since"},
		{"disabled at this moment", func(e *Entry) { e.Disabled = ptr(asOf) }, "is disabled since"},
		{"disabled later, whatever the date of the list", func(e *Entry) { e.Disabled = ptr(asOf.Add(time.Second)) }, ""},
		{"disabled for code", func(e *Entry) { e.Disabled, e.DisabledUsages = ptr(listed), []string{codeSigning} }, ""},
		{"disabled for servers", func(e *Entry) { e.Disabled, e.DisabledUsages = ptr(listed), []string{serverAuth} }, "is disabled since"},
		{"issued on the last day", func(e *Entry) { e.NotBefore = ptr(leaf.NotBefore) }, ""},
		{"issued after the last day", func(e *Entry) { e.NotBefore = ptr(leaf.NotBefore.Add(-time.Second)) }, "issued until 2026-07-08, this one begins on 2026-07-09"},
		{"issued after the last day for code", func(e *Entry) {
			e.NotBefore, e.NotBeforeUsages = ptr(listed.AddDate(-1, 0, 0)), []string{codeSigning}
		}, ""},
	} {
		t.Run(row.claim, func(t *testing.T) {
			l := &List{Entries: []Entry{entryOf(root, row.change)}}
			err := l.Trusts(root, leaf, asOf)
			if row.refused == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), row.refused) {
				t.Errorf("%v, want a refusal with %q", err, row.refused)
			}
		})
	}
	t.Run("not listed", func(t *testing.T) {
		l := &List{Entries: []Entry{entryOf(root, nil)}}
		other := issue(t, "Other Root", nil, nil).cert
		var e *NotListedError
		if err := l.Trusts(other, leaf, asOf); !errors.As(err, &e) || l.Lists(other) || !l.Lists(root) {
			t.Errorf("%v", err)
		}
	})
	t.Run("known by its key identifier, which is no proof", func(t *testing.T) {
		ca := issue(t, "Some CA", nil, nil)
		l := &List{Entries: []Entry{entryOf(root, nil), entryOf(ca.cert, func(e *Entry) { e.SHA256 = [32]byte{} })}}
		below := issue(t, "Below", ca, nil).cert
		if e, ok := l.Issuer(below); !ok || e.Name != "Some CA" || l.Lists(ca.cert) {
			t.Errorf("%+v, %t", e, ok)
		}
		if _, ok := l.Issuer(&x509.Certificate{}); ok {
			t.Error("a certificate that names no issuer has one")
		}
	})
	t.Run("by its SHA-1 alone", func(t *testing.T) {
		l := &List{Entries: []Entry{entryOf(root, func(e *Entry) { e.SHA256 = [32]byte{} })}}
		if l.Lists(root) {
			t.Error("a root is taken on the word of a SHA-1")
		}
	})
	t.Run("listed twice, once disabled", func(t *testing.T) {
		l := &List{Entries: []Entry{entryOf(root, nil), entryOf(root, func(e *Entry) { e.Disabled = ptr(listed) })}}
		if err := l.Trusts(root, leaf, asOf); !errors.Is(err, ErrRefused) {
			t.Errorf("%v", err)
		}
	})
}

// Whose signature counts.
func TestReadListRefusesSigners(t *testing.T) {
	p := newPublisher(t)
	list, _ := sample(t)
	body := encode(list)
	as := func(change func(*publisher)) []byte {
		other := *p
		change(&other)
		return other.sign(t, body, signing{})
	}
	stranger := newPublisher(t)
	changed := p.sign(t, body, signing{})
	at := bytes.Index(changed, list.Entries[0].SHA256[:])
	changed[at] ^= 1
	for _, row := range []struct {
		claim string
		file  []byte
		want  string
	}{
		{"another root of the same name", stranger.sign(t, body, signing{}), "leads to none of the roots"},
		{"a changed entry", changed, "digest mismatch"},
		{"a certificate of the same CA for code", as(func(o *publisher) {
			o.signer = issue(t, "Code", p.middle, func(c *x509.Certificate) {
				c.IsCA, c.ExtKeyUsage = false, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
			})
		}), "is not for signing lists of roots"},
		{"a certificate for nothing in particular", as(func(o *publisher) {
			o.signer = issue(t, "Plain", p.middle, func(c *x509.Certificate) { c.IsCA = false })
		}), "is not for signing lists of roots"},
		{"a CA for code", as(func(o *publisher) {
			o.middle = issue(t, "Code CA", p.root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
			o.signer = issue(t, "Under Code", o.middle, func(c *x509.Certificate) { c.IsCA = false; forLists(c) })
		}), "an authority above"},
		{"a signer that was not valid at the time of the list", as(func(o *publisher) {
			o.signer = issue(t, "Later", p.middle, func(c *x509.Certificate) {
				c.IsCA, c.NotBefore = false, listed.AddDate(0, 0, 1)
				forLists(c)
			})
		}), "leads to none of the roots"},
		{"no signed attributes", p.sign(t, body, signing{attributes: true}), "does not say that it covers a trust list"},
		{"two signers", func() []byte {
			sd, err := pkcs7.NewSignedData(body)
			if err != nil {
				t.Fatal(err)
			}
			sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
			sd.GetSignedData().ContentInfo.ContentType = oidTrustList
			for range 2 {
				if err := sd.AddSignerChain(p.signer.cert, p.signer.key, []*x509.Certificate{p.middle.cert}, pkcs7.SignerInfoConfig{}); err != nil {
					t.Fatal(err)
				}
			}
			b, err := sd.Finish()
			if err != nil {
				t.Fatal(err)
			}
			return b
		}(), "2 signers"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			_, err := ReadList(row.file, p.roots())
			var e *SignerError
			if !errors.As(err, &e) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
	t.Run("no roots at all", func(t *testing.T) {
		if _, err := ReadList(p.sign(t, body, signing{}), nil); err == nil {
			t.Error("a list is trusted without any root")
		}
	})
	t.Run("an authority without usages is for everything", func(t *testing.T) {
		o := *p
		o.middle = issue(t, "Plain CA", p.root, nil)
		o.signer = issue(t, "Under Plain", o.middle, func(c *x509.Certificate) { c.IsCA = false; forLists(c) })
		if _, err := ReadList(o.sign(t, body, signing{}), p.roots()); err != nil {
			t.Error(err)
		}
	})
}

func TestReadListRefusesForms(t *testing.T) {
	p := newPublisher(t)
	list, _ := sample(t)
	good := p.sign(t, encode(list), signing{})
	// content signs what a list must not be.
	content := func(f func(*cryptobyte.Builder)) []byte { return p.sign(t, built(f), signing{}) }
	begin := func(b *cryptobyte.Builder) {
		b.AddBytes(usages([]string{oidRootList.String()}))
		b.AddASN1GeneralizedTime(listed)
		b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidSHA1) })
	}
	entry := func(f func(*cryptobyte.Builder)) []byte {
		return content(func(b *cryptobyte.Builder) {
			begin(b)
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1(tags.SEQUENCE, f) })
		})
	}
	property := func(n int, value []byte) func(*cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(make([]byte, 20))
			b.AddASN1(tags.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(append(slices.Clone(oidProperty), n))
					b.AddASN1(tags.SET, func(b *cryptobyte.Builder) { b.AddASN1OctetString(value) })
				})
			})
		}
	}
	deep := []byte{}
	for range maxDepth + 1 {
		deep = sequence(func(b *cryptobyte.Builder) { b.AddBytes(deep) })
	}
	for _, row := range []struct {
		claim string
		file  []byte
		want  string
	}{
		{"nothing", nil, "no signed certificate trust list|ends too early"},
		{"text", []byte("<html>"), ""},
		{"another list of the same signer", content(func(b *cryptobyte.Builder) {
			b.AddBytes(usages([]string{"1.3.6.1.4.1.311.10.3.30"}))
			b.AddASN1GeneralizedTime(listed)
		}), "not for trusted roots"},
		{"no usage", content(func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(listed) }), "does not say what it is for"},
		{"no date", content(func(b *cryptobyte.Builder) {
			b.AddBytes(usages([]string{oidRootList.String()}))
			b.AddASN1Int64(1)
		}), "has no date"},
		{"by MD5", content(func(b *cryptobyte.Builder) {
			b.AddBytes(usages([]string{oidRootList.String()}))
			b.AddASN1GeneralizedTime(listed)
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5})
			})
		}), "count by SHA-1"},
		{"no entries", content(begin), "no entries"},
		{"something after the entries", content(func(b *cryptobyte.Builder) {
			begin(b)
			b.AddASN1(tags.SEQUENCE, func(*cryptobyte.Builder) {})
			b.AddASN1NULL()
		}), "follows the entries"},
		{"a short hash", entry(func(b *cryptobyte.Builder) { b.AddASN1OctetString([]byte{1}) }), "entry 1"},
		{"a short SHA-256", entry(property(98, []byte{1})), "entry 1"},
		{"a short time", entry(property(104, []byte{1})), "entry 1"},
		{"half a letter", entry(property(11, []byte{65})), "entry 1"},
		{"usages that are none", entry(property(9, []byte{4, 1, 1})), "entry 1"},
		{"trailing bytes in usages", entry(property(9, append(usages([]string{serverAuth}), 0))), "entry 1"},
		{"trailing bytes", append(slices.Clone(good), 0), "follows the end"},
		{"half of it", good[:len(good)/2], "ends too early"},
		{"too deep", deep, "nested more than 24 deep"},
		{"indefinite length", []byte{0x30, 0x80, 0, 0}, "indefinite length"},
		{"a length of 2^31", []byte{0x30, 0x84, 0x80, 0, 0, 0}, "ends too early"},
		{"a tag of several bytes", []byte{0x3f, 0x81, 0x01, 0}, "several bytes"},
		{"an envelope of another kind", p.sign(t, encode(list), signing{kind: pkcs7.OIDData}), "no signed certificate trust list"},
		{"too large", make([]byte, MaxSize+1), "at most"},
		{"too many elements", built(func(b *cryptobyte.Builder) {
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Repeat([]byte{5, 0}, maxElements)) })
		}), "elements"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			_, err := ReadList(row.file, p.roots())
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("%v, want %v", err, ErrFormat)
			}
			if !slices.ContainsFunc(strings.Split(row.want, "|"), func(w string) bool { return strings.Contains(err.Error(), w) }) {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
	t.Run("too many entries", func(t *testing.T) {
		many := *list
		many.Entries = slices.Repeat([]Entry{{SHA1: [20]byte{1}}}, maxEntries+1)
		if _, err := readContent(encode(&many)); err == nil || !strings.Contains(err.Error(), "more than 8192 entries") {
			t.Errorf("%v", err)
		}
	})
}

func TestReadOtherForms(t *testing.T) {
	a, b := issue(t, "Root A", nil, nil).cert, issue(t, "Root B", nil, nil).cert
	p7b, err := pkcs7.DegenerateCertificate(slices.Concat(a.Raw, b.Raw))
	if err != nil {
		t.Fatal(err)
	}
	pems := slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Raw}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Raw}))
	for form, file := range map[string][]byte{
		"PEM": pems, "DER": slices.Concat(a.Raw, b.Raw), "P7B": p7b, "SST": storeOf(a.Raw, b.Raw),
	} {
		t.Run(form, func(t *testing.T) {
			got, err := Read(file, nil)
			if err != nil || len(got.Certificates) != 2 || !got.Certificates[0].Equal(a) || !got.Certificates[1].Equal(b) || got.List != nil {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	store := storeOf(a.Raw)
	for claim, file := range map[string][]byte{
		"empty":                       nil,
		"an HTML page":                []byte("<html>login</html>"),
		"a store without end":         store[:len(store)-1],
		"a store cut":                 store[:40],
		"a store and more":            append(slices.Clone(store), 1),
		"a store of nothing":          storeOf(),
		"a store of no certificate":   storeOf([]byte("junk")),
		"a store that lies":           slices.Concat(storeMagic, []byte{32, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}),
		"a store in another encoding": slices.Concat(storeMagic, []byte{32, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 12)),
		"too large":                   make([]byte, MaxSize+1),
	} {
		t.Run(claim, func(t *testing.T) {
			if got, err := Read(file, nil); !errors.Is(err, ErrFormat) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A stranger signs: openssl puts the list into CMS of its own.
func TestOpenSSLSigns(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t)
	want, _ := sample(t)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := x509.MarshalPKCS8PrivateKey(p.signer.key)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "list.stl")
	cmd := exec.Command(openssl, "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256", "-outform", "DER",
		"-econtent_type", oidTrustList.String(),
		"-in", write("list.der", sequence(func(b *cryptobyte.Builder) { b.AddBytes(encode(want)) })),
		"-signer", write("signer.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.signer.cert.Raw})),
		"-inkey", write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"-certfile", write("middle.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.middle.cert.Raw})),
		"-out", out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadList(b, p.roots())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Entries, got.Entries); diff != "" {
		t.Error(diff)
	}
}
