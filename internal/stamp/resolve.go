package stamp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Resolution answers a name without DNS, in the form curl made known: NAME:PORT:ADDRESS[:PORT]. An IPv6 address stands
// in brackets. NAME * answers every name that has no entry of its own. Several entries of one name are several front
// ends, each of which is asked.
type Resolution struct {
	Name    string // lower case, or *
	Port    int
	Address netip.AddrPort
}

// ParseResolution reads one entry.
func ParseResolution(s string) (Resolution, error) {
	const form = "NAME:PORT:ADDRESS or NAME:PORT:ADDRESS:PORT"
	name, rest, ok := strings.Cut(s, ":")
	portText, address, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return Resolution{}, fmt.Errorf("%s is not of the form %s", quoted(s), form)
	}
	port, err := parsePort(portText)
	if err != nil {
		return Resolution{}, fmt.Errorf("%s: %w", quoted(s), err)
	}
	if name != "*" {
		if _, err := netip.ParseAddr(name); err == nil {
			return Resolution{}, fmt.Errorf("%s: an address needs no answer, only a name does", quoted(s))
		}
		if err := checkHost(name); err != nil {
			return Resolution{}, fmt.Errorf("%s: %w", quoted(s), err)
		}
	}
	host, to, err := splitHost(address)
	if err != nil {
		return Resolution{}, fmt.Errorf("%s: %w", quoted(s), err)
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return Resolution{}, fmt.Errorf("%s: %s is not an IP address", quoted(s), quoted(host))
	}
	if a.Is6() && !strings.HasPrefix(address, "[") {
		return Resolution{}, fmt.Errorf("%s: an IPv6 address stands in brackets", quoted(s))
	}
	if to == 0 {
		to = port
	}
	return Resolution{Name: strings.ToLower(name), Port: port, Address: netip.AddrPortFrom(a.Unmap(), uint16(to))}, nil
}

// String is the entry in full, with both ports.
func (r Resolution) String() string {
	return r.Name + ":" + strconv.Itoa(r.Port) + ":" + r.Address.String()
}

// ErrResolve is wrapped when an entry of a resolve list does not parse.
var ErrResolve = errors.New("bad resolve entry")

// Addresses looks host and port up in a resolve list, as the stamp file or a plan holds it, and returns address:port for
// each answer. Entries of the name itself come before entries of *; no answer means: ask DNS.
func Addresses(resolve []string, host string, port int) ([]string, error) {
	var exact, any []string
	for _, entry := range resolve {
		r, err := ParseResolution(entry)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrResolve, err)
		}
		switch {
		case r.Port != port:
		case r.Name == strings.ToLower(host):
			exact = append(exact, r.Address.String())
		case r.Name == "*":
			any = append(any, r.Address.String())
		}
	}
	if len(exact) > 0 {
		return exact, nil
	}
	return any, nil
}

// Addresses answers for one of the stamp's hosts: see the function of the same name.
func (s *Stamp) Addresses(host string, port int) []string {
	found, err := Addresses(s.Resolve, host, port)
	if err != nil {
		panic("stamp: a loaded resolve list does not parse: " + err.Error()) // Load has read every entry
	}
	return found
}

// withPort joins a host of the file with its port, or with the default.
func withPort(s string, otherwise int) string {
	host, port, err := splitHost(s)
	if err != nil {
		return s
	}
	if port == 0 {
		port = otherwise
	}
	return net.JoinHostPort(strings.ToLower(host), strconv.Itoa(port))
}
