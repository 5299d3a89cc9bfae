package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/certstamp/certstamp/internal/live"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/stage"
	"github.com/certstamp/certstamp/stage/smb"
)

// place is where a stamp's share is for this agent: a folder, or a server to log in to.
type place struct {
	unc, folder string
	user        string
	smb         plan.SMB // without folder
	simulated   bool
}

func (p place) String() string {
	if p.folder != "" {
		return p.folder
	}
	return p.unc
}

func placeOfPlan(p *plan.Plan) place {
	at := place{unc: p.Stage.UNC, folder: p.Stage.Folder, user: p.Stage.User, simulated: p.Simulated}
	if p.Stage.SMB != nil {
		at.smb = *p.Stage.SMB
	}
	return at
}

func placeOfStamp(s *stamp.Stamp) place {
	return place{
		unc: s.Share.UNC, folder: s.Share.Folder, user: s.Share.User, simulated: s.Simulated,
		smb: plan.SMB{
			Password: reference(s.Share.Password), AccessUser: s.Share.AccessUser, AccessPassword: reference(s.Share.AccessPassword),
			SigningOnly: s.Share.SigningOnly, Resolve: s.Resolve,
		},
	}
}

// shareOfStamp opens the share that the stamp file names, for a plan that names none. Where nothing is pinned it could not be shown
// with the plan's own hosts, and a login over SMB sends a credential, so it is shown now.
func (a *app) shareOfStamp(ctx context.Context, b *bound) (stage.Share, error) {
	s := b.job.stamp
	if !stamp.Pinned(a.env.Getenv("CERTSTAMP_TARGET")) {
		to := reachOfStamp(s)
		to.hosts = nil // shown with the plan
		for _, line := range to.lines() {
			a.progress("  %s", line)
		}
	}
	return a.share(ctx, b, placeOfStamp(s))
}

// share opens the stamp's share until b is closed.
func (a *app) share(ctx context.Context, b *bound, at place) (stage.Share, error) {
	sh, err := a.openShare(ctx, at, at.user, at.smb.Password, "share.password")
	if err == nil {
		b.clean = append(b.clean, func() { _ = sh.Close() })
	}
	return sh, err
}

// accessProof logs in with what the stamp will be given and uses the staged set. A folder was mounted by somebody else: then
// the stamp itself is the first to try.
func (a *app) accessProof(p *plan.Plan, at place) func(context.Context, string) error {
	if at.folder != "" {
		return nil
	}
	return func(ctx context.Context, staged string) error {
		a.progress("use the staged set as the stamp will, as %s", at.smb.AccessUser)
		sh, err := a.openShare(ctx, at, at.smb.AccessUser, at.smb.AccessPassword, "share.access-password")
		if err != nil {
			return err
		}
		defer func() { _ = sh.Close() }()
		return stage.Access(sh, *p.Stage, staged)
	}
}

func (a *app) openShare(ctx context.Context, at place, user, password, field string) (stage.Share, error) {
	if at.folder != "" {
		return a.openFolder(at.folder)
	}
	ref, err := secret.ParseRef(secret.Share, password)
	if err != nil {
		return nil, configuration(fmt.Errorf("%s: %w", field, err), "write it env:SHARE_… or file:PATH")
	}
	value, err := a.secret(ref, field)
	if err != nil {
		return nil, err
	}
	const port = 445
	host := stamp.UNCHost(at.unc)
	addresses, err := stamp.Addresses(at.smb.Resolve, host, port)
	if err != nil {
		return nil, configuration(fmt.Errorf("resolve: %w", err), "")
	}
	if len(addresses) == 0 {
		addresses = []string{net.JoinHostPort(host, strconv.Itoa(port))}
	}
	if at.smb.SigningOnly {
		a.progress("warning: share.signing-only: the files are protected on the wire by their own password alone")
	}
	peers := live.NoLoopback
	if at.simulated {
		peers = live.OnlyLoopback
	}
	sh, err := smb.Open(ctx, smb.Config{
		UNC: at.unc, User: user, Password: value, Addresses: addresses, SigningOnly: at.smb.SigningOnly, Dial: peers.Dialer(&net.Dialer{}),
	})
	var e *stage.Error
	switch {
	case err == nil:
		return sh, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &e) && e.Class == stage.ClassConfig:
		return nil, configuration(err, "")
	case errors.As(err, &e):
		return nil, environment(string(e.Class), err, "")
	}
	return nil, environment("share", err, "")
}

// openFolder opens the share as this machine sees it.
func (a *app) openFolder(folder string) (stage.Share, error) {
	repo, err := a.repository()
	if err != nil {
		return nil, err
	}
	if err := repo.Check(folder); err != nil {
		return nil, configuration(fmt.Errorf("share.folder: %w", err), "")
	}
	sh, err := stage.OpenFolder(folder)
	if err != nil {
		hint := "mount the share there first, or leave share.folder out to go over SMB"
		if errors.Is(err, os.ErrPermission) {
			hint = "give this user access to the folder"
		}
		return nil, environment("share", fmt.Errorf("share.folder: %w", err), hint)
	}
	return sh, nil
}
