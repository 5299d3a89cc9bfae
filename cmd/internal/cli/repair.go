package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/pfx"
)

// repair mends one PFX: chain, order, strangers, encryption. What needs a new request is not mended but left to validate.
func (a *app) repair(ctx context.Context, p packing) error {
	if p.out == "" {
		return usagef("give --out FILE.pfx", "--repair needs a file to write to")
	}
	var err error
	if p.password != "" {
		p.passwordValue, err = a.flagSecret(secret.PFX, "--password", p.password)
	} else {
		var j *job
		if j, err = a.oneJob(); err == nil {
			p.passwordValue, err = a.secret(j.stamp.PFXPassword, "pfx-password")
		}
	}
	if err != nil {
		return err
	}
	in := a.path(p.repair)
	b, err := readNamed(in)
	if err != nil {
		return configuration(fmt.Errorf("--repair %q: %w", p.repair, err), "")
	}
	bundle, err := pfx.Open(ctx, b, p.passwordValue.Reveal(), pfx.Limits{})
	if err != nil {
		hint := "ask for the file again: it cannot be read"
		if errors.Is(err, pfx.ErrPassword) {
			hint = "check the password: the format cannot tell a wrong one from a changed file"
		}
		return configuration(fmt.Errorf("--repair %q: %w", p.repair, err), hint)
	}
	var extra []*x509.Certificate
	if p.issued != "" {
		root, err := os.OpenRoot(a.path(p.issued))
		if err != nil {
			return configuration(fmt.Errorf("--issued: %w", err), "")
		}
		defer root.Close()
		if extra, err = readIssued(root); err != nil {
			return configuration(fmt.Errorf("--issued: %w", err), "")
		}
	}
	mended, changes, err := pfx.Repair(bundle, extra, pfx.Pack{
		Password: p.passwordValue.Reveal(), Encryption: p.encryption, LocalMachine: true, CSP: p.csp,
	})
	if err != nil {
		return configuration(fmt.Errorf("--repair %q: %w", p.repair, err), "make a new request: this cannot be mended")
	}
	entry := report.Stamp{Stamp: p.repair, Outcome: "repaired", Message: fmt.Sprintf("%d differences mended", len(changes))}
	for _, c := range changes {
		entry.Facts = append(entry.Facts, report.Fact{Name: "mended", Value: c})
	}
	out, err := mended.Encode()
	if err != nil {
		return configuration(fmt.Errorf("--repair %q: %w", p.repair, err), "give the missing CA certificates with --issued FOLDER")
	}
	if err := writeFile(a.path(p.out), out, 0o600); err != nil {
		return configuration(fmt.Errorf("--out: %w", err), "")
	}
	a.doc.Files = append(a.doc.Files, p.out)
	a.doc.Stamps = append(a.doc.Stamps, entry)
	return nil
}

// readNamed reads a file that the command line named.
func readNamed(name string) ([]byte, error) {
	if err := regular(os.Stat(name)); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readStream(f, maxFile)
}
