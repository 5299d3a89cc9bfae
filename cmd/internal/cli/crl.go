package cli

import (
	"cmp"

	"golang.org/x/net/http/httpproxy"

	"github.com/certstamp/certstamp/validate/crl"
)

// crlChecker fetches CRLs for the stamps of one run, through the proxy that the environment names.
func (a *app) crlChecker() *crl.Checker {
	get := a.env.Getenv
	proxy := httpproxy.Config{
		HTTPProxy: cmp.Or(get("HTTP_PROXY"), get("http_proxy")), NoProxy: cmp.Or(get("NO_PROXY"), get("no_proxy")),
	}
	return &crl.Checker{Proxy: proxy.ProxyFunc()}
}
