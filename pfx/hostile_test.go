package pfx

import (
	"bytes"
	"context"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Hand-made files. The pieces are those of the encoder, so that each file is right but for what its name says.

func fileOf(safes []byte, mac ...[]byte) []byte {
	return sequenceDER(append([][]byte{integerDER(3), sequenceDER(oidDER(oidData), explicitDER(octetsDER(safes)))}, mac...)...)
}

// testWriter makes the same bytes each time, so that hand-made files can be committed.
func testWriter() *writer {
	return &writer{random: sevens{}, password: passwords(testPassword)[0], iterations: 1}
}

type sevens struct{}

func (sevens) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}

// sealed is a file whose MAC is right.
func sealed(safes ...[]byte) []byte {
	body := sequenceDER(safes...)
	return fileOf(body, must(testWriter().mac(oidSHA1, body)))
}

func dataSafe(bags ...[]byte) []byte {
	return sequenceDER(oidDER(oidData), explicitDER(octetsDER(sequenceDER(bags...))))
}

// hidden is an encrypted safe around bags.
func hidden(bags ...[]byte) []byte {
	w := testWriter()
	s, algorithm, err := w.tripleDES()
	if err != nil {
		panic(err)
	}
	body := must(s.encrypt(context.Background(), w.password, sequenceDER(bags...)))
	return encryptedSafe(algorithm, body)
}

// nonsense is well-padded under the password, and nothing: what a wrong password gives one time in 256.
func nonsense() (algorithm, body []byte) {
	w := testWriter()
	s, algorithm, err := w.tripleDES()
	if err != nil {
		panic(err)
	}
	return algorithm, must(s.encrypt(context.Background(), w.password, []byte("nonsense")))
}

func nonsenseKey() []byte {
	algorithm, body := nonsense()
	return sequenceDER(algorithm, octetsDER(body))
}

func encryptedSafe(algorithm, body []byte) []byte {
	info := sequenceDER(oidDER(oidData), algorithm, tlv(0x80, body))
	return sequenceDER(oidDER(oidEncryptedData), explicitDER(sequenceDER(integerDER(0), info)))
}

func bagOf(oid string, value []byte, attributes ...[]byte) []byte {
	return sequenceDER(append([][]byte{oidDER(oid), explicitDER(value)}, attributes...)...)
}

func shroudedKey(algorithm []byte) []byte {
	return bagOf(oidShroudedBag, sequenceDER(algorithm, octetsDER(make([]byte, 1232))))
}

func pbe(salt, iterations []byte) []byte {
	return sequenceDER(oidDER(oidPBE3DES), sequenceDER(salt, iterations))
}

func pbes2(iterations []byte) []byte {
	return sequenceDER(oidDER(oidPBES2), sequenceDER(
		sequenceDER(oidDER(oidPBKDF2), sequenceDER(octetsDER(make([]byte, 8)), iterations, sequenceDER(oidDER(oidHMACSHA256), nullDER()))),
		sequenceDER(oidDER(oidAES256), octetsDER(make([]byte, 16)))))
}

func macOf(oid string, salt, iterations []byte) []byte {
	return sequenceDER(sequenceDER(sequenceDER(oidDER(oid), nullDER()), octetsDER(make([]byte, 20))), salt, iterations)
}

// pbmac1 is a MAC of RFC 9579; keyLen 0 leaves the length out.
func pbmac1(iterations []byte, keyLen int) []byte {
	length := integerDER(keyLen)
	if keyLen == 0 {
		length = nil
	}
	kdf := sequenceDER(oidDER(oidPBKDF2), sequenceDER(octetsDER(make([]byte, 8)), iterations, length, sequenceDER(oidDER(oidHMACSHA256))))
	algorithm := sequenceDER(oidDER(oidPBMAC1), sequenceDER(kdf, sequenceDER(oidDER(oidHMACSHA256), nullDER())))
	return sequenceDER(sequenceDER(algorithm, octetsDER(make([]byte, 32))), octetsDER([]byte("unused")), integerDER(1))
}

// power is the INTEGER 2^n − less.
func power(n uint, less int64) []byte {
	b := new(big.Int).Lsh(big.NewInt(1), n)
	b.Sub(b, big.NewInt(less))
	return tlv(2, append([]byte{0}[:boolInt(b.BitLen()%8 == 0)], b.Bytes()...))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func repeat(n int, b []byte) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}

