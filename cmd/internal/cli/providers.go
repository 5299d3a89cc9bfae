package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/certstamp/certstamp/policies"
	"github.com/certstamp/certstamp/validate"
)

// typedTree is the certificates of one type of resource provider.
type typedTree struct {
	*tree
	kind policies.CertificateType
}

// providerTrees reads the certificates of a stamp's resource providers: one tree for each type that has a folder, or for one.
func (a *app) providerTrees(j *job, open unsealer, only policies.CertificateType) ([]typedTree, error) {
	s := j.stamp
	if s.ResourceProviders == "" {
		return nil, nil
	}
	wrong := func(err error, hint string) error {
		return configuration(fmt.Errorf("stamp %s: resource-providers: %w", s.Name, err), hint)
	}
	repo, err := a.repository()
	if err != nil {
		return nil, err
	}
	root, err := repo.Sub(s.ResourceProviders)
	if err != nil {
		return nil, wrong(err, "name the folder that holds AppServices, DBAdapter and so on, or remove the key from stamp.yaml")
	}
	defer root.Close()
	folders, err := typeFolders(root.FS(), j.policy.Types())
	if err != nil {
		return nil, wrong(err, "a directory of resource providers holds one folder for each type of certificate, and nothing else")
	}
	var out []typedTree
	for _, t := range j.policy.Types() {
		folder, ok := folders[t]
		if !ok || only != "" && only != t {
			continue
		}
		level := folder + "/"
		if direct(j.policy, t) {
			level = ""
		}
		read, err := collect(root.FS(), folder, level, s.ResourceProviders, open)
		if err != nil {
			return nil, wrong(err, "")
		}
		out = append(out, typedTree{read, t})
	}
	return out, nil
}

// judgeProviders judges the certificates of resource providers, one judgement for each type that has a folder. They are held
// against the stamp's own set, core, and go nowhere else: no plan has them.
func (a *app) judgeProviders(ctx context.Context, j *job, how judging, only policies.CertificateType, core *judgement) ([]*judgement, error) {
	s := j.stamp
	var open unsealer
	if !how.noPassword {
		open = a.unsealer(s)
	}
	trees, err := a.providerTrees(j, open, only)
	if err != nil {
		return nil, err
	}
	var out []*judgement
	for _, t := range trees {
		in := validate.Input{
			Stamp: s.Name, Type: t.kind, Simulated: s.Simulated, Domain: s.Domain(), Version: s.Version, Identity: s.Identity,
			Policy: j.policy, AsOf: how.asOf, Files: t.files, Listing: t.listing, NoPassword: how.noPassword,
			Core: core.outcome.Subjects, Anchors: j.anchors,
		}
		if !how.noPassword {
			in.Password = core.password.Reveal()
		}
		set := &judgement{tree: t.tree}
		set.outcome = a.apply(ctx, in, how)
		out = append(out, set)
	}
	return out, ctx.Err()
}

// direct reports whether the PFX of a type lies in the type's own folder.
func direct(p *policies.Policy, t policies.CertificateType) bool {
	for _, e := range p.TypeCatalogue(t) {
		if e.Direct {
			return true
		}
	}
	return false
}

// typeFolders finds the folder of each type, without case. A folder that nobody knows would be certificates that nobody
// judges, so it is a mistake.
func typeFolders(fsys fs.FS, types []policies.CertificateType) (map[policies.CertificateType]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	out := make(map[policies.CertificateType]string)
	var problems []error
	for _, e := range entries {
		name := e.Name()
		switch t, ok := typeNamed(types, name); {
		case strings.HasPrefix(name, ".") || !e.IsDir() && strings.HasSuffix(strings.ToLower(name), ".md"):
		case !e.IsDir():
			problems = append(problems, fmt.Errorf("%q lies in no folder", name))
		case !ok || t == policies.Deployment:
			problems = append(problems, fmt.Errorf("folder %q is no type of a resource provider's certificates; there is %s", name, typeList(types[1:])))
		case out[t] != "":
			problems = append(problems, fmt.Errorf("folders %q and %q are one type", out[t], name))
		default:
			out[t] = name
		}
	}
	return out, errors.Join(problems...)
}

func typeNamed(types []policies.CertificateType, name string) (policies.CertificateType, bool) {
	for _, t := range types {
		if strings.EqualFold(string(t), name) {
			return t, true
		}
	}
	return "", false
}

func typeList(types []policies.CertificateType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

// onlyType reads --type. Empty is every type.
func (a *app) onlyType(name string) (policies.CertificateType, error) {
	if name == "" {
		return "", nil
	}
	p, err := policies.Default()
	if err != nil {
		return "", err
	}
	t, ok := typeNamed(p.Types(), name)
	if !ok {
		return "", usagef("use --type "+string(policies.Deployment)+" or one of the others", "--type %q is no type of certificates; there is %s", name, typeList(p.Types()))
	}
	return t, nil
}

// sets are the judgements over one stamp that were asked for: its own set, then those of its resource providers.
func (a *app) sets(ctx context.Context, j *job, how judging, only policies.CertificateType) ([]*judgement, error) {
	own := only == "" || only == policies.Deployment
	if !own {
		if j.stamp.ResourceProviders == "" {
			return nil, nil
		}
		how.offline = true // what the stamp serves today decides nothing about them
	}
	core, err := a.judge(ctx, j, how)
	if err != nil {
		return nil, err
	}
	var out []*judgement
	if own {
		out = append(out, core)
	}
	if only == policies.Deployment {
		return out, nil
	}
	more, err := a.judgeProviders(ctx, j, how, only, core)
	return append(out, more...), err
}
