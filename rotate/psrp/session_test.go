package psrp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/certstamp/certstamp/internal/heap"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// pump is the wire between the two ends: it cuts what passes into pieces of step bytes.
type pump struct {
	t      *testing.T
	client *Core
	server *ServerCore
	step   int
	others bool              // what is lost was for others, on a whole connection
	lose   func(Packet) bool // true: the packet never arrives
	serve  func(*pump, PipelineRequested)
	events []Event
	said   []ServerEvent
}

func newPump(t *testing.T, step int, cfg ServerConfig) *pump {
	t.Helper()
	c, err := NewCore(Config{Pool: testGUID(t), FragmentSize: 112128, Key: testRSA(t)})
	if err != nil {
		t.Fatal(err)
	}
	return &pump{t: t, client: c, server: NewServerCore(cfg), step: step}
}

func (p *pump) cut(b []byte, f func([]byte) error) error {
	for len(b) > 0 {
		n := min(p.step, len(b))
		if err := f(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// run passes bytes until both ends are silent.
func (p *pump) run() error {
	for {
		moved := false
		for {
			op, ok := p.client.Outgoing()
			if !ok {
				break
			}
			moved = true
			if err := p.cut(op.Data, func(b []byte) error { return p.server.Receive(op.Pipeline, b) }); err != nil {
				return fmt.Errorf("server: %w", err)
			}
			for {
				e, ok := p.server.Next()
				if !ok {
					break
				}
				p.said = append(p.said, e)
				if r, isPipeline := e.(PipelineRequested); isPipeline && p.serve != nil {
					p.serve(p, r)
				}
			}
		}
		for {
			packet, ok := p.server.Outgoing()
			if !ok {
				break
			}
			moved = true
			if p.lose != nil && p.lose(packet) {
				if !p.others {
					p.client.Interrupted(packet.Pipeline)
				}
				continue
			}
			if err := p.cut(packet.Data, func(b []byte) error { return p.client.Receive(packet.Pipeline, b) }); err != nil {
				return fmt.Errorf("client: %w", err)
			}
		}
		for {
			e, ok := p.client.Next()
			if !ok {
				break
			}
			p.events = append(p.events, e)
		}
		if !moved {
			return nil
		}
	}
}

func (p *pump) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// everyStep runs a session test with whole fragments, and once more one byte at a time.
func everyStep(t *testing.T, f func(t *testing.T, step int)) {
	t.Helper()
	for _, step := range []int{1 << 30, 1} {
		t.Run(fmt.Sprintf("%d bytes at a time", step), func(t *testing.T) { f(t, step) })
	}
}

func opened(t *testing.T, step int) *pump {
	t.Helper()
	p := newPump(t, step, ServerConfig{})
	p.must(p.client.Open())
	p.must(p.run())
	if p.client.State() != PoolOpened || p.server.State() != PoolOpened || len(p.events) != 1 {
		t.Fatalf("states %v and %v, events %v", p.client.State(), p.server.State(), p.events)
	}
	p.events = nil
	return p
}

const pipelineText = "AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE"

func pipelineID(t testing.TB) GUID {
	t.Helper()
	g, err := clixml.ParseGUID(pipelineText)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestOpen(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		table, _ := p.client.Private().Lookup("psversiontable")
		version, _ := table.(*clixml.Object).Lookup("PSVersion")
		if version != clixml.Version("5.1.14393.2248") {
			t.Errorf("PSVersion: got %v", version)
		}
		if len(p.said) != 1 || p.said[0] != (PoolRequested{Pool: testGUID(t), Min: 1, Max: 1}) {
			t.Errorf("the server heard %v", p.said)
		}
		if _, listens := p.client.Listen(); listens {
			t.Error("nothing more is to come")
		}
	})
}

// The first fragment of creationXml for this pool, written by hand.
func TestOpenVector(t *testing.T) {
	const want = "AAAAAAAAAAEAAAAAAAAAAAMAAADHAgAAAAIAAQAzIhEAVUR3ZoiZqrvM3e7/AAAAAAAAAAAAAAAAAAAAADxPYmogUmVmSWQ9IjAiPjxNUz48VmVyc2lvbiBOPSJwcm90" +
		"b2NvbHZlcnNpb24iPjIuMzwvVmVyc2lvbj48VmVyc2lvbiBOPSJQU1ZlcnNpb24iPjIuMDwvVmVyc2lvbj48VmVyc2lvbiBOPSJTZXJpYWxpemF0aW9uVmVyc2lvbiI+MS4xLjAuMTwvVmVyc2lvbj48L01TPjwvT2JqPg=="
	c, err := NewCore(Config{Pool: testGUID(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	op, _ := c.Outgoing()
	first, err := base64.StdEncoding.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	if op.Kind != OpCreate || !strings.HasPrefix(string(op.Data), string(first)) {
		t.Errorf("got  %x\nwant %x…", op.Data[:len(first)], first)
	}
}

func TestEveryRecordArrives(t *testing.T) {
	at := time.Date(2026, 1, 15, 22, 30, 0, 0, time.UTC)
	records := []Record{
		Verbose{"v"},
		Debug{"d"},
		Warning{"w\n_x000A_"},
		Progress{Activity: "a", ID: 3, ParentID: -1, Status: "s", CurrentOperation: "o", Percent: 50, SecondsLeft: -1},
		Progress{Activity: "a", ID: 3, ParentID: 1, Percent: -1, SecondsLeft: 9, Completed: true},
		Information{Text: "i", Source: "Write-Host", Tags: []string{"PSHOST"}, Time: at, User: "u", Machine: "m"},
		Information{Text: "plain", Source: "x", Time: at},
		Output{Value: "text"},
		Output{Value: int32(7)},
		Output{Value: nil},
		Output{Value: &clixml.Object{Types: []string{"T"}, Extended: []clixml.Property{{Name: "A", Value: "b"}}}},
		ErrorRecord{Message: "e", ID: "Some,Id", Category: InvalidData, Exception: "System.IO.IOException", Activity: "Act", Reason: "IOException", TargetName: "tn", TargetType: "tt"},
		ErrorRecord{Message: "e2", ID: "x", Exception: "System.Exception", RecommendedAction: "do this", StackTrace: "at <ScriptBlock>"},
		Output{Value: strings.Repeat("long ", 20_000)}, // several fragments
	}
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		p.serve = func(p *pump, r PipelineRequested) {
			p.must(p.server.SetPipelineState(r.ID, PipelineRunning, nil)) // passing, must not end anything
			for _, record := range records {
				p.must(p.server.Emit(r.ID, record))
			}
			p.must(p.server.SetPipelineState(r.ID, PipelineCompleted, nil))
		}
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Test-AzureStack", Params: []Param{{"Group", "X"}, {"Debug", true}, {"Tests", []string{"a", "b"}}}}))
		if stream, ok := p.client.Listen(); !ok || stream != pipelineID(t) {
			t.Errorf("listens on %v, %v", stream, ok)
		}
		p.must(p.run())
		var got []Record
		var end *Ended
		for _, e := range p.events {
			switch e := e.(type) {
			case Said:
				got = append(got, e.Record)
			case Ended:
				end = &e
			}
		}
		if diff := cmp.Diff(records, got, cmpopts.IgnoreFields(ErrorRecord{}, "Raw"), cmpopts.IgnoreFields(Output{}, "Size")); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		if end == nil || end.Err != nil || end.Result.State != PipelineCompleted || len(end.Result.Errors) != 2 || end.Result.Lost != 0 {
			t.Errorf("end: %+v", end)
		}
		request, ok := p.said[len(p.said)-1].(PipelineRequested)
		if !ok || request.ID != pipelineID(t) || len(request.Commands) != 1 {
			t.Fatalf("the server heard %v", p.said)
		}
		c := request.Commands[0]
		if c.Name != "Test-AzureStack" || c.Script || len(c.Params) != 3 || c.Params[0] != (Param{"Group", "X"}) || c.Params[1] != (Param{"Debug", true}) {
			t.Errorf("command: %+v", c)
		}
		// The pool is free for the next one.
		p.must(p.client.Invoke(testGUID(t), Command{Name: "Get-Next"}))
	})
}

func TestSecretsTravelSealed(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		long := strings.Repeat("sëcret🔑__", 11_112)[:100_000]
		long = strings.ToValidUTF8(long, "")
		p := opened(t, step)
		p.serve = func(p *pump, r PipelineRequested) {
			p.must(p.server.Emit(r.ID, Output{Value: clixml.NewSecureString("back")}))
			p.must(p.server.SetPipelineState(r.ID, PipelineCompleted, nil))
		}
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Set-BmcCredential", Params: []Param{
			{"BmcPassword", clixml.NewSecureString(long)},
			{"Access", clixml.Credential{User: `D\u`, Password: clixml.NewSecureString("pw")}},
		}}))
		if stream, ok := p.client.Listen(); !ok || !stream.IsZero() {
			t.Errorf("listens on %v, %v; the key comes on the pool's stream", stream, ok)
		}
		p.must(p.run())
		request := p.said[len(p.said)-1].(PipelineRequested).Commands[0]
		if got := request.Params[0].Value.(clixml.SecureString).Reveal(); got != long {
			t.Errorf("the long secret came as %d bytes, want %d", len(got), len(long))
		}
		if c := request.Params[1].Value.(clixml.Credential); c.User != `D\u` || c.Password.Reveal() != "pw" {
			t.Errorf("credential: %v", c)
		}
		said, ok := p.events[0].(Said)
		if !ok || said.Record.(Output).Value.(clixml.SecureString).Reveal() != "back" {
			t.Errorf("events: %v", p.events)
		}
		if strings.Contains(fmt.Sprintf("%+v %#v", request, p.events), "sëcret") {
			t.Error("a rendering shows the secret")
		}
		// The key is there now: a second command starts at once.
		p.must(p.client.Invoke(testGUID(t), Command{Name: "Set-BmcCredential", Params: []Param{{"BmcPassword", clixml.NewSecureString("2")}}}))
		if op, ok := p.client.Outgoing(); !ok || op.Kind != OpCommand {
			t.Errorf("first op is %v", op.Kind)
		}
	})
}

