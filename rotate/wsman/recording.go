package wsman

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// A recording is a text file of one JSON object a line: first a Leader, then a Frame for each thing the session was asked
// to do and for each exchange with the host, in the order in which they ended. It is scrubbed (see psrp.Scrubber) before a
// byte of it is written, and it can be played again: the client of the day must say the same and hear the same.

// Leader is the first line of a recording.
type Leader struct {
	Recording     int    `json:"recording"` // version of the format: 1
	URL           string `json:"url"`
	Configuration string `json:"configuration"`
	Locale        string `json:"locale"`
	Operation     string `json:"operationTimeout"` // as the envelopes have it
	Idle          string `json:"idleTimeout,omitempty"`
	Info          bool   `json:"invocationInfo,omitempty"`
	// Key, PKCS #8 in base64, was drawn for this recording and opens its secure strings, which are runs of x. A real key
	// exchange is never recorded.
	Key string `json:"key"`
}

// Frame is every further line. One of Do and Operation says what it is.
type Frame struct {
	At int64 `json:"at"` // milliseconds since the session began, when it was begun

	Do         string         `json:"do,omitempty"` // invoke, prepare, detach, close: what the session was asked for; heard: how a command ended; waited: no pause is left
	Cmdlet     string         `json:"cmdlet,omitempty"`
	Parameters []SaidParam    `json:"parameters,omitempty"`
	Once       bool           `json:"atMostOnce,omitempty"`
	State      string         `json:"state,omitempty"`   // of heard: the final state of the pipeline, or "unknown" or "failed"
	Records    map[string]int `json:"records,omitempty"` // of heard: how many of each kind
	Errors     int            `json:"errors,omitempty"`
	Lost       uint64         `json:"lost,omitempty"`

	Operation string    `json:"operation,omitempty"` // of WS-Man, or Connect: a fresh connection that failed
	Took      int64     `json:"took,omitempty"`      // milliseconds
	Out       string    `json:"out,omitempty"`       // envelopes
	In        string    `json:"in,omitempty"`
	Failure   string    `json:"failure,omitempty"` // instead of an answer: unauthorized, unanswered, unsealed, connect, cancelled, certificate, status or lost
	Status    int       `json:"status,omitempty"`  // of HTTP
	Sent      bool      `json:"sent,omitempty"`    // with a failure: a byte of the request reached the socket
	Says      []Message `json:"says,omitempty"`    // what came whole with this exchange, for people
}

// SaidParam is a parameter of a command.
type SaidParam struct {
	Name  string `json:"name"`
	Value string `json:"value"` // CLIXML
}

// Message is one message of the remoting protocol.
type Message struct {
	Type string `json:"type"`
	Data string `json:"data"` // CLIXML
}

// recorder writes a recording. All methods do nothing on a nil recorder, and none ever fails the session: a recording that
// cannot be written ends, with a warning.
type recorder struct {
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	w     io.WriteCloser // nil when it has ended
	scrub *psrp.Scrubber
	begun time.Time
	queue []*take          // waiting for their messages to come whole, oldest first
	reels map[string]*reel // by direction and stream
	held  int              // bytes in the queue
	size  int              // bytes written
}

// take is a frame under way: its envelopes, cut where fragments stand.
type take struct {
	frame   Frame
	out, in []piece
	pending int // blobs that wait for the rest of their message
}

type piece struct {
	text []byte
	blob []byte // fragments, in base64 on the wire
}

// maxRecorded bounds what waits for the end of a message, mostRecorded the whole: a journal lies on the same disk.
const (
	maxRecorded  = 64 << 20
	mostRecorded = 256 << 20
)

func newRecorder(c *Config, operation, idle string) (*recorder, error) {
	if c.Record == nil {
		return nil, nil
	}
	scrub, err := psrp.NewScrubber(c.key)
	if err != nil {
		return nil, err
	}
	for _, v := range slices.Concat(c.Hide, []secret.Value{c.Password}) {
		if err := scrub.Learn(v.Reveal()); err != nil {
			c.Logger.Warn("the session is not recorded", slog.Any("error", errors.Join(err, c.Record.Close())))
			return nil, nil
		}
	}
	key, err := x509.MarshalPKCS8PrivateKey(scrub.Key)
	if err != nil {
		return nil, fmt.Errorf("wsman: record: %w", err)
	}
	r := &recorder{logger: c.Logger, now: time.Now, w: c.Record, scrub: scrub, reels: map[string]*reel{}}
	r.begun = r.now()
	r.write(Leader{
		Recording: 1, URL: c.url(), Configuration: c.Configuration, Locale: c.Locale, Operation: operation, Idle: idle,
		Info: c.InvocationInfo, Key: base64.StdEncoding.EncodeToString(key),
	})
	return r, nil
}

// key returns the key with which a recording is played again.
func (l Leader) key() (*rsa.PrivateKey, error) {
	der, err := base64.StdEncoding.DecodeString(l.Key)
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	if k, ok := k.(*rsa.PrivateKey); ok {
		return k, nil
	}
	return nil, errors.New("wsman: a recording's key is of RSA")
}

func (r *recorder) at() int64 { return r.now().Sub(r.begun).Milliseconds() }

// do notes what the session was asked for.
func (r *recorder) do(what string) {
	if r != nil {
		r.frame(Frame{Do: what})
	}
}

