package pep

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// Update is the state of the stamp's last update. Not every release has the cmdlet that tells: Known is false then.
type Update struct {
	Known bool   `json:"known"`
	State State  `json:"state,omitempty"`
	Word  string `json:"word,omitempty"`
}

// UpdateStatus asks whether an update runs or has failed.
func (s *Session) UpdateStatus(ctx context.Context) (Update, error) {
	reply, err := s.ask(ctx, plan.Call{Cmdlet: "Get-AzureStackUpdateStatus", Parameters: []plan.Parameter{
		{Name: "StatusOnly", Type: typeSwitch},
	}}, nil, nil)
	var c *CommandError
	if errors.As(err, &c) && (c.NotFound() || noAction(c.Record)) {
		return Update{}, nil
	}
	if err != nil {
		return Update{}, err
	}
	for _, v := range slices.Backward(reply.outputs) {
		word := text(v, "Value", "Status", "State")
		if word == "" {
			word = strings.TrimSpace(clixml.Text(v))
		}
		if word != "" {
			return Update{Known: true, State: stateOf(word), Word: cut(word, 64)}, nil
		}
	}
	for _, e := range reply.Errors {
		if !e.notFound() && !noAction(e) {
			return Update{}, &CommandError{Cmdlet: "Get-AzureStackUpdateStatus", State: "Completed", Record: e} // it must not pass for a release that does not tell
		}
	}
	return Update{}, nil
}

// Syntax is what Get-Command -Syntax says about a cmdlet.
type Syntax struct {
	Known      bool     // the endpoint has the cmdlet and described it
	Parameters []string // names without dash, of all parameter sets
	Text       string
}

// Has reports whether the cmdlet takes a parameter.
func (y Syntax) Has(name string) bool {
	return slices.ContainsFunc(y.Parameters, func(p string) bool { return strings.EqualFold(p, name) })
}

// Missing returns the parameters of a call that the cmdlet doesn't take.
func (y Syntax) Missing(call plan.Call) []string {
	var out []string
	for _, p := range call.Parameters {
		if !y.Has(p.Name) {
			out = append(out, p.Name)
		}
	}
	return out
}

// commonParameters are what every cmdlet takes, and Get-Command shows as one word. -AsJob is what the endpoint's proxies
// add to each (PEPREF).
var commonParameters = []string{
	"Verbose", "Debug", "ErrorAction", "WarningAction", "InformationAction", "ErrorVariable", "WarningVariable", "InformationVariable",
	"OutVariable", "OutBuffer", "PipelineVariable", "ProgressAction", "AsJob",
}

// Compare holds the syntax against what the documents say a cmdlet takes: parameters that it lacks, and further ones that
// it has. The common ones count on neither side.
func (y Syntax) Compare(documented plan.Call) (lacks, more []string) {
	has := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return strings.EqualFold(p, name) })
	}
	var names []string
	for _, p := range documented.Parameters {
		names = append(names, p.Name)
	}
	for _, name := range names {
		if !y.Has(name) && !has(commonParameters, name) {
			lacks = append(lacks, name)
		}
	}
	for _, name := range y.Parameters {
		if !has(names, name) && !has(commonParameters, name) {
			more = append(more, name)
		}
	}
	return lacks, more
}

var syntaxParameter = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?:^|[\s\[])-([A-Za-z][A-Za-z0-9]*)`) })

// Commands are the names of the cmdlets that the endpoint shows.
func (s *Session) Commands(ctx context.Context) ([]string, error) {
	reply, err := s.ask(ctx, plan.Call{Cmdlet: "Get-Command"}, nil, nil)
	if err != nil {
		return nil, err
	}
	var out []string
	read := 0
	for _, v := range reply.outputs {
		for _, item := range items(v) {
			if read++; read > maxOutputs {
				return nil, fmt.Errorf("more than %d cmdlets: %w", maxOutputs, ErrNoAnswer) // the rest would pass for cmdlets that are not there
			}
			name := text(item, "Name")
			if name == "" {
				name = cut(strings.TrimSpace(clixml.Text(item)), 128)
			}
			if name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	if len(out) == 0 {
		return nil, ErrNoAnswer
	}
	return out, nil
}

// CommandSyntax asks which parameters a cmdlet takes on this release.
func (s *Session) CommandSyntax(ctx context.Context, cmdlet string) (Syntax, error) {
	reply, err := s.ask(ctx, plan.Call{Cmdlet: "Get-Command", Parameters: []plan.Parameter{
		{Name: "Name", Type: typeString, Value: cmdlet}, {Name: "Syntax", Type: typeSwitch},
	}}, nil, nil)
	var c *CommandError
	if errors.As(err, &c) && (c.NotFound() || noAction(c.Record)) {
		return Syntax{}, nil
	}
	if err != nil {
		return Syntax{}, err
	}
	var out Syntax
	for _, v := range reply.outputs {
		if len(out.Text) > maxText {
			break
		}
		out.Text += clixml.Text(v) + "\n"
	}
	out.Text = cut(strings.TrimSpace(out.Text), maxText)
	if !strings.Contains(strings.ToLower(out.Text), strings.ToLower(cmdlet)) {
		for _, e := range reply.Errors {
			if !e.notFound() && !noAction(e) {
				return Syntax{}, &CommandError{Cmdlet: "Get-Command", State: "Completed", Record: e} // it must not pass for an endpoint without the cmdlet
			}
		}
		return Syntax{Text: out.Text}, nil
	}
	out.Known = true
	for _, m := range syntaxParameter().FindAllStringSubmatch(out.Text, 512) {
		if !out.Has(m[1]) {
			out.Parameters = append(out.Parameters, m[1])
		}
	}
	return out, nil
}
