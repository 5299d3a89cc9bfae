package wsman

import (
	"context"
	"fmt"
	"strings"

	"github.com/masterzen/winrm"
	"github.com/masterzen/winrm/soap"
)

// This file is the only one that knows github.com/masterzen/winrm. Its Endpoint, Parameters and Transporter fit here;
// its own sealing transport does not, because it falls back to clear text, logs in for each message and panics on a
// short body, and its Client builds only envelopes of the cmd shell.
var _ winrm.Transporter = (*Transport)(nil)

// Transport implements winrm.Transporter: it refuses an endpoint that is not the one of the configuration.
func (t *Transport) Transport(ep *winrm.Endpoint) error {
	if !strings.EqualFold(ep.Host, t.cfg.Host) || ep.Port != t.cfg.Port || ep.HTTPS != t.cfg.TLS {
		return fmt.Errorf("wsman: the endpoint is %q port %d, the transport is for %s", ep.Host, ep.Port, t.cfg.url())
	}
	return nil
}

// Post implements winrm.Transporter over Exchange.
func (t *Transport) Post(_ *winrm.Client, m *soap.SoapMessage) (string, error) {
	b, err := t.Exchange(context.Background(), []byte(m.String()))
	return string(b), err
}

// Parameters makes a winrm.Client use this transport.
func (t *Transport) Parameters() *winrm.Parameters {
	p := winrm.NewParameters(FormatDuration(t.cfg.OperationTimeout), t.cfg.Locale, maxEnvelope)
	p.TransportDecorator = func() winrm.Transporter { return t }
	return p
}
