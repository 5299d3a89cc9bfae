package rotate

import (
	"context"
	"fmt"

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

func (m *machine) check(ctx context.Context) {
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
		for _, h := range m.d.DialEach(ctx) {
			f := validate.Finding{ID: "host-login", Name: "Host Login", Result: validate.OK, Found: fmt.Sprintf("%q", h.Host)}
			if h.Err != nil {
				f.Result, f.Found = validate.Warning, fmt.Sprintf("%q: %v", h.Host, h.Err)
				f.Wanted, f.Hint = "a login", "one host is enough to start; repair this one for the day another fails"
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
	}
	if err := m.connect(ctx); err != nil {
		m.failBefore(ctx, err)
		return
	}
	_, running := m.ready(ctx)
	if m.guarded && m.ep != nil && m.err == nil && ctx.Err() == nil {
		// A stamp that may not start today is looked at as well: that is what days ahead are for.
		if err := m.otherSyntax(ctx); err != nil {
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
