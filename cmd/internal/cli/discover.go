package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// maxJobs is how many jobs GitHub makes of a matrix.
const maxJobs = 256

var stampFolder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`) })

func (a *app) discoverCommand() *cobra.Command {
	var base, head string
	cmd := &cobra.Command{
		Use:   "discover",
		Short: "find the stamps that a change concerns, for the jobs of a pipeline",
		Long: "Compares two commits, those of the event (GITHUB_EVENT_PATH) or --base and --head, and prints the stamps that differ as a matrix with\n" +
			"the labels of their runners. Warns where a change sends credentials elsewhere, and refuses the deletion of a stamp, or warns of it once\n" +
			"it was pushed. It reads commits, not the work tree, and needs no secret and no network.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.span(base, head)
			if err != nil {
				return err
			}
			return a.discover(cmd.Context(), s)
		},
	}
	cmd.Flags().StringVar(&base, "base", "", "the commit or branch to compare with, instead of the event's; what counts is where --head left it")
	cmd.Flags().StringVar(&head, "head", "", "the commit to look at (default: HEAD)")
	return cmd
}

// span says what to compare: what the command line names, else what the event names, else everything.
func (a *app) span(base, head string) (span, error) {
	if base != "" {
		s := span{base: base, head: orHead(head), fork: true}
		if zeros(base) {
			s.base, s.everything = "", "there is nothing before it"
		}
		return s, nil
	}
	file := a.env.Getenv("GITHUB_EVENT_PATH")
	if head != "" || file == "" {
		return span{head: orHead(head), everything: "there is nothing to compare with"}, nil
	}
	b, err := readRegular(a.path(file), maxEvent)
	if err != nil {
		return span{}, configuration(fmt.Errorf("GITHUB_EVENT_PATH: %w", err), "name the commits yourself: --base COMMIT --head COMMIT")
	}
	s, err := eventOf(a.env.Getenv("GITHUB_EVENT_NAME"), b)
	if err != nil {
		return span{}, configuration(err, "name the commits yourself: --base COMMIT --head COMMIT")
	}
	return s, nil
}

func orHead(head string) string {
	if head == "" {
		return "HEAD"
	}
	return head
}

func (a *app) discover(ctx context.Context, s span) error {
	if s.nothing != "" {
		a.progress("no stamp is taken: %s", s.nothing)
		return a.jobsAre(nil)
	}
	repo, err := a.repository()
	if err != nil {
		return err
	}
	h := history{dir: repo.Dir(), getenv: a.env.Getenv}
	if s.head, err = h.commit(ctx, s.head); err != nil {
		return configuration(err, wholeHistory(err))
	}
	after, err := a.stampsAt(ctx, h, s.head)
	if err != nil {
		return err
	}
	if len(after.problems) > 0 {
		return configuration(errors.Join(after.problems...), "")
	}
	before := &stampsAt{}
	var changed []change
	if s.base != "" {
		if s.base, err = h.from(ctx, s); err != nil {
			return configuration(err, wholeHistory(err))
		}
		if before, err = a.stampsAt(ctx, h, s.base); err != nil {
			return err
		}
		if changed, err = h.changes(ctx, s.base, s.head); err != nil {
			return environment("git", err, "")
		}
		if i := slices.IndexFunc(changed, func(c change) bool { return ofPolicy(c.path) }); i >= 0 {
			s.everything = fmt.Sprintf("%q holds for every stamp", changed[i].path)
		}
	}
	if s.everything != "" {
		a.progress("every stamp is taken: %s", s.everything)
	}
	var taken []*stamp.Stamp
	for _, st := range after.stamps {
		entry := report.Stamp{Stamp: st.Name, File: st.File, Simulated: st.Simulated, Outcome: "changed"}
		entry.Findings, entry.Compared = retargeted(before, st, s.base != "")
		if s.everything == "" && len(entry.Findings) == 0 && !slices.ContainsFunc(changed, func(c change) bool { return concerns(st, c.path) }) {
			continue
		}
		if len(entry.Findings) > 0 {
			entry.Verdict = validate.Warn
		}
		a.doc.Stamps = append(a.doc.Stamps, entry)
		taken = append(taken, st)
	}
	gone := takenAway(before, after)
	switch {
	case len(gone) == 0:
	case s.landed:
		// It was refused as a pull request; refusing it once more would keep the other stamps from their certificates.
		for _, name := range gone {
			a.doc.Stamps = append(a.doc.Stamps, report.Stamp{Stamp: name, Outcome: "deleted", Verdict: validate.Warn, Findings: []validate.Finding{{
				ID: "stamp-deleted", Name: "Stamp", Result: validate.Warning, Found: "this change takes away the stamp", Wanted: "its file, as long as it is there",
				Hint: "if it is gone for good, remove its environments with their secrets, and its runner: nobody plans or watches its certificates any more",
			}}})
		}
	default:
		return refusedf("stamp-deleted", "a stamp that is still there needs its file, also under another folder; where it is not, an administrator merges this past the check",
			"the change takes away the stamp %q: nobody would plan or watch its certificates any more", gone)
	}
	return a.jobsAre(taken)
}

// takenAway names the stamps of before that are not there any more, and the files of those that could not be read.
func takenAway(before, after *stampsAt) []string {
	var gone []string
	for _, st := range before.stamps {
		if !slices.ContainsFunc(after.stamps, func(n *stamp.Stamp) bool { return n.Name == st.Name }) {
			gone = append(gone, st.Name)
		}
	}
	for _, f := range before.unreadable {
		if _, ok := after.tree.blobs[f]; !ok {
			gone = append(gone, f)
		}
	}
	return gone
}

// stampsAt is the stamps of one commit.
type stampsAt struct {
	tree       *snapshot
	stamps     []*stamp.Stamp
	unreadable []string // files that cannot be read as stamps
	problems   []error
}

func (a *app) stampsAt(ctx context.Context, h history, commit string) (*stampsAt, error) {
	tree, err := h.snapshot(ctx, commit)
	if err != nil {
		return nil, environment("git", err, "")
	}
	repo, err := a.repository()
	if err != nil {
		return nil, err
	}
	tree.outside = repo
	base, err := policies.Default()
	if err != nil {
		return nil, fmt.Errorf("embedded policies: %w", err)
	}
	out := &stampsAt{tree: tree}
	files := tree.stampFiles()
	if len(files) > maxJobs {
		return nil, configuration(fmt.Errorf("%d stamps, and a matrix has at most %d jobs", len(files), maxJobs), "split the repository")
	}
	for _, f := range files {
		st, err := stamp.Load(tree, f, stamp.Options{AllowPaths: a.absoluteAllowed(), OptionalEndpoints: base.Optionals()})
		if err == nil {
			if i := slices.IndexFunc(out.stamps, func(o *stamp.Stamp) bool { return o.Name == st.Name }); i >= 0 {
				err = fmt.Errorf("%s: name %q is already taken by %s", f, st.Name, out.stamps[i].File)
			}
		}
		if err != nil {
			out.unreadable, out.problems = append(out.unreadable, f), append(out.problems, err)
			continue
		}
		out.stamps = append(out.stamps, st)
	}
	return out, ctx.Err()
}

// ofPolicy reports whether a path holds for every stamp.
func ofPolicy(p string) bool { return p == "policy.yaml" || strings.HasPrefix(p, "policies/") }

// concerns reports whether a stamp is made of a path: what lies in its folder, and what its file names elsewhere.
func concerns(s *stamp.Stamp, p string) bool {
	for _, own := range []string{s.Dir, s.Certificates, s.ResourceProviders, s.PublicRoots, s.EnterpriseRoots, s.Policy, s.InstalledCA.File, s.PEP.CA} {
		if own != "" && (p == own || strings.HasPrefix(p, own+"/")) {
			return true
		}
	}
	return false
}

// retargeted compares where the credentials of a stamp go before and after.
func retargeted(before *stampsAt, s *stamp.Stamp, compared bool) ([]validate.Finding, []report.Comparison) {
	if !compared {
		return nil, nil
	}
	f := validate.Finding{
		ID: "target-changed", Name: "Target", Result: validate.Warning, Found: "this change sends credentials elsewhere",
		Wanted: "the target that CERTSTAMP_TARGET of the environment pins",
		Hint:   "if every line is wanted, set CERTSTAMP_TARGET to " + s.Target().Digest() + " after the merge; until then the stamp refuses",
	}
	var old map[string]string
	switch i := slices.IndexFunc(before.stamps, func(b *stamp.Stamp) bool { return b.Name == s.Name }); {
	case i >= 0 && before.stamps[i].Target().Digest() == s.Target().Digest():
		return nil, nil
	case i >= 0:
		old = targetLines(before.stamps[i])
		f.Wanted = before.stamps[i].Target().Digest() + ", as before"
	case slices.Contains(before.unreadable, s.File):
		f.Found += ", or not: the file before it cannot be read"
	default:
		f.ID, f.Found = "target-new", "this change sends credentials to a new stamp"
	}
	now := targetLines(s)
	keys := map[string]bool{}
	for k := range old {
		keys[k] = true
	}
	for k := range now {
		keys[k] = true
	}
	var list []report.Comparison
	for k := range keys {
		if old[k] != now[k] {
			list = append(list, report.Comparison{Fact: k, Before: orNone(old[k]), After: orNone(now[k])})
		}
	}
	slices.SortFunc(list, func(x, y report.Comparison) int { return strings.Compare(x.Fact, y.Fact) })
	return []validate.Finding{f}, list
}

// targetLines is the canonical target by key.
func targetLines(s *stamp.Stamp) map[string]string {
	out := map[string]string{}
	for l := range strings.Lines(s.Target().Text()) {
		k, v, _ := strings.Cut(strings.TrimSuffix(l, "\n"), ": ")
		out[k] = v
	}
	return out
}

// jobsAre tells the pipeline which jobs to make.
func (a *app) jobsAre(stamps []*stamp.Stamp) error {
	m := &report.Matrix{Include: []report.MatrixJob{}}
	names := []string{}
	for _, s := range stamps {
		if !stampName().MatchString(s.Name) {
			return fmt.Errorf("stamp name %q was let through", s.Name) // the reader of the file has the same pattern
		}
		if !stampFolder().MatchString(s.Dir) {
			return configuration(fmt.Errorf("the folder of the stamp %s is %q, and a job gets it as an argument", s.Name, s.Dir), "name it like the stamp: stamps/"+s.Name)
		}
		names = append(names, s.Name)
		m.Include = append(m.Include, report.MatrixJob{Stamp: s.Name, Path: s.Dir, Runner: s.Runner})
	}
	a.doc.Matrix = m
	list, err := json.Marshal(names)
	if err != nil {
		return err
	}
	matrix, err := json.Marshal(m)
	if err != nil {
		return err
	}
	a.made = append(a.made, output{"stamps", string(list)}, output{"any", fmt.Sprint(len(names) > 0)}, output{"matrix", string(matrix)})
	return nil
}

// fanOut prints the jobs of the stamps of the work tree.
func (a *app) fanOut() error {
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	if len(jobs) > maxJobs {
		return configuration(fmt.Errorf("%d stamps, and a matrix has at most %d jobs", len(jobs), maxJobs), "name some with --stamp")
	}
	var stamps []*stamp.Stamp
	for _, j := range jobs {
		stamps = append(stamps, j.stamp)
	}
	return a.jobsAre(stamps)
}
