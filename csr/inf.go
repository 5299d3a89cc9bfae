package csr

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// INF is the request as a policy file for certreq -new on Windows, in its documented grammar: sections, key = value,
// strings in quotes. A subject cannot add a line: control characters never get past its check.
//
// The file is ASCII, or UTF-16 with a byte order mark when the subject holds other letters: what has no mark is read in
// the machine's code page (driver documentation, general Unicode requirement for INF files).
func (s Spec) INF() []byte {
	text := s.inf()
	if !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
		return []byte(text)
	}
	out := []byte{0xff, 0xfe} // little endian
	for _, u := range utf16.Encode([]rune(text)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

func (s Spec) inf() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("[Version]")
	line(`Signature = "$Windows NT$"`)
	line("")
	line("[NewRequest]")
	if len(s.subject) > 0 {
		subject, flags := s.windowsSubject()
		line("Subject = %s", infQuote(subject))
		if flags != 0 {
			line("X500NameFlags = 0x%x", flags)
		}
	}
	line("KeyLength = %d", s.KeyBits)
	line("KeyAlgorithm = RSA")
	line("HashAlgorithm = %s", s.Hash)
	line("KeyUsage = 0xa0")
	line("KeySpec = 1")
	line("MachineKeySet = TRUE")
	line("Exportable = TRUE")
	line("RequestType = PKCS10")
	line(`ProviderName = "Microsoft Enhanced RSA and AES Cryptographic Provider"`)
	line("ProviderType = 24") // PROV_RSA_AES: the type that this provider is registered under
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
	if len(s.subject) == 0 {
		line("Critical = 2.5.29.17") // as in the request itself
	}
	return b.String()
}

// semicolonFlag is CERT_NAME_STR_SEMICOLON_FLAG: only a semicolon separates, so that a comma is a letter like others.
const semicolonFlag = 0x40000000

// windowsSubject writes the subject as CertStrToName reads it, with the X500NameFlags to read it by: values are quoted
// when they hold a separator, quotes inside are doubled.
func (s Spec) windowsSubject() (subject string, flags uint32) {
	separator, special := ", ", `+="<>#;`
	if slices.ContainsFunc(s.subject, func(a Attribute) bool { return strings.Contains(a.Value, ",") }) {
		separator, flags = ";", semicolonFlag
	}
	parts := make([]string, len(s.subject))
	for i, a := range s.subject {
		v := a.Value
		if strings.ContainsAny(v, special) || strings.TrimSpace(v) != v {
			v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		}
		kind := a.Type
		if kind == "ST" {
			kind = "S"
		}
		parts[i] = kind + "=" + v
	}
	return strings.Join(parts, separator), flags
}

// infQuote writes a string of an INF file: a doubled quote stands for one, and a percent sign would name a string token.
func infQuote(s string) string {
	return `"` + strings.NewReplacer(`"`, `""`, "%", "%%").Replace(s) + `"`
}
