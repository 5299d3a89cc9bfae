package cli

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/cmd/internal/report"
	"github.com/certstamp/certstamp/csr"
	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/internal/crew"
	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/pfx"
	"github.com/certstamp/certstamp/policies"
)

// packing is what certstamp pack was told.
type packing struct {
	issued, requests         string
	types                    []string
	keyPassword, keyIdentity string
	recipients               []string
	backup                   bool
	csp, encryption          string
	repair, out, password    string
	friendlyName             string
	passwordValue            secret.Value
	to                       []age.Recipient
	identities               []age.Identity
	keySecret                secret.Value
}

// encryptions are the names of --encryption.
var encryptions = []string{pfx.TripleDESSHA1, pfx.AES256SHA256}

func (a *app) packCommand() *cobra.Command {
	var p packing
	cmd := &cobra.Command{
		Use:   "pack",
		Short: "join issued certificates and keys into the PFX tree",
		Long: "Takes whatever the CA sent (PEM, DER or P7B, in any order, under any name), finds the key of each certificate by its public key,\n" +
			"completes and orders the chain, and writes CERTIFICATES/<AAD|ADFS>/<Folder>/<Folder>.pfx with a public twin .crt.\n" +
			"Certificates of resource providers go into the directory that resource-providers names.\n" +
			"With --repair FILE --out FILE it mends one PFX that has chain, order, encryption or attributes wrong, completes the chain from --issued,\n" +
			"and shows each fact before and after.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.pack(cmd.Context(), p) },
	}
	a.stampFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&p.issued, "issued", "", "folder with the CA's answers (default: issued beside stamp.yaml)")
	f.StringVar(&p.requests, "requests", "", "folder with requests and keys (default: requests beside stamp.yaml)")
	f.Var(list(&p.types), "type", "pack this type of certificates only, such as Deployment or AppServices; repeatable (default: every type that was requested)")
	f.StringVar(&p.keyPassword, "key-password", "", "reference of the password of the keys: env:PFX_… or file:PATH")
	f.StringVar(&p.keyIdentity, "key-identity", "", "reference of the age identity that opens the keys: env:PFX_… or file:PATH")
	f.Var(list(&p.recipients), "recipient", "age recipient: write .pfx.age instead of .pfx; repeatable")
	f.BoolVar(&p.backup, "backup", false, "also copy the whole set to the stamp's backup folder")
	f.StringVar(&p.csp, "csp", "", "provider name to write into the key's attributes")
	f.StringVar(&p.encryption, "encryption", pfx.TripleDESSHA1, strings.Join(encryptions, " or "))
	f.StringVar(&p.repair, "repair", "", "a PFX to mend; takes --out and the password of the stamp or --password")
	f.StringVar(&p.out, "out", "", "file to write with --repair")
	f.StringVar(&p.friendlyName, "friendly-name", "", "with --repair, the name that Windows shows (default: the one the file has)")
	f.StringVar(&p.password, "password", "", "reference of the password of the file to repair, when no stamp gives it: env:PFX_…")
	return cmd
}

func (a *app) pack(ctx context.Context, p packing) error {
	if !slices.Contains(encryptions, p.encryption) {
		return usagef("give --encryption "+strings.Join(encryptions, "|"), "--encryption %q is not one of %v", p.encryption, encryptions)
	}
	if p.repair != "" {
		return a.repair(ctx, p)
	}
	if p.out != "" || p.password != "" || p.friendlyName != "" {
		return usagef("", "--out, --password and --friendly-name belong to --repair")
	}
	jobs, err := a.jobs()
	if err != nil {
		return err
	}
	if len(jobs) != 1 && (p.issued != "" || p.requests != "") {
		return usagef("name one with --stamp stamps/NAME", "--issued and --requests take one stamp, found %d", len(jobs))
	}
	if p.to, err = recipients(p.recipients); err != nil {
		return err
	}
	if err := a.packSecrets(&p); err != nil {
		return err
	}
	var problems []error
	for _, j := range jobs {
		if err := a.packStamp(ctx, j, p); err != nil {
			problems = append(problems, err)
		}
	}
	return together(problems)
}

