package wsman

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

const recordings = "../../testdata/psrp/recordings"

// TestRecordings plays every recording again. The client of today must make the same requests, byte for byte, and conclude
// the same from the same answers.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recordings, "*.jsonl"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			replay(t, b)
		})
	}
}

// TestRecordingsHoldWhatTheySay: a fault that is ordered by number strikes another request as soon as the tool asks one question
// more, and what is then recorded replays as well.
func TestRecordingsHoldWhatTheySay(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"information":              {"Get-AzureStackStampInformation Completed": 1},
		"health-fails":             {"Test-AzureStack Completed": 1},
		"other-configuration":      {"Get-Weather Failed": 1},
		"rotation-1811":            {"Start-SecretRotation Completed": 1, "lost": 0},
		"rotation-over-a-bad-line": {"Start-SecretRotation Completed": 1, "lost": 3, "messages lost": 1},
		"start-without-an-answer":  {"Start-SecretRotation lost": 1, "Start-SecretRotation unknown": 1, "lost": 1},
	} {
		b, err := os.ReadFile(filepath.Join(recordings, name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		_, frames, err := readRecording(b)
		if err != nil {
			t.Fatal(err)
		}
		got, cmdlet := map[string]int{}, ""
		for _, f := range frames {
			switch {
			case f.Do == "invoke":
				cmdlet = f.Cmdlet
			case f.Do == "heard":
				got[cmdlet+" "+f.State]++
				if f.Lost > 0 {
					got["messages lost"] = 1
				}
			case f.Failure != "":
				got[f.Failure]++
				got[cmdlet+" "+f.Failure]++
			}
		}
		for what, n := range want {
			if got[what] != n {
				t.Errorf("%s: %q %d times, want %d: %v", name, what, got[what], n, got)
			}
		}
	}
}

// replay plays a recording to a client, records that, and compares.
func replay(t *testing.T, recording []byte) {
	t.Helper()
	leader, frames, err := readRecording(recording)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlayer(t, leader, frames)
	var again kept
	p.drive(&again)
	_, got, err := readRecording(again.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want, got := comparable(frames), comparable(got)
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want):
			t.Fatalf("line %d is new: %s", i, short(got[i]))
		case i >= len(got):
			t.Fatalf("line %d is missing: %s", i, short(want[i]))
		case !reflect.DeepEqual(want[i], got[i]):
			t.Fatalf("line %d, from where they differ\ngot  %s\nwant %s", i, beyond(got[i], want[i]), beyond(want[i], got[i]))
		}
	}
}

func short(f Frame) string {
	b, _ := json.Marshal(f)
	return fmt.Sprintf("%.500s", b)
}

// beyond is what a frame says from a little before the point where another says something else.
func beyond(f, other Frame) string {
	a, _ := json.Marshal(f)
	b, _ := json.Marshal(other)
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return fmt.Sprintf("%.300s", a[max(0, n-60):])
}

// comparable leaves out what a player cannot time: the moments, and what a client that left would have heard. Ids count
// from the first that is left.
func comparable(frames []Frame) []Frame {
	var out []Frame
	for _, f := range frames {
		f.At, f.Took = 0, 0
		if f.Failure == "cancelled" || f.State == "unknown" || f.Do == "waited" {
			continue
		}
		out = append(out, f)
	}
	number := map[string]string{}
	again := func(id string) string {
		if number[id] == "" {
			number[id] = fmt.Sprintf("id-%d", len(number)+1)
		}
		return number[id]
	}
	for i := range out {
		out[i].Out = idText.ReplaceAllStringFunc(out[i].Out, again)
		out[i].In = idText.ReplaceAllStringFunc(out[i].In, again)
		for j := range out[i].Says {
			out[i].Says[j].Data = idText.ReplaceAllStringFunc(out[i].Says[j].Data, again)
		}
	}
	return out
}

var idText = regexp.MustCompile(`00000000-0000-4000-8000-[0-9A-F]{12}`)

