// Package bmc hands a stamp its planned BMC credential, once, through the privileged endpoint.
//
// Run guards the stamp, journals, sends the one cmdlet at most once and judges the stamp's view of its BMCs afterwards.
// What the cmdlet prints on success is documented nowhere, so no error is the only sign of it. A lost connection leaves
// the outcome unknown: the cmdlet has no action to ask about, and a healthy stamp may be so with the old credential as
// with the new one. Only a login to a node proves it; Deps.Probe is the place where one is plugged in.
//
// A journaled start is never repeated. Endings is the closed list of how it can come out.
package bmc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

// Endpoint is a login to the privileged endpoint; *pep.Session is one.
type Endpoint interface {
	Host() string
	StampInformation(ctx context.Context) (pep.StampInformation, error)
	CommandSyntax(ctx context.Context, cmdlet string) (pep.Syntax, error)
	TestAzureStack(ctx context.Context, check plan.HealthCheck, secrets pep.Secrets, sink pep.Sink) (pep.HealthReport, error)
	Prepare(ctx context.Context) error // exchanges keys ahead of the change
	SetBMC(ctx context.Context, call plan.Call, secrets pep.Secrets, sink pep.Sink) (pep.Reply, error)
	Close(ctx context.Context) error
}

var _ Endpoint = (*pep.Session)(nil)

// Journal is this room's view of the plan's journal.
type Journal interface {
	// Append returns when the entry is on the disk. After an error, what it announces is not done.
	Append(step, state string, facts map[string]string) error
	Entries() []Entry // of this plan and room, oldest first
}

// Entry is one line of the journal. Ending is the fact of that name, of an end.
type Entry struct{ Run, Step, State, Ending string }

// Proof is which credential a node takes.
type Proof string

// The proofs.
const (
	NoProof Proof = ""
	New     Proof = "new" // every node takes the new credential
	Old     Proof = "old" // no node takes it
	Some    Proof = "some"
)

// Deps is the world. Tests replace all of it.
type Deps struct {
	Dial    func(ctx context.Context) (Endpoint, error) // logs in; its errors are those of pep.Dial
	Probe   func(ctx context.Context) (Proof, error)    // tries the new credential on the nodes; nil: nobody can
	Journal Journal
	Now     func() time.Time
	Limit   time.Duration // of the cmdlet; 2 h when zero
	Events  func(Event)   // nil: dropped
}

// Event is progress for people. Record's text is foreign.
type Event struct {
	Time   time.Time
	Text   string
	Record *pep.Record
}

// Job is what the plan says about this room.
type Job struct {
	Stamp     plan.Stamp
	Simulated bool
	BMC       plan.BMCSection
	Secrets   pep.Secrets
}

// Result is what an ending comes to.
type Result string

// The results. The command line gives each its exit code.
const (
	Success     Result = "success"
	Failed      Result = "failed"
	Partly      Result = "partly"  // some BMCs or the stamp have the new credential, others the old one
	Unknown     Result = "unknown" // never send it again before you know
	Refused     Result = "refused"
	Environment Result = "environment" // nothing was changed
)

// Ending is one way in which it can come out, in the words of the table in docs/operations.md.
type Ending struct {
	ID     string
	Result Result
	Seen   string // of the cmdlet, on the nodes, on the stamp, in the journal
	Means  string // what is concluded from it
	Did    string // what this run did, beside looking
	Next   string // what to do now
}

