package psrp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/smnsjas/go-psrpcore/fragments"
	"github.com/smnsjas/go-psrpcore/messages"
	"github.com/smnsjas/go-psrpcore/objects"
	"github.com/smnsjas/go-psrpcore/pipeline"
	"github.com/smnsjas/go-psrpcore/runspace"
	"github.com/smnsjas/go-psrpcore/serialization"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// desk is a ServerCore as go-psrpcore sees it: what the stranger writes goes into the core, what the core says can be read.
type desk struct {
	serve func(*ServerCore, ServerEvent) error

	mu     sync.Mutex
	moved  *sync.Cond
	core   *ServerCore
	out    bytes.Buffer
	events []ServerEvent
	err    error
	closed bool
}

func newDesk(cfg ServerConfig, serve func(*ServerCore, ServerEvent) error) *desk {
	d := &desk{serve: serve, core: NewServerCore(cfg)}
	d.moved = sync.NewCond(&d.mu)
	return d
}

// SendCommand and SendPipelineData make it a transport with a stream for each pipeline, as WS-Man is one.
func (d *desk) SendCommand([16]byte) error { return nil }

func (d *desk) SendPipelineData(id [16]byte, b []byte) error { return d.receive(fromNet(id), b) }

func (d *desk) Write(b []byte) (int, error) { return len(b), d.receive(GUID{}, b) }

func (d *desk) receive(stream GUID, b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.core.Receive(stream, b); err != nil {
		d.err = errors.Join(d.err, err)
		return err
	}
	for {
		e, ok := d.core.Next()
		if !ok {
			break
		}
		d.events = append(d.events, e)
		if d.serve != nil {
			d.err = errors.Join(d.err, d.serve(d.core, e))
		}
	}
	for {
		p, ok := d.core.Outgoing()
		if !ok {
			break
		}
		_, _ = d.out.Write(p.Data)
	}
	d.moved.Broadcast()
	return d.err
}

func (d *desk) Read(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.out.Len() == 0 && !d.closed {
		d.moved.Wait()
	}
	if d.out.Len() == 0 {
		return 0, io.EOF
	}
	return d.out.Read(b)
}

func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.moved.Broadcast()
}

func (d *desk) requested() (out []PipelineRequested) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if r, ok := e.(PipelineRequested); ok {
			out = append(out, r)
		}
	}
	return out
}

func fromNet(id [16]byte) GUID { return GUID(id) }

// strangersPool opens a pool of go-psrpcore at the desk the way it does over WS-Man: with both messages at once.
func strangersPool(t *testing.T, d *desk) *runspace.Pool {
	t.Helper()
	pool := runspace.New(d, [16]byte(testGUID(t)))
	pool.SkipHandshakeSend = true
	creation, err := pool.GetHandshakeFragments()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.receive(GUID{}, creation); err != nil {
		t.Fatal(err)
	}
	if err := pool.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	pool.StartDispatchLoop()
	t.Cleanup(func() {
		d.close()
		_ = pool.Close(context.WithoutCancel(t.Context()))
	})
	return pool
}

// heard is everything a stranger's pipeline says, in go-psrpcore's own reading.
func heard(t *testing.T, p *pipeline.Pipeline) map[string][]any {
	t.Helper()
	deadline := time.AfterFunc(time.Minute, p.Cancel)
	defer deadline.Stop()
	_ = p.Wait()
	all := map[string][]any{}
	for name, ch := range map[string]<-chan *messages.Message{
		"output": p.Output(), "error": p.Error(), "warning": p.Warning(), "verbose": p.Verbose(),
		"debug": p.Debug(), "progress": p.Progress(), "information": p.Information(),
	} {
		for m := range ch {
			v, err := serialization.NewDeserializer().Deserialize(m.Data)
			if err != nil || len(v) != 1 {
				t.Fatalf("%s: %d values, %v\n%s", name, len(v), err, m.Data)
			}
			all[name] = append(all[name], v[0])
		}
	}
	return all
}