func TestHowPipelinesFail(t *testing.T) {
	for _, state := range []PipelineState{PipelineFailed, PipelineStopped} {
		everyStep(t, func(t *testing.T, step int) {
			p := opened(t, step)
			p.serve = func(p *pump, r PipelineRequested) {
				p.must(p.server.SetPipelineState(r.ID, state, &ErrorRecord{Message: "no \x1b[31m", ID: "CommandNotFoundException", Category: ObjectNotFound}))
			}
			p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-Nothing"}))
			p.must(p.run())
			end, ok := p.events[0].(Ended)
			if !ok || end.Err == nil || end.Err.State != state || end.Err.Record.ID != "CommandNotFoundException" || end.Err.Record.Category != ObjectNotFound {
				t.Fatalf("events: %+v", p.events)
			}
			if text := end.Err.Error(); strings.Contains(text, "\x1b") || !strings.Contains(text, state.String()) {
				t.Errorf("error text: %q", text)
			}
		})
	}
}

func TestBrokenPool(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := newPump(t, step, ServerConfig{Broken: &ErrorRecord{Message: "no runspace for you", ID: "Broken"}})
		p.must(p.client.Open())
		var broken *PoolError
		if err := p.run(); !errors.As(err, &broken) || broken.State != PoolBroken || broken.Record.Message != "no runspace for you" {
			t.Fatalf("got %v", err)
		}
		if err := p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}); err == nil {
			t.Error("a broken pool takes commands")
		}
	})
}

