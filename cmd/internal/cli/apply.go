package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/secret"
)

// binding is what every command that works from a plan is told.
type binding struct {
	plan    string
	digest  string
	journal string
}

func (b *binding) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.plan, "plan", "", "the plan to apply")
	cmd.Flags().StringVar(&b.digest, "plan-sha256", "", "SHA-256 of the approved plan, from the output of the job that made it")
	cmd.Flags().StringVar(&b.journal, "journal", "", "file of the local journal (default: .certstamp/NAME/journal-DIGEST.jsonl here)")
}

// bound is one approved plan at work.
type bound struct {
	plan    *plan.Plan
	bytes   []byte
	digest  string
	file    string // as the command line names it
	run     string // of this process, unique
	job     *job   // nil when the checkout no longer has to agree with the plan and does not
	witness *witness
	entry   report.Stamp
	clean   []func()
	visitor string // who it is, for a run that writes on the share and does not hold the stamp's lock meanwhile; else empty

	by       *bound   // the plan that speaks for one whose file is lost; else nil
	approved bool     // the digest was given
	journal  string   // as the command line names it
	outside  []string // paths that the next command must be allowed to open
}

// Close lets go of share and journal, last first.
func (b *bound) Close() {
	for _, f := range slices.Backward(b.clean) {
		f()
	}
	b.clean = nil
}

func isDigest(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// bind reads the one plan, holds it against its approval and against the pinned target. No name is looked up and no
// secret resolved before that.
func (a *app) bind(how binding) (*bound, error) {
	if how.plan == "" || how.digest == "" {
		return nil, usagef("certstamp COMMAND --plan FILE --plan-sha256 DIGEST", "a changing command takes exactly one --plan and its --plan-sha256")
	}
	want := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(how.digest), "sha256:"))
	if !isDigest(want) {
		return nil, usagef("take it from the output of certstamp plan, not from beside the file", "--plan-sha256 %q is not a SHA-256", how.digest)
	}
	raw, err := a.readPlan(how.plan)
	if err != nil {
		return nil, err
	}
	b := &bound{approved: true, journal: how.journal, bytes: raw, digest: plan.Digest(raw), file: filepath.ToSlash(how.plan), run: a.env.Now().UTC().Format("20060102T150405") + "-" + strings.ToLower(rand.Text()[:8])}
	if b.digest != want {
		return nil, refusedf("plan-digest", "the plan is not the approved one: get that one, or have this one approved",
			"the plan has SHA-256 %s, and %s was approved", b.digest, want)
	}
	if b.plan, err = plan.Parse(raw); err != nil {
		return nil, refusedf("plan", "make a new plan with certstamp plan", "--plan %q: %w", how.plan, err)
	}
	p := b.plan
	if err := a.checkPinned(p.Stamp.Name, p.Stamp.TargetDigest, reachOfPlan(p)); err != nil {
		return nil, err
	}
	b.outside = a.outside(opened(p)...)
	b.entry = report.Stamp{Plan: p, Stamp: p.Stamp.Name, File: p.Stamp.File, Simulated: p.Simulated, PlanSHA256: b.digest, PlanFile: b.file}
	return b, nil
}

