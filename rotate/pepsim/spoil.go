package pepsim

import (
	"fmt"
	"io"
	"net"
	"net/http"
)

// ordered takes the next order for a request of a kind, and writes down that it was carried out.
func (s *Server) ordered(kind string) Fault {
	f := s.faults.next(kind)
	if f.Do != "" {
		s.history.write(event{Event: "fault", On: kind, Do: f.Do})
	}
	return f
}

// spoilBefore does what an order wants before the request is looked at, and reports that nothing else is to be done.
func (s *Server) spoilBefore(w http.ResponseWriter, r *http.Request, c *conn, f Fault) bool {
	switch f.Do {
	case faultCloseBefore:
		abort(w)
	case faultFreeze:
		s.freeze(w, r, f)
	case fault503:
		w.WriteHeader(http.StatusServiceUnavailable)
	case fault401:
		c.login, c.seal = nil, nil
		s.unauthorized(w, "")
	case faultPlainText:
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "OK\n")
	case faultDelay:
		d := s.cfg.FaultDelay
		if f.Millis > 0 {
			d = f.lasts()
		}
		return !sleep(r.Context(), d)
	default:
		return false
	}
	return true
}

// spoilAfter does what an order wants with the answer to a request that was processed.
func (s *Server) spoilAfter(w http.ResponseWriter, r *http.Request, f Fault, out []byte) bool {
	switch f.Do {
	case faultCloseAfter, faultLose:
		abort(w)
	case faultFreezeAfter:
		s.freeze(w, r, f)
	case faultTruncate:
		truncate(w, out)
	case faultNoise:
		s.noise(w)
	default:
		return false
	}
	return true
}

// freeze leaves the client without an answer on a connection that stays open, until the client leaves, the order's time
// is over or the stamp stops.
func (s *Server) freeze(w http.ResponseWriter, r *http.Request, f Fault) {
	if d := f.lasts(); d > 0 {
		sleep(r.Context(), d)
	} else {
		<-r.Context().Done()
	}
	abort(w)
}

// hijack takes the connection away from the HTTP server.
func hijack(w http.ResponseWriter) (net.Conn, bool) {
	h, ok := w.(http.Hijacker)
	if !ok {
		return nil, false
	}
	c, _, err := h.Hijack()
	return c, err == nil
}

// abort closes the connection without an answer.
func abort(w http.ResponseWriter) {
	c, ok := hijack(w)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	_ = c.Close()
}

// truncate promises a whole answer and sends half of it.
func truncate(w http.ResponseWriter, out []byte) {
	c, ok := hijack(w)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", sealedType, len(out)+512, boundaryLine)
	_ = c.Close()
}

// noise answers with bytes that are no HTTP.
func (s *Server) noise(w http.ResponseWriter) {
	c, ok := hijack(w)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	b := make([]byte, 512)
	_, _ = io.ReadFull(s.cfg.Rand, b)
	_, _ = c.Write(b)
	_ = c.Close()
}
