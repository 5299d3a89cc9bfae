package psrp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// What both ends say about themselves (MS-PSRP section 2.2.2.1). Windows answers with the same triple.
const (
	ProtocolVersion      = "2.3"
	psVersion            = "2.0"
	serializationVersion = "1.1.0.1"
)

func ms(members ...clixml.Property) *clixml.Object { return &clixml.Object{Extended: members} }

func capability() *clixml.Object {
	return ms(
		clixml.Property{Name: "protocolversion", Value: clixml.Version(ProtocolVersion)},
		clixml.Property{Name: "PSVersion", Value: clixml.Version(psVersion)},
		clixml.Property{Name: "SerializationVersion", Value: clixml.Version(serializationVersion)},
	)
}

// noHost tells the server that nobody is there to answer: it then sends no host calls, Write-Host becomes an information
// record, and a prompt fails on the server instead of blocking it.
func noHost() *clixml.Object {
	return ms(
		clixml.Property{Name: "_isHostNull", Value: true},
		clixml.Property{Name: "_isHostUINull", Value: true},
		clixml.Property{Name: "_isHostRawUINull", Value: true},
		clixml.Property{Name: "_useRunspaceHost", Value: true},
	)
}

const runspaces = "System.Management.Automation.Runspaces."

func apartment() *clixml.Object { return clixml.NewEnum(runspaces+"ApartmentState", "Unknown", 2) }

func initPool() *clixml.Object {
	return ms(
		clixml.Property{Name: "MinRunspaces", Value: int32(1)},
		clixml.Property{Name: "MaxRunspaces", Value: int32(1)},
		clixml.Property{Name: "PSThreadOptions", Value: clixml.NewEnum(runspaces+"PSThreadOptions", "Default", 0)},
		clixml.Property{Name: "ApartmentState", Value: apartment()},
		clixml.Property{Name: "HostInfo", Value: noHost()},
		clixml.Property{Name: "ApplicationArguments", Value: nil},
	)
}

func psObjectList(items ...any) *clixml.Object {
	return &clixml.Object{
		Types: []string{
			"System.Collections.Generic.List`1[[System.Management.Automation.PSObject, System.Management.Automation, " +
				"Version=1.0.0.0, Culture=neutral, PublicKeyToken=31bf3856ad364e35]]",
			"System.Object",
		},
		Container: clixml.List,
		List:      items,
	}
}

// createPipeline is MS-PSRP section 2.2.2.10 for one cmdlet. Every parameter is an argument of its own, so nothing in a
// value can become syntax.
func createPipeline(c Command, invocationInfo bool) *clixml.Object {
	args := make([]any, 0, len(c.Params))
	for _, p := range c.Params {
		args = append(args, ms(clixml.Property{Name: "N", Value: p.Name}, clixml.Property{Name: "V", Value: p.Value}))
	}
	none := func() *clixml.Object { return clixml.NewEnum(runspaces+"PipelineResultTypes", "None", 0) }
	command := ms(
		clixml.Property{Name: "Cmd", Value: c.Name},
		clixml.Property{Name: "IsScript", Value: false},
		clixml.Property{Name: "UseLocalScope", Value: nil},
		clixml.Property{Name: "MergeMyResult", Value: none()},
		clixml.Property{Name: "MergeToResult", Value: none()},
		clixml.Property{Name: "MergePreviousResults", Value: none()},
		clixml.Property{Name: "Args", Value: psObjectList(args...)},
		clixml.Property{Name: "MergeError", Value: none()},
		clixml.Property{Name: "MergeWarning", Value: none()},
		clixml.Property{Name: "MergeVerbose", Value: none()},
		clixml.Property{Name: "MergeDebug", Value: none()},
		clixml.Property{Name: "MergeInformation", Value: none()},
	)
	options := clixml.NewEnum(runspaces+"RemoteStreamOptions", "0", 0)
	if invocationInfo {
		options = clixml.NewEnum(runspaces+"RemoteStreamOptions", "AddInvocationInfo", 15)
	}
	return ms(
		clixml.Property{Name: "NoInput", Value: true},
		clixml.Property{Name: "ApartmentState", Value: apartment()},
		clixml.Property{Name: "RemoteStreamOptions", Value: options},
		clixml.Property{Name: "AddToHistory", Value: false},
		clixml.Property{Name: "HostInfo", Value: noHost()},
		clixml.Property{Name: "PowerShell", Value: ms(
			clixml.Property{Name: "IsNested", Value: false},
			clixml.Property{Name: "ExtraCmds", Value: nil},
			clixml.Property{Name: "Cmds", Value: psObjectList(command)},
			clixml.Property{Name: "History", Value: nil},
			clixml.Property{Name: "RedirectShellErrorOutputPipe", Value: false},
		)},
		clixml.Property{Name: "IsNested", Value: false},
	)
}

// parsePipeline is the way back: the commands of a CREATE_PIPELINE in order.
func parsePipeline(v any) ([]Command, error) {
	root, _ := v.(*clixml.Object)
	shell := root.Object("PowerShell")
	cmds := shell.Object("Cmds")
	if cmds == nil || len(cmds.List) == 0 {
		return nil, errors.New("psrp: CREATE_PIPELINE holds no commands")
	}
	out := make([]Command, 0, min(len(cmds.List), 64))
	for _, item := range cmds.List {
		o, ok := item.(*clixml.Object)
		if !ok {
			return nil, errors.New("psrp: a command of CREATE_PIPELINE is not an object")
		}
		name, _ := o.Get("Cmd")
		c := Command{}
		if c.Name, ok = name.(string); !ok {
			return nil, errors.New("psrp: a command of CREATE_PIPELINE has no name")
		}
		c.Script, _ = o.Bool("IsScript")
		if args := o.Object("Args"); args != nil {
			for _, a := range args.List {
				p, err := parseArgument(a)
				if err != nil {
					return nil, err
				}
				c.Params = append(c.Params, p)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func parseArgument(v any) (Param, error) {
	o, ok := v.(*clixml.Object)
	if !ok {
		return Param{}, errors.New("psrp: an argument of CREATE_PIPELINE is not an object")
	}
	name, _ := o.Get("N")
	value, _ := o.Get("V")
	p := Param{Value: value}
	switch n := name.(type) {
	case nil: // positional
	case string:
		// PowerShell's own clients send what was typed, which may be "-Name" or "-Name:".
		p.Name = strings.TrimSuffix(strings.TrimPrefix(n, "-"), ":")
	default:
		return Param{}, fmt.Errorf("psrp: the name of an argument is %T, want text", name)
	}
	if c, isCredential := clixml.CredentialOf(value); isCredential {
		p.Value = c
	}
	return p, nil
}
