package pepsim

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // channel bindings are an MD5, RFC 4121 section 4.1.1.2
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	maxBody      = 4 << 20
	soapType     = "application/soap+xml;charset=UTF-8"
	sealedType   = `multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"`
	boundaryLine = "--Encrypted Boundary"
)

type connKey struct{}

// conn is what the server remembers of a TCP connection: NTLM authenticates the connection, not the request.
type conn struct {
	net       net.Conn
	handshake *acceptor
	login     *authenticated
	seal      *sealing
}

// serveWinRM answers WS-Man on one listener until ctx ends.
func (s *Server) serveWinRM(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, &conn{net: c})
		},
		ErrorLog: discardLog(),
	}
	if s.cfg.TLS != nil {
		t := s.cfg.TLS.Clone()
		t.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, t)
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-done:
		}
		_ = srv.Close()
	}()
	err := srv.Serve(l)
	close(done)
	if ctx.Err() == nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		http.Error(w, "no connection state", http.StatusInternalServerError)
		return
	}
	// The whole body comes first: an answer before its end makes the HTTP server close the connection, and the handshake
	// with it.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
		return
	case len(body) > maxBody:
		s.refused(c, "a body of more than %d bytes", maxBody)
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case r.URL.Path != "/wsman":
		s.refused(c, "the path %.64q, and there is only /wsman", r.URL.Path)
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		s.refused(c, "the method %.64q, and only POST is answered", r.Method)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if token, ok := negotiateToken(r); ok {
		s.handshake(w, r, c, token, body)
		return
	}
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, _, ok := strings.Cut(h, " ")
		if !ok {
			scheme = "" // it may be a password, as what follows a scheme may
		}
		s.refused(c, "an Authorization of scheme %.64q, wanted Negotiate and base64", scheme)
	}
	isSealed := strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "multipart/encrypted")
	if c.login == nil || c.net == nil {
		if isSealed {
			s.refused(c, "a sealed body on a connection that has not logged in: a login belongs to its connection")
		}
		s.unauthorized(w, "")
		return
	}
	if !isSealed && !s.encrypted() {
		// Windows with AllowUnencrypted=false wants a new login for what comes in clear.
		s.refused(c, "a body in clear, of type %.64q", r.Header.Get("Content-Type"))
		s.unauthorized(w, "")
		return
	}
	soap := body
	if isSealed {
		if soap, err = openBody(c.seal, body); err != nil {
			s.refused(c, "a sealed body: %v", err)
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	s.answer(w, r, c, soap, isSealed)
}

func (s *Server) encrypted() bool { return s.cfg.TLS != nil }

// answer runs one operation and writes its envelope, sealed when the request was.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, c *conn, soap []byte, seal bool) {
	kind := operationOf(soap)
	order := s.ordered(kind)
	fault := order.Do
	if s.spoilBefore(w, r, c, order) {
		return
	}
	status, out := s.operate(r.Context(), c, soap, order)
	if s.spoilAfter(w, r, order, out) {
		return
	}
	if out == nil {
		abort(w) // the client has gone or the server stops
		return
	}
	if !seal || fault == faultUnsealed {
		w.Header().Set("Content-Type", soapType)
		w.WriteHeader(status)
		_, _ = w.Write(out)
		return
	}
	sealed, signature := c.seal.seal(out)
	switch fault {
	case faultGarbage:
		for i := range sealed {
			sealed[i] ^= 0x5a
		}
	case faultSignature:
		signature[5] ^= 1
	}
	w.Header().Set("Content-Type", sealedType)
	w.WriteHeader(status)
	_, _ = w.Write(sealedBody(len(out), sealed, signature))
}

func negotiateToken(r *http.Request) ([]byte, bool) {
	scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Negotiate") {
		return nil, false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return b, err == nil
}

func (s *Server) unauthorized(w http.ResponseWriter, token string) {
	w.Header().Set("WWW-Authenticate", strings.TrimSpace("Negotiate "+token))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusUnauthorized)
}

// handshake takes one message of a login. A new NEGOTIATE drops what the connection had.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, c *conn, token, body []byte) {
	c.login, c.seal = nil, nil
	switch messageType(token) {
	case 1:
		a, err := challengeFor(token, s.cfg.Machine, s.cfg.Domain, s.now(), s.cfg.Rand)
		if err != nil {
			s.refused(c, "login: %v", err)
			s.unauthorized(w, "")
			return
		}
		c.handshake = a
		s.unauthorized(w, base64.StdEncoding.EncodeToString(a.challenge))
	case 3:
		a := c.handshake
		c.handshake = nil
		if a == nil {
			s.refused(c, "login: the third message came on a connection that has not seen the first: a login belongs to its connection")
			s.unauthorized(w, "")
			return
		}
		order := s.ordered(onLogin)
		if s.spoilBefore(w, r, c, order) {
			return
		}
		login, err := a.accept(token, s.logins(), s.binding)
		if err == nil {
			c.seal, err = newSealing(login.key)
		}
		if err != nil {
			s.cfg.Logger.Warn("login refused", "reason", err.Error())
			s.history.write(event{Event: "login-refused", Reason: err.Error()})
			s.unauthorized(w, "")
			return
		}
		c.login = login
		if s.spoilAfter(w, r, order, nil) {
			return
		}
		if len(body) > 0 && !s.encrypted() {
			s.refused(c, "a body beside the third message of a login: it is not looked at, because nothing seals it")
			s.unauthorized(w, "")
			return
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	default:
		s.refused(c, "login: %d bytes that are no first or third message of NTLM", len(token))
		s.unauthorized(w, "")
	}
}

// openBody takes the two parts of a sealed body apart by their lengths; the cipher text may hold anything.
func openBody(s *sealing, b []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(b, []byte("application/octet-stream\r\n"))
	if !ok || s == nil {
		return nil, errors.New("no second part")
	}
	lower := strings.ToLower(string(head))
	if !strings.HasPrefix(strings.ReplaceAll(lower, "-- ", "--"), strings.ToLower(boundaryLine)) {
		return nil, errors.New("it does not begin with the boundary")
	}
	_, after, ok := strings.Cut(lower, "length=")
	var length int
	if _, err := fmt.Sscanf(after, "%d", &length); !ok || err != nil || length < 0 {
		return nil, errors.New("no length")
	}
	const signed = 16
	if len(rest) < 4+signed || binary.LittleEndian.Uint32(rest) != signed || len(rest)-4-signed < length {
		return nil, errors.New("the signature or the end is missing")
	}
	return s.unseal(rest[4+signed:4+signed+length], rest[4:4+signed])
}

func sealedBody(length int, sealed, signature []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type=%s;Length=%d\r\n", boundaryLine, soapType, length)
	fmt.Fprintf(&b, "%s\r\n\tContent-Type: application/octet-stream\r\n", boundaryLine)
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(signature))))
	b.Write(signature)
	b.Write(sealed)
	b.WriteString(boundaryLine + "--\r\n")
	return b.Bytes()
}

// channelBinding is what NTLM clients send inside TLS: the MD5 of a gss_channel_bindings struct around
// tls-server-end-point (RFC 5929 section 4.1).
func channelBinding(c *x509.Certificate) []byte {
	var sum []byte
	switch c.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h := sha512.Sum384(c.Raw)
		sum = h[:]
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h := sha512.Sum512(c.Raw)
		sum = h[:]
	default:
		h := sha256.Sum256(c.Raw)
		sum = h[:]
	}
	data := append([]byte("tls-server-end-point:"), sum...)
	b := make([]byte, 16)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	out := md5.Sum(append(b, data...))
	return out[:]
}