// Endings is the closed list.
func Endings() []Ending {
	const (
		again = "run bmc again with the same plan"
		look  = "try the new credential on one BMC: if it works, the change is done; if not, make a new plan"
		tell  = "tell other tools that log in to the BMCs the new credential"

		sent   = "sent the cmdlet once; asked for the stamp's health"
		either = "sent the cmdlet once, or found it in the journal; asked for the stamp's health"
		found  = "sent nothing: found the cmdlet in the journal; asked for the stamp's health"
		none   = "sent no cmdlet"
	)
	return []Ending{
		{"set", Success, "no error record, and no health test of the BMCs fails", "the cmdlet ended without an error, and the stamp sees its BMCs", sent, tell},
		{"proved", Success, "the new credential works on every node that was asked", "every node takes the new credential, and the stamp sees its BMCs", either, tell},
		{"already", Success, "an ending of success in the journal, and no health test of the BMCs fails", "the journal shows that an earlier run saw it end well, and nothing seen now contradicts that", found, tell},
		{"call-failed", Failed, "an error record of the stamp", "the cmdlet ended with the stamp's error", either, "fix the cause the stamp names, then make a new plan"},
		{"proved-not", Failed, "the connection was lost, and the old credential works on every node that was asked", "the outcome was unknown, and no node takes the new credential", either, "make a new plan"},
		{"mixed", Partly, "the new credential works on some of the nodes that were asked", "some nodes take the new credential, others don't", either, "set the others by the hardware's own tools, then plan with update: external"},
		{"not-seen", Partly, "no error record, and a health test of the BMCs fails", "the cmdlet ended without an error, and the stamp does not see its BMCs", either, "compare the BMCs with the new credential; the stamp has it, some hardware may not"},
		{"no-proof", Unknown, "the connection was lost after the first byte of the cmdlet, or we had to leave", "the cmdlet was sent, its end was not seen, and nobody has tried the credential", sent, look},
		{"sent-before", Unknown, "a start in the journal, without an ending of success", "the journal shows that the cmdlet was sent by an earlier run: it is not sent again", found, look},
		{"wrong-stamp", Refused, "region, domain, version or CloudID that the stamp reports is not the plan's", "the stamp is not the planned one", none, "correct the target or the plan; nothing was sent by this run"},
		{"bad-call", Refused, "another cmdlet, parameter or type than the documents and this stamp have", "the planned call is one that no document or this stamp describes", none, "make a new plan"},
		{"long-password", Refused, "more characters than the BMCs of the documents take", "the new password is longer than the BMCs take", none, "put a shorter one under the same reference and run bmc again with the same plan"},
		{"unreachable", Environment, "no host of the endpoint could be reached, or a question before the cmdlet got no answer", "the endpoint could not be reached, or could not be asked", none, again},
		{"login-refused", Environment, "the first login was refused", "the endpoint refused the login", "sent no cmdlet; tried the password nowhere else", "check user and password first: a second wrong one may lock the account"},
		{"no-secret", Environment, "a reference of the call leads to nothing", "a secret of the call cannot be had", "logged in nowhere", "provide it under the reference the message names"},
		{"no-journal", Environment, "the line before the cmdlet could not be written, here or on the share, or another run wrote one meanwhile", "the journal does not show this cmdlet as the only one, so nothing may be sent", none, again},
		{"not-taken", Environment, "the connection failed before the first byte of the cmdlet", "the cmdlet was not taken by the stamp", "took the start back in the journal", again},
		{"cancelled", Environment, "a signal before the cmdlet", "we were told to leave before anything was sent", none, again},
	}
}

func ending(id string) Ending {
	for _, e := range Endings() {
		if e.ID == id {
			return e
		}
	}
	panic("bmc: no ending is called " + id) // our own list and our own words
}

// Outcome is how it came out.
type Outcome struct {
	Result   Result             `json:"result"`
	Ending   string             `json:"ending"`
	Started  bool               `json:"started"` // the cmdlet may have reached the stamp, now or in an earlier run
	Host     string             `json:"host,omitempty"`
	Findings []validate.Finding `json:"findings"`
	Errors   []pep.ErrorRecord  `json:"errors,omitempty"`
	Proof    Proof              `json:"proof,omitempty"`
	Health   *pep.HealthReport  `json:"health,omitempty"` // afterwards; nil when it was not or could not be checked
	Cause    string             `json:"cause,omitempty"`
	Next     string             `json:"next,omitempty"`
	Took     time.Duration      `json:"took"`
}

// The journal's step and states of this room.
const (
	stepStart     = "start"
	stepEnd       = "end"
	stateStarting = "starting"
	stateNotTaken = "not-taken" // the stamp certainly never got it
)

// Started reports whether a journal shows that the cmdlet may have been sent. Only the run that wrote a start can take it
// back.
func Started(entries []Entry) bool {
	by, started := "", false
	for _, e := range entries {
		switch {
		case e.Step != stepStart:
		case e.State == stateNotTaken:
			started = started && e.Run != by
		case !started:
			by, started = e.Run, true
		}
	}
	return started
}

// succeeded reports whether a journal shows a start that was seen to end well. What a later run could not find out takes
// nothing back.
func succeeded(entries []Entry) bool {
	for i, e := range entries {
		if e.Step == stepEnd && e.State == string(Success) {
			return Started(entries[:i])
		}
	}
	return false
}

// failure is the last bad ending that a journal shows after a start, or empty. An end that could not be told is none.
func failure(entries []Entry) string {
	id := ""
	for i, e := range entries {
		bad := slices.ContainsFunc(Endings(), func(x Ending) bool { return x.ID == e.Ending && (x.Result == Failed || x.Result == Partly) })
		if e.Step == stepEnd && bad && Started(entries[:i]) {
			id = e.Ending
		}
	}
	return id
}

type change struct {
	d   Deps
	j   Job
	out Outcome
	err error
	ep  Endpoint
}

