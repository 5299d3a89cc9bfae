package psrp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

const (
	enumTail = `<T>System.Enum</T><T>System.ValueType</T><T>System.Object</T></TN>`
	listType = "<T>System.Collections.Generic.List`1[[System.Management.Automation.PSObject, System.Management.Automation, " +
		`Version=1.0.0.0, Culture=neutral, PublicKeyToken=31bf3856ad364e35]]</T><T>System.Object</T>`
	hostMembers = `<MS><B N="_isHostNull">true</B><B N="_isHostUINull">true</B><B N="_isHostRawUINull">true</B><B N="_useRunspaceHost">true</B></MS>`
)

// Each shape against XML written by hand from MS-PSRP: what both of our ends get wrong in the same way shows here.
func TestShapes(t *testing.T) {
	none := func(name, ref, types string) string {
		return `<Obj N="` + name + `" RefId="` + ref + `">` + types + `<ToString>None</ToString><I32>0</I32></Obj>`
	}
	const resultTypes = `<TN RefId="3"><T>System.Management.Automation.Runspaces.PipelineResultTypes</T>` + enumTail
	const sameTypes = `<TNRef RefId="3"/>`
	rows := []struct {
		name string
		v    any
		want string
	}{
		{"SESSION_CAPABILITY", capability(), `<Obj RefId="0"><MS><Version N="protocolversion">2.3</Version><Version N="PSVersion">2.0</Version><Version N="SerializationVersion">1.1.0.1</Version></MS></Obj>`},
		{"INIT_RUNSPACEPOOL", initPool(), `<Obj RefId="0"><MS><I32 N="MinRunspaces">1</I32><I32 N="MaxRunspaces">1</I32>
			<Obj N="PSThreadOptions" RefId="1"><TN RefId="0"><T>System.Management.Automation.Runspaces.PSThreadOptions</T>` + enumTail + `<ToString>Default</ToString><I32>0</I32></Obj>
			<Obj N="ApartmentState" RefId="2"><TN RefId="1"><T>System.Management.Automation.Runspaces.ApartmentState</T>` + enumTail + `<ToString>Unknown</ToString><I32>2</I32></Obj>
			<Obj N="HostInfo" RefId="3">` + hostMembers + `</Obj><Nil N="ApplicationArguments"/></MS></Obj>`},
		{
			"CREATE_PIPELINE", createPipeline(Command{Name: "Set-BmcCredential", Params: []Param{{"BmcUser", "admin"}, {"BypassBMCUpdate", true}}}, false),
			`<Obj RefId="0"><MS><B N="NoInput">true</B>
			<Obj N="ApartmentState" RefId="1"><TN RefId="0"><T>System.Management.Automation.Runspaces.ApartmentState</T>` + enumTail + `<ToString>Unknown</ToString><I32>2</I32></Obj>
			<Obj N="RemoteStreamOptions" RefId="2"><TN RefId="1"><T>System.Management.Automation.Runspaces.RemoteStreamOptions</T>` + enumTail + `<ToString>0</ToString><I32>0</I32></Obj>
			<B N="AddToHistory">false</B><Obj N="HostInfo" RefId="3">` + hostMembers + `</Obj>
			<Obj N="PowerShell" RefId="4"><MS><B N="IsNested">false</B><Nil N="ExtraCmds"/>
			<Obj N="Cmds" RefId="5"><TN RefId="2">` + listType + `</TN><LST>
			<Obj RefId="6"><MS><S N="Cmd">Set-BmcCredential</S><B N="IsScript">false</B><Nil N="UseLocalScope"/>` +
				none("MergeMyResult", "7", resultTypes) + none("MergeToResult", "8", sameTypes) + none("MergePreviousResults", "9", sameTypes) +
				`<Obj N="Args" RefId="10"><TNRef RefId="2"/><LST>
			<Obj RefId="11"><MS><S N="N">BmcUser</S><S N="V">admin</S></MS></Obj>
			<Obj RefId="12"><MS><S N="N">BypassBMCUpdate</S><B N="V">true</B></MS></Obj></LST></Obj>` +
				none("MergeError", "13", sameTypes) + none("MergeWarning", "14", sameTypes) + none("MergeVerbose", "15", sameTypes) +
				none("MergeDebug", "16", sameTypes) + none("MergeInformation", "17", sameTypes) + `</MS></Obj></LST></Obj>
			<Nil N="History"/><B N="RedirectShellErrorOutputPipe">false</B></MS></Obj><B N="IsNested">false</B></MS></Obj>`,
		},
		{"WARNING_RECORD", informational("WarningRecord", "w"), `<Obj RefId="0"><TN RefId="0"><T>System.Management.Automation.WarningRecord</T>
			<T>System.Management.Automation.InformationalRecord</T><T>System.Object</T></TN><ToString>w</ToString>
			<MS><S N="InformationalRecord_Message">w</S><B N="InformationalRecord_SerializeInvocationInfo">false</B>
			<Obj N="InformationalRecord_PipelineIterationInfo" RefId="1"><TN RefId="1"><T>System.Collections.ObjectModel.ReadOnlyCollection` + "`1[[System.Int32, mscorlib, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089]]" + `</T><T>System.Object</T></TN>
			<LST><I32>0</I32><I32>1</I32></LST></Obj></MS></Obj>`},
		{"PROGRESS_RECORD", Progress{Activity: "a", ID: 1, ParentID: -1, Status: "s", Percent: 5, SecondsLeft: -1}.object(), `<Obj RefId="0"><MS>
			<S N="Activity">a</S><I32 N="ActivityId">1</I32><S N="StatusDescription">s</S><Nil N="CurrentOperation"/><I32 N="ParentActivityId">-1</I32>
			<I32 N="PercentComplete">5</I32><Obj N="Type" RefId="1"><TN RefId="0"><T>System.Management.Automation.ProgressRecordType</T>` + enumTail + `<ToString>Processing</ToString><I32>0</I32></Obj>
			<I32 N="SecondsRemaining">-1</I32></MS></Obj>`},
		{"INFORMATION_RECORD", Information{Text: "hi", Source: "Write-Host", Tags: []string{"PSHOST"}, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), User: "u", Machine: "m"}.object(), `<Obj RefId="0"><MS>
			<Obj N="MessageData" RefId="1"><TN RefId="0"><T>System.Management.Automation.HostInformationMessage</T><T>System.Object</T></TN><ToString>hi</ToString>
			<Props><S N="Message">hi</S><B N="NoNewLine">false</B></Props></Obj><S N="Source">Write-Host</S><DT N="TimeGenerated">2026-01-02T03:04:05Z</DT>
			<Obj N="Tags" RefId="2"><TN RefId="1"><T>System.Collections.Generic.List` + "`1[[System.String, mscorlib, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089]]" + `</T><T>System.Object</T></TN><LST><S>PSHOST</S></LST></Obj>
			<S N="User">u</S><S N="Computer">m</S><U32 N="ProcessId">0</U32><U32 N="NativeThreadId">0</U32><U32 N="ManagedThreadId">0</U32></MS></Obj>`},
		{"ERROR_RECORD", ErrorRecord{Message: "no", ID: "X,Y", Category: ObjectNotFound, Exception: "System.Management.Automation.CommandNotFoundException", TargetName: "t"}.object(), `<Obj RefId="0">
			<TN RefId="0"><T>System.Management.Automation.ErrorRecord</T><T>System.Object</T></TN><ToString>no</ToString><MS>
			<Obj N="Exception" RefId="1"><TN RefId="1"><T>System.Management.Automation.CommandNotFoundException</T><T>System.Exception</T><T>System.Object</T></TN>
			<ToString>System.Management.Automation.CommandNotFoundException: no</ToString><Props><S N="Message">no</S><I32 N="HResult">-2146233088</I32></Props></Obj>
			<Nil N="TargetObject"/><S N="FullyQualifiedErrorId">X,Y</S><Nil N="InvocationInfo"/><I32 N="ErrorCategory_Category">13</I32>
			<S N="ErrorCategory_Activity"></S><S N="ErrorCategory_Reason"></S><S N="ErrorCategory_TargetName">t</S><S N="ErrorCategory_TargetType"></S>
			<S N="ErrorCategory_Message">X,Y</S><B N="SerializeExtendedInfo">false</B></MS></Obj>`},
		{"host call", HostCall{ID: 3, Method: HostReadLine, Name: "ReadLine"}.object(), `<Obj RefId="0"><MS><I64 N="ci">3</I64>
			<Obj N="mi" RefId="1"><TN RefId="0"><T>System.Management.Automation.Remoting.RemoteHostMethodId</T>` + enumTail + `<ToString>ReadLine</ToString><I32>11</I32></Obj>
			<Obj N="mp" RefId="2"><TN RefId="1"><T>System.Collections.ArrayList</T><T>System.Object</T></TN><LST></LST></Obj></MS></Obj>`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			b, err := clixml.Marshal(r.v, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(pretty(oneLine(r.want)), pretty(string(b))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// oneLine undoes the line breaks of the table.
func oneLine(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.Trim(lines[i], "\t")
	}
	return strings.Join(lines, "")
}

func pretty(s string) string { return strings.ReplaceAll(s, "><", ">\n<") }

// What Windows and others send, with the fields in their places.
func TestReadingOthers(t *testing.T) {
	decode := func(mt MessageType, xml string) Record {
		t.Helper()
		v, err := clixml.Unmarshal([]byte(xml), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, ok, err := decodeRecord(mt, v)
		if err != nil || !ok {
			t.Fatalf("got %v, %v", ok, err)
		}
		return r
	}
	if got := decode(VerboseRecord, `<Obj RefId="0"><MS><S N="InformationalRecord_Message">m</S></MS></Obj>`); got != (Verbose{"m"}) {
		t.Errorf("verbose without ToString: %v", got)
	}
	if got := decode(WarningRecord, `<Obj RefId="0"><ToString>only</ToString></Obj>`); got != (Warning{"only"}) {
		t.Errorf("warning with only ToString: %v", got)
	}
	e := decode(PipelineErrorRecord, `<Obj RefId="0"><ToString>third</ToString><MS><S N="ErrorDetails_Message">first</S>
		<Obj N="Exception" RefId="1"><TN RefId="0"><T>System.X</T></TN><Props><S N="Message">second</S></Props></Obj></MS></Obj>`).(ErrorRecord)
	if e.Message != "first" || e.Exception != "System.X" {
		t.Errorf("error details come first: %+v", e)
	}
	e = decode(PipelineErrorRecord, `<Obj RefId="0"><ToString>third</ToString><MS><Obj N="Exception" RefId="1"><Props><S N="Message">second</S></Props></Obj></MS></Obj>`).(ErrorRecord)
	if e.Message != "second" {
		t.Errorf("then the exception: %+v", e)
	}
	if e := decode(PipelineErrorRecord, `<S>plain</S>`).(ErrorRecord); e.Message != "plain" {
		t.Errorf("then the text: %+v", e)
	}
	p := decode(ProgressRecord, `<Obj RefId="0"><MS><S N="Activity">a</S><I32 N="PercentComplete">5</I32></MS></Obj>`).(Progress)
	if p.ParentID != -1 || p.SecondsLeft != -1 || p.Percent != 5 {
		t.Errorf("progress: %+v", p)
	}
}

func TestErrorsOfOutcome(t *testing.T) {
	cause := &PoolError{State: PoolBroken}
	var err error = &OutcomeUnknownError{Sent: true, Err: cause}
	if !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, cause) {
		t.Error("neither sentinel nor cause is found")
	}
}
