package validate

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

var chainOrder = Rule{
	ID: "chain-order", Name: "Chain Order", Severity: Error, Reads: ReadsCertificates, Sealed: true,
	About: "The certificates lie in the order of issue, upwards or downwards.",
	Check: func(s *Subject) Judgement {
		positions := chainPositions(s.Certificates, s.Chain)
		up := slices.Clone(positions)
		slices.Sort(up)
		down := slices.Clone(up)
		slices.Reverse(down)
		if slices.Equal(positions, up) || slices.Equal(positions, down) {
			return pass("")
		}
		var names []string
		for _, p := range positions {
			names = append(names, place(p, len(s.Chain)))
		}
		return fail(strings.Join(names, ", "), "certificate, issuing CA, …, root, or the reverse",
			"export the certificate alone with all certificates of its path, or run certstamp pack --repair")
	},
}

// chainPositions lists, in file order, which place of the chain each certificate has. Strangers and second copies are
// left out: they are Other Certificates' business.
func chainPositions(file, chain []*x509.Certificate) []int {
	var out []int
	for _, c := range file {
		if i := slices.IndexFunc(chain, c.Equal); i >= 0 && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

func place(i, n int) string {
	switch i {
	case 0:
		return "certificate"
	case n - 1:
		return "root"
	default:
		return fmt.Sprintf("CA %d", i)
	}
}
