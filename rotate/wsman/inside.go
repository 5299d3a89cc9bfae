package wsman

import "sync"

// inside says whether a host takes sealed bodies inside TLS. NTLM does not prove the host, so the seal is worth having
// beneath a pin too; but not every host is known to take it. The first answer tells, or the second connection in a row that
// ends without one. In a session that is about a Create, which may be repeated. Either is believed because the certificate
// was checked before.
type inside struct {
	mu     sync.Mutex
	mode   int
	silent int // sealed requests in a row that got no answer
}

// mostSilent is how many of them say something: one connection may end by chance.
const mostSilent = 2

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

// judge takes the answer to a request, nil if there was none, and reports whether it has just shown that the host takes
// bodies in plain only. Once a sealed answer was seen nothing goes out in plain any more.
func (i *inside) judge(a *answer, sent bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mode != insideUnknown || !sent {
		return false
	}
	if a == nil {
		i.silent++
	} else {
		i.silent = 0
	}
	switch {
	case a == nil && i.silent < mostSilent:
	case a != nil && isSealed(a.contentType):
		i.mode = insideSealed
	case a == nil || a.status == 400 || a.status == 401 || a.status == 415 || a.status == 500:
		i.mode = insidePlain
		return true
	}
	return false
}
