package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/validate"
)

// wanted is everything a person decides about a plan. It is all found again in the plan's assertions, because applying it
// means deriving it once more from nothing but the plan and the checkout.
type wanted struct {
	kind         plan.Kind
	rerunOf      plan.Kind
	asOf         time.Time
	observed     []plan.Observed // nil: look now
	acceptHealth []plan.Assertion
	combined     string
	reason       string
	noPEPCheck   string
	fresh        string
	adopt        string
	identity     string
	intent       bool // nothing is opened, nobody is asked
}

func (a *app) planCommand() *cobra.Command {
	var (
		w            wanted
		kind, of     string
		out, asOf    string
		acceptHealth []string
		matrix       bool
		base         string
	)
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "make the plan that reviewers approve",
		Long: "Judges the set, reads what the endpoints serve, and writes one plan: every step with its reason, its state before and after, the\n" +
			"SHA-256 of each file. It logs in nowhere. What must not be rotated gets no plan, with every reason at once.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if w.intent {
				if err := onlyIntent(cmd); err != nil {
					return err
				}
			}
			if matrix {
				return a.fanOut()
			}
			if base != "" && !w.intent {
				return usagef("add --intent", "--base belongs to --intent: a plan compares with what is served")
			}
			w.kind, w.rerunOf = plan.Kind(kind), plan.Kind(of)
			if kinds := []plan.Kind{plan.External, plan.Internal, plan.BMC, plan.Rerun}; !slices.Contains(kinds, w.kind) {
				return usagef("one of external, internal, bmc, rerun", "--kind %q is not a kind of plan", kind)
			}
			var err error
			if w.asOf, err = a.asOf(asOf); err != nil {
				return err
			}
			if w.intent {
				return a.intents(cmd.Context(), w.asOf, base)
			}
			for _, text := range acceptHealth {
				test, why, ok := strings.Cut(text, "=")
				if !ok || test == "" || strings.TrimSpace(why) == "" {
					return usagef("write --accept-health AzsName=REASON", "--accept-health %q has no reason", text)
				}
				w.acceptHealth = append(w.acceptHealth, plan.Assertion{What: test, Value: "accepted", Reason: strings.TrimSpace(why)})
			}
			return a.plans(cmd.Context(), w, out)
		},
	}
	a.stampFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&kind, "kind", string(plan.External), "external, internal, bmc or rerun")
	f.StringVar(&of, "rerun-of", "", "with --kind rerun: external (default) or internal")
	f.StringVar(&out, "out", "", "file to write, or folder for several stamps (default: plan-NAME.json here)")
	f.BoolVar(&matrix, "matrix", false, "make no plan: print the jobs of the stamps with the labels of their runners, as a matrix for CI")
	f.BoolVar(&w.intent, "intent", false, "make no plan: say what the certificates here would make of it, without a password and without the network")
	f.StringVar(&base, "base", "", "with --intent: the commit or branch whose twins are replaced, instead of the event's")
	f.StringVar(&asOf, "as-of", "", "plan as of this time, RFC 3339 (default: now)")
	f.Var(list(&acceptHealth), "accept-health", "TEST=REASON: a health test that may fail; repeatable")
	f.StringVar(&w.reason, "reason", "", "of an internal rotation: \"compromise: …\" or \"alert: …\"")
	f.StringVar(&w.combined, "combined", "", "reason: below 1811 internal secrets rotate in the same run")
	f.StringVar(&w.noPEPCheck, "no-pep-check", "", "reason: stage may publish without asking the privileged endpoint first")
	f.StringVar(&w.fresh, "fresh", "", "reason: start anew although the stamp's last rotation failed")
	f.StringVar(&w.adopt, "adopt", "", "reason: rerun a failed rotation that certstamp did not start, or a rerun that failed")
	f.StringVar(&w.identity, "identity-known", "", "reason: the identity system is as the stamp file says, although no AD FS endpoint can be seen")
	return cmd
}

// plans makes one plan per stamp. Every stamp is tried before the first refusal is reported.
func (a *app) plans(ctx context.Context, w wanted, out string) error {
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	if err := noEffect(jobs, w); err != nil {
		return err
	}
	a.doc.AsOf = w.asOf.Format(time.RFC3339)
	var refused []string
	for _, j := range jobs {
		// Nothing secret leaves here; but where a target is pinned, no name of another one is looked up either.
		if a.env.Getenv("CERTSTAMP_TARGET") != "" {
			if err := a.checkTarget(j.stamp); err != nil {
				return err
			}
		}
		entry, err := a.planOne(ctx, j, w, planFile(out, j.stamp.Name, len(jobs)))
		if err != nil {
			return err
		}
		if entry.Plan == nil {
			refused = append(refused, j.stamp.Name)
		}
		a.doc.Stamps = append(a.doc.Stamps, entry)
	}
	if len(refused) > 0 {
		return refusedf("plan-refused", "mend what the findings name, then plan again", "no plan for %s", strings.Join(refused, ", "))
	}
	return nil
}

