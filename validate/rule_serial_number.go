package validate

import (
	"fmt"
	"math/big"
	"strings"
)

var serialNumber = Rule{
	ID: "serial-number", Name: "Serial Number", Severity: Caution, Reads: ReadsCertificates,
	About: "Every certificate of the chain has a positive serial number of at most 20 octets.",
	Check: func(s *Subject) Judgement {
		var odd []string
		for _, c := range s.Chain {
			if what := oddSerial(c.SerialNumber); what != "" {
				odd = append(odd, what+" in "+quote(c.Subject.String()))
			}
		}
		if len(odd) == 0 {
			return pass("")
		}
		return warn(strings.Join(odd, "; "), "a positive number of at most 20 octets",
			"ask the CA for a certificate as RFC 5280 has it: Windows reads this one, newer programs refuse it")
	},
}

func oddSerial(n *big.Int) string {
	const mostBits = 20*8 - 1 // the sign takes the last bit
	switch {
	case n.Sign() < 0:
		return "a negative serial number"
	case n.Sign() == 0:
		return "serial number 0"
	case n.BitLen() > mostBits:
		return fmt.Sprintf("a serial number of %d octets", n.BitLen()/8+1)
	}
	return ""
}