func readRecording(b []byte) (l Leader, frames []Frame, err error) {
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, 64<<20)
	for n := 0; s.Scan(); n++ {
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		d.DisallowUnknownFields()
		var v any = &l
		var f Frame
		if n > 0 {
			v = &f
		}
		if err := d.Decode(v); err != nil {
			return l, nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if n > 0 {
			frames = append(frames, f)
		}
	}
	if l.Recording != 1 {
		return l, nil, errors.New("no recording of version 1")
	}
	return l, frames, s.Err()
}

// kept is a file in memory.
type kept struct {
	bytes.Buffer
	closed bool
}

func (k *kept) Close() error {
	k.closed = true
	return nil
}

// player answers a client with what a recording says, under the ids of that client.
type player struct {
	t      *testing.T
	leader Leader
	orders []Frame // what the session is asked for
	scrub  *psrp.Scrubber
	names  *recorder // gives the client's ids the names of the recording

	mu      sync.Mutex
	tape    []Frame // exchanges
	blocked chan struct{}
}

func newPlayer(t *testing.T, l Leader, frames []Frame) *player {
	t.Helper()
	key, err := l.key()
	if err != nil {
		t.Fatal(err)
	}
	scrub, err := psrp.NewScrubber(key)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, leader: l, scrub: scrub, blocked: make(chan struct{}, 100), names: &recorder{
		now: time.Now, w: &kept{}, scrub: scrub, reels: map[string]*reel{},
	}}
	for _, f := range frames {
		switch f.Do {
		case "", "waited":
			p.tape = append(p.tape, f)
		case "invoke", "prepare", "detach", "close":
			p.orders = append(p.orders, f)
		}
	}
	return p
}

func (p *player) config(record io.WriteCloser) Config {
	u, err := url.Parse(p.leader.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := p.leader.key()
	if err != nil {
		p.t.Fatal(err)
	}
	c := Config{
		Host: u.Hostname(), Port: port, TLS: u.Scheme == "https", User: "replay", Password: secret.New("not a password"),
		Configuration: p.leader.Configuration, Locale: p.leader.Locale, InvocationInfo: p.leader.Info,
		OperationTimeout: duration(p.t, p.leader.Operation), IdleTimeout: duration(p.t, p.leader.Idle),
		Record: record, key: key, lanes: func() (lane, lane) { return &played{p}, &played{p} }, Wait: p.wait,
	}
	if c.TLS {
		c.Pin = strings.Repeat("00", 32)
	}
	return c
}

func duration(t *testing.T, text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(strings.ToLower(strings.TrimPrefix(text, "PT")))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// drive asks a session for what the recorded one was asked for.
func (p *player) drive(record io.WriteCloser) {
	ctx, cancel := context.WithCancel(p.t.Context())
	stop := p.cancelling(cancel)
	s, err := Dial(ctx, p.config(record))
	stop()
	cancel()
	if err != nil {
		if len(p.orders) > 0 {
			p.t.Errorf("dial: %v", err)
		}
		return
	}
	for _, o := range p.orders {
		ctx, cancel := context.WithCancel(p.t.Context())
		stop := p.cancelling(cancel)
		switch o.Do {
		case "invoke":
			run := s.Invoke(ctx, p.command(o), Options{AtMostOnce: o.Once})
			_, _ = run.Result()
		case "prepare":
			_ = s.Prepare(ctx)
		case "close":
			_ = s.Close(ctx)
		case "detach":
			_ = s.Detach(ctx)
		}
		stop()
		cancel()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tape) > 0 {
		p.t.Errorf("the client ended before %s", short(p.tape[0]))
	}
}

// cancelling ends a call that waits for what the recording does not have.
func (p *player) cancelling(cancel context.CancelFunc) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-p.blocked:
			cancel()
		case <-done:
		}
	})
	return func() { close(done); wg.Wait() }
}

func (p *player) command(o Frame) psrp.Command {
	c := psrp.Command{Name: o.Cmdlet}
	for _, q := range o.Parameters {
		v, err := clixml.Unmarshal([]byte(q.Value), p.scrub.Opener())
		if err != nil {
			p.t.Fatalf("%s: %v", q.Name, err)
		}
		c.Params = append(c.Params, psrp.Param{Name: q.Name, Value: v})
	}
	return c
}

