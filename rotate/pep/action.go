package pep

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// State is how far an action of the stamp is.
type State string

// The states. Words that nobody has seen yet count as still running, until the time limit.
const (
	Running   State = "running"
	Waiting   State = "waiting"
	Completed State = "completed"
	Failed    State = "failed"
	Unseen    State = "unknown-word"
)

// Final reports whether the action has ended.
func (s State) Final() bool { return s == Completed || s == Failed }

// Status is the stamp's latest action of one kind.
type Status struct {
	Known      bool      `json:"known"` // the stamp has such an action
	State      State     `json:"state,omitempty"`
	Word       string    `json:"word,omitempty"` // the stamp's own word for it
	InstanceID string    `json:"instanceId,omitempty"`
	Started    time.Time `json:"started,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	Steps      []Step    `json:"steps,omitempty"`
	Message    string    `json:"message,omitempty"` // what the stamp says about a failure
	Members    []string  `json:"members,omitempty"` // names of everything that the answer has
	Raw        string    `json:"-"`                 // ProgressAsXml, bounded
}

// Step is one step of an action plan, in the stamp's words.
type Step struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Status      string    `json:"status"`
	Started     time.Time `json:"started,omitzero"`
	Ended       time.Time `json:"ended,omitzero"`
	Message     string    `json:"message,omitempty"`
	Steps       []Step    `json:"steps,omitempty"`
}

// Running reports whether an action is under way, as far as one can tell.
func (s Status) Running() bool { return s.Known && !s.State.Final() }

// Later reports whether s is a later action than before, or the same one resumed, by what the stamp itself says. When
// nothing tells them apart it is false: that proves nothing.
func (s Status) Later(before Status) bool {
	switch {
	case !s.Known:
		return false
	case !before.Known:
		return true
	case !s.Started.IsZero() && !before.Started.IsZero() && !s.Started.Equal(before.Started):
		return s.Started.After(before.Started)
	case s.InstanceID != "" && before.InstanceID != "" && !strings.EqualFold(s.InstanceID, before.InstanceID):
		return true
	case !s.Ended.IsZero() && !before.Ended.IsZero() && !s.Ended.Equal(before.Ended):
		return s.Ended.After(before.Ended)
	}
	// The same instance in another state: a re-run takes up the failed action where it stopped.
	return before.State.Final() && s.State != before.State
}

// FailedSteps returns the innermost steps that failed, with the names of those above them.
func (s Status) FailedSteps() []Step {
	var out []Step
	var walk func(list []Step, above string)
	walk = func(list []Step, above string) {
		for _, step := range list {
			step.Name = above + step.Name
			n := len(out)
			walk(step.Steps, step.Name+" / ")
			if len(out) == n && stateOf(step.Status) == Failed {
				step.Steps = nil
				out = append(out, step)
			}
		}
	}
	walk(s.Steps, "")
	return out
}

// Facts writes the identity of the action for a journal; StatusOf reads it back.
func (s Status) Facts() map[string]string {
	f := map[string]string{"known": strconv.FormatBool(s.Known)}
	if !s.Known {
		return f
	}
	f["state"], f["word"], f["instance"] = string(s.State), cut(s.Word, 64), cut(s.InstanceID, 128)
	for name, t := range map[string]time.Time{"started": s.Started, "ended": s.Ended} {
		if !t.IsZero() {
			f[name] = t.UTC().Format(time.RFC3339Nano)
		}
	}
	return f
}

// StatusOf reads what Facts wrote. ok is false when the facts are not such.
func StatusOf(facts map[string]string) (s Status, ok bool) {
	known, err := strconv.ParseBool(facts["known"])
	if err != nil {
		return Status{}, false
	}
	s = Status{Known: known, State: State(facts["state"]), Word: facts["word"], InstanceID: facts["instance"]}
	s.Started, _ = parseTime(facts["started"])
	s.Ended, _ = parseTime(facts["ended"])
	return s, true
}

// ActionStatus asks for the stamp's latest action of a function, Start-SecretRotation for example.
func (s *Session) ActionStatus(ctx context.Context, function string) (Status, error) {
	reply, err := s.ask(ctx, plan.Call{Cmdlet: "Get-ActionStatus", Parameters: []plan.Parameter{
		{Name: "FunctionName", Type: typeString, Value: function},
	}}, nil, nil)
	if err != nil {
		var c *CommandError
		if errors.As(err, &c) && noAction(c.Record) {
			return Status{}, nil
		}
		return Status{}, err
	}
	var latest Status
	read := 0
	for _, v := range reply.outputs {
		for _, item := range items(v) {
			if read++; read > maxActions {
				return Status{}, fmt.Errorf("more than %d actions, where the latest one was asked for: %w", maxActions, ErrNoAnswer)
			}
			if st := statusOf(item); st.Known && (!latest.Known || st.supersedes(latest)) {
				latest = st
			}
		}
	}
	if !latest.Known {
		for _, e := range reply.Errors {
			if !noAction(e) {
				return Status{}, &CommandError{Cmdlet: "Get-ActionStatus", State: "Completed", Record: e}
			}
		}
		if hasContent(reply.outputs) {
			return Status{}, ErrNoAnswer // something was said about an action: it must not pass for none
		}
	}
	return latest, nil
}

// supersedes reports whether s is the latest of two actions that a stamp shows at once. Where a time is missing, one that runs may be:
// that nothing runs must not be concluded from the order in which they came.
func (s Status) supersedes(other Status) bool {
	if s.Running() != other.Running() && (s.Started.IsZero() || other.Started.IsZero()) {
		return s.Running()
	}
	return s.Started.After(other.Started)
}

// maxActions bounds how many actions are read to find the latest.
const maxActions = 256

func hasContent(outputs []any) bool {
	return slices.ContainsFunc(outputs, func(v any) bool { return strings.TrimSpace(clixml.Text(v)) != "" })
}

// noAction is a stamp that never ran the function.
func noAction(e ErrorRecord) bool {
	const objectNotFound = 13
	return e.Category == objectNotFound && !e.notFound()
}

func statusOf(v any) Status {
	raw := ""
	switch x := v.(type) {
	case string:
		raw = x
	case clixml.XML:
		raw = string(x)
	case *clixml.Object:
		if m, ok := member(x, "ProgressAsXml"); ok {
			raw = plainText(m)
		}
	}
	var st Status
	if a, err := parseAction(raw); err == nil {
		st = a
	}
	st.Raw, st.Members = cut(raw, maxProgress), names(v)
	if word := text(v, "CurrentStatus", "Status", "State"); word != "" {
		st.Known, st.Word, st.State = true, cut(word, 64), stateOf(word)
	}
	if id := text(v, "ActionPlanInstanceID", "InstanceID", "RuntimeID"); id != "" {
		st.Known, st.InstanceID = true, cut(id, 128)
	}
	for _, at := range []struct {
		names []string
		to    *time.Time
	}{
		{[]string{"StartTimeUtc", "StartDateTime", "StartTime", "Start"}, &st.Started},
		{[]string{"EndTimeUtc", "EndDateTime", "EndTime", "End", "LastCompletedTime"}, &st.Ended},
	} {
		if m, ok := member(v, at.names...); ok {
			if t, ok := instant(m); ok {
				*at.to = t
			}
		}
	}
	if st.Known && st.State == "" {
		st.State = fromSteps(st.Steps)
	}
	return st
}

func plainText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case clixml.XML:
		return string(x)
	case *clixml.Object:
		if x != nil && x.Value != nil {
			return plainText(x.Value)
		}
	}
	return ""
}

// stateOf maps the stamp's words.
func stateOf(word string) State {
	switch strings.ToLower(strings.Trim(strings.TrimSpace(word), `'".`)) {
	case "completed", "complete", "success", "succeeded", "done":
		return Completed
	case "failed", "failure", "error", "cancelled", "canceled", "aborted":
		return Failed
	case "waiting", "pending", "queued", "notstarted":
		return Waiting
	case "running", "inprogress", "in progress", "executing", "started":
		return Running
	}
	return Unseen
}