// together makes one failure of the failures of several stamps: with the first one's code and hint, and all that is wrong.
func together(problems []error) error {
	if len(problems) < 2 {
		return errors.Join(problems...)
	}
	all := errors.Join(problems...)
	var first *failure
	if !errors.As(all, &first) {
		return all
	}
	return fail(first.code, first.reason, all, first.hint)
}

func (a *app) packSecrets(p *packing) error {
	if p.keyPassword != "" {
		v, err := a.flagSecret(secret.PFX, "--key-password", p.keyPassword)
		if err != nil {
			return err
		}
		p.keySecret = v
	}
	if p.keyIdentity != "" {
		v, err := a.flagSecret(secret.PFX, "--key-identity", p.keyIdentity)
		if err != nil {
			return err
		}
		if p.identities, err = ageIdentities(v); err != nil {
			return configuration(fmt.Errorf("--key-identity: %w", err), "the reference must lead to an age identity, AGE-SECRET-KEY-…")
		}
	}
	return nil
}

// packStamp packs one stamp's set: everything that is wrong is said at once, and then nothing is written.
func (a *app) packStamp(ctx context.Context, j *job, p packing) error {
	s := j.stamp
	var err error
	if p.passwordValue, err = a.secret(s.PFXPassword, "pfx-password"); err != nil {
		return err
	}
	entry := report.Stamp{Stamp: s.Name, Simulated: s.Simulated, Outcome: "packed"}
	sets, err := a.packable(j, p)
	if err != nil {
		return err
	}
	if len(sets) > 0 {
		counts, err := a.packSets(ctx, j, p, sets)
		if err != nil {
			return err
		}
		entry.Message = fmt.Sprintf("%s: %s", s.Name, counts)
	}
	if p.backup {
		n, err := a.backUp(s, p)
		if err != nil {
			return err
		}
		entry.Facts = append(entry.Facts, report.Fact{Name: "backup", Value: fmt.Sprintf("%s in %s", amount.Of(n, "file"), s.Backup)})
	}
	entry.Next = "certstamp validate --stamp " + s.Dir
	a.doc.Stamps = append(a.doc.Stamps, entry)
	return nil
}

// bundle is one file to be packed.
type bundle struct {
	endpoint policies.Endpoint
	entry    csr.Entry
	leaf     *x509.Certificate
	chain    []*x509.Certificate
}

// packable is one type of certificates on its way: what was requested, where it goes, and what the CA answered.
type packable struct {
	kind     policies.CertificateType
	requests string // folder, as it is shown
	manifest *csr.Manifest
	dir      string // where the tree is, in the repository
	bundles  []bundle
	keys     []crypto.Signer
}

// packable finds what was requested of a stamp. A stamp without any requests is a mistake, unless only its set is to be
// copied to the backup.
func (a *app) packable(j *job, p packing) ([]*packable, error) {
	s := j.stamp
	types := j.policy.Types()
	if len(p.types) > 0 {
		var err error
		if types, err = typesOf(j, p.types); err != nil {
			return nil, err
		}
	}
	var out []*packable
	for _, t := range types {
		set := &packable{kind: t, dir: path.Join(s.Certificates, string(s.Identity))}
		root, shown, err := a.openRequests(s, p.requests, requestsBelow(t), false)
		if err != nil {
			return nil, err
		}
		set.requests = shown
		set.manifest, err = readManifest(root, s.Domain())
		if root != nil {
			err = errors.Join(err, root.Close())
		}
		switch {
		case err != nil:
			return nil, configuration(fmt.Errorf("stamp %s: %s: %w", s.Name, shown, err), "")
		case len(set.manifest.Requests) == 0 && len(p.types) > 0:
			return nil, configuration(fmt.Errorf("stamp %s: no requests in %s", s.Name, shown), fmt.Sprintf("run certstamp csr --type %s first, or name the folder with --requests", t))
		case len(set.manifest.Requests) == 0:
			continue
		}
		if t != policies.Deployment {
			if s.ResourceProviders == "" {
				return nil, configuration(fmt.Errorf("stamp %s: there are requests in %s, and no place for their certificates", s.Name, shown),
					"add resource-providers: PATH to stamp.yaml, or pack without them: --type "+string(policies.Deployment))
			}
			set.dir = s.ResourceProviders
		}
		out = append(out, set)
	}
	if len(out) == 0 && !p.backup {
		return nil, configuration(fmt.Errorf("stamp %s: no requests in %s", s.Name, path.Join(s.Dir, requestsFolder)), "run certstamp csr first, or name the folder with --requests")
	}
	return out, nil
}

