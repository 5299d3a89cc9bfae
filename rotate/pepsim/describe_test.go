package pepsim

import (
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAShellDescribesItself as it is: who made it, from where, how long ago, and whether anybody is there.
func TestAShellDescribesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHand(t, east())
		holds := func(got string, want ...string) {
			t.Helper()
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("no %s in %s", w, got)
				}
			}
		}
		holds(h.created, "<a:Address>http://127.0.0.1:5985/wsman</a:Address>", "<rsp:State>Connected</rsp:State>", "<rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime>")
		get := func() string { return h.operate(actTrans+"Get", "", "") }
		time.Sleep(26*time.Hour/24 + 3*time.Second) // of the bubble's clock, below the idle time
		holds(get(), "<rsp:ClientIP>::1</rsp:ClientIP>", "<rsp:Locale>de-DE</rsp:Locale>", "<rsp:DataLocale>fr-FR</rsp:DataLocale>", "<rsp:BufferMode>Block</rsp:BufferMode>",
			"<rsp:ShellRunTime>P0DT1H5M3S</rsp:ShellRunTime>", "<rsp:ShellInactivity>P0DT1H5M3S</rsp:ShellInactivity>")
		h.operate(actShell+"Disconnect", "", `<rsp:Disconnect><rsp:BufferMode>Drop</rsp:BufferMode></rsp:Disconnect>`)
		holds(get(), "<rsp:State>Disconnected</rsp:State>", "<rsp:BufferMode>Drop</rsp:BufferMode>", "<rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity>")
		h.operate(actShell+"Reconnect", "", "")
		holds(get(), "<rsp:State>Connected</rsp:State>", "<rsp:BufferMode>Block</rsp:BufferMode>")

		cfg := east()
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		holds(newHand(t, cfg).created, "<a:Address>https://127.0.0.1:5985/wsman</a:Address>")
	})
}