// TestStrangersClient lets go-psrpcore, a client by another hand that was made for Windows, open a pool at a ServerCore, run a
// command and read every kind of record: what the simulator says is not only what our client understands.
func TestStrangersClient(t *testing.T) {
	for _, size := range []int{0, 100} { // whole, and in many fragments
		d := newDesk(ServerConfig{FragmentSize: size}, func(s *ServerCore, e ServerEvent) error {
			r, ok := e.(PipelineRequested)
			if !ok {
				return nil
			}
			var errs []error
			for _, record := range []Record{
				Output{Value: &clixml.Object{
					Types:    []string{"Selected.System.Management.Automation.PSCustomObject", "System.Object"},
					Extended: []clixml.Property{{Name: "RegionName", Value: "east & <west> é"}, {Name: "Count", Value: int32(3)}, {Name: "Big", Value: int64(1) << 40}, {Name: "Ready", Value: true}},
				}},
				Output{Value: []string{"one", "two"}},
				Output{Value: "text"},
				Warning{Text: "careful"},
				Verbose{Text: "more"},
				Debug{Text: "inner"},
				Information{Text: "said", Source: "Test-AzureStack", Tags: []string{"PSHOST"}, Time: time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)},
				Progress{Activity: "Rotating", ID: 1, ParentID: -1, Status: "half", Percent: 50, SecondsLeft: 7},
				ErrorRecord{Message: "not that way", ID: "NotThatWay,Start-SecretRotation", Category: InvalidOperation, Exception: "System.InvalidOperationException"},
			} {
				errs = append(errs, s.Emit(r.ID, record))
			}
			return errors.Join(append(errs, s.SetPipelineState(r.ID, PipelineCompleted, nil))...)
		})
		p, err := strangersPool(t, d).CreatePipelineBuilder()
		if err != nil {
			t.Fatal(err)
		}
		p.AddCommand("Start-SecretRotation", false).
			AddParameter("PfxFilesPath", `\\10.0.0.1\certs & <more>`).AddParameter("PathAccessCredential", nil).
			AddParameter("ReRun", true).AddParameter("Minutes", int32(7)).AddParameter("Hosts", []any{"a", "b"}).
			AddArgument("by position")
		if err := p.Invoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := heard(t, p)
		if err := p.Wait(); err != nil || p.State() != pipeline.StateCompleted {
			t.Errorf("fragments of %d: ended %v, %v", size, p.State(), err)
		}
		requested := d.requested()
		if len(requested) != 1 || requested[0].ID != fromNet(p.ID()) || len(requested[0].Commands) != 1 {
			t.Fatalf("fragments of %d: %+v", size, requested)
		}
		command := requested[0].Commands[0]
		for i, p := range command.Params {
			if list, ok := p.Value.(*clixml.Object); ok {
				command.Params[i].Value = list.List
			}
		}
		if diff := cmp.Diff(Command{Name: "Start-SecretRotation", Params: []Param{
			{"PfxFilesPath", `\\10.0.0.1\certs & <more>`},
			{"PathAccessCredential", nil},
			{"ReRun", true},
			{"Minutes", int32(7)},
			{"Hosts", []any{"a", "b"}},
			{"", "by position"},
		}}, command); diff != "" {
			t.Errorf("fragments of %d: the command:\n%s", size, diff)
		}
		member := func(stream string, i int, name string) any {
			if len(got[stream]) <= i {
				t.Errorf("fragments of %d: %s: %d records", size, stream, len(got[stream]))
				return nil
			}
			o, _ := got[stream][i].(*serialization.PSObject)
			if o == nil {
				t.Errorf("fragments of %d: %s: %T", size, stream, got[stream][i])
				return nil
			}
			return o.Properties[name]
		}
		said := func(stream string) any { return member(stream, 0, "InformationalRecord_Message") }
		category, _ := member("error", 0, "ErrorCategory_Category").(int32)
		for name, row := range map[string]struct{ got, want any }{
			"a text of an object":      {member("output", 0, "RegionName"), "east & <west> é"},
			"a number of an object":    {member("output", 0, "Count"), int32(3)},
			"a big number":             {member("output", 0, "Big"), int64(1) << 40},
			"a truth value":            {member("output", 0, "Ready"), true},
			"an array":                 {got["output"][1], []any{"one", "two"}},
			"text":                     {got["output"][2], "text"},
			"warning":                  {said("warning"), "careful"},
			"verbose":                  {said("verbose"), "more"},
			"debug":                    {said("debug"), "inner"},
			"activity":                 {member("progress", 0, "Activity"), "Rotating"},
			"percent":                  {member("progress", 0, "PercentComplete"), int32(50)},
			"no parent":                {member("progress", 0, "ParentActivityId"), int32(-1)},
			"source of information":    {member("information", 0, "Source"), "Test-AzureStack"},
			"id of an error":           {member("error", 0, "FullyQualifiedErrorId"), "NotThatWay,Start-SecretRotation"},
			"category of an error":     {objects.ErrorCategory(category), objects.ErrorCategoryInvalidOperation},
			"records on the output":    {len(got["output"]), 3},
			"records among the errors": {len(got["error"]), 1},
		} {
			if diff := cmp.Diff(row.want, row.got); diff != "" {
				t.Errorf("fragments of %d: %s:\n%s", size, name, diff)
			}
		}
	}
}

// TestStrangersClientHearsOfFailure: a pipeline that fails, one that is stopped, and a script, which says what it is.
func TestStrangersClientHearsOfFailure(t *testing.T) {
	d := newDesk(ServerConfig{}, func(s *ServerCore, e ServerEvent) error {
		r, ok := e.(PipelineRequested)
		switch {
		case !ok:
			return nil
		case r.Commands[0].Script:
			return s.SetPipelineState(r.ID, PipelineFailed, &ErrorRecord{Message: "no scripts here", ID: "ScriptsNotAllowed", Category: ParserError})
		}
		return s.SetPipelineState(r.ID, PipelineStopped, nil)
	})
	pool := strangersPool(t, d)
	script, err := pool.CreatePipeline("Get-Process | Stop-Process")
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := pool.CreatePipelineBuilder()
	if err != nil {
		t.Fatal(err)
	}
	stopped.AddCommand("Get-ActionStatus", false)
	for p, want := range map[*pipeline.Pipeline]pipeline.State{script: pipeline.StateFailed, stopped: pipeline.StateStopped} {
		if err := p.Invoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		heard(t, p)
		if p.State() != want {
			t.Errorf("ended %v, want %v", p.State(), want)
		}
	}
	if err := script.Wait(); err == nil || !strings.Contains(err.Error(), "no scripts here") {
		t.Errorf("the failure says: %v", err)
	}
}

