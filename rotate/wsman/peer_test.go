package wsman

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
)

// action is what goes wrong with one request.
type action int

const (
	fine        action = iota
	resetBefore        // the connection dies, nothing is processed
	resetAfter         // the request is processed, the answer is lost
	garbage            // the answer is sealed with a wrong key
	status503
	status401
	clear200 // the answer comes in clear
	clear500 // nothing is processed, and the fault in peer.code comes in clear
	silence  // no answer, and nothing is processed
	away     // the fault of a shell that was disconnected
	faulty   // the fault in peer.code
	hollow   // an answer with nothing in it
	blank    // an answer with a stream, and nothing in that
	spent    // the command is done, and nothing says how
	twice    // the answer, and after it once more
	huge     // an answer with a body one byte larger than any may be
)

const (
	testPassword = "S3cret-Pa55!é"
	testUser     = `STAMP\admin`
)

// peer is a small WinRM server on in-memory connections: NTLM with sealing, one shell, psrp's server role.
type peer struct {
	t       testing.TB
	tls     *tls.Config
	binding []byte
	flags   uint32

	// goes decides what becomes of the n-th request of an operation, counted from 1.
	goes func(op string, n int) action
	// status, when not nil, gives a redirection or the like to answer with; it is asked for the empty operation before a login.
	status func(op string) int
	// serve runs the pipeline; it is called in a goroutine of its own.
	serve  func(*peer, psrp.PipelineRequested)
	noSeal int // the status with which a sealed body inside TLS is refused; negative: the connection ends
	pool   psrp.ServerConfig
	mute   func(n int) bool                                                           // the connection dies right after the n-th AUTHENTICATE, counted from 1
	code   uint32                                                                     // of faulty
	slow   bool                                                                       // the client reads one byte at a time
	dress  func(op string, n int, status int, sealed []byte) (http string, last bool) // an answer in other words; last: the connection ends with it
	ahead  bool                                                                       // what the server writes waits for the client, as in the buffers of TCP
	idle   time.Duration                                                              // after which a connection without a request is closed; never when zero

	mu         sync.Mutex
	core       *psrp.ServerCore
	shell      string
	commands   map[string]bool // known ids; true: done
	queues     map[string][][]byte
	wake       chan struct{}
	log        []string
	count      map[string]int
	bodies     map[string]int // Command bodies processed per id
	conns      int
	trips      int // HTTP requests that arrived
	refused    int
	logins     int // AUTHENTICATEs that arrived
	wire       bytes.Buffer
	inside     []bool // whether each request inside TLS was sealed
	wg         sync.WaitGroup
	unrecorded bool         // for what says so much that recording it would take the time
	whole      bool         // what a pipeline says is handed out when it has ended, so that how many answers it takes is certain
	tapes      []*kept      // a recording of each session
	fed        bytes.Buffer // what the fragments of the client held
}

// tapeKey saves a key for each session.
var tapeKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// replay plays what the sessions of a test have recorded, and looks for the password in it.
func (p *peer) replay(t *testing.T) {
	t.Helper()
	for _, tape := range p.tapes {
		if bytes.Contains(tape.Bytes(), []byte(testPassword)) {
			t.Error("a recording holds the password")
		}
		if tape.closed && !t.Failed() {
			replay(t, tape.Bytes())
		}
	}
}

func newPeer(t testing.TB) *peer {
	return &peer{
		t: t, flags: goodFlags, wake: make(chan struct{}), commands: map[string]bool{}, queues: map[string][][]byte{},
		count: map[string]int{}, bodies: map[string]int{},
	}
}

