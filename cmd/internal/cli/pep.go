package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/journal"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/rotate/pep"
)

// asking is what certstamp pep was told.
type asking struct {
	host, user, password, configuration, pin string
	tls                                      bool
	unplanned                                string
}

func (a *app) pepCommand() *cobra.Command {
	var (
		k            asking
		list, syntax bool
	)
	cmd := &cobra.Command{
		Use:   "pep CMDLET [NAME=VALUE | SWITCH] ...",
		Short: "run one read-only cmdlet of the privileged endpoint",
		Long: "Parameters are typed by the cmdlet's own table: Group=SecretRotationReadiness, Include=AzsA,AzsB, List,\n" +
			"Name=secret:env:PEP_X, Name=credential:USER,env:PEP_X. Cmdlets that may change something need --unplanned REASON, are journaled, and\n" +
			"never run in CI; rotations and BMC credentials need a plan; support sessions are refused. An error record exits 1, also when the cmdlet\n" +
			"went on and completed. --list shows the table, with --stamp or --host also what that endpoint has; --syntax asks it for one cmdlet.\n" +
			"At another --configuration than PrivilegedEndpoint any cmdlet goes, and values say their type: NAME=TEXT, NAME=int:5, NAME=list:A,B.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case list && (syntax || len(args) > 0 || k.unplanned != ""):
				return usagef("certstamp pep --list [--stamp stamps/NAME]", "--list takes no cmdlet and no other order")
			case list:
				return a.pepList(cmd.Context(), k)
			case syntax:
				return a.pepSyntax(cmd.Context(), k, args)
			case len(args) == 0:
				return usagef("certstamp pep Get-ActionStatus Start-SecretRotation, or certstamp pep --list", "pep takes the name of a cmdlet")
			}
			return a.pep(cmd.Context(), k, args)
		},
	}
	a.stampFlag(cmd)
	a.recordFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&k.host, "host", "", "HOST[:PORT] to ask without a stamp file; not in CI")
	f.StringVar(&k.user, "user", "", "login, with --host")
	f.StringVar(&k.password, "password", "", "reference of its password, with --host: env:PEP_… or file:PATH")
	f.StringVar(&k.configuration, "configuration", "", "session configuration, with --host (default: PrivilegedEndpoint)")
	f.BoolVar(&k.tls, "tls", false, "WinRM over TLS, with --host and --pin")
	f.StringVar(&k.pin, "pin", "", "sha256:HEX of the host's certificate, with --tls")
	f.BoolVar(&list, "list", false, "show the cmdlets and what may be done with them")
	f.BoolVar(&syntax, "syntax", false, "ask which parameters the cmdlet takes")
	f.StringVar(&k.unplanned, "unplanned", "", "reason for running a cmdlet that may change something")
	return cmd
}

