package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/validate"
)

// readingIdle is when the endpoint ends a session that only read, if we were killed: it counts against the account's quota
// of 25, for two hours if nothing is asked. A session that changes something keeps the endpoint's own time.
const readingIdle = 15 * time.Minute

// endpointConfig is the way to the privileged endpoint as a plan has it. The password is resolved here, after the target
// was checked.
func (a *app) endpointConfig(p plan.PEP, simulated bool) (pep.Config, error) {
	ref, err := secret.ParseRef(secret.PEP, p.Password)
	if err != nil {
		return pep.Config{}, configuration(fmt.Errorf("pep.password: %w", err), "write it env:PEP_… or file:PATH")
	}
	cfg := pep.Config{
		Hosts: p.Hosts, TLS: p.TLS, Pin: p.Pin, User: p.User, Configuration: p.Configuration, Simulated: simulated,
		Logins: &pep.Logins{}, IdleTimeout: readingIdle, Logger: a.warnings(),
	}
	if simulated {
		// A simulated hour takes seconds, and so do the silences in it.
		cfg.OperationTimeout, cfg.RecoveryWindow = 5*time.Second, time.Minute
	}
	if cfg.Password, err = a.secret(ref, "pep.password"); err != nil {
		return pep.Config{}, err
	}
	if err := a.recorded(&cfg); err != nil {
		return pep.Config{}, err
	}
	if p.CA != "" {
		repo, err := a.repository()
		if err != nil {
			return pep.Config{}, err
		}
		pem, err := repo.ReadFile(p.CA, maxFile)
		if err != nil {
			return pep.Config{}, configuration(fmt.Errorf("pep.ca: %w", err), "")
		}
		cfg.CAs = x509.NewCertPool()
		if !cfg.CAs.AppendCertsFromPEM(pem) {
			return pep.Config{}, configuration(fmt.Errorf("pep.ca: %q holds no certificate", p.CA), "it is a PEM file with the authority of the endpoint's certificate")
		}
	}
	return cfg, nil
}

// dialFailure gives a failed login its exit code: nothing was changed.
func dialFailure(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case pep.Unauthorized(err):
		return environment("login", err, "")
	}
	return environment("network", err, "")
}

// guardStamp logs in, holds the stamp against the plan, and asks how its last rotation stands. It comes before
// the first change, under the share's lock.
func (a *app) guardStamp(ctx context.Context, b *bound, restore bool) error {
	p := b.plan
	cfg, err := a.endpointConfig(p.Rotate.PEP, p.Simulated)
	if err != nil {
		return err
	}
	a.progress("ask the stamp who it is, at %s", amount.Of(len(cfg.Hosts), "host"))
	session, err := pep.Dial(ctx, cfg)
	if err != nil {
		return dialFailure(ctx, err)
	}
	defer func() { _ = session.Close(ctx) }()
	info, err := session.StampInformation(ctx)
	if err != nil {
		return dialFailure(ctx, fmt.Errorf("ask the stamp who it is: %w", err))
	}
	if wrong := pep.Guard(info, p.Stamp, p.Simulated); len(wrong) > 0 {
		for _, x := range wrong {
			b.entry.Findings = append(b.entry.Findings, validate.Finding{ID: x.ID, Name: x.Name, Result: validate.Fail, Found: x.Found, Wanted: x.Wanted, Hint: x.Hint})
		}
		return refusedf("wrong-stamp", "correct the stamp file or the hosts, and plan again", "the stamp at %s is not the planned one: nothing was changed", session.Host())
	}
	st, err := session.ActionStatus(ctx, p.Rotate.ActionName)
	if err != nil {
		return dialFailure(ctx, fmt.Errorf("ask for the last rotation: %w", err))
	}
	if st.Running() {
		return refusedf("rotating", "wait for its end: certstamp rotate --attach, or certstamp pep Get-ActionStatus", "the stamp is rotating now (%q)", st.Word)
	}
	if !st.Known {
		return b.notOverFailed(restore)
	}
	if st.State == pep.Failed && b.replaces(restore) {
		// rotate would refuse it too, but only after the files that the rerun needs had given way to these.
		return refusedf("last-failed", rerunOrFresh, "the stamp's last rotation is %q: nothing else is staged until it is rerun", st.Word)
	}
	return nil
}

// guardIdentity holds the identity system against the stamp's AD FS endpoint. The stamp does not report it, so this is asked
// even where the plan asserts that nobody logs in.
func (a *app) guardIdentity(ctx context.Context, b *bound) error {
	evidence, err := a.adfs(ctx, b)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return refusedf("plan", "make a new plan", "the plan's resolve list: %w", err)
	}
	f := rotate.JudgeIdentity(b.plan.Stamp.Identity, evidence, asserted(b.plan, plan.AssertIdentity))
	if f.Result != validate.Fail {
		return nil
	}
	b.entry.Findings = append(b.entry.Findings, f)
	return refusedf("wrong-identity", f.Hint, "%s, wanted %s: nothing was changed", f.Found, f.Wanted)
}