func (p *peer) config() Config {
	var record io.WriteCloser
	if _, measured := p.t.(*testing.B); !measured && !p.unrecorded {
		tape := &kept{}
		p.tapes = append(p.tapes, tape)
		record = tape
	}
	return Config{
		Record: record, key: tapeKey(),
		Host: "10.0.0.1", User: testUser, Password: secret.New(testPassword), AllowHosts: []string{"10.0.0.1"},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			p.mu.Lock()
			p.conns++
			p.mu.Unlock()
			if p.ahead {
				q := &queued{Conn: server, out: make(chan []byte, 64)}
				p.wg.Go(q.drain)
				server = q
			}
			p.wg.Go(func() { p.connection(&tapped{Conn: server, p: p}) })
			if p.slow {
				return &slowConn{Conn: client, r: iotest.OneByteReader(client)}, nil
			}
			return client, nil
		},
	}
}

// queued is a connection that takes what is written before it is read.
type queued struct {
	net.Conn
	out  chan []byte
	once sync.Once
}

func (c *queued) Write(b []byte) (int, error) {
	c.out <- bytes.Clone(b)
	return len(b), nil
}

func (c *queued) drain() {
	for b := range c.out {
		_, _ = c.Conn.Write(b) // fails when the client has gone
	}
	_ = c.Conn.Close()
}

func (c *queued) Close() error {
	c.once.Do(func() { close(c.out) })
	return nil
}

type slowConn struct {
	net.Conn
	r io.Reader
}

func (c *slowConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// tapped records what passes.
type tapped struct {
	net.Conn
	p *peer
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.p.mu.Lock()
	c.p.wire.Write(b[:n])
	c.p.mu.Unlock()
	return n, err
}

// bindingSum is what a login names of a channel binding: the MD5 of a gss_channel_bindings_struct without addresses.
func bindingSum(binding []byte) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(binding)))
	sum := md5.Sum(append(b, binding...))
	return sum[:]
}

func (p *peer) connection(nc net.Conn) {
	defer nc.Close()
	if p.tls != nil {
		t := tls.Server(nc, p.tls)
		if t.Handshake() != nil {
			return
		}
		nc = t
	}
	r := bufio.NewReader(nc)
	var a *acceptor
	var sec *security
	for {
		if p.idle > 0 {
			_ = nc.SetReadDeadline(time.Now().Add(p.idle))
		}
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_ = nc.SetReadDeadline(time.Time{})
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.trips++
		p.mu.Unlock()
		if p.redirect(nc, "", req.Header.Get("Authorization") != "") {
			continue
		}
		if auth := req.Header.Get("Authorization"); auth != "" {
			token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(auth, "Negotiate "))
			if err != nil || len(token) < 12 {
				return
			}
			if token[8] == 1 {
				a = &acceptor{domain: "STAMP", user: "admin", password: testPassword, negotiate: token, challenge: makeChallenge(p.flags, goodInfo())}
				if p.binding != nil {
					a.binding = bindingSum(p.binding)
				}
				reply(nc, 401, "Basic realm=\"WSMAN\"\r\nWWW-Authenticate: Negotiate "+base64.StdEncoding.EncodeToString(a.challenge), "", nil)
				continue
			}
			p.mu.Lock()
			p.logins++
			n := p.logins
			p.mu.Unlock()
			if p.mute != nil && p.mute(n) {
				return
			}
			key, err := a.accept(token)
			if err != nil {
				p.mu.Lock()
				p.refused++
				p.mu.Unlock()
				reply(nc, 401, "Negotiate", "", nil)
				continue
			}
			sec = serverSecurity(key)
			reply(nc, 200, "", "", nil)
			continue
		}
		if sec == nil || p.tls == nil && !strings.HasPrefix(req.Header.Get("Content-Type"), "multipart/encrypted") {
			reply(nc, 401, "Negotiate", "", nil) // nor is anything in clear looked at on a connection that has logged in
			continue
		}
		plain := body
		sealedRequest := isSealed(req.Header.Get("Content-Type"))
		if p.tls != nil {
			p.mu.Lock()
			p.inside = append(p.inside, sealedRequest)
			noSeal := p.noSeal
			if sealedRequest && noSeal == chance {
				p.noSeal = 0
			}
			p.mu.Unlock()
			if sealedRequest && noSeal != 0 {
				if noSeal < 0 {
					return
				}
				reply(nc, noSeal, "", "", nil)
				continue
			}
		}
		if p.tls == nil || sealedRequest {
			sealed, signature, err := parseSealed(body)
			if err != nil {
				reply(nc, 400, "", "", nil)
				return
			}
			if plain, err = sec.Unwrap(sealed, signature); err != nil {
				return
			}
		}
		if !sealedRequest {
			if !p.request(nc, nil, plain) {
				return
			}
			continue
		}
		if !p.request(nc, sec, plain) {
			return
		}
	}
}

