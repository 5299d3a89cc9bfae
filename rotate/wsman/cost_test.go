package wsman

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/masterzen/winrm"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
	"github.com/certstamp/certstamp/rotate/wsman/winrmtransport"
)

// pace is how many messages the peer of these tests puts into one answer.
const pace = 3

func answers(messages int) int { return (messages + pace - 1) / pace }

// asks is what a session was made to do, and what that costs.
type asks struct {
	name   string
	cmd    psrp.Command
	once   bool
	emit   func(*peer, psrp.PipelineRequested) // before the pipeline ends
	needed int                                 // round trips, by the protocol alone
	extra  int                                 // more, for a reason
	reason string
}

var costs = []asks{
	{name: "a command with one output", cmd: readOnly, needed: 1 + answers(2), emit: func(p *peer, r psrp.PipelineRequested) {
		p.emit(r.ID, psrp.Output{Value: "Completed"})
	}},
	{
		name: "a changing command with one output", cmd: psrp.Command{Name: "Start-SecretRotation"}, once: true, needed: 1 + answers(2), extra: 2,
		reason: "it is sent once and never again, so it goes out on a connection that has logged in just now, not on one that may have died unnoticed",
		emit:   func(p *peer, r psrp.PipelineRequested) { p.emit(r.ID, psrp.Output{Value: "DONE"}) },
	},
	{
		name: "the first command with a secret", needed: 1 + 1 + 1 + answers(1), extra: 2,
		reason: "the public key goes out once as well: a fragment that came twice would ruin the object it belongs to",
		cmd:    psrp.Command{Name: "Get-Secret", Params: []psrp.Param{{Name: "P", Value: clixml.NewSecureString("x")}}},
		emit:   func(*peer, psrp.PipelineRequested) {},
	},
	{name: "a command with 10,000 progress records", cmd: readOnly, needed: 1 + answers(10_001), emit: progress},
	{name: "a command with an output of 1 MiB", cmd: readOnly, needed: 1 + answers(1<<20/(32<<10)+2), emit: megabyte},
}

func progress(p *peer, r psrp.PipelineRequested) {
	for i := range 10_000 {
		p.emit(r.ID, psrp.Progress{Activity: "Secret rotation", Status: "Import the external certificates", ID: 1, ParentID: -1, Percent: int32(i / 100), SecondsLeft: -1})
	}
}

func megabyte(p *peer, r psrp.PipelineRequested) {
	p.emit(r.ID, psrp.Output{Value: strings.Repeat("x", 1<<20)})
}

// measured opens a session and hands out one that runs a command and counts its round trips.
func measured(t testing.TB, a asks) (p *peer, s *Session, run func() (trips, records int)) {
	t.Helper()
	p = newPeer(t)
	p.unrecorded, p.whole = true, true
	p.serve = func(p *peer, r psrp.PipelineRequested) {
		a.emit(p, r)
		p.finish(r.ID, psrp.PipelineCompleted, nil)
	}
	s, err := Dial(t.Context(), p.config())
	if err != nil {
		t.Fatal(err)
	}
	return p, s, func() (int, int) {
		before := p.requests()
		r := s.Invoke(t.Context(), a.cmd, Options{AtMostOnce: a.once})
		records := 0
		for range r.Records() {
			records++
		}
		if _, err := r.Result(); err != nil {
			t.Fatal(err)
		}
		return p.requests() - before, records
	}
}

func (p *peer) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips
}

