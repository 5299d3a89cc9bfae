package pepsim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Addresses are where a stamp is to listen, each as IP:port of loopback; port 0 is a free one. The empty address of TLS
// or Control opens nothing.
type Addresses struct {
	WinRM   []string // the ERCS virtual machines
	TLS     string   // the external endpoints
	Control string   // orders and questions of a test
}

// ErrAddress means that an address is not one of loopback. Nothing was opened.
var ErrAddress = errors.New("wanted IP:port on loopback, such as 127.0.0.1:5985")

// Listen opens the addresses, or none of them. All are looked at before the first is opened: even for a moment a simulated
// stamp listens nowhere but on loopback, and a name could lead anywhere.
func (a Addresses) Listen() (Listeners, error) { return a.listen(net.Listen) }

func (a Addresses) listen(open func(network, address string) (net.Listener, error)) (Listeners, error) {
	var errs []error
	for _, address := range a.all() {
		if parsed, err := netip.ParseAddrPort(address); err != nil || !parsed.Addr().Unmap().IsLoopback() {
			errs = append(errs, fmt.Errorf("%q: %w", address, ErrAddress))
		}
	}
	if len(errs) > 0 {
		return Listeners{}, errors.Join(errs...)
	}
	var l Listeners
	one := func(address string) net.Listener {
		if address == "" || len(errs) > 0 {
			return nil
		}
		opened, err := open("tcp", address)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		return opened
	}
	for _, address := range a.WinRM {
		l.WinRM = append(l.WinRM, one(address))
	}
	l.TLS, l.Control = one(a.TLS), one(a.Control)
	if len(errs) > 0 {
		l.Close()
		return Listeners{}, errs[0]
	}
	return l, nil
}

func (a Addresses) all() []string {
	all := append([]string{}, a.WinRM...)
	for _, one := range []string{a.TLS, a.Control} {
		if one != "" {
			all = append(all, one)
		}
	}
	return all
}

// Close closes what is open. Serve has closed it by the time it returns.
func (l Listeners) Close() {
	for _, one := range l.all() {
		_ = one.Close()
	}
}