// fromSteps is for a plan that has no word of its own.
func fromSteps(steps []Step) State {
	states := make([]State, len(steps))
	for i, s := range steps {
		if states[i] = stateOf(s.Status); strings.EqualFold(s.Status, "Skipped") {
			states[i] = Completed
		}
	}
	switch {
	case slices.Contains(states, Running), len(states) == 0:
		return Running
	case slices.Contains(states, Failed):
		return Failed
	case !slices.ContainsFunc(states, func(s State) bool { return s != Completed }):
		return Completed
	}
	return Running
}

// Bounds of ProgressAsXml: a real one has some hundred steps.
const (
	maxProgress  = 1 << 20 // bytes
	maxStepDepth = 24
	maxSteps     = 8192
)

var errProgress = errors.New("not the progress of an action")

// parseAction reads <Action Name Status><Steps><Step ...><Task ...><Action>…; the nesting of Step, Task and Action is
// taken as it comes.
func parseAction(raw string) (Status, error) {
	if raw == "" || len(raw) > maxProgress {
		return Status{}, errProgress
	}
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(raw, "\ufeff")))
	d.Strict = true
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is a string already, whatever it says
	for {
		t, err := d.Token()
		if err != nil {
			return Status{}, errProgress
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if !strings.EqualFold(start.Name.Local, "Action") {
			return Status{}, errProgress
		}
		p := progressReader{d: d}
		root, err := p.element(start, 0)
		if err != nil {
			return Status{}, err
		}
		st := Status{
			Known: true, Word: root.step.Status, Started: root.step.Started, Ended: root.step.Ended,
			Steps: root.step.Steps, Message: root.step.Message, InstanceID: root.id,
		}
		if root.step.Status != "" {
			st.State = stateOf(root.step.Status)
		}
		return st, nil
	}
}

