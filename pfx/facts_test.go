package pfx

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // what localKeyId often is
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the facts beside the files of testdata/pfx, and the hostile files themselves")

const (
	madeFiles    = "../testdata/pfx/made"    // by scripts/pfx-fixtures.sh
	hostileFiles = "../testdata/pfx/hostile" // by TestHostile
)

// known is what stands beside a file in testdata: everything we say about it that does not change when the file is made
// again with new keys.
type known struct {
	Password    string      `json:"password"`
	ReadError   string      `json:"readError,omitempty"`
	OpenError   string      `json:"openError,omitempty"`
	Integrity   string      `json:"integrity,omitempty"`
	MAC         string      `json:"mac,omitempty"`
	BER         bool        `json:"ber,omitempty"`
	Trailing    int         `json:"trailing,omitempty"`
	Zeros       bool        `json:"trailingZeros,omitempty"`
	Encryption  string      `json:"encryption,omitempty"`
	Detail      string      `json:"encryptionDetail,omitempty"`
	Safes       []string    `json:"safes,omitempty"`
	OtherBags   []string    `json:"otherBags,omitempty"`
	Keys        []knownKey  `json:"keys,omitempty"`
	Certs       []knownCert `json:"certificates,omitempty"`
	Leaf        *int        `json:"leaf,omitempty"`
	LeafMatches []int       `json:"leafMatches,omitempty"`
	Chain       []string    `json:"chain,omitempty"`
	Strangers   []string    `json:"strangers,omitempty"`
}

type knownKey struct {
	Safe         int    `json:"safe"`
	Shroud       string `json:"shroud,omitempty"`
	SizeHint     string `json:"sizeHint,omitempty"`
	LocalMachine bool   `json:"localMachine,omitempty"`
	CSP          string `json:"csp,omitempty"`
	FriendlyName string `json:"friendlyName,omitempty"`
	LocalKeyID   string `json:"localKeyId,omitempty"`
	Algorithm    string `json:"algorithm,omitempty"`
	Error        string `json:"error,omitempty"`
}

type knownCert struct {
	Subject        string `json:"subject,omitempty"`
	Safe           int    `json:"safe"`
	FriendlyName   string `json:"friendlyName,omitempty"`
	LocalKeyID     string `json:"localKeyId,omitempty"`
	NegativeSerial bool   `json:"negativeSerial,omitempty"`
	Error          string `json:"error,omitempty"`
}

// know says what is known of b, once opened.
func know(b []byte, bundle *Bundle, err error) known {
	k := known{}
	facts, readErr := Read(b, DefaultLimits())
	if readErr != nil {
		k.ReadError = readErr.Error()
	}
	if err != nil {
		k.OpenError = err.Error()
	} else {
		facts = &bundle.Facts
		k.contents(bundle)
	}
	if facts == nil {
		return k
	}
	k.Integrity, k.BER, k.Trailing, k.Zeros = facts.Integrity, facts.BER, facts.Trailing, facts.TrailingZeros
	k.Encryption, k.Detail = facts.Encryption, facts.EncryptionDetail
	if facts.Integrity == IntegrityMAC || facts.Integrity == IntegrityPBMAC1 {
		k.MAC = fmt.Sprintf("%s, salt of %d bytes", facts.MAC.text(), facts.MAC.Salt)
	}
	for _, s := range facts.Safes {
		text := s.Kind
		if s.Kind != "data" {
			text += ", " + s.Cipher.text()
		}
		k.Safes = append(k.Safes, fmt.Sprintf("%s, %d bags", text, s.Bags))
	}
	k.OtherBags = facts.OtherBags
	for i, f := range facts.Keys {
		key := knownKey{
			Safe: f.Safe, SizeHint: f.SizeHint(), LocalMachine: f.LocalMachine, CSP: f.CSP, FriendlyName: f.FriendlyName,
			LocalKeyID: idText(f.LocalKeyID, bundle),
		}
		if f.Shrouded {
			key.Shroud = f.Cipher.text()
		}
		if bundle != nil {
			key.Algorithm = bundle.Keys[i].Algorithm
			if err := bundle.Keys[i].Err; err != nil {
				key.Error = err.Error()
			}
		}
		k.Keys = append(k.Keys, key)
	}
	return k
}

func (k *known) contents(b *Bundle) {
	k.Leaf, k.LeafMatches = &b.Leaf, b.LeafMatches
	for _, c := range b.Certificates {
		one := knownCert{Safe: c.Safe, FriendlyName: c.FriendlyName, LocalKeyID: idText(c.LocalKeyID, b), NegativeSerial: c.NegativeSerial}
		if c.X509 != nil {
			one.Subject = c.X509.Subject.String()
		}
		if c.Err != nil {
			one.Error = c.Err.Error()
		}
		k.Certs = append(k.Certs, one)
	}
	chain, rest := Walk(b.LeafCertificate(), b.X509())
	k.Chain = names(chain)
	k.Strangers = names(rest)
}

// idText names a localKeyId by what it is made of, because most of them change with the key.
func idText(id []byte, b *Bundle) string {
	var leaf []byte
	if b != nil && b.Leaf >= 0 {
		sum := sha1.Sum(b.Certificates[b.Leaf].Raw) //nolint:gosec // see above
		leaf = sum[:]
	}
	switch {
	case len(id) == 0:
		return ""
	case bytes.Equal(id, leaf):
		return "SHA-1 of the leaf"
	case len(id) == 4:
		return hex.EncodeToString(id)
	case bytes.HasPrefix(id, []byte("Time ")):
		return "Time …"
	}
	return fmt.Sprintf("%d bytes", len(id))
}

// compare holds what is known of a file to the facts beside it, or writes them.
func (k known) compare(t *testing.T, facts string) {
	t.Helper()
	if *update {
		text, err := json.MarshalIndent(k, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Dir(facts), filepath.Base(facts), append(text, '\n'))
		return
	}
	var want known
	text, err := os.ReadFile(facts)
	if err == nil {
		err = json.Unmarshal(text, &want)
	}
	if err != nil {
		t.Fatalf("%v; go test ./pfx -update writes it", err)
	}
	if diff := cmp.Diff(want, k); diff != "" {
		t.Errorf("facts differ from %s (-want +got):\n%s", facts, diff)
	}
}
