package live

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openssl runs openssl s_server, a server that shares no code with us, and returns its address.
func openssl(t *testing.T, ca authority, args ...string) (address, leaf string) {
	t.Helper()
	c := ca.leaf(t, 2, "portal."+zone)
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"leaf.pem": {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
		"ca.pem":   {Type: "CERTIFICATE", Bytes: c.Certificate[1]},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "openssl", append([]string{
		"s_server", "-accept", "127.0.0.1:0", "-cert", "leaf.pem", "-key", "key.pem", "-cert_chain", "ca.pem", "-www",
	}, args...)...)
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatalf("openssl is needed by this test: %v", err)
	}
	lines := bufio.NewScanner(out)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if at, ok := strings.CutPrefix(lines.Text(), "ACCEPT "); ok {
			address = at
			break
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
		}
	}()
	t.Cleanup(func() { cancel(); <-drained; cmd.Wait() })
	if _, _, err := net.SplitHostPort(address); err != nil {
		t.Fatalf("openssl said %q, want ACCEPT with an address", said)
	}
	return address, digest(c.Leaf)
}

func TestObserveOpenSSL(t *testing.T) {
	ca := newAuthority(t)
	for _, row := range []struct {
		claim string
		args  []string
	}{
		{"TLS 1.3", []string{"-tls1_3"}},
		{"TLS 1.2", []string{"-tls1_2"}},
		{"TLS 1.2 without session tickets", []string{"-tls1_2", "-no_ticket"}},
		{"demands a client certificate, TLS 1.2", []string{"-tls1_2", "-Verify", "1", "-verify_return_error"}},
		{"demands a client certificate, TLS 1.3", []string{"-tls1_3", "-Verify", "1", "-verify_return_error"}},
	} {
		t.Run(row.claim, func(t *testing.T) {
			address, leaf := openssl(t, ca, row.args...)
			o := dialer()
			o.Samples = 4
			got := one(t, o, target(address))
			if j := Judge(got, Want{Planned: leaf}); j.Verdict != Match {
				t.Fatalf("%v: %v", j, got.Leaf().Err)
			}
			f := Check(got.Leaf(), ca.pool(), noon)
			if f.Name != nil || f.Valid != nil || f.Chain != nil {
				t.Errorf("name %v, valid %v, chain %v", f.Name, f.Valid, f.Chain)
			}
			if n := len(got.Leaf().Chain); n != 2 {
				t.Errorf("%d certificates served, want the leaf and its issuer", n)
			}
		})
	}
	t.Run("only TLS 1.1", func(t *testing.T) {
		address, _ := openssl(t, ca, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
		o := dialer()
		o.Timeout = 5 * time.Second
		if s := one(t, o, target(address)).Leaf(); s.Class != TLS || s.Err == nil {
			t.Errorf("got %+v, want a TLS failure", s)
		}
	})
}
