package pepsim

import (
	"errors"
	"net"
	"strings"
	"testing"
)

// TestListensOnLoopbackOnly holds that no socket is open, not even for a moment, when one of the addresses is elsewhere.
func TestListensOnLoopbackOnly(t *testing.T) {
	const here = "127.0.0.1:0"
	for name, a := range map[string]Addresses{
		"every interface":      {WinRM: []string{here, "0.0.0.0:5999"}},
		"every interface, v6":  {WinRM: []string{"[::]:5999"}},
		"no host":              {WinRM: []string{":5999"}},
		"no address":           {WinRM: []string{""}},
		"another machine's":    {WinRM: []string{"10.0.0.1:5999"}},
		"a mapped address":     {WinRM: []string{"[::ffff:10.0.0.1]:5999"}},
		"a name":               {WinRM: []string{"localhost:5999"}},
		"no port":              {WinRM: []string{"127.0.0.1"}},
		"the endpoints":        {WinRM: []string{here}, TLS: "0.0.0.0:443"},
		"the control endpoint": {WinRM: []string{here}, Control: ":0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.listen(func(_, address string) (net.Listener, error) {
				t.Errorf("%s was opened", address)
				return nil, errors.New("not here")
			})
			if !errors.Is(err, ErrAddress) {
				t.Errorf("%v", err)
			}
		})
	}
	all := Addresses{WinRM: []string{"0.0.0.0:1"}, TLS: "0.0.0.0:2", Control: "0.0.0.0:3"}
	if _, err := all.Listen(); err == nil || strings.Count(err.Error(), "loopback") != 3 {
		t.Errorf("not every mistake at once: %v", err)
	}
}

func TestListensOnAllOrNone(t *testing.T) {
	a := Addresses{WinRM: []string{"127.0.0.1:0", "[::ffff:127.0.0.1]:0"}, TLS: "127.0.0.2:0", Control: "127.0.0.1:0"}
	l, err := a.Listen()
	if err != nil {
		t.Fatal(err)
	}
	taken := l.Control.Addr().String()
	var opened []net.Listener
	a.Control = taken
	_, err = a.listen(func(network, address string) (net.Listener, error) {
		one, err := net.Listen(network, address)
		if err == nil {
			opened = append(opened, one)
		}
		return one, err
	})
	if err == nil || len(opened) != 3 {
		t.Errorf("a taken port: %d opened, %v", len(opened), err)
	}
	for _, one := range opened {
		if _, err := one.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s was left open: %v", one.Addr(), err)
		}
	}
	l.Close()
}