// wait takes no time, and fails where no time was left.
func (p *player) wait(ctx context.Context, _ time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tape) > 0 && p.tape[0].Do == "waited" {
		p.tape = p.tape[1:]
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// played is a lane of a player.
type played struct{ *player }

func (p *played) Dials() int64 { return 0 }
func (p *played) Close() error { return nil }

func (p *played) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tape) > 0 && p.tape[0].Operation == "Delete"
}

func (p *played) renew(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tape) == 0 || p.tape[0].Operation != "Connect" {
		return nil
	}
	f := p.tape[0]
	p.tape = p.tape[1:]
	return failed(f)
}

var actionText = regexp.MustCompile(`<a:Action [^>]*>[^<]*/([A-Za-z]+)</a:Action>`)

func (p *played) exchange(ctx context.Context, envelope []byte, _ bool) ([]byte, bool, error) {
	operation := string(actionText.FindSubmatch(envelope)[1])
	p.mu.Lock()
	for len(p.tape) > 0 && p.tape[0].Do == "waited" {
		p.tape = p.tape[1:]
	}
	if len(p.tape) == 0 || p.tape[0].Operation != operation || p.tape[0].Failure == "cancelled" {
		var recorded *Frame
		if len(p.tape) > 0 && p.tape[0].Operation == operation {
			recorded, p.tape = &p.tape[0], p.tape[1:]
		}
		p.mu.Unlock()
		p.blocked <- struct{}{}
		<-ctx.Done()
		if recorded == nil {
			return nil, false, ctx.Err()
		}
		p.names.exchange(ctx, request{name: operation}, time.Now(), envelope, nil, recorded.Sent, ctx.Err())
		return nil, recorded.Sent, ctx.Err()
	}
	defer p.mu.Unlock()
	f := p.tape[0]
	p.tape = p.tape[1:]
	req := request{name: operation, stream: streamOf(envelope)}
	if f.Failure != "" {
		p.names.exchange(ctx, req, time.Now(), envelope, nil, f.Sent, failed(f))
		return nil, f.Sent, failed(f)
	}
	// The ids of the request are known before those of the answer.
	p.names.exchange(ctx, req, time.Now(), envelope, nil, true, nil)
	answer := p.unnamed(f.In)
	p.names.exchange(ctx, req, time.Now(), nil, answer, true, nil)
	return answer, true, nil
}

var streamText = regexp.MustCompile(`DesiredStream CommandId="([^"]*)"`)

func streamOf(envelope []byte) string {
	if m := streamText.FindSubmatch(envelope); m != nil {
		return string(m[1])
	}
	return ""
}

// unnamed puts the ids of this client in the place of their names.
func (p *player) unnamed(envelope string) []byte {
	ids := p.scrub.Names()
	pieces := cut([]byte(envelope))
	for i := range pieces {
		for g, name := range ids {
			if pieces[i].blob != nil {
				pieces[i].blob = bytes.ReplaceAll(pieces[i].blob, dotNet(name), dotNet(g))
			} else {
				pieces[i].text = bytes.ReplaceAll(pieces[i].text, []byte(name.String()), []byte(g.String()))
			}
		}
	}
	return []byte(joined(pieces))
}

// dotNet is how a GUID stands in a message's header.
func dotNet(g psrp.GUID) []byte {
	return psrp.Message{Pool: g}.Encode()[8:24]
}

func failed(f Frame) error {
	switch f.Failure {
	case "unauthorized":
		return ErrUnauthorized
	case "unanswered":
		return ErrUnanswered
	case "unsealed":
		return ErrUnsealed
	case "certificate":
		return &ConnectError{Host: "replay", Err: ErrCertificate}
	case "connect":
		return &ConnectError{Host: "replay", Err: errors.New("as recorded")}
	case "status":
		return &StatusError{Code: f.Status}
	}
	return errors.New("as recorded")
}