func TestHostCallsAreAnswered(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		p.serve = func(p *pump, r PipelineRequested) {
			p.must(p.server.Ask(HostCall{Pipeline: r.ID, ID: voidCall, Method: HostWriteLine2, Name: "WriteLine2", Args: []any{"x"}}))
			p.must(p.server.Ask(HostCall{Pipeline: r.ID, ID: 4, Method: HostReadLine, Name: "ReadLine"}))
			p.must(p.server.Ask(HostCall{ID: 5, Method: HostPrompt, Name: "Prompt"}))
		}
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
		p.must(p.run())
		var answers []HostResponse
		for _, e := range p.said {
			if a, ok := e.(HostAnswered); ok {
				answers = append(answers, a.HostResponse)
			}
		}
		if len(answers) != 2 || answers[0].ID != 4 || answers[0].Pipeline != pipelineID(t) || answers[1].ID != 5 || !answers[1].Pipeline.IsZero() {
			t.Fatalf("answers: %+v", answers)
		}
		for _, a := range answers {
			if a.Err == nil || a.Err.Category != NotImplemented {
				t.Errorf("answer %d: %+v", a.ID, a.Err)
			}
		}
	})
}

func TestServerMayAskForTheKey(t *testing.T) {
	p := opened(t, 1)
	p.must(p.server.RequestKey())
	p.must(p.run())
	if !p.server.HasKey() {
		t.Error("no key was exchanged")
	}
}

