package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/validate"
)

// refusals shows three mistakes that must not reach a stamp.
func (p *player) refusals(ctx context.Context) error {
	for _, show := range []struct {
		title string
		run   func(context.Context) (string, error)
	}{
		{"a set in which one certificate has a wrong name", p.wrongName},
		{"a plan that was edited by one byte after its approval", p.editedPlan},
		{"a stamp file that leads to another stamp", p.wrongStamp},
	} {
		p.say("\n== refused: %s", show.title)
		reason, err := show.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", show.title, err)
		}
		p.say("refused: %s: %s", show.title, reason)
	}
	return nil
}

func (p *player) wrongName(ctx context.Context) (string, error) {
	s := *p.w.Stamps[0]
	stamp, err := p.copyStamp(&s, "wrong-name", s.Hosts)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(p.w.Repo, "stamps", "wrong-name")
	if err := p.w.Issue(filepath.Join(folder, "requests"), filepath.Join(folder, "issued"), "*.blob"); err != nil {
		return "", err
	}
	if _, err := p.command(ctx, nil, 0, "pack", "--stamp", stamp, "--key-password", "env:PFX_KEY_PASSWORD"); err != nil {
		return "", err
	}
	d, err := p.command(ctx, nil, 1, "validate", "--stamp", stamp)
	if err != nil {
		return "", err
	}
	for _, c := range d.Stamps[0].Certificates {
		for _, f := range c.Tests {
			if f.ID == "dns-names" && f.Result == validate.Fail {
				return fmt.Sprintf("%s: found %s, wanted %s", c.Folder, f.Found, f.Wanted), nil
			}
		}
	}
	return "", fmt.Errorf("no finding says so")
}

func (p *player) editedPlan(ctx context.Context) (string, error) {
	s := p.w.Stamps[0]
	b, err := os.ReadFile(filepath.Join(p.w.Dir, "plan-"+s.Name+".json"))
	if err != nil {
		return "", err
	}
	var digest string
	for _, d := range p.docs {
		if d.Command == "stage" && len(d.Stamps) > 0 && d.Stamps[0].Stamp == s.Name {
			digest = d.Stamps[0].PlanSHA256
		}
	}
	edited := bytes.Replace(b, []byte("ACSBlob"), []byte("ACSBlog"), 1)
	if bytes.Equal(edited, b) {
		return "", fmt.Errorf("nothing to edit")
	}
	if err := os.WriteFile(filepath.Join(p.w.Dir, "plan-edited.json"), edited, 0o600); err != nil {
		return "", err
	}
	d, err := p.command(ctx, nil, 1, "stage", "--plan", "../plan-edited.json", "--plan-sha256", digest)
	return said(d), err
}

func (p *player) wrongStamp(ctx context.Context) (string, error) {
	s := *p.w.Stamps[1]
	stamp, err := p.copyStamp(&s, "stray", p.w.Stamps[0].Hosts)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(p.w.Repo, "stamps", "stray")
	if err := p.w.Issue(filepath.Join(folder, "requests"), filepath.Join(folder, "issued"), ""); err != nil {
		return "", err
	}
	allow := []string{"--allow-path", s.Share, "--allow-path", s.Backup}
	if _, err := p.command(ctx, nil, 0, append([]string{"pack", "--stamp", stamp, "--key-password", "env:PFX_KEY_PASSWORD", "--backup"}, allow...)...); err != nil {
		return "", err
	}
	d, err := p.command(ctx, nil, 0, "plan", "--stamp", stamp, "--out", "../plan-stray.json")
	if err != nil {
		return "", err
	}
	bound := append([]string{"--plan", "../plan-stray.json", "--plan-sha256", d.Stamps[0].PlanSHA256}, allow...)
	d, err = p.command(ctx, nil, 1, append([]string{"stage"}, bound...)...)
	return said(d), err
}

// copyStamp writes a further stamp file that plays the same stamp under another name, with the same requests.
func (p *player) copyStamp(s *Stamp, name string, hosts []string) (string, error) {
	from := filepath.Join(p.w.Repo, "stamps", s.Name, "requests")
	to := filepath.Join(p.w.Repo, "stamps", name)
	if err := os.CopyFS(filepath.Join(to, "requests"), os.DirFS(from)); err != nil {
		return "", err
	}
	s.Name = name
	s.Backup = filepath.Join(p.w.Dir, "backup-"+name)
	if err := os.MkdirAll(s.Backup, 0o755); err != nil {
		return "", err
	}
	return "stamps/" + name, p.w.WriteStamp("stamps/"+name+"/stamp.yaml", s, hosts)
}

// said is the one line in which a command refused.
func said(d *report.Document) string {
	if d == nil || d.Error == nil {
		return ""
	}
	line, _, _ := strings.Cut(d.Error.Message, "\n")
	for _, s := range d.Stamps {
		for _, f := range s.Findings {
			if f.Result == validate.Fail {
				line += fmt.Sprintf(" (%s: found %s, wanted %s)", f.Name, f.Found, f.Wanted)
			}
		}
	}
	return line
}
