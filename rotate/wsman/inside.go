package wsman

import "sync"

// inside says whether a host takes sealed bodies inside TLS. NTLM does not prove the host, so the seal is worth having
// beneath a pin too; but not every host is known to take it. The first request that gets that far tells, which in a session
// is a Create: that one may be repeated. The answer is believed because the certificate was checked before.
type inside struct {
	mu   sync.Mutex
	mode int
}

const (
	insideUnknown = iota
	insideSealed
	insidePlain
)

func (i *inside) plain() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mode == insidePlain
}

// judge takes the answer to a request, nil if there was none, and reports whether it should be sent again in plain. Once a
// sealed answer was seen nothing goes out in plain any more.
func (i *inside) judge(a *answer, sent bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.mode != insideUnknown || !sent:
	case a != nil && isSealed(a.contentType):
		i.mode = insideSealed
	case a == nil || a.status == 400 || a.status == 401 || a.status == 415 || a.status == 500:
		i.mode = insidePlain
		return true
	}
	return false
}
