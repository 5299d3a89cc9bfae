package pfx

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/certstamp/certstamp/internal/amount"
)

// Repair makes a pack from b: key and leaf as they are, the chain completed from extra, put in order and rid of
// strangers. The rest comes from to (password, encryption, iterations, attributes, randomness); CSP and friendly name are
// kept where to leaves them empty. The changes are sentences for a person, one per difference between file and pack; none
// means that the file needs no repair. Names, key size, dates and signatures need a new request, not a repair.
//
// The file must have been opened and have a leaf. Where extra does not complete the chain, the pack's ends early: [SelfSigned]
// tells of its last certificate.
func Repair(b *Bundle, extra []*x509.Certificate, to Pack) (p Pack, changes []string, err error) {
	leaf, i := b.LeafCertificate(), b.leafKey()
	switch {
	case len(b.Keys) == 0:
		return Pack{}, nil, errors.New("repair: the file holds no private key")
	case b.Keys[0].Err != nil && b.Leaf < 0:
		return Pack{}, nil, fmt.Errorf("repair: %w", b.Keys[0].Err)
	case b.Leaf < 0 || i < 0:
		return Pack{}, nil, errors.New("repair: no certificate in the file belongs to its key")
	case leaf == nil:
		return Pack{}, nil, fmt.Errorf("repair: the certificate of the key cannot be read: %w", b.Certificates[b.Leaf].Err)
	}
	key := b.Keys[i]
	p = to
	p.Key, p.Leaf = key.Signer, leaf
	p.CSP, p.FriendlyName = cmp.Or(to.CSP, key.Facts.CSP), cmp.Or(to.FriendlyName, key.Facts.FriendlyName)
	p.Encryption = cmp.Or(to.Encryption, TripleDESSHA1)

	have := b.X509()
	chain, _ := Walk(leaf, append(slices.Clone(have), extra...))
	p.Chain = chain[1:]
	changes = append(chainChanges(have, chain), unread(b)...)
	return p, append(changes, p.wrapping(b, key)...), nil
}

func chainChanges(have, chain []*x509.Certificate) (changes []string) {
	var kept []*x509.Certificate // what stays, in file order
	for _, c := range have {
		switch {
		case !slices.ContainsFunc(chain, c.Equal):
			changes = append(changes, fmt.Sprintf("drop %q, which is not part of the chain", c.Subject))
		case slices.ContainsFunc(kept, c.Equal):
			changes = append(changes, fmt.Sprintf("drop a duplicate of %q", c.Subject))
		default:
			kept = append(kept, c)
		}
	}
	var was []*x509.Certificate // what stays, in chain order
	for _, c := range chain {
		if slices.ContainsFunc(kept, c.Equal) {
			was = append(was, c)
		} else {
			changes = append(changes, fmt.Sprintf("add %q to the chain", c.Subject))
		}
	}
	if !slices.EqualFunc(kept, was, (*x509.Certificate).Equal) {
		changes = append(changes, "put the certificates in order, leaf first")
	}
	return changes
}

func unread(b *Bundle) (changes []string) {
	for i, c := range b.Certificates {
		if c.X509 == nil {
			changes = append(changes, fmt.Sprintf("drop certificate %d, which cannot be read: %v", i+1, c.Err))
		}
	}
	if n := len(b.Facts.OtherBags); n > 0 {
		changes = append(changes, fmt.Sprintf("drop what holds neither key nor certificate: %s", amount.Of(n, "bag")))
	}
	if n := len(b.Keys) - 1; n > 0 {
		changes = append(changes, "drop "+amount.Of(n, "more private key"))
	}
	return changes
}

// wrapping compares everything around key and certificates.
func (p Pack) wrapping(b *Bundle, key Key) (changes []string) {
	say := func(differs bool, format string, a ...any) {
		if differs {
			changes = append(changes, fmt.Sprintf(format, a...))
		}
	}
	f := b.Facts
	say(f.Encryption != p.Encryption, "encrypt with %s instead of %s (%s)", p.Encryption, f.Encryption, f.EncryptionDetail)
	say(p.LocalMachine && !key.Facts.LocalMachine, "set the local-machine attribute")
	say(!p.LocalMachine && key.Facts.LocalMachine, "remove the local-machine attribute")
	say(p.CSP != key.Facts.CSP, "name the provider %q instead of %q", p.CSP, key.Facts.CSP)
	say(p.FriendlyName != key.Facts.FriendlyName, "name it %q instead of %q", p.FriendlyName, key.Facts.FriendlyName)
	say(f.BER, "encode in DER instead of BER")
	say(f.Trailing > 0, "drop %s after the end of the file", amount.Of(f.Trailing, "byte"))
	return changes
}