// noEffect refuses what was said and would be in no plan. Over several stamps, one that has a place for it is enough.
func noEffect(jobs []*job, w wanted) error {
	var idle []string
	for i, j := range jobs {
		of := plan.NoEffect(plan.Input{
			Kind: w.kind, RerunOf: w.rerunOf, Version: j.stamp.Version, Policy: j.policy, AcceptHealth: w.acceptHealth, Combined: w.combined,
			Reason: w.reason, NoPEPCheck: w.noPEPCheck, Fresh: w.fresh, Adopt: w.adopt, KnowIdentity: w.identity,
		})
		if i == 0 {
			idle = of
		}
		idle = slices.DeleteFunc(idle, func(s string) bool { return !slices.Contains(of, s) })
	}
	if len(idle) > 0 {
		return usagef("drop it, or plan the kind that it belongs to; certstamp plan --help has each", "%s", strings.Join(idle, "\n"))
	}
	return nil
}

func planFile(out, name string, stamps int) string {
	own := "plan-" + name + ".json"
	switch {
	case out == "":
		return own
	case stamps > 1 || strings.HasSuffix(out, "/") || strings.HasSuffix(out, string(os.PathSeparator)):
		return filepath.Join(out, own)
	}
	return out
}

func (a *app) planOne(ctx context.Context, j *job, w wanted, file string) (report.Stamp, error) {
	entry := report.Stamp{Stamp: j.stamp.Name, File: j.stamp.File, Simulated: j.stamp.Simulated}
	in, found, err := a.planInput(ctx, j, w)
	if err != nil {
		return entry, err
	}
	p, findings := plan.New(in)
	entry.Findings = findings
	if p == nil {
		if found != nil && found.outcome.Report.Verdict != validate.Pass {
			r := judged(j, found)
			entry.Verdict, entry.Certificates, entry.Set = r.Verdict, failedOnly(r.Certificates), r.Set
		}
		entry.Outcome = "refused"
		return entry, nil
	}
	b, err := p.Marshal()
	if err != nil {
		return entry, err
	}
	if err := writeFile(a.path(file), b, 0o644); err != nil {
		return entry, configuration(fmt.Errorf("write the plan: %w", err), "")
	}
	entry.Plan, entry.PlanSHA256, entry.PlanFile, entry.Outcome = p, plan.Digest(b), filepath.ToSlash(file), "planned"
	a.doc.Files = append(a.doc.Files, filepath.ToSlash(file))
	next := "stage"
	switch {
	case p.Kind == plan.BMC:
		next = "bmc"
	case p.Stage == nil:
		next = "rotate"
	}
	entry.Next = "after approval: " + nextCommand(next, entry.PlanFile, entry.PlanSHA256, "", a.outside(append(opened(p), j.stamp.Share.Folder)...))
	return entry, nil
}

// failedOnly keeps a refusal readable: what passed is for certstamp validate.
func failedOnly(list []report.Certificate) []report.Certificate {
	return slices.DeleteFunc(list, func(c report.Certificate) bool { return c.Verdict == validate.Pass })
}