func (a *app) pep(ctx context.Context, k asking, args []string) error {
	base, err := policies.Default()
	if err != nil {
		return err
	}
	if pep.SupportSession(args[0]) {
		return supportSession(args[0])
	}
	call, cmdlet, err := parseCall(base, args)
	if k.elsewhere() && !known(base, args[0]) {
		call, cmdlet, err = freeCall(args)
	}
	if err != nil {
		return err
	}
	if err := a.mayAsk(cmdlet, call, k); err != nil {
		return err
	}
	cfg, name, err := a.askedEndpoint(k)
	if err != nil {
		return err
	}
	// Everything that can be missing is asked for before the login.
	if err := pep.Resolvable(call, a.secrets); err != nil {
		return configuration(err, "")
	}
	if k.unplanned != "" {
		cfg.IdleTimeout = 0
		if err := a.noteUnplanned(name, call, k.unplanned); err != nil {
			return err
		}
	}
	session, err := pep.Dial(ctx, cfg)
	if err != nil {
		return dialFailure(ctx, err)
	}
	defer func() { _ = session.Close(ctx) }()
	stream := slices.Contains(a.formats, "text")
	a.doc.Streamed = stream
	held := 0
	sink := func(r pep.Record) {
		keepRecord(a.doc, r, &held)
		if stream {
			for l := range strings.Lines(r.Text) {
				_, _ = fmt.Fprintf(a.out, "%s: %s\n", r.Kind, strings.TrimRight(l, "\r\n"))
			}
		}
	}
	run := session.Invoke
	if k.unplanned != "" {
		run = session.Unplanned
	}
	reply, err := run(ctx, call, a.secrets, sink)
	if reply.Lost > 0 {
		a.progress("lost on the way from the endpoint: %s", amount.Of(int(reply.Lost), "message"))
	}
	if n := a.doc.LeftOut; n > 0 {
		a.progress("too much for a report, which lacks the last: %s", amount.Of(n, "record"))
	}
	var failed *pep.CommandError
	switch {
	case err == nil && len(reply.Errors) == 0:
		return nil
	case err == nil:
		// It went on and completed; but whoever asked did not get what they asked for.
		entry := report.Stamp{Stamp: name, Simulated: cfg.Simulated}
		for _, e := range reply.Errors {
			entry.Errors = append(entry.Errors, errorText(e))
		}
		a.doc.Stamps = append(a.doc.Stamps, entry)
		return fail(exitRefused, "error-records", fmt.Errorf("%s completed with %s, the first: %q", call.Cmdlet, amount.Of(len(reply.Errors), "error record"), reply.Errors[0].Message), reply.Errors[0].Hint())
	case errors.As(err, &failed):
		a.doc.Stamps = append(a.doc.Stamps, report.Stamp{Stamp: name, Simulated: cfg.Simulated, Errors: []string{errorText(failed.Record)}})
		return fail(exitRefused, "cmdlet", err, "")
	case k.unplanned != "" && pep.Unknown(err): // also when interrupted: the cmdlet runs on
		return fail(exitUnknown, "unknown", err, "find out what it did before you run it again")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return environment("network", err, "")
}

// mostRecorded bounds in bytes what a report holds of records; the text is printed as it comes.
const mostRecorded = 64 << 20

// keepRecord puts a record into the document, or counts it there when those before it were too much.
func keepRecord(d *report.Document, r pep.Record, held *int) {
	if *held += r.Size(); *held > mostRecorded {
		d.LeftOut++
		return
	}
	kept := report.Record{Stream: string(r.Kind), Value: r.Text, Object: r.Object}
	if r.Error != nil {
		kept.Detail = errorText(*r.Error)
	}
	d.Records = append(d.Records, kept)
}

// mayAsk holds a cmdlet against the table: what reads may run, what may change something needs a reason and a person.
func (a *app) mayAsk(c policies.Cmdlet, call plan.Call, k asking) error {
	inCI := a.inCI()
	switch {
	case c.Refused, pep.Planned(c.Name):
		return refusedf("refused", "make a plan, have it approved, and run certstamp rotate or bmc with it", "%s does not run from certstamp pep", c.Name)
	case k.host != "" && inCI:
		return a.mayAskHost(k)
	case c.ReadOnly && k.unplanned == "":
		return nil
	case c.ReadOnly:
		return usagef("drop --unplanned", "%s only reads", c.Name)
	case inCI:
		return refusedf("unplanned", "run it by hand, with a reason", "%s may change the stamp and never runs in CI", c.Name)
	case strings.TrimSpace(k.unplanned) == "":
		return refusedf("unplanned", fmt.Sprintf("certstamp pep %s … --unplanned REASON", c.Name), "%s may change the stamp", call.Cmdlet)
	}
	return nil
}

// mayAskHost keeps a login whose destination nothing pins out of CI.
func (a *app) mayAskHost(k asking) error {
	if k.host != "" && a.inCI() {
		return refusedf("target", "use a stamp file, whose target is pinned", "--host is not for CI: nothing pins where the credential goes")
	}
	return nil
}

// elsewhere reports whether another endpoint than a stamp's is asked, whose cmdlets no table has.
func (k asking) elsewhere() bool {
	return k.host != "" && k.configuration != "" && !strings.EqualFold(k.configuration, "PrivilegedEndpoint")
}

func known(p *policies.Policy, name string) bool {
	return slices.ContainsFunc(p.Cmdlets(), func(c policies.Cmdlet) bool { return strings.EqualFold(c.Name, name) })
}

// askedEndpoint is the stamp's endpoint, or the host that was named.
func (a *app) askedEndpoint(k asking) (pep.Config, string, error) {
	if k.host == "" {
		if k.user != "" || k.password != "" || k.configuration != "" || k.tls || k.pin != "" {
			return pep.Config{}, "", usagef("add --host HOST[:PORT], or leave them out: the stamp file says all of that", "--user, --password, --configuration, --tls and --pin belong to --host")
		}
		j, err := a.oneJob()
		if err != nil {
			return pep.Config{}, "", err
		}
		s := j.stamp
		if s.PEP.IsZero() {
			return pep.Config{}, "", configuration(fmt.Errorf("stamp %s has no pep", s.Name), "add pep: {hosts: [...], user: ..., password: env:PEP_...} to stamp.yaml")
		}
		if err := a.checkTarget(s); err != nil {
			return pep.Config{}, "", err
		}
		cfg, err := a.endpointConfig(pepOf(s), s.Simulated)
		return cfg, s.Name, err
	}
	if len(a.stamps) > 0 {
		return pep.Config{}, "", usagef("leave out --stamp to ask the host "+k.host+", or --host with all that belongs to it to ask the stamp", "--host and --stamp each say whom to ask: one of them has to go")
	}
	if err := stamp.CheckHost(k.host); err != nil {
		return pep.Config{}, "", usagef("write a name or an address, and a port only where it is not WinRM's own: --host 10.0.0.11, or --host ercs01.contoso.com:5986 --tls --pin sha256:HEX", "--host: %w", err)
	}
	if k.user == "" || k.password == "" {
		return pep.Config{}, "", usagef("--host HOST --user 'DOMAIN\\user' --password env:PEP_PASSWORD", "--host needs --user and --password")
	}
	if k.tls && k.pin == "" {
		return pep.Config{}, "", usagef("--pin sha256:HEX of the host's certificate", "--tls needs --pin")
	}
	cfg, err := a.endpointConfig(plan.PEP{
		Hosts: []string{k.host}, TLS: k.tls, Pin: k.pin, User: k.user, Password: k.password, Configuration: k.configuration,
	}, loopback(k.host))
	return cfg, k.host, err
}

func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// noteUnplanned writes down what a person does outside every plan, before it is done.
func (a *app) noteUnplanned(name string, call plan.Call, reason string) error {
	file := a.path(filepath.Join(stateDir, fileWord(name), "unplanned.jsonl"))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return environment("journal", err, "")
	}
	j, err := journal.Open(file, "unplanned", a.env.Now().UTC().Format("20060102T150405.000"), a.env.Now)
	if err != nil {
		return environment("journal", err, "")
	}
	facts := map[string]string{"cmdlet": call.Text(), "reason": reason}
	return errors.Join(j.Append("pep", "invoke", "starting", facts), j.Close())
}