// redirect answers with the status of the operation, if it has one.
func (p *peer) redirect(w io.Writer, op string, applies bool) bool {
	if p.status == nil || !applies || p.status(op) == 0 {
		return false
	}
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %d X\r\nLocation: http://10.0.0.2:5985/wsman\r\nContent-Length: 0\r\n\r\n", p.status(op))
	return true
}

func reply(w io.Writer, status int, authenticate, kind string, body []byte) {
	text := fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n", status, len(body))
	if authenticate != "" {
		text += "WWW-Authenticate: " + authenticate + "\r\n"
	}
	if kind != "" {
		text += "Content-Type: " + kind + "\r\n"
	}
	_, _ = w.Write(append([]byte(text+"\r\n"), body...))
}

func (p *peer) request(nc net.Conn, sec *security, plain []byte) bool {
	root, err := parseXML(plain)
	if err != nil {
		p.t.Errorf("peer: %v", err)
		return false
	}
	if bytes.Count(plain, []byte(`xml:lang="en-US"`)) != 2 { // Locale and DataLocale: in any other culture the endpoint's cmdlets break
		p.t.Errorf("peer: a request in another language: %.500s", plain)
	}
	header := root.child(nsSOAP, "Header")
	act := header.child(nsAddressing, "Action").content()
	id := header.child(nsAddressing, "MessageID").content()
	timeout, err := ParseDuration(header.child(nsWSMan, "OperationTimeout").content())
	if err != nil {
		p.t.Errorf("peer: %v", err)
	}
	op := act[strings.LastIndex(act, "/")+1:]
	p.mu.Lock()
	p.count[op]++
	n := p.count[op]
	p.log = append(p.log, op)
	p.mu.Unlock()
	if p.redirect(nc, op, true) {
		return true
	}
	what := fine
	if p.goes != nil {
		what = p.goes(op, n)
	}
	switch what {
	case resetBefore:
		return false
	case silence:
		time.Sleep(10 * time.Minute)
		return false
	case huge:
		reply(nc, 200, "", sealedType, make([]byte, maxBody+1))
		return true
	case status503:
		reply(nc, 503, "", "text/html", []byte("busy"))
		return true
	case status401:
		reply(nc, 401, "Negotiate", "", nil)
		return true
	}
	if what == clear500 {
		reply(nc, 500, "", soapType, []byte(faultXML(id, fmt.Sprint(p.code), "no")))
		return true
	}
	answer, status := faultXML(id, fmt.Sprint(FaultDisconnected), "no"), 500
	if what == faulty {
		answer = faultXML(id, fmt.Sprint(p.code), "no")
	}
	if what == hollow {
		answer, status = answerXML(act+"Response", id, `<rsp:ReceiveResponse/>`), 200
	}
	if what == blank {
		answer, status = answerXML(act+"Response", id, `<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="`+
			root.child(nsSOAP, "Body").child(nsShell, "Receive").child(nsShell, "DesiredStream").attr("CommandId")+`"/></rsp:ReceiveResponse>`), 200
	}
	if what == spent {
		answer, status = answerXML(act+"Response", id, `<rsp:ReceiveResponse><rsp:CommandState State="`+stateDone+`"/></rsp:ReceiveResponse>`), 200
	}
	if what != away && what != faulty && what != hollow && what != blank && what != spent {
		answer, status = p.operation(op, act, id, timeout, root.child(nsSOAP, "Body"))
	}
	switch what {
	case resetAfter:
		return false
	case garbage:
		sec = serverSecurity(make([]byte, 16))
	case clear200:
		reply(nc, 200, "", soapType, []byte(answer))
		return true
	}
	if sec == nil {
		reply(nc, status, "", soapType, []byte(answer))
		return true
	}
	sealed, err := sealBody(sec, []byte(answer))
	if err != nil {
		p.t.Errorf("peer: %v", err)
		return false
	}
	if p.dress != nil {
		if text, last := p.dress(op, n, status, sealed); text != "" {
			_, _ = io.WriteString(nc, text)
			return !last
		}
	}
	reply(nc, status, "", sealedType, sealed)
	if what == twice {
		again, err := sealBody(sec, []byte(answer))
		if err != nil {
			p.t.Errorf("peer: %v", err)
			return false
		}
		reply(nc, status, "", sealedType, again)
	}
	return true
}