func nest(n int, open, inner []byte) []byte {
	return append(bytes.Repeat(open, n), inner...)
}

func nestedContents(n int) []byte {
	inner := sequenceDER()
	for range n {
		inner = sequenceDER(bagOf(oidNestedBag, inner))
	}
	return inner
}

// soon is what a refusal may take on a machine that is busy otherwise; by itself it takes microseconds.
const soon = 5 * time.Second

// TestHostile holds every file to one clear error, little memory and no hashing: a count over the limits would take between
// five minutes and for ever, and here ends with the context instead of the error wanted. The small ones are committed, for
// other readers than ours.
func TestHostile(t *testing.T) {
	salt := octetsDER(make([]byte, 8))
	empty := sequenceDER()
	key := func(iterations []byte) []byte { return shroudedKey(pbe(salt, iterations)) }
	million := power(22, 194304) // 4 000 000: each allowed, not many of them

	for name, row := range map[string]struct {
		file []byte
		want error
		only string // "open" when the password is needed to see the fault
	}{
		"iterations 2^31-1 in the MAC":             {fileOf(empty, macOf(oidSHA1, salt, power(31, 1))), ErrLimit, ""},
		"iterations 2^62 in the MAC":               {fileOf(empty, macOf(oidSHA256, salt, power(62, 0))), ErrLimit, ""},
		"iterations 2^500 in the MAC":              {fileOf(empty, macOf(oidSHA256, salt, power(500, 0))), ErrLimit, ""},
		"iterations 2^31-1 in PBMAC1":              {fileOf(empty, pbmac1(power(31, 1), 32)), ErrLimit, ""},
		"iterations 2^62 in PBMAC1":                {fileOf(empty, pbmac1(power(62, 0), 32)), ErrLimit, ""},
		"iterations 2^31-1 in a safe":              {sealed(encryptedSafe(pbe(salt, power(31, 1)), make([]byte, 64))), ErrLimit, ""},
		"iterations 2^62 in a PBES2 safe":          {sealed(encryptedSafe(pbes2(power(62, 0)), make([]byte, 64))), ErrLimit, ""},
		"iterations 2^31-1 in a key":               {sealed(dataSafe(key(power(31, 1)))), ErrLimit, ""},
		"iterations 2^31-1 in a hidden key":        {sealed(hidden(key(power(31, 1)))), ErrLimit, "open"},
		"iterations 2^31-1 in a nested hidden key": {sealed(hidden(bagOf(oidNestedBag, sequenceDER(key(power(31, 1)))))), ErrLimit, "open"},
		"iterations 2^62 in a hidden key":          {sealed(hidden(key(power(62, 0)))), ErrLimit, "open"},
		"iterations 2^31-1 in a PBES2 safe":        {sealed(encryptedSafe(pbes2(power(31, 1)), make([]byte, 64))), ErrLimit, ""},
		"iterations 2^62 in a safe":                {sealed(encryptedSafe(pbe(salt, power(62, 0)), make([]byte, 64))), ErrLimit, ""},
		"iterations 2^62 in a hidden PBES2 key":    {sealed(hidden(shroudedKey(pbes2(power(62, 0))))), ErrLimit, "open"},
		"keys that are too much together":          {sealed(dataSafe(repeat(5, key(million))...)), ErrLimit, ""},
		"hidden keys too much together":            {sealed(hidden(repeat(5, key(million))...)), ErrLimit, "open"},
		"iterations 0":                             {fileOf(empty, macOf(oidSHA1, salt, integerDER(0))), ErrFormat, ""},
		"iterations -1":                            {fileOf(empty, macOf(oidSHA1, salt, tlv(2, []byte{0xff}))), ErrFormat, ""},
		"iterations -2^79":                         {fileOf(empty, macOf(oidSHA1, salt, tlv(2, append([]byte{0x80}, make([]byte, 9)...)))), ErrFormat, ""},
		"iterations 0 in a hidden key":             {sealed(hidden(key(integerDER(0)))), ErrFormat, "open"},
		"iterations padded":                        {fileOf(empty, macOf(oidSHA1, salt, []byte{2, 2, 0, 1})), ErrFormat, ""},
		"PBMAC1 without a key length":              {fileOf(empty, pbmac1(integerDER(1), 0)), ErrFormat, ""},
		"PBMAC1 with a key of one byte":            {fileOf(empty, pbmac1(integerDER(1), 1)), ErrFormat, ""},
		"PBMAC1 with a key of a gigabyte":          {fileOf(empty, pbmac1(integerDER(1), 1<<30)), ErrFormat, ""},
		"salt of 8 MB":                             {fileOf(empty, macOf(oidSHA1, octetsDER(make([]byte, 8<<20)), integerDER(1))), ErrLimit, ""},
		"salt of 2 kB":                             {fileOf(empty, macOf(oidSHA1, octetsDER(make([]byte, 2048)), integerDER(1))), ErrLimit, ""},
		"100 000 unknown bags":                     {sealed(dataSafe(repeat(1e5, []byte{0x30, 0})...)), ErrLimit, ""},
		"2 000 000 unknown bags":                   {sealed(dataSafe(bytes.Repeat([]byte{0x30, 0x08, 0x06, 0x02, 0x2a, 0x03, 0xa0, 0x02, 0x05, 0x00}, 2e6))), ErrLimit, ""},
		"50 000 certificates":                      {sealed(dataSafe(bytes.Repeat(certificateBag(theFamily().leaf), 5e4))), ErrLimit, ""},
		"50 000 hidden certificates":               {sealed(hidden(bytes.Repeat(certificateBag(theFamily().leaf), 5e4))), ErrLimit, ""},
		"129 bags":                                 {sealed(dataSafe(repeat(129, bagOf("1.2.3", nullDER()))...)), ErrLimit, ""},
		"129 bags in two safes":                    {sealed(dataSafe(repeat(65, bagOf("1.2.3", nullDER()))...), dataSafe(repeat(64, bagOf("1.2.3", nullDER()))...)), ErrLimit, ""},
		"129 hidden bags":                          {sealed(hidden(repeat(129, bagOf("1.2.3", nullDER()))...)), ErrLimit, "open"},
		"17 safes":                                 {sealed(repeat(17, dataSafe())...), ErrLimit, ""},
		"33 attributes":                            {sealed(dataSafe(bagOf("1.2.3", nullDER(), setDER(repeat(33, attributeDER("1.2.3"))...)))), ErrLimit, ""},
		"33 values of an attribute":                {sealed(dataSafe(bagOf("1.2.3", nullDER(), setDER(attributeDER("1.2.3", repeat(33, nullDER())...))))), ErrLimit, ""},
		"contents nested 20 deep":                  {sealed(sequenceDER(oidDER(oidData), explicitDER(octetsDER(nestedContents(20))))), ErrLimit, ""},
		"contents nested 20 deep, hidden":          {sealed(hidden(bagOf(oidNestedBag, nestedContents(20)))), ErrLimit, "open"},
		"20 000 indefinite sequences":              {nest(20000, []byte{0x30, 0x80}, nil), ErrLimit, ""},
		"20 000 nested sequences":                  {nest(20000, []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, nil), ErrFormat, ""},
		"20 000 nested constructed strings":        {fileOf(nil, nest(20000, []byte{0x24, 0x80}, nil)), ErrLimit, ""},
		"length 2^32":                              {[]byte{0x30, 0x85, 1, 0, 0, 0, 0, 2, 1, 3}, ErrFormat, ""},
		"length 2^63":                              {[]byte{0x30, 0x88, 0x80, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3}, ErrFormat, ""},
		"length of 127 bytes":                      {append([]byte{0x30, 0xff}, make([]byte, 127)...), ErrFormat, ""},
		"indefinite primitive":                     {[]byte{0x30, 0x80, 0x02, 0x80, 0, 0, 0, 0}, ErrFormat, ""},
		"tag of several bytes":                     {[]byte{0x3f, 0x81, 0x00}, ErrFormat, ""},
		"nothing":                                  {nil, ErrFormat, ""},
		"zeros":                                    {make([]byte, 4096), ErrFormat, ""},
		"text":                                     {[]byte("this is not a PFX file, sorry"), ErrFormat, ""},
		"PEM":                                      {[]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), ErrFormat, ""},
		"a certificate": {sequenceDER(
			sequenceDER(explicitDER(integerDER(2)), integerDER(1)), sequenceDER(oidDER("1.2.840.10045.4.3.2")), tlv(3, make([]byte, 65))), ErrFormat, ""},
		"a P7B":                            {sequenceDER(oidDER(oidSignedData), explicitDER(sequenceDER())), ErrFormat, ""},
		"version 2":                        {sequenceDER(integerDER(2), sequenceDER(oidDER(oidData), explicitDER(octetsDER(empty)))), ErrFormat, ""},
		"four members":                     {fileOf(empty, macOf(oidSHA1, salt, integerDER(1)), nullDER()), ErrFormat, ""},
		"MAC under another tag":            {fileOf(empty, tlv(0xa0, macOf(oidSHA1, salt, integerDER(1)))), ErrFormat, ""},
		"a set for a sequence":             {tlv(0x31, integerDER(3), sequenceDER(oidDER(oidData), explicitDER(octetsDER(empty)))), ErrFormat, ""},
		"contents in an application class": {sealed(sequenceDER(oidDER(oidData), tlv(0x60, octetsDER(empty)))), ErrFormat, ""},
		"a primitive sequence":             {sealed(tlv(0x10, oidDER(oidData), explicitDER(octetsDER(empty)))), ErrFormat, ""},
		"bytes after the safes":            {fileOf(append(sequenceDER(), 0)), ErrFormat, ""},
		"bytes after a safe's contents":    {sealed(sequenceDER(oidDER(oidData), explicitDER(octetsDER(append(sequenceDER(), 0))))), ErrFormat, ""},
		"a split string of other parts":    {fileOf(nil, tlv(0x24, integerDER(1))), ErrFormat, ""},
		"IV of 8 bytes for AES": {sealed(encryptedSafe(sequenceDER(oidDER(oidPBES2), sequenceDER(
			sequenceDER(oidDER(oidPBKDF2), sequenceDER(salt, integerDER(1))), sequenceDER(oidDER(oidAES256), octetsDER(make([]byte, 8))))), nil)), ErrFormat, ""},
		"PBES2 with a key of another length": {sealed(encryptedSafe(sequenceDER(oidDER(oidPBES2), sequenceDER(
			sequenceDER(oidDER(oidPBKDF2), sequenceDER(salt, integerDER(1), integerDER(16))), sequenceDER(oidDER(oidAES256), octetsDER(make([]byte, 16))))), nil)), ErrFormat, ""},
		"contents that are none":              {sealed(encryptedSafe(nonsense())), ErrFormat, "open"},
		"contents that are none, without MAC": {fileOf(sequenceDER(encryptedSafe(nonsense()))), ErrPassword, "open"},
		"a key that is none, without MAC":     {fileOf(sequenceDER(dataSafe(bagOf(oidShroudedBag, nonsenseKey())))), ErrPassword, "open"},
		"ciphertext of 9 bytes":               {sealed(encryptedSafe(pbe(salt, integerDER(1)), make([]byte, 9))), ErrFormat, "open"},
		"no ciphertext":                       {sealed(encryptedSafe(pbe(salt, integerDER(1)), nil)), ErrFormat, "open"},
		"garbage ciphertext":                  {sealed(encryptedSafe(pbe(salt, integerDER(1)), make([]byte, 64))), ErrPassword, "open"},
		"garbage key":                         {sealed(dataSafe(key(integerDER(1)))), ErrPassword, "open"},
		"wrong MAC":                           {fileOf(empty, macOf(oidSHA1, salt, integerDER(1))), ErrPassword, "open"},
		"MAC of no bytes": {
			fileOf(empty, sequenceDER(sequenceDER(sequenceDER(oidDER(oidSHA1)), octetsDER(nil)), salt, integerDER(1))),
			ErrPassword, "open",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), soon)
			defer cancel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, readErr := Read(row.file, DefaultLimits())
			bundle, openErr := Open(ctx, row.file, testPassword, DefaultLimits())
			runtime.ReadMemStats(&after)

			if bundle != nil || !errors.Is(openErr, row.want) {
				t.Errorf("Open: got %v, want %v", openErr, row.want)
			}
			if row.only == "" && !errors.Is(readErr, row.want) || row.only == "open" && readErr != nil {
				t.Errorf("Read: got %v", readErr)
			}
			if openErr != nil && (len(openErr.Error()) > 200 || strings.Contains(openErr.Error(), testPassword)) {
				t.Errorf("a long or telling error: %q", openErr)
			}
			// Hostile files of any size must not cost more than a good one of the largest size.
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 4<<20 {
				t.Errorf("%d bytes allocated for a file of %d", spent, len(row.file))
			}
			beside(t, name, row.file)
		})
	}
}