// parseCall reads a cmdlet with its parameters, by the types of the table.
func parseCall(p *policies.Policy, args []string) (plan.Call, policies.Cmdlet, error) {
	i := slices.IndexFunc(p.Cmdlets(), func(c policies.Cmdlet) bool { return strings.EqualFold(c.Name, args[0]) })
	if i < 0 {
		var names []string
		for _, c := range p.Cmdlets() {
			if c.ReadOnly {
				names = append(names, c.Name)
			}
		}
		return plan.Call{}, policies.Cmdlet{}, usagef("one of "+strings.Join(names, ", "), "%q is not a cmdlet of the privileged endpoint that certstamp knows", args[0])
	}
	cmdlet := p.Cmdlets()[i]
	call := plan.Call{Cmdlet: cmdlet.Name, Parameters: []plan.Parameter{}}
	var problems []error
	named := func(arg string) int {
		name, _, _ := strings.Cut(arg, "=")
		return slices.IndexFunc(cmdlet.Parameters, func(q policies.CmdletParameter) bool { return strings.EqualFold(q.Name, name) })
	}
	// As at a prompt, what names no parameter fills the first position that nothing by name takes.
	var free []int
	for position := 1; position <= len(cmdlet.Parameters); position++ {
		at := slices.IndexFunc(cmdlet.Parameters, func(q policies.CmdletParameter) bool { return q.Position == position })
		if at >= 0 && !slices.ContainsFunc(args[1:], func(arg string) bool { return named(arg) == at }) {
			free = append(free, at)
		}
	}
	for _, arg := range args[1:] {
		name, value, given := strings.Cut(arg, "=")
		at := named(arg)
		// A misspelt name must not become a value of something that changes the stamp.
		if at < 0 && len(free) > 0 && (!given || cmdlet.ReadOnly) {
			at, free = free[0], free[1:]
			value, given = arg, true
		}
		if at < 0 {
			problems = append(problems, fmt.Errorf("%s has no parameter %q", cmdlet.Name, name))
			continue
		}
		q, err := parameter(cmdlet.Parameters[at], value, given)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		call.Parameters = append(call.Parameters, q)
	}
	for _, q := range cmdlet.Parameters {
		if q.Mandatory && !slices.ContainsFunc(call.Parameters, func(x plan.Parameter) bool { return x.Name == q.Name }) {
			problems = append(problems, fmt.Errorf("%s needs %s", cmdlet.Name, q.Name))
		}
	}
	if len(problems) > 0 {
		return call, cmdlet, usagef("parameters: "+parameterWords(cmdlet), "%w", errors.Join(problems...))
	}
	return call, cmdlet, nil
}

