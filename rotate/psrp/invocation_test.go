package psrp

import (
	"strings"
	"testing"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// TestInvocationInfoComesWhenAsked: errors, warnings, debug and verbose lines tell of the bound parameters to a client that
// wants them, secrets under the pool's key; output and progress never do, and nothing does unasked.
func TestInvocationInfoComesWhenAsked(t *testing.T) {
	for name, asked := range map[string]bool{"asked": true, "not asked": false} {
		t.Run(name, func(t *testing.T) {
			p := opened(t, 1<<30)
			p.client.cfg.InvocationInfo = asked
			told := map[MessageType]bool{}
			p.lose = func(packet Packet) bool {
				if strings.Contains(string(packet.Data), "InvocationInfo_BoundParameters") {
					told[packet.Type] = true
					for _, want := range []string{`<S N="Key">BmcUser</S><S N="Value">root</S>`, `<S N="InvocationInfo_InvocationName">Set-BmcCredential</S>`, `<SS N="Value">`, `<S N="CommandInfo_Name">`} {
						if !strings.Contains(string(packet.Data), want) {
							t.Errorf("no %s in %s", want, packet.Data)
						}
					}
				}
				if strings.Contains(string(packet.Data), "hunter2") {
					t.Error("the secret is in clear")
				}
				return false
			}
			p.serve = func(p *pump, r PipelineRequested) {
				for _, record := range []Record{Output{Value: "x"}, Warning{"x"}, Verbose{"x"}, Debug{"x"}, Progress{}, Information{}, ErrorRecord{Message: "x"}} {
					p.must(p.server.Emit(r.ID, record))
				}
				p.must(p.server.SetPipelineState(r.ID, PipelineCompleted, nil))
			}
			p.must(p.client.Invoke(pipelineID(t), Command{Name: "Set-BmcCredential", Params: []Param{
				{"BmcUser", "root"}, {"BmcPassword", clixml.NewSecureString("hunter2")},
			}}))
			p.must(p.run())
			for _, kind := range []MessageType{PipelineOutput, WarningRecord, VerboseRecord, DebugRecord, ProgressRecord, InformationRecord, PipelineErrorRecord} {
				want := asked && (kind == WarningRecord || kind == VerboseRecord || kind == DebugRecord || kind == PipelineErrorRecord)
				if told[kind] != want {
					t.Errorf("message %#08x tells of the invocation: %v, want %v", uint32(kind), told[kind], want)
				}
			}
			var heard []Record
			for _, e := range p.events {
				if s, ok := e.(Said); ok {
					heard = append(heard, s.Record)
				}
			}
			if len(heard) != 7 || heard[1] != (Warning{"x"}) || heard[6].(ErrorRecord).Message != "x" {
				t.Errorf("heard %+v", heard)
			}
			if flag, _ := heard[6].(ErrorRecord).Raw.Bool("SerializeExtendedInfo"); flag != asked {
				t.Errorf("SerializeExtendedInfo is %v", flag)
			}
		})
	}
}