// Run makes the change, unless it was sent before. The error is the cause of an outcome that is neither the stamp's nor
// the plan's doing.
func Run(ctx context.Context, d Deps, j Job) (Outcome, error) {
	c := &change{d: d, j: j, out: Outcome{Findings: []validate.Finding{}, Started: Started(d.Journal.Entries())}}
	begun := d.Now()
	c.run(ctx)
	if c.ep != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		_ = c.ep.Close(closing) // nothing hangs on it: an idle session expires by itself
		cancel()
	}
	if c.out.Started {
		c.note(stepEnd, string(c.out.Result), map[string]string{"ending": c.out.Ending})
	}
	c.out.Took = d.Now().Sub(begun)
	return c.out, c.err
}

func (c *change) event(e Event) {
	if c.d.Events != nil {
		e.Time = c.d.Now()
		c.d.Events(e)
	}
}

func (c *change) note(step, state string, facts map[string]string) {
	if err := c.d.Journal.Append(step, state, facts); err != nil {
		c.event(Event{Text: "the journal could not be written: " + err.Error()})
	}
}

func (c *change) end(id string, cause error) {
	e := ending(id)
	c.out.Ending, c.out.Result, c.out.Next, c.err = e.ID, e.Result, e.Next, cause
	if cause != nil {
		c.out.Cause = cause.Error()
	}
}

func (c *change) endBefore(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
		c.end("cancelled", ctx.Err())
	case pep.Unauthorized(err):
		c.end("login-refused", err)
	default:
		c.end("unreachable", err)
	}
}

func (c *change) run(ctx context.Context) {
	if err := pep.CheckBMC(c.j.BMC.Call); err != nil {
		c.fail("planned-call", "Planned Call", err.Error(), "a call that the documents describe", ending("bad-call").Next)
		c.end("bad-call", nil)
		return
	}
	if c.out.Started {
		c.event(Event{Text: "the journal shows that the cmdlet was sent: it is not sent again"})
		said := "sent-before"
		if succeeded(c.d.Journal.Entries()) {
			said = "already"
		} else if id := failure(c.d.Journal.Entries()); id != "" {
			said = id
		}
		c.resolve(ctx, said, nil)
		return
	}
	if err := pep.Resolvable(c.j.BMC.Call, c.j.Secrets); err != nil {
		c.end("no-secret", err)
		return
	}
	if !c.fits() {
		return
	}
	var err error
	if c.ep, err = c.d.Dial(ctx); err != nil {
		c.endBefore(ctx, err)
		return
	}
	c.out.Host = c.ep.Host()
	if !c.guard(ctx) || !c.syntax(ctx) {
		return
	}
	c.send(ctx)
}

// fits holds the new password to the length that the controllers take. The plan cannot: it never sees a secret.
func (c *change) fits() bool {
	for _, p := range c.j.BMC.Call.Parameters {
		if c.j.BMC.Longest <= 0 || p.Name != "BmcPassword" {
			continue
		}
		v, err := c.j.Secrets(p.Secret)
		if err != nil {
			c.end("no-secret", err)
			return false
		}
		if n := utf8.RuneCountInString(v.Reveal()); n > c.j.BMC.Longest {
			c.fail("bmc-password", "BMC Password", fmt.Sprintf("%d characters", n), fmt.Sprintf("at most %d", c.j.BMC.Longest), ending("long-password").Next)
			c.end("long-password", nil)
			return false
		}
	}
	return true
}

func (c *change) fail(id, name, found, wanted, hint string) {
	c.out.Findings = append(c.out.Findings, validate.Finding{ID: id, Name: name, Result: validate.Fail, Found: found, Wanted: wanted, Hint: hint})
}

// guard holds the stamp against the plan.
func (c *change) guard(ctx context.Context) bool {
	info, err := c.ep.StampInformation(ctx)
	if err != nil {
		c.endBefore(ctx, fmt.Errorf("ask the stamp who it is: %w", err))
		return false
	}
	for _, x := range pep.Guard(info, c.j.Stamp, c.j.Simulated) {
		c.fail(x.ID, x.Name, x.Found, x.Wanted, x.Hint)
	}
	if len(c.out.Findings) > 0 {
		c.end("wrong-stamp", nil)
		return false
	}
	return true
}

// syntax asks whether this release has the cmdlet: Set-BmcCredential and Set-BmcPassword changed places at a build that no
// document names.
func (c *change) syntax(ctx context.Context) bool {
	y, err := c.ep.CommandSyntax(ctx, c.j.BMC.Call.Cmdlet)
	if err != nil {
		c.endBefore(ctx, fmt.Errorf("ask for the syntax of %s: %w", c.j.BMC.Call.Cmdlet, err))
		return false
	}
	if missing := y.Missing(c.j.BMC.Call); y.Known && len(missing) > 0 {
		c.fail("cmdlet-syntax", "Cmdlet Syntax", fmt.Sprintf("%s does not take -%s", c.j.BMC.Call.Cmdlet, missing[0]),
			"the planned parameters", "the stamp's release differs from the plan's version: correct it and plan again")
		c.end("bad-call", nil)
		return false
	}
	return true
}

