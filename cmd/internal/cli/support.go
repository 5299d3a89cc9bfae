package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/journal"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/rotate/pep"
	"github.com/certstamp/certstamp/stage"
)

func (a *app) supportCommand() *cobra.Command {
	var file, out, journalFile string
	cmd := &cobra.Command{
		Use:   "support",
		Short: "collect what a support case needs in one archive",
		Long: "Writes one ZIP with the plan, its journals, what the stamp said while it rotated, the action with its steps, the stamp's health before\n" +
			"and after, what the endpoints serve, and the Get-AzureStackLog command for exactly that time. Secrets are taken out. It changes nothing; the\n" +
			"endpoint is asked only when its password is at hand, and whatever is missing is named in the archive.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("certstamp support --plan plan.json [--out case.zip]", "support takes the plan that it is about, with --plan")
			}
			return a.support(cmd.Context(), file, out, journalFile)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "plan", "", "the plan that the case is about")
	f.StringVar(&out, "out", "", "archive to write (default: support-NAME-DIGEST.zip here)")
	f.StringVar(&journalFile, "journal", "", "the journal, if rotate was given another")
	return cmd
}

func (a *app) support(ctx context.Context, file, out, journalFile string) error {
	b, err := a.unapproved(file)
	if err != nil {
		return err
	}
	defer b.Close()
	b.run = "support"
	if out == "" {
		out = fmt.Sprintf("support-%s-%s.zip", b.plan.Stamp.Name, b.digest[:12])
	}
	if exists(a.path(out)) {
		return configuration(fmt.Errorf("%s is there already", filepath.ToSlash(out)), "name another file with --out: an archive of another moment is not replaced")
	}
	s, misfit := a.fittingStamp(b)
	a.knowSecrets(b.plan, s)
	p := &parcel{app: a, files: map[string][]byte{}, about: map[string]string{}}
	p.add("plan.json", "the plan that was approved, byte for byte unless a secret was in it", b.bytes)
	local := a.journalFile(b, journalFile)
	runs := a.packKept(p, b, local)
	if misfit != nil {
		p.lack("everything beyond this machine", fmt.Errorf("%w: %w", errNotAsked, misfit))
		s = nil
	}
	a.packShare(ctx, p, b, s)
	a.packServed(ctx, p, b, s)
	last := a.packAction(ctx, p, b, s, runs)
	from, to := rotationTimes(b, last, runs, a.env.Now())
	p.add("Get-AzureStackLog.txt", "the command that collects the stamp's own logs of that time, to be run by a person", []byte(logCommand(b.plan, from, to)))
	archive, err := p.zip(b, a.env.Now())
	if err != nil {
		return err
	}
	if err := writeFile(a.path(out), archive, 0o600); err != nil {
		return configuration(fmt.Errorf("write the archive: %w", err), "name a file that can be written with --out")
	}
	entry := report.Stamp{
		Stamp: b.plan.Stamp.Name, File: b.plan.Stamp.File, Simulated: b.plan.Simulated, PlanSHA256: b.digest, PlanFile: b.file, Outcome: "collected",
		Next: "read the archive before it leaves your hands, run the command in Get-AzureStackLog.txt, and open a support case with both",
	}
	for _, name := range slices.Sorted(maps.Keys(p.about)) {
		entry.Facts = append(entry.Facts, report.Fact{Name: name, Value: p.about[name]})
	}
	for _, m := range p.missing {
		entry.Facts = append(entry.Facts, report.Fact{Name: "not in it", Value: m})
	}
	a.doc.Stamps = append(a.doc.Stamps, entry)
	a.doc.Files = append(a.doc.Files, filepath.ToSlash(out))
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(p.problems) > 0 {
		all := errors.Join(p.problems...)
		hint := hintOf(all)
		if hint == "" {
			hint = "the archive was written without it"
		}
		return environment("incomplete", all, hint)
	}
	return nil
}

// referencesOf are all secrets that a stamp file refers to.
func referencesOf(s *stamp.Stamp) []secret.Ref {
	return []secret.Ref{
		s.PFXPassword, s.AgeIdentity, s.Share.Password, s.Share.AccessPassword, s.PEP.Password, s.PEP.TranscriptsPassword, s.BMC.NewPassword,
	}
}