// readPlan reads the file that --plan names.
func (a *app) readPlan(file string) ([]byte, error) {
	raw, err := readNamed(a.path(file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, configuration(fmt.Errorf("--plan: %w", err), "correct the path, or make one with certstamp plan")
	case err != nil:
		return nil, configuration(fmt.Errorf("--plan: %w", err), "name the file itself that certstamp plan wrote")
	}
	return raw, nil
}

// checkout loads the stamp file that the plan names and holds its target against the plan's.
func (a *app) checkout(b *bound) error {
	repo, err := a.repository()
	if err != nil {
		return err
	}
	jobs, err := a.load([]string{filepath.Join(repo.Dir(), filepath.FromSlash(b.plan.Stamp.File))})
	if err != nil {
		return err
	}
	b.job = jobs[0]
	if got := b.job.stamp.Target().Digest(); got != b.plan.Stamp.TargetDigest {
		return refusedf("target", "check out the plan's commit, or make a new plan and have it approved",
			"%s leads to target %s, and the plan was made for %s", b.plan.Stamp.File, got, b.plan.Stamp.TargetDigest)
	}
	return nil
}

// rederive is what gives a plan its authority besides the approval: before the first change it is made again from this
// checkout, with the time and the observations of the plan, and must come out byte for byte.
func (a *app) rederive(ctx context.Context, b *bound) error {
	if b.plan.Expired(a.env.Now()) {
		return refusedf("plan-expired", "make a new plan and have it approved", "the plan was valid until %s, and nothing was started with it", b.plan.ValidUntil)
	}
	w, err := wantedBy(b.plan)
	if err != nil {
		return refusedf("plan", "make a new plan", "%w", err)
	}
	// A plan made as of a later day would outlive its seven days.
	if ahead := w.asOf.Sub(a.env.Now()); ahead > clockSkew {
		return refusedf("plan-early", "make a new plan without --as-of, or correct this machine's clock", "the plan is as of %s, which is yet to come", b.plan.AsOf)
	}
	if err := a.checkout(b); err != nil {
		return err
	}
	in, _, err := a.planInput(ctx, b.job, w)
	if err != nil {
		return err
	}
	again, findings := plan.New(in)
	if again == nil {
		b.entry.Findings = findings
		a.doc.Stamps = append(a.doc.Stamps, b.entry)
		return refusedf("plan-differs", "make a new plan: this checkout would not be planned at all", "the checkout is not what was approved")
	}
	bytes, err := again.Marshal()
	if err != nil {
		return err
	}
	if plan.Digest(bytes) == b.digest {
		return nil
	}
	return refusedf("plan-differs", "check out the plan's commit and use the certstamp that made it, or make a new plan and have it approved",
		"the plan made again from this checkout is another one:\n%s", strings.Join(differences(b.bytes, bytes), "\n"))
}

// clockSkew is how far the clocks of two machines of one pipeline may be apart.
const clockSkew = 15 * time.Minute

// wantedBy finds in a plan what a person decided about it.
func wantedBy(p *plan.Plan) (wanted, error) {
	w := wanted{kind: p.Kind, observed: p.Observed}
	var err error
	if w.asOf, err = time.Parse(time.RFC3339, p.AsOf); err != nil {
		return w, err
	}
	if p.Kind == plan.Rerun && p.Stage == nil {
		w.rerunOf = plan.Internal
	}
	for _, s := range p.Asserted {
		switch s.What {
		case plan.AssertCombined:
			w.combined = s.Reason
		case plan.AssertReason:
			w.reason = s.Value + ": " + s.Reason
		case plan.AssertNoPEPCheck:
			w.noPEPCheck = s.Reason
		case plan.AssertFresh:
			w.fresh = s.Reason
		case plan.AssertAdopt:
			w.adopt = s.Reason
		case plan.AssertIdentity:
			w.identity = s.Reason
		}
	}
	if p.Rotate != nil {
		w.acceptHealth = p.Rotate.AcceptHealth
	}
	if w.observed == nil {
		w.observed = []plan.Observed{}
	}
	return w, nil
}

// maxDifferences bounds what is shown; the first few tell the story.
const maxDifferences = 10

// differences names the places in which two plans differ.
func differences(approved, now []byte) []string {
	var x, y any
	if errors.Join(json.Unmarshal(approved, &x), json.Unmarshal(now, &y)) != nil {
		return []string{"the bytes differ"}
	}
	var out []string
	diff("", x, y, &out)
	if len(out) > maxDifferences {
		out = append(out[:maxDifferences], fmt.Sprintf("and %d more", len(out)-maxDifferences))
	}
	return out
}

func diff(at string, x, y any, out *[]string) {
	switch a := x.(type) {
	case map[string]any:
		b, ok := y.(map[string]any)
		if !ok {
			break
		}
		names := map[string]bool{}
		for k := range a {
			names[k] = true
		}
		for k := range b {
			names[k] = true
		}
		sorted := make([]string, 0, len(names))
		for k := range names {
			sorted = append(sorted, k)
		}
		sort.Strings(sorted)
		for _, k := range sorted {
			diff(strings.TrimPrefix(at+"."+k, "."), a[k], b[k], out)
		}
		return
	case []any:
		b, ok := y.([]any)
		if !ok || len(a) != len(b) {
			break
		}
		for i := range a {
			diff(fmt.Sprintf("%s[%d]", at, i), a[i], b[i], out)
		}
		return
	}
	if was, is := brief(x), brief(y); was != is {
		*out = append(*out, fmt.Sprintf("%s: approved %s, here %s", at, was, is))
	}
}

func brief(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	const most = 160
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}

// secrets resolves the references of a plan. Their roles are in the parameters they belong to, and were held against the
// stamp file when the plan was made.
func (a *app) secrets(reference string) (secret.Value, error) {
	for _, role := range []secret.Role{secret.PFX, secret.Share, secret.PEP, secret.BMC} {
		r, err := secret.ParseRef(role, reference)
		if err != nil {
			continue
		}
		return a.secret(r, string(role)+" secret")
	}
	return secret.Value{}, configuration(fmt.Errorf("the plan refers to a secret in a way that is none"), "make a new plan")
}
