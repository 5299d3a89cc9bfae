// Package rotate starts the planned secret rotation of one stamp, once, and stays until it is known how it ended.
//
// Run is a state machine over the plan's rotate section: connect, guard (is this the planned stamp), preflight (may it
// start), start, watch, settle (how did it end), after (health). When the journal already shows a start of this plan, or
// the stamp is rotating, Run attaches instead: it asks the stamp for its latest action until that proves the outcome.
// Attach does only that, from any machine. Check does everything that only reads.
//
// Three rules hold in every state. The start is journaled before it is sent and sent at most once. What is not proved is
// unknown, never success: a proof is an action later than the one journaled before the start, or endpoints that serve
// the planned leaves and did not before. And leaving, for whatever reason, leaves the rotation running.
//
// Endings is the closed list of how it can come out.
package rotate

import (
	"context"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

// Endpoint is a login to the privileged endpoint; *pep.Session is one.
type Endpoint interface {
	Host() string
	StampInformation(ctx context.Context) (pep.StampInformation, error)
	ActionStatus(ctx context.Context, function string) (pep.Status, error)
	UpdateStatus(ctx context.Context) (pep.Update, error)
	CommandSyntax(ctx context.Context, cmdlet string) (pep.Syntax, error)
	Commands(ctx context.Context) ([]string, error)
	TestAzureStack(ctx context.Context, check plan.HealthCheck, secrets pep.Secrets, sink pep.Sink) (pep.HealthReport, error)
	Prepare(ctx context.Context) error // exchanges keys ahead of the start
	StartSecretRotation(ctx context.Context, call plan.Call, secrets pep.Secrets, sink pep.Sink) (pep.Reply, error)
	ArchiveTranscripts(ctx context.Context, call plan.Call, secrets pep.Secrets) error
	Detach(ctx context.Context) error
	Close(ctx context.Context) error
}

var _ Endpoint = (*pep.Session)(nil)

// Journal is this room's view of the plan's journal.
type Journal interface {
	// Append returns when the entry is on the disk. After an error, what it announces is not done.
	Append(step, state string, facts map[string]string) error
	// Entries are those of this plan and room, all runs and all copies of the journal, oldest first.
	Entries() []Entry
}

// Entry is one line of the journal.
type Entry struct {
	Time             time.Time // by the clock of the machine that wrote it; zero: not known
	Run, Step, State string
	Facts            map[string]string
}

// Served is what one endpoint serves now: the distinct leaves over all samples as lower-case hex SHA-256.
type Served struct {
	Endpoint string   `json:"endpoint"`
	Leaves   []string `json:"leaves"`
	Failed   string   `json:"failed,omitempty"` // class of failure when a sample got no certificate: timeout, refused, tls, dns
}

// Evidence is whether the stamp has an AD FS endpoint.
type Evidence string

// The evidence of AD FS.
const (
	Present Evidence = "present"
	Absent  Evidence = "absent"
	NoIdea  Evidence = ""
)

// Deps is the world. Tests replace all of it.
type Deps struct {
	Dial     func(ctx context.Context) (Endpoint, error) // logs in; its errors are those of pep.Dial
	DialEach func(ctx context.Context) []pep.HostCheck   // for Check; nil: not checked
	Observe  func(ctx context.Context) ([]Served, error) // one entry per endpoint of the verify section; nil without one
	ADFS     func(ctx context.Context) (Evidence, error) // nil: judged by an observed endpoint called adfs
	MayStart func(now time.Time) error                   // the stamp's windows; nil: any time
	Journal  Journal
	Others   func() [][]Entry // what the journals at hand show of the stamp's other plans, a list for each, in the order of their starts; nil: nothing
	Now      func() time.Time
	Wait     func(ctx context.Context, d time.Duration) error
	Events   func(Event) // nil: dropped
}

// Job is what the plan says about this room.
type Job struct {
	Stamp            plan.Stamp
	Simulated        bool
	Rotate           plan.RotateSection
	Verify           *plan.VerifySection // nil for an internal rotation
	IdentityAsserted bool                // the plan carries an acknowledgement of the identity system
	PlannedAt        time.Time           // the plan's asOf; zero: not known
	Secrets          pep.Secrets
	Documented       Documented // for Check
}

// Documented is what the documents say of the endpoint beside the calls of the plan. The zero value compares nothing.
type Documented struct {
	Rerun   *plan.Call  // what a rerun of this rotation would send, should it fail; nil where no document describes one
	BMC     []string    // cmdlets that change the BMC credential: that of the plan's release first, then those of others
	Cmdlets []plan.Call // every cmdlet that is known, with all its parameters
}

// Phase is a state of the machine.
type Phase string

// The phases, in order; Attaching replaces Starting and Watching when the rotation already runs.
const (
	Connecting Phase = "connect"
	Guarding   Phase = "guard"
	Preflight  Phase = "preflight"
	Starting   Phase = "start"
	Watching   Phase = "watch"
	Attaching  Phase = "attach"
	Settling   Phase = "settle"
	Afterwards Phase = "after"
)

// Event is progress for people. Texts of Record and Steps are foreign.
type Event struct {
	Time   time.Time
	Phase  Phase
	Text   string
	Record *pep.Record // what the stamp says while it works
	Steps  []pep.Step  // of the stamp's action plan, when they have been asked for
}

// Result is what an ending comes to.
type Result string

// The results. The command line gives each its exit code.
const (
	Success     Result = "success"
	Already     Result = "already"      // nothing was started, because it is done
	Failed      Result = "failed"       // plan a rerun
	FailedAgain Result = "failed-again" // a rerun failed: support
	Unknown     Result = "unknown"      // attach, or look for yourself; never start again
	Running     Result = "running"      // attach
	Refused     Result = "refused"      // see the findings
	Environment Result = "environment"  // nothing was changed
)

// Health is one health check's answer.
type Health struct {
	Check  plan.HealthCheck `json:"check"`
	Report pep.HealthReport `json:"report"`
	Error  string           `json:"error,omitempty"`
}

// Outcome is how it came out.
type Outcome struct {
	Result  Result `json:"result"`
	Ending  string `json:"ending"`  // an Endings ID
	Started bool   `json:"started"` // this plan's command may have reached the stamp, now or in an earlier run
	Host    string `json:"host,omitempty"`

	Findings []validate.Finding `json:"findings"`         // of guard and preflight, passed ones included
	Before   pep.Status         `json:"before"`           // last action before the start
	Action   pep.Status         `json:"action"`           // last action as seen last
	Said     pep.Said           `json:"said"`             // what the console text says
	Lost     uint64             `json:"lost,omitempty"`   // messages of the start's call that never arrived: Said and Errors lack them
	Errors   []pep.ErrorRecord  `json:"errors,omitempty"` // the stamp's own, whole
	Served   []Judged           `json:"served,omitempty"` // endpoints as seen last

	HealthBefore []Health `json:"healthBefore,omitempty"`
	HealthAfter  []Health `json:"healthAfter,omitempty"`
	HealthChange []string `json:"healthChange,omitempty"` // "AzsX: PASS before, FAIL after"

	Facts   []Fact   `json:"facts,omitempty"`   // of Check: what this stamp shows that no document says
	Unknown []string `json:"unknown,omitempty"` // of Check: what a look could not tell

	Cause string        `json:"cause,omitempty"` // of an ending that is not about the stamp
	Next  string        `json:"next,omitempty"`  // what to do now
	Took  time.Duration `json:"took"`
}

// Run starts the rotation unless that was done before, and stays until the outcome is known, the plan's limit has passed
// or ctx ends. The error is the cause of an outcome that is neither the stamp's nor the plan's doing; its Hint, if it has
// one, is for the person.
func Run(ctx context.Context, d Deps, j Job) (Outcome, error) {
	m := newMachine(d, j)
	defer m.hangUp(ctx)
	m.run(ctx)
	return m.finish()
}

// Attach finds out how a rotation that was started before comes out. It starts nothing, whatever the journal says.
func Attach(ctx context.Context, d Deps, j Job) (Outcome, error) {
	m := newMachine(d, j)
	defer m.hangUp(ctx)
	m.attach(ctx)
	return m.finish()
}

type machine struct {
	d   Deps
	j   Job
	out Outcome
	err error

	first     string // the ending, of a rerun too as if it were none
	phase     Phase
	begun     time.Time
	ep        Endpoint // nil: not logged in
	guarded   bool
	answered  bool // the stamp has answered the start that this run sent
	info      pep.StampInformation
	past      past
	looking   bool                  // Check: what would keep a start waiting is no reason to ask no further
	checked   bool                  // every question before a start was put
	described map[string]pep.Syntax // by the cmdlet's name, of this login
}

func newMachine(d Deps, j Job) *machine {
	m := &machine{d: d, j: j, begun: d.Now(), past: readPast(d.Journal.Entries())}
	m.out.Started = m.past.started
	m.out.Findings = []validate.Finding{}
	if m.past.readable {
		m.out.Before = m.past.before
	}
	return m
}

func (m *machine) enter(p Phase, text string) {
	m.phase = p
	m.event(Event{Text: text})
}

func (m *machine) event(e Event) {
	if m.d.Events != nil {
		e.Time, e.Phase = m.d.Now(), m.phase
		m.d.Events(e)
	}
}

// end sets the ending, once: the first one is the one that counts.
func (m *machine) end(id string, cause error) {
	if m.out.Ending != "" {
		return
	}
	e := ending(id)
	m.first = e.ID
	m.out.Ending, m.out.Result, m.out.Next, m.err = e.ID, e.Result, e.Next, cause
	if e.Result == Failed && m.j.Rotate.Rerun {
		again := ending("failed-again")
		m.out.Ending, m.out.Result, m.out.Next = again.ID, again.Result, again.Next
	}
	if cause != nil {
		m.out.Cause = cause.Error()
	}
}

func (m *machine) ended() bool { return m.out.Ending != "" }

func (m *machine) finish() (Outcome, error) {
	m.out.Took = m.d.Now().Sub(m.begun)
	if m.out.Started && !m.past.succeeded { // nothing is said after a success
		// The start is journaled already; that this line is missing costs a second look, nothing else.
		facts := map[string]string{factEnding: m.out.Ending}
		if m.first != m.out.Ending {
			facts[factFirst] = m.first
		}
		if err := m.d.Journal.Append(stepEnd, string(m.out.Result), facts); err != nil {
			m.event(Event{Text: "the journal could not be written: " + err.Error()})
		}
	}
	return m.out, m.err
}

// connect logs in when there is no login.
func (m *machine) connect(ctx context.Context) error {
	if m.ep != nil {
		return nil
	}
	ep, err := m.d.Dial(ctx)
	if err != nil {
		return err
	}
	m.ep = ep
	m.out.Host = ep.Host()
	return nil
}

// hangUp ends the login. A command that still runs goes on running.
func (m *machine) hangUp(ctx context.Context) {
	if m.ep == nil {
		return
	}
	ep := m.ep
	m.ep = nil
	ctx, cancel := goodbye(ctx)
	defer cancel()
	_ = ep.Close(ctx) // nothing hangs on it: an idle session expires by itself
}

// goodbye is the time that ending a login in good order may take. A CI system that cancels a job kills it 7.5 seconds after
// the first signal, and by then we want to have said how it stands.
func goodbye(ctx context.Context) (context.Context, context.CancelFunc) {
	most := 15 * time.Second
	if ctx.Err() != nil {
		most = 2 * time.Second
	}
	return context.WithTimeout(context.WithoutCancel(ctx), most)
}

// failBefore ends before anything was changed.
func (m *machine) failBefore(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
		m.end("cancelled", ctx.Err())
	case pep.Unauthorized(err):
		m.end("login-refused", err)
	default:
		m.end("unreachable", err)
	}
}