// TestRoundTrips counts every HTTP request of a session: none above the need of the protocol but those with a reason.
// With CERTSTAMP_PSRP_PAGE it writes them into that page, beside what the benchmarks say.
func TestRoundTrips(t *testing.T) {
	const login = 2 // NEGOTIATE and AUTHENTICATE
	var page strings.Builder
	row := func(name string, used, needed, extra int, reason string) {
		if used != needed+extra {
			t.Errorf("%s took %d round trips, needed %d and allowed %d more", name, used, needed, extra)
		}
		fmt.Fprintf(&page, "| %s | %d | %d | %s |\n", name, used, needed, reason)
	}
	for i, a := range costs {
		p, s, run := measured(t, a)
		if i == 0 {
			// Two logins, Create, and a Receive with capability, application data and state.
			row("open a session", p.requests(), 2*login+1+answers(3), 0, "")
		}
		used, _ := run()
		row(a.name, used, a.needed, a.extra, a.reason)
		before := p.requests()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if i == 0 {
			row("close it", p.requests()-before, 1, 0, "")
		}
		p.wg.Wait()
	}
	if file := os.Getenv("CERTSTAMP_PSRP_PAGE"); file != "" && !t.Failed() {
		if err := os.WriteFile(file, costPage(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		p := newPeer(b)
		s, err := Dial(b.Context(), p.config())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		p.wg.Wait()
	}
}

func benchmarkCommand(b *testing.B, a asks) {
	p, s, run := measured(b, a)
	b.ReportAllocs()
	trips, records := 0, 0
	for b.Loop() {
		t, r := run()
		trips, records = trips+t, records+r
	}
	b.ReportMetric(float64(trips)/float64(b.N), "trips/op")
	b.ReportMetric(float64(records)/float64(b.N), "records/op")
	_ = s.Close(b.Context())
	p.wg.Wait()
}

func BenchmarkCommand(b *testing.B)  { benchmarkCommand(b, costs[0]) }
func BenchmarkProgress(b *testing.B) { benchmarkCommand(b, costs[3]) }
func BenchmarkMegabyte(b *testing.B) { benchmarkCommand(b, costs[4]) }

// operation is one operation of the winrm library, with its own encryption or over our transport. The peer's answer holds
// nothing, which costs the same either way.
func operation(b *testing.B, theirs bool) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	p := newPeer(b)
	p.goes = func(string, int) action { return hollow }
	p.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.connection(nc) })
		}
	})
	port := l.Addr().(*net.TCPAddr).Port
	cfg := p.config()
	cfg.Host, cfg.Port, cfg.AllowHosts, cfg.Dial = "127.0.0.1", port, nil, nil
	ours, err := NewTransport(cfg)
	if err != nil {
		b.Fatal(err)
	}
	parameters := winrmtransport.Parameters(ours, "PT60S", "en-US", maxEnvelope)
	if theirs {
		parameters.TransportDecorator = func() winrm.Transporter {
			e, err := winrm.NewEncryption("ntlm")
			if err != nil {
				b.Fatal(err)
			}
			return e
		}
	}
	c, err := winrm.NewClientWithParameters(winrm.NewEndpoint("127.0.0.1", port, false, false, nil, nil, nil, 0), testUser, testPassword, parameters)
	if err != nil {
		b.Fatal(err)
	}
	ask := func() {
		_, _ = c.CreateShell() // the answer names no shell; that it arrived is counted
	}
	ask() // the first one logs in
	before := p.requests()
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
	if n := p.operations("Create"); n != b.N+1 {
		b.Fatalf("%d operations arrived, not %d", n, b.N+1)
	}
	b.ReportMetric(float64(p.requests()-before)/float64(b.N), "trips/op")
	_ = ours.Close()
	_ = l.Close()
}

func BenchmarkOperation(b *testing.B) {
	b.Run("ours", func(b *testing.B) { operation(b, false) })
	b.Run("winrm", func(b *testing.B) { operation(b, true) })
}

// costPage is docs/performance-psrp.md.
func costPage(trips string) []byte {
	var out strings.Builder
	fmt.Fprintf(&out, `# What the privileged endpoint costs

Written by %smake bench%s; the figures are of one machine in one run: %d cores, %s/%s, %s. The peer is a small server in the same process, so that
a round trip costs next to nothing and what is left is ours; on a network each one costs its time.

## Round trips

HTTP requests that were sent, and that the protocol needs with a server that puts %d messages into an answer. TestRoundTrips holds them.

| what | used | needed | why more |
|---|---|---|---|
%s
## Time and memory

| what | time | memory | allocations |
|---|---|---|---|
`, "`", "`", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), pace, trips)
	row := func(name string, r testing.BenchmarkResult, per int, unit string) {
		each := ""
		if per > 1 {
			each = fmt.Sprintf(", %.1f %s", float64(r.AllocsPerOp())/float64(per), unit)
		}
		fmt.Fprintf(&out, "| %s | %.2f ms | %d KiB | %d%s |\n", name, float64(r.NsPerOp())/1e6, r.AllocedBytesPerOp()>>10, r.AllocsPerOp(), each)
	}
	row("open and close a session", testing.Benchmark(BenchmarkOpen), 0, "")
	row("a command with one output", testing.Benchmark(BenchmarkCommand), 0, "")
	row("10,000 progress records, made, sent, read", testing.Benchmark(BenchmarkProgress), 10_000, "a record at both ends together")
	row("an output of 1 MiB, the same", testing.Benchmark(BenchmarkMegabyte), 0, "")
	ours := testing.Benchmark(func(b *testing.B) { operation(b, false) })
	theirs := testing.Benchmark(func(b *testing.B) { operation(b, true) })
	fmt.Fprintf(&out, `
## Beside the library

One operation of github.com/masterzen/winrm over TCP on loopback, with its own encryption and over this transport, against the same peer.

| | round trips | time | allocations |
|---|---|---|---|
| its own | %.0f | %.2f ms | %d |
| this transport | %.0f | %.2f ms | %d |

%.1f× as fast, with %.1f× fewer round trips: it logs in once for a connection, not once for a message.
`, theirs.Extra["trips/op"], float64(theirs.NsPerOp())/1e6, theirs.AllocsPerOp(), ours.Extra["trips/op"], float64(ours.NsPerOp())/1e6, ours.AllocsPerOp(),
		float64(theirs.NsPerOp())/float64(ours.NsPerOp()), theirs.Extra["trips/op"]/ours.Extra["trips/op"])
	return []byte(out.String())
}