// beside holds a hand-made file to its committed copy and that to the facts beside it.
func beside(t *testing.T, name string, file []byte) {
	t.Helper()
	if len(file) > 4<<10 {
		return
	}
	stem := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
	if *update {
		writeFile(t, hostileFiles, stem+".pfx", file)
	}
	committed, err := os.ReadFile(filepath.Join(hostileFiles, stem+".pfx"))
	if err != nil || !bytes.Equal(committed, file) {
		t.Fatalf("%s.pfx is not what is built here (%v); go test ./pfx -run 'Hostile|Unsupported' -update writes it", stem, err)
	}
	bundle, err := Open(context.Background(), file, testPassword, DefaultLimits())
	k := know(file, bundle, err)
	k.Password = testPassword
	k.compare(t, filepath.Join(hostileFiles, stem+".json"))
}

// TestFloodsEndEarly gives floods to a caller who admits large files: what is counted ends them, before memory does.
func TestFloodsEndEarly(t *testing.T) {
	large := Limits{Size: 1 << 30}
	for name, file := range map[string][]byte{
		"bags":         sealed(dataSafe(bytes.Repeat(bagOf("1.2.3", nullDER()), 1e6))),
		"certificates": sealed(dataSafe(bytes.Repeat(certificateBag(theFamily().leaf), 2e4))),
		"safes":        sealed(bytes.Repeat(dataSafe(), 5e5)),
		"attributes":   sealed(dataSafe(bagOf("1.2.3", nullDER(), setDER(bytes.Repeat(attributeDER("1.2.3"), 1e6))))),
		"salt":         fileOf(sequenceDER(), macOf(oidSHA1, octetsDER(make([]byte, 8<<20)), integerDER(1))),
		"split salt":   fileOf(sequenceDER(), macOf(oidSHA1, tlv(0x24, bytes.Repeat([]byte{0x04, 0x01, 0x07}, 1e6)), integerDER(1))),
	} {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Open(ctx, file, testPassword, large)
		runtime.ReadMemStats(&after)
		cancel()
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v, want %v", name, err, ErrLimit)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 16<<20 {
			t.Errorf("%s: %d bytes allocated for a file of %d", name, spent, len(file))
		}
	}
}

