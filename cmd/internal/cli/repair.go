package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/pfx"
)

// repair mends one PFX: chain, order, strangers, encryption, attributes, and shows each fact before and after. What needs a
// new request is not mended but left to validate.
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
	before, err := readNamed(a.path(p.repair))
	if err != nil {
		return configuration(fmt.Errorf("--repair %q: %w", p.repair, err), "")
	}
	bundle, err := pfx.Open(ctx, before, p.passwordValue.Reveal(), pfx.Limits{})
	if err != nil {
		hint := "" // what cannot be read by kind has its own
		if errors.Is(err, pfx.ErrFormat) || errors.Is(err, pfx.ErrLimit) {
			hint = "ask for the file again, exported as PFX: this one cannot be read"
		}
		return configuration(fmt.Errorf("--repair %q: %w", p.repair, err), hint)
	}
	extra, err := a.issuedBeside(p.issued)
	if err != nil {
		return err
	}
	mended, changes, err := pfx.Repair(bundle, extra, pfx.Pack{
		Password: p.passwordValue.Reveal(), Encryption: p.encryption, LocalMachine: true, CSP: p.csp, FriendlyName: p.friendlyName,
	})
	if err != nil {
		return configuration(fmt.Errorf("--repair %q: %w", p.repair, err), "make a new request: this cannot be mended")
	}
	if top := topOf(mended); !pfx.SelfSigned(top) {
		return refusedf("incomplete", "give a folder with the missing CA certificates: --issued FOLDER",
			"--repair %q: the chain ends at %q, its issuer %q is missing, and a stamp wants the chain up to its root", p.repair, top.Subject, top.Issuer)
	}
	after := before
	if len(changes) > 0 { // else the same bytes, so that a second run changes nothing
		if after, err = mended.Encode(); err != nil {
			return configuration(fmt.Errorf("--repair %q: %w", p.repair, err), "")
		}
	}
	// The table shows what the new file says of itself, not what was meant to be in it.
	result, err := pfx.Open(ctx, after, p.passwordValue.Reveal(), pfx.Limits{})
	if err != nil {
		return fmt.Errorf("--repair %q: read back: %w", p.repair, err)
	}
	if err := writeFile(a.path(p.out), after, 0o600); err != nil {
		return configuration(fmt.Errorf("--out: %w", err), "")
	}
	a.doc.Files = append(a.doc.Files, p.out)
	a.doc.Stamps = append(a.doc.Stamps, repaired(p, changes, pfx.Compare(bundle, result)))
	return nil
}

func repaired(p packing, changes []string, compared []pfx.Comparison) report.Stamp {
	entry := report.Stamp{Stamp: p.repair, Outcome: "repaired", Message: amount.Of(len(changes), "difference") + " mended"}
	if len(changes) == 0 {
		entry.Outcome, entry.Message = "unchanged", "nothing to mend"
	}
	for _, c := range changes {
		entry.Facts = append(entry.Facts, report.Fact{Name: "mended", Value: c})
	}
	for _, c := range compared {
		entry.Compared = append(entry.Compared, report.Comparison(c))
	}
	return entry
}

// issuedBeside reads the certificates that may complete a chain; there need not be any.
func (a *app) issuedBeside(folder string) ([]*x509.Certificate, error) {
	if folder == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(a.path(folder))
	if err != nil {
		return nil, configuration(fmt.Errorf("--issued: %w", err), "")
	}
	defer root.Close()
	extra, err := readIssued(root)
	if err != nil {
		return nil, configuration(fmt.Errorf("--issued %q: %w", folder, err), "the folder holds only certificates: PEM, DER or P7B")
	}
	return extra, nil
}

// topOf is the certificate at which a pack's chain ends.
func topOf(p pfx.Pack) *x509.Certificate {
	if len(p.Chain) == 0 {
		return p.Leaf
	}
	return p.Chain[len(p.Chain)-1]
}

// readNamed reads a file that the command line named.
func readNamed(name string) ([]byte, error) { return readRegular(name, maxFile) }
