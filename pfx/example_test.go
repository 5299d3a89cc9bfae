package pfx_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/certstamp/certstamp/pfx"
)

// What a pull request shows to everybody, and what the password adds.
func Example() {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "portal.east.contoso.com"},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	file, err := pfx.Pack{Key: key, Leaf: leaf, Password: "Correct1Horse", LocalMachine: true}.Encode()
	if err != nil {
		panic(err)
	}

	facts, err := pfx.Read(file, pfx.DefaultLimits())
	if err != nil {
		panic(err)
	}
	fmt.Println(facts.EncryptionDetail)
	fmt.Println(facts.Encryption, facts.Keys[0].SizeHint(), facts.Keys[0].LocalMachine)

	bundle, err := pfx.Open(context.Background(), file, "Correct1Horse", pfx.DefaultLimits())
	if err != nil {
		panic(err)
	}
	fmt.Println(bundle.LeafCertificate().Subject, pfx.SelfSigned(bundle.LeafCertificate()))
	// Output:
	// certificates 3DES (2000 iterations), key 3DES (2000 iterations), MAC SHA1 (2000 iterations)
	// TripleDES-SHA1 Ed25519 true
	// CN=portal.east.contoso.com true
}
