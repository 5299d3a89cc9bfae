package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/certstamp/certstamp/cmd/internal/ci"
	"github.com/certstamp/certstamp/internal/plan"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// maxPolicy bounds a stamp's policy.yaml.
const maxPolicy = 256 << 10

// job is one stamp with the policy that holds for it.
type job struct {
	stamp   *stamp.Stamp
	policy  *policies.Policy
	anchors validate.Anchors // the roots that the stamp names
}

// path resolves a path of the command line against the working directory.
func (a *app) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	abs, err := filepath.Abs(filepath.Join(a.env.Dir, p))
	if err != nil {
		return filepath.Join(a.env.Dir, p) // the working directory is gone; opening it will say so
	}
	return abs
}

// repository opens the checkout: the nearest folder above the working directory that has stamps or is a Git work tree.
func (a *app) repository() (*stamp.Repository, error) {
	if a.repo != nil {
		return a.repo, nil
	}
	dir, err := filepath.Abs(a.env.Dir)
	if err != nil {
		return nil, err
	}
	root := dir
	for d := dir; ; d = filepath.Dir(d) {
		if exists(filepath.Join(d, "stamps")) || exists(filepath.Join(d, ".git")) {
			root = d
			break
		}
		if filepath.Dir(d) == d {
			break
		}
	}
	allow := make([]string, len(a.allowed))
	for i, p := range a.allowed {
		allow[i] = a.path(p)
	}
	r, err := stamp.OpenRepository(root, allow)
	if err != nil {
		return nil, configuration(err, "")
	}
	a.repo = r
	return r, nil
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// jobs loads the named stamps, or all, with their policies.
func (a *app) jobs() ([]*job, error) {
	names := make([]string, len(a.stamps))
	for i, n := range a.stamps {
		names[i] = a.path(n)
	}
	return a.load(names)
}

// oneJob loads exactly one stamp.
func (a *app) oneJob() (*job, error) {
	jobs, err := a.jobs()
	if err != nil {
		return nil, err
	}
	if len(jobs) != 1 {
		return nil, usagef("name one with --stamp stamps/NAME", "this command takes one stamp, found %d", len(jobs))
	}
	return jobs[0], nil
}

func (a *app) load(names []string) ([]*job, error) {
	repo, err := a.repository()
	if err != nil {
		return nil, err
	}
	base, err := policies.Default()
	if err != nil {
		return nil, fmt.Errorf("embedded policies: %w", err)
	}
	stamps, err := stamp.LoadAll(repo, names, stamp.Options{
		AllowPaths: a.absoluteAllowed(), OptionalEndpoints: base.Optionals(),
		Passed: func(folder string) { a.progress("warning: %q holds no stamp.yaml and is passed over", folder) },
	})
	if err != nil {
		hint := hintOf(err)
		switch {
		case errors.Is(err, os.ErrNotExist):
			hint = "name a stamp file, or a folder with stamp.yaml, with --stamp"
		case errors.As(err, new(stamp.Errors)) && exists(filepath.Join(repo.Dir(), stamp.SchemaName)):
			hint = "correct the stamp file; its keys are described in " + stamp.SchemaName
		case hint == "":
			hint = fmt.Sprintf("a stamp file is a regular file inside the repository, of at most %d bytes", stamp.MaxSize)
		}
		return nil, configuration(err, hint)
	}
	var jobs []*job
	for _, s := range stamps {
		j := &job{stamp: s, policy: base}
		if s.Policy != "" {
			b, err := repo.ReadFile(s.Policy, maxPolicy)
			if err != nil {
				return nil, configuration(fmt.Errorf("stamp %s: policy: %w", s.Name, err), "")
			}
			if j.policy, err = base.WithOverlay(b, s.Policy); err != nil {
				return nil, configuration(fmt.Errorf("stamp %s: %w", s.Name, err), "")
			}
		}
		if err := a.roots(repo, j, base.ListSigners()); err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	a.doc.PolicyDigest = oneDigest(jobs)
	return jobs, nil
}

// oneDigest is the digest of the policy that all stamps are held to, or empty where their own policies make several.
func oneDigest(jobs []*job) string {
	digest := ""
	for i, j := range jobs {
		if d := j.policy.Digest(); i == 0 {
			digest = d
		} else if d != digest {
			return ""
		}
	}
	return digest
}

func (a *app) absoluteAllowed() []string {
	out := make([]string, len(a.allowed))
	for i, p := range a.allowed {
		out[i] = a.path(p)
	}
	return out
}

// checkTarget holds a stamp against the target pinned outside the repository. It comes before the first name is looked
// up and before the first secret is resolved.
func (a *app) checkTarget(s *stamp.Stamp) error {
	return a.checkPinned(s.Name, s.Target().Digest(), reachOfStamp(s))
}

func (a *app) checkPinned(name, digest string, to reach) error {
	want := a.env.Getenv("CERTSTAMP_TARGET")
	if err := stamp.CheckTarget(name, digest, want, a.inCI()); err != nil {
		return fail(exitRefused, "target", err, "")
	}
	if !stamp.Pinned(want) && a.shown != name+digest {
		a.shown = name + digest
		a.progress("no target is pinned, so look where this goes: stamp %s, target %s", name, digest)
		for _, line := range to.lines() {
			a.progress("  %s", line)
		}
	}
	return nil
}

// reach is where a run sends credentials.
type reach struct {
	hosts                        []string
	user, unc, folder, shareUser string
}

func reachOfStamp(s *stamp.Stamp) reach {
	return reach{s.PEP.Hosts, s.PEP.User, s.Share.UNC, s.Share.Folder, s.Share.User}
}

func reachOfPlan(p *plan.Plan) reach {
	var to reach
	switch {
	case p.Rotate != nil:
		to.hosts, to.user = p.Rotate.PEP.Hosts, p.Rotate.PEP.User
	case p.BMC != nil:
		to.hosts, to.user = p.BMC.PEP.Hosts, p.BMC.PEP.User
	}
	if p.Stage != nil {
		to.unc, to.folder, to.shareUser = p.Stage.UNC, p.Stage.Folder, p.Stage.User
	}
	return to
}

func (to reach) lines() []string {
	var out []string
	if len(to.hosts) > 0 {
		out = append(out, fmt.Sprintf("privileged endpoint %s as %s", strings.Join(to.hosts, ", "), to.user))
	}
	switch {
	case to.folder != "": // whoever runs this may write there: no account is used
		out = append(out, fmt.Sprintf("share %s, here %s", to.unc, to.folder))
	case to.unc != "":
		out = append(out, fmt.Sprintf("share %s as %s", to.unc, to.shareUser))
	}
	return out
}

// inCI reports whether a pipeline runs us. Systems set CI to true, True or 1; in doubt it is one, because there more is refused.
func (a *app) inCI() bool {
	switch strings.ToLower(a.env.Getenv("CI")) {
	case "", "0", "false":
		// What --ci says is about the log; it must not talk us out of being in a pipeline.
		return a.emitter.Platform != ci.Plain || ci.Detect(a.env.Getenv) != ci.Plain
	}
	return true
}

// source is the repository and commit a plan is made from, as the CI system or git says; "none" outside a work tree.
func (a *app) source(ctx context.Context, root string) (repository, commit string) {
	get := a.env.Getenv
	switch ci.Detect(get) {
	case ci.GitHub:
		repository, commit = get("GITHUB_REPOSITORY"), get("GITHUB_SHA")
	case ci.Azure:
		repository, commit = get("BUILD_REPOSITORY_NAME"), get("BUILD_SOURCEVERSION")
	case ci.GitLab:
		repository, commit = get("CI_PROJECT_PATH"), get("CI_COMMIT_SHA")
	}
	if commit == "" {
		commit = a.git(ctx, root, "rev-parse", "HEAD")
	}
	if repository == "" {
		repository = repositoryOf(a.git(ctx, root, "config", "--get", "remote.origin.url"))
	}
	return orNone(repository), orNone(commit)
}

// git asks git for one line. The child gets no secrets: its environment is what it needs to be found.
func (a *app) git(ctx context.Context, dir string, args ...string) string {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = []string{"PATH=" + a.env.Getenv("PATH"), "HOME=" + a.env.Getenv("HOME"), "SystemRoot=" + a.env.Getenv("SystemRoot")}
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(out))
}

// repositoryOf is what a CI system calls the repository at a remote, so that a plan made by hand is the one that a job derives:
// OWNER/REPO on GitHub, GROUP/SUBGROUP/REPO on GitLab, the bare name in Azure Repos. A token that somebody left in the address
// goes with it. A folder or a file stays as it is.
func repositoryOf(remote string) string {
	path := ""
	if scheme, rest, ok := strings.Cut(remote, "://"); ok {
		if scheme == "file" {
			return remote
		}
		if _, path, _ = strings.Cut(rest, "/"); path == "" {
			return ""
		}
	} else if host, after, ok := strings.Cut(remote, ":"); ok && len(host) > 1 && !strings.ContainsAny(host, `/\`) {
		path = after // git@github.com:OWNER/REPO.git, and no drive of Windows
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if _, name, ok := strings.Cut(path, "_git/"); ok { // https://dev.azure.com/ORGANISATION/PROJECT/_git/REPO
		path = name
	} else if azure := strings.Split(path, "/"); len(azure) == 4 && azure[0] == "v3" { // git@ssh.dev.azure.com:v3/ORGANISATION/PROJECT/REPO
		path = azure[3]
	}
	if path == "" {
		return remote
	}
	return path
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