// TestSecretsNobodyHasAKeyFor: Windows sends them without a word before. The record they stand in is read all the same.
func TestSecretsNobodyHasAKeyFor(t *testing.T) {
	const account = `<Obj RefId="0"><MS><S N="Name">backup</S><SS N="Key">vs3d32kmcv4Ke0pF/7PSSA==</SS>` +
		`<Obj N="Login" RefId="1"><TN RefId="0"><T>System.Management.Automation.PSCredential</T><T>System.Object</T></TN>` +
		`<Props><S N="UserName">u</S><SS N="Password">vs3d32kmcv4Ke0pF/7PSSA==</SS></Props></Obj></MS></Obj>`
	p := opened(t, 1)
	p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
	f := Fragmenter{object: 3}
	for _, b := range f.Fragments(Message{Destination: ToClient, Type: PipelineOutput, Pipeline: pipelineID(t), Data: []byte(account)}) {
		p.must(p.client.Receive(pipelineID(t), b))
	}
	e, _ := p.client.Next()
	said, _ := e.(Said)
	out, _ := said.Record.(Output)
	o, _ := out.Value.(*clixml.Object)
	key, _ := o.Get("Key")
	login, _ := o.Get("Login")
	c, isCredential := clixml.CredentialOf(login)
	if o.Text("Name") != "backup" || key != (clixml.SecureString{}) || !isCredential || c.User != "u" || c.Password.Reveal() != "" {
		t.Errorf("got %+v", e)
	}
}

// TestAGapAloneIsNoLoss: Windows counts what a cmdlet says to other machines with what it says to us.
func TestAGapAloneIsNoLoss(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		p.lose, p.others = func(packet Packet) bool { return packet.Type == VerboseRecord }, true
		p.serve = func(p *pump, r PipelineRequested) {
			p.must(p.server.Emit(r.ID, Verbose{"not for us"}))
			p.must(p.server.Emit(r.ID, Output{Value: "answer"}))
			p.must(p.server.SetPipelineState(r.ID, PipelineCompleted, nil))
		}
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
		p.must(p.run())
		end, ok := p.events[len(p.events)-1].(Ended)
		if !ok || end.Result.Lost != 0 || p.client.Lost() != 1 {
			t.Errorf("%+v, a gap of %d", end, p.client.Lost())
		}
	})
}