// TestTruncation cuts files of every layout at every byte.
func TestTruncation(t *testing.T) {
	for _, name := range []string{"openssl-3des", "openssl-no-mac-clear", "java-2-keys", "nss-default", "gnutls-default"} {
		b := made(name)
		ctx, cancel := context.WithTimeout(context.Background(), soon) // enough for all cuts, not for a derivation at each
		for n := range b {
			if _, err := Open(ctx, b[:n], testPassword, DefaultLimits()); !errors.Is(err, ErrFormat) {
				t.Fatalf("%s cut to %d bytes: %v", name, n, err)
			}
		}
		cancel()
	}
}

func TestUnsupportedNamesTheOID(t *testing.T) {
	salt := octetsDER(make([]byte, 8))
	scheme := func(oid string) []byte { return sequenceDER(oidDER(oid), sequenceDER(salt, integerDER(1))) }
	for name, row := range map[string]struct {
		file []byte
		oid  string
	}{
		"RC4":            {sealed(encryptedSafe(scheme(oidPBERC4128), make([]byte, 8))), oidPBERC4128},
		"MD5 and DES":    {sealed(dataSafe(shroudedKey(scheme(oidPBEMD5DES)))), oidPBEMD5DES},
		"Camellia":       {sealed(dataSafe(shroudedKey(sequenceDER(oidDER(oidPBES2), sequenceDER(scheme(oidPBKDF2), sequenceDER(oidDER(oidCamellia256))))))), oidCamellia256},
		"scrypt":         {sealed(dataSafe(shroudedKey(sequenceDER(oidDER(oidPBES2), sequenceDER(scheme(oidScrypt), sequenceDER(oidDER(oidAES256), octetsDER(make([]byte, 16)))))))), oidScrypt},
		"MAC digest":     {fileOf(sequenceDER(), macOf("1.2.840.113549.2.5", salt, integerDER(1))), "1.2.840.113549.2.5"},
		"enveloped safe": {sealed(sequenceDER(oidDER(oidEnvelopedData), explicitDER(sequenceDER()))), oidEnvelopedData},
		"unknown safe":   {sealed(sequenceDER(oidDER("1.2.3.4"), explicitDER(sequenceDER()))), "1.2.3.4"},
		"signed":         {sequenceDER(integerDER(3), sequenceDER(oidDER(oidSignedData), explicitDER(sequenceDER()))), oidSignedData},
	} {
		t.Run(name, func(t *testing.T) {
			facts, err := Read(row.file, DefaultLimits())
			if err != nil || facts.Encryption != EncryptionUnknown {
				t.Errorf("Read: %v, %+v", err, facts)
			}
			_, err = Open(context.Background(), row.file, testPassword, DefaultLimits())
			var unsupported *UnsupportedError
			if !errors.As(err, &unsupported) || unsupported.OID != row.oid {
				t.Errorf("got %v, want one that names %s", err, row.oid)
			}
			beside(t, "unread "+name, row.file)
		})
	}
}