// packSets packs what was requested: everything that is missing is said at once, and then nothing is written.
func (a *app) packSets(ctx context.Context, j *job, p packing, sets []*packable) (string, error) {
	s := j.stamp
	issued, shown, err := a.besideStamp(s, p.issued, issuedFolder)
	if err != nil {
		return "", configuration(fmt.Errorf("stamp %s: %s: %w", s.Name, shown, err), "")
	}
	defer issued.Close()
	pool, err := readIssued(issued)
	if err != nil {
		return "", configuration(fmt.Errorf("stamp %s: %s: %w", s.Name, shown, err), "the folder holds only what the CA sent: PEM, DER or P7B")
	}
	var missing, locked []error
	for _, set := range sets {
		if set.bundles, err = match(j, set, pool); err != nil {
			missing = append(missing, err)
		}
	}
	if len(missing) > 0 {
		return "", refusedf("incomplete", "get the missing answers from the CA, put them into "+shown+" and run certstamp pack again", "stamp %s: the set is not complete:\n%w", s.Name, errors.Join(missing...))
	}
	for _, set := range sets {
		root, _, err := a.openRequests(s, p.requests, requestsBelow(set.kind), true) // it is there: its manifest was read
		if err != nil {
			return "", err
		}
		if set.keys, err = p.openKeys(ctx, root, set.bundles); err != nil {
			locked = append(locked, err)
		}
		_ = root.Close() // nothing was written to it
	}
	if len(locked) > 0 {
		return "", configuration(fmt.Errorf("stamp %s: %w", s.Name, errors.Join(locked...)), "give --key-password or --key-identity as the keys were made with")
	}
	var counts []string
	for _, set := range sets {
		written, kept, err := a.packSet(ctx, j, p, set)
		if err != nil {
			return "", err
		}
		counts = append(counts, fmt.Sprintf("%s packed, %d kept, in %s", amount.Of(written, "certificate"), kept, set.dir))
	}
	return strings.Join(counts, "; "), nil
}

// packSet writes one set into its tree, one run at a time: of two with different answers each would write one of a PFX and its twin.
func (a *app) packSet(ctx context.Context, j *job, p packing, set *packable) (written, kept int, err error) {
	s := j.stamp
	repo, err := a.repository()
	if err != nil {
		return 0, 0, err
	}
	tree, err := repo.Make(set.dir)
	if err != nil {
		return 0, 0, configuration(fmt.Errorf("stamp %s: certificates: %w", s.Name, err), "")
	}
	defer tree.Close()
	release, err := aloneIn(tree, set.dir, "certstamp pack")
	if err != nil {
		return 0, 0, err
	}
	defer release()
	for i, b := range set.bundles {
		files, err := p.writeBundle(ctx, tree, b, set.keys[i])
		if err != nil {
			return 0, 0, configuration(fmt.Errorf("stamp %s: %s: %w", s.Name, b.endpoint.Dir(), err), "")
		}
		if len(files) == 0 {
			kept++
			continue
		}
		written++
		for _, f := range files {
			a.doc.Files = append(a.doc.Files, path.Join(set.dir, f))
		}
	}
	return written, kept, nil
}

// maxIssued bounds the CA's answers: a set has at most fourteen.
const maxIssued = 500

// readIssued reads every file the CA sent, whatever it is called.
func readIssued(root *os.Root) ([]*x509.Certificate, error) {
	var (
		out      []*x509.Certificate
		problems []error
		n        int
	)
	err := fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || strings.HasPrefix(path.Base(p), ".") {
			return nil
		}
		if n++; n > maxIssued {
			return fmt.Errorf("more than %d files", maxIssued)
		}
		b, err := readBounded(root.FS(), p, maxFile)
		if err != nil {
			return fmt.Errorf("%q: %w", p, err)
		}
		certs, err := pfx.ParseCertificates(b)
		if err != nil {
			problems = append(problems, fmt.Errorf("%q: %w", p, err))
			return nil
		}
		out = append(out, certs...)
		return nil
	})
	return out, errors.Join(append(problems, err)...)
}

