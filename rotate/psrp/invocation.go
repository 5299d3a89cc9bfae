package psrp

import "github.com/certstamp/certstamp/rotate/psrp/clixml"

// StreamOptions is System.Management.Automation.Runspaces.RemoteStreamOptions: the records to which a client wants the
// invocation added, with the parameters that were bound.
type StreamOptions int32

// The records that have an invocation.
const (
	InfoOnErrors StreamOptions = 1 << iota
	InfoOnWarnings
	InfoOnDebug
	InfoOnVerbose
)

// invocation is the command of a pipeline, for the records that tell of it.
type invocation struct {
	options StreamOptions
	command Command
}

// parseStreamOptions reads the RemoteStreamOptions of a CREATE_PIPELINE; none is none.
func parseStreamOptions(v any) StreamOptions {
	root, _ := v.(*clixml.Object)
	n, _ := root.Int("RemoteStreamOptions")
	return StreamOptions(n & 15)
}

// wantedOn reports whether a record of that message is to carry the invocation, and which of its members says so.
func (o StreamOptions) wantedOn(t MessageType) (flag string, wanted bool) {
	const line = "InformationalRecord_SerializeInvocationInfo"
	switch t {
	case PipelineErrorRecord:
		return "SerializeExtendedInfo", o&InfoOnErrors != 0
	case WarningRecord:
		return line, o&InfoOnWarnings != 0
	case DebugRecord:
		return line, o&InfoOnDebug != 0
	case VerboseRecord:
		return line, o&InfoOnVerbose != 0
	}
	return "", false
}

// addTo puts the invocation into a record, where its client has asked for it: the InvocationInfo_ and CommandInfo_ members of
// MS-PSRP section 2.2.3.15. A record that came from elsewhere is passed on as it is.
func (i invocation) addTo(t MessageType, r Record, v any) {
	flag, wanted := i.options.wantedOn(t)
	o, ok := v.(*clixml.Object)
	if e, isError := r.(ErrorRecord); !wanted || !ok || isError && e.Raw != nil {
		return
	}
	for n := range o.Extended {
		if o.Extended[n].Name == flag {
			o.Extended[n].Value = true
		}
	}
	o.Extended = append(o.Extended, i.members()...)
}

func (i invocation) members() []clixml.Property {
	bound := &clixml.Object{
		Types: []string{
			automation + "PSBoundParametersDictionary",
			"System.Collections.Generic.Dictionary`2[[System.String, mscorlib, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089]," +
				"[System.Object, mscorlib, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089]]",
			"System.Object",
		},
		Container: clixml.Dictionary,
	}
	for _, p := range i.command.Params {
		if p.Name != "" {
			bound.Dict = append(bound.Dict, clixml.Entry{Key: p.Name, Value: p.Value})
		}
	}
	const info, command = "InvocationInfo_", "CommandInfo_"
	return []clixml.Property{
		{Name: info + "BoundParameters", Value: bound},
		{Name: info + "CommandOrigin", Value: clixml.NewEnum(automation+"CommandOrigin", "Runspace", 0)},
		{Name: info + "ExpectingInput", Value: false},
		{Name: info + "InvocationName", Value: i.command.Name},
		{Name: info + "Line", Value: ""},
		{Name: info + "OffsetInLine", Value: int32(0)},
		{Name: info + "HistoryId", Value: int64(1)},
		{Name: info + "PipelineIterationInfo", Value: nil},
		{Name: info + "PipelineLength", Value: int32(1)},
		{Name: info + "PipelinePosition", Value: int32(1)},
		{Name: info + "PositionMessage", Value: ""},
		{Name: info + "ScriptLineNumber", Value: int32(0)},
		{Name: info + "ScriptName", Value: nil},
		{Name: info + "UnboundArguments", Value: psObjectList()},
		{Name: command + "CommandType", Value: clixml.NewEnum(automation+"CommandTypes", "Function", 2)},
		{Name: command + "Definition", Value: i.command.Name},
		{Name: command + "Name", Value: i.command.Name},
		{Name: command + "Visibility", Value: clixml.NewEnum(automation+"SessionStateEntryVisibility", "Public", 0)},
	}
}
