package pep

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// The types of plan.Parameter.
const (
	typeString       = "String"
	typeStringList   = "StringList"
	typeSwitch       = "Switch"
	typeInt          = "Int"
	typeSecureString = "SecureString"
	typeCredential   = "PSCredential"
)

var (
	cmdletName    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Z][A-Za-z]{1,31}-[A-Za-z][A-Za-z0-9]{1,95}$`) })
	parameterName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`) })
)

// RefusedError means that a call was not sent because of what it says.
type RefusedError struct{ Cmdlet, Why, Todo string }

func (e *RefusedError) Error() string { return fmt.Sprintf("%q is not sent: %s", e.Cmdlet, e.Why) }

// Hint says what to do instead.
func (e *RefusedError) Hint() string { return e.Todo }

// command turns a planned call into the command of the protocol. Secrets are resolved here, as late as possible.
func command(call plan.Call, secrets Secrets) (psrp.Command, error) {
	refuse := func(format string, args ...any) (psrp.Command, error) {
		return psrp.Command{}, &RefusedError{Cmdlet: cut(call.Cmdlet, 128), Why: fmt.Sprintf(format, args...)}
	}
	if !cmdletName().MatchString(call.Cmdlet) {
		return refuse("this is not the name of a cmdlet")
	}
	cmd := psrp.Command{Name: call.Cmdlet}
	var seen []string
	for _, p := range call.Parameters {
		lower := strings.ToLower(p.Name)
		if !parameterName().MatchString(p.Name) {
			return refuse("%q is not the name of a parameter", cut(p.Name, 64))
		}
		if slices.Contains(seen, lower) {
			return refuse("-%s is given twice", p.Name)
		}
		seen = append(seen, lower)
		v, err := value(p, secrets)
		if err != nil {
			return psrp.Command{}, fmt.Errorf("%s -%s: %w", call.Cmdlet, p.Name, err)
		}
		cmd.Params = append(cmd.Params, psrp.Param{Name: p.Name, Value: v})
	}
	return cmd, nil
}

func value(p plan.Parameter, secrets Secrets) (any, error) {
	switch p.Type {
	case typeString:
		return p.Value, written(p.Value)
	case typeStringList:
		return slices.Clone(p.Values), written(p.Values...)
	case typeSwitch:
		return true, nil
	case typeInt:
		n, err := strconv.ParseInt(p.Value, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", p.Value)
		}
		return int32(n), nil
	case typeSecureString, typeCredential:
		if secrets == nil || p.Secret == "" {
			return nil, fmt.Errorf("no reference to its secret")
		}
		v, err := secrets(p.Secret)
		if err != nil {
			return nil, err
		}
		if err := written(v.Reveal(), p.Value); err != nil {
			return nil, err
		}
		s := clixml.NewSecureString(v.Reveal())
		if p.Type == typeSecureString {
			return s, nil
		}
		if p.Value == "" {
			return nil, fmt.Errorf("a credential without a user")
		}
		return clixml.Credential{User: p.Value, Password: s}, nil
	}
	return nil, fmt.Errorf("type %q is not known", p.Type)
}

// written refuses what no document can hold. It does not repeat it, because it may be a secret.
func written(texts ...string) error {
	if slices.ContainsFunc(texts, func(s string) bool { return !utf8.ValidString(s) }) {
		return errors.New("the text is not valid UTF-8")
	}
	return nil
}

// Resolvable reports whether every secret of a call can be had, before anything else is done.
func Resolvable(call plan.Call, secrets Secrets) error {
	_, err := command(call, secrets)
	return err
}

// readVerbs begin cmdlets that change nothing.
var readVerbs = []string{"Get-", "Test-", "Measure-", "Show-"}

// ReadOnly reports whether a call only reads, by what PowerShell's verbs mean.
func ReadOnly(call plan.Call) bool {
	if SupportSession(call.Cmdlet) || !slices.ContainsFunc(readVerbs, func(v string) bool { return hasPrefixFold(call.Cmdlet, v) }) {
		return false
	}
	return !slices.ContainsFunc(call.Parameters, func(p plan.Parameter) bool {
		// Test-AzureStack -Repair changes the stamp (PEPREF), and PowerShell takes any beginning of a name for it.
		return hasPrefixFold("Repair", p.Name)
	})
}

// SupportSession reports whether a cmdlet has to do with unlocking an endpoint, or with its tokens. That is for Microsoft support,
// with a person on both sides (PEP-2012); nothing here ever sends one.
func SupportSession(cmdlet string) bool {
	return strings.Contains(strings.ToLower(cmdlet), "supportsession")
}

// Planned are the cmdlets that only a plan may start.
func Planned(cmdlet string) bool {
	return strings.EqualFold(cmdlet, startCmdlet) || hasPrefixFold(cmdlet, "Set-Bmc")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Invoke runs a cmdlet that only reads.
func (s *Session) Invoke(ctx context.Context, call plan.Call, secrets Secrets, sink Sink) (Reply, error) {
	if !ReadOnly(call) {
		return Reply{}, &RefusedError{Cmdlet: cut(call.Cmdlet, 128), Why: "it may change the stamp"}
	}
	cmd, err := command(call, secrets)
	if err != nil {
		return Reply{}, err
	}
	return s.invoke(ctx, cmd, false, sink)
}

// mostAsked bounds how often a question is put whose answer loses a part on its way.
const mostAsked = 3

// ask is Invoke for a question whose answer is read: it is asked again until every message of the answer has arrived. The
// part that is lost may be all that was said, and then its absence would pass for the answer. The same goes for a part that
// cannot be read; but that would be no other the next time.
func (s *Session) ask(ctx context.Context, call plan.Call, secrets Secrets, sink Sink) (Reply, error) {
	for n := 1; ; n++ {
		reply, err := s.Invoke(ctx, call, secrets, sink)
		switch {
		case err != nil:
			return reply, err
		case reply.unread+reply.Dropped > 0:
			return reply, fmt.Errorf("%s: %d records of the answer cannot be read: %w", call.Cmdlet, reply.unread+reply.Dropped, ErrNoAnswer)
		case reply.Lost == 0:
			return reply, nil
		case n == mostAsked:
			return reply, fmt.Errorf("%s: lost of the answer: %s: %w", call.Cmdlet, amount.Of(int(reply.Lost), "message"), ErrNoAnswer)
		}
	}
}

// Unplanned runs any cmdlet but those that need a plan, at most once. The caller has asked for a reason and journaled it.
func (s *Session) Unplanned(ctx context.Context, call plan.Call, secrets Secrets, sink Sink) (Reply, error) {
	if SupportSession(call.Cmdlet) {
		return Reply{}, &RefusedError{Cmdlet: cut(call.Cmdlet, 128), Why: "support sessions are for Microsoft support", Todo: "unlock it by hand, together with Microsoft support"}
	}
	if Planned(call.Cmdlet) {
		return Reply{}, &RefusedError{
			Cmdlet: cut(call.Cmdlet, 128), Why: "it runs from a plan only",
			Todo: "make a plan, have it approved, and run rotate or bmc with it",
		}
	}
	cmd, err := command(call, secrets)
	if err != nil {
		return Reply{}, err
	}
	return s.invoke(ctx, cmd, true, sink)
}
