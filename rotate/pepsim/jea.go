package pepsim

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// kind is what a parameter takes.
type kind int

const (
	text kind = iota
	textList
	toggle
	number
	secureString
	credential
	byteArray
	anything
)

// parameter is one parameter of a cmdlet.
type parameter struct {
	name      string
	unnamed   bool // no document names it: it is given by its position, and its name is ours
	kind      kind
	mandatory bool
	from      int // first release that has it, 0: always
}

// cmdlet is one command that the endpoint shows.
type cmdlet struct {
	name        string
	parameters  []parameter
	from, until int  // releases that have it; until is the first that lacks it
	builtin     bool // of PowerShell itself, not one of the stamp's proxies
	run         func(context.Context, *call) error
}

// common are the parameters that every advanced function takes.
var common = []parameter{
	{name: "Verbose", kind: toggle},
	{name: "Debug", kind: toggle},
	{name: "ErrorAction", kind: text},
	{name: "WarningAction", kind: text},
	{name: "InformationAction", kind: text},
	{name: "ErrorVariable", kind: text},
	{name: "OutVariable", kind: text},
	{name: "OutBuffer", kind: number},
}

// asJob is what the stamp's proxies take as well.
var asJob = parameter{name: "AsJob", kind: toggle}

func (d *cmdlet) common() []parameter {
	if d.builtin {
		return common
	}
	return append(slices.Clone(common), asJob)
}

// call is one invocation under way.
type call struct {
	s    *Server
	sh   *shell
	id   psrp.GUID
	name string
	args map[string]any // by the parameter's own name

	behind bool // a job: nobody hears what it says
}

func (c *call) text(name string) string {
	v, _ := c.args[name].(string)
	return v
}

func (c *call) flag(name string) bool {
	v, _ := c.args[name].(bool)
	return v
}

func (c *call) has(name string) bool { _, ok := c.args[name]; return ok }

func (c *call) list(name string) []string {
	v, _ := c.args[name].([]string)
	return v
}

// write sends a record. It blocks while the client does not read, as the real buffer does.
func (c *call) write(ctx context.Context, r psrp.Record) error {
	if c.behind {
		return ctx.Err()
	}
	for {
		c.sh.mu.Lock()
		cmd := c.sh.commands[c.id]
		if cmd == nil {
			c.sh.mu.Unlock()
			return context.Canceled // closed by the client
		}
		if cmd.out.size < c.s.cfg.Buffer || c.sh.drop && !c.sh.connected {
			err := c.sh.core.Emit(c.id, r)
			c.sh.flush()
			c.sh.mu.Unlock()
			return err
		}
		wake := cmd.out.wake
		cmd.blocked = true
		c.sh.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		c.sh.mu.Lock()
		cmd.blocked = false
		c.sh.mu.Unlock()
	}
}

// terminating is an error that ends the pipeline.
type terminating struct{ psrp.ErrorRecord }

func (e *terminating) Error() string { return e.Message }

func terminate(category psrp.Category, id, exception, format string, args ...any) error {
	return &terminating{record(category, id, exception, format, args...)}
}

func record(category psrp.Category, id, exception, format string, args ...any) psrp.ErrorRecord {
	reason := exception[strings.LastIndexByte(exception, '.')+1:]
	return psrp.ErrorRecord{
		Message: fmt.Sprintf(format, args...), ID: id, Category: category, Exception: exception, Reason: reason,
	}
}

const (
	commandNotFound = "System.Management.Automation.CommandNotFoundException"
	parseException  = "System.Management.Automation.ParseException"
	bindingError    = "System.Management.Automation.ParameterBindingException"
	runtimeError    = "System.Management.Automation.RuntimeException"
)