// TestDamage cuts a good file at every byte and flips every byte: each ends in an error, or in the same contents.
func TestDamage(t *testing.T) {
	p := testPack()
	p.Iterations, p.LocalMachine = 1, true
	good, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := Open(context.Background(), good[:n], testPassword, DefaultLimits()); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for n := range good {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			bad := bytes.Clone(good)
			bad[n] ^= flip
			got, err := Open(context.Background(), bad, testPassword, DefaultLimits())
			if err != nil {
				continue
			}
			if got.Facts.Integrity != IntegrityMAC || !got.LeafCertificate().Equal(p.Leaf) || len(got.Certificates) != 3 {
				t.Errorf("byte %d xor %#x: opened as something else, integrity %s", n, flip, got.Facts.Integrity)
			}
		}
	}
}

func TestOpenHonoursTheContext(t *testing.T) {
	for _, encryption := range []string{TripleDESSHA1, AES256SHA256} {
		p := testPack()
		p.Encryption = encryption
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := Open(ctx, b, testPassword, DefaultLimits()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", encryption, err)
		}
	}
	for _, d := range []string{oidSHA1, oidSHA256, oidSHA512} {
		ctx := &expiring{Context: context.Background(), looks: 2}
		h, _ := hashByOID(d)
		if _, err := pkcs12Key(ctx, h, nil, nil, 1<<30, forKey, 20); !errors.Is(err, context.Canceled) {
			t.Errorf("PKCS#12 with %s, cancelled while it derives: %v", h.name, err)
		}
		ctx = &expiring{Context: context.Background(), looks: 2}
		if _, err := pbkdf2Key(ctx, h, nil, nil, 1<<30, 20); !errors.Is(err, context.Canceled) {
			t.Errorf("PBKDF2 with %s, cancelled while it derives: %v", h.name, err)
		}
	}
}