func (p *peer) operation(op, act, id string, timeout time.Duration, body *element) (string, int) {
	ok := func(inner string) (string, int) { return answerXML(act+"Response", id, inner), 200 }
	fault := func(code uint32) (string, int) { return faultXML(id, fmt.Sprint(code), "no"), 500 }
	p.mu.Lock()
	defer p.mu.Unlock()
	switch op {
	case "Create":
		shell := body.child(nsShell, "Shell")
		if p.shell == shell.attr("ShellId") {
			return fault(FaultShellExists)
		}
		p.shell, p.core = shell.attr("ShellId"), psrp.NewServerCore(p.pool)
		p.feed("", shell.child(nsPowerShell, "creationXml").content())
		return ok(`<rsp:Shell><rsp:ShellId>` + p.shell + `</rsp:ShellId></rsp:Shell>`)
	case "Command":
		line := body.child(nsShell, "CommandLine")
		cid := line.attr("CommandId")
		if _, known := p.commands[cid]; known {
			return fault(FaultCommandExists)
		}
		p.commands[cid] = false
		p.bodies[cid]++
		if err := p.feed(cid, line.child(nsShell, "Arguments").content()); err != nil {
			return fault(FaultPowerShellPlugin)
		}
		return ok(`<rsp:CommandResponse><rsp:CommandId>` + cid + `</rsp:CommandId></rsp:CommandResponse>`)
	case "Send":
		stream := body.child(nsShell, "Send").child(nsShell, "Stream")
		if err := p.feed(stream.attr("CommandId"), stream.content()); err != nil {
			return fault(FaultPowerShellPlugin)
		}
		return ok(`<rsp:SendResponse/>`)
	case "Receive":
		inner, code := p.receive(body.child(nsShell, "Receive").child(nsShell, "DesiredStream").attr("CommandId"), timeout)
		if code != 0 {
			return fault(code)
		}
		return ok(inner)
	case "Signal":
		return ok(`<rsp:SignalResponse/>`)
	}
	return ok("")
}

// feed hands fragments to the core and starts what they ask for. p.mu is held.
func (p *peer) feed(command, text string) error {
	b, err := decode64(text)
	if err != nil {
		p.t.Errorf("peer: %v", err)
	}
	p.fed.Write(b)
	id := psrp.GUID{}
	if command != "" {
		if id, err = parseID(command); err != nil {
			p.t.Errorf("peer: %v", err)
		}
	}
	if err := p.core.Receive(id, b); err != nil {
		return err
	}
	for {
		e, more := p.core.Next()
		if !more {
			break
		}
		if r, isPipeline := e.(psrp.PipelineRequested); isPipeline && p.serve != nil {
			p.wg.Go(func() { p.serve(p, r) })
		}
	}
	p.flush()
	return nil
}

