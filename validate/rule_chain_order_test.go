package validate

import (
	"crypto/x509"
	"slices"
	"testing"
)

func TestChainOrder(t *testing.T) {
	const leaf, issuing, root, stranger = 0, 1, 2, 3
	for _, row := range []struct {
		claim string
		order []int
		want  Result
	}{
		{"upwards", []int{leaf, issuing, root}, OK},
		{"downwards", []int{root, issuing, leaf}, OK},
		{"leaf, root, issuing", []int{leaf, root, issuing}, Fail},
		{"issuing, leaf, root", []int{issuing, leaf, root}, Fail},
		{"issuing, root, leaf", []int{issuing, root, leaf}, Fail},
		{"root, leaf, issuing", []int{root, leaf, issuing}, Fail},
		{"a stranger between is Other Certificates' business", []int{leaf, stranger, issuing, root}, OK},
		{"and so is a second copy", []int{leaf, issuing, leaf, root}, OK},
		{"leaf alone", []int{leaf}, OK},
	} {
		t.Run(row.claim, func(t *testing.T) {
			s := subject(t, "2301", "ACSBlob", nil)
			all := slices.Concat(s.Certificates, []*x509.Certificate{cas().otherRoot.cert})
			var file []*x509.Certificate
			for _, i := range row.order {
				file = append(file, all[i])
			}
			s.take(file, s.Leaf)
			check(t, chainOrder.Check(s), row.want)
		})
	}
}
