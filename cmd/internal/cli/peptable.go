package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/rotate/pep"
)

// The uses of a cmdlet in pep --list.
const (
	useReads     = "read-only"
	useUnplanned = "needs --unplanned"
	useRefused   = "refused"
	useUnlisted  = "not in certstamp's table"
)

func useOf(c policies.Cmdlet) string {
	switch {
	case c.Refused:
		return useRefused
	case c.ReadOnly:
		return useReads
	}
	return useUnplanned
}

// pepList is the table of what certstamp pep runs. When a stamp or host is named it is asked which of it it has, and what else.
func (a *app) pepList(ctx context.Context, k asking) error {
	base, err := policies.Default()
	if err != nil {
		return err
	}
	var has []string
	asked := k.host != "" || len(a.stamps) > 0
	if asked {
		if err := a.mayAskHost(k); err != nil {
			return err
		}
		err := a.atEndpoint(ctx, k, func(s *pep.Session) error {
			var err error
			has, err = s.Commands(ctx)
			return err
		})
		if err != nil {
			return err
		}
	}
	there := func(name string) string {
		switch {
		case !asked:
			return ""
		case slices.ContainsFunc(has, func(h string) bool { return strings.EqualFold(h, name) }):
			return "yes"
		}
		return "no"
	}
	for _, c := range base.Cmdlets() {
		a.doc.Cmdlets = append(a.doc.Cmdlets, report.Cmdlet{Name: c.Name, Use: useOf(c), There: there(c.Name), Parameters: parameterWords(c), Source: c.Source.String()})
	}
	for _, name := range has {
		if slices.ContainsFunc(a.doc.Cmdlets, func(c report.Cmdlet) bool { return strings.EqualFold(c.Name, name) }) {
			continue
		}
		use := useUnlisted
		if pep.SupportSession(name) {
			use = useRefused
		}
		a.doc.Cmdlets = append(a.doc.Cmdlets, report.Cmdlet{Name: name, Use: use, There: "yes"})
	}
	return nil
}

// pepSyntax asks which parameters a cmdlet takes there, whatever our table says.
func (a *app) pepSyntax(ctx context.Context, k asking, args []string) error {
	if len(args) != 1 {
		return usagef("certstamp pep Test-AzureStack --syntax", "--syntax takes one cmdlet and no parameters")
	}
	if k.unplanned != "" {
		return usagef("drop --unplanned", "--syntax only reads")
	}
	if pep.SupportSession(args[0]) {
		return supportSession(args[0])
	}
	if err := a.mayAskHost(k); err != nil {
		return err
	}
	return a.atEndpoint(ctx, k, func(s *pep.Session) error {
		y, err := s.CommandSyntax(ctx, args[0])
		if err != nil {
			return err
		}
		if !y.Known {
			return refusedf("no-cmdlet", "certstamp pep --list with the same stamp or host shows what it has", "the endpoint at %s describes no cmdlet %q", s.Host(), args[0])
		}
		a.doc.Records = append(a.doc.Records, report.Record{Stream: string(pep.OutputRecord), Value: y.Text})
		return nil
	})
}

// atEndpoint logs in for one question.
func (a *app) atEndpoint(ctx context.Context, k asking, do func(*pep.Session) error) error {
	cfg, name, err := a.askedEndpoint(k)
	if err != nil {
		return err
	}
	session, err := pep.Dial(ctx, cfg)
	if err != nil {
		return dialFailure(ctx, err)
	}
	defer func() { _ = session.Close(ctx) }()
	err = do(session)
	var (
		f      *failure
		failed *pep.CommandError
		no     *pep.RefusedError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.As(err, &no):
		return usagef("", "%w", err)
	case errors.As(err, &failed):
		a.doc.Stamps = append(a.doc.Stamps, report.Stamp{Stamp: name, Simulated: cfg.Simulated, Errors: []string{errorText(failed.Record)}})
		return fail(exitRefused, "cmdlet", err, "")
	}
	return dialFailure(ctx, err)
}

func supportSession(name string) error {
	return refusedf("refused", "support sessions are unlocked by hand, together with Microsoft support", "%s does not run from certstamp pep, not even with a reason", name)
}

// freeCall reads a cmdlet that our table does not have, for other endpoints than a stamp's: values say their own type.
func freeCall(args []string) (plan.Call, policies.Cmdlet, error) {
	call := plan.Call{Cmdlet: args[0], Parameters: []plan.Parameter{}}
	var problems []error
	for _, arg := range args[1:] {
		name, value, given := strings.Cut(arg, "=")
		q := plan.Parameter{Name: name, Type: "Switch"}
		kind, rest, typed := strings.Cut(value, ":")
		reference := func(text string) {
			r, err := secret.ParseRef(secret.PEP, text)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", name, err))
				return
			}
			q.Secret = r.String()
		}
		switch {
		case !given:
		case typed && kind == "secret":
			q.Type = "SecureString"
			reference(rest)
		case typed && kind == "credential":
			user, ref, both := strings.Cut(rest, ",")
			if !both || user == "" {
				problems = append(problems, fmt.Errorf("%s: write %s=credential:USER,env:PEP_X", name, name))
				continue
			}
			q.Type, q.Value = "PSCredential", user
			reference(ref)
		case typed && kind == "list":
			q.Type, q.Values = "StringList", strings.Split(rest, ",")
		case typed && kind == "int":
			q.Type, q.Value = "Int", rest
		default:
			q.Type, q.Value = "String", value
		}
		call.Parameters = append(call.Parameters, q)
	}
	c := policies.Cmdlet{Name: args[0], ReadOnly: pep.ReadOnly(call)}
	if len(problems) > 0 {
		return call, c, usagef("NAME=TEXT, NAME=int:5, NAME=list:A,B, NAME=secret:env:PEP_X, NAME=credential:USER,env:PEP_X, or a bare SWITCH", "%w", errors.Join(problems...))
	}
	return call, c, nil
}
