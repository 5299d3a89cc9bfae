package psrp

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// hear gives the client a message whose object id is the fragmenter's next.
func (p *pump) hear(f *Fragmenter, m Message) error {
	m.Destination = ToClient
	for _, b := range f.Fragments(m) {
		if err := p.client.Receive(m.Pipeline, b); err != nil {
			return err
		}
	}
	return nil
}

const completed = `<Obj RefId="0"><MS><I32 N="PipelineState">4</I32></MS></Obj>`

// TestNothingEndsBeforeItIsSent: while a command waits for the key, nobody can have run it.
func TestNothingEndsBeforeItIsSent(t *testing.T) {
	p := opened(t, 1<<30)
	p.must(p.client.Invoke(pipelineID(t), Command{Name: "Set-BmcCredential", Params: []Param{{"BmcPassword", clixml.NewSecureString("made up")}}}))
	p.must(p.hear(&Fragmenter{object: 3}, Message{Type: PipelineStateMessage, Pipeline: pipelineID(t), Data: []byte(completed)}))
	if e, ok := p.client.Next(); ok {
		t.Errorf("got %+v", e)
	}
	if op, ok := p.client.Outgoing(); !ok || op.Kind != OpSend {
		t.Errorf("the key exchange is gone: %+v", op)
	}
}

// TestTheFirstKeyStays: another one, in the middle of a session, is not taken.
func TestTheFirstKeyStays(t *testing.T) {
	p := opened(t, 1<<30)
	p.must(p.client.ExchangeKeys())
	p.must(p.run())
	first := p.client.session
	p.must(p.hear(&Fragmenter{object: 50}, Message{Type: EncryptedSessionKey, Data: []byte(`<Obj RefId="0"><MS><S N="EncryptedSessionKey">AAAA</S></MS></Obj>`)}))
	if first == nil || p.client.session != first {
		t.Error("the key was changed")
	}
}

// TestFloodOfQuestions: each is answered, but not without end.
func TestFloodOfQuestions(t *testing.T) {
	p := opened(t, 1<<30)
	p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
	f := Fragmenter{object: 3}
	var err error
	n := 0
	for ; err == nil && n < 5000; n++ {
		err = p.hear(&f, Message{Type: PipelineHostCall, Pipeline: pipelineID(t), Data: fmt.Appendf(nil,
			`<Obj RefId="0"><MS><I64 N="ci">%d</I64><Obj N="mi" RefId="1"><ToString>PromptForCredential1</ToString><I32>24</I32></Obj></MS></Obj>`, n)})
	}
	if !errors.Is(err, ErrLimit) || n > 1100 {
		t.Errorf("after %d questions: %v", n, err)
	}
}

// TestKeptErrorsAreBounded in number and size; each still comes as a record.
func TestKeptErrorsAreBounded(t *testing.T) {
	for size, most := range map[int]int{10: maxKeptErrors, 1 << 20: maxKeptErrorBytes >> 20} {
		p := opened(t, 1<<30)
		p.must(p.client.Invoke(pipelineID(t), Command{Name: "Get-X"}))
		f := Fragmenter{object: 3}
		said := most + 2
		for range said {
			p.must(p.hear(&f, Message{Type: PipelineErrorRecord, Pipeline: pipelineID(t), Data: []byte(`<Obj RefId="0"><ToString>` + strings.Repeat("e", size) + `</ToString></Obj>`)}))
		}
		p.must(p.hear(&f, Message{Type: PipelineStateMessage, Pipeline: pipelineID(t), Data: []byte(completed)}))
		records, kept := 0, -1
		for {
			e, ok := p.client.Next()
			if !ok {
				break
			}
			switch e := e.(type) {
			case Said:
				records++
			case Ended:
				kept = len(e.Result.Errors)
			}
		}
		if records != said || kept > most || kept < most-1 {
			t.Errorf("%d bytes: %d records, %d kept of at most %d", size, records, kept, most)
		}
	}
}
