package rotate

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/certstamp/certstamp/rotate/pep"
)

// The journal's steps and states of this room.
const (
	stepLastAction = "last-action" // facts: pep.Status.Facts, as the stamp said before the start
	stepStart      = "start"
	stepEnd        = "end"
	stepKept       = "transcripts"

	stateBefore   = "before"
	stateStarting = "starting"  // the command is sent next
	stateTaken    = "taken"     // the stamp has answered
	stateNotTaken = "not-taken" // the stamp certainly never got it
	stateKept     = "archived"
	stateNotKept  = "failed"

	factPlanned = "planned" // how many endpoints served the planned leaf before the start
	factTotal   = "total"
	factEnding  = "ending"
	factFirst   = "first" // of a rerun that failed too: the ending it would have had as a first rotation
)

// past is what the journal witnesses about this plan.
type past struct {
	started  bool
	readable bool       // the facts below could be read
	before   pep.Status // the stamp's last action before the start
	planned  int        // endpoints on the planned leaf before the start
	total    int

	at        time.Time // of the start
	own       bool      // this very run announced it, so that no journal it has read shows a later start
	taken     bool      // the stamp was seen to answer it
	succeeded bool      // a run saw it end well
	failed    string    // or badly: the ending
	against   bool      // its call spoke of a failure, whatever the action says
}

// Contradicted reports whether a journal shows a rotation whose action completed against what its call said, and that nobody saw end
// well.
func Contradicted(entries []Entry) bool {
	p := readPast(entries)
	last := ""
	for _, e := range entries {
		if e.Step == stepEnd {
			last = cmp.Or(e.Facts[factFirst], e.Facts[factEnding])
		}
	}
	return p.started && !p.succeeded && last == "contradicted"
}

// Started reports whether a journal shows a start that may have reached the stamp.
func Started(entries []Entry) bool { return readPast(entries).started }

// readPast looks for the first start that was not taken back by the run that made it. The journal can only make us more
// careful: a start once written is believed for ever, unless its own run wrote that nothing was sent.
func readPast(entries []Entry) past {
	var p past
	var last pep.Status
	lastOK := false
	byRun, lastRun := "", ""
	for _, e := range entries {
		switch {
		case e.Step == stepLastAction: // of any run: a start takes that of its own
			last, lastOK = pep.StatusOf(e.Facts)
			lastRun = e.Run
		case e.Step == stepStart && e.State == stateNotTaken:
			if p.started && e.Run == byRun {
				p = past{}
			}
		case e.Step == stepStart && !p.started:
			p = past{started: true, before: last, at: e.Time}
			byRun = e.Run
			var err1, err2 error
			p.planned, err1 = strconv.Atoi(e.Facts[factPlanned])
			p.total, err2 = strconv.Atoi(e.Facts[factTotal])
			p.readable = lastOK && lastRun == e.Run && err1 == nil && err2 == nil
		case e.Step == stepStart && e.State == stateTaken:
			p.taken = p.taken || e.Run == byRun
		case e.Step == stepEnd && e.State == string(Success):
			p.succeeded = true
		case e.Step == stepEnd:
			if id := e.Facts[factEnding]; failure(id) {
				p.failed = id
				p.against = slices.Contains([]string{"call-failed", "said-failure", "contradicted"}, cmp.Or(e.Facts[factFirst], id))
			}
		}
	}
	return p
}

// after reports whether a start came after another plan's: by what the stamp had done before each, and by the clocks of machines
// only where that tells nothing.
func (p past) after(other past) bool {
	if p.readable && other.readable {
		later, earlier := p.before.Later(other.before), other.before.Later(p.before)
		if later != earlier {
			return later
		}
	}
	return p.at.After(other.at)
}

// Latest is the index of the plan whose rotation was started last, or -1. Each list is of one plan; of two that nothing tells apart
// the later in the list counts.
func Latest(plans [][]Entry) int {
	at, last := -1, past{}
	for i, entries := range plans {
		if p := readPast(entries); p.started && (at < 0 || !last.after(p)) {
			at, last = i, p
		}
	}
	return at
}