func TestLostMessagesAreCounted(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		n := 0
		p.lose = func(packet Packet) bool {
			n++
			return packet.Type == VerboseRecord && n%3 == 0 || packet.Type == PipelineOutput && !packet.Last
		}
		sent := 0
		p.serve = func(p *pump, r PipelineRequested) {
			for i := range 30 {
				p.must(p.server.Emit(r.ID, Verbose{fmt.Sprint(i)}))
				sent++
			}
			p.must(p.server.Emit(r.ID, Output{Value: strings.Repeat("x", 100_000)})) // loses all but its last fragment
			p.must(p.server.SetPipelineState(r.ID, PipelineCompleted, nil))
		}
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
		p.must(p.run())
		said := 0
		var end Ended
		for _, e := range p.events {
			switch e := e.(type) {
			case Said:
				said++
			case Ended:
				end = e
			}
		}
		lost := sent + 1 - said
		if lost < 5 || end.Result.Lost != uint64(lost) || end.Result.State != PipelineCompleted {
			t.Errorf("%d said, %d lost, result %+v", said, lost, end.Result)
		}
	})
}

func TestRepeatedMessagesCountOnce(t *testing.T) {
	p := opened(t, 1<<30)
	p.serve = func(p *pump, r PipelineRequested) { p.must(p.server.Emit(r.ID, Verbose{"once"})) }
	p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
	op, _ := p.client.Outgoing()
	p.must(p.server.Receive(op.Pipeline, op.Data))
	e, _ := p.server.Next()
	p.serve(p, e.(PipelineRequested))
	packet, _ := p.server.Outgoing()
	for range 3 {
		p.must(p.client.Receive(packet.Pipeline, packet.Data))
	}
	n := 0
	for {
		if _, ok := p.client.Next(); !ok {
			break
		}
		n++
	}
	if n != 1 || p.client.Lost() != 0 {
		t.Errorf("%d events, %d lost", n, p.client.Lost())
	}
}

// TestUnreadableRecordDoesNotEndTheRun: what cannot be read is said, what nobody knows is passed over with its type and size,
// and a question without an id cannot be answered; none of it costs a running rotation its witness.
func TestUnreadableRecordDoesNotEndTheRun(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
		p.client.Outgoing()
		f := Fragmenter{object: 3}
		const (
			question = `<Obj RefId="0"><MS><S N="mi">ReadLine</S></MS></Obj>`
			numbered = `<Obj RefId="0"><MS><I64 N="ci">7</I64></MS></Obj>` // no method, but somebody waits for an answer
		)
		for _, m := range []Message{
			{Destination: ToClient, Type: PipelineOutput, Pipeline: pipelineID(t), Data: []byte("<S>cut")},
			{Destination: ToClient, Type: ProgressRecord, Pipeline: pipelineID(t), Data: []byte("<S>not progress</S>")},
			{Destination: ToClient, Type: PipelineHostCall, Pipeline: pipelineID(t), Data: []byte(question)},
			{Destination: ToClient, Type: PoolHostCall, Data: []byte(question)},
			{Destination: ToClient, Type: PipelineHostCall, Pipeline: pipelineID(t), Data: []byte(numbered)},
			{Destination: ToClient, Type: UserEvent, Data: []byte("<Q/>")},                           // ignored, unread
			{Destination: ToClient, Type: 0x00099999, Pipeline: pipelineID(t), Data: []byte("junk")}, // unknown
			{Destination: ToClient, Type: PipelineStateMessage, Pipeline: pipelineID(t), Data: []byte(`<Obj RefId="0"><MS><I32 N="PipelineState">4</I32></MS></Obj>`)},
		} {
			for _, b := range f.Fragments(m) {
				for len(b) > 0 {
					n := min(step, len(b))
					p.must(p.client.Receive(pipelineID(t), b[:n]))
					b = b[n:]
				}
			}
		}
		p.must(p.run())
		for _, e := range p.said {
			if a, ok := e.(HostAnswered); ok {
				t.Errorf("an answer went out for a pipeline that has ended: %+v", a)
			}
		}
		var types []string
		for _, e := range p.events {
			switch e := e.(type) {
			case Said:
				types = append(types, fmt.Sprintf("unreadable %#x", uint32(e.Record.(Unreadable).Type)))
			case Ignored:
				types = append(types, fmt.Sprintf("ignored %#x, %d bytes", uint32(e.Type), e.Size))
			}
		}
		want := []string{
			"unreadable 0x41004", "unreadable 0x41010", "unreadable 0x41100", fmt.Sprintf("ignored 0x21100, %d bytes", len(question)),
			"unreadable 0x41100", "ignored 0x21008, 4 bytes", "ignored 0x99999, 4 bytes",
		}
		if diff := cmp.Diff(want, types); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if _, ok := p.events[len(p.events)-1].(Ended); !ok {
			t.Error("the run did not end")
		}
	})
}

