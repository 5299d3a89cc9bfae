package csr

import (
	"fmt"
	"slices"
	"strings"
)

// INF is the request as a policy file for certreq -new on Windows (its documented grammar: sections, key = value, quoted
// strings with doubled quotes). A subject cannot add a line: control characters never get past ParseSubject.
func (s Spec) INF() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("[Version]")
	line(`Signature = "$Windows NT$"`)
	line("")
	line("[NewRequest]")
	line("Subject = %s", infQuote(s.windowsSubject()))
	line("KeyLength = %d", s.KeyBits)
	line("KeyAlgorithm = RSA")
	line("HashAlgorithm = %s", s.Hash)
	line("KeyUsage = 0xa0")
	line("KeySpec = 1")
	line("MachineKeySet = TRUE")
	line("Exportable = TRUE")
	line("RequestType = PKCS10")
	line(`ProviderName = "Microsoft Enhanced RSA and AES Cryptographic Provider"`)
	line("")
	line("[EnhancedKeyUsageExtension]")
	line("OID = %s", serverAuth)
	if slices.Contains(s.EKU, "clientAuth") {
		line("OID = %s", clientAuth)
	}
	line("")
	line("[Extensions]")
	line(`2.5.29.17 = "{text}"`)
	for i, n := range s.Names {
		more := "&"
		if i == len(s.Names)-1 {
			more = ""
		}
		line(`_continue_ = "dns=%s%s"`, n, more)
	}
	return b.String()
}

// windowsSubject writes values as CertStrToName reads them: quoted when they hold a separator, quotes doubled.
func (s Spec) windowsSubject() string {
	parts := make([]string, len(s.subject))
	for i, a := range s.subject {
		v := a.Value
		if strings.ContainsAny(v, `,+="<>#;`) || strings.TrimSpace(v) != v {
			v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		}
		kind := a.Type
		if kind == "ST" {
			kind = "S"
		}
		parts[i] = kind + "=" + v
	}
	return strings.Join(parts, ", ")
}

// infQuote writes a string of an INF file: a doubled quote stands for one, and a percent sign would name a string token.
func infQuote(s string) string {
	return `"` + strings.NewReplacer(`"`, `""`, "%", "%%").Replace(s) + `"`
}
