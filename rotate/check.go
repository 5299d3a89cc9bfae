package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

// Check is the read-only go/no-go: every finding that Run would come to, and whether each host of the endpoint lets us
// in. It changes nothing and writes no journal. Go is Outcome.Ending == "" with no failing finding.
func Check(ctx context.Context, d Deps, j Job) (Outcome, error) {
	m := newMachine(d, j)
	defer m.hangUp(ctx)
	m.check(ctx)
	m.out.Took = d.Now().Sub(m.begun)
	return m.out, m.err
}

// answers reports whether the login is still good for a question: what ended the look before was not its end.
func (m *machine) answers() bool {
	var failed *pep.CommandError
	return m.ep != nil && (m.err == nil || m.out.Ending == "endpoints-unseen" || errors.As(m.err, &failed) || errors.Is(m.err, pep.ErrNoAnswer))
}

func (m *machine) check(ctx context.Context) {
	m.looking = true
	if err := m.checkCalls(); err != nil {
		m.found(refusal("planned-call", "Planned Call", err))
	}
	for _, call := range m.calls() {
		err := pep.Resolvable(call, m.j.Secrets)
		if err == nil {
			continue
		}
		m.found(validate.Finding{ID: "secrets", Name: "Secrets", Result: validate.Fail, Found: err.Error(), Wanted: "every secret of the call", Hint: ending("no-secret").Next})
	}
	if m.past.started {
		m.found(validate.Finding{
			ID: "journal", Name: "Journal", Result: validate.Fail, Found: "this plan's rotation was started already",
			Wanted: "a plan that was not used", Hint: ending("detached").Next,
		})
	}
	m.enter(Connecting, "log in to every host of the privileged endpoint")
	if m.d.DialEach != nil {
		refused := false
		hosts := m.d.DialEach(ctx)
		reached := slices.ContainsFunc(hosts, func(h pep.HostCheck) bool { return h.Err == nil })
		for _, h := range hosts {
			f := validate.Finding{ID: "host-login", Name: "Host Login", Result: validate.OK, Found: fmt.Sprintf("%q", h.Host)}
			if h.Err != nil {
				why := h.Err
				var away *pep.ConnectError
				if errors.As(why, &away) {
					why = away.Err // it counts the hosts of the endpoint, and was asked for one
				}
				f.Result, f.Found = validate.Warning, fmt.Sprintf("%q: %v", h.Host, why)
				f.Wanted, f.Hint = "a login", "one host is enough to start; repair this one for the day another fails"
				if !reached {
					f.Result, f.Hint = validate.Fail, "no host is reached, and one is needed"
				}
				if !reached && away != nil {
					f.Hint = away.Hint()
				}
				if pep.Unauthorized(h.Err) {
					refused = true
					f.Result, f.Hint = validate.Fail, ending("login-refused").Next
				}
			}
			m.found(f)
		}
		if refused {
			m.end("login-refused", nil)
			return
		}
		m.hostSyntax(hosts)
	}
	if err := m.connect(ctx); err != nil {
		m.failBefore(ctx, err)
		return
	}
	served, running := m.ready(ctx)
	if m.guarded && m.answers() && ctx.Err() == nil {
		// A stamp that may not start today is looked at as well: that is what days ahead are for. Its health is not asked
		// for while it rotates.
		var err error
		if !m.checked && !running {
			err = m.checks(ctx, served)
		}
		if err == nil {
			err = m.otherSyntax(ctx)
		}
		if err != nil {
			m.failBefore(ctx, err)
		}
		m.learn()
	}
	if running {
		m.found(validate.Finding{
			ID: "last-rotation", Name: "Last Rotation", Result: validate.Fail, Found: fmt.Sprintf("a rotation is %q", m.out.Action.Word),
			Wanted: "none that runs", Hint: ending("still-running").Next,
		})
		m.end("still-running", nil)
	}
}
