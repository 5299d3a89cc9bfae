// Package winrmtransport lets a client of github.com/masterzen/winrm speak over the transport of package wsman, and is the
// only one that knows that library. Its Endpoint, Parameters and Transporter fit; its own sealing transport does not, because
// it falls back to clear text, logs in for each message and panics on a short body.
//
// certstamp's own session does not go through it: the library's Client builds envelopes of the cmd shell only. So it is a
// package of its own, and the program does not carry the library.
package winrmtransport

import (
	"context"
	"fmt"
	"strings"

	"github.com/masterzen/winrm"
	"github.com/masterzen/winrm/soap"
)

// Exchanger is what a *wsman.Transport is.
type Exchanger interface {
	Exchange(ctx context.Context, envelope []byte) ([]byte, error)
	Peer() (host string, port int, tls bool)
}

// Transporter implements winrm.Transporter.
type Transporter struct{ e Exchanger }

var _ winrm.Transporter = Transporter{}

// New makes a Transporter. One must not be used by two clients at a time.
func New(e Exchanger) Transporter { return Transporter{e} }

// Transport refuses an endpoint that is not the one of the exchanger.
func (t Transporter) Transport(ep *winrm.Endpoint) error {
	host, port, tls := t.e.Peer()
	if !strings.EqualFold(ep.Host, host) || ep.Port != port || ep.HTTPS != tls {
		return fmt.Errorf("winrmtransport: the endpoint is %q port %d, the transport is for %q port %d", ep.Host, ep.Port, host, port)
	}
	return nil
}

// Post sends a message and returns the answer.
func (t Transporter) Post(_ *winrm.Client, m *soap.SoapMessage) (string, error) {
	b, err := t.e.Exchange(context.Background(), []byte(m.String()))
	return string(b), err
}

// Parameters makes a winrm.Client use an exchanger. operationTimeout is an xs:duration.
func Parameters(e Exchanger, operationTimeout, locale string, envelopeSize int) *winrm.Parameters {
	p := winrm.NewParameters(operationTimeout, locale, envelopeSize)
	p.TransportDecorator = func() winrm.Transporter { return New(e) }
	return p
}
