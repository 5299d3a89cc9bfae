// Package wsman carries PowerShell remoting over WS-Management (MS-WSMV): SOAP envelopes in HTTP posts, with NTLM that
// seals every body (MS-NLMP) on HTTP, or TLS with a pinned certificate or authority, and the seal inside where the host
// takes it.
//
// Dial opens a session on one host, Session.Invoke runs a cmdlet, and Run hands out its records while they arrive. A
// session has two connections, because a Receive blocks the one it waits on for up to a minute.
//
// What it never does: send credentials or a body in clear, follow a redirect, use a proxy, offer Basic, log a payload,
// try a password again that was refused, or send a changing command twice. Cancelling a context leaves the pipeline
// running on the server, and nothing stops one.
package wsman

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/certstamp/certstamp/internal/secret"
)

// Password makes a Config.Password of text. What it returns shows itself nowhere.
func Password(text string) secret.Value { return secret.New(text) }

// Config names a host, the way to it and the login.
type Config struct {
	Host     string // name or address, without port
	Port     int    // 5985, or 5986 with TLS, when zero
	TLS      bool
	Pin      string         // SHA-256 of the host's certificate in hexadecimal, with or without colons; needs TLS
	CAs      *x509.CertPool // authorities that may have issued the host's certificate; with TLS, Pin or CAs is needed
	User     string         // DOMAIN\user, user@domain or user
	Password secret.Value   // made by Password, or by the secret package inside this module
	Gate     *Gate          // counts what becomes of the password; one of its own when nil

	Configuration string // the session configuration; PrivilegedEndpoint when empty
	Locale        string // of the session's texts; en-US when empty, as the documentation of the endpoint demands

	// AllowHosts, when not empty, is the list of hosts that may be dialled at all.
	AllowHosts []string

	Dial             func(ctx context.Context, network, address string) (net.Conn, error) // a plain net.Dialer when nil
	Rand             io.Reader                                                            // crypto/rand when nil
	Logger           *slog.Logger                                                         // operations, sizes and codes; silent when nil
	Wait             func(ctx context.Context, d time.Duration) error                     // between attempts; a timer when nil
	OperationTimeout time.Duration                                                        // how long the server holds an empty Receive; 60 s when zero
	RecoveryWindow   time.Duration                                                        // how long a lost connection is sought again; 10 min when zero
	IdleTimeout      time.Duration                                                        // after which the server drops an unused shell; its own default when zero
	InvocationInfo   bool                                                                 // see psrp.Config

	// Record, when not nil, gets a scrubbed recording of the session (see Leader), and is closed with it. Hide are secrets
	// beyond the password and those among the parameters, should the host know and repeat them.
	Record io.WriteCloser
	Hide   []secret.Value

	inside *inside            // what a host does with sealed bodies inside TLS
	key    *rsa.PrivateKey    // of the key exchange; drawn when needed if nil
	lanes  func() (a, b lane) // the ways to the host; connections when nil
}

// Options of one Invoke.
type Options struct {
	// AtMostOnce marks a cmdlet that changes something: once a byte of its Command has reached the connection, it is
	// never sent again.
	AtMostOnce bool
}

const (
	maxEnvelope  = 153600 // works with every Windows; newer ones take 512000
	maxBody      = 8 << 20
	fragmentSize = (maxEnvelope - 4096) / 4 * 3 // leaves room for the envelope around base64
	dialTimeout  = 15 * time.Second
	loginTimeout = 30 * time.Second
	graceTimeout = 30 * time.Second // beyond OperationTimeout, for the answer to arrive
	closeTimeout = 10 * time.Second
)

var (
	hostText   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._:-]{1,253}$`) })
	nameText   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`) })
	localeText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9-]{2,32}$`) })
)

// resolved returns the configuration with every default filled in, or says what is wrong with it.
func (c Config) resolved() (Config, error) {
	if c.Port == 0 {
		c.Port = 5985
		if c.TLS {
			c.Port = 5986
		}
	}
	if c.Configuration == "" {
		c.Configuration = "PrivilegedEndpoint"
	}
	if c.Locale == "" {
		c.Locale = "en-US"
	}
	switch {
	case !hostText().MatchString(c.Host):
		return c, fmt.Errorf("wsman: %.64q is not a host", c.Host)
	case c.Port < 1 || c.Port > 65535:
		return c, fmt.Errorf("wsman: port %d, want 1 to 65535", c.Port)
	case len(c.AllowHosts) > 0 && !slices.ContainsFunc(c.AllowHosts, func(h string) bool { return strings.EqualFold(h, c.Host) }):
		return c, fmt.Errorf("wsman: %q is not among the hosts that may be dialled", c.Host)
	case c.User == "" || c.Password.Reveal() == "":
		return c, errors.New("wsman: a user and a password are needed, an anonymous login proves nothing")
	case !nameText().MatchString(c.Configuration):
		return c, fmt.Errorf("wsman: %.64q is not the name of a session configuration", c.Configuration)
	case !localeText().MatchString(c.Locale):
		return c, fmt.Errorf("wsman: %.64q is not a locale", c.Locale)
	case !c.TLS && (c.Pin != "" || c.CAs != nil):
		return c, errors.New("wsman: a pin or authority without TLS would not be looked at")
	case c.TLS && c.Pin == "" && c.CAs == nil:
		return c, errors.New("wsman: TLS needs the pin of the host's certificate or an authority, NTLM does not prove the host")
	}
	if c.Pin != "" {
		c.Pin = strings.ToLower(strings.ReplaceAll(c.Pin, ":", ""))
		if b, err := hex.DecodeString(c.Pin); err != nil || len(b) != sha256.Size {
			return c, errors.New("wsman: the pin is not a SHA-256 in hexadecimal")
		}
	}
	if c.Gate == nil {
		c.Gate = &Gate{}
	}
	c.inside = &inside{}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Wait == nil {
		c.Wait = wait
	}
	if c.OperationTimeout == 0 {
		c.OperationTimeout = 60 * time.Second
	}
	if c.RecoveryWindow == 0 {
		c.RecoveryWindow = 10 * time.Minute
	}
	if c.OperationTimeout < 0 || c.RecoveryWindow < 0 || c.IdleTimeout < 0 {
		return c, errors.New("wsman: a time-out is negative")
	}
	return c, nil
}

func (c Config) address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

func (c Config) url() string {
	if c.TLS {
		return "https://" + c.address() + path
	}
	return "http://" + c.address() + path
}

const path = "/wsman"

// login splits the user into what the AUTHENTICATE message carries. A UPN goes whole, with an empty domain.
func (c Config) login() (domain, user string) {
	if domain, user, ok := strings.Cut(c.User, `\`); ok {
		return domain, user
	}
	return "", c.User
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