// TestHalfAQuestionIsAnswered: a host call without a method still has somebody who waits for its id.
func TestHalfAQuestionIsAnswered(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
		f := Fragmenter{object: 3}
		for _, b := range f.Fragments(Message{Destination: ToClient, Type: PipelineHostCall, Pipeline: pipelineID(t), Data: []byte(`<Obj RefId="0"><MS><I64 N="ci">7</I64></MS></Obj>`)}) {
			p.must(p.client.Receive(pipelineID(t), b))
		}
		answered := false
		for {
			op, more := p.client.Outgoing()
			if !more {
				break
			}
			answered = answered || op.Kind == OpSend && op.Stream == "pr" && op.Pipeline == pipelineID(t)
		}
		if !answered {
			t.Error("nobody was told that there is no answer")
		}
	})
}

// TestFloodOfTheUnknown: a server that says nothing but what nobody knows makes a bounded number of events.
func TestFloodOfTheUnknown(t *testing.T) {
	p := opened(t, 1<<30)
	p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
	f := Fragmenter{object: 3}
	for range 10 * mostIgnored {
		for _, b := range f.Fragments(Message{Destination: ToClient, Type: 0x00099999, Pipeline: pipelineID(t)}) {
			p.must(p.client.Receive(pipelineID(t), b))
		}
	}
	p.must(p.run())
	if len(p.events) != mostIgnored {
		t.Errorf("%d events, wanted %d", len(p.events), mostIgnored)
	}
}

