package stamp

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

const (
	namePattern  = `^[a-z0-9][a-z0-9-]{0,62}$`
	labelPattern = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	fqdnPattern  = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`
	pinPattern   = `^sha256:[0-9a-f]{64}$`
)

var (
	nameForm  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(namePattern) })
	labelForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(labelPattern) })
	fqdnForm  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(fqdnPattern) })
	// Underscores are no host names by RFC 1123, but Windows machines have them.
	hostForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)
	})
)

// checkHost accepts a DNS name or an IP address, in the one spelling that every program reads alike. inet_aton's other
// spellings (127.1, 0x7f000001, 2130706433) are refused, because they would get past the loopback rule.
func checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return checkAddress(a)
	}
	if host == "" {
		return errors.New("the host is empty")
	}
	if len(host) > 253 || !hostForm().MatchString(host) {
		return fmt.Errorf("%s is not a host name or an IP address", quoted(host))
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last[0] >= '0' && last[0] <= '9' {
		return fmt.Errorf("%s is not a host name or an IP address: write IPv4 as four numbers", quoted(host))
	}
	return nil
}

func checkAddress(a netip.Addr) error {
	switch {
	case a.Zone() != "":
		return errors.New("an IPv6 zone names an interface of one machine only: leave it out")
	case a.Unmap().IsUnspecified():
		return fmt.Errorf("%s is no address to connect to", a)
	case a.Unmap().IsMulticast() || a.Unmap() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s is the address of many, not of one host", a)
	}
	return nil
}

// isLoopback reports whether a valid host surely means this machine.
func isLoopback(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	h := strings.ToLower(strings.TrimSuffix(host, "."))
	return h == "localhost" || strings.HasSuffix(h, ".localhost")
}

// splitHost reads host, host:port, [v6]:port or a bare v6 address. Port is 0 when none is written.
func splitHost(s string) (host string, port int, err error) {
	host = s
	if a, perr := netip.ParseAddr(s); perr == nil {
		return s, 0, checkAddress(a)
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		var tail string
		host, tail, ok = strings.Cut(rest, "]")
		a, perr := netip.ParseAddr(host)
		if !ok || perr != nil || !a.Is6() {
			return "", 0, fmt.Errorf("%s: brackets hold an IPv6 address", quoted(s))
		}
		if tail != "" {
			if port, err = parsePort(strings.TrimPrefix(tail, ":")); err != nil || tail[0] != ':' {
				return "", 0, fmt.Errorf("%s: a port from 1 to 65535 follows the bracket", quoted(s))
			}
		}
		return host, port, checkAddress(a)
	}
	if h, p, ok := strings.Cut(s, ":"); ok {
		if port, err = parsePort(p); err != nil {
			return "", 0, fmt.Errorf("%s: %w", quoted(s), err)
		}
		host = h
	}
	return host, port, checkHost(host)
}

// CheckHost accepts what splitHost reads.
func CheckHost(s string) error {
	_, _, err := splitHost(s)
	return err
}

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("%s is not a port from 1 to 65535", quoted(s))
	}
	return n, nil
}

// checkUser accepts DOMAIN\user, user@domain and user, as Windows does.
func checkUser(s string) error {
	if s != strings.TrimSpace(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%s is not a user name: spaces at the edges or control characters", quoted(s))
	}
	domain, user, both := strings.Cut(s, `\`)
	switch {
	case both && (domain == "" || user == "" || strings.ContainsAny(user, `\/`)):
		return fmt.Errorf(`%s is not a user name: write DOMAIN\user, user@domain or user`, quoted(s))
	case s == "" || len(s) > 256:
		return errors.New("a user name has 1 to 256 characters")
	case strings.ContainsAny(s, `"/[]:;|=,+*?<>`):
		return fmt.Errorf("%s is not a user name: Windows allows none of \" / [ ] : ; | = , + * ? < >", quoted(s))
	}
	return nil
}
