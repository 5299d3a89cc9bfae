package pepsim

import (
	"fmt"
	"net"
	"time"
)

// created is the answer to a Create. The caller is the shell's only owner.
func (s *Server) created(sh *shell, c *conn) string {
	scheme := "http"
	if s.encrypted() {
		scheme = "https"
	}
	return fmt.Sprintf(`<x:ResourceCreated><a:Address>%s://%s/wsman</a:Address><a:ReferenceParameters><w:ResourceURI>%s</w:ResourceURI>`+
		`<w:SelectorSet><w:Selector Name="ShellId">%s</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>%s`,
		scheme, escape(c.net.LocalAddr().String()), escape(sh.uri), sh.id, sh.describe(s.now()))
}

// describe is rsp:Shell in the order of Windows Server 2016. The caller holds the shell's lock, or is its only owner.
func (sh *shell) describe(now time.Time) string {
	state, mode := "Connected", "Block"
	if !sh.connected {
		state = "Disconnected"
	}
	if sh.drop {
		mode = "Drop"
	}
	return fmt.Sprintf(`<rsp:Shell><rsp:ShellId>%s</rsp:ShellId><rsp:ResourceUri>%s</rsp:ResourceUri><rsp:Owner>%s</rsp:Owner><rsp:ClientIP>%s</rsp:ClientIP>`+
		`<rsp:ProcessId>4242</rsp:ProcessId><rsp:IdleTimeOut>PT%.3fS</rsp:IdleTimeOut><rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams>`+
		`<rsp:MaxIdleTimeOut>PT2147483.647S</rsp:MaxIdleTimeOut><rsp:Locale>%s</rsp:Locale><rsp:DataLocale>%s</rsp:DataLocale><rsp:CompressionMode>NoCompression</rsp:CompressionMode>`+
		`<rsp:ProfileLoaded>Yes</rsp:ProfileLoaded><rsp:Encoding>UTF8</rsp:Encoding><rsp:BufferMode>%s</rsp:BufferMode><rsp:State>%s</rsp:State>`+
		`<rsp:ShellRunTime>%s</rsp:ShellRunTime><rsp:ShellInactivity>%s</rsp:ShellInactivity></rsp:Shell>`,
		sh.id, escape(sh.uri), escape(sh.owner), escape(ipOf(sh.client)), sh.idle.Seconds(),
		escape(orDefault(sh.language, "en-US")), escape(orDefault(sh.culture, "en-US")), mode, state, dayForm(now.Sub(sh.began)), dayForm(now.Sub(sh.used)))
}

// ipOf is an address without its port.
func ipOf(a net.Addr) string {
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}

// dayForm writes a duration as P0DT0H0M0S, as Windows does.
func dayForm(d time.Duration) string {
	n := max(int64(d/time.Second), 0)
	return fmt.Sprintf("P%dDT%dH%dM%dS", n/86400, n/3600%24, n/60%60, n%60)
}