type progressReader struct {
	d     *xml.Decoder
	count int
}

type progressNode struct {
	step Step
	id   string
}

func (p *progressReader) element(start xml.StartElement, depth int) (progressNode, error) {
	if p.count++; depth > maxStepDepth || p.count > maxSteps {
		return progressNode{}, errProgress
	}
	n := nodeOf(start)
	for {
		t, err := p.d.Token()
		if err != nil {
			return n, errProgress
		}
		switch x := t.(type) {
		case xml.EndElement:
			return n, nil
		case xml.CharData:
			if trimmed := strings.TrimSpace(string(x)); trimmed != "" && len(n.step.Message) < 4096 {
				n.step.Message = cut(n.step.Message+trimmed, 4096)
			}
		case xml.StartElement:
			child, err := p.element(x, depth+1)
			if err != nil {
				return n, err
			}
			switch strings.ToLower(x.Name.Local) {
			case "step", "task", "action":
				n.step.Steps = append(n.step.Steps, child.step)
			default: // Steps and other wrappers hand their children up; Exception, Message and the like their text
				n.step.Steps = append(n.step.Steps, child.step.Steps...)
				if child.step.Message != "" && n.step.Message == "" {
					n.step.Message = child.step.Message
				}
			}
		}
	}
}

func nodeOf(start xml.StartElement) progressNode {
	var n progressNode
	var full string
	for _, a := range start.Attr {
		v := cut(strings.TrimSpace(a.Value), 2048)
		switch strings.ToLower(a.Name.Local) {
		case "name":
			n.step.Name = v
		case "fullstepindex":
			full = v
		case "description":
			n.step.Description = v
		case "status":
			n.step.Status = v
		case "starttimeutc", "starttime":
			n.step.Started, _ = parseTime(v)
		case "endtimeutc", "endtime":
			n.step.Ended, _ = parseTime(v)
		case "actionplaninstanceid", "instanceid":
			n.id = v
		case "message", "errormessage":
			n.step.Message = v
		}
	}
	if n.step.Name == "" {
		n.step.Name = full
	}
	return n
}
