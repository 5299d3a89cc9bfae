package pfx

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/certstamp/certstamp/internal/amount"
)

// A Comparison is one fact of two files.
type Comparison struct {
	Fact          string // stable: "encryption", "local-machine", …
	Before, After string // for a person; they hold foreign text
}

// Compare puts two opened files side by side, fact by fact in a fixed order, those that are equal included: what a reviewer
// of a repaired file wants to see.
func Compare(before, after *Bundle) []Comparison {
	var out []Comparison
	for _, fact := range []struct {
		name string
		of   func(*Bundle) string
	}{
		{"encryption", func(b *Bundle) string { return b.Facts.Encryption }},
		{"ciphers", ciphersOf},
		{"mac", func(b *Bundle) string { return cmp.Or(b.Facts.MAC.Name, b.Facts.MAC.OID, none) }},
		{"iterations", iterationsOf},
		{"encoding", encodingOf},
		{"trailing", trailingOf},
		{"keys", keysOf},
		{"certificates", func(b *Bundle) string { return strconv.Itoa(len(b.Certificates)) }},
		{"leaf-position", leafPosition},
		{"chain", chainOf},
		{"strangers", strangersOf},
		{"other-bags", func(b *Bundle) string { return cmp.Or(strings.Join(b.Facts.OtherBags, ", "), none) }},
		{"unreadable", func(b *Bundle) string { return numbers(b, func(c Certificate) bool { return c.X509 == nil }) }},
		{"negative-serial", func(b *Bundle) string { return numbers(b, func(c Certificate) bool { return c.NegativeSerial }) }},
		{"local-machine", ofKey(func(k KeyFacts) string {
			if k.LocalMachine {
				return "yes"
			}
			return "no"
		})},
		{"csp", ofKey(func(k KeyFacts) string { return cmp.Or(k.CSP, none) })},
		{"friendly-name", ofKey(func(k KeyFacts) string { return cmp.Or(k.FriendlyName, none) })},
	} {
		out = append(out, Comparison{fact.name, fact.of(before), fact.of(after)})
	}
	return out
}

const none = "none"

// places names every place of a file that may be encrypted, with the algorithm there.
func places(b *Bundle, say func(place string, a Algorithm) string) string {
	var out []string
	for _, s := range b.Facts.Safes {
		if s.Kind != "data" {
			out = append(out, say("certificates", s.Cipher))
		}
	}
	if b.Facts.ClearCertificates > 0 {
		out = append(out, say("certificates", Algorithm{}))
	}
	for _, k := range b.Facts.Keys {
		out = append(out, say("key", k.Cipher))
	}
	slices.Sort(out)
	return cmp.Or(strings.Join(slices.Compact(out), ", "), none)
}

func ciphersOf(b *Bundle) string {
	return places(b, func(place string, a Algorithm) string { return place + " " + cmp.Or(a.Name, a.OID, "clear") })
}

func iterationsOf(b *Bundle) string {
	text := places(b, func(place string, a Algorithm) string { return fmt.Sprintf("%s %d", place, a.Iterations) })
	return fmt.Sprintf("%s, mac %d", text, b.Facts.MAC.Iterations)
}

func encodingOf(b *Bundle) string {
	if b.Facts.BER {
		return "BER"
	}
	return "DER"
}

func trailingOf(b *Bundle) string {
	switch {
	case b.Facts.Trailing == 0:
		return none
	case b.Facts.TrailingZeros:
		return amount.Of(b.Facts.Trailing, "zero byte")
	}
	return amount.Of(b.Facts.Trailing, "byte")
}

func keysOf(b *Bundle) string {
	var out []string
	for _, k := range b.Keys {
		out = append(out, cmp.Or(k.Algorithm, "unreadable"))
	}
	return cmp.Or(strings.Join(out, ", "), none)
}

func leafPosition(b *Bundle) string {
	if b.Leaf < 0 {
		return none
	}
	return fmt.Sprintf("%d of %d", b.Leaf+1, len(b.Certificates))
}

// chainOf names the leaf and its issuers, and what is wrong with their places in the file.
func chainOf(b *Bundle) string {
	leaf := b.LeafCertificate()
	if leaf == nil {
		return none
	}
	have := b.X509()
	list, _ := Walk(leaf, have)
	text := strings.Join(subjects(list), " < ")
	if top := list[len(list)-1]; !SelfSigned(top) {
		text += fmt.Sprintf(" < %q, which is missing", top.Issuer.String())
	}
	// Copies and strangers between them are facts of their own.
	var order []*x509.Certificate
	for _, c := range have {
		if slices.ContainsFunc(list, c.Equal) && !slices.ContainsFunc(order, c.Equal) {
			order = append(order, c)
		}
	}
	if !slices.EqualFunc(order, list, (*x509.Certificate).Equal) {
		text += " (not in this order)"
	}
	return text
}

func strangersOf(b *Bundle) string {
	_, rest := Walk(b.LeafCertificate(), b.X509())
	return cmp.Or(strings.Join(subjects(rest), ", "), none)
}

func subjects(list []*x509.Certificate) (out []string) {
	for _, c := range list {
		out = append(out, strconv.Quote(c.Subject.String()))
	}
	return out
}

// numbers lists the certificates that are so, counted from one as in messages.
func numbers(b *Bundle, so func(Certificate) bool) string {
	var out []string
	for i, c := range b.Certificates {
		if so(c) {
			out = append(out, fmt.Sprintf("certificate %d", i+1))
		}
	}
	return cmp.Or(strings.Join(out, ", "), none)
}

// ofKey asks the key of the leaf, else the first.
func ofKey(say func(KeyFacts) string) func(*Bundle) string {
	return func(b *Bundle) string {
		if len(b.Keys) == 0 {
			return none
		}
		return say(b.Keys[max(b.leafKey(), 0)].Facts)
	}
}
