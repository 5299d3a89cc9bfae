package wsman

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// countedConn counts what reached the socket beneath TLS, which is what "sent" means.
type countedConn struct {
	net.Conn
	written atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// conn is one HTTP/1.1 connection. Go's pooling transport is not used: NTLM belongs to a connection, so silently taking
// another one breaks the session, and a pool may repeat a request whose fate we must know.
type conn struct {
	cfg     *Config
	raw     *countedConn
	stream  net.Conn // raw, or TLS over it
	limit   *io.LimitedReader
	reader  *bufio.Reader
	binding []byte // tls-server-end-point of RFC 5929, nil without TLS
	broken  bool
}

// answer is an HTTP response, read whole.
type answer struct {
	status      int
	contentType string
	negotiate   []string // values of WWW-Authenticate for Negotiate, after the scheme
	body        []byte
}

// maxHeader bounds status line and headers of an answer, of which a map is made that takes twenty times as much. What is left
// of it is for chunks.
const maxHeader = 256 << 10

func dial(ctx context.Context, cfg *Config) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := cfg.Dial(ctx, "tcp", cfg.address())
	if err != nil {
		return nil, err
	}
	c := &conn{cfg: cfg, raw: &countedConn{Conn: nc}}
	c.stream = c.raw
	if cfg.TLS {
		if err := c.handshake(ctx); err != nil {
			nc.Close()
			return nil, err
		}
	}
	c.limit = &io.LimitedReader{R: c.stream}
	c.reader = bufio.NewReader(c.limit)
	return c, nil
}

func (c *conn) handshake(ctx context.Context) error {
	var verdict error
	t := tls.Client(c.raw, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		ServerName: c.cfg.Host,
		// Privileged endpoints are reached by address and pinned, so the check is ours alone; and its verdict must not be
		// lost behind a time-out of the handshake that it ends.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			verdict = judge(c.cfg, s.PeerCertificates)
			return verdict
		},
	})
	err := t.HandshakeContext(ctx)
	if verdict != nil {
		return verdict
	}
	if err != nil {
		return err
	}
	c.stream = t
	c.binding = channelBinding(t.ConnectionState().PeerCertificates[0])
	return nil
}

// judge compares a host's certificate with the pin, the authorities, or both.
func judge(cfg *Config, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: the host has none", ErrCertificate)
	}
	if cfg.Pin != "" {
		sum := sha256.Sum256(chain[0].Raw)
		if got := hex.EncodeToString(sum[:]); subtle.ConstantTimeCompare([]byte(got), []byte(cfg.Pin)) != 1 {
			return fmt.Errorf("%w: SHA-256 is %s, want %s", ErrCertificate, got, cfg.Pin)
		}
	}
	if cfg.CAs == nil {
		return nil
	}
	rest := x509.NewCertPool()
	for _, c := range chain[1:] {
		rest.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: cfg.Host, Roots: cfg.CAs, Intermediates: rest}); err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return nil
}

// channelBinding is tls-server-end-point (RFC 5929 section 4.1): the hash of the certificate under the hash of its
// signature, with SHA-256 in place of MD5 and SHA-1.
func channelBinding(c *x509.Certificate) []byte {
	const prefix = "tls-server-end-point:"
	switch c.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		sum := sha512.Sum384(c.Raw)
		return append([]byte(prefix), sum[:]...)
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		sum := sha512.Sum512(c.Raw)
		return append([]byte(prefix), sum[:]...)
	}
	sum := sha256.Sum256(c.Raw)
	return append([]byte(prefix), sum[:]...)
}

func (c *conn) close() {
	c.broken = true
	_ = c.raw.Close() // and not the stream: TLS waits for up to 5 s to say goodbye to a host that reads nothing
}

// post sends one request and reads its answer. sent tells whether any byte of the request reached the socket. After an
// error the connection is closed.
func (c *conn) post(ctx context.Context, timeout time.Duration, header string, body []byte) (a *answer, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if err != nil {
			c.close()
			if ctx.Err() != nil {
				err = ctx.Err()
			}
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) }) // in the past: wake up every read and write
	defer stop()
	before := c.raw.written.Load()
	request := "POST " + path + " HTTP/1.1\r\nHost: " + c.cfg.address() + "\r\nUser-Agent: certstamp\r\n" + header +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	_, err = c.stream.Write(append([]byte(request), body...))
	sent = c.raw.written.Load() > before
	if err != nil {
		return nil, sent, err
	}
	a, err = c.read()
	if err == nil && !stop() {
		err = ctx.Err()
	}
	return a, sent, err
}

func (c *conn) read() (*answer, error) {
	c.limit.N = maxHeader
	r, err := http.ReadResponse(c.reader, &http.Request{Method: http.MethodPost})
	if err != nil {
		if c.limit.N <= 0 {
			return nil, fmt.Errorf("the answer's headers have more than %d bytes", maxHeader)
		}
		// The parser's errors quote the peer, at length.
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("the connection ended before an answer: %w", io.ErrUnexpectedEOF)
		}
		var ne net.Error
		if errors.As(err, &ne) {
			return nil, err
		}
		return nil, errors.New("the answer is not HTTP")
	}
	defer r.Body.Close()
	c.limit.N += maxBody
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer's body: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("the answer's body has more than %d bytes", maxBody)
	case r.ProtoMajor != 1 || r.StatusCode < 200:
		return nil, fmt.Errorf("the answer is HTTP %d.%d with status %d", r.ProtoMajor, r.ProtoMinor, r.StatusCode)
	case r.Header.Get("Content-Encoding") != "":
		return nil, errors.New("the answer is compressed, which was not asked for")
	}
	// Bytes that nobody asked for would be taken as the next answer.
	if r.Close || c.reader.Buffered() > 0 {
		c.close()
	}
	a := &answer{status: r.StatusCode, contentType: r.Header.Get("Content-Type"), body: body}
	for _, v := range r.Header.Values("WWW-Authenticate") {
		scheme, token, _ := strings.Cut(strings.TrimSpace(v), " ")
		if strings.EqualFold(scheme, "Negotiate") {
			a.negotiate = append(a.negotiate, strings.TrimSpace(token))
		}
	}
	return a, nil
}