func TestInvokeRefuses(t *testing.T) {
	c, err := NewCore(Config{Pool: testGUID(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Invoke(pipelineID(t), Command{Name: "Get-X"}); err == nil {
		t.Error("a pool that is not open takes commands")
	}
	p := opened(t, 1<<30)
	for name, cmd := range map[string]Command{
		"script":               {Name: "Get-X", Script: true},
		"no name":              {},
		"statement":            {Name: "Get-X; Remove-Y"},
		"positional":           {Name: "Get-X", Params: []Param{{"", 1}}},
		"parameter with dash":  {Name: "Get-X", Params: []Param{{"-A", 1}}},
		"parameter with space": {Name: "Get-X", Params: []Param{{"A B", 1}}},
		"value without form":   {Name: "Get-X", Params: []Param{{"A", struct{}{}}}},
	} {
		if err := p.client.Invoke(pipelineID(t), cmd); err == nil {
			t.Errorf("%s: was taken", name)
		}
		if op, ok := p.client.Outgoing(); ok {
			t.Errorf("%s: sends %v", name, op)
		}
	}
	p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
	if err := p.client.Invoke(testGUID(t), Command{Name: "Get-X"}); err == nil {
		t.Error("two pipelines at a time")
	}
	p.client.Abandon()
	p.must(p.client.Invoke(testGUID(t), Command{Name: "Get-X"}))
}

func TestServerRefuses(t *testing.T) {
	p := opened(t, 1<<30)
	var f Fragmenter
	to := ToServer
	send := func(mt MessageType, data string) error {
		var err error
		for _, b := range f.Fragments(Message{Destination: to, Type: mt, Pool: testGUID(t), Pipeline: pipelineID(t), Data: []byte(data)}) {
			err = errors.Join(err, p.server.Receive(pipelineID(t), b))
		}
		return err
	}
	secret := `<Obj RefId="0"><MS><SS N="x">AAAA</SS></MS></Obj>`
	if err := send(CreatePipeline, secret); !errors.Is(err, clixml.ErrNoKey) {
		t.Errorf("a secret before the key: got %v", err)
	}
	for name, row := range map[string]struct {
		t    MessageType
		data string
	}{
		"capability twice":   {SessionCapability, `<Obj RefId="0"/>`},
		"pool twice":         {InitRunspacePool, `<Obj RefId="0"/>`},
		"no commands":        {CreatePipeline, `<Obj RefId="0"/>`},
		"text as pipeline":   {CreatePipeline, `<S>x</S>`},
		"bad key":            {PublicKey, `<Obj RefId="0"><MS><S N="PublicKey">AAAA</S></MS></Obj>`},
		"bad host answer":    {PipelineHostResponse, `<S/>`},
		"not XML":            {CreatePipeline, `<`},
		"command is no bag":  {CreatePipeline, `<Obj RefId="0"><MS><Obj N="PowerShell" RefId="1"><MS><Obj N="Cmds" RefId="2"><LST><S>x</S></LST></Obj></MS></Obj></MS></Obj>`},
		"argument is no bag": {CreatePipeline, `<Obj RefId="0"><MS><Obj N="PowerShell" RefId="1"><MS><Obj N="Cmds" RefId="2"><LST><Obj RefId="3"><MS><S N="Cmd">x</S><Obj N="Args" RefId="4"><LST><S/></LST></Obj></MS></Obj></LST></Obj></MS></Obj></MS></Obj>`},
	} {
		if err := send(row.t, row.data); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	const ignored = PipelineOutput
	for to = range uint32(4) {
		if err := send(ignored, `<Nil/>`); (err == nil) != (to == ToServer) {
			t.Errorf("for %d: got %v", to, err)
		}
	}
}

func TestClientRefuses(t *testing.T) {
	for name, m := range map[string]Message{
		"old protocol":   {Destination: ToClient, Type: SessionCapability, Data: []byte(`<Obj RefId="0"><MS><Version N="protocolversion">1.1</Version></MS></Obj>`)},
		"for the server": {Destination: ToServer, Type: SessionCapability, Data: []byte(`<Obj RefId="0"><MS><Version N="protocolversion">2.3</Version></MS></Obj>`)},
		"for nobody":     {Destination: 3, Type: SessionCapability, Data: []byte(`<Obj RefId="0"><MS><Version N="protocolversion">2.3</Version></MS></Obj>`)},
		"key unasked":    {Destination: ToClient, Type: EncryptedSessionKey, Data: []byte(`<Obj RefId="0"><MS><S N="EncryptedSessionKey">AAAA</S></MS></Obj>`)},
		"state of text":  {Destination: ToClient, Type: RunspacePoolState, Data: []byte(`<S>opened</S>`)},
		"closed":         {Destination: ToClient, Type: RunspacePoolState, Data: []byte(`<Obj RefId="0"><MS><I32 N="RunspaceState">3</I32></MS></Obj>`)},
	} {
		c, err := NewCore(Config{Pool: testGUID(t)})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Open(); err != nil {
			t.Fatal(err)
		}
		var f Fragmenter
		for _, b := range f.Fragments(m) {
			err = c.Receive(GUID{}, b)
		}
		if err == nil {
			t.Errorf("%s: was taken", name)
		}
		if again := c.Receive(GUID{}, nil); again == nil {
			t.Errorf("%s: the error is forgotten", name)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, data := range []string{
		`<Obj RefId="0"><MS><I32 N="RunspaceState">2</I32></MS></Obj>`,
		`<Obj RefId="0"><MS><I32 N="PipelineState">5</I32><Obj N="ExceptionAsErrorRecord" RefId="1"/></MS></Obj>`,
		`<Obj RefId="0"><MS><I64 N="ci">1</I64><Obj N="mi" RefId="1"><I32>11</I32></Obj></MS></Obj>`,
		`<S>x</S>`,
	} {
		for _, mt := range []MessageType{RunspacePoolState, PipelineStateMessage, PipelineHostCall, PipelineErrorRecord, InformationRecord, CreatePipeline} {
			f.Add(Message{Destination: ToClient, Type: mt, Pipeline: pipelineID(f), Data: []byte(data)}.Encode())
		}
	}
	key := testRSA(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			return
		}
		if got := m.Encode(); string(got) != string(b) {
			t.Fatalf("does not come back: %x", got)
		}
		spent := heap.Spent(func() {
			c, err := NewCore(Config{Pool: testGUID(t), Key: key})
			if err != nil {
				t.Fatal(err)
			}
			c.state, c.active = PoolOpened, pipelineID(t)
			s := NewServerCore(ServerConfig{})
			s.state = PoolOpened
			for id := uint64(1); id < 3; id++ {
				_ = c.object(Object{ID: id, Data: b})
				_ = s.message(m)
			}
			for {
				e, ok := c.Next()
				if !ok {
					break
				}
				_ = fmt.Sprintf("%v", e)
			}
		})
		if spent > most(b) {
			t.Errorf("%d bytes allocated for %d", spent, len(b))
		}
	})
}

func TestSecretsAreFoundWhereverTheyAre(t *testing.T) {
	s := clixml.NewSecureString("x")
	for name, v := range map[string]any{
		"itself": s, "credential": clixml.Credential{}, "list": []any{1, s}, "object": clixml.Object{Value: s},
		"adapted":  &clixml.Object{Adapted: []clixml.Property{{Name: "a", Value: s}}},
		"extended": &clixml.Object{Extended: []clixml.Property{{Name: "a", Value: []any{s}}}},
		"key":      &clixml.Object{Dict: []clixml.Entry{{Key: s}}},
		"value":    &clixml.Object{Dict: []clixml.Entry{{Key: "k", Value: s}}},
		"items":    &clixml.Object{List: []any{&clixml.Object{Value: s}}},
	} {
		if !(Command{Params: []Param{{"A", v}}}).holdsSecret() {
			t.Errorf("%s: not found", name)
		}
	}
	for name, v := range map[string]any{"nil": nil, "text": "x", "nil object": (*clixml.Object)(nil), "list": []any{1}, "object": clixml.Object{Value: 1}} {
		if (Command{Params: []Param{{"A", v}}}).holdsSecret() {
			t.Errorf("%s: found", name)
		}
	}
}

// The pool's stream is read only when something is expected on it, so its messages can come after younger ones of a
// pipeline. They are then no longer missing, and not less than nothing is lost.
func TestLateMessageOfThePoolIsNotALoss(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		var late []Packet
		p.lose = func(packet Packet) bool {
			if packet.Type == PublicKeyRequest {
				late = append(late, packet)
				return true
			}
			return false
		}
		p.serve = func(p *pump, r PipelineRequested) {
			p.must(p.server.SetPipelineState(r.ID, PipelineCompleted, nil))
		}
		p.must(p.server.RequestKey())
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
		p.must(p.run())
		p.events = nil
		p.must(p.client.Invoke(GUID{1}, Command{Name: "Get-X"}))
		p.must(p.client.Receive(late[0].Pipeline, late[0].Data))
		p.must(p.run())
		end, ok := p.events[len(p.events)-1].(Ended)
		if !ok || end.Result.Lost != 0 {
			t.Errorf("got %+v, want an end with nothing lost", p.events)
		}
	})
}

// A cmdlet that asks a question and ends without an answer must not have it sent to the next one.
func TestAnswersToAnEndedPipelineAreDropped(t *testing.T) {
	everyStep(t, func(t *testing.T, step int) {
		p := opened(t, step)
		p.serve = func(p *pump, r PipelineRequested) {
			p.must(p.server.Ask(HostCall{Pipeline: r.ID, ID: 1, Method: HostReadLine, Name: "ReadLine"}))
			p.must(p.server.SetPipelineState(r.ID, PipelineFailed, nil))
		}
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
		p.must(p.run())
		if op, more := p.client.Outgoing(); more {
			t.Errorf("still to be sent: %+v", op)
		}
		if n := len(p.said); n != 2 { // the pool and the pipeline
			t.Errorf("the server heard %d things: %v", n, p.said)
		}
	})
}