// match finds for each endpoint the newest certificate whose key we have, and its chain. The errors are all that is missing.
func match(j *job, set *packable, pool []*x509.Certificate) ([]bundle, error) {
	bySPKI := map[string]*x509.Certificate{}
	for _, c := range pool {
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		key := hex.EncodeToString(sum[:])
		if have := bySPKI[key]; have == nil || c.NotBefore.After(have.NotBefore) || c.NotBefore.Equal(have.NotBefore) && bytes.Compare(c.Raw, have.Raw) > 0 {
			bySPKI[key] = c
		}
	}
	var (
		out      []bundle
		problems []error
	)
	s := j.stamp
	for _, e := range csr.Endpoints(j.policy, csr.Input{Type: set.kind, Version: s.Version, Identity: s.Identity, Optional: s.OptionalEndpoints}) {
		b := bundle{endpoint: e}
		asked := false
		for _, r := range set.manifest.Requests {
			if !slices.Contains(r.Folders, e.Folder) {
				continue
			}
			asked = true
			if c := bySPKI[r.SPKI]; c != nil && (b.leaf == nil || c.NotBefore.After(b.leaf.NotBefore)) {
				b.leaf, b.entry = c, r
			}
		}
		switch {
		case !asked:
			problems = append(problems, fmt.Errorf("%s: nothing was requested; run certstamp csr", e.Dir()))
			continue
		case b.leaf == nil:
			problems = append(problems, fmt.Errorf("%s: no certificate for %s was issued for a key of ours", e.Dir(), e.Name(s.Domain())))
			continue
		}
		chain, _ := pfx.Walk(b.leaf, pool)
		if top := chain[len(chain)-1]; !pfx.SelfSigned(top) {
			problems = append(problems, fmt.Errorf("%s: the chain ends at %q, its issuer %q is missing", e.Dir(), top.Subject, top.Issuer))
			continue
		}
		b.chain = chain[1:]
		out = append(out, b)
	}
	return out, errors.Join(problems...)
}

// openKeys decrypts the keys side by side: each costs some hundred thousand hashes on purpose.
func (p packing) openKeys(ctx context.Context, requests *os.Root, bundles []bundle) ([]crypto.Signer, error) {
	keys := make([]crypto.Signer, len(bundles))
	failed := make([]error, len(bundles))
	opened := map[string]int{}
	var wg crew.Group
	for i, b := range bundles {
		if _, ok := opened[b.entry.Key]; ok {
			continue
		}
		opened[b.entry.Key] = i
		wg.Go(func() {
			if failed[i] = ctx.Err(); failed[i] == nil {
				keys[i], failed[i] = p.openKey(ctx, requests, b.entry.Key)
			}
		})
	}
	wg.Wait()
	for i, b := range bundles {
		keys[i] = keys[opened[b.entry.Key]]
	}
	return keys, errors.Join(failed...)
}

func (p packing) openKey(ctx context.Context, requests *os.Root, name string) (crypto.Signer, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("the manifest names %q as a key", name)
	}
	b, err := readBounded(requests.FS(), name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", name, err)
	}
	var key crypto.Signer
	switch {
	case strings.HasSuffix(name, ".age") && len(p.identities) == 0:
		err = errors.New("sealed to an age recipient, and no --key-identity is given")
	case strings.HasSuffix(name, ".age"):
		key, err = csr.OpenAge(b, p.identities...)
	case p.keySecret.IsZero():
		err = errors.New("encrypted with a password, and no --key-password is given")
	default:
		key, err = pfx.DecryptKey(ctx, b, p.keySecret.Reveal(), pfx.Limits{})
	}
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", name, err)
	}
	return key, nil
}