// planInput gathers what a plan is made from. The judgement is nil for kinds that have no certificates.
func (a *app) planInput(ctx context.Context, j *job, w wanted) (plan.Input, *judgement, error) {
	s := j.stamp
	repo, err := a.repository()
	if err != nil {
		return plan.Input{}, nil, err
	}
	in := plan.Input{
		Kind: w.kind, Tool: a.env.Version, AsOf: w.asOf,
		Stamp: plan.Stamp{
			Name: s.Name, File: s.File, Region: s.Region, FQDN: s.FQDN, Identity: string(s.Identity), Version: s.Version.String(),
			CloudID: s.CloudID, Optional: s.OptionalEndpoints, StampDigest: s.Digest, PolicyDigest: j.policy.Digest(), TargetDigest: s.Target().Digest(),
		},
		Version: s.Version, Identity: s.Identity, Simulated: s.Simulated, PreviouslyRotated: s.PreviouslyRotated, Policy: j.policy,
		Share: plan.Share{
			UNC: s.Share.UNC, Folder: s.Share.Folder, User: s.Share.User, AccessUser: s.Share.AccessUser,
			AccessPassword: reference(s.Share.AccessPassword), Backup: s.Backup, Password: reference(s.Share.Password), SigningOnly: s.Share.SigningOnly,
		},
		PFXPassword: reference(s.PFXPassword),
		PEP:         pepOf(s),
		Transcripts: plan.Transcripts{UNC: s.PEP.Transcripts, User: s.PEP.TranscriptsUser, Password: reference(s.PEP.TranscriptsPassword)},
		BMC:         plan.BMCChange{Update: s.BMC.Update, NewUser: s.BMC.NewUser, NewPassword: reference(s.BMC.NewPassword)},
		Port:        s.Port, Resolve: slices.Clone(s.Resolve), Windows: s.Windows.Strings(),
		AcceptHealth: w.acceptHealth, Combined: w.combined, Reason: w.reason, NoPEPCheck: w.noPEPCheck, Fresh: w.fresh,
		Adopt: w.adopt, KnowIdentity: w.identity, RerunOf: w.rerunOf,
	}
	in.Repository, in.Commit = a.source(ctx, repo.Dir())
	if w.kind != plan.External && w.kind != plan.Rerun || w.rerunOf == plan.Internal {
		return in, nil, nil
	}
	switch m := s.InstalledCA.Mode; m {
	case "endpoints":
	case "file":
		in.InstalledCA = "as in " + s.InstalledCA.File
	default:
		in.InstalledCA = m
	}
	judged, err := a.judge(ctx, j, judging{asOf: w.asOf, observed: w.observed, noPassword: w.intent})
	if err != nil {
		return in, nil, err
	}
	in.Observed = judged.observed
	in.Report = judged.outcome.Report
	in.Certificates = planned(judged, w.intent)
	for _, t := range judged.outcome.Transitions {
		in.Transitions = append(in.Transitions, plan.Transition{
			Endpoint: t.Endpoint, From: string(t.From), To: string(t.To), Decision: string(t.Decision), Evidence: t.Evidence, Source: t.Source,
		})
	}
	return in, judged, nil
}

// pepOf is a stamp's privileged endpoint in the form of a plan.
func pepOf(s *stamp.Stamp) plan.PEP {
	return plan.PEP{
		Hosts: slices.Clone(s.PEP.Hosts), TLS: s.PEP.TLS, Pin: s.PEP.Pin, CA: s.PEP.CA, User: s.PEP.User,
		Password: reference(s.PEP.Password), Configuration: s.PEP.Configuration,
	}
}

func reference(r secret.Ref) string {
	if r.IsZero() {
		return ""
	}
	return r.String()
}

// planned lists the files of the set as the plan holds them. A sealed file gets the name that it will have on the share. Closed
// files are in the list also where nothing shows their leaf.
func planned(j *judgement, closed bool) []plan.Certificate {
	var out []plan.Certificate
	for i := range j.outcome.Subjects {
		s := &j.outcome.Subjects[i]
		if s.Leaf == nil && !closed || s.Endpoint.ID == "" {
			continue // a finding says so already
		}
		c := plan.Certificate{
			Endpoint: s.Endpoint.ID, Folder: s.Folder, File: strings.TrimSuffix(s.File, ".age"), Path: j.tree.paths[s.Path],
			Size: s.Size, BlobSHA256: s.BlobSHA256, PFXSHA256: s.PFXSHA256, LeafSHA256: s.LeafSHA256(), SPKISHA256: s.SPKISHA256(),
			Thumbprint: s.Thumbprint(),
		}
		if l := s.Leaf; l != nil {
			c.NotBefore, c.NotAfter = l.NotBefore.UTC().Format(time.RFC3339), l.NotAfter.UTC().Format(time.RFC3339)
			c.Subject, c.Issuer = l.Subject.String(), l.Issuer.String()
		}
		out = append(out, c)
	}
	return out
}

// plannedFile opens a planned file in the checkout, unsealed, and holds it against the plan.
func (a *app) plannedFile(p *plan.Plan, open unsealer) func(plan.PlannedFile) ([]byte, error) {
	return func(f plan.PlannedFile) ([]byte, error) {
		i := slices.IndexFunc(p.Certificates, func(c plan.Certificate) bool { return c.Folder == f.Folder && c.File == f.Name })
		if i < 0 {
			return nil, fmt.Errorf("the plan has no certificate %s/%s", f.Folder, f.Name)
		}
		repo, err := a.repository()
		if err != nil {
			return nil, err
		}
		b, err := repo.ReadFile(p.Certificates[i].Path, maxFile)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:]); got != p.Certificates[i].BlobSHA256 {
			return nil, fmt.Errorf("%s has SHA-256 %s, the plan says %s", p.Certificates[i].Path, got, p.Certificates[i].BlobSHA256)
		}
		if !isSealed(p.Certificates[i].Path) {
			return b, nil
		}
		return open.unseal(b)
	}
}