// invoke notes a command, with fillers for its secrets. A command whose secrets cannot be looked for ends the recording.
func (r *recorder) invoke(cmd psrp.Command, once bool) {
	if r == nil {
		return
	}
	f := Frame{Do: "invoke", Cmdlet: cmd.Name, Once: once}
	err := r.parameters(&f, cmd)
	if err != nil {
		r.end(err)
		return
	}
	r.frame(f)
}

func (r *recorder) parameters(f *Frame, cmd psrp.Command) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.survive()
	err := r.scrub.LearnFrom(cmd)
	for _, p := range cmd.Params {
		b, e := clixml.Marshal(p.Value, r.scrub.Sealer())
		err = errors.Join(err, e)
		r.scrub.Text(b)
		f.Parameters = append(f.Parameters, SaidParam{Name: p.Name, Value: string(b)})
	}
	return err
}

// heard notes how a command ended.
func (r *recorder) heard(kinds map[string]int, result psrp.Result, err error) {
	if r == nil {
		return
	}
	f := Frame{Do: "heard", Records: kinds, State: result.State.String(), Errors: len(result.Errors), Lost: result.Lost}
	var pipeline *psrp.PipelineError
	switch {
	case errors.Is(err, psrp.ErrOutcomeUnknown):
		f.State = "unknown"
	case err != nil && !errors.As(err, &pipeline):
		f.State = "failed"
	}
	r.frame(f)
}

func (r *recorder) frame(f Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.survive()
	if r.w == nil {
		return
	}
	f.At = r.at()
	r.queue = append(r.queue, &take{frame: f})
	r.flush()
}

// exchange notes one round trip.
func (r *recorder) exchange(ctx context.Context, req request, begun time.Time, out, in []byte, sent bool, err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.survive()
	if r.w == nil {
		return
	}
	t := &take{frame: Frame{At: begun.Sub(r.begun).Milliseconds(), Operation: req.name, Took: r.now().Sub(begun).Milliseconds()}}
	t.out, t.in = cut(out), cut(in)
	if err != nil {
		t.frame.Failure, t.frame.Status = failure(ctx, err)
		t.frame.Sent = sent
	}
	r.queue = append(r.queue, t)
	r.held += len(out) + len(in)
	r.thread(t, "out", t.out)
	from := "in" + strings.ToLower(req.stream)
	if err != nil && req.name == "Receive" && r.reels[from] != nil {
		r.reels[from].interrupted()
	}
	r.thread(t, from, t.in)
	if r.held > maxRecorded {
		r.wipe()
	}
	r.flush()
}

// survive ends the recording where a defect of ours would end the session: what a host says must not do that.
func (r *recorder) survive() {
	if p := recover(); p != nil && r.w != nil {
		r.stop(fmt.Errorf("wsman: record: %v", p))
	}
}

// unconnected notes a fresh connection that could not be made.
func (r *recorder) unconnected(ctx context.Context, err error) {
	if r == nil || err == nil {
		return
	}
	f := Frame{Operation: "Connect"}
	f.Failure, f.Status = failure(ctx, err)
	r.frame(f)
}

// failure says what came instead of an answer. Its text may name anything, so it is not kept.
func failure(ctx context.Context, err error) (kind string, status int) {
	var s *StatusError
	var c *ConnectError
	switch {
	case errors.Is(err, ErrUnauthorized):
		return "unauthorized", 0
	case errors.Is(err, ErrUnanswered):
		return "unanswered", 0
	case errors.Is(err, ErrUnsealed):
		return "unsealed", 0
	case errors.Is(err, ErrCertificate):
		return "certificate", 0
	case ctx.Err() != nil:
		return "cancelled", 0
	case errors.As(err, &c):
		return "connect", 0
	case errors.As(err, &s):
		return "status", s.Code
	}
	return "lost", 0
}

// thread hands the fragments of an envelope to their stream.
func (r *recorder) thread(t *take, stream string, pieces []piece) {
	for i := range pieces {
		if pieces[i].blob == nil {
			r.scrub.Text(pieces[i].text)
			continue
		}
		reel := r.reels[stream]
		if reel == nil {
			reel = newReel()
			r.reels[stream] = reel
		}
		reel.add(t, pieces[i].blob, r.scrub)
	}
}

// flush writes the takes at the head of the queue that wait for nothing.
func (r *recorder) flush() {
	for len(r.queue) > 0 && r.queue[0].pending == 0 {
		t := r.queue[0]
		r.queue = r.queue[1:]
		t.frame.Out, t.frame.In = joined(t.out), joined(t.in)
		r.held -= len(t.frame.Out) + len(t.frame.In)
		r.write(t.frame)
	}
	if len(r.queue) == 0 {
		r.held = 0
	}
}

// wipe gives up what never came whole: it cannot be scrubbed, so it is filled.
func (r *recorder) wipe() {
	for _, reel := range r.reels {
		reel.wipe()
	}
}

func (r *recorder) write(v any) {
	if r.w == nil {
		return
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	if r.size += b.Len(); err == nil && r.size > mostRecorded {
		err = fmt.Errorf("wsman: record: more than %d bytes", mostRecorded)
	}
	if err == nil {
		_, err = r.w.Write(b.Bytes())
	}
	if err != nil {
		r.stop(err)
	}
}

func (r *recorder) stop(err error) {
	err = errors.Join(err, r.w.Close())
	r.w, r.queue, r.reels = nil, nil, nil
	if err != nil {
		r.logger.Warn("the recording of the session ended early", slog.Any("error", err))
	}
}

// end closes the recording.
func (r *recorder) end(err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.w == nil {
		return
	}
	r.wipe()
	r.flush()
	if r.w != nil {
		r.stop(err)
	}
}