// writeBundle writes PFX and twin unless they are there already with the same key and chain, and returns what it wrote.
func (p packing) writeBundle(ctx context.Context, tree *os.Root, b bundle, key crypto.Signer) ([]string, error) {
	stem := path.Join(b.endpoint.Dir(), b.endpoint.Stem())
	name, other := stem+".pfx", stem+".pfx.age"
	if len(p.to) > 0 {
		name, other = other, name
	}
	if there(tree, other) {
		return nil, fmt.Errorf("%q is there, and %q would come beside it: a folder holds one file; remove the first, or give the same --recipient as then", other, name)
	}
	var wrote []string
	twin := twinOf(append([]*x509.Certificate{b.leaf}, b.chain...))
	if old, err := readBounded(tree.FS(), stem+".crt", maxFile); err != nil || !bytes.Equal(old, twin) {
		wrote = append(wrote, stem+".crt")
	} else if p.same(ctx, tree, name, b) {
		return nil, nil
	}
	out, err := pfx.Pack{
		Key: key, Leaf: b.leaf, Chain: b.chain, Password: p.passwordValue.Reveal(),
		Encryption: p.encryption, LocalMachine: true, CSP: p.csp,
	}.Encode()
	if err != nil {
		return nil, err
	}
	if len(p.to) > 0 {
		if out, err = sealFile(out, p.to); err != nil {
			return nil, err
		}
	}
	if err := replaceIn(tree, name, out, 0o600); err != nil {
		return nil, err
	}
	if len(wrote) > 0 {
		if err := replaceIn(tree, stem+".crt", twin, 0o644); err != nil {
			return nil, err
		}
	}
	return append([]string{name}, wrote...), nil
}

// same reports whether the file that is there holds the same leaf and chain as we would write them. A
// sealed file cannot be looked into here; its twin was equal, and that is what can be known.
func (p packing) same(ctx context.Context, tree *os.Root, name string, b bundle) bool {
	old, err := readBounded(tree.FS(), name, maxFile)
	if err != nil {
		return false
	}
	if len(p.to) > 0 {
		return true
	}
	have, err := pfx.Open(ctx, old, p.passwordValue.Reveal(), pfx.Limits{})
	if err != nil || have.Facts.Encryption != p.encryption {
		return false
	}
	if have.Facts.BER || have.Facts.Trailing > 0 || have.LeafCertificate() == nil || len(have.Keys) != 1 {
		return false
	}
	want := append([]*x509.Certificate{b.leaf}, b.chain...)
	return have.Keys[0].Facts.CSP == p.csp && have.Keys[0].Facts.LocalMachine &&
		slices.EqualFunc(have.X509(), want, func(x, y *x509.Certificate) bool { return x.Equal(y) })
}

func twinOf(chain []*x509.Certificate) []byte {
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func sealFile(b []byte, to []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, to...)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	_, err = w.Write(b)
	if err := errors.Join(err, w.Close(), armored.Close()); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return out.Bytes(), nil
}

// backUp copies the set, as the stamp will read it, to the stamp's backup folder.
func (a *app) backUp(s *stamp.Stamp, p packing) (int, error) {
	if s.Backup == "" {
		return 0, configuration(fmt.Errorf("stamp %s names no backup", s.Name), "add backup: file:/PATH to stamp.yaml")
	}
	repo, err := a.repository()
	if err != nil {
		return 0, err
	}
	root, err := repo.Make(s.Backup)
	if err != nil {
		return 0, configuration(fmt.Errorf("stamp %s: backup: %w", s.Name, err), "")
	}
	defer root.Close()
	t, err := a.readTree(s, a.unsealer(s))
	if err != nil {
		return 0, err
	}
	set := backupSet{}
	for _, f := range t.files {
		if f.PFX == nil {
			return 0, configuration(fmt.Errorf("stamp %s: %q is sealed and cannot be copied", s.Name, f.Path), "add age-identity to stamp.yaml")
		}
		set[strings.TrimSuffix(f.Path, ".age")] = f.PFX
	}
	if _, err := keepSet(root, string(s.Identity), a.env.Now().UTC().Format("20060102T150405")+"-pack", set); err != nil {
		return 0, notKept(fmt.Errorf("stamp %s: backup: %w", s.Name, err), "")
	}
	return len(t.files), nil
}