func (p *peer) flush() {
	for {
		packet, more := p.core.Outgoing()
		if !more {
			break
		}
		key := ""
		if !packet.Pipeline.IsZero() {
			key = packet.Pipeline.String()
		}
		p.queues[key] = append(p.queues[key], packet.Data)
	}
	close(p.wake)
	p.wake = make(chan struct{})
}

// receive waits like a server does. p.mu is held, and let go while waiting.
func (p *peer) receive(command string, timeout time.Duration) (string, uint32) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		done, known := p.commands[command]
		if command != "" && !known {
			return "", FaultUnknownShell
		}
		if queue := p.queues[command]; len(queue) > 0 || done && command != "" {
			var out strings.Builder
			attr := ""
			if command != "" {
				attr = ` CommandId="` + command + `"`
			}
			out.WriteString(`<rsp:ReceiveResponse>`)
			n := 0
			for n < len(queue) && n < pace { // a few at a time, so that a run takes many answers
				out.WriteString(`<rsp:Stream Name="stdout"` + attr + `>` + b64(queue[n]) + `</rsp:Stream>`)
				n++
			}
			p.queues[command] = queue[n:]
			if done && n == len(queue) {
				out.WriteString(`<rsp:CommandState` + attr + ` State="` + stateDone + `"><rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState>`)
				delete(p.commands, command)
			}
			out.WriteString(`</rsp:ReceiveResponse>`)
			return out.String(), 0
		}
		wake := p.wake
		p.mu.Unlock()
		expired := false
		select {
		case <-wake:
		case <-timer.C:
			expired = true
		}
		p.mu.Lock()
		if expired {
			return "", FaultTimedOut
		}
	}
}

// emit sends a record of a pipeline.
func (p *peer) emit(id psrp.GUID, r psrp.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.core.Emit(id, r); err != nil {
		p.t.Errorf("peer: %v", err)
	}
	if !p.whole {
		p.flush()
	}
}

func (p *peer) finish(id psrp.GUID, state psrp.PipelineState, e *psrp.ErrorRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.core.SetPipelineState(id, state, e); err != nil {
		p.t.Errorf("peer: %v", err)
	}
	p.commands[id.String()] = true
	p.flush()
}

func (p *peer) operations(op string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[op]
}

// leaks looks for what must not be on the wire in clear.
func (p *peer) leaks() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return leaks(p.wire.Bytes())
}

func leaks(wire []byte) error {
	hash := ntHash(testPassword)
	keyed := ntowf("admin", testPassword, "STAMP")
	for name, b := range map[string][]byte{
		"the password": []byte(testPassword), "the password in UTF-16": u16(testPassword), "a SOAP envelope": []byte("Envelope"),
		"the password in base64": []byte(base64.StdEncoding.EncodeToString([]byte(testUser + ":" + testPassword))),
		"a Basic login":          []byte("Authorization: Basic"),
		"the NT hash":            hash, "the NT hash in hexadecimal": []byte(hex.EncodeToString(hash)),
		"the NTLMv2 key": keyed, "the NTLMv2 key in hexadecimal": []byte(hex.EncodeToString(keyed)),
	} {
		if bytes.Contains(wire, b) {
			return errors.New(name + " crossed the wire in clear")
		}
	}
	// Tokens are base64: what they hold is searched like the rest.
	for _, line := range bytes.Split(wire, []byte("\r\n")) {
		token, isLogin := bytes.CutPrefix(line, []byte("Authorization: Negotiate "))
		if !isLogin {
			continue
		}
		m, err := base64.StdEncoding.DecodeString(string(token))
		if err != nil {
			continue // cut off
		}
		if bytes.Contains(m, u16(testPassword)) || bytes.Contains(m, hash) || bytes.Contains(m, keyed) {
			return errors.New("a login carries the password or its hash")
		}
		if len(m) > 24 && m[8] == 3 && binary.LittleEndian.Uint16(m[20:]) < 44 {
			return errors.New("a login of NTLMv1 was made")
		}
	}
	return nil
}