func parameterWords(c policies.Cmdlet) string {
	if len(c.Parameters) == 0 {
		return "none"
	}
	var out []string
	for _, q := range c.Parameters {
		switch q.Type {
		case "Switch":
			out = append(out, q.Name)
		case "SecureString":
			out = append(out, q.Name+"=secret:env:PEP_X")
		case "PSCredential":
			out = append(out, q.Name+"=credential:USER,env:PEP_X")
		case "StringList":
			out = append(out, q.Name+"=A,B")
		default:
			out = append(out, q.Name+"=…")
		}
	}
	return strings.Join(out, " ")
}

func parameter(q policies.CmdletParameter, value string, given bool) (plan.Parameter, error) {
	out := plan.Parameter{Name: q.Name, Type: q.Type}
	reference := func(text string) error {
		r, err := secret.ParseRef(secret.PEP, text)
		if err != nil {
			return fmt.Errorf("%s: %w", q.Name, err)
		}
		out.Secret = r.String()
		return nil
	}
	switch q.Type {
	case "Switch":
		if given && !strings.EqualFold(value, "true") {
			return out, fmt.Errorf("%s is a switch: name it, or leave it out", q.Name)
		}
		return out, nil
	case "SecureString":
		text, ok := strings.CutPrefix(value, "secret:")
		if !ok {
			return out, fmt.Errorf("%s is a secret: write %s=secret:env:PEP_X", q.Name, q.Name)
		}
		return out, reference(text)
	case "PSCredential":
		text, ok := strings.CutPrefix(value, "credential:")
		user, ref, both := strings.Cut(text, ",")
		if !ok || !both || user == "" {
			return out, fmt.Errorf("%s is a credential: write %s=credential:USER,env:PEP_X", q.Name, q.Name)
		}
		out.Value = user
		return out, reference(ref)
	}
	if !given {
		return out, fmt.Errorf("%s needs a value: %s=…", q.Name, q.Name)
	}
	if q.Type == "StringList" {
		out.Values = strings.Split(value, ",")
		if slices.Contains(out.Values, "") {
			return out, fmt.Errorf("%s has an empty item: write %s=A,B", q.Name, q.Name)
		}
		return out, nil
	}
	out.Value = value
	return out, nil
}
