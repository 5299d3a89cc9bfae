package pepsim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// The styles in which a stamp says that a rotation has succeeded, by the year of the documents that show them.
const (
	style2018 = "2018" // Overall action status: Success
	style2020 = "2020" // CurrentStatus: Completed, then DONE
	style2022 = "2022" // the same, then Action plan finished with status: 'Completed'
)

var styles = []string{style2018, style2020, style2022}

// informationNames are the properties of the stamp information that are plain text.
var informationNames = []string{"CloudID", "StampVersion", "RegionName", "ExternalDomainFQDN", "DomainFQDN", "DomainNetBIOSName", "DeploymentID", "Timezone"}

// updateWords are what an update status says.
var updateWords = []string{"Running", "Completed", "Failed"}

const leastEnvelope = 8 << 10

func (cfg *Config) checkOrders() []error {
	var errs []error
	want := func(key string, ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, &keyError{key: key, err: fmt.Errorf(format, args...)})
		}
	}
	for key, n := range map[string]int64{
		"speed": int64(cfg.Speed), "chatter": int64(cfg.Chatter), "buffer": int64(cfg.Buffer), "idle-ms": int64(cfg.Idle), "fault-delay-ms": int64(cfg.FaultDelay),
		"max-shells": int64(cfg.MaxShells),
	} {
		want(key, n >= 0, "%s must not be negative", key)
	}
	want("output-style", cfg.Style == "" || slices.Contains(styles, cfg.Style), "output-style %q, wanted one of %v", cfg.Style, styles)
	want("update", cfg.Update == "" || slices.Contains(updateWords, cfg.Update), "update %q, wanted one of %v", cfg.Update, updateWords)
	want("slow", 0 <= cfg.Slow.Step && cfg.Slow.Step <= mostSteps() && cfg.Slow.Minutes >= 0 && (cfg.Slow.Step > 0 || cfg.Slow.Minutes == 0),
		"slow: step %d and minutes %d, wanted a step from 1 to %d, and 0 or more", cfg.Slow.Step, cfg.Slow.Minutes, mostSteps())
	if err := cfg.Fail.check(); err != nil {
		errs = append(errs, &keyError{key: "fail", err: err})
	}
	want("fail", cfg.Fail.Step != 0 || cfg.Fail == Failure{}, "fail: it needs step, without which nothing fails")
	want("max-envelope", cfg.MaxEnvelope == 0 || cfg.MaxEnvelope >= leastEnvelope, "max-envelope %d, wanted %d or more", cfg.MaxEnvelope, leastEnvelope)
	want("streams", cfg.Streams == "" || slices.ContainsFunc(append(table(), others()...), func(d cmdlet) bool { return strings.EqualFold(d.name, cfg.Streams) }),
		"streams: %q is not a cmdlet", cfg.Streams)
	for name, value := range cfg.Information {
		want("stamp-information", slices.Contains(informationNames, name), "stamp-information %q, wanted one of %v", name, informationNames)
		want("stamp-information", name != "CloudID" || strings.HasPrefix(value, Mark), "stamp-information: CloudID %q must begin with %s", value, Mark)
	}
	if p := cfg.LastAction; p.Word != "" {
		want("last-action", p.Word == wordCompleted || p.Word == wordFailed, "last-action: word %q, wanted %s or %s", p.Word, wordCompleted, wordFailed)
		want("last-action", !p.Started.IsZero() && !p.Ended.Before(p.Started), "last-action: it needs started, and ended not before it")
	}
	return errs
}

// mostSteps is how many steps a rotation has at most. An order for a later one would never be carried out, and a rehearsal
// of a failure would pass for one.
func mostSteps() int { return max(len(externalSteps()), len(internalSteps())) }

func (f Failure) check() error {
	if f.Step < 0 || f.Step > mostSteps() {
		return fmt.Errorf("fail: step %d, wanted 1 to %d, or 0 for none", f.Step, mostSteps())
	}
	return nil
}

// remember puts a rotation of the past into the engine. The share and the passwords it was given are forgotten, so a re-run
// of an external one fails where it reads the share.
func (s *Server) remember(p PastAction) {
	if p.Word == "" {
		return
	}
	a := &action{function: rotationFunction, id: strings.ToLower(s.guid()), internal: p.Internal, word: p.Word, started: p.Started, ended: p.Ended, steps: externalSteps()}
	if p.Internal {
		a.steps = internalSteps()
	}
	each := p.Ended.Sub(p.Started) / time.Duration(len(a.steps))
	for i := range a.steps {
		st := &a.steps[i]
		st.status, st.started, st.ended = stepSuccess, p.Started.Add(time.Duration(i)*each), p.Started.Add(time.Duration(i+1)*each)
	}
	if p.Word == wordFailed {
		last := &a.steps[len(a.steps)-1]
		last.status = stepError
		f := record(0, "ActionStepFailed,Start-SecretRotation", runtimeError, "Step %d failed, before the simulator was started.", len(a.steps))
		a.failure = &f
	}
	s.engine.actions = append(s.engine.actions, a)
}

// nominal is how long a step takes, before the speed is applied.
func (s *Server) nominal(i int, st *step) time.Duration {
	if s.cfg.Slow.Step == i+1 {
		return st.nominal + time.Duration(s.cfg.Slow.Minutes)*time.Minute
	}
	return st.nominal
}

// style is how success is said.
func (s *Server) style() string {
	switch {
	case s.cfg.Style != "":
		return s.cfg.Style
	case s.release >= 2108:
		return style2022
	case s.release >= 2002:
		return style2020
	}
	return style2018
}

// told is the stamp information as the scenario wants it.
func (s *Server) told(members []clixml.Property) []clixml.Property {
	return slices.DeleteFunc(members, func(p clixml.Property) bool {
		value, ordered := s.cfg.Information[p.Name]
		return ordered && value == ""
	})
}

func (s *Server) toldText(name, truth string) clixml.Property {
	if value, ordered := s.cfg.Information[name]; ordered {
		return member(name, value)
	}
	return member(name, truth)
}

func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("wanted a date such as 2025-11-02 or 2025-11-02T22:00:00Z")
}