// knowSecrets resolves every reference of plan and stamp file that leads to something, so that it can be taken out of every
// text.
func (a *app) knowSecrets(p *plan.Plan, s *stamp.Stamp) {
	var list []string
	call := func(c plan.Call) {
		for _, q := range c.Parameters {
			list = append(list, q.Secret)
		}
	}
	if p.Rotate != nil {
		list = append(list, p.Rotate.PEP.Password)
		call(p.Rotate.Start)
		if p.Rotate.Transcripts != nil {
			call(*p.Rotate.Transcripts)
		}
	}
	if p.Stage != nil && p.Stage.SMB != nil {
		list = append(list, p.Stage.SMB.Password, p.Stage.SMB.AccessPassword)
	}
	if p.BMC != nil {
		list = append(list, p.BMC.PEP.Password)
		call(p.BMC.Call)
	}
	if s != nil {
		for _, r := range referencesOf(s) {
			list = append(list, reference(r))
		}
	}
	for _, text := range list {
		if text == "" {
			continue
		}
		for _, role := range []secret.Role{secret.PFX, secret.Share, secret.PEP, secret.BMC} {
			r, err := secret.ParseRef(role, text)
			if err != nil {
				continue
			}
			if name, isEnv := r.Env(); isEnv && a.env.Getenv(name) == "" {
				break
			}
			_, _ = a.secret(r, string(role)) // one that cannot be had cannot have strayed into anything here either
			break
		}
	}
}

// packKept takes in what rotate left beside the local journal, and returns the runs that it tells of.
func (a *app) packKept(p *parcel, b *bound, local string) []keptRun {
	records, runs := keptFiles(local, b.digest)
	for _, f := range []struct{ name, path, about string }{
		{"journal-local.jsonl", local, "the journal where the command ran"},
		{"records-earlier.jsonl", earlier(records), "what the stamp said before that"},
		{"records.jsonl", records, "what the stamp said while it rotated, as it came"},
		{"runs.jsonl", runs, "how each run saw the rotation come out"},
	} {
		raw, err := readKept(f.path)
		switch {
		case err == nil:
			p.add(f.name, f.about, raw)
		case f.path != earlier(records):
			p.lack(f.name, err)
		}
	}
	var out []keptRun
	for line := range bytes.Lines(p.files["runs.jsonl"]) {
		var r keptRun
		if json.Unmarshal(line, &r) == nil && len(out) < 1000 {
			out = append(out, r)
		}
	}
	type health struct {
		Run    string   `json:"run"`
		Before any      `json:"before"`
		After  any      `json:"after"`
		Change []string `json:"change"`
	}
	var list []health
	for _, r := range out {
		if len(r.Outcome.HealthBefore)+len(r.Outcome.HealthAfter) > 0 {
			list = append(list, health{r.Run, r.Outcome.HealthBefore, r.Outcome.HealthAfter, r.Outcome.HealthChange})
		}
	}
	if len(list) == 0 {
		p.lack("health.json", fmt.Errorf("%w: no run here checked the stamp's health", errNotAsked))
	} else {
		p.addJSON("health.json", "the stamp's health before and after, and what changed", list)
	}
	return out
}

// readKept reads a file of ours, bounded. A link or device by its name is none.
func readKept(name string) ([]byte, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, bare(err)
	}
	if err := regular(info, nil); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, journal.MaxSize))
}

// bare leaves this machine's paths out of what goes to strangers.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// packShare takes in the share's journal.
func (a *app) packShare(ctx context.Context, p *parcel, b *bound, s *stamp.Stamp) {
	const name = "journal-share.jsonl"
	if s == nil || s.Share.IsZero() {
		return
	}
	at := placeOfStamp(s)
	if outside := a.outside(at.folder); len(outside) > len(a.allowed) {
		p.lack(name, fmt.Errorf("%w: the folder of the share lies outside the repository, and --allow-path does not name it", errNotAsked))
		a.progress("the journal on the share is not in the archive: add --allow-path %s", quoted(filepath.ToSlash(at.folder))) // here alone: paths of this machine are nothing for strangers
		return
	}
	if at.folder == "" {
		if env, isEnv := s.Share.Password.Env(); isEnv && a.env.Getenv(env) == "" {
			p.lack(name, fmt.Errorf("%w: %s is not set", errNotAsked, env))
			return
		}
		if err := a.checkTarget(s); err != nil {
			p.lack(name, fmt.Errorf("%w: %w", errNotAsked, err))
			return
		}
	}
	sh, err := a.share(ctx, b, at)
	if err != nil {
		p.lack(name, err)
		return
	}
	raw, err := sh.ReadFile(stage.JournalFile, journal.MaxSize)
	if err != nil {
		p.lack(name, bare(err))
		return
	}
	p.add(name, "the journal on the share, of every machine", raw)
}