// pipeline runs the commands of one pipeline and says how it ended. Only one pipeline of a pool runs at a time.
func (s *Server) pipeline(ctx context.Context, sh *shell, c *command, commands []psrp.Command) {
	var err error
	select {
	case sh.turn <- struct{}{}:
		if c.asks {
			err = s.orderedCalls(ctx, sh, c)
		}
		if err == nil {
			err = s.invoke(ctx, sh, c, commands)
		}
		<-sh.turn
	case <-ctx.Done():
		err = ctx.Err()
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.commands[c.id] != c {
		return // closed, nobody can ask for its end
	}
	state, e := psrp.PipelineCompleted, (*psrp.ErrorRecord)(nil)
	switch t, ok := err.(*terminating); { //nolint:errorlint // it is never wrapped
	case err == nil:
	case ok:
		state, e = psrp.PipelineFailed, &t.ErrorRecord
	case ctx.Err() != nil || c.stopped:
		r := record(psrp.OperationStopped, "PipelineStopped", "System.Management.Automation.PipelineStoppedException", "The pipeline has been stopped.")
		state, e = psrp.PipelineStopped, &r
	default:
		r := record(psrp.NotSpecified, "RuntimeException", runtimeError, "%v", err)
		state, e = psrp.PipelineFailed, &r
	}
	_ = sh.core.SetPipelineState(c.id, state, e)
	sh.flush()
	c.out.final = true
	c.out.changed()
}

// formatters may follow the one cmdlet of a pipeline; they change nothing about the objects here.
var formatters = []string{"Out-Default", "Out-String", "Select-Object", "Measure-Object"}

func (s *Server) invoke(ctx context.Context, sh *shell, c *command, commands []psrp.Command) error {
	for i, cmd := range commands {
		switch {
		case cmd.Script:
			s.history.write(event{Event: "refused", User: sh.owner, Cmdlet: "(script)", Reason: "script text, and the runspace has no language"})
			return terminate(psrp.ParserError, "ScriptsNotAllowed", parseException,
				"The syntax is not supported by this runspace. This can occur if the runspace is in no-language mode.")
		case i > 0 && containsFold(formatters, cmd.Name):
			continue
		case i > 0:
			s.history.write(event{Event: "refused", User: sh.owner, Cmdlet: cmd.Name, Reason: "a second command in one pipeline"})
			return terminate(psrp.ParserError, "ScriptsNotAllowed", parseException, "Only one command is allowed in a pipeline of this runspace.")
		}
	}
	if len(commands) == 0 {
		return nil
	}
	return s.cmdlet(ctx, sh, c, commands[0])
}

func (s *Server) cmdlet(ctx context.Context, sh *shell, c *command, cmd psrp.Command) error {
	def := s.find(cmd.Name)
	e := event{Event: "invoke", User: sh.owner, Cmdlet: cmd.Name}
	for _, p := range cmd.Params {
		e.Parameters = append(e.Parameters, p.Name)
	}
	if def == nil {
		e.Event, e.Reason = "refused", "the endpoint shows no such command"
		s.history.write(e)
		return terminate(psrp.ObjectNotFound, "CommandNotFoundException", commandNotFound,
			"The term '%s' is not recognized as the name of a cmdlet, function, script file, or operable program. Check the spelling of the name, or if a path was included, verify that the path is correct and try again.", cmd.Name)
	}
	e.Cmdlet = def.name
	args, err := s.bind(def, cmd.Params)
	if err != nil {
		e.Event, e.Reason = "refused", err.Error()
		s.history.write(e)
		return err
	}
	s.history.write(e)
	s.transcripts.note(sh.transcript, s.now(), def.name)
	one := &call{s: s, sh: sh, id: c.id, name: def.name, args: args}
	if one.flag(asJob.name) {
		return s.asJob(ctx, one, def)
	}
	if strings.EqualFold(s.cfg.Streams, def.name) {
		if err := one.everyStream(ctx); err != nil {
			return err
		}
	}
	return def.run(ctx, one)
}

// everyStream says one record on each stream beside the output, which is the cmdlet's own.
func (c *call) everyStream(ctx context.Context) error {
	said := func(stream string) string { return fmt.Sprintf("SIMULATED %s of %s", stream, c.name) }
	for _, r := range []psrp.Record{
		psrp.Warning{Text: said("warning")},
		psrp.Verbose{Text: said("verbose")},
		psrp.Debug{Text: said("debug")},
		psrp.Information{Text: said("information"), Source: c.name, Tags: []string{"PSHOST"}, Time: c.s.now()},
		psrp.Progress{Activity: said("progress"), ID: 1, ParentID: -1, Percent: 50, SecondsLeft: -1},
		record(psrp.NotSpecified, "SimulatedError,"+c.name, runtimeError, "%s", said("error")),
	} {
		if err := c.write(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) find(name string) *cmdlet {
	for i := range s.cmdlets {
		if d := &s.cmdlets[i]; strings.EqualFold(d.name, name) && s.release >= d.from && (d.until == 0 || s.release < d.until) {
			return d
		}
	}
	return nil
}

// parametersOf are the parameters this release shows.
func (s *Server) parametersOf(d *cmdlet) []parameter {
	var out []parameter
	for _, p := range d.parameters {
		if s.release >= p.from {
			out = append(out, p)
		}
	}
	return out
}

// bind matches parameters as PowerShell does: names without case, unique beginnings, positions in order.
func (s *Server) bind(d *cmdlet, given []psrp.Param) (map[string]any, error) {
	own := s.parametersOf(d)
	args := map[string]any{}
	position := 0
	for _, g := range given {
		var p *parameter
		if g.Name == "" {
			for position < len(own) && args[own[position].name] != nil {
				position++
			}
			if position >= len(own) {
				return nil, terminate(psrp.InvalidArgument, "PositionalParameterNotFound,"+d.name, bindingError,
					"A positional parameter cannot be found that accepts the given argument.")
			}
			p = &own[position]
		} else if p = match(own, g.Name); p == nil {
			if p = match(d.common(), g.Name); p == nil {
				return nil, terminate(psrp.InvalidArgument, "NamedParameterNotFound,"+d.name, bindingError,
					"A parameter cannot be found that matches parameter name '%s'.", g.Name)
			}
		}
		v, ok := convert(p.kind, g.Value)
		if !ok {
			return nil, terminate(psrp.InvalidArgument, "CannotConvertArgumentNoMessage,"+d.name, bindingError,
				"Cannot bind parameter '%s'. The value is of the wrong type.", p.name)
		}
		if _, twice := args[p.name]; twice {
			return nil, terminate(psrp.InvalidArgument, "ParameterAlreadyBound,"+d.name, bindingError,
				"Cannot bind parameter because parameter '%s' is specified more than once.", p.name)
		}
		args[p.name] = v
	}
	var missing []string
	for _, p := range own {
		if p.mandatory && args[p.name] == nil {
			missing = append(missing, p.name)
		}
	}
	if len(missing) > 0 {
		return nil, terminate(psrp.InvalidArgument, "MissingMandatoryParameter,"+d.name, bindingError,
			"Cannot process command because of one or more missing mandatory parameters: %s.", strings.Join(missing, " "))
	}
	return args, nil
}

func match(list []parameter, name string) *parameter {
	var found *parameter
	for i, p := range list {
		switch {
		case p.unnamed:
		case strings.EqualFold(p.name, name):
			return &list[i]
		case len(name) < len(p.name) && strings.EqualFold(p.name[:len(name)], name):
			if found != nil {
				return nil // ambiguous
			}
			found = &list[i]
		}
	}
	return found
}

// convert checks a value against what the parameter takes. An empty string for a secret is refused like nothing at all.
func convert(k kind, v any) (any, bool) {
	switch k {
	case text:
		switch x := v.(type) {
		case string:
			return x, true
		case int32, int64, bool:
			return fmt.Sprint(x), true
		}
	case textList:
		switch x := v.(type) {
		case string:
			return []string{x}, true
		case *clixml.Object:
			var out []string
			for _, item := range x.List {
				s, ok := item.(string)
				if !ok {
					return nil, false
				}
				out = append(out, s)
			}
			return out, len(out) > 0
		}
	case toggle:
		switch x := v.(type) {
		case bool:
			return x, true
		case nil:
			return true, true
		}
	case number:
		if n, ok := clixml.Int(v); ok {
			return n, true
		}
	case secureString:
		if x, ok := v.(clixml.SecureString); ok {
			return x, true
		}
	case credential:
		if x, ok := clixml.CredentialOf(v); ok {
			return x, true
		}
	case byteArray:
		switch x := v.(type) {
		case []byte:
			return x, true
		case *clixml.Object: // a Byte[] that its client has taken apart
			b := make([]byte, len(x.List))
			for i, item := range x.List {
				one, ok := item.(uint8)
				if !ok {
					return nil, false
				}
				b[i] = one
			}
			return b, len(b) > 0
		}
	case anything:
		return v, v != nil
	}
	return nil, false
}

func containsFold(list []string, s string) bool {
	for _, x := range list {
		if strings.EqualFold(x, s) {
			return true
		}
	}
	return false
}