// TestStrangerReadsOurClient: everything our client sends while it opens a pool and runs a command, taken apart by another hand.
func TestStrangerReadsOurClient(t *testing.T) {
	pool, id := testGUID(t), testGUID(t)
	id[0]++
	c, err := NewCore(Config{Pool: pool, FragmentSize: 200, Key: testRSA(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	var said []*messages.Message
	assembler := fragments.NewAssembler()
	send := func(receive func(stream GUID, b []byte) error) {
		t.Helper()
		for {
			op, ok := c.Outgoing()
			if !ok {
				return
			}
			for b := op.Data; len(b) > 0; {
				f, err := fragments.Decode(b)
				if err != nil {
					t.Fatal(err)
				}
				b = b[fragments.HeaderSize+len(f.Data):]
				whole, data, err := assembler.Add(f)
				if err != nil {
					t.Fatal(err)
				}
				if whole {
					m, err := messages.Decode(data)
					if err != nil {
						t.Fatal(err)
					}
					said = append(said, m)
				}
			}
			if err := receive(op.Pipeline, op.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	server := NewServerCore(ServerConfig{})
	send(server.Receive)
	for {
		p, ok := server.Outgoing()
		if !ok {
			break
		}
		if err := c.Receive(p.Pipeline, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Invoke(id, Command{Name: "Get-ActionStatus", Params: []Param{{"ActionType", "SecretRotation"}, {"Latest", true}}}); err != nil {
		t.Fatal(err)
	}
	send(server.Receive)
	var types []messages.MessageType
	for _, m := range said {
		types = append(types, m.Type)
		if m.Destination != messages.DestinationServer {
			t.Errorf("%v is meant for %v", m.Type, m.Destination)
		}
	}
	want := []messages.MessageType{messages.MessageTypeSessionCapability, messages.MessageTypeInitRunspacePool, messages.MessageTypeCreatePipeline}
	if diff := cmp.Diff(want, types[:min(len(types), len(want))]); diff != "" {
		t.Fatal(diff)
	}
	read := func(m *messages.Message) *serialization.PSObject {
		t.Helper()
		v, err := serialization.NewDeserializer().Deserialize(m.Data)
		if err != nil || len(v) != 1 {
			t.Fatalf("%v: %d values, %v", m.Type, len(v), err)
		}
		o, ok := v[0].(*serialization.PSObject)
		if !ok {
			t.Fatalf("%v: %T", m.Type, v[0])
		}
		return o
	}
	within := func(o *serialization.PSObject, name string) *serialization.PSObject {
		t.Helper()
		inner, ok := o.Properties[name].(*serialization.PSObject)
		if !ok {
			t.Fatalf("%s is %T", name, o.Properties[name])
		}
		return inner
	}
	for name, row := range map[string]struct{ got, want any }{
		"protocol": {read(said[0]).Properties["protocolversion"], ProtocolVersion},
		"least":    {read(said[1]).Properties["MinRunspaces"], int32(1)},
		"most":     {read(said[1]).Properties["MaxRunspaces"], int32(1)},
		"pool":     {fromNet(said[1].RunspaceID), pool},
		"same":     {fromNet(said[2].RunspaceID), pool},
		"pipeline": {fromNet(said[2].PipelineID), id},
		"no input": {read(said[2]).Properties["NoInput"], true},
	} {
		if row.got != row.want {
			t.Errorf("%s: %v, want %v", name, row.got, row.want)
		}
	}
	commands, ok := within(read(said[2]), "PowerShell").Properties["Cmds"].([]any)
	if !ok || len(commands) != 1 {
		t.Fatalf("commands: %v", commands)
	}
	command, ok := commands[0].(*serialization.PSObject)
	if !ok || command.Properties["Cmd"] != "Get-ActionStatus" || command.Properties["IsScript"] != false {
		t.Fatalf("command: %+v", commands[0])
	}
	var params []Param
	args, _ := command.Properties["Args"].([]any)
	for _, a := range args {
		o, ok := a.(*serialization.PSObject)
		if !ok {
			t.Fatalf("parameter: %T", a)
		}
		name, _ := o.Properties["N"].(string)
		params = append(params, Param{name, o.Properties["V"]})
	}
	if diff := cmp.Diff([]Param{{"ActionType", "SecretRotation"}, {"Latest", true}}, params); diff != "" {
		t.Errorf("parameters:\n%s", diff)
	}
}