func (c *change) record(r pep.Record) { c.event(Event{Record: &r}) }

// send journals, then sends the one command that changes the stamp.
func (c *change) send(ctx context.Context) {
	if err := c.ep.Prepare(ctx); err != nil {
		c.endBefore(ctx, fmt.Errorf("exchange keys: %w", err))
		return
	}
	if ctx.Err() != nil {
		c.end("cancelled", ctx.Err())
		return
	}
	if err := c.d.Journal.Append(stepStart, stateStarting, map[string]string{"cmdlet": c.j.BMC.Call.Cmdlet, "host": c.out.Host}); err != nil {
		c.end("no-journal", err)
		return
	}
	limit := c.d.Limit
	if limit <= 0 {
		limit = 2 * time.Hour
	}
	c.event(Event{Text: "hand the stamp its new BMC credential"})
	watched, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	reply, err := c.ep.SetBMC(watched, c.j.BMC.Call, c.j.Secrets, c.record)
	if pep.NotTaken(err) && len(reply.Records) == 0 {
		c.note(stepStart, stateNotTaken, nil)
		switch {
		case ctx.Err() != nil:
			c.end("cancelled", ctx.Err())
		case pep.Unauthorized(err):
			c.end("login-refused", err)
		default:
			c.end("not-taken", err)
		}
		return
	}
	c.out.Started = true
	c.out.Errors = reply.Errors
	var failed *pep.CommandError
	switch {
	case errors.As(err, &failed):
		c.out.Errors = append(c.out.Errors, failed.Record)
		c.resolve(ctx, "call-failed", nil)
	case err != nil:
		c.resolve(ctx, "no-proof", err)
	case len(reply.Errors) > 0:
		c.resolve(ctx, "call-failed", nil)
	default:
		c.resolve(ctx, "set", nil)
	}
}

// resolve ends with what the call said, corrected by what the nodes and the stamp show.
func (c *change) resolve(ctx context.Context, said string, cause error) {
	if ctx.Err() != nil {
		c.end(said, cause)
		return
	}
	healthy, known := c.health(ctx)
	if c.d.Probe != nil {
		proof, err := c.d.Probe(ctx)
		if err != nil {
			c.event(Event{Text: "the nodes could not be asked: " + err.Error()})
			proof = NoProof
		}
		c.out.Proof = proof
	}
	seen := healthy || !known
	switch {
	case c.out.Proof == Some:
		c.end("mixed", nil)
	case c.out.Proof == New && seen:
		c.end("proved", nil)
	case c.out.Proof == New, (said == "set" || said == "already") && !seen:
		c.end("not-seen", nil)
	case c.out.Proof == Old && said != "call-failed":
		c.end("proved-not", nil)
	default:
		c.end(said, cause)
	}
}

// health asks how the stamp sees its BMCs, on a new login if the old one is gone or was lost.
func (c *change) health(ctx context.Context) (healthy, known bool) {
	if c.j.BMC.Health == nil {
		return false, false
	}
	for fresh := c.ep == nil; ; fresh = true {
		if fresh {
			if c.ep != nil {
				_ = c.ep.Close(ctx) // it was lost
				c.ep = nil
			}
			ep, err := c.d.Dial(ctx)
			if err != nil {
				c.event(Event{Text: "the stamp's health could not be checked: " + err.Error()})
				return false, false
			}
			c.ep, c.out.Host = ep, ep.Host()
			if c.out.Started && !c.sameStamp(ctx) {
				return false, false
			}
		}
		h, err := c.ep.TestAzureStack(ctx, *c.j.BMC.Health, c.j.Secrets, c.record)
		if err == nil {
			c.out.Health = &h
			return h.Healthy && (!c.j.BMC.Health.WarningsBlock || len(h.Bad(true)) == 0), h.Known
		}
		c.event(Event{Text: "the stamp's health could not be checked: " + err.Error()})
		if fresh || pep.Unauthorized(err) {
			return false, false
		}
	}
}

// sameStamp keeps another stamp's health out of this one's outcome.
func (c *change) sameStamp(ctx context.Context) bool {
	info, err := c.ep.StampInformation(ctx)
	if err != nil {
		c.event(Event{Text: "the stamp could not say who it is: " + err.Error()})
		return false
	}
	mismatches := pep.Guard(info, c.j.Stamp, c.j.Simulated)
	for _, x := range mismatches {
		c.fail(x.ID, x.Name, x.Found, x.Wanted, x.Hint)
	}
	return len(mismatches) == 0
}