// fittingStamp is the stamp file of the plan. Its error says that the plan does not lead to what the file names: then nothing of
// the plan is looked up or logged in to.
func (a *app) fittingStamp(b *bound) (*stamp.Stamp, error) {
	repo, err := a.repository()
	if err != nil {
		return nil, err
	}
	jobs, err := a.load([]string{filepath.Join(repo.Dir(), filepath.FromSlash(b.plan.Stamp.File))})
	if err != nil {
		return nil, err
	}
	return jobs[0].stamp, fits(b.plan, jobs[0].stamp)
}

// packServed takes in what every endpoint serves now.
func (a *app) packServed(ctx context.Context, p *parcel, b *bound, s *stamp.Stamp) {
	if s == nil || b.plan.Verify == nil {
		return
	}
	judged, err := a.lookLive(ctx, b)
	if err != nil {
		p.lack("served.json", err)
		return
	}
	p.addJSON("served.json", "what the endpoints serve now, held against the plan", a.endpointsOf(b, judged))
}

// packAction asks the stamp who it is and how its last rotation stands, when the login is at hand. Else the last run's word
// for it is taken.
func (a *app) packAction(ctx context.Context, p *parcel, b *bound, s *stamp.Stamp, runs []keptRun) pep.Status {
	versions := map[string]any{
		"certstamp": a.env.Version, "planMadeBy": b.plan.Tool, "go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH,
		"policyDigest": b.plan.Stamp.PolicyDigest, "stampPlanned": b.plan.Stamp.Version,
	}
	defer func() { p.addJSON("versions.json", "versions of everything that took part", versions) }()
	info, action, err := a.askForSupport(ctx, b.plan, s)
	if err == nil {
		versions["stampReported"] = info.StampVersion
		if wrong := pep.Guard(info, b.plan.Stamp, b.plan.Simulated); len(wrong) > 0 {
			err = fmt.Errorf("the stamp that answers is not the planned one: %s is %s", wrong[0].Name, wrong[0].Found)
		}
	}
	when := "as the stamp shows it now"
	if err != nil {
		p.lack("the action now", err)
		action, when = pep.Status{}, "as the last run saw it"
		for _, r := range slices.Backward(runs) {
			if r.Outcome.Action.Known {
				action = r.Outcome.Action
				action.Raw = r.ActionXML
				break
			}
		}
	}
	if !action.Known {
		p.lack("action.json", fmt.Errorf("%w: no rotation is known", errNotAsked))
		return action
	}
	p.addJSON("action.json", "the stamp's last rotation with its steps, "+when, action)
	if action.Raw != "" {
		p.add("action.xml", "ProgressAsXml of it, "+when, []byte(action.Raw))
	}
	return action
}

func (a *app) askForSupport(ctx context.Context, p *plan.Plan, s *stamp.Stamp) (pep.StampInformation, pep.Status, error) {
	var info pep.StampInformation
	switch {
	case s == nil:
		return info, pep.Status{}, errNotAsked
	case s.PEP.IsZero():
		return info, pep.Status{}, fmt.Errorf("%w: the stamp file has no pep", errNotAsked)
	}
	if name, isEnv := s.PEP.Password.Env(); isEnv && a.env.Getenv(name) == "" {
		return info, pep.Status{}, fmt.Errorf("%w: %s is not set", errNotAsked, name)
	}
	if err := a.checkTarget(s); err != nil {
		return info, pep.Status{}, fmt.Errorf("%w: %w", errNotAsked, err)
	}
	cfg, err := a.endpointConfig(pepOf(s), s.Simulated)
	if err != nil {
		return info, pep.Status{}, err
	}
	session, err := pep.Dial(ctx, cfg)
	if err != nil {
		return info, pep.Status{}, err
	}
	defer func() { _ = session.Close(ctx) }()
	if info, err = session.StampInformation(ctx); err != nil {
		return info, pep.Status{}, err
	}
	name := "Start-SecretRotation"
	if p.Rotate != nil {
		name = p.Rotate.ActionName
	}
	action, err := session.ActionStatus(ctx, name)
	return info, action, err
}
