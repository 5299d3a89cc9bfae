package psrp

import (
	"fmt"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

const automation = "System.Management.Automation."

// object writes the record as MS-PSRP section 2.2.3.15 has it.
func (e ErrorRecord) object() *clixml.Object {
	if e.Raw != nil {
		return e.Raw
	}
	exception := e.Exception
	if exception == "" {
		exception = "System.Exception"
	}
	types := []string{exception, "System.Exception", "System.Object"}
	if exception == "System.Exception" {
		types = types[1:]
	}
	members := []clixml.Property{
		{Name: "Exception", Value: &clixml.Object{
			Types:    types,
			ToString: exception + ": " + e.Message,
			Adapted: []clixml.Property{
				{Name: "Message", Value: e.Message},
				{Name: "HResult", Value: int32(-2146233088)}, // COR_E_EXCEPTION
			},
		}},
		{Name: "TargetObject", Value: nil},
		{Name: "FullyQualifiedErrorId", Value: e.ID},
		{Name: "InvocationInfo", Value: nil},
		{Name: "ErrorCategory_Category", Value: int32(e.Category)},
		{Name: "ErrorCategory_Activity", Value: e.Activity},
		{Name: "ErrorCategory_Reason", Value: e.Reason},
		{Name: "ErrorCategory_TargetName", Value: e.TargetName},
		{Name: "ErrorCategory_TargetType", Value: e.TargetType},
		{Name: "ErrorCategory_Message", Value: e.ID},
		{Name: "SerializeExtendedInfo", Value: false},
	}
	if e.RecommendedAction != "" {
		members = append(members,
			clixml.Property{Name: "ErrorDetails_Message", Value: e.Message},
			clixml.Property{Name: "ErrorDetails_RecommendedAction", Value: e.RecommendedAction})
	}
	if e.StackTrace != "" {
		members = append(members, clixml.Property{Name: "ErrorDetails_ScriptStackTrace", Value: e.StackTrace})
	}
	return &clixml.Object{
		Types:    []string{automation + "ErrorRecord", "System.Object"},
		ToString: e.Message,
		Extended: members,
	}
}

// parseError reads whatever the server calls an error; a record that is not one keeps its text.
func parseError(v any) ErrorRecord {
	o, ok := v.(*clixml.Object)
	if !ok {
		return ErrorRecord{Message: clixml.Text(v)}
	}
	e := ErrorRecord{
		ID:                o.Text("FullyQualifiedErrorId"),
		Activity:          o.Text("ErrorCategory_Activity"),
		Reason:            o.Text("ErrorCategory_Reason"),
		TargetName:        o.Text("ErrorCategory_TargetName"),
		TargetType:        o.Text("ErrorCategory_TargetType"),
		RecommendedAction: o.Text("ErrorDetails_RecommendedAction"),
		StackTrace:        o.Text("ErrorDetails_ScriptStackTrace"),
		Raw:               o,
	}
	if n, ok := o.Int("ErrorCategory_Category"); ok {
		e.Category = Category(n)
	}
	x := o.Object("Exception")
	if x != nil && len(x.Types) > 0 {
		e.Exception = x.Types[0]
	}
	for _, text := range []string{o.Text("ErrorDetails_Message"), x.Text("Message"), o.ToString} {
		if text != "" {
			e.Message = text
			break
		}
	}
	return e
}

func informational(kind, text string) *clixml.Object {
	return &clixml.Object{
		Types:    []string{automation + kind, automation + "InformationalRecord", "System.Object"},
		ToString: text,
		Extended: []clixml.Property{
			{Name: "InformationalRecord_Message", Value: text},
			{Name: "InformationalRecord_SerializeInvocationInfo", Value: false},
			{Name: "InformationalRecord_PipelineIterationInfo", Value: &clixml.Object{
				Types: []string{
					"System.Collections.ObjectModel.ReadOnlyCollection`1[[System.Int32, mscorlib, Version=4.0.0.0, " +
						"Culture=neutral, PublicKeyToken=b77a5c561934e089]]",
					"System.Object",
				},
				Container: clixml.List,
				List:      []any{int32(0), int32(1)},
			}},
		},
	}
}

func lineText(v any) string {
	o, ok := v.(*clixml.Object)
	if !ok {
		return clixml.Text(v)
	}
	if text, ok := o.Get("InformationalRecord_Message"); ok {
		return clixml.Text(text)
	}
	return o.ToString
}

func (p Progress) object() *clixml.Object {
	kind := clixml.NewEnum(automation+"ProgressRecordType", "Processing", 0)
	if p.Completed {
		kind = clixml.NewEnum(automation+"ProgressRecordType", "Completed", 1)
	}
	var operation any
	if p.CurrentOperation != "" {
		operation = p.CurrentOperation
	}
	return ms(
		clixml.Property{Name: "Activity", Value: p.Activity},
		clixml.Property{Name: "ActivityId", Value: p.ID},
		clixml.Property{Name: "StatusDescription", Value: p.Status},
		clixml.Property{Name: "CurrentOperation", Value: operation},
		clixml.Property{Name: "ParentActivityId", Value: p.ParentID},
		clixml.Property{Name: "PercentComplete", Value: p.Percent},
		clixml.Property{Name: "Type", Value: kind},
		clixml.Property{Name: "SecondsRemaining", Value: p.SecondsLeft},
	)
}

func parseProgress(v any) (Progress, error) {
	o, ok := v.(*clixml.Object)
	if !ok {
		return Progress{}, fmt.Errorf("psrp: a progress record is %T", v)
	}
	number := func(name string, missing int32) int32 {
		n, ok := o.Int(name)
		if !ok || n != int64(int32(n)) {
			return missing
		}
		return int32(n)
	}
	return Progress{
		Activity:         o.Text("Activity"),
		ID:               number("ActivityId", 0),
		ParentID:         number("ParentActivityId", -1),
		Status:           o.Text("StatusDescription"),
		CurrentOperation: o.Text("CurrentOperation"),
		Percent:          number("PercentComplete", -1),
		SecondsLeft:      number("SecondsRemaining", -1),
		Completed:        number("Type", 0) == 1,
	}, nil
}

func (i Information) object() *clixml.Object {
	var data any = i.Text
	tags := make([]any, len(i.Tags))
	for n, t := range i.Tags {
		tags[n] = t
		if t == "PSHOST" {
			data = &clixml.Object{
				Types:    []string{automation + "HostInformationMessage", "System.Object"},
				ToString: i.Text,
				Adapted:  []clixml.Property{{Name: "Message", Value: i.Text}, {Name: "NoNewLine", Value: false}},
			}
		}
	}
	return ms(
		clixml.Property{Name: "MessageData", Value: data},
		clixml.Property{Name: "Source", Value: i.Source},
		clixml.Property{Name: "TimeGenerated", Value: i.Time},
		clixml.Property{Name: "Tags", Value: &clixml.Object{
			Types: []string{
				"System.Collections.Generic.List`1[[System.String, mscorlib, Version=4.0.0.0, Culture=neutral, " +
					"PublicKeyToken=b77a5c561934e089]]",
				"System.Object",
			},
			Container: clixml.List,
			List:      tags,
		}},
		clixml.Property{Name: "User", Value: i.User},
		clixml.Property{Name: "Computer", Value: i.Machine},
		clixml.Property{Name: "ProcessId", Value: uint32(0)},
		clixml.Property{Name: "NativeThreadId", Value: uint32(0)},
		clixml.Property{Name: "ManagedThreadId", Value: uint32(0)},
	)
}

func parseInformation(v any) (Information, error) {
	o, ok := v.(*clixml.Object)
	if !ok {
		return Information{}, fmt.Errorf("psrp: an information record is %T", v)
	}
	i := Information{Source: o.Text("Source"), User: o.Text("User"), Machine: o.Text("Computer")}
	data, _ := o.Get("MessageData")
	i.Text = clixml.Text(data)
	if host, isObject := data.(*clixml.Object); isObject {
		if text, ok := host.Get("Message"); ok {
			i.Text = clixml.Text(text)
		}
	}
	if at, _ := o.Get("TimeGenerated"); at != nil {
		i.Time, _ = at.(time.Time)
	}
	if tags := o.Object("Tags"); tags != nil {
		for _, t := range tags.List {
			i.Tags = append(i.Tags, clixml.Text(t))
		}
	}
	return i, nil
}

// encodeRecord gives the message of a record.
func encodeRecord(r Record) (MessageType, any, error) {
	switch x := r.(type) {
	case Output:
		return PipelineOutput, x.Value, nil
	case ErrorRecord:
		return PipelineErrorRecord, x.object(), nil
	case Warning:
		return WarningRecord, informational("WarningRecord", x.Text), nil
	case Verbose:
		return VerboseRecord, informational("VerboseRecord", x.Text), nil
	case Debug:
		return DebugRecord, informational("DebugRecord", x.Text), nil
	case Progress:
		return ProgressRecord, x.object(), nil
	case Information:
		return InformationRecord, x.object(), nil
	}
	return 0, nil, fmt.Errorf("psrp: a record of Go type %T cannot be sent", r)
}

// decodeRecord is the way back; ok is false for messages that are no records.
func decodeRecord(t MessageType, v any) (r Record, ok bool, err error) {
	switch t {
	case PipelineOutput:
		return Output{Value: v}, true, nil
	case PipelineErrorRecord:
		return parseError(v), true, nil
	case WarningRecord:
		return Warning{Text: lineText(v)}, true, nil
	case VerboseRecord:
		return Verbose{Text: lineText(v)}, true, nil
	case DebugRecord:
		return Debug{Text: lineText(v)}, true, nil
	case ProgressRecord:
		r, err = parseProgress(v)
		return r, true, err
	case InformationRecord:
		r, err = parseInformation(v)
		return r, true, err
	}
	return nil, false, nil
}