// expiring is cancelled after somebody looked a few times.
type expiring struct {
	context.Context
	looks int
}

func (e *expiring) Err() error {
	if e.looks--; e.looks < 0 {
		return context.Canceled
	}
	return nil
}

func TestLimitsAreTheCallers(t *testing.T) {
	b, err := testPack().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]Limits{
		"size": {Size: len(b) - 1}, "depth": {Depth: 5}, "safes": {Safes: 1}, "bags": {Bags: 3},
		"iterations": {Iterations: 1999}, "work": {Work: 13999}, "salt": {Salt: 7},
	} {
		if _, err := Open(context.Background(), b, testPassword, l); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	exact := Limits{Size: len(b), Safes: 2, Bags: 4, Attributes: 1, Iterations: 2000, Work: 14000, Salt: 20}
	if _, err := Open(context.Background(), b, testPassword, exact); err != nil {
		t.Errorf("just enough: %v", err)
	}
}

// TestKeyDerivationDoesNotAllocatePerHash guards what makes a set of thirteen files open in an instant.
func TestKeyDerivationDoesNotAllocatePerHash(t *testing.T) {
	for _, oid := range []string{oidSHA1, oidSHA256, oidSHA384, oidSHA512} {
		d, _ := hashByOID(oid)
		p := passwords(testPassword)[0]
		n := testing.AllocsPerRun(3, func() {
			must(pkcs12Key(context.Background(), d, p.bmp, make([]byte, 8), 2000, forKey, 24))
			must(pbkdf2Key(context.Background(), d, p.utf8, make([]byte, 8), 2000, 32))
		})
		if n > 60 {
			t.Errorf("%s: %.0f allocations", d.name, n)
		}
	}
}
